//! What is taken from clients, and each way of being refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{value, written};
use crate::base::{Code, Wall};
use crate::engine::wire::encode::push_json_string;
use crate::engine::wire::{Command, Incoming, Refused, Scanner, parse};

const DEPTH: usize = 8;

fn command(text: &str) -> Command<'_> {
    match parse(&mut Scanner::default(), text, DEPTH) {
        Ok(Incoming::Command(command)) => command,
        other => panic!("{text} was read as {other:?}"),
    }
}

fn refused(text: &str) -> Refused<'_> {
    match parse(&mut Scanner::default(), text, DEPTH) {
        Err(refused) => *refused,
        Ok(other) => panic!("{text} was read as {other:?}"),
    }
}

#[test]
fn a_full_command_is_read() {
    let text = r#" {"type":"command","id":"c-17","timestamp":"2026-02-26T18:45:00.000Z","channel":"system",
        "action":"subscribe","data": {"topics" : [ "a.*" ]} ,"auth":{"token":"t.\u006f","signature":"c2ln"},"more":[1]} "#;
    let command = command(text);
    assert_eq!(command.id.as_deref(), Some("c-17"));
    assert_eq!(command.id_raw.unwrap().as_raw(), "\"c-17\"");
    let timestamp = command.timestamp.unwrap();
    assert_eq!((&*timestamp.text, timestamp.wall), ("2026-02-26T18:45:00.000Z", Wall(1_772_131_500_000)));
    assert_eq!((&*command.channel, &*command.action), ("system", "subscribe"));
    assert_eq!(command.data.unwrap().as_raw(), r#"{"topics" : [ "a.*" ]}"#);
    let auth = command.auth.unwrap();
    assert_eq!((auth.token.as_deref(), auth.signature.as_deref()), (Some("t.o"), Some("c2ln")));
    assert!(!format!("{auth:?}").contains("t.o"));
}

