//! hydrogen-protocol: envelopes in JSON text. The stamp is both the command's id and in its data.
//!
//! Incoming envelopes are not parsed. Members are searched for as the server writes them, without
//! spaces, so that a delivery costs the generator less than it costs the server.

use std::sync::Arc;

use memchr::memmem;

use super::acks::Acks;
use super::{Ear, Guarantee, Heard, Role};
use crate::cli::bench::clock;
use crate::cli::bench::frame::{self, Outbox};
use crate::cli::bench::stamp::Stamp;

/// What is offered in the upgrade.
pub const SUBPROTOCOL: &str = "hydrogen-protocol";

const HEAD: &[u8] = br#"{"type":"command","id":""#;
const TIMESTAMP: &[u8] = br#"","timestamp":""#;
const SUBSCRIBE: &[u8] = br#"","channel":"system","action":"subscribe","data":{"topics":[""#;
const PUBLISH: &[u8] = br#"","channel":"system","action":"publish","data":{"topic":""#;
const AT_LEAST_ONCE: &[u8] = br#","guarantee":"at_least_once""#;
const PING: &[u8] = br#"","channel":"system","action":"ping","data":"#;

/// One connection's state.
#[derive(Debug)]
pub struct Hydrogen {
    /// Taken when the subscription is confirmed.
    subscribe_to: Option<Arc<[Arc<str>]>>,
    /// Whether stamped messages are deliveries rather than responses.
    is_subscriber: bool,
    /// What publications and subscriptions say beyond their topic.
    guarantee: &'static [u8],
    /// A guaranteed subscriber's.
    acks: Option<Acks>,
}

impl Hydrogen {
    /// Before the upgrade.
    pub fn new(role: &Role, guarantee: Option<&Guarantee>) -> Hydrogen {
        let subscribe_to = match role {
            Role::Subscriber(topics) => Some(topics.clone()),
            Role::Client | Role::Publisher => None,
        };
        let is_subscriber = subscribe_to.is_some();
        let acks = guarantee.filter(|_| is_subscriber).map(Acks::new);
        let guarantee = if guarantee.is_some() { AT_LEAST_ONCE } else { b"" };
        Hydrogen { subscribe_to, is_subscriber, guarantee, acks }
    }

