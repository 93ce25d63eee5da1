//! MQTT 3.1.1 over WebSocket or TCP, as much as one topic takes: quality of service 0, or 1 with a session
//! that outlives the connection where deliveries are guaranteed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Ear, Fault, Heard, Role, Transport};
use crate::cli::bench::frame::{self, Outbox};
use crate::cli::bench::stamp::Stamp;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
/// MQTT 3.1.1, 3.3.1.2: quality of service 1 in a PUBLISH's first byte.
const QOS_1: u8 = 0x02;
const QOS_BITS: u8 = 0x06;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;

/// Bytes of a packet that are waited for.
const PACKET_MAX: usize = 64 << 20;

/// One connection's state.
#[derive(Debug)]
pub struct Mqtt {
    topics: Option<Arc<[Arc<str>]>>,
    client_id: String,
    is_guaranteed: bool,
    /// Whether packets go in WebSocket messages.
    is_framed: bool,
    last_packet_id: u16,
    /// Publications without a PUBACK.
    unanswered: BTreeMap<u16, Stamp>,
    /// The beginning of a packet whose rest has not come.
    partial: Vec<u8>,
}

impl Mqtt {
    /// Before the upgrade.
    pub fn new(transport: Transport, role: &Role, is_guaranteed: bool, run: u16, number: usize) -> Mqtt {
        let topics = match role {
            Role::Subscriber(topics) => Some(topics.clone()),
            Role::Client | Role::Publisher => None,
        };
        Mqtt {
            topics,
            client_id: format!("hydrogen-bench-{run:04x}-{number}"),
            is_guaranteed,
            is_framed: transport == Transport::WebSocket,
            last_packet_id: 0,
            unanswered: BTreeMap::new(),
            partial: Vec::new(),
        }
    }

    /// Sends CONNECT without a keep-alive. The session is clean, but for guaranteed subscribers.
    pub fn open(&mut self, out: &mut Outbox) {
        let id = self.client_id.as_bytes();
        let is_clean = !(self.is_guaranteed && self.topics.is_some());
        let flags = [u8::from(is_clean) << 1];
        self.packet(CONNECT, &[b"\0\x04MQTT\x04", &flags, b"\0\0", &[&text_len(id), id].concat()], out);
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

    /// Sends what is answered with a pong.
    pub fn probe(&self, stamp: Stamp, out: &mut Outbox) {
        if self.is_framed {
            out.frame(frame::PING, &[&stamp.write()]);
        } else {
            self.packet(PINGREQ, &[], out);
        }
    }

    /// Takes whole packets and says how many bytes they had.
    pub fn packets(&mut self, bytes: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<usize, Fault> {
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
            (PUBLISH, _) => {
                if self.is_guaranteed {
                    self.acknowledge(first, body, out, ear)?;
                }
                ear.message(body);
            }
            (PUBACK, [high, low]) => {
                match self.unanswered.remove(&u16::from_be_bytes([*high, *low])) {
                    Some(stamp) => ear.heard.push(Heard::Response(stamp)),
                    None => ear.refused(None, b"a PUBACK of nothing that was published"),
                };
            }
            (CONNACK, [_, 0]) => match &self.topics {
                Some(topics) => {
                    let mut filters = Vec::new();
                    for topic in topics.iter() {
                        filters.extend_from_slice(&text_len(topic.as_bytes()));
                        filters.extend_from_slice(topic.as_bytes());
                        filters.push(u8::from(self.is_guaranteed));
                    }
                    self.packet(SUBSCRIBE, &[&[0, 1], &filters], out);
                }
                None => ear.heard.push(Heard::Settled),
            },
            (SUBACK, [_, _, granted @ ..]) if self.is_guaranteed && granted.contains(&0) => {
                return Err("the broker grants quality of service 0 alone".into());
            }
            (SUBACK, [_, _, granted @ ..]) if granted.iter().all(|qos| *qos <= 2) => ear.heard.push(Heard::Settled),
            (PINGRESP, _) => ear.heard.push(Heard::Pong(None)),
            (CONNACK, _) => return Err("the broker refused the connection".into()),
            (SUBACK, _) => return Err("the broker refused the subscription".into()),
            _ => {}
        }
        Ok(())
    }

    /// PUBLISH, with quality of service 1 where it is guaranteed.
    pub fn publish(&mut self, topic: &str, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        let (topic_len, topic) = (text_len(topic.as_bytes()), topic.as_bytes());
        if !self.is_guaranteed {
            self.packet(PUBLISH, &[&topic_len, topic, payload], out);
            return;
        }
        // MQTT 3.1.1, 2.3.1: not 0, and not in use. Far fewer than there are can be in use.
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if self.last_packet_id != 0 && !self.unanswered.contains_key(&self.last_packet_id) {
                break;
            }
        }
        self.unanswered.insert(self.last_packet_id, stamp);
        self.packet(PUBLISH | QOS_1, &[&topic_len, topic, &self.last_packet_id.to_be_bytes(), payload], out);
    }

