//! Reads envelopes: `message_id`, `type` and `payload`, in whatever case the keys are.
//!
//! What follows the first JSON value is not looked at, as the original does not.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encoding::Encoding;
use crate::dialect::signaling::limits::ID_BYTES;

/// What a client sent.
#[derive(Debug)]
pub(in crate::dialect::signaling) struct Envelope<'a> {
    /// Repeated in the answer.
    pub id: Cow<'a, str>,
    /// What is asked.
    pub kind: Cow<'a, str>,
    /// Its data.
    pub payload: Payload<'a>,
    /// How the payload lay there; `None` if there was none.
    pub encoding: Option<Encoding>,
}

/// A payload, taken out of its envelope.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) enum Payload<'a> {
    /// None, `null`, or empty.
    Missing,
    /// Bytes that are not the text of an object.
    Bad,
    /// What should be the text of a JSON object, or `null`.
    Json(Cow<'a, str>),
}

impl<'a> Envelope<'a> {
    /// Reads one; `None` for what is none.
    pub(in crate::dialect::signaling) fn read(text: &'a str) -> Option<Envelope<'a>> {
        let mut json = serde_json::Deserializer::from_str(text);
        let raw = Raw::deserialize(&mut json).ok().filter(|raw| raw.id.len() <= ID_BYTES)?;
        let (payload, encoding) = raw.payload.map_or(Some((Payload::Missing, None)), take_out)?;
        Some(Envelope { id: raw.id, kind: raw.kind, payload, encoding })
    }
}

/// Whether a first message is one: an object with a `message_id` or a `payload`, and a `type`
/// whose first letter is large, as no other dialect has it.
pub(in crate::dialect::signaling) fn looks_like_one(text: &str) -> bool {
    if !text.trim_ascii_start().starts_with('{') {
        return false;
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let Ok(raw) = Raw::deserialize(&mut json) else { return false };
    (raw.payload.is_some() || raw.has_id) && super::Kind::of(&raw.kind).is_some()
}

fn take_out(raw: &RawValue) -> Option<(Payload<'_>, Option<Encoding>)> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'{' => Some((Payload::Json(Cow::Borrowed(text)), Some(Encoding::Object))),
        b'"' => from_string(serde_json::from_str::<Text<'_>>(text).ok()?.0),
        b'[' => {
            let bytes: Vec<u8> = serde_json::from_str(text).ok()?;
            if bytes.is_empty() {
                return Some((Payload::Missing, None));
            }
            let payload = String::from_utf8(bytes).map_or(Payload::Bad, |text| Payload::Json(Cow::Owned(text)));
            Some((payload, Some(Encoding::Bytes)))
        }
        b'n' => Some((Payload::Missing, None)),
        _ => None,
    }
}

/// Base64 of an object before an object's text: no object's text is base64.
fn from_string(string: Cow<'_, str>) -> Option<(Payload<'_>, Option<Encoding>)> {
    if string.is_empty() {
        return Some((Payload::Missing, None));
    }
    // Line breaks are no part of it: some encoders fold, and Go's decoder does not mind.
    let decoded = STANDARD.decode(without_breaks(string.as_bytes())).ok().map(String::from_utf8);
    if let Some(Ok(text)) = &decoded
        && is_object_or_null(text)
    {
        let payload = decoded.and_then(Result::ok).map_or(Payload::Bad, |text| Payload::Json(Cow::Owned(text)));
        return Some((payload, Some(Encoding::Base64)));
    }
    if is_object_or_null(&string) {
        return Some((Payload::Json(string), Some(Encoding::Text)));
    }
    if decoded.is_some() {
        return Some((Payload::Bad, Some(Encoding::Base64)));
    }
    serde_json::from_str::<IgnoredAny>(&string).ok().map(|_| (Payload::Bad, Some(Encoding::Text)))
}

fn without_breaks(text: &[u8]) -> Cow<'_, [u8]> {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    match text.iter().any(is_break) {
        true => text.iter().copied().filter(|byte| !is_break(byte)).collect::<Vec<u8>>().into(),
        false => text.into(),
    }
}

fn is_object_or_null(text: &str) -> bool {
    let text = text.trim_ascii();
    text.starts_with('{') || text == "null"
}

/// A string that is borrowed where it has no escapes.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text<'de>, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Reader)
    }
}

