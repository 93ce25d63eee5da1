//! Server frames: unmasked, one frame per message, built once and shared by every receiver.
//!
//! Owns no queue and no fragmenting: a message of ours is one frame.

use std::ops::{Deref, DerefMut};

use bytes::{Buf, Bytes};
use tungstenite::protocol::frame::FrameHeader;

use super::header::CONTROL_BYTES_MAX;
use super::{Control, Data, OpCode};

/// Room for the longest header of a server frame: two bytes and a length of eight.
const HEADER_ROOM: usize = 10;

/// The longest reason of a close frame: a control frame's payload less the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// A message being written, with room for its header in front.
///
/// It derefs to the `Vec` that the payload is appended to. What is in the `Vec` already is the
/// header's room: append only.
#[derive(Debug)]
pub struct FrameBuilder {
    buffer: Vec<u8>,
}

impl FrameBuilder {
    /// Room for a payload of that many bytes; a longer one makes it grow.
    pub fn with_capacity(payload_bytes: usize) -> FrameBuilder {
        let mut buffer = Vec::with_capacity(HEADER_ROOM + payload_bytes);
        buffer.extend_from_slice(&[0; HEADER_ROOM]);
        FrameBuilder { buffer }
    }

    /// Bytes of payload so far.
    pub fn payload_len(&self) -> usize {
        self.buffer.len().saturating_sub(HEADER_ROOM)
    }

    /// A text frame. The payload must be UTF-8: it is not checked.
    pub fn finish_text(self) -> Bytes {
        self.finish(OpCode::Data(Data::Text))
    }

    /// A binary frame.
    pub fn finish_binary(self) -> Bytes {
        self.finish(OpCode::Data(Data::Binary))
    }

    fn finish(mut self, opcode: OpCode) -> Bytes {
        debug_assert!(self.buffer.len() >= HEADER_ROOM, "the header's room was cut");
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let length = self.payload_len() as u64;
        let start = HEADER_ROOM - header.len(length);
        // Writing to a slice fails only for want of room, and the start leaves just enough.
        let _ = header.format(length, &mut &mut self.buffer[start..HEADER_ROOM]);
        let mut frame = Bytes::from(self.buffer);
        frame.advance(start);
        frame
    }
}

impl Deref for FrameBuilder {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.buffer
    }
}

impl DerefMut for FrameBuilder {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

/// A text frame of a payload that is there already. It must be UTF-8: it is not checked.
pub fn text(payload: &[u8]) -> Bytes {
    frame(OpCode::Data(Data::Text), payload)
}

/// A binary frame of a payload that is there already.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(OpCode::Data(Data::Binary), payload)
}

/// A ping. Of the payload 125 bytes are sent.
pub fn ping(payload: &[u8]) -> Bytes {
    control(Control::Ping, payload)
}

/// A pong. Of the payload 125 bytes are sent; a ping never has more.
pub fn pong(payload: &[u8]) -> Bytes {
    control(Control::Pong, payload)
}

/// A close frame, with a code and a reason or with neither. Of the reason at most 123 bytes are
/// sent, whole characters only.
pub fn close(status: Option<(u16, &str)>) -> Bytes {
    let Some((code, reason)) = status else { return control(Control::Close, &[]) };
    debug_assert!(super::is_close_code(code), "{code}");
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = [0; CONTROL_BYTES_MAX];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    control(Control::Close, &payload[..2 + end])
}

fn control(control: Control, payload: &[u8]) -> Bytes {
    frame(OpCode::Control(control), &payload[..payload.len().min(CONTROL_BYTES_MAX)])
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut out = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to a Vec cannot fail.
    let _ = header.format(length, &mut out);
    out.extend_from_slice(payload);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_the_rfc_has_them() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![b'x'; length];
            let expected = [header, &payload].concat();
            assert_eq!(text(&payload), expected, "{length}");
            let mut builder = FrameBuilder::with_capacity(length);
            builder.extend_from_slice(&payload);
            assert_eq!(builder.payload_len(), length);
            assert_eq!(builder.finish_text(), expected, "{length}");
        }
        assert_eq!(&binary(b"b")[..], b"\x82\x01b");
        assert_eq!(&FrameBuilder::with_capacity(0).finish_binary()[..], b"\x82\x00");
        assert_eq!(&ping(b"p")[..], b"\x89\x01p");
        assert_eq!(&pong(&[b'p'; 200])[..2], b"\x8a\x7d");
        assert_eq!(&close(None)[..], b"\x88\x00");
        assert_eq!(&close(Some((1001, "bye")))[..], b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn a_builder_with_the_right_room_does_not_move_its_payload() {
        let mut builder = FrameBuilder::with_capacity(300);
        let before = builder.as_ptr();
        builder.extend_from_slice(&[b'x'; 300]);
        let frame = builder.finish_text();
        assert_eq!(before.wrapping_add(HEADER_ROOM - 4), frame.as_ptr());
    }

    #[test]
    fn long_close_reasons_are_cut_between_characters() {
        for (reason, kept) in [
            ("x".repeat(123), 123),
            ("x".repeat(124), 123),
            ("€".repeat(41), 123),
            (format!("x{}", "€".repeat(41)), 121),
            (format!("xx{}", "𐍈".repeat(41)), 122),
        ] {
            let frame = close(Some((1000, &reason)));
            assert_eq!(usize::from(frame[1]), kept + 2);
            assert_eq!(&frame[4..], &reason.as_bytes()[..kept]);
        }
    }
}
