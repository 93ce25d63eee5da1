//! From a compressed message to a plain one, never larger than a message may be.
//!
//! A message is inflated when its last byte is there: until then a connection holds what came and
//! no more, and no inflater waits for a peer that is slow.

use flate2::{Decompress, FlushDecompress, Status};

use super::window::Window;
use super::{BUFFER_KEPT, TAIL, WINDOW_BITS_MAX};
use crate::base::limits::FINAL_BLOCKS_PER_MESSAGE;
use crate::engine::ws::Violation;

/// An empty final block: what shows that the stream stands between two blocks.
const END: [u8; 2] = [0x03, 0x00];

/// The smallest buffer.
const BUFFER_MIN: usize = 4 * 1024;

/// What was inflated since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Their bytes as they came.
    pub compressed_bytes: u64,
    /// Their bytes inflated.
    pub plain_bytes: u64,
}

/// Inflates messages, one after another.
#[derive(Debug, Default)]
pub struct Inflater {
    made: Option<Box<Decompress>>,
    /// Its whole length may be written to.
    buffer: Vec<u8>,
    /// How much of it is the message.
    filled: usize,
    tally: Tally,
}

impl Inflater {
    /// Inflates a whole message: the payloads of its frames, one after another. `window` is what
    /// it may refer to, and gets the message.
    ///
    /// Stops as soon as more than `bytes_max` would come out.
    pub fn message(
        &mut self,
        payload: &[u8],
        window: Option<&mut Window>,
        bytes_max: usize,
    ) -> Result<&[u8], Violation> {
        self.filled = 0;
        let inflate =
            self.made.get_or_insert_with(|| Box::new(Decompress::new_with_window_bits(false, WINDOW_BITS_MAX)));
        inflate.reset(false);
        let history = window.as_ref().map_or(&[][..], |window| window.bytes());
        begin(inflate, history, &[])?;
        let out = &mut Out { buffer: &mut self.buffer, filled: &mut self.filled, bytes_max };
        let mut ends = 0;
        let mut rest = payload;
        let mut is_ended = false;
        while !rest.is_empty() {
            is_ended = run(inflate, &mut rest, out)?;
            if is_ended {
                // RFC 7692 7.2.3.4: a final block may end a message's stream, or a part of it.
                ends += 1;
                if ends > FINAL_BLOCKS_PER_MESSAGE {
                    return Err(Violation::DeflateData);
                }
                inflate.reset(false);
                begin(inflate, history, out.message())?;
            }
        }
        if !is_ended {
            // RFC 7692 7.2.2: what the sender took off is put back. The message is whole if the
            // stream then stands between two blocks, and nothing came out of it.
            let before = *out.filled;
            rest = &TAIL;
            let early = run(inflate, &mut rest, out)?;
            rest = &END;
            if early || !run(inflate, &mut rest, out)? || *out.filled != before {
                return Err(Violation::DeflateData);
            }
        }
        let message = &self.buffer[..self.filled];
        if let Some(window) = window {
            window.push(message);
        }
        self.tally.messages += 1;
        self.tally.compressed_bytes += payload.len() as u64;
        self.tally.plain_bytes += message.len() as u64;
        Ok(message)
    }

    /// Bytes of memory that it holds for messages.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The messages are used: gives a large buffer back, and what was counted.
    pub fn rest(&mut self) -> Tally {
        if self.buffer.len() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        std::mem::take(&mut self.tally)
    }
}

/// Hands a fresh inflater what the stream may refer to: the last 32 KiB of both, the newer last.
fn begin(inflate: &mut Decompress, older: &[u8], newer: &[u8]) -> Result<(), Violation> {
    let size = 1 << WINDOW_BITS_MAX;
    let newer = &newer[newer.len().saturating_sub(size)..];
    let older = &older[(older.len() + newer.len()).saturating_sub(size).min(older.len())..];
    for part in [older, newer] {
        if !part.is_empty() {
            inflate.set_dictionary(part).map_err(|_| Violation::DeflateData)?;
        }
    }
    Ok(())
}

/// Where a message is inflated to.
struct Out<'a> {
    buffer: &'a mut Vec<u8>,
    filled: &'a mut usize,
    bytes_max: usize,
}

impl Out<'_> {
    fn message(&self) -> &[u8] {
        &self.buffer[..*self.filled]
    }

    /// Room for at least one byte more, and never for more than one over the limit.
    fn room(&mut self) -> Result<&mut [u8], Violation> {
        let most = self.bytes_max.saturating_add(1);
        if *self.filled >= most {
            return Err(Violation::InflatedTooLarge);
        }
        if *self.filled == self.buffer.len() {
            let size = self.buffer.len().saturating_mul(2).clamp(BUFFER_MIN.min(most), most);
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        let end = self.buffer.len().min(most);
        Ok(&mut self.buffer[*self.filled..end])
    }
}

/// Inflates until the input is used up and nothing more comes out, or until a final block; tells
/// whether it was that.
fn run(inflate: &mut Decompress, input: &mut &[u8], out: &mut Out<'_>) -> Result<bool, Violation> {
    loop {
        let room = out.room()?;
        let size = room.len();
        let (taken, given) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(input, room, FlushDecompress::None).map_err(|_| Violation::DeflateData)?;
        let taken = (inflate.total_in() - taken) as usize;
        let given = (inflate.total_out() - given) as usize;
        *input = &input[taken..];
        *out.filled += given;
        match status {
            Status::StreamEnd => {
                return if *out.filled > out.bytes_max { Err(Violation::InflatedTooLarge) } else { Ok(true) };
            }
            // Room is left: what came in is used up, or nothing more can be made of it.
            Status::Ok | Status::BufError if given < size => {
                return if input.is_empty() { Ok(false) } else { Err(Violation::DeflateData) };
            }
            Status::Ok | Status::BufError => {}
        }
    }
}