#[derive(Debug, Default)]
struct Raw<'a> {
    id: Cow<'a, str>,
    kind: Cow<'a, str>,
    payload: Option<&'a RawValue>,
    has_id: bool,
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw<'de>, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                let mut raw = Raw::default();
                while let Some(Text(key)) = map.next_key()? {
                    // Of several the last counts; `null` leaves what was there.
                    if key.eq_ignore_ascii_case("message_id") {
                        raw.id = map.next_value::<Option<Text<'de>>>()?.map_or(raw.id, |text| text.0);
                        raw.has_id = true;
                    } else if key.eq_ignore_ascii_case("type") {
                        raw.kind = map.next_value::<Option<Text<'de>>>()?.map_or(raw.kind, |text| text.0);
                    } else if key.eq_ignore_ascii_case("payload") {
                        raw.payload = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(raw)
            }
        }

        from.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Taken = Option<(Payload<'static>, Option<Encoding>)>;

    fn read(payload: &str) -> Taken {
        let text = format!("{{\"message_id\":\"a\",\"type\":\"Ping\",\"payload\":{payload}}} trailing");
        Envelope::read(&text).map(|envelope| {
            let payload = match envelope.payload {
                Payload::Json(text) => Payload::Json(Cow::Owned(text.into_owned())),
                Payload::Missing => Payload::Missing,
                Payload::Bad => Payload::Bad,
            };
            (payload, envelope.encoding)
        })
    }

    fn json(text: &str) -> Payload<'static> {
        Payload::Json(Cow::Owned(text.to_owned()))
    }

    #[test]
    fn four_payload_encodings_are_read_and_no_other() {
        let cases: &[(&str, Taken)] = &[
            ("\"eyJhIjogMX0=\"", Some((json("{\"a\": 1}"), Some(Encoding::Base64)))),
            ("\"{\\\"a\\\":1}\"", Some((json("{\"a\":1}"), Some(Encoding::Text)))),
            ("{\"a\":1}", Some((json("{\"a\":1}"), Some(Encoding::Object)))),
            ("[123,125]", Some((json("{}"), Some(Encoding::Bytes)))),
            ("\"bnVsbA==\"", Some((json("null"), Some(Encoding::Base64)))),
            ("\"null\"", Some((json("null"), Some(Encoding::Text)))),
            ("null", Some((Payload::Missing, None))),
            ("\"\"", Some((Payload::Missing, None))),
            ("[]", Some((Payload::Missing, None))),
            ("\"YWJj\"", Some((Payload::Bad, Some(Encoding::Base64)))),
            ("\"/w==\"", Some((Payload::Bad, Some(Encoding::Base64)))),
            ("\"[1,2]\"", Some((Payload::Bad, Some(Encoding::Text)))),
            ("[255]", Some((Payload::Bad, Some(Encoding::Bytes)))),
            ("\"eyJhIjogMX0\"", None),
            ("\"garbage!\"", None),
            ("[256]", None),
            ("[1.5]", None),
            ("7", None),
            ("true", None),
        ];
        for (payload, expected) in cases {
            assert_eq!(&read(payload), expected, "{payload}");
        }
        let missing = Envelope::read("{\"type\":\"Ping\"}").unwrap();
        assert_eq!((missing.payload, missing.encoding), (Payload::Missing, None));
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_counts() {
        let text = "{\"MESSAGE_ID\":\"1\",\"Type\":\"a\",\"x\":[{}],\"tYpE\":\"b\",\"message_id\":null}";
        let envelope = Envelope::read(text).unwrap();
        assert_eq!((&*envelope.id, &*envelope.kind), ("1", "b"));
        assert_eq!(&*Envelope::read("{\"type\":\"\\u0050ing\"}").unwrap().kind, "Ping");
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for text in ["", "x", "[]", "\"a\"", "7", "null", "{", "{\"message_id\":7}", "{\"type\":[]}", "{\"a\":}"] {
            assert!(Envelope::read(text).is_none(), "{text}");
        }
        for (length, good) in [(ID_BYTES, true), (ID_BYTES + 1, false)] {
            let text = format!("{{\"message_id\":\"{}\"}}", "x".repeat(length));
            assert_eq!(Envelope::read(&text).is_some(), good, "{length}");
        }
        assert!(Envelope::read("{}").is_some_and(|envelope| envelope.kind.is_empty() && envelope.id.is_empty()));
    }

    #[test]
    fn a_first_message_is_told_from_other_dialects() {
        for text in
            ["{\"message_id\":\"\",\"type\":\"Ping\",\"payload\":{}}", " {\"payload\":null,\"type\":\"JoinRoom\"}"]
        {
            assert!(looks_like_one(text), "{text}");
        }
        for text in [
            "{\"type\":\"command\",\"id\":\"1\",\"payload\":{}}",
            "{\"message_id\":\"a\",\"type\":\"ping\"}",
            "{\"type\":\"Ping\"}",
            "hello",
            "",
            "{",
        ] {
            assert!(!looks_like_one(text), "{text}");
        }
    }

    /// The text of an unmasked text frame.
    fn payload_of(frame: &[u8]) -> &str {
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        std::str::from_utf8(&frame[header..]).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = Envelope::read(&text);
            let _ = looks_like_one(&text);
        }

        #[test]
        fn what_is_encoded_is_read_again(id in "\\PC{0,12}", data in "\\PC{0,40}", which in 0usize..4) {
            let encoding = [Encoding::Base64, Encoding::Text, Encoding::Object, Encoding::Bytes][which];
            let payload = serde_json::json!({"data": data}).to_string();
            let frame = super::super::frame(&id, "Ping", &payload, encoding);
            let text = payload_of(&frame);
            let envelope = Envelope::read(text).unwrap();
            prop_assert_eq!(&*envelope.id, &*id);
            prop_assert_eq!(envelope.payload, Payload::Json(Cow::Owned(payload)));
            prop_assert_eq!(envelope.encoding, Some(encoding));
        }
    }
}
