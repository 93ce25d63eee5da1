//! Tests of the wire, each file named after what it tests, and the texts they share.

mod encode;
mod envelope;
mod grammar;
mod object;
mod scanner;

use proptest::prelude::*;
use serde_json::{Map, Value};

/// White space that changes nothing.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r ")]
}

/// A string as it may be written, now and then with half of a surrogate pair.
fn string_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => "[a-z ]{0,9}".prop_map(String::from),
        3 => "[^\"\\\\\u{0}-\u{1f}]{0,40}".prop_map(String::from),
        3 => prop::sample::select(&["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\u0000", "\\u00E9", "\\u0061"][..])
            .prop_map(String::from),
        2 => Just("\\uD834\\udd1e".to_owned()),
    ];
    let half = prop::sample::select(&["\\uD834", "\\udd1e"][..]).prop_map(String::from);
    prop::collection::vec(prop_oneof![60 => piece, 1 => half], 0..4)
        .prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("JSON has no infinity", |number| number.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?".prop_map(String::from),
    ]
}

/// Keys that often meet their like.
fn key_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-h]{1,2}".prop_map(|key| format!("\"{key}\"")),
        1 => Just("\"\\u0061\"".to_owned()),
        4 => string_text(),
    ]
}

fn members_text(value: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    let member = (space(), key_text(), space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
    prop::collection::vec(member, 0..most).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn value_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        1 => prop::sample::select(&["null", "true", "false", "{}", "[ ]"][..]).prop_map(String::from),
        2 => number_text(),
        2 => string_text(),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let element = (space(), inner.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let elements = prop::collection::vec(element, 0..5).prop_map(|elements| format!("[{}]", elements.join(",")));
        prop_oneof![elements, members_text(inner, 5)]
    })
}

/// An object's text within the grammar; keys may come twice.
fn object_text() -> impl Strategy<Value = String> {
    (
        space(),
        prop_oneof![4 => members_text(value_text(), 6).boxed(), 1 => members_text(number_text(), 40).boxed()],
        space(),
    )
        .prop_map(|(a, object, b)| format!("{a}{object}{b}"))
}

/// A value as serde_json holds it, with keys that are easy to hit.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\n\u{1}é𝄞]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        let key = prop_oneof![4 => "[a-d]", 1 => "[0-3]", 1 => "[a\"\\\\\n]{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<String, Value>>())),
        ]
    })
}

/// A value's text, in one line or in many.
fn written(value: &Value, pretty: bool) -> String {
    if pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() }
}
