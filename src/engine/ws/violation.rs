//! The ways of breaking RFC 6455 and RFC 7692, each with its name in the metrics, its close code and a text
//! for the close frame.

use std::fmt;

use crate::base::{Metric, Reason};

macro_rules! violations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $reason:ident, $text:literal;)*) => {
        /// What a peer did against RFC 6455 or RFC 7692, or over a limit. The connection ends with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Violation { $($(#[$doc])* $variant,)* }

        impl Violation {
            /// All of them, in the order of `base::metric::WS_VIOLATIONS`.
            pub const ALL: &'static [Violation] = &[$(Violation::$variant,)*];

            /// The name in metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Violation::$variant => $name,)* }
            }

            /// The reason for which the connection ends.
            pub fn reason(self) -> Reason {
                match self { $(Violation::$variant => Reason::$reason,)* }
            }

            /// For a person: the reason text of the close frame.
            pub fn text(self) -> &'static str {
                match self { $(Violation::$variant => $text,)* }
            }
        }
    };
}

violations! {
    /// A client's frame without a mask, or a server's with one.
    Unmasked = "unmasked", ProtocolError, "frames are masked by the client, and by nobody else";
    /// A reserved bit that has no meaning here: RSV1 has one on the first frame of a message, if
    /// compression was agreed.
    ReservedBits = "reserved_bits", ProtocolError, "a reserved bit is set";
    /// An opcode without a meaning.
    ReservedOpcode = "reserved_opcode", ProtocolError, "reserved opcode";
    /// A control frame of more than 125 bytes.
    ControlTooLong = "control_too_long", ProtocolError, "control frame longer than 125 bytes";
    /// A control frame without FIN.
    ControlFragmented = "control_fragmented", ProtocolError, "fragmented control frame";
    /// A length in more bytes than it needs.
    LengthNotMinimal = "length_not_minimal", ProtocolError, "payload length not in its shortest form";
    /// A length with the highest bit set.
    LengthOver63Bits = "length_over_63_bits", ProtocolError, "payload length over 63 bits";
    /// A continuation, and no message under way.
    UnexpectedContinuation = "unexpected_continuation", ProtocolError, "continuation of no message";
    /// A new message before the last one ended.
    ExpectedContinuation = "expected_continuation", ProtocolError, "new message before the last one ended";
    /// A frame over the limit.
    FrameTooLarge = "frame_too_large", MessageTooLarge, "frame too large";
    /// A message over the limit.
    MessageTooLarge = "message_too_large", MessageTooLarge, "message too large";
    /// A message of more frames than the limit.
    TooManyFragments = "too_many_fragments", MessageTooLarge, "message of too many fragments";
    /// A text or a close reason that is not UTF-8.
    InvalidUtf8 = "invalid_utf8", InvalidUtf8, "text is not UTF-8";
    /// A close frame with half a code.
    ClosePayload = "close_payload", ProtocolError, "close frame with a payload of one byte";
    /// A close code that must not be sent.
    CloseCode = "close_code", ProtocolError, "close code that must not be sent";
    /// Compressed bytes that are no whole deflate stream (RFC 7692).
    DeflateData = "deflate_data", ProtocolError, "compressed message cannot be inflated";
    /// A compressed message over the limit once it is inflated.
    InflatedTooLarge = "inflated_too_large", MessageTooLarge, "compressed message too large";
    /// Frames after a close frame. The decoder discards them; others may count them.
    DataAfterClose = "data_after_close", ProtocolError, "data after the close frame";
}

impl Violation {
    /// The close code: 1002, 1007 or 1009.
    pub fn close_code(self) -> u16 {
        self.reason().close_code().unwrap_or(1002)
    }

    /// Its counter.
    pub fn metric(self) -> Metric {
        Metric::WS_VIOLATIONS.at(self as usize)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metric::WS_VIOLATIONS;

    #[test]
    fn names_are_those_of_the_metric_in_its_order() {
        let names: Vec<_> = Violation::ALL.iter().map(|violation| violation.as_str()).collect();
        assert_eq!(names, WS_VIOLATIONS);
        for (index, violation) in Violation::ALL.iter().enumerate() {
            assert_eq!(*violation as usize, index);
            assert_eq!(violation.metric(), Metric::WS_VIOLATIONS.at(index));
        }
    }

    #[test]
    fn every_violation_fits_a_close_frame() {
        for violation in Violation::ALL {
            assert!(violation.reason().close_code().is_some(), "{violation}");
            assert!(matches!(violation.close_code(), 1002 | 1007 | 1009), "{violation}");
            assert!(!violation.text().is_empty() && violation.text().len() <= 123, "{violation}");
        }
        assert_eq!(Violation::InvalidUtf8.close_code(), 1007);
        assert_eq!(Violation::TooManyFragments.close_code(), 1009);
        assert_eq!(Violation::CloseCode.close_code(), 1002);
    }
}