#[test]
fn the_least_command_has_a_channel_and_an_action() {
    let command = command(r#"{"action":"a","channel":"b","type":"command"}"#);
    assert_eq!((&*command.channel, &*command.action), ("b", "a"));
    assert!(command.id.is_none() && command.id_raw.is_none() && command.timestamp.is_none());
    assert!(command.data.is_none() && command.auth.is_none());
}

#[test]
fn escapes_in_the_envelope_stand_for_what_they_mean() {
    let command = command(r#"{"t\u0079pe":"comm\u0061nd","id":"\u00e9\n","channel":"s\u0079s","action":"a\u002eb"}"#);
    assert_eq!(command.id.as_deref(), Some("é\n"));
    assert_eq!(command.id_raw.unwrap().as_raw(), r#""\u00e9\n""#);
    assert_eq!((&*command.channel, &*command.action), ("sys", "a.b"));
}

#[test]
fn older_clients_messages_are_known() {
    let read = |text| parse(&mut Scanner::default(), text, DEPTH);
    for text in [r#"{"type":"status"}"#, r#"{"type": "status","id":5,"x":null}"#] {
        assert!(matches!(read(text), Ok(Incoming::LegacyStatus)), "{text}");
    }
    for text in [r#"{"type":"keepalive"}"#, r#"{"type":"k"}"#] {
        assert!(matches!(read(text), Ok(Incoming::LegacyKeepalive)), "{text}");
    }
    assert_eq!(refused(r#"{"type":"status","channel":"system","action":"status"}"#).error.code, Code::BadType);
}

#[test]
fn each_bad_field_is_named() {
    let long = |count: usize| format!("\"{}\"", "a".repeat(count));
    let good = json!({"type":"command","id":"c-1","channel":"b","action":"a"});
    let mut cases: Vec<(&str, &str, String)> = Vec::new();
    for field in ["type", "id", "timestamp", "channel", "action"] {
        for wrong in ["null", "true", "5", "[]", "{}", "[\"a\"]"] {
            cases.push((field, field, wrong.into()));
        }
    }
    for wrong in ["null", "true", "5", "[]", "\"token\"", "[{}]"] {
        cases.push(("auth", "auth", wrong.into()));
        if wrong != "\"token\"" {
            cases.push(("auth", "auth.token", format!("{{\"token\":{wrong}}}")));
            cases.push(("auth", "auth.signature", format!("{{\"token\":\"t\",\"signature\":{wrong}}}")));
        }
    }
    cases.extend([
        ("id", "id", "\"\"".into()),
        ("id", "id", long(129)),
        ("timestamp", "timestamp", "\"\"".into()),
        ("timestamp", "timestamp", "\"yesterday\"".into()),
        ("timestamp", "timestamp", "\"1772131500\"".into()),
        ("channel", "channel", "\"\"".into()),
        ("channel", "channel", "\"System\"".into()),
        ("channel", "channel", "\"9\"".into()),
        ("channel", "channel", "\"a.b\"".into()),
        ("channel", "channel", long(65)),
        ("action", "action", "\"\"".into()),
        ("action", "action", "\"a..b\"".into()),
        ("action", "action", "\"a-b\"".into()),
        ("action", "action", long(129)),
    ]);
    for (member, named, wrong) in cases {
        let mut envelope = good.clone();
        envelope[member] = serde_json::from_str(&wrong).unwrap();
        let text = envelope.to_string();
        let refused = refused(&text);
        assert_eq!(refused.error.code, Code::BadEnvelope, "{text}");
        assert_eq!(refused.error.details.as_deref(), Some(&*format!("{{\"field\":\"{named}\"}}")), "{text}");
        assert!(refused.error.message.starts_with(&format!("`{named}` ")), "{text}");
        let kept = |member_name, value| if member == member_name { None } else { Some(value) };
        let repeated = (refused.id.as_deref(), refused.channel.as_deref(), refused.action.as_deref());
        assert_eq!(repeated, (kept("id", "c-1"), kept("channel", "b"), kept("action", "a")), "{text}");
    }
}

#[test]
fn missing_fields_are_named() {
    for (text, named) in [
        ("{}", "type"),
        (r#"{"channel":"a","action":"b"}"#, "type"),
        (r#"{"type":"command","action":"b"}"#, "channel"),
        (r#"{"type":"command","channel":"a"}"#, "action"),
    ] {
        let error = refused(text).error;
        assert_eq!((error.code, &*error.message), (Code::BadEnvelope, &*format!("`{named}` is missing")), "{text}");
    }
}

#[test]
fn types_that_clients_do_not_send_are_refused_with_their_id() {
    for of_type in ["event", "response", "", "Command", "ack ", "ping", "input"] {
        let text = json!({"type":of_type,"id":"c-1","channel":"b","action":"a"}).to_string();
        let refused = refused(&text);
        assert_eq!((refused.error.code, refused.id.as_deref()), (Code::BadType, Some("c-1")), "{text}");
    }
}

#[test]
fn texts_that_are_no_objects_are_refused_with_what_was_read_before_the_fault() {
    let deep = format!(r#"{{"id":"c-1","type":"command","data":{}0{}}}"#, "[".repeat(8), "]".repeat(8));
    for (text, code, id) in [
        ("", Code::BadJson, None),
        ("test_message", Code::BadJson, None),
        ("[]", Code::BadJson, None),
        ("\"text\"", Code::BadJson, None),
        (r#"{"type":"command""#, Code::BadJson, None),
        (r#"{"type":"command","id":"c-1","data":01}"#, Code::BadJson, Some("c-1")),
        (r#"{"id":"c-1","data":{"a":1,"\u0061":2}}"#, Code::BadJson, Some("c-1")),
        (r#"{"id":"c-1","data":"\ud800"}"#, Code::BadJson, Some("c-1")),
        (r#"{"data":"\ud800","id":"c-1"}"#, Code::BadJson, None),
        (&deep, Code::TooDeep, Some("c-1")),
    ] {
        let refused = refused(text);
        assert_eq!((refused.error.code, refused.id.as_deref()), (code, id), "{text}");
        let details: Value = serde_json::from_str(&refused.error.details.unwrap()).unwrap();
        assert!(details["byte"].as_u64().unwrap() <= text.len() as u64);
    }
}

proptest! {
    #[test]
    fn every_command_is_read_back(
        id in prop::option::of("[^\u{0}]{1,30}"), channel in "[a-z][a-z0-9_-]{0,20}", action in "[a-z0-9_]{1,9}(\\.[a-z0-9_]{1,9}){0,3}",
        ms in prop::option::of(0i64..4_000_000_000_000), data in prop::option::of(value()), pretty in any::<bool>(),
    ) {
        let quote = |text: &str| { let mut out = Vec::new(); push_json_string(&mut out, text); String::from_utf8(out).unwrap() };
        let mut members = vec![r#""type":"command""#.to_owned()];
        members.extend(id.as_deref().map(|id| format!("\"id\":{}", quote(id))));
        members.extend(ms.map(|ms| format!("\"timestamp\":\"{}\"", Wall(ms))));
        let data = data.map(|data| written(&data, pretty));
        members.extend(data.as_ref().map(|data| format!("\"data\": {data}")));
        members.extend([format!("\"channel\":\"{channel}\""), format!("\"action\":\"{action}\"")]);
        let text = format!("{{{}}}", members.join(" ,\n"));
        let command = command(&text);
        prop_assert_eq!(command.id.as_deref(), id.as_deref());
        prop_assert_eq!(command.timestamp.map(|timestamp| timestamp.wall), ms.map(Wall));
        prop_assert_eq!((&*command.channel, &*command.action), (&*channel, &*action));
        prop_assert_eq!(command.data.map(|data| data.as_raw()), data.as_deref());
    }

    #[test]
    fn any_object_is_read_or_refused_without_a_panic(value in value(), of_type in "command|ack|status|k|x",
            field in "type|id|ids|timestamp|channel|action|auth|topic|through|status|reason") {
        let mut envelope = json!({"type":of_type,"id":"i","channel":"c","action":"a"});
        envelope[&field] = value;
        let text = envelope.to_string();
        if let Err(refused) = parse(&mut Scanner::default(), &text, DEPTH) {
            let codes = [Code::BadEnvelope, Code::BadType, Code::TooDeep];
            prop_assert!(codes.contains(&refused.error.code), "{} {}", text, refused.error);
        }
    }
}
