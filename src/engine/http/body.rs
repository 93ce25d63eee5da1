//! Request bodies: exact lengths and chunks (RFC 9112 section 7.1), each up to a limit.
//!
//! Fed with what arrives, in pieces of any size. The first refusal sticks. Trailers are checked
//! and thrown away.

use super::framing::BodyLength;
use super::headers::{is_token, is_value_byte};
use super::refusal::Refusal;
use crate::base::limits::{HTTP_CHUNK_LINE, HTTP_TRAILERS};

/// Bytes of chunk extensions in one body. Nothing here reads them, so a body made mostly of them
/// is an attack on the processor.
const EXTENSION_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Inside a body of known length.
    Exact,
    /// Before a chunk size's first digit.
    SizeStart,
    /// After at least one of its digits.
    Size,
    /// After white space that only an extension may follow.
    SizeSpace,
    /// In a chunk's extensions.
    Extension,
    /// After the CR of a chunk-size line.
    SizeLf,
    /// Inside a chunk.
    Data,
    /// After a chunk, before its CR.
    DataCr,
    /// After a chunk's CR.
    DataLf,
    /// In the trailers.
    Trailer,
    Done,
    Refused(Refusal),
}

/// The decoder of one body.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes that the body or the chunk still has.
    left: u64,
    /// Bytes that the limit still allows.
    room: u64,
    /// Bytes of this chunk-size line so far.
    line_bytes: usize,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer: Vec<u8>,
}

impl BodyDecoder {
    /// A decoder for a body framed so. A length over the limit is refused before a byte of it.
    pub fn new(length: BodyLength, limit: u64) -> Result<BodyDecoder, Refusal> {
        let (state, left) = match length {
            BodyLength::None | BodyLength::Exact(0) => (State::Done, 0),
            BodyLength::Exact(length) if length > limit => return Err(Refusal::BodyTooLarge),
            BodyLength::Exact(length) => (State::Exact, length),
            BodyLength::Chunked => (State::SizeStart, 0),
        };
        let (line_bytes, extension_bytes, trailer_bytes) = (0, 0, 0);
        Ok(BodyDecoder { state, left, room: limit, line_bytes, extension_bytes, trailer_bytes, trailer: Vec::new() })
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes from `input` and appends to `out`. Returns how much of `input` belonged to the
    /// body, and whether the body is complete; what follows is the next request's.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), Refusal> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Done => break,
                State::Exact | State::Data => {
                    let rest = &input[at..];
                    let taken = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                    out.extend_from_slice(&rest[..taken]);
                    at += taken;
                    self.left -= taken as u64;
                    if self.left == 0 {
                        self.state = if self.state == State::Exact { State::Done } else { State::DataCr };
                    }
                }
                State::SizeStart | State::Size | State::SizeSpace | State::Extension | State::SizeLf => {
                    at += 1;
                    self.on_size_line(byte)?;
                }
                State::DataCr => {
                    at += 1;
                    self.expect(byte, b'\r', State::DataLf)?;
                }
                State::DataLf => {
                    at += 1;
                    self.expect(byte, b'\n', State::SizeStart)?;
                }
                State::Trailer => {
                    at += 1;
                    self.on_trailer(byte)?;
                }
                State::Refused(refusal) => return Err(refusal),
            }
        }
        if let State::Refused(refusal) = self.state {
            return Err(refusal);
        }
        Ok((at, self.is_done()))
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        self.state = State::Refused(refusal);
        Err(refusal)
    }

    fn expect(&mut self, byte: u8, wanted: u8, next: State) -> Result<(), Refusal> {
        if byte != wanted {
            return self.refuse(Refusal::Chunk);
        }
        self.state = next;
        Ok(())
    }

    fn on_size_line(&mut self, byte: u8) -> Result<(), Refusal> {
        self.line_bytes += 1;
        if self.line_bytes > HTTP_CHUNK_LINE {
            return self.refuse(Refusal::Chunk);
        }
        self.state = match (self.state, byte) {
            // RFC 9112 7.1: 1*HEXDIG: no sign, no prefix, no white space before it.
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.on_digit(byte),
            (State::Size | State::Extension, b'\r') => State::SizeLf,
            // RFC 9112 7.1.1: white space stands before an extension, never at the line's end.
            (State::Size | State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Extension, byte) if is_value_byte(byte) && self.extension_bytes < EXTENSION_BYTES => {
                self.extension_bytes += 1;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                self.line_bytes = 0;
                match self.left {
                    0 => State::Trailer,
                    size if size > self.room => return self.refuse(Refusal::BodyTooLarge),
                    size => {
                        self.room -= size;
                        State::Data
                    }
                }
            }
            _ => return self.refuse(Refusal::Chunk),
        };
        Ok(())
    }

    fn on_digit(&mut self, byte: u8) -> Result<(), Refusal> {
        let digit = u64::from((byte as char).to_digit(16).unwrap_or_default());
        // RFC 9112 7.1: recipients must not let large sizes overflow.
        match self.left.checked_mul(16).and_then(|size| size.checked_add(digit)) {
            Some(size) => {
                self.left = size;
                self.state = State::Size;
                Ok(())
            }
            None => self.refuse(Refusal::Chunk),
        }
    }

    fn on_trailer(&mut self, byte: u8) -> Result<(), Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > HTTP_TRAILERS {
            return self.refuse(Refusal::Chunk);
        }
        match (self.trailer.last(), byte) {
            (Some(b'\r'), b'\n') if self.trailer.len() == 1 => {
                self.trailer = Vec::new();
                self.state = State::Done;
            }
            (Some(b'\r'), b'\n') => {
                self.trailer.pop();
                if let Err(refusal) = check_trailer(&self.trailer) {
                    return self.refuse(refusal);
                }
                self.trailer.clear();
            }
            (Some(b'\r'), _) | (_, b'\n') => return self.refuse(Refusal::Chunk),
            (_, byte) => self.trailer.push(byte),
        }
        Ok(())
    }
}

fn check_trailer(line: &[u8]) -> Result<(), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::FoldedHeader);
    }
    let mut parts = line.splitn(2, |b| *b == b':');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return Err(Refusal::HeaderName) };
    // RFC 9110 6.5.1: fields of framing and routing never stand in trailers.
    let is_forbidden = ["content-length", "transfer-encoding", "host"];
    if !is_token(name) || is_forbidden.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) {
        return Err(Refusal::HeaderName);
    }
    if value.iter().all(|b| is_value_byte(*b)) { Ok(()) } else { Err(Refusal::HeaderValue) }
}

#[cfg(test)]
mod tests;
