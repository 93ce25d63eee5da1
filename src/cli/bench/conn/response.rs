//! Whether the answer to the upgrade is what was asked for.

use memchr::memmem;

use super::Fault;
use crate::cli::bench::target::ACCEPT;

/// Checks a response whose head ends at `end`. Returns whether messages may come compressed.
pub fn check(bytes: &[u8], end: usize, wants_deflate: bool) -> Result<bool, Fault> {
    let head = &bytes[..end];
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let body = &bytes[end..];
        let text = [line, &body[..body.len().min(300)]].concat();
        return Err(format!("the upgrade was refused: {}", String::from_utf8_lossy(&text).trim_end()).into());
    }
    if memmem::find(head, ACCEPT).is_none() {
        return Err("the upgrade's response has not the right Sec-WebSocket-Accept".into());
    }
    if !wants_deflate {
        return Ok(false);
    }
    if memmem::find(head, b"permessage-deflate").is_none() {
        return Err("the server does not agree to permessage-deflate".into());
    }
    // RFC 7692, 7.1.1.1: a server that accepts the offer says this too.
    if memmem::find(head, b"server_no_context_takeover").is_none() {
        return Err("the server does not agree to compress without context takeover".into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn responses_are_checked() {
        assert_eq!(check(GOOD.as_bytes(), GOOD.len(), false), Ok(false));
        let forged = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
        assert!(check(forged, forged.len() - 4, false).unwrap_err().contains("Accept"));
        let refused = b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\n{\"error\":{\"code\":\"unauthenticated\"}}";
        let text = check(refused, 31, false).unwrap_err();
        assert!(text.contains("401 Unauthorized") && text.contains("unauthenticated"), "{text}");
    }

    #[test]
    fn compression_must_be_agreed_to_where_it_is_wanted() {
        for (extensions, word) in [
            ("", "permessage-deflate"),
            ("permessage-deflate", "takeover"),
            ("permessage-deflate; server_no_context_takeover", ""),
        ] {
            let head = format!("{GOOD}\r\nSec-WebSocket-Extensions: {extensions}");
            match check(head.as_bytes(), head.len(), true) {
                Ok(deflates) => assert!(deflates && word.is_empty(), "{extensions}"),
                Err(text) => assert!(!word.is_empty() && text.contains(word), "{text}"),
            }
        }
    }
}
