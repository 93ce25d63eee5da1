//! MQTT 3.1.1 over WebSocket, quality of service 0, as much as one topic takes.

use std::sync::Arc;

use super::{Ear, Fault, Heard, Role};
use crate::cli::bench::frame::{self, Outbox};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// Bytes of a packet that are waited for.
const PACKET_MAX: usize = 64 << 20;

/// One connection's state.
#[derive(Debug)]
pub struct Mqtt {
    topic: Option<Arc<str>>,
    client_id: String,
    /// The beginning of a packet whose rest has not come.
    partial: Vec<u8>,
}

impl Mqtt {
    /// Before the upgrade.
    pub fn new(role: &Role, run: u16, number: usize) -> Mqtt {
        let topic = match role {
            Role::Subscriber(topic) => Some(topic.clone()),
            Role::Client | Role::Publisher => None,
        };
        Mqtt { topic, client_id: format!("hydrogen-bench-{run:04x}-{number}"), partial: Vec::new() }
    }

    /// Sends CONNECT: a clean session that never times out.
    pub fn open(&mut self, out: &mut Outbox) {
        let id = self.client_id.as_bytes();
        packet(CONNECT, &[b"\0\x04MQTT\x04\x02\0\0", &text_len(id), id], out);
    }

    /// Packets came; they need not end where the message ends.
    pub fn on_message(&mut self, message: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<(), Fault> {
        if self.partial.is_empty() {
            let used = self.packets(message, out, ear)?;
            self.partial.extend_from_slice(&message[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(message);
            let used = self.packets(&bytes, out, ear)?;
            bytes.drain(..used);
            self.partial = bytes;
        }
        Ok(())
    }

    /// Takes whole packets and says how many bytes they had.
    fn packets(&mut self, bytes: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some((start, end)) = packet_bounds(&bytes[at..])? {
            if at + end > bytes.len() {
                break;
            }
            self.on_packet(bytes[at], &bytes[at + start..at + end], out, ear)?;
            at += end;
        }
        Ok(at)
    }

    fn on_packet(&mut self, first: u8, body: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<(), Fault> {
        match (first & 0xf0, body) {
            (PUBLISH, _) => ear.message(body),
            (CONNACK, [_, 0]) => match &self.topic {
                Some(topic) => {
                    let packet_id = [0, 1];
                    packet(SUBSCRIBE, &[&packet_id, &text_len(topic.as_bytes()), topic.as_bytes(), &[0]], out);
                }
                None => ear.heard.push(Heard::Settled),
            },
            (SUBACK, [_, _, 0..=2]) => ear.heard.push(Heard::Settled),
            (CONNACK, _) => return Err("the broker refused the connection".into()),
            (SUBACK, _) => return Err("the broker refused the subscription".into()),
            _ => {}
        }
        Ok(())
    }
}

/// PUBLISH with quality of service 0.
pub fn publish(topic: &str, payload: &[u8], out: &mut Outbox) {
    packet(PUBLISH, &[&text_len(topic.as_bytes()), topic.as_bytes(), payload], out);
}

fn text_len(text: &[u8]) -> [u8; 2] {
    (text.len() as u16).to_be_bytes()
}

fn packet(first: u8, body: &[&[u8]], out: &mut Outbox) {
    let mut head = [first, 0, 0, 0, 0];
    let mut left: usize = body.iter().map(|part| part.len()).sum();
    let mut len = 1;
    // MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first, the top bit says that more follow.
    while len < head.len() {
        head[len] = (left % 128) as u8;
        left /= 128;
        len += 1;
        if left == 0 {
            break;
        }
        head[len - 1] |= 0x80;
    }
    let mut parts = [&head[..len], b"", b"", b"", b""];
    for (part, slot) in body.iter().zip(&mut parts[1..]) {
        *slot = part;
    }
    out.frame(frame::BINARY, &parts);
}

/// Where a packet's body starts and ends, once its length is there.
fn packet_bounds(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut len = 0;
    for index in 0..4 {
        let Some(byte) = bytes.get(1 + index) else { return Ok(None) };
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if len > PACKET_MAX {
                return Err("the broker sent a packet of more than 64 MiB".into());
            }
            return Ok(Some((2 + index, 2 + index + len)));
        }
    }
    Err("the broker sent a packet with a bad length".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::stamp::{Payload, Stamp};

    fn server_packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Outbox::new(Masking::Zero, 1);
        packet(first, &[body], &mut out);
        let header = if out.pending()[1] & 0x7f == 126 { 8 } else { 6 };
        out.pending()[header..].to_vec()
    }

    #[test]
    fn lengths_of_every_class_round_trip() {
        for len in [0usize, 1, 127, 128, 16_383, 16_384, 60_000] {
            let bytes = server_packet(PUBLISH, &vec![b'x'; len]);
            let (start, end) = packet_bounds(&bytes).unwrap().unwrap();
            assert_eq!((end - start, end), (len, bytes.len()));
            assert_eq!(packet_bounds(&bytes[..start - 1]), Ok(None));
        }
        assert!(packet_bounds(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(packet_bounds(&[0x30, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }

    #[test]
    fn packets_may_be_cut_anywhere() {
        let stamp = Stamp { run: 1, lane: 2, seq: 3, time_ns: 4 };
        let mut payload = Payload::new(200);
        let delivery = [b"\0\x07bench.t", payload.stamped(stamp)].concat();
        let stream = [
            server_packet(CONNACK, &[0, 0]),
            server_packet(SUBACK, &[0, 1, 0]),
            server_packet(PUBLISH, &delivery),
            server_packet(PUBLISH, &delivery),
        ]
        .concat();
        for cut in 0..stream.len() {
            let mut session = Mqtt::new(&Role::Subscriber("bench.t".into()), 1, 1);
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            for part in [&stream[..cut], &stream[cut..]] {
                session.on_message(part, &mut out, &mut ear).unwrap();
            }
            assert_eq!(ear.heard, [Heard::Settled, Heard::Message(stamp), Heard::Message(stamp)]);
            assert_eq!(out.pending()[6], SUBSCRIBE);
        }
    }

    #[test]
    fn refusals_end_the_connection() {
        let mut session = Mqtt::new(&Role::Client, 1, 1);
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        assert!(session.on_message(&server_packet(CONNACK, &[0, 5]), &mut out, &mut ear).is_err());
        assert!(session.on_message(&server_packet(SUBACK, &[0, 1, 0x80]), &mut out, &mut ear).is_err());
    }
}
