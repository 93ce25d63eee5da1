use proptest::prelude::*;

use super::*;
use crate::engine::http::{HeadLimits, check_upgrade, parse_head};

/// What is presented, in words: `none`, `key …`, `bearer …` or `unreadable`.
fn found(target: &str, fields: &[&str], query_allowed: bool) -> String {
    let mut text = format!("GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    text += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for field in fields {
        text += field;
        text += "\r\n";
    }
    text += "\r\n";
    let head = parse_head(text.as_bytes(), &HeadLimits { bytes: 64 * 1024, headers: 64 }).unwrap();
    let upgrade = check_upgrade(&head).unwrap();
    match presented(&head, upgrade.as_ref(), query_allowed) {
        Presented::None => "none".into(),
        Presented::Key(key) => format!("key {}", key.expose()),
        Presented::Bearer(token) => format!("bearer {}", token.expose()),
        Presented::Unreadable => "unreadable".into(),
    }
}

#[test]
fn the_authorization_field_is_read() {
    for (field, expected) in [
        ("Authorization: Key abc", "key abc"),
        ("Authorization: key    abc", "key abc"),
        ("authorization: KEY a-b_c.d~+/=", "key a-b_c.d~+/="),
        ("Authorization: Bearer a.b.c", "bearer a.b.c"),
        ("Authorization: bearer  x", "bearer x"),
        ("Authorization: Key ", "unreadable"),
        ("Authorization: Key", "unreadable"),
        ("Authorization: Bearer", "unreadable"),
        ("Authorization:", "unreadable"),
        ("Authorization: Key a b", "unreadable"),
        ("Authorization: Key\tabc", "unreadable"),
        ("Authorization: Key \tabc", "unreadable"),
        ("Authorization: Key caf\u{e9}", "unreadable"),
        ("Authorization: Basic YTpi", "unreadable"),
        ("Authorization: Keys abc", "unreadable"),
        ("Authorization: abc", "unreadable"),
        ("Authorization: Key a\r\nAuthorization: Key a", "unreadable"),
        ("X: y", "none"),
    ] {
        assert_eq!(found("/", &[field], true), expected, "{field}");
    }
}

#[test]
fn the_query_is_read_where_it_is_allowed() {
    for (target, expected) in [
        ("/?key=abc", "key abc"),
        ("/ws?a=1&key=x", "key x"),
        ("/?key=x&b", "key x"),
        ("/?key=a%2Db%2b+c", "key a-b++c"),
        ("/?key=a=b?c", "key a=b?c"),
        ("/?key=x&key=x", "key x"),
        ("/?monkey=x", "none"),
        ("/?Key=x", "none"),
        ("/?a=1;key=x", "none"),
        ("/?k%65y=x", "none"),
        ("/?key", "none"),
        ("/?", "none"),
        ("/key=x", "none"),
        ("/?key=", "unreadable"),
        ("/?key=&a", "unreadable"),
        ("/?key=%00", "unreadable"),
        ("/?key=a%00b", "unreadable"),
        ("/?key=a%20b", "unreadable"),
        ("/?key=%zz", "unreadable"),
        ("/?key=%+1", "unreadable"),
        ("/?key=%4", "unreadable"),
        ("/?key=%", "unreadable"),
        ("/?key=%ff", "unreadable"),
        ("/?key=x&key=y", "unreadable"),
    ] {
        assert_eq!(found(target, &[], true), expected, "{target}");
        assert_eq!(found(target, &[], false), "none", "{target}");
    }
}

