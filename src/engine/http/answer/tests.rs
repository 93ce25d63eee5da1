use proptest::prelude::*;

use super::*;
use crate::base::Code;
use crate::engine::http::{Coding, HeadLimits, check_upgrade, parse_head};

const NOW: Wall = Wall(784_111_777_900);

fn written(answer: &Answer, head_only: bool, close: bool) -> String {
    let mut out = Vec::new();
    answer.write(head_only, close, NOW, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_answer_is_written_to_the_byte() {
    let head = "HTTP/1.1 200 OK\r\nServer: hydrogen\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 3\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\nETag: \"1\"\r\n\r\n";
    let answer = Answer::text(200, "abc").header("ETag", "\"1\"");
    assert_eq!(written(&answer, false, false), format!("{head}abc"));
    assert_eq!(written(&answer, true, false), head);
    assert_eq!(written(&answer, true, true), head.replace("keep-alive", "close"));
}

#[test]
fn statuses_without_a_body_have_no_length() {
    for status in [204, 304] {
        let text = written(&Answer::json(status, "{}"), false, false);
        assert!(!text.contains("Content-Length") && !text.contains("\r\nContent-Type"), "{text}");
        assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1, "{text}");
    }
}

#[test]
fn a_cache_rule_of_its_own_takes_the_place_of_no_store() {
    let text = written(&Answer::html(200, "x").header("cache-control", "max-age=60"), false, false);
    assert!(text.contains("\r\ncache-control: max-age=60\r\n") && !text.contains("no-store"), "{text}");
    assert!(text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"));
}

#[test]
fn values_cannot_break_out_of_their_line() {
    let text = written(&Answer::json(200, "").header("Location", "/a\r\nSet-Cookie: b\0"), false, true);
    assert!(text.contains("\r\nLocation: /a  Set-Cookie: b \r\n"), "{text}");
}

#[test]
fn refusals_carry_the_fields_that_their_status_needs() {
    for (refusal, status, fields) in [
        (Refusal::Malformed, "400 Bad Request", &[][..]),
        (Refusal::HeadTooLarge, "431 Request Header Fields Too Large", &[]),
        (Refusal::BodyTooLarge, "413 Content Too Large", &[]),
        (Refusal::Version, "505 HTTP Version Not Supported", &[]),
        (Refusal::Expectation, "417 Expectation Failed", &[]),
        (Refusal::Timeout, "408 Request Timeout", &[]),
        (Refusal::TransferEncoding(Coding::Faulty), "400 Bad Request", &[]),
        (Refusal::TransferEncoding(Coding::Unsupported), "501 Not Implemented", &[]),
        (
            Refusal::UpgradeRequired,
            "426 Upgrade Required",
            &["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: close, Upgrade"],
        ),
        (Refusal::NotFound, "404 Not Found", &[]),
        (Refusal::Method("GET, HEAD"), "405 Method Not Allowed", &["Allow: GET, HEAD"]),
        (Refusal::Unauthenticated, "401 Unauthorized", &["WWW-Authenticate: Key realm=\"hydrogen\""]),
        (Refusal::Origin, "403 Forbidden", &[]),
        (Refusal::RateLimited(1), "429 Too Many Requests", &["Retry-After: 1"]),
        (Refusal::Blocked(60_001), "429 Too Many Requests", &["Retry-After: 61"]),
        (Refusal::ServerFull(5000), "503 Service Unavailable", &["Retry-After: 5"]),
        (Refusal::Draining(0), "503 Service Unavailable", &["Retry-After: 0"]),
    ] {
        let text = written(&Answer::refusal(&refusal), false, true);
        assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
        for field in fields {
            assert!(text.contains(&format!("\r\n{field}\r\n")), "{field}: {text}");
        }
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], refusal.code().as_str());
        assert_eq!(body["error"]["message"], refusal.message());
        assert_eq!(body["error"]["retry_after_ms"].as_u64(), refusal.retry_after_ms());
    }
}

#[test]
fn errors_of_the_protocol_are_answered_with_their_status() {
    let text = written(&Answer::error(&Error::new(Code::Expired, "the key is expired")), false, true);
    assert!(text.starts_with("HTTP/1.1 401 ") && text.contains("\r\nWWW-Authenticate: Key "), "{text}");
    assert!(text.contains("\"code\":\"expired\""), "{text}");
}

#[test]
fn times_outside_the_calendar_are_written_as_some_time() {
    for wall in [i64::MIN, i64::MAX, -62_200_000_000_000] {
        let mut out = Vec::new();
        Answer::text(200, "").write(false, false, Wall(wall), &mut out);
        assert!(String::from_utf8(out).unwrap().contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{wall}");
    }
}

#[test]
fn an_accepted_upgrade_names_only_what_was_offered() {
    let head = parse_head(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: hydrogen, key.hush\r\n\r\n",
        &HeadLimits::default(),
    )
    .unwrap();
    let upgrade = check_upgrade(&head).unwrap().unwrap();
    let plain = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (protocol, extensions, more) in [
        (None, None, ""),
        (Some("hydrogen"), None, "Sec-WebSocket-Protocol: hydrogen\r\n"),
        (Some("relay"), None, ""),
        (Some("key.hush"), None, ""),
        (None, Some("permessage-deflate"), "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    ] {
        let mut out = Vec::new();
        write_switching(&upgrade, protocol, extensions, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{plain}{more}\r\n"));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(status in 200u16..600, body in prop::collection::vec(any::<u8>(), 0..50), value in "\\PC{0,20}", close: bool) {
        let answer = Answer::new(status, "application/octet-stream", body.clone()).header("X-Value", value.clone());
        let mut out = Vec::new();
        answer.write(false, close, NOW, &mut out);
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let end = response.parse(&out).unwrap().unwrap();
        prop_assert_eq!(response.code, Some(status));
        let field = |name: &str| response.headers.iter().find(|field| field.name == name).map(|field| field.value.to_vec());
        if matches!(status, 204 | 304) {
            prop_assert_eq!(&out[end..], b"");
        } else {
            prop_assert_eq!(&out[end..], &body[..]);
            prop_assert_eq!(field("Content-Length"), Some(body.len().to_string().into_bytes()));
        }
        prop_assert_eq!(field("X-Value"), Some(value.trim_matches([' ', '\t']).as_bytes().to_vec()));
        prop_assert_eq!(field("Connection"), Some(if close { b"close".to_vec() } else { b"keep-alive".to_vec() }));
    }
}
