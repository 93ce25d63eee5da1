//! JetStream: a stream on files, publications with their answers, and push consumers that are
//! acknowledged message by message.
//!
//! Every connection asks for the stream, which is the same request each time, so none has to be
//! the first. The stream keeps what is acknowledged, as JetStream does by default.

use std::sync::Arc;

use memchr::memmem;

use super::nats_wire::{Message, publish};
use super::{Ear, Fault, Guarantee, Heard, Role};
use crate::cli::bench::args::BACKLOG_MAX;
use crate::cli::bench::frame::Outbox;
use crate::cli::bench::stamp::Stamp;

const STREAM: &str = "hydrogen-bench";
/// Last word of the subjects that answers to requests come to.
const STREAM_MADE: &str = "stream";
const CONSUMER_MADE: &str = "consumer";

/// While the stream is being made for one connection, the server tells others that their subject is
/// taken: they ask again, so many times.
const TRIES: u32 = 1000;
const SUBJECT_IS_TAKEN: &[u8] = br#""err_code":10065"#;

/// One connection's part in a stream.
#[derive(Debug)]
pub struct JetStream {
    topic: Arc<str>,
    is_subscriber: bool,
    /// What the subjects of answers to this connection begin with; it ends with a dot.
    inbox: String,
    /// Where its consumer delivers to. A wildcard would not do: nats-server 2.9 wants interest in
    /// exactly this.
    deliveries: String,
    /// How often the stream may still be asked for.
    tries: u32,
}

impl JetStream {
    /// Before the connection.
    pub fn new(role: &Role, guarantee: &Guarantee, run: u16, number: usize) -> JetStream {
        JetStream {
            topic: guarantee.topic.clone(),
            is_subscriber: matches!(role, Role::Subscriber(_)),
            inbox: format!("_INBOX.hydrogen-bench-{run:04x}.{number}.answer."),
            deliveries: format!("_INBOX.hydrogen-bench-{run:04x}.{number}.deliveries"),
            tries: TRIES,
        }
    }

    /// Listens and asks for the stream.
    pub fn open(&self, out: &mut Outbox) {
        out.raw(&[b"SUB ", self.inbox.as_bytes(), b"* 1\r\n"]);
        if self.is_subscriber {
            out.raw(&[b"SUB ", self.deliveries.as_bytes(), b" 2\r\n"]);
        }
        self.request_stream(out);
    }

    fn request_stream(&self, out: &mut Outbox) {
        let stream =
            serde_json::json!({"name": STREAM, "subjects": [&*self.topic], "storage": "file", "num_replicas": 1});
        self.request("STREAM.CREATE", STREAM_MADE, &stream, out);
    }

    fn request(&self, what: &str, answer: &str, body: &serde_json::Value, out: &mut Outbox) {
        let subject = format!("$JS.API.{what}.{STREAM}");
        let reply_to = [self.inbox.as_bytes(), answer.as_bytes()];
        publish(subject.as_bytes(), &reply_to, body.to_string().as_bytes(), out);
    }

    /// An ephemeral consumer with an acknowledgment for each message, from now on.
    fn request_consumer(&self, out: &mut Outbox) {
        let config = serde_json::json!({
            "deliver_subject": self.deliveries,
            "deliver_policy": "new",
            "ack_policy": "explicit",
            // It lives no longer than its connection, so its state needs no file.
            "mem_storage": true,
            "ack_wait": 30_000_000_000u64,
            // No limit of the server's shall be what is measured: the backlog is one already.
            "max_ack_pending": 2 * BACKLOG_MAX,
        });
        let body = serde_json::json!({"stream_name": STREAM, "config": config});
        self.request("CONSUMER.CREATE", CONSUMER_MADE, &body, out);
    }

    /// PUB with the stamp in the subject of the answer.
    pub fn publish(&self, topic: &str, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        publish(topic.as_bytes(), &[self.inbox.as_bytes(), &stamp.write()], payload, out);
    }

