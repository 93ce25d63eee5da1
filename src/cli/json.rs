//! JSON that is passed through: checked, and never decoded and encoded again.

use serde_json::Value;
use serde_json::value::RawValue;

/// The text if it is one JSON value, without white space around it.
pub fn value(text: &str) -> Result<&str, serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(RawValue::get)
}

/// The text if it is one JSON object.
pub fn object(text: &str) -> Result<&str, String> {
    match value(text) {
        Ok(object) if object.starts_with('{') => Ok(object),
        Ok(_) => Err("it is no JSON object".into()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

/// A JSON string that holds the text.
pub fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// The value on one line: JSON has line breaks only between its tokens.
pub fn on_one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_passed_through_byte_for_byte() {
        assert_eq!(value(" {\"a\": 1.50}\n").unwrap(), "{\"a\": 1.50}");
        for bad in ["", "abc", "{", "1 2", "'a'"] {
            assert!(value(bad).is_err(), "{bad}");
        }
        assert_eq!(object(" {}"), Ok("{}"));
        assert!(object("[1]").is_err() && object("{").is_err());
    }

    #[test]
    fn texts_become_strings_and_lines_stay_one() {
        assert_eq!(string("a\"b\n"), "\"a\\\"b\\n\"");
        assert_eq!(on_one_line("{\r\n \"a\\n\":1}"), "{   \"a\\n\":1}");
        assert_eq!(on_one_line("{}"), "{}");
    }
}
