//! The NATS client protocol over TCP: core subjects, no headers, no JetStream.

use std::sync::Arc;

use memchr::memchr;

use super::{Ear, Fault, Heard, Role};
use crate::cli::bench::frame::Outbox;

/// Bytes of a control line that are waited for; INFO is the longest.
const LINE_MAX: usize = 64 << 10;
/// Bytes of a payload that are waited for.
const PAYLOAD_MAX: usize = 64 << 20;

/// One connection's state.
#[derive(Debug)]
pub struct Nats {
    topic: Option<Arc<str>>,
    is_settled: bool,
}

impl Nats {
    /// Before the connection.
    pub fn new(role: &Role) -> Nats {
        let topic = match role {
            Role::Subscriber(topic) => Some(topic.clone()),
            Role::Client | Role::Publisher => None,
        };
        Nats { topic, is_settled: false }
    }

    /// Connects and subscribes; the pong to the ping behind it confirms both.
    pub fn open(&mut self, out: &mut Outbox) {
        out.raw(&[b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"hydrogen-bench\",\"version\":\"1\"}\r\n"]);
        if let Some(topic) = &self.topic {
            out.raw(&[b"SUB ", topic.as_bytes(), b" 1\r\n"]);
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
                let len = payload_len(line).ok_or("a MSG line without a length")?;
                end = start + len + b"\r\n".len();
                if end > rest.len() {
                    return Ok(at);
                }
                ear.bytes += len as u64;
                ear.message(&rest[start..start + len]);
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
        } else if line.starts_with(b"-ERR") {
            return Err(String::from_utf8_lossy(line).into_owned().into());
        }
        Ok(())
    }
}

/// The last word of `MSG <subject> <sid> [reply-to] <bytes>`.
fn payload_len(line: &[u8]) -> Option<usize> {
    let digits = line.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|len| *len <= PAYLOAD_MAX)
}

/// PUB.
pub fn publish(topic: &str, payload: &[u8], out: &mut Outbox) {
    out.raw(&[b"PUB ", topic.as_bytes(), b" ", payload.len().to_string().as_bytes(), b"\r\n", payload, b"\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::stamp::{Payload, Stamp};

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
            let mut session = Nats::new(&Role::Subscriber("bench.t".into()));
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            let used = session.on_stream(&stream[..cut], &mut out, &mut ear).unwrap();
            let rest = session.on_stream(&stream[used..], &mut out, &mut ear).unwrap();
            assert_eq!(used + rest, stream.len());
            assert_eq!(ear.heard, [Heard::Settled, Heard::Message(stamp), Heard::Pong(None)], "cut at {cut}");
            assert_eq!(out.pending(), b"PONG\r\n");
        }
    }

    #[test]
    fn errors_and_nonsense_end_the_connection() {
        for stream in [&b"-ERR 'Authorization Violation'\r\n"[..], b"MSG a 1 many\r\n", b"MSG a 1 99999999999\r\n"] {
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            assert!(Nats::new(&Role::Client).on_stream(stream, &mut out, &mut ear).is_err());
        }
    }

    #[test]
    fn the_opening_subscribes_and_asks_for_a_pong() {
        let mut out = Outbox::new(Masking::Zero, 1);
        Nats::new(&Role::Subscriber("a.b".into())).open(&mut out);
        publish("a.b", b"xyz", &mut out);
        assert!(out.pending().ends_with(b"\r\nSUB a.b 1\r\nPING\r\nPUB a.b 3\r\nxyz\r\n"));
    }
}
