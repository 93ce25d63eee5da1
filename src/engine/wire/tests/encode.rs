//! What goes out, read back by serde_json, and the exact order of its members.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{value, written};
use crate::base::{Code, Error};
use crate::engine::wire::encode::{
    EventHead, event, keepalive_ok, push_json_string, push_u64, response_error, response_ok,
};

const TIME: &str = "2026-02-26T18:45:00.000Z";

const HEAD: EventHead<'static> = EventHead {
    epoch: "3kq",
    offset: 4711,
    timestamp: TIME,
    channel: "sensors",
    action: "kitchen.temp",
    history: true,
    prev: Some(4710),
    ack: true,
    attempt: 2,
};

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn members_stand_in_the_order_of_the_protocol_page() {
    assert_eq!(
        encoded(|out| response_ok(out, "c-17", TIME, "system", "subscribe", b"{ }")),
        format!(
            r#"{{"type":"response","id":"c-17","timestamp":"{TIME}","channel":"system","action":"subscribe","status":"success","data":{{ }}}}"#
        )
    );
    let error = Error::new(Code::NoHandler, "nobody");
    let written = r#"{"category":"application","code":"no_handler","message":"nobody","retryable":false}"#;
    assert_eq!(
        encoded(|out| response_error(out, "c", TIME, Some("x"), Some("y.z"), &error)),
        format!(
            r#"{{"type":"response","id":"c","timestamp":"{TIME}","channel":"x","action":"y.z","status":"error","error":{written}}}"#
        )
    );
    assert_eq!(
        encoded(|out| response_error(out, "c", TIME, None, None, &error)),
        format!(r#"{{"type":"response","id":"c","timestamp":"{TIME}","status":"error","error":{written}}}"#)
    );
    assert_eq!(
        encoded(|out| event(out, &HEAD, b"[1]")),
        format!(
            r#"{{"type":"event","id":"3kq-4711","timestamp":"{TIME}","channel":"sensors","action":"kitchen.temp","offset":4711,"prev":4710,"ack":true,"attempt":2,"data":[1]}}"#
        )
    );
}

#[test]
fn an_event_has_only_the_members_that_say_something() {
    let plain = EventHead { history: false, ack: false, attempt: 1, ..HEAD };
    let first = EventHead { prev: None, attempt: 1, ..HEAD };
    for (head, expected) in [(plain, ""), (first, r#","offset":4711,"ack":true"#)] {
        assert_eq!(
            encoded(|out| event(out, &head, b"null")),
            format!(
                r#"{{"type":"event","id":"3kq-4711","timestamp":"{TIME}","channel":"sensors","action":"kitchen.temp"{expected},"data":null}}"#
            )
        );
    }
}

#[test]
fn keepalive_is_answered_as_older_clients_read_it() {
    assert_eq!(encoded(|out| keepalive_ok(out, 1_772_131_500)), r#"{"type":"keepalive_ok","ts":1772131500}"#);
    assert_eq!(encoded(|out| keepalive_ok(out, i64::MIN)), r#"{"type":"keepalive_ok","ts":-9223372036854775808}"#);
}

#[test]
fn control_characters_take_their_shortest_escape() {
    let all: String = (0u8..0x20).map(char::from).collect();
    let written = encoded(|out| push_json_string(out, &format!("{all}\"\\/\u{7f}é")));
    assert!(written.starts_with(r#""\u0000\u0001"#) && written.contains(r"\b\t\n\u000b\f\r\u000e"));
    assert!(written.ends_with("\\u001f\\\"\\\\/\u{7f}é\""));
}

proptest! {
    #[test]
    fn strings_are_read_back(text in any::<String>(), more in "[a\"\\\\\u{0}-\u{1f}é]{0,80}") {
        for text in [text, more] {
            let written = encoded(|out| push_json_string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }

    #[test]
    fn numbers_are_written_in_decimal(number in any::<u64>(), shift in 0u32..64) {
        for number in [number >> shift, 0, u64::MAX] {
            prop_assert_eq!(encoded(|out| push_u64(out, number)), number.to_string());
        }
    }

    #[test]
    fn responses_are_read_back(id in any::<String>(), data in value(), pretty in any::<bool>(), message in any::<String>()) {
        let written = written(&data, pretty);
        let text = encoded(|out| response_ok(out, &id, TIME, "c", "a.b", written.as_bytes()));
        let expected: Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"type":"response","id":id,
            "timestamp":TIME,"channel":"c","action":"a.b","status":"success","data":expected}));
        let error = Error::new(Code::Conflict, message.clone());
        let text = encoded(|out| response_error(out, &id, TIME, None, Some("a"), &error));
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!((&read["id"], &read["error"]["message"]), (&json!(id), &json!(message)));
    }

    #[test]
    fn events_are_read_back(epoch in any::<String>(), offset in any::<u64>(), prev in prop::option::of(any::<u64>()),
            history in any::<bool>(), ack in any::<bool>(), attempt in 1u32..5, data in value()) {
        let written = data.to_string();
        let head = EventHead { epoch: &epoch, offset, prev, history, ack, attempt, ..HEAD };
        let text = encoded(|out| event(out, &head, written.as_bytes()));
        let mut expected = json!({"type":"event","id":format!("{epoch}-{offset}"),"timestamp":TIME,
            "channel":"sensors","action":"kitchen.temp","data":serde_json::from_str::<Value>(&written).unwrap()});
        if history {
            expected["offset"] = json!(offset);
            if let Some(prev) = prev {
                expected["prev"] = json!(prev);
            }
        }
        if ack {
            expected["ack"] = json!(true);
        }
        if attempt > 1 {
            expected["attempt"] = json!(attempt);
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
