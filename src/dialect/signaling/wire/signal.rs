//! Offers, answers and candidates: what is passed on is what was sent, with the sender written by
//! the server.

use super::fields::{Bad, Fields, is_description, is_string, is_whole, on_one_line};
use super::{Era, SignalOut};
use crate::dialect::signaling::limits::{CANDIDATE_BYTES, KEY_BYTES, SDP_BYTES, SIGNAL_REST_BYTES};
use crate::engine::wire::push_json_string;

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
    body: Box<[u8]>,
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
        let mut body = Vec::new();
        let is_passed_on = |key: &str| !is_written(key) && !key.eq_ignore_ascii_case(target_name);
        for (key, raw) in fields.iter().filter(|(key, _)| is_passed_on(key)) {
            push_name(&mut body, key);
            body.extend_from_slice(on_one_line(raw.get()).as_bytes());
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
        let mut payload = Vec::with_capacity(self.body.len() + 2 * key.len() + to.len() + 192);
        payload.push(b'{');
        payload.extend_from_slice(&self.body);
        let written = [
            (self.target_name, to),
            ("public_key", key),
            ("sender_public_key", key),
            ("sender_id", sender),
            (self.era.id(), room),
        ];
        for (name, text) in written {
            push_name(&mut payload, name);
            push_json_string(&mut payload, text);
        }
        payload.push(b'}');
        let payload = String::from_utf8(payload).expect("UTF-8"); // It is made of texts alone.
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
fn push_name(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    push_json_string(out, name);
    out.push(b':');
}
