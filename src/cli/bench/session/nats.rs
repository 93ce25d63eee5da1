//! The NATS client protocol over TCP, without headers: core subjects here, JetStream in a file of its own.

use std::sync::Arc;

use memchr::{memchr, memmem};

use super::jetstream::JetStream;
use super::nats_wire::{Message, publish};
use super::{Ear, Fault, Guarantee, Heard, Role};
use crate::cli::bench::frame::Outbox;
use crate::cli::bench::stamp::Stamp;

/// Bytes of a control line that are waited for; INFO is the longest.
const LINE_MAX: usize = 64 << 10;
/// One connection's state.
#[derive(Debug)]
pub struct Nats {
    topics: Option<Arc<[Arc<str>]>>,
    is_settled: bool,
    /// Where deliveries are guaranteed.
    jetstream: Option<JetStream>,
}

impl Nats {
    /// Before the connection.
    pub fn new(role: &Role, guarantee: Option<&Guarantee>, run: u16, number: usize) -> Nats {
        let topics = match role {
            Role::Subscriber(topics) => Some(topics.clone()),
            Role::Client | Role::Publisher => None,
        };
        let jetstream = guarantee.map(|guarantee| JetStream::new(role, guarantee, run, number));
        Nats { topics, is_settled: false, jetstream }
    }

    /// Connects and subscribes; the pong to the ping behind it confirms both.
    pub fn open(&mut self, out: &mut Outbox) {
        out.raw(&[b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"hydrogen-bench\",\"version\":\"1\"}\r\n"]);
        if let Some(jetstream) = &self.jetstream {
            jetstream.open(out);
            return;
        }
        for (index, topic) in self.topics.iter().flat_map(|topics| topics.iter()).enumerate() {
            out.raw(&[b"SUB ", topic.as_bytes(), b" ", (index + 1).to_string().as_bytes(), b"\r\n"]);
        }
        out.raw(&[b"PING\r\n"]);
    }

    /// Takes whole operations and says how many bytes they had.
    pub fn on_stream(&mut self, bytes: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let Some(line_end) = memchr(b'\n', rest) else {
                return if rest.len() > LINE_MAX { Err("a control line is too long".into()) } else { Ok(at) };
            };
            let line = rest[..line_end].trim_ascii_end();
            let mut end = line_end + 1;
            if line.starts_with(b"MSG ") {
                let start = end;
                let message = Message::parse(line).ok_or("a MSG line that is none")?;
                let len = message.len;
                end = start + len + b"\r\n".len();
                if end > rest.len() {
                    return Ok(at);
                }
                ear.bytes += len as u64;
                let payload = &rest[start..start + len];
                match &mut self.jetstream {
                    None => ear.message(payload),
                    Some(jetstream) => jetstream.on_message(message, payload, out, ear)?,
                }
            } else {
                self.on_line(line, out, ear)?;
            }
            at += end;
        }
    }

    fn on_line(&mut self, line: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<(), Fault> {
        if line.starts_with(b"PING") {
            out.raw(&[b"PONG\r\n"]);
        } else if line.starts_with(b"PONG") {
            let settles = !std::mem::replace(&mut self.is_settled, true);
            ear.heard.push(if settles { Heard::Settled } else { Heard::Pong(None) });
        } else if line.starts_with(b"INFO") && self.jetstream.is_some() {
            memmem::find(line, br#""jetstream":true"#).ok_or("the server has no JetStream")?;
        } else if line.starts_with(b"-ERR") {
            return Err(String::from_utf8_lossy(line).into_owned().into());
        }
        Ok(())
    }

    /// PUB, with a subject for the answer where one is waited for.
    pub fn publish(&self, topic: &str, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        match &self.jetstream {
            None => publish(topic.as_bytes(), &[], payload, out),
            Some(jetstream) => jetstream.publish(topic, payload, stamp, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::stamp::Payload;

    #[test]
    fn operations_may_be_cut_anywhere() {
        let stamp = Stamp { run: 1, lane: 2, seq: 3, time_ns: 4 };
        let mut payload = Payload::new(100);
        let stream = [
            b"INFO {\"server_id\":\"x\"}\r\nPONG\r\nMSG bench.t 1 100\r\n",
            payload.stamped(stamp),
            b"\r\nPING\r\nPONG\r\n",
        ]
        .concat();
        for cut in 0..stream.len() {
            let mut session = Nats::new(&Role::subscriber("bench.t".into()), None, 1, 1);
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            let used = session.on_stream(&stream[..cut], &mut out, &mut ear).unwrap();
            let rest = session.on_stream(&stream[used..], &mut out, &mut ear).unwrap();
            assert_eq!(used + rest, stream.len());
            assert_eq!(ear.heard, [Heard::Settled, Heard::Message(stamp), Heard::Pong(None)], "cut at {cut}");
            assert_eq!(out.pending(), b"PONG\r\n");
        }
    }

    #[test]
    fn message_lines_have_a_reply_subject_or_none() {
        let (subject, none) = (&b"a.b"[..], &b""[..]);
        for (line, expected) in [
            (&b"MSG a.b 1 5"[..], Some(Message { subject, reply_to: none, len: 5 })),
            (b"MSG a.b 1 $JS.ACK.x.1 5", Some(Message { subject, reply_to: b"$JS.ACK.x.1", len: 5 })),
            (b"MSG a.b 1", None),
            (b"MSG a.b 1 r -5", None),
            (b"MSG", None),
        ] {
            assert_eq!(Message::parse(line), expected);
        }
    }

    #[test]
    fn errors_and_nonsense_end_the_connection() {
        for stream in [&b"-ERR 'Authorization Violation'\r\n"[..], b"MSG a 1 many\r\n", b"MSG a 1 99999999999\r\n"] {
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            assert!(Nats::new(&Role::Client, None, 1, 1).on_stream(stream, &mut out, &mut ear).is_err());
        }
    }

    #[test]
    fn the_opening_subscribes_and_asks_for_a_pong() {
        let mut out = Outbox::new(Masking::Zero, 1);
        let both = Role::Subscriber(["a.b".into(), "c.*".into()].into());
        let mut session = Nats::new(&both, None, 1, 1);
        session.open(&mut out);
        session.publish("a.b", b"xyz", Stamp::default(), &mut out);
        assert!(out.pending().ends_with(b"\r\nSUB a.b 1\r\nSUB c.* 2\r\nPING\r\nPUB a.b 3\r\nxyz\r\n"));
    }
}
