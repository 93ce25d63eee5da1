//! The fields of a payload: keys match in any case, and of several the last counts.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::envelope::{Payload, Text};
use crate::dialect::signaling::limits::{DEPTH, FIELDS};

/// A field is not of the type that it must have, or is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad;

/// The fields of a payload, as they lay there.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The fields of a payload; `null` has none.
    pub(super) fn of(payload: &'a Payload<'_>) -> Result<Fields<'a>, Bad> {
        match payload {
            Payload::Missing | Payload::Bad => Err(Bad),
            Payload::Json(text) if text.trim_ascii() == "null" => Ok(Fields::default()),
            // Who is told of it reads JSON with bounds of its own.
            Payload::Json(text) if is_deeper(text, DEPTH) => Err(Bad),
            Payload::Json(text) => serde_json::from_str(text).map_err(|_| Bad),
        }
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A string of at most so many bytes; empty where there is none.
    pub(super) fn text(&self, name: &str, bytes_max: usize) -> Result<Box<str>, Bad> {
        let Some(raw) = self.raw(name) else { return Ok(Box::default()) };
        let text = serde_json::from_str::<Option<Text<'_>>>(raw.get()).map_err(|_| Bad)?.unwrap_or_default().0;
        if text.len() > bytes_max {
            return Err(Bad);
        }
        Ok(text.into())
    }

    /// Holds a field to what its JSON may be; `null` and nothing always may.
    pub(super) fn check(&self, name: &str, is_one: fn(&str) -> bool) -> Result<(), Bad> {
        match self.raw(name).map(RawValue::get) {
            None | Some("null") => Ok(()),
            Some(json) if is_one(json) => Ok(()),
            Some(_) => Err(Bad),
        }
    }

    /// Whether it is `true`; what is no boolean is not.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| raw.get() == "true")
    }

    /// Those that count, in their order: whoever reads them looks for one case, and must not find
    /// what was not looked at here.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().enumerate().filter_map(|(place, (key, value))| {
            let is_last = !self.0[place + 1..].iter().any(|(later, _)| later.eq_ignore_ascii_case(key));
            is_last.then_some((&**key, *value))
        })
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields<'de>, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    if fields.len() == FIELDS {
                        return Err(A::Error::custom("too many fields"));
                    }
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Reader)
    }
}

/// JSON without line breaks: outside of its strings they mean nothing, and in them there are none. A
/// message is one line.
pub(super) fn on_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => json.replace(['\n', '\r'], " ").into(),
        false => json.into(),
    }
}

/// Whether JSON is a string.
pub(super) fn is_string(json: &str) -> bool {
    json.starts_with('"')
}

/// Whether JSON is a string or an object.
pub(super) fn is_description(json: &str) -> bool {
    json.starts_with(['"', '{'])
}

/// Whether JSON is a whole number.
pub(super) fn is_whole(json: &str) -> bool {
    json.parse::<i64>().is_ok()
}

/// Whether JSON is nested deeper than so many levels. Of what is no JSON the answer is no matter.
fn is_deeper(text: &str, levels: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case_and_the_last_counts() {
        let payload = Payload::Json(Cow::Borrowed("{\"Room_ID\":\"a\",\"room_id\":\"b\",\"grace\":true,\"x\":null}"));
        let fields = Fields::of(&payload).unwrap();
        assert_eq!(&*fields.text("ROOM_ID", 9).unwrap(), "b");
        assert_eq!(&*fields.text("x", 9).unwrap(), "");
        assert_eq!(&*fields.text("y", 9).unwrap(), "");
        assert_eq!(fields.text("grace", 9), Err(Bad));
        assert_eq!(fields.text("room_id", 0), Err(Bad));
        assert!(fields.is_set("GRACE") && !fields.is_set("x"));
    }

    #[test]
    fn only_an_object_or_null_has_fields() {
        for (text, good) in [("null", true), ("{}", true), (" {} ", true), ("{} x", false), ("[]", false), ("{", false)]
        {
            assert_eq!(Fields::of(&Payload::Json(Cow::Borrowed(text))).is_ok(), good, "{text}");
        }
        assert!(Fields::of(&Payload::Missing).is_err() && Fields::of(&Payload::Bad).is_err());
    }

    #[test]
    fn so_many_fields_are_read() {
        for (count, good) in [(FIELDS, true), (FIELDS + 1, false)] {
            let fields: Vec<String> = (0..count).map(|number| format!("\"{number}\":0")).collect();
            let payload = Payload::Json(Cow::Owned(format!("{{{}}}", fields.join(","))));
            assert_eq!(Fields::of(&payload).is_ok(), good, "{count}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert!(!is_deeper("{\"[[[[\\\"[[\":[1]}", 2));
        assert!(is_deeper("[[[]]]", 2));
    }
}
