//! Messages from the server, read as far as the commands need; and ids for messages to it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Answer;

/// A message from the server. Fields that it does not have are empty.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    channel: Cow<'a, str>,
    #[serde(default, borrow)]
    action: Cow<'a, str>,
    #[serde(default, borrow)]
    status: Cow<'a, str>,
    #[serde(default)]
    ack: bool,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Reads a message; `None` if it is none of this protocol's.
    pub fn parse(text: &'a str) -> Option<Envelope<'a>> {
        serde_json::from_str(text).ok()
    }

    /// The answer to a command whose id is meant.
    pub fn answer_to(&self, is_meant: impl FnOnce(&str) -> bool) -> Option<Answer> {
        if self.kind != "response" || !is_meant(&self.id) {
            return None;
        }
        let of = |raw: Option<&RawValue>| raw.map_or("null", RawValue::get).to_owned();
        Some(if self.status == "success" { Ok(of(self.data)) } else { Err(of(self.error)) })
    }

    /// Topic and data of an event.
    pub fn event(&self) -> Option<(String, &'a str)> {
        let data = self.data.map_or("null", RawValue::get);
        (self.kind == "event").then(|| (format!("{}.{}", self.channel, self.action), data))
    }

    /// The id of an event that is to be acknowledged.
    pub fn wanted_ack(&self) -> Option<&str> {
        (self.kind == "event" && self.ack).then_some(&*self.id)
    }
}

/// Command ids that no other run of the program gives: the server takes a second publish with the
/// same id for a repetition of the first.
pub struct Ids {
    prefix: String,
    next: u64,
}

impl Ids {
    /// A new row of ids.
    pub fn new() -> Ids {
        let mut random = [0; 9];
        if SystemRandom::new().fill(&mut random).is_err() {
            // Without a random source, time and process id are what differs.
            let time = crate::sys::clock::Clock::default().now().wall.0;
            random[..8].copy_from_slice(&(time ^ (i64::from(std::process::id()) << 40)).to_le_bytes());
        }
        Ids { prefix: URL_SAFE_NO_PAD.encode(random), next: 0 }
    }

    /// The next id.
    pub fn next(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.prefix, self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_answer_their_own_command() {
        let good = Envelope::parse(r#"{"type":"response","id":"a","status":"success","data":{"x":1.0}}"#).unwrap();
        assert_eq!(good.answer_to(|id| id == "a"), Some(Ok("{\"x\":1.0}".into())));
        assert_eq!(good.answer_to(|id| id == "b"), None);
        assert!(good.event().is_none());
        let bad = r#"{"type":"response","id":"a","status":"error","error":{"code":"c"},"new":[1]}"#;
        let bad = Envelope::parse(bad).unwrap();
        assert_eq!(bad.answer_to(|_| true), Some(Err("{\"code\":\"c\"}".into())));
        let empty = Envelope::parse(r#"{"type":"response","id":"\u0061","status":"success"}"#).unwrap();
        assert_eq!(empty.answer_to(|id| id == "a"), Some(Ok("null".into())));
    }

    #[test]
    fn events_have_a_topic_and_data_as_sent() {
        let event = r#"{"type":"event","id":"e-1","channel":"a","action":"b.c","data":{"t": 1.50}}"#;
        assert_eq!(Envelope::parse(event).unwrap().event(), Some(("a.b.c".into(), "{\"t\": 1.50}")));
        assert_eq!(Envelope::parse(event).unwrap().wanted_ack(), None);
        let wanting = Envelope::parse(r#"{"type":"event","id":"e\u002d1","channel":"a","action":"b","ack":true}"#);
        assert_eq!(wanting.unwrap().wanted_ack(), Some("e-1"));
        for other in ["", "[]", "{}", "{\"type\":1}", "not json"] {
            assert!(Envelope::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn ids_differ_within_and_between_runs() {
        let (mut one, mut two) = (Ids::new(), Ids::new());
        let ids = [one.next(), one.next(), two.next()];
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')));
    }
}
