//! Offers, answers and candidates: what is passed on is what was sent, with the sender written by
//! the server.

use super::fields::{Bad, Fields, is_description, is_string, is_whole, on_one_line};
use super::{Era, SignalOut};
use crate::dialect::signaling::limits::{CANDIDATE_BYTES, KEY_BYTES, SDP_BYTES, SIGNAL_REST_BYTES};

/// The three kinds of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) enum SignalKind {
    Offer,
    Answer,
    Candidate,
}

/// A signal on its way to one peer.
#[derive(Debug)]
pub(in crate::dialect::signaling) struct Signal {
    pub kind: SignalKind,
    pub era: Era,
    /// The room that the sender names, or empty.
    pub room: Box<str>,
    /// To whom: a connection's id or a key.
    pub target: Box<str>,
    /// The field in which that stood.
    target_name: &'static str,
    /// The sender's fields but for that one and those that the server writes, without the braces.
    body: Box<str>,
}

/// Fields that only the server writes.
const WRITTEN: &[&str] = &["public_key", "sender_public_key", "sender_id", "publicKey", "room_id", "network_id"];

impl Signal {
    /// Bytes that it holds, about.
    pub(in crate::dialect::signaling) fn weight(&self) -> usize {
        self.body.len() + self.room.len() + self.target.len()
    }

    pub(super) fn read(kind: SignalKind, era: Era, fields: &Fields<'_>) -> Result<Signal, Bad> {
        let room = fields.text(era.id(), usize::MAX)?;
        let targets = era.pick(
            ["destination_id", "target_id", "target_public_key"],
            ["target_public_key", "destination_id", "target_id"],
        );
        let target_name = targets.into_iter().find(|name| fields.has(name)).unwrap_or(targets[0]);
        let target = fields.text(target_name, KEY_BYTES)?;
        let (data, data_max) = match kind {
            SignalKind::Offer => (era.pick("offer", "sdp"), SDP_BYTES),
            SignalKind::Answer => (era.pick("answer", "sdp"), SDP_BYTES),
            SignalKind::Candidate => ("candidate", CANDIDATE_BYTES),
        };
        // What browsers make of a description or a candidate is an object, and GoVPN's are strings.
        fields.check(data, era.pick(is_description, is_string))?;
        fields.check("sdp_mid", is_string)?;
        fields.check("sdp_m_line_index", is_whole)?;
        fields.check("public_key", is_string)?;
        fields.check("sender_public_key", is_string)?;
        if fields.raw(data).is_some_and(|raw| raw.get().len() > data_max) {
            return Err(Bad);
        }
        let mut body = String::new();
        let is_passed_on = |key: &str| !is_written(key) && !key.eq_ignore_ascii_case(target_name);
        for (key, raw) in fields.iter().filter(|(key, _)| is_passed_on(key)) {
            push_name(&mut body, key);
            body.push_str(&on_one_line(raw.get()));
        }
        if body.len() > data_max + SIGNAL_REST_BYTES {
            return Err(Bad);
        }
        Ok(Signal { kind, era, room, target, target_name, body: body.into() })
    }

    /// What the peer gets, who knows itself as `to`.
    pub(in crate::dialect::signaling) fn finish(
        self,
        id: &str,
        room: &str,
        key: &str,
        sender: &str,
        to: &str,
    ) -> SignalOut {
        let mut payload = String::with_capacity(self.body.len() + 2 * key.len() + to.len() + 192);
        payload.push('{');
        payload.push_str(&self.body);
        let written = [
            (self.target_name, to),
            ("public_key", key),
            ("sender_public_key", key),
            ("sender_id", sender),
            (self.era.id(), room),
        ];
        for (name, text) in written {
            push_name(&mut payload, name);
            push_quoted(&mut payload, text);
        }
        payload.push('}');
        let name = match self.kind {
            SignalKind::Offer => self.era.pick("Offer", "SdpOffer"),
            SignalKind::Answer => self.era.pick("Answer", "SdpAnswer"),
            SignalKind::Candidate => self.era.pick("Candidate", "IceCandidate"),
        };
        // The later era keeps the sender's id; in the earlier one nothing unasked has any.
        let id = self.era.pick("", id).into();
        SignalOut { room: room.into(), name, id, payload: payload.into() }
    }
}

/// Whether the server writes a field itself: what the sender wrote there is not passed on.
fn is_written(key: &str) -> bool {
    WRITTEN.iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Begins a field, behind others or as the first.
fn push_name(out: &mut String, name: &str) {
    if !out.is_empty() && !out.ends_with('{') {
        out.push(',');
    }
    push_quoted(out, name);
    out.push(':');
}

fn push_quoted(out: &mut String, text: &str) {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    if is_plain {
        // So are keys, ids and the names of fields, and nothing is made beside.
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_quoted_reads_as_it_was(text in "\\PC*|[ -~]*|[\\x00-\\x7f]*") {
            let mut out = String::new();
            push_quoted(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
