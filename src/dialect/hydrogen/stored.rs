//! Stored events as their subscribers get them.

use bytes::Bytes;

use crate::engine::store::Record;
use crate::engine::wire::{EventHead, event, event_room};
use crate::engine::ws::FrameBuilder;

/// A stored event's envelope. `attempt` counts its deliveries, from 1.
pub(super) fn encode_event(out: &mut Vec<u8>, record: &Record, ack: bool, attempt: u32) {
    let (channel, action) = record.topic.split_once('.').unwrap_or((&record.topic, ""));
    let digits = record.epoch.digits();
    let head = EventHead {
        // Hexadecimal digits are ASCII.
        epoch: std::str::from_utf8(&digits).unwrap_or_default(),
        offset: record.offset,
        timestamp: &record.time.to_string(),
        channel,
        action,
        history: true,
        prev: (record.offset > 1).then(|| record.offset - 1),
        ack,
        attempt,
    };
    event(out, &head, &record.payload);
}

/// A stored event's frame, for those who ack.
pub(super) fn frame_event(record: &Record, attempt: u32) -> Bytes {
    let mut frame = FrameBuilder::with_capacity(event_room(record.topic.len(), record.payload.len()));
    encode_event(&mut frame, record, true, attempt);
    frame.finish_text()
}

/// A stored event's frame, for those who do not ack.
pub(super) fn frame_unacked(record: &Record) -> Bytes {
    let mut frame = FrameBuilder::with_capacity(event_room(record.topic.len(), record.payload.len()));
    encode_event(&mut frame, record, false, 1);
    frame.finish_text()
}

/// The text in one of our own frames: behind the header, whose length its second byte tells.
pub(super) fn payload_of(frame: &Bytes) -> &str {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        Some(_) | None => 2,
    };
    frame.get(header..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}
