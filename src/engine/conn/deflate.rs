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

    /// The form of an event that goes to this connection: compressed, if that was agreed, is
    /// wanted for its lane, and makes it smaller.
    pub(super) fn form_of<'e>(&self, event: &'e Arc<EventFrame>, lane: Lane, cx: &mut Cx<'_>) -> &'e Arc<EventFrame> {
        let kind = match lane {
            Lane::Control => Kinds::RESPONSES,
            Lane::Events => Kinds::EVENTS,
            Lane::Bulk => Kinds::BULK,
        };
        let Some(form) = self.form_for(kind, &event.frame, cx) else { return event };
        let (counters, deflater) = (cx.counters, &mut cx.zlib.deflater);
        match event.compressed(form, |frame| compress(deflater, frame, form, counters)) {
            Some(compressed) => {
                count_sent(&event.frame, &compressed.frame, counters);
                compressed
            }
            None => event,
        }
    }

    /// The same for a frame that nobody else gets.
    pub(super) fn form_of_response(&self, frame: Bytes, cx: &mut Cx<'_>) -> Bytes {
        let Some(form) = self.form_for(Kinds::RESPONSES, &frame, cx) else { return frame };
        match compress(&mut cx.zlib.deflater, &frame, form, cx.counters) {
            Some(compressed) => {
                count_sent(&frame, &compressed, cx.counters);
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

fn count_sent(plain: &[u8], compressed: &[u8], counters: &Counters) {
    counters.inc(Metric::DEFLATE_MESSAGES.at(SENT));
    counters.add(Metric::DEFLATE_BYTES.at(SENT), compressed.len() as u64);
    counters.add(Metric::DEFLATE_PLAIN_BYTES.at(SENT), plain.len() as u64);
}