    /// PUBACK of a delivery.
    fn acknowledge(&self, first: u8, body: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<(), Fault> {
        if first & QOS_BITS != QOS_1 {
            ear.refused(None, b"a delivery that is not of quality of service 1");
            return Ok(());
        }
        let (topic_len, rest) = body.split_first_chunk().ok_or("a PUBLISH without a topic")?;
        let packet_id = rest.get(usize::from(u16::from_be_bytes(*topic_len))..).and_then(<[u8]>::first_chunk::<2>);
        self.packet(PUBACK, &[packet_id.ok_or("a PUBLISH without a packet identifier")?], out);
        Ok(())
    }

    fn packet(&self, first: u8, body: &[&[u8]], out: &mut Outbox) {
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
        if self.is_framed {
            out.frame(frame::BINARY, &parts);
        } else {
            out.raw(&parts);
        }
    }
}

fn text_len(text: &[u8]) -> [u8; 2] {
    (text.len() as u16).to_be_bytes()
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
    use crate::cli::bench::stamp::Payload;

    fn server_packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Outbox::new(Masking::Zero, 1);
        Mqtt::new(Transport::Tcp, &Role::Client, false, 1, 1).packet(first, &[body], &mut out);
        out.pending().to_vec()
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
            let mut session = Mqtt::new(Transport::WebSocket, &Role::subscriber("bench.t".into()), false, 1, 1);
            let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
            for part in [&stream[..cut], &stream[cut..]] {
                session.on_message(part, &mut out, &mut ear).unwrap();
            }
            assert_eq!(ear.heard, [Heard::Settled, Heard::Message(stamp), Heard::Message(stamp)]);
            assert_eq!(out.pending()[6], SUBSCRIBE);
        }
    }

    /// The packets of frames that are unmasked by their zero key.
    fn sent(out: &Outbox) -> Vec<Vec<u8>> {
        let (mut rest, mut packets) = (out.pending(), Vec::new());
        while !rest.is_empty() {
            let (start, len) = match rest[1] & 0x7f {
                126 => (8, usize::from(rest[2]) << 8 | usize::from(rest[3])),
                len => (6, usize::from(len)),
            };
            packets.push(rest[start..start + len].to_vec());
            rest = &rest[start + len..];
        }
        packets
    }

    const STAMP: Stamp = Stamp { run: 1, lane: 2, seq: 3, time_ns: 4 };

    #[test]
    fn a_guaranteed_subscriber_has_a_lasting_session_and_acknowledges() {
        let mut session = Mqtt::new(Transport::WebSocket, &Role::subscriber("bench.t".into()), true, 1, 1);
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        session.open(&mut out);
        let mut payload = Payload::new(64);
        let delivery = [b"\0\x07bench.t\x12\x34", payload.stamped(STAMP)].concat();
        for packet in [
            server_packet(CONNACK, &[0, 0]),
            server_packet(SUBACK, &[0, 1, 1]),
            server_packet(PUBLISH | QOS_1, &delivery),
        ] {
            session.on_message(&packet, &mut out, &mut ear).unwrap();
        }
        assert_eq!(ear.heard, [Heard::Settled, Heard::Message(STAMP)]);
        let packets = sent(&out);
        assert_eq!(packets[0][2..12], *b"\0\x04MQTT\x04\0\0\0");
        assert_eq!(packets[1].last(), Some(&1));
        assert_eq!(packets[2], [PUBACK, 2, 0x12, 0x34]);

        session.on_message(&server_packet(PUBLISH, &delivery), &mut out, &mut ear).unwrap();
        assert_eq!(ear.heard[2..], [Heard::Refused(None), Heard::Message(STAMP)]);
        assert!(session.on_message(&server_packet(SUBACK, &[0, 1, 0]), &mut out, &mut ear).is_err());
        for cut in [&b""[..], b"\0", b"\0\x07bench.t\x12", b"\xff\xffbench"] {
            let packet = server_packet(PUBLISH | QOS_1, cut);
            assert!(session.on_message(&packet, &mut out, &mut ear).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn a_puback_answers_its_publication() {
        let mut session = Mqtt::new(Transport::WebSocket, &Role::Publisher, true, 1, 0);
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        session.last_packet_id = u16::MAX - 1;
        for seq in 0..3 {
            session.publish("a/b", b"xyz", Stamp { seq, ..STAMP }, &mut out);
        }
        let packets = sent(&out);
        assert_eq!(packets[0], [&[PUBLISH | QOS_1, 10, 0, 3][..], b"a/b", &[0xff, 0xff], b"xyz"].concat());
        assert_eq!(packets[1][7..9], [0, 1], "0 is no packet identifier");
        for id in [[0, 2], [0xff, 0xff], [0, 2]] {
            session.on_message(&server_packet(PUBACK, &id), &mut out, &mut ear).unwrap();
        }
        let answer = |seq| Heard::Response(Stamp { seq, ..STAMP });
        assert_eq!(ear.heard, [answer(2), answer(0), Heard::Refused(None)]);
    }

    #[test]
    fn without_frames_packets_follow_one_another() {
        let mut session = Mqtt::new(Transport::Tcp, &Role::Client, false, 1, 1);
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        session.open(&mut out);
        session.probe(STAMP, &mut out);
        assert_eq!(out.pending()[..8], *b"\x10\x21\0\x04MQTT");
        assert!(out.pending().ends_with(&[PINGREQ, 0]));
        let stream = [server_packet(CONNACK, &[0, 0]), server_packet(PINGRESP, &[]), vec![PUBLISH]].concat();
        assert_eq!(session.packets(&stream, &mut out, &mut ear), Ok(6));
        assert_eq!(ear.heard, [Heard::Settled, Heard::Pong(None)]);
    }

    #[test]
    fn refusals_end_the_connection() {
        let mut session = Mqtt::new(Transport::WebSocket, &Role::Client, false, 1, 1);
        let (mut out, mut ear) = (Outbox::new(Masking::Zero, 1), Ear::default());
        assert!(session.on_message(&server_packet(CONNACK, &[0, 5]), &mut out, &mut ear).is_err());
        assert!(session.on_message(&server_packet(SUBACK, &[0, 1, 0x80]), &mut out, &mut ear).is_err());
    }
}
