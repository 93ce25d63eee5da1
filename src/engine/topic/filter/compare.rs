//! How values of JSON compare, and the one spelling of values that are equal.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Above every integer that JSON's numbers are kept as, and exact as a float: 2^65.
const BEYOND_INTEGERS: f64 = 36_893_488_147_419_103_232.0;

/// Whether two values are the same, numbers by value.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b).is_eq(),
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => false,
    }
}

/// The order of two numbers or two strings; `None` for all else.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(order_numbers(a, b)),
        // UTF-8 sorts by bytes as it sorts by code points.
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Appends the one spelling of all values that are [`equal`] to this one.
pub(super) fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&match as_integer(number) {
            Some(integer) => integer.to_string(),
            None => number.to_string(),
        }),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write_canonical(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}

/// Appends a string of JSON.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// The number as an integer, if it is one that fits 65 bits.
fn as_integer(number: &Number) -> Option<i128> {
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    if let Some(integer) = number.as_u64() {
        return Some(integer.into());
    }
    let float = as_float(number);
    (float.fract() == 0.0 && float.abs() < BEYOND_INTEGERS).then_some(float as i128)
}

fn as_float(number: &Number) -> f64 {
    // Every number is an integer or a float, and each of them has a nearest float.
    number.as_f64().unwrap_or(f64::INFINITY)
}

fn order_numbers(a: &Number, b: &Number) -> Ordering {
    match (as_integer(a), as_integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => order_mixed(a, as_float(b)),
        (None, Some(b)) => order_mixed(b, as_float(a)).reverse(),
        (None, None) => as_float(a).total_cmp(&as_float(b)),
    }
}

/// The order of an integer and a float that is no integer or beyond all of them.
fn order_mixed(integer: i128, float: f64) -> Ordering {
    if float.abs() >= BEYOND_INTEGERS {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    integer.cmp(&(float.floor() as i128)).then(Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        for (a, b, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("0", "-0.0", Ordering::Equal),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "18446744073709551614", Ordering::Greater),
            ("18446744073709551615", "18446744073709551616", Ordering::Less),
            ("-9223372036854775808", "18446744073709551615", Ordering::Less),
            ("1", "1.5", Ordering::Less),
            ("2", "1.5", Ordering::Greater),
            ("-1", "-1.5", Ordering::Greater),
            ("-2", "-1.5", Ordering::Less),
            ("5", "1e300", Ordering::Less),
            ("5", "-1e300", Ordering::Greater),
            ("1e300", "1e299", Ordering::Greater),
            ("0.1", "0.2", Ordering::Less),
        ] {
            let (a, b): (Value, Value) = (serde_json::from_str(a).unwrap(), serde_json::from_str(b).unwrap());
            assert_eq!(order(&a, &b), Some(expected), "{a} {b}");
            assert_eq!(order(&b, &a), Some(expected.reverse()), "{b} {a}");
            assert_eq!(equal(&a, &b), expected.is_eq(), "{a} {b}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            (-6i32..6).prop_map(|halves| Value::from(f64::from(halves) / 2.0)),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_equal_just_when_they_are_spelled_the_same(a in value(), b in value()) {
            let (mut one, mut two) = (String::new(), String::new());
            write_canonical(&a, &mut one);
            write_canonical(&b, &mut two);
            prop_assert_eq!(equal(&a, &b), one == two, "{} {}", one, two);
            prop_assert!(equal(&a, &serde_json::from_str(&one).unwrap()));
        }
    }
}