    /// Subscribes, if it is to.
    pub fn open(&mut self, out: &mut Outbox, ear: &mut Ear) {
        match &self.subscribe_to {
            Some(topics) => {
                let (at, topics) = (clock::timestamp(), topics.join(r#"",""#));
                let topics = topics.as_bytes();
                let parts: [&[u8]; 9] =
                    [HEAD, b"subscribe", TIMESTAMP, &at, SUBSCRIBE, topics, br#""]"#, self.guarantee, b"}}"];
                out.frame(frame::TEXT, &parts);
            }
            None => ear.heard.push(Heard::Settled),
        }
    }

    /// A text message came.
    pub fn on_message(&mut self, message: &[u8], out: &mut Outbox, ear: &mut Ear) {
        let stamp = ear.stamps.find(message);
        match stamp {
            Some(stamp) if self.is_subscriber => {
                if self.acks.as_mut().is_some_and(|acks| !acks.note(message, out)) {
                    ear.refused(None, b"a guaranteed delivery that asks for no acknowledgment");
                }
                ear.heard.push(Heard::Message(stamp));
            }
            _ if is_error(message) => ear.refused(stamp, message),
            Some(stamp) => ear.heard.push(Heard::Response(stamp)),
            None if self.subscribe_to.is_some() && is_response(message) => {
                self.subscribe_to = None;
                ear.heard.push(Heard::Settled);
            }
            // The session's greeting, a status update.
            None => {}
        }
    }

    /// Acknowledges what the read brought.
    pub fn after_read(&mut self, out: &mut Outbox) {
        if let Some(acks) = &mut self.acks {
            acks.send(out);
        }
    }

    /// The command `system.publish`.
    pub fn publish(&self, topic: &str, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        let (id, at, topic) = (stamp.write(), clock::timestamp(), topic.as_bytes());
        let parts: [&[u8]; 10] =
            [HEAD, &id, TIMESTAMP, &at, PUBLISH, topic, br#"","payload":"#, payload, self.guarantee, b"}}"];
        out.frame(frame::TEXT, &parts);
    }
}

fn is_response(message: &[u8]) -> bool {
    memmem::find(message, br#""type":"response""#).is_some()
}

fn is_error(message: &[u8]) -> bool {
    memmem::find(message, br#""status":"error""#).is_some() && is_response(message)
}

/// The command `system.ping`, which gives its data back.
pub fn ping(payload: &[u8], stamp: Stamp, out: &mut Outbox) {
    out.frame(frame::TEXT, &[HEAD, &stamp.write(), TIMESTAMP, &clock::timestamp(), PING, payload, b"}"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::AckBy;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::stamp::Payload;
    use serde_json::{Value, json};

    fn sent(out: &Outbox) -> Value {
        let frame = out.pending();
        let start = if frame[1] & 0x7f == 126 { 8 } else { 6 };
        serde_json::from_slice(&frame[start..]).unwrap()
    }

    const STAMP: Stamp = Stamp { run: 7, lane: 1, seq: 9, time_ns: 55 };

    #[test]
    fn commands_are_envelopes() {
        let mut payload = Payload::new(64);
        let payload = payload.stamped(STAMP);
        let data: Value = serde_json::from_slice(payload).unwrap();
        let id = String::from_utf8(STAMP.write().to_vec()).unwrap();

        let mut out = Outbox::new(Masking::Zero, 1);
        Hydrogen::new(&Role::Publisher, None).publish("bench.t", payload, STAMP, &mut out);
        let command = sent(&out);
        assert!(command["data"].get("guarantee").is_none());
        assert_eq!((&command["type"], &command["channel"]), (&"command".into(), &"system".into()));
        assert_eq!((&command["action"], &command["id"]), (&"publish".into(), &id.as_str().into()));
        assert_eq!((&command["data"]["topic"], &command["data"]["payload"]), (&"bench.t".into(), &data));

        let mut out = Outbox::new(Masking::Zero, 1);
        ping(payload, STAMP, &mut out);
        let command = sent(&out);
        assert_eq!((&command["action"], &command["id"]), (&"ping".into(), &id.as_str().into()));
        assert_eq!(command["data"], data);

        let mut out = Outbox::new(Masking::Zero, 1);
        Hydrogen::new(&Role::subscriber("bench.t".into()), None).open(&mut out, &mut Ear::default());
        let command = sent(&out);
        assert_eq!(command["action"], "subscribe");
        assert_eq!(command["data"]["topics"], serde_json::json!(["bench.t"]));

        let mut out = Outbox::new(Masking::Zero, 1);
        let both = Role::Subscriber(["bench.a".into(), "bench.*".into()].into());
        Hydrogen::new(&both, None).open(&mut out, &mut Ear::default());
        assert_eq!(sent(&out)["data"]["topics"], serde_json::json!(["bench.a", "bench.*"]));
    }

    #[test]
    fn a_subscriber_settles_on_its_response_and_then_hears_deliveries() {
        let (mut session, mut ear) = (Hydrogen::new(&Role::subscriber("bench.t".into()), None), Ear::default());
        let mut out = Outbox::new(Masking::Zero, 1);
        session.on_message(br#"{"type":"event","channel":"system","action":"session","data":{}}"#, &mut out, &mut ear);
        assert!(ear.heard.is_empty());
        session.on_message(br#"{"type":"response","id":"subscribe","status":"success","data":{}}"#, &mut out, &mut ear);
        let id = String::from_utf8(STAMP.write().to_vec()).unwrap();
        session.on_message(format!(r#"{{"type":"event","data":{{"m":"{id}"}}}}"#).as_bytes(), &mut out, &mut ear);
        session.after_read(&mut out);
        assert_eq!(ear.heard, [Heard::Settled, Heard::Message(STAMP)]);
        assert!(out.pending().is_empty(), "nothing is acknowledged at most once");
    }

    #[test]
    fn a_guarantee_is_asked_for_and_deliveries_are_acknowledged() {
        let guarantee = Guarantee { topic: "bench.t".into(), ack_by: AckBy::Ids };
        let mut out = Outbox::new(Masking::Zero, 1);
        Hydrogen::new(&Role::Publisher, Some(&guarantee)).publish("bench.t", b"{}", STAMP, &mut out);
        assert_eq!(sent(&out)["data"], json!({"topic": "bench.t", "payload": {}, "guarantee": "at_least_once"}));

        let (mut session, mut ear) =
            (Hydrogen::new(&Role::subscriber("bench.t".into()), Some(&guarantee)), Ear::default());
        let mut out = Outbox::new(Masking::Zero, 1);
        session.open(&mut out, &mut ear);
        assert_eq!(sent(&out)["data"], json!({"topics": ["bench.t"], "guarantee": "at_least_once"}));

        let mut out = Outbox::new(Masking::Zero, 1);
        let id = String::from_utf8(STAMP.write().to_vec()).unwrap();
        for (event, ack) in [("e-1", r#""ack":true,"#), ("e-2", "")] {
            let text = format!(r#"{{"type":"event","id":"{event}","offset":1,{ack}"data":{{"m":"{id}"}}}}"#);
            session.on_message(text.as_bytes(), &mut out, &mut ear);
        }
        assert_eq!(ear.heard, [Heard::Message(STAMP), Heard::Refused(None), Heard::Message(STAMP)]);
        assert!(out.pending().is_empty(), "not before the read is over");
        session.after_read(&mut out);
        assert_eq!(sent(&out), json!({"type": "ack", "ids": ["e-1"]}));
    }

    #[test]
    fn errors_are_refusals_with_their_text() {
        let (mut session, mut ear) = (Hydrogen::new(&Role::Client, None), Ear::default());
        let mut out = Outbox::new(Masking::Zero, 1);
        let id = String::from_utf8(STAMP.write().to_vec()).unwrap();
        for status in ["success", "error"] {
            let text = format!(r#"{{"type":"response","id":"{id}","status":"{status}"}}"#);
            session.on_message(text.as_bytes(), &mut out, &mut ear);
        }
        assert_eq!(ear.heard, [Heard::Response(STAMP), Heard::Refused(Some(STAMP))]);
        assert!(ear.refusal.unwrap().contains("error"));
    }
}