#[test]
fn keys_and_queries_are_bounded() {
    let longest = "k".repeat(KEY_BYTES);
    assert_eq!(found(&format!("/?key={longest}"), &[], true), format!("key {longest}"));
    assert_eq!(found(&format!("/?key={longest}k"), &[], true), "unreadable");
    assert_eq!(found(&format!("/?key={}", "%6b".repeat(KEY_BYTES)), &[], true), format!("key {longest}"));
    assert_eq!(found("/", &[&format!("Authorization: Key {longest}")], true), format!("key {longest}"));
    assert_eq!(found("/", &[&format!("Authorization: Key {longest}k")], true), "unreadable");
    assert_eq!(found("/", &[&format!("Sec-WebSocket-Protocol: key.{longest}k")], true), "unreadable");
    let jwt = "j".repeat(2000);
    assert_eq!(found("/", &[&format!("Authorization: Bearer {jwt}")], true), format!("bearer {jwt}"));
    assert_eq!(found(&format!("/?key=a&p={}", "x".repeat(QUERY_BYTES - 9)), &[], true), "key a");
    assert_eq!(found(&format!("/?key=a&p={}", "x".repeat(QUERY_BYTES - 8)), &[], true), "unreadable");
    assert_eq!(found(&format!("/?p={}", "x".repeat(QUERY_BYTES)), &[], true), "none");
}

#[test]
fn a_subprotocol_may_be_the_key() {
    for (offered, expected) in [
        ("hydrogen, key.abc", "key abc"),
        ("key.abc", "key abc"),
        ("key.a.b, hydrogen", "key a.b"),
        ("hydrogen", "none"),
        ("key, hydrogen", "none"),
        ("hydrogen, key.", "unreadable"),
        ("key.a, key.b", "unreadable"),
        ("key.a, key.a", "key a"),
    ] {
        assert_eq!(found("/", &[&format!("Sec-WebSocket-Protocol: {offered}")], true), expected, "{offered}");
    }
}

#[test]
fn a_right_one_elsewhere_does_not_save_a_wrong_one() {
    let (key, other, basic) = ("Authorization: Key a", "Authorization: Key b", "Authorization: Basic a");
    let offered = "Sec-WebSocket-Protocol: key.a";
    for (target, fields, expected) in [
        ("/?key=a", &[key, offered][..], "key a"),
        ("/", &[key, offered], "key a"),
        ("/?key=a", &[other], "unreadable"),
        ("/?key=b", &[key], "unreadable"),
        ("/", &[other, offered], "unreadable"),
        ("/?key=a", &[basic], "unreadable"),
        ("/", &[basic, offered], "unreadable"),
        ("/?key=%zz", &[key], "unreadable"),
        ("/?key=a", &["Authorization: Bearer a"], "unreadable"),
    ] {
        assert_eq!(found(target, fields, true), expected, "{target} {fields:?}");
    }
    // Where the query may hold no key, it is no place.
    assert_eq!(found("/?key=b", &[key], false), "key a");
}

#[test]
fn plain_requests_present_credentials_too() {
    let head = parse_head(b"GET /api?key=a HTTP/1.0\r\n\r\n", &HeadLimits::default()).unwrap();
    assert!(matches!(presented(&head, None, true), Presented::Key(key) if key.expose() == "a"));
}

#[test]
fn secrets_do_not_show_themselves() {
    assert_eq!(format!("{:?}", Presented::Key(Secret::new("hush"))), "Key(***)");
}

proptest! {
    #[test]
    fn a_key_is_the_same_from_every_place(key in "[A-Za-z0-9._~-]{1,80}") {
        let encoded: String = key.bytes().map(|b| format!("%{b:02X}")).collect();
        let expected = format!("key {key}");
        prop_assert_eq!(&found("/", &[&format!("Authorization: Key {key}")], true), &expected);
        prop_assert_eq!(&found("/", &[&format!("Sec-WebSocket-Protocol: h, key.{key}")], true), &expected);
        prop_assert_eq!(&found(&format!("/?key={key}"), &[], true), &expected);
        prop_assert_eq!(&found(&format!("/?a&key={encoded}"), &[], true), &expected);
    }

    #[test]
    fn any_query_and_field_is_read_without_panic(query in "[!-\"$-~]{0,40}", field in "[ -~]{0,40}") {
        let found = found(&format!("/?key={query}"), &[&format!("Authorization: {field}")], true);
        prop_assert!(!found.contains('\0') && !found.is_empty());
    }
}
