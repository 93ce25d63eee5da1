use super::*;
use crate::base::limits::{FILTER_BYTES, FILTER_CONDITIONS, FILTER_PATH_TOKENS, FILTER_VALUES};
use serde_json::json;

fn filter(value: Value) -> Filter {
    Filter::parse(&value).unwrap().unwrap()
}

fn refusal(value: Value) -> String {
    Filter::parse(&value).unwrap_err().to_string()
}

#[test]
fn conditions_hold_as_documented() {
    let data = json!({
        "room": "kitchen", "temp": 21.5, "count": 3, "big": 9007199254740993u64, "on": true, "nothing": null,
        "tags": ["a", {"deep": 1}], "at": {"x": 1, "y": {"z": "äö"}}, "": 1
    });
    for (conditions, expected) in [
        (json!({"room": "kitchen"}), true),
        (json!({"room": "hall"}), false),
        (json!({"room": "kitchen", "count": 4}), false),
        (json!({"count": 3.0}), true),
        (json!({"count": "3"}), false),
        (json!({"count": {"ne": "3"}}), true),
        (json!({"count": {"ne": 3}}), false),
        (json!({"count": {"ge": 3, "lt": 4}}), true),
        (json!({"count": {"gt": 3}}), false),
        (json!({"count": {"le": 3}}), true),
        (json!({"count": {"lt": "9"}}), false),
        (json!({"big": 9007199254740992u64}), false),
        (json!({"big": {"gt": 9007199254740992.0}}), true),
        (json!({"temp": {"gt": 21, "le": 21.5}}), true),
        (json!({"room": {"ge": "k", "lt": "l"}}), true),
        (json!({"at.y.z": {"lt": "ü", "gt": "a"}}), true),
        (json!({"room": {"prefix": "kit"}}), true),
        (json!({"room": {"prefix": "chen"}}), false),
        (json!({"count": {"prefix": "3"}}), false),
        (json!({"room": {"in": ["hall", "kitchen"]}}), true),
        (json!({"room": {"in": []}}), false),
        (json!({"on": true}), true),
        (json!({"on": {"in": [1, "true"]}}), false),
        (json!({"nothing": null}), true),
        (json!({"nothing": {"exists": true}}), true),
        (json!({"nothing": {"exists": false}}), false),
        (json!({"nothing": {"le": 5}}), false),
        (json!({"at": {"eq": {"y": {"z": "äö"}, "x": 1.0}}}), true),
        (json!({"at": {"eq": {"x": 1}}}), false),
        (json!({"tags": ["a", {"deep": 1}]}), true),
        (json!({"tags": ["a"]}), false),
        (json!({"tags.0": "a"}), true),
        (json!({"tags.1.deep": 1}), true),
        (json!({"tags.01.deep": {"exists": true}}), false),
        (json!({"tags.2": {"exists": true}}), false),
        (json!({"tags.x": {"exists": true}}), false),
        (json!({"room.x": {"exists": true}}), false),
        (json!({"missing": {"exists": false}}), true),
        (json!({"missing": {"ne": 1}}), true),
        (json!({"missing": null}), false),
        (json!({"missing": {"in": [null]}}), false),
        (json!({"missing": {"lt": 5}}), false),
        (json!({"missing": {"prefix": ""}}), false),
        (json!({"missing": {"exists": true}}), false),
    ] {
        assert_eq!(filter(conditions.clone()).passes_value(&data), expected, "{conditions}");
    }
}

#[test]
fn a_scalar_payload_has_no_path_and_one_that_is_no_json_passes_nothing() {
    let absent = filter(json!({"a": {"exists": false}}));
    assert!(absent.passes(&mut Payload::new(b"5")));
    assert!(!absent.passes(&mut Payload::new(b"{\"a\":5}")));
    assert!(!absent.passes(&mut Payload::new(b"nonsense")));
}

