//! The kinds of bad input, each counted under its own name, and the fault that carries one.

use super::json::{FaultKind, JsonFault};
use crate::base::{Code, Error};

/// What is wrong with a message, as it is counted. In the order of the metric's label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// Against the grammar of JSON.
    NotJson,
    /// JSON perhaps, but no object.
    NotObject,
    /// An object has a key twice.
    DuplicateKey,
    /// An escape names half of a surrogate pair.
    LoneSurrogate,
    /// Nested deeper than the limit.
    TooDeep,
    /// Longer than a message can be.
    TooLong,
    /// Of a type that clients do not send.
    UnknownType,
    /// A member of the envelope is missing, or not of its form.
    EnvelopeField,
    /// An id is not of the form of ids.
    Id,
    /// A channel or an action is missing, or not of the form of names.
    Name,
    /// Not text.
    Binary,
}

/// Why a message is refused: what the client is told, and what is counted.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: BadMessage,
    pub(super) error: Error,
}

/// A `bad_envelope` that names the field.
pub(super) fn bad(field: &'static str, what: &'static str) -> Fault {
    let kind = match field {
        "id" | "ids" => BadMessage::Id,
        "channel" | "action" => BadMessage::Name,
        _ => BadMessage::EnvelopeField,
    };
    let error =
        Error::new(Code::BadEnvelope, format!("`{field}` {what}")).details(format!("{{\"field\":\"{field}\"}}"));
    Fault { kind, error }
}

/// A `bad_type`.
pub(super) fn bad_type(what: &'static str) -> Fault {
    Fault { kind: BadMessage::UnknownType, error: Error::new(Code::BadType, what) }
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Fault {
        let kind = match fault.kind {
            FaultKind::Syntax(_) => BadMessage::NotJson,
            FaultKind::DuplicateKey => BadMessage::DuplicateKey,
            FaultKind::LoneSurrogate => BadMessage::LoneSurrogate,
            FaultKind::TooDeep => BadMessage::TooDeep,
            FaultKind::NotObject => BadMessage::NotObject,
            FaultKind::TooLong => BadMessage::TooLong,
        };
        Fault { kind, error: fault.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metric::BAD_MESSAGES;
    use crate::engine::wire::{Scanner, parse};

    #[test]
    fn every_kind_of_bad_input_is_counted_under_its_own_name() {
        for (text, expected) in [
            ("{no json", "not_json"),
            ("no object", "not_object"),
            ("[1]", "not_object"),
            (r#"{"type":"command","type":"ack"}"#, "duplicate_key"),
            (r#"{"type":"\ud800"}"#, "lone_surrogate"),
            (r#"{"data":[[[[1]]]]}"#, "too_deep"),
            (r#"{"type":"event"}"#, "unknown_type"),
            (r#"{"type":"nothing"}"#, "unknown_type"),
            (r#"{}"#, "envelope_field"),
            (r#"{"type":"command","channel":"a","action":"b","timestamp":"today"}"#, "envelope_field"),
            (r#"{"type":"command","channel":"a","action":"b","id":""}"#, "id"),
            (r#"{"type":"ack"}"#, "id"),
            (r#"{"type":"command","channel":"A","action":"b"}"#, "name"),
            (r#"{"type":"command","channel":"a"}"#, "name"),
        ] {
            let refused = parse(&mut Scanner::default(), text, 4).unwrap_err();
            assert_eq!(BAD_MESSAGES[refused.kind as usize], expected, "{text}");
        }
        assert_eq!(BAD_MESSAGES[BadMessage::TooLong as usize], "too_long");
        assert_eq!(BAD_MESSAGES[BadMessage::Binary as usize], "binary");
        assert_eq!(BAD_MESSAGES.len(), BadMessage::Binary as usize + 1);
    }
}
