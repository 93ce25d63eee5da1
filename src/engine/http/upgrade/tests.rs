use proptest::prelude::*;

use super::*;
use crate::engine::http::extension::EXTENSIONS;
use crate::engine::http::{HeadLimits, parse_head};

const GOOD: &[&str] = &[
    "Host: h",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn check(request_line: &str, fields: &[&str]) -> Result<Option<Upgrade>, Refusal> {
    let text = format!("{request_line}\r\n{}\r\n\r\n", fields.join("\r\n"));
    check_upgrade(&parse_head(text.as_bytes(), &HeadLimits::default()).unwrap())
}

/// The good handshake with the lines of some names taken out and others put in.
fn changed(without: &[&str], with: &[&str]) -> Result<Option<Upgrade>, Refusal> {
    let kept = GOOD.iter().filter(|line| !without.iter().any(|name| line.starts_with(name)));
    check("GET /ws HTTP/1.1", &kept.chain(with).copied().collect::<Vec<_>>())
}

#[test]
fn the_handshake_of_the_rfc_is_accepted() {
    let upgrade =
        changed(&[], &["Origin: http://example.com", "Sec-WebSocket-Protocol: chat, superchat"]).unwrap().unwrap();
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(upgrade.protocols, ["chat", "superchat"]);
    assert_eq!(upgrade.origin.as_deref(), Some("http://example.com"));
    assert!(upgrade.extensions.is_empty() && upgrade.keys.is_empty());
}

#[test]
fn lists_span_lines_and_case_does_not_matter() {
    let upgrade = changed(
        &["Connection", "Upgrade"],
        &[
            "connection: keep-alive",
            "Connection: x, UPGRADE",
            "Upgrade: h2c, WebSocket",
            "Sec-WebSocket-Protocol: hydrogen,,key.t0ken",
            "Sec-WebSocket-Protocol: relay",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; a=\"b\\-c\"",
            "Sec-WebSocket-Extensions: y",
        ],
    )
    .unwrap()
    .unwrap();
    assert_eq!(upgrade.protocols, ["hydrogen", "relay"]);
    assert_eq!(upgrade.keys.iter().map(Secret::expose).collect::<Vec<_>>(), ["t0ken"]);
    assert!(!format!("{upgrade:?}").contains("t0ken"));
    let param = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let extension =
        |name: &str, params: &[(String, Option<String>)]| Extension { name: name.into(), params: params.into() };
    let wanted = [
        extension("permessage-deflate", &[param("client_max_window_bits", None)]),
        extension("x", &[param("a", Some("b-c"))]),
        extension("y", &[]),
    ];
    assert_eq!(upgrade.extensions, wanted);
}

#[test]
fn requests_that_ask_for_no_websocket_are_left_alone() {
    for fields in [&["Host: h"][..], &["Host: h", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"]] {
        assert!(check("GET / HTTP/1.1", fields).unwrap().is_none());
    }
    assert!(check("POST / HTTP/1.1", &["Host: h", "Upgrade: websocket/13"]).unwrap().is_none());
}

#[test]
fn handshakes_that_break_the_rfc_are_refused() {
    let is_bad = |outcome: Result<Option<Upgrade>, Refusal>| matches!(outcome, Err(Refusal::BadUpgrade(_)));
    assert!(is_bad(check("POST / HTTP/1.1", GOOD)));
    assert!(is_bad(check("GET / HTTP/1.0", GOOD)));
    for (without, with) in [
        ("Connection", ""),
        ("Connection", "Connection: keep-alive"),
        ("-", "Sec-WebSocket-Version: 13"),
        ("-", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key:"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
        ("-", "Content-Length: 5"),
        ("-", "Transfer-Encoding: chunked"),
        ("-", "Sec-WebSocket-Protocol: a b"),
        ("-", "Sec-WebSocket-Protocol: key.a/b"),
        ("-", "Sec-WebSocket-Protocol: caf\u{e9}"),
        ("-", "Sec-WebSocket-Extensions: a;"),
        ("-", "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: a b"),
        ("-", "Origin: http://a\r\nOrigin: http://a"),
    ] {
        let with = if with.is_empty() { vec![] } else { vec![with] };
        assert!(is_bad(changed(&[without], &with)), "{without} {with:?}");
    }
    assert!(changed(&[], &["Content-Length: 0"]).unwrap().is_some());
}

#[test]
fn other_versions_are_told_which_one_is_spoken() {
    for version in ["", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13, 8", "Sec-WebSocket-Version: 013"] {
        let with = if version.is_empty() { vec![] } else { vec![version] };
        assert_eq!(changed(&["Sec-WebSocket-Version"], &with).err(), Some(Refusal::UpgradeRequired), "{version}");
    }
}

#[test]
fn offers_are_bounded() {
    let offer = |name: &str, count: usize| format!("{name}: {}", vec!["a"; count].join(","));
    let protocols = |count| {
        changed(&[], &[&offer("Sec-WebSocket-Protocol", count)]).map(|upgrade| upgrade.unwrap().protocols.len())
    };
    assert_eq!(protocols(PROTOCOLS), Ok(PROTOCOLS));
    assert!(matches!(protocols(PROTOCOLS + 1), Err(Refusal::BadUpgrade(_))));
    let extensions = |count| {
        changed(&[], &[&offer("Sec-WebSocket-Extensions", count)]).map(|upgrade| upgrade.unwrap().extensions.len())
    };
    assert_eq!(extensions(EXTENSIONS), Ok(EXTENSIONS));
    assert!(matches!(extensions(EXTENSIONS + 1), Err(Refusal::BadUpgrade(_))));
}

proptest! {
    #[test]
    fn protocols_keep_their_order_however_they_are_spread(names in prop::collection::vec("[a-z]{1,8}", 1..20), split in 0usize..20) {
        let (one, two) = names.split_at(split.min(names.len()));
        let lines = [one, two].map(|part| format!("Sec-WebSocket-Protocol: {}", part.join(" ,\t")));
        let upgrade = changed(&[], &[&lines[0], &lines[1]]).unwrap().unwrap();
        prop_assert_eq!(upgrade.protocols, names);
    }
}
