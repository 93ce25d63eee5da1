//! From a plain frame to a compressed one.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use tungstenite::protocol::frame::FrameHeader;

use super::form::Form;
use super::{BUFFER_KEPT, TAIL, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::engine::ws::OpCode;

/// Room for the longest header of a server frame: two bytes and a length of eight.
const HEADER_ROOM: usize = 10;

/// Room beyond what a payload can grow to: block headers, and the empty block at the end.
const SLACK: usize = 256;

/// Compresses frames, one after another, each with an empty history. One compressor for each
/// [`Form`] is made when it is first wanted.
#[derive(Debug)]
pub struct Deflater {
    level: u8,
    window_bits: u8,
    made: [Option<Box<Compress>>; 2],
    buffer: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Deflater {
        Deflater::new(1, WINDOW_BITS_MAX)
    }
}

impl Deflater {
    /// Levels are 1 to 9, windows 9 to 15 bits.
    pub fn new(level: u8, window_bits: u8) -> Deflater {
        Deflater {
            level: level.clamp(1, 9),
            window_bits: window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX),
            made: [None, None],
            buffer: Vec::new(),
        }
    }

    /// Whether a compressor for this form is there.
    pub fn is_ready(&self, form: Form) -> bool {
        self.made[form as usize].is_some()
    }

    /// Bytes of payload of a frame that a server sends; `None` if it is no data frame that may be
    /// compressed.
    pub fn payload(frame: &[u8]) -> Option<&[u8]> {
        let [first, second, ..] = *frame else { return None };
        // RFC 7692 6.1: data frames are compressed, and of ours all are whole messages.
        if !matches!(first, 0x81 | 0x82) {
            return None;
        }
        let header = match second {
            126 => 4,
            127 => HEADER_ROOM,
            _ => 2,
        };
        frame.get(header..)
    }

    /// The same message in a compressed frame; `None` if that would not be smaller.
    pub fn compress(&mut self, frame: &[u8], form: Form) -> Option<Bytes> {
        let payload = Deflater::payload(frame)?;
        let bits = match form {
            Form::Wide => self.window_bits,
            Form::Narrow => WINDOW_BITS_MIN,
        };
        let level = Compression::new(u32::from(self.level));
        let compress = self.made[form as usize]
            .get_or_insert_with(|| Box::new(Compress::new_with_window_bits(level, false, bits)));
        compress.reset();
        // The fastest level makes nine bits of eight at worst, and the end takes a few more.
        let room = HEADER_ROOM + payload.len() + payload.len() / 8 + SLACK;
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let status = compress.compress(payload, &mut self.buffer[HEADER_ROOM..room], FlushCompress::Sync);
        let size = compress.total_out() as usize;
        let is_whole = matches!(status, Ok(Status::Ok))
            && compress.total_in() == payload.len() as u64
            && size < room - HEADER_ROOM;
        if !is_whole {
            // zlib-rs 0.6.8 does not reset where its pending output begins: what is left there would
            // be in the way of the next messages.
            self.made[form as usize] = None;
        }
        let deflated = self.buffer[HEADER_ROOM..HEADER_ROOM + size].strip_suffix(&TAIL).filter(|_| is_whole);
        let opcode = OpCode::from(frame[0] & 0x0F);
        // RFC 7692 6.1: RSV1 says that the message is compressed.
        let header = FrameHeader { opcode, rsv1: true, ..FrameHeader::default() };
        let made = deflated.map(<[u8]>::len).and_then(|length| {
            let start = HEADER_ROOM - header.len(length as u64);
            // Writing to a slice fails only for want of room, and the start leaves just enough.
            let _ = header.format(length as u64, &mut &mut self.buffer[start..HEADER_ROOM]);
            let made = &self.buffer[start..HEADER_ROOM + length];
            (made.len() < frame.len()).then(|| Bytes::copy_from_slice(made))
        });
        if self.buffer.len() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        made
    }
}