    /// A delivery, or the answer to a publication or a request.
    pub fn on_message(
        &mut self,
        message: Message<'_>,
        payload: &[u8],
        out: &mut Outbox,
        ear: &mut Ear,
    ) -> Result<(), Fault> {
        let Some(answered) = message.subject.strip_prefix(self.inbox.as_bytes()) else {
            if message.reply_to.is_empty() {
                ear.refused(None, b"a guaranteed delivery that asks for no acknowledgment");
            } else {
                publish(message.reply_to, &[], b"+ACK", out);
            }
            ear.message(payload);
            return Ok(());
        };
        let is_error = memmem::find(payload, br#""error":"#).is_some();
        if let Some(stamp) = ear.stamps.find(answered) {
            if is_error {
                ear.refused(Some(stamp), payload);
            } else {
                ear.heard.push(Heard::Response(stamp));
            }
        } else if self.tries > 0 && memmem::find(payload, SUBJECT_IS_TAKEN).is_some() {
            self.tries -= 1;
            self.request_stream(out);
        } else if is_error {
            return Err(String::from_utf8_lossy(payload).into_owned().into());
        } else if answered == STREAM_MADE.as_bytes() && self.is_subscriber {
            self.request_consumer(out);
        } else if answered == STREAM_MADE.as_bytes() || answered == CONSUMER_MADE.as_bytes() {
            ear.heard.push(Heard::Settled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::AckBy;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::session::Nats;
    use crate::cli::bench::stamp::Payload;

    const STAMP: Stamp = Stamp { run: 0xab, lane: 2, seq: 3, time_ns: 4 };
    const INBOX: &str = "_INBOX.hydrogen-bench-00ab.5.answer.";

    fn session(role: &Role) -> Nats {
        let guarantee = Guarantee { topic: "bench.t".into(), ack_by: AckBy::Ids };
        Nats::new(role, Some(&guarantee), 0xab, 5)
    }

    fn text(out: &Outbox) -> String {
        String::from_utf8(out.pending().to_vec()).unwrap()
    }

    fn hear(session: &mut Nats, stream: &str) -> Result<(Vec<Heard>, String), Fault> {
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        assert_eq!(session.on_stream(stream.as_bytes(), &mut out, &mut ear)?, stream.len());
        Ok((ear.heard, text(&out)))
    }

    fn answer(subject: &str, body: &str) -> String {
        format!("MSG {INBOX}{subject} 1 {}\r\n{body}\r\n", body.len())
    }

    #[test]
    fn a_subscriber_makes_the_stream_and_then_its_consumer() {
        let mut session = session(&Role::subscriber("bench.t".into()));
        let mut out = Outbox::new(Masking::Zero, 1);
        session.open(&mut out);
        let opening = text(&out);
        let subscriptions = format!("SUB {INBOX}* 1\r\nSUB _INBOX.hydrogen-bench-00ab.5.deliveries 2\r\n");
        assert!(opening.contains(&format!("{subscriptions}PUB $JS.API.STREAM.CREATE.hydrogen-bench {INBOX}stream ")));
        assert!(opening.contains(r#""storage":"file""#) && opening.contains(r#""subjects":["bench.t"]"#), "{opening}");

        let (heard, sent) = hear(&mut session, &answer("stream", r#"{"type":"created"}"#)).unwrap();
        assert!(heard.is_empty());
        assert!(sent.starts_with(&format!("PUB $JS.API.CONSUMER.CREATE.hydrogen-bench {INBOX}consumer ")), "{sent}");
        assert!(sent.contains(r#""ack_policy":"explicit""#), "{sent}");
        let (heard, sent) = hear(&mut session, &answer("consumer", r#"{"type":"created"}"#)).unwrap();
        assert_eq!((heard, sent.as_str()), (vec![Heard::Settled], ""));
    }

    #[test]
    fn a_publisher_needs_the_stream_alone_and_hears_answers() {
        let mut session = session(&Role::Publisher);
        let (heard, sent) = hear(&mut session, &answer("stream", "{}")).unwrap();
        assert_eq!((heard, sent.as_str()), (vec![Heard::Settled], ""));

        let (mut out, stamp) = (Outbox::new(Masking::Zero, 1), String::from_utf8(STAMP.write().to_vec()).unwrap());
        session.publish("bench.t", b"xyz", STAMP, &mut out);
        assert_eq!(text(&out), format!("PUB bench.t {INBOX}{stamp} 3\r\nxyz\r\n"));
        let good = answer(&stamp, r#"{"stream":"hydrogen-bench","seq":1}"#);
        let bad = answer(&stamp, r#"{"error":{"code":503},"stream":"hydrogen-bench","seq":0}"#);
        let (heard, _) = hear(&mut session, &(good + &bad)).unwrap();
        assert_eq!(heard, [Heard::Response(STAMP), Heard::Refused(Some(STAMP))]);
    }

    #[test]
    fn deliveries_are_acknowledged_one_by_one() {
        let mut session = session(&Role::subscriber("bench.t".into()));
        let mut payload = Payload::new(64);
        let payload = String::from_utf8(payload.stamped(STAMP).to_vec()).unwrap();
        let stream = format!(
            "MSG bench.t 1 $JS.ACK.s.c.1.1.1.1.0 64\r\n{payload}\r\nMSG bench.t 1 $JS.ACK.s.c.1.2.2.1.0 64\r\n{payload}\r\n"
        );
        let (heard, sent) = hear(&mut session, &stream).unwrap();
        assert_eq!(heard, [Heard::Message(STAMP), Heard::Message(STAMP)]);
        assert_eq!(sent, "PUB $JS.ACK.s.c.1.1.1.1.0 4\r\n+ACK\r\nPUB $JS.ACK.s.c.1.2.2.1.0 4\r\n+ACK\r\n");
        let (heard, sent) = hear(&mut session, &format!("MSG bench.t 1 64\r\n{payload}\r\n")).unwrap();
        assert_eq!((heard, sent.as_str()), (vec![Heard::Refused(None), Heard::Message(STAMP)], ""));
    }

    #[test]
    fn what_the_server_cannot_do_ends_the_connection() {
        let mut session = session(&Role::Publisher);
        let taken = answer("stream", r#"{"error":{"code":400,"err_code":10065,"description":"taken"}}"#);
        for _ in 0..TRIES {
            let (heard, sent) = hear(&mut session, &taken).unwrap();
            assert!(heard.is_empty() && sent.starts_with("PUB $JS.API.STREAM.CREATE."), "{sent}");
        }
        assert!(hear(&mut session, &taken).is_err());
        let failed = answer("stream", r#"{"error":{"code":400,"description":"no"}}"#);
        assert!(hear(&mut session, &failed).unwrap_err().contains("\"description\":\"no\""));
        assert!(hear(&mut session, "INFO {\"jetstream\":true}\r\n").is_ok());
        assert!(hear(&mut session, "INFO {\"version\":\"2\"}\r\n").unwrap_err().contains("JetStream"));
    }
}
