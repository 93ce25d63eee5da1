//! Acks: which events a client has dealt with, in four forms.

use std::borrow::Cow;

use super::bad::{Fault, bad};
use super::fields::{Auth, Fields, ID, Rule};
use super::name::is_id;
use super::object::{Elements, Raw};
use crate::base::limits::{IDS_PER_ACK, REJECT_REASON_BYTES};
use crate::engine::topic::{EventId, UpTo, is_topic};

const TOPIC: Rule = Rule { field: "topic", holds: |topic| is_topic(topic).is_ok(), text: "is no topic" };
const REASON: Rule =
    Rule { field: "reason", holds: |reason| reason.len() <= REJECT_REASON_BYTES, text: "has more than 512 bytes" };

/// An ack that was checked.
#[derive(Clone, Debug)]
pub struct Ack<'a> {
    /// What it acknowledges, or refuses.
    pub of: AckOf<'a>,
    /// The credential, where every message must have one.
    pub auth: Option<Auth<'a>>,
}

/// What an ack is about.
#[derive(Clone, Debug)]
pub enum AckOf<'a> {
    /// One event.
    One {
        /// Its id.
        id: Cow<'a, str>,
    },
    /// Several events.
    Many {
        /// Their ids.
        ids: Ids<'a>,
    },
    /// Everything of one topic up to and including an offset.
    Through {
        /// The topic.
        topic: Cow<'a, str>,
        /// The place.
        through: UpTo,
    },
    /// One event, refused for good.
    Reject {
        /// Its id.
        id: Cow<'a, str>,
        /// Why.
        reason: Option<Cow<'a, str>>,
    },
}

/// The ids of an ack: 1024 at most, each checked.
#[derive(Clone, Debug)]
pub struct Ids<'a>(Elements<'a>);

impl<'a> Iterator for Ids<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        self.0.next()?.as_str()
    }
}

/// Reads the form. The members of two forms together are refused: one of them would be ignored.
pub(super) fn read<'a>(fields: &Fields<'a>) -> Result<AckOf<'a>, Fault> {
    match (fields.id, fields.ids, fields.topic) {
        (Some(id), None, None) => one(ID.read(id)?, fields),
        (None, Some(ids), None) if fields.status.is_none() => read_ids(ids).map(|ids| AckOf::Many { ids }),
        (None, None, Some(topic)) if fields.status.is_none() => {
            let through = fields.through.ok_or_else(|| bad("through", "is missing"))?;
            let through = up_to(through).ok_or_else(|| bad("through", "is no offset, and no event's id"))?;
            Ok(AckOf::Through { topic: TOPIC.read(topic)?, through })
        }
        (None, None, None) => Err(bad("id", "is missing, and so are `ids` and `topic`")),
        (Some(_), _, _) | (_, Some(_), Some(_)) => Err(bad("id", "stands alone: give one of `id`, `ids` and `topic`")),
        (None, Some(_), None) | (None, None, Some(_)) => Err(bad("status", "goes with one `id`")),
    }
}

/// An offset, or the id of the last event that is meant.
pub fn up_to(place: Raw<'_>) -> Option<UpTo> {
    match (place.as_u64(), place.as_str()) {
        (Some(offset), _) => Some(offset.into()),
        (None, text) => EventId::parse(&text?).map(UpTo::from),
    }
}

fn one<'a>(id: Cow<'a, str>, fields: &Fields<'a>) -> Result<AckOf<'a>, Fault> {
    match fields.status {
        None => Ok(AckOf::One { id }),
        Some(status) if status.is_str("reject") => Ok(AckOf::Reject { id, reason: REASON.optional(fields.reason)? }),
        // To ack what the client may have meant to refuse would lose it.
        Some(_) => Err(bad("status", "is not \"reject\"")),
    }
}

