//! The views against serde_json.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::Value;

use super::{value, written};
use crate::engine::wire::{Kind, Raw};

fn agrees(raw: Raw<'_>, value: &Value) {
    match value {
        Value::Null => assert!(raw.is_null()),
        Value::Bool(bool) => assert_eq!((raw.kind(), raw.as_bool()), (Kind::Bool, Some(*bool))),
        Value::Number(number) => {
            assert_eq!(raw.kind(), Kind::Number);
            // serde_json takes -0 for a double.
            if raw.as_raw() != "-0" {
                assert_eq!((raw.as_u64(), raw.as_i64()), (number.as_u64(), number.as_i64()), "{number}");
            }
            assert_eq!(raw.as_f64(), number.to_string().parse().ok());
        }
        Value::String(text) => {
            assert_eq!(raw.as_str().as_deref(), Some(text.as_str()));
            assert!(raw.is_str(text) && !raw.is_str(&format!("{text}x")));
        }
        Value::Array(elements) => {
            assert!(raw.is_array() && raw.members().next().is_none());
            assert_eq!(raw.elements().count(), elements.len());
            raw.elements().zip(elements).for_each(|(raw, value)| agrees(raw, value));
        }
        Value::Object(members) => {
            assert!(raw.is_object() && raw.elements().next().is_none());
            assert_eq!(raw.members().count(), members.len());
            for ((key, raw_value), (expected, value)) in raw.members().zip(members) {
                assert_eq!(key, *expected);
                agrees(raw_value, value);
                assert_eq!(raw.member(expected), Some(raw_value));
            }
            assert_eq!(raw.member("no such key"), None);
        }
    }
}

proptest! {
    #[test]
    fn views_read_what_serde_json_reads(value in value(), pretty in any::<bool>()) {
        agrees(Raw::trusted(&written(&value, pretty)), &value);
    }

    #[test]
    fn a_dotted_path_is_a_pointer(value in value(), pretty in any::<bool>(),
            tokens in prop::collection::vec("[a-d]|[0-3]|00|01||x", 1..5)) {
        let text = written(&value, pretty);
        let found = Raw::trusted(&text).path(&tokens.join("."));
        let expected = value.pointer(&format!("/{}", tokens.join("/")));
        prop_assert_eq!(found.is_some(), expected.is_some(), "{} in {}", tokens.join("."), text);
        if let (Some(found), Some(expected)) = (found, expected) {
            agrees(found, expected);
        }
    }

    #[test]
    fn text_that_was_never_checked_is_read_without_a_panic(text in "[\\[\\]{}\",:\\\\u0-9a-ft é\u{1}]{0,40}") {
        fn walk(raw: Raw<'_>, depth: usize) {
            let _ = (raw.as_str(), raw.as_f64(), raw.as_u64(), raw.path("a.0.b"));
            if depth > 0 {
                raw.members().for_each(|(_, value)| walk(value, depth - 1));
                raw.elements().for_each(|value| walk(value, depth - 1));
            }
        }
        walk(Raw::trusted(&text), 3);
        prop_assert!(text.contains(Raw::trusted(&text).as_raw()));
    }
}

#[test]
fn only_escapes_make_a_copy() {
    let raw = Raw::trusted(r#" {"plain":"text","es\u0063aped":"a\n"} "#);
    assert!(matches!(raw.member("plain").unwrap().as_str(), Some(Cow::Borrowed("text"))));
    assert!(matches!(raw.member("escaped").unwrap().as_str(), Some(Cow::Owned(text)) if text == "a\n"));
    assert!(raw.member("escaped").unwrap().is_str("a\n"));
    assert_eq!(raw.as_raw().as_bytes()[0], b'{');
}

#[test]
fn a_key_is_compared_by_what_it_stands_for() {
    let raw = Raw::trusted(r#"{"\\":1,"\\\\":2,"\u0061":3,"\n":4}"#);
    assert_eq!(raw.members().count(), 4);
    for (key, expected) in
        [("\\", Some(1)), ("\\\\", Some(2)), ("a", Some(3)), ("\n", Some(4)), ("\\n", None), ("\\u0061", None)]
    {
        assert_eq!(raw.member(key).and_then(Raw::as_u64), expected, "{key}");
    }
    assert!(Raw::trusted(r#""\\""#).is_str("\\") && !Raw::trusted(r#""\\""#).is_str("\\\\"));
}

#[test]
fn brackets_inside_strings_are_no_brackets() {
    let raw = Raw::trusted(r#"{"a":{"}":"]\"}","\"":[["\\"],"{"]},"b":[ "}" , 2 ]}"#);
    assert_eq!(raw.path("b.1").and_then(Raw::as_u64), Some(2));
    assert_eq!(raw.path("a.}").unwrap().as_str().unwrap(), "]\"}");
    assert_eq!(raw.path("a.\"").unwrap().as_raw(), r#"[["\\"],"{"]"#);
}

#[test]
fn numbers_are_read_by_how_they_are_written() {
    for (text, unsigned, signed, float) in [
        ("0", Some(0), Some(0), Some(0.0)),
        ("-0", None, Some(0), Some(0.0)),
        ("-1", None, Some(-1), Some(-1.0)),
        ("18446744073709551615", Some(u64::MAX), None, Some(18446744073709551615.0)),
        ("18446744073709551616", None, None, Some(18446744073709551616.0)),
        ("-9223372036854775808", None, Some(i64::MIN), Some(-9223372036854775808.0)),
        ("1.0", None, None, Some(1.0)),
        ("1e3", None, None, Some(1000.0)),
        ("1e999", None, None, None),
        ("1e-999", None, None, Some(0.0)),
        ("\"1\"", None, None, None),
        ("true", None, None, None),
        ("null", None, None, None),
        ("[1]", None, None, None),
    ] {
        let raw = Raw::trusted(text);
        assert_eq!((raw.as_u64(), raw.as_i64(), raw.as_f64()), (unsigned, signed, float), "{text}");
    }
}
