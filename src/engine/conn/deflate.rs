//! The compression of one connection's messages: which form of a frame goes to it, and what is
//! counted of both directions.

use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, Cx, Phase};
use crate::base::{Counters, Metric};
use crate::engine::outbound::{EventFrame, Lane};
use crate::engine::ws::deflate::{Deflater, Form, Inflater, Kinds};

/// Values of the label `direction`.
const RECEIVED: usize = 0;
const SENT: usize = 1;

impl Connection {
    /// The form in which compressed messages go to it, if compression was agreed.
    pub fn deflate(&self) -> Option<Form> {
        match &self.phase {
            Phase::WebSocket(phase) => phase.deflate,
            Phase::Http(_) | Phase::Discard => None,
        }
    }

    /// An event in compressed form, if that was agreed, is wanted for its lane, and makes it smaller.
    pub fn compressed<'e>(&self, event: &'e EventFrame, lane: Lane, cx: &mut Cx<'_>) -> Option<&'e Arc<EventFrame>> {
        let kind = match lane {
            Lane::Control => Kinds::RESPONSES,
            Lane::Events => Kinds::EVENTS,
            Lane::Bulk => Kinds::BULK,
        };
        let form = self.form_for(kind, &event.frame, cx)?;
        let (counters, deflater) = (cx.counters, &mut cx.zlib.deflater);
        event.compressed(form, |frame| compress(deflater, frame, form, counters))
    }

    /// The form of an event that goes to this connection.
    pub(super) fn form_of<'e>(&self, event: &'e Arc<EventFrame>, lane: Lane, cx: &mut Cx<'_>) -> &'e Arc<EventFrame> {
        let Some(compressed) = self.compressed(event, lane, cx) else { return event };
        let mut saved = Saved::default();
        saved.add(&event.frame, &compressed.frame);
        saved.count(cx.counters);
        compressed
    }

    /// The same for a frame that nobody else gets.
    pub(super) fn form_of_response(&self, frame: Bytes, cx: &mut Cx<'_>) -> Bytes {
        let Some(form) = self.form_for(Kinds::RESPONSES, &frame, cx) else { return frame };
        match compress(&mut cx.zlib.deflater, &frame, form, cx.counters) {
            Some(compressed) => {
                let mut saved = Saved::default();
                saved.add(&frame, &compressed);
                saved.count(cx.counters);
                compressed
            }
            None => frame,
        }
    }

    /// The form to try for a frame; `None` if it is to be sent plain.
    fn form_for(&self, kind: Kinds, frame: &[u8], cx: &Cx<'_>) -> Option<Form> {
        let form = self.deflate()?;
        let settings = cx.settings.deflate.as_ref()?;
        let is_wanted = settings.kinds.has(kind) && Deflater::payload(frame)?.len() >= settings.threshold;
        is_wanted.then_some(form)
    }
}

impl Cx<'_> {
    /// Gives back the inflater that was taken for a step.
    pub(super) fn put_back(&mut self, mut inflater: Inflater) {
        let tally = inflater.rest();
        self.zlib.inflater = inflater;
        if tally.messages > 0 {
            self.counters.add(Metric::DEFLATE_MESSAGES.at(RECEIVED), tally.messages);
            self.counters.add(Metric::DEFLATE_BYTES.at(RECEIVED), tally.compressed_bytes);
            self.counters.add(Metric::DEFLATE_PLAIN_BYTES.at(RECEIVED), tally.plain_bytes);
        }
    }
}

fn compress(deflater: &mut Deflater, frame: &[u8], form: Form, counters: &Counters) -> Option<Bytes> {
    let compressed = deflater.compress(frame, form);
    counters.inc(Metric::DEFLATE_RUNS.at(usize::from(compressed.is_none())));
    compressed
}

/// Messages that go out compressed, and what that saves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Saved {
    messages: u64,
    bytes: u64,
    plain_bytes: u64,
}

impl Saved {
    /// One more.
    pub fn add(&mut self, plain: &[u8], compressed: &[u8]) {
        self.messages += 1;
        self.bytes += compressed.len() as u64;
        self.plain_bytes += plain.len() as u64;
    }

    /// They went out.
    pub fn count(&self, counters: &Counters) {
        counters.add(Metric::DEFLATE_MESSAGES.at(SENT), self.messages);
        counters.add(Metric::DEFLATE_BYTES.at(SENT), self.bytes);
        counters.add(Metric::DEFLATE_PLAIN_BYTES.at(SENT), self.plain_bytes);
    }
}