fn read_ids(ids: Raw<'_>) -> Result<Ids<'_>, Fault> {
    if !ids.is_array() {
        return Err(bad("ids", "is no array"));
    }
    let mut count = 0;
    for id in ids.elements() {
        count += 1;
        if count > IDS_PER_ACK {
            return Err(bad("ids", "has more than 1024 elements"));
        }
        if !id.as_str().is_some_and(|id| is_id(&id)) {
            return Err(bad("ids", "has an element that is no string of 1 to 128 bytes"));
        }
    }
    Ok(Ids(ids.elements()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Error};
    use crate::engine::wire::{Incoming, Scanner, parse};

    fn ack(text: &str) -> Result<Ack<'_>, Error> {
        match parse(&mut Scanner::default(), text, 8) {
            Ok(Incoming::Ack(ack)) => Ok(ack),
            Ok(other) => panic!("{text} was read as {other:?}"),
            Err(refused) => Err(refused.error),
        }
    }

    #[test]
    fn each_form_is_read() {
        let one = ack(r#"{"type":"ack","id":"e-\u0031"}"#).unwrap();
        assert!(matches!(one.of, AckOf::One { id } if id == "e-1") && one.auth.is_none());
        let many = ack(r#"{"type":"ack","ids":["e-1", "e\u002d2" ],"auth":{"token":"t"}}"#).unwrap();
        assert_eq!(many.auth.unwrap().token.as_deref(), Some("t"));
        let AckOf::Many { ids } = many.of else { panic!("no list of ids") };
        assert_eq!(ids.collect::<Vec<_>>(), ["e-1", "e-2"]);
        let none = ack(r#"{"type":"ack","ids":[]}"#).unwrap();
        assert!(matches!(none.of, AckOf::Many { ids } if ids.clone().next().is_none()));
        let through = ack(r#"{"type":"ack","topic":"sensors.kitchen.temp","through":4711}"#).unwrap();
        assert!(
            matches!(through.of, AckOf::Through { topic, through } if topic == "sensors.kitchen.temp" && through == 4711.into()),
            "through"
        );
        let through = ack(r#"{"type":"ack","topic":"a.b","through":"3f5bd15d5b261b01-7"}"#).unwrap();
        let id = EventId::parse("3f5bd15d5b261b01-7").unwrap();
        assert!(matches!(through.of, AckOf::Through { through, .. } if through == id.into()));
        let reject = ack(r#"{"type":"ack","id":"e","status":"reject","reason":"no \"such\" lamp"}"#).unwrap();
        assert!(
            matches!(reject.of, AckOf::Reject { id, reason: Some(reason) } if id == "e" && reason == "no \"such\" lamp")
        );
        let reject = ack(r#"{"type":"ack","id":"e","status":"reject"}"#).unwrap();
        assert!(matches!(reject.of, AckOf::Reject { reason: None, .. }));
    }

    #[test]
    fn bad_acks_name_the_field() {
        let long = "x".repeat(129);
        for (members, field) in [
            ("", "id"),
            (r#","id":5"#, "id"),
            (r#","id":"""#, "id"),
            (&format!(r#","id":"{long}""#), "id"),
            (r#","id":"e","ids":["e"]"#, "id"),
            (r#","id":"e","topic":"a.b","through":1"#, "id"),
            (r#","ids":["e"],"topic":"a.b","through":1"#, "id"),
            (r#","ids":"e""#, "ids"),
            (r#","ids":["e",5]"#, "ids"),
            (r#","ids":["e",""]"#, "ids"),
            (&format!(r#","ids":["{long}"]"#), "ids"),
            (r#","ids":["e"],"status":"reject""#, "status"),
            (r#","topic":"a.b","through":1,"status":"reject""#, "status"),
            (r#","topic":"a.b""#, "through"),
            (r#","topic":"a.b","through":"1""#, "through"),
            (r#","topic":"a.b","through":-1"#, "through"),
            (r#","topic":"a.b","through":1.5"#, "through"),
            (r#","topic":"a.b","through":18446744073709551616"#, "through"),
            (r#","topic":"a.*","through":1"#, "topic"),
            (r#","topic":"a","through":1"#, "topic"),
            (r#","topic":7,"through":1"#, "topic"),
            (r#","id":"e","status":"accept""#, "status"),
            (r#","id":"e","status":true"#, "status"),
            (r#","id":"e","status":"reject","reason":5"#, "reason"),
            (&format!(r#","id":"e","status":"reject","reason":"{}""#, "x".repeat(513)), "reason"),
            (r#","id":"e","auth":5"#, "auth"),
            (r#","id":"e","timestamp":5"#, "timestamp"),
            (r#","id":"e","channel":5"#, "channel"),
            (r#","id":"e","action":5"#, "action"),
        ] {
            let error = ack(&format!("{{\"type\":\"ack\"{members}}}")).unwrap_err();
            assert_eq!(error.code, Code::BadEnvelope, "{members}");
            assert_eq!(error.details.as_deref(), Some(&*format!("{{\"field\":\"{field}\"}}")), "{members}");
        }
    }

    #[test]
    fn the_number_of_ids_is_bounded() {
        let ids = |count| format!("{{\"type\":\"ack\",\"ids\":[{}]}}", vec!["\"e\""; count].join(","));
        assert!(ack(&ids(IDS_PER_ACK)).is_ok());
        assert_eq!(ack(&ids(IDS_PER_ACK + 1)).unwrap_err().code, Code::BadEnvelope);
    }
}
