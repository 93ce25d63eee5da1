//! hydrogen's acknowledgments: what one read brought is acknowledged together.

use std::sync::Arc;

use memchr::{memchr, memmem};

use super::Guarantee;
use crate::cli::bench::args::AckBy;
use crate::cli::bench::frame::{self, Outbox};

/// Ids in one acknowledgment. The server takes more; a list need not be as long as a read.
const IDS_MAX: usize = 256;

/// The acknowledgments of one subscriber that are not sent yet.
#[derive(Debug)]
pub struct Acks {
    topic: Arc<str>,
    by: AckBy,
    /// Ids in quotes, with commas between.
    ids: Vec<u8>,
    count: usize,
    /// The digits of the highest offset.
    through: Vec<u8>,
}

impl Acks {
    /// None yet.
    pub fn new(guarantee: &Guarantee) -> Acks {
        let (topic, by) = (guarantee.topic.clone(), guarantee.ack_by);
        Acks { topic, by, ids: Vec::new(), count: 0, through: Vec::new() }
    }

    /// An event came; says whether it asks for an acknowledgment that can be given.
    pub fn note(&mut self, event: &[u8], out: &mut Outbox) -> bool {
        if memmem::find(event, br#""ack":true"#).is_none() {
            return false;
        }
        match self.by {
            AckBy::Ids => self.note_id(event, out),
            AckBy::Through => self.note_offset(event),
        }
        .is_some()
    }

    fn note_id(&mut self, event: &[u8], out: &mut Outbox) -> Option<()> {
        let id = after(event, br#""id":""#)?;
        let id = &id[..memchr(b'"', id)?];
        if self.count > 0 {
            self.ids.push(b',');
        }
        self.ids.push(b'"');
        self.ids.extend_from_slice(id);
        self.ids.push(b'"');
        self.count += 1;
        if self.count == IDS_MAX {
            self.send(out);
        }
        Some(())
    }

    fn note_offset(&mut self, event: &[u8]) -> Option<()> {
        let rest = after(event, br#""offset":"#)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let offset = &rest[..digits];
        // Without leading zeros, the longer number is the higher one. A redelivery has a low one.
        if (offset.len(), offset) > (self.through.len(), &self.through) {
            self.through.clear();
            self.through.extend_from_slice(offset);
            self.count += 1;
        }
        (digits > 0).then_some(())
    }

    /// Sends them, if there are any.
    pub fn send(&mut self, out: &mut Outbox) {
        if self.count == 0 {
            return;
        }
        self.count = 0;
        match self.by {
            AckBy::Ids => {
                out.frame(frame::TEXT, &[br#"{"type":"ack","ids":["#, &self.ids, b"]}"]);
                self.ids.clear();
            }
            AckBy::Through => {
                let topic = self.topic.as_bytes();
                let parts: [&[u8]; 5] = [br#"{"type":"ack","topic":""#, topic, br#"","through":"#, &self.through, b"}"];
                out.frame(frame::TEXT, &parts);
            }
        }
    }
}

/// What follows the first place where `name` stands.
fn after<'a>(event: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    memmem::find(event, name).map(|at| &event[at + name.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;
    use serde_json::{Value, json};

    fn acks(by: AckBy) -> Acks {
        Acks::new(&Guarantee { topic: "bench.t".into(), ack_by: by })
    }

    fn event(offset: u64) -> Vec<u8> {
        let text = r#"{"type":"event","id":"x-N","timestamp":"","channel":"bench","action":"t","offset":N,"prev":1,"ack":true,"data":{"id":"y"}}"#;
        text.replace('N', &offset.to_string()).into_bytes()
    }

    fn sent(out: &mut Outbox) -> Vec<Value> {
        let (mut rest, mut found) = (out.pending(), Vec::new());
        while !rest.is_empty() {
            let (start, len) = match rest[1] & 0x7f {
                126 => (8, usize::from(rest[2]) << 8 | usize::from(rest[3])),
                len => (6, usize::from(len)),
            };
            found.push(serde_json::from_slice(&rest[start..start + len]).unwrap());
            rest = &rest[start + len..];
        }
        let len = out.pending().len();
        out.advance(len);
        found
    }

    #[test]
    fn one_read_is_acknowledged_by_its_ids_or_its_last_offset() {
        let mut out = Outbox::new(Masking::Zero, 1);
        for (by, expected) in [
            (AckBy::Ids, json!({"type": "ack", "ids": ["x-9", "x-10", "x-3"]})),
            (AckBy::Through, json!({"type": "ack", "topic": "bench.t", "through": 10})),
        ] {
            let mut acks = acks(by);
            for offset in [9, 10, 3] {
                assert!(acks.note(&event(offset), &mut out));
            }
            acks.send(&mut out);
            acks.send(&mut out);
            assert_eq!(sent(&mut out), [expected], "{by:?}");
        }
    }

    #[test]
    fn lists_of_ids_have_a_bound() {
        let (mut acks, mut out) = (acks(AckBy::Ids), Outbox::new(Masking::Zero, 1));
        for offset in 0..2 * IDS_MAX as u64 + 1 {
            acks.note(&event(offset), &mut out);
        }
        acks.send(&mut out);
        let lens: Vec<_> = sent(&mut out).iter().map(|ack| ack["ids"].as_array().unwrap().len()).collect();
        assert_eq!(lens, [IDS_MAX, IDS_MAX, 1]);
    }

    #[test]
    fn events_that_cannot_be_acknowledged_are_told() {
        let mut out = Outbox::new(Masking::Zero, 1);
        for (by, text) in [
            (AckBy::Ids, &br#"{"type":"event","id":"x-1","offset":1,"data":{}}"#[..]),
            (AckBy::Ids, br#"{"type":"event","offset":1,"ack":true,"data":{}}"#),
            (AckBy::Through, br#"{"type":"event","id":"x-1","ack":true,"data":{}}"#),
        ] {
            let mut acks = acks(by);
            assert!(!acks.note(text, &mut out));
            acks.send(&mut out);
            assert!(out.pending().is_empty());
        }
    }
}
