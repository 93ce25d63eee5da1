//! The payload of a close frame: nothing, or a code and a reason (RFC 6455, 5.5.1 and 7.4).

use super::Violation;

/// Whether the code may stand in a close frame: RFC 6455, 7.4.1 keeps 1004, 1005, 1006 and 1015
/// off the wire; 1012 to 1014 were registered later; 7.4.2 leaves 3000 to 4999 to others.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

pub(super) fn parse(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(Violation::ClosePayload),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code(code) {
                return Err(Violation::CloseCode);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
            Ok((Some(code), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::coding::CloseCode;

    #[test]
    fn codes_are_those_of_tungstenite_and_1014() {
        for code in 0..=u16::MAX {
            assert_eq!(is_close_code(code), CloseCode::from(code).is_allowed() || code == 1014, "{code}");
        }
    }

    #[test]
    fn payloads_are_told_apart() {
        assert_eq!(parse(b""), Ok((None, "")));
        assert_eq!(parse(b"\x03"), Err(Violation::ClosePayload));
        assert_eq!(parse(b"\x03\xe8"), Ok((Some(1000), "")));
        assert_eq!(parse(b"\x03\xe9bye"), Ok((Some(1001), "bye")));
        assert_eq!(parse(b"\x03\xed"), Err(Violation::CloseCode));
        assert_eq!(parse(b"\x03\xe8\xe2\x82"), Err(Violation::InvalidUtf8));
    }
}