#[test]
fn filters_that_say_the_same_are_equal() {
    for (one, two, expected) in [
        (json!({"a": 1, "b": 2}), json!({"b": {"eq": 2.0}, "a": 1}), true),
        (json!({"a": {"in": [1, 2]}}), json!({"a": {"in": [2, 1.0, 2]}}), true),
        (json!({"a": {"eq": {"x": 1, "y": 2}}}), json!({"a": {"eq": {"y": 2, "x": 1}}}), true),
        (json!({"a": [1, 2]}), json!({"a": [2, 1]}), false),
        (json!({"a": 1}), json!({"a": "1"}), false),
        (json!({"a": {"lt": 1}}), json!({"a": {"le": 1}}), false),
        (json!({"a b": 1}), json!({"a": {"eq": 1}}), false),
    ] {
        assert_eq!(filter(one.clone()) == filter(two.clone()), expected, "{one} {two}");
        assert_eq!(filter(one).cmp(&filter(two)).is_eq(), expected);
    }
}

#[test]
fn a_filter_without_conditions_is_none() {
    assert_eq!(Filter::parse(&json!({})), Ok(None));
}

#[test]
fn what_is_no_filter_is_refused_with_its_reason() {
    for (value, expected) in [
        (json!([]), "a filter is an object of paths"),
        (json!({"": 1}), "filter path ``: a token is empty"),
        (json!({"a..b": 1}), "filter path `a..b`: a token is empty"),
        (json!({"a": {}}), "filter path `a`: an object without an operator"),
        (json!({"a": {"x": 1}}), "filter path `a`: `x` is none of eq ne lt le gt ge in prefix exists"),
        (json!({"a": {"lt": null}}), "filter path `a`: `lt` takes a number or a string"),
        (json!({"a": {"ge": [1]}}), "filter path `a`: `ge` takes a number or a string"),
        (json!({"a": {"in": 1}}), "filter path `a`: `in` takes an array of at most 256 values"),
        (json!({"a": {"prefix": 1}}), "filter path `a`: `prefix` takes a string"),
        (json!({"a": {"exists": 1}}), "filter path `a`: `exists` takes true or false"),
    ] {
        assert_eq!(refusal(value), expected);
    }
}

#[test]
fn every_size_is_bounded() {
    let many = |count: usize| (0..count).map(|n| (format!("p{n}"), json!(n))).collect::<Value>();
    assert!(Filter::parse(&many(FILTER_CONDITIONS)).is_ok());
    assert_eq!(Filter::parse(&many(FILTER_CONDITIONS + 1)), Err(FilterError::TooManyConditions));

    let deep = |tokens: usize| json!({vec!["a"; tokens].join("."): 1});
    assert!(Filter::parse(&deep(FILTER_PATH_TOKENS)).is_ok());
    assert_eq!(refusal(deep(FILTER_PATH_TOKENS + 1)).split(": ").last(), Some("more than 16 tokens"));

    let values = |count: usize| json!({"a": {"in": vec![1; count]}});
    assert!(Filter::parse(&values(FILTER_VALUES)).is_ok());
    assert!(Filter::parse(&values(FILTER_VALUES + 1)).is_err());

    assert_eq!(Filter::parse(&json!({"a": "x".repeat(FILTER_BYTES)})), Err(FilterError::TooLarge));
    assert!(refusal(json!({format!("{}..", "ä".repeat(500)): 1})).len() < 200);
}

#[test]
fn what_is_written_reads_as_the_same_filter() {
    for filter in [
        json!({"a": 1}),
        json!({"a.b": {"gt": 1, "le": 5.5}, "c": {"ne": null}}),
        json!({"a": {"in": [1, "x", null, {"y": 1}]}, "b.0.c": {"prefix": "é\""}}),
        json!({"a": {"exists": true}, "b": {"exists": false}, "c": {"eq": {"x": [1]}}}),
        json!({"a": {"lt": "m"}, "b": {"ge": 1e300}}),
    ] {
        let read = Filter::parse(&filter).unwrap().unwrap();
        let again = Filter::parse(&read.to_value()).unwrap().unwrap();
        assert_eq!(read, again, "{filter}");
    }
}
