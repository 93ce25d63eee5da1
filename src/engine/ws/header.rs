//! The frame header, and everything that is refused because of it: all of it before the payload
//! is there.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;

use super::{Control, Data, Limits, OpCode, Role, Violation};

/// The longest header: two bytes, a length of eight, a mask of four.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame: RFC 6455, 5.5.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data(DataKind),
    Control(ControlKind),
}

/// What a message is. A continuation is what its message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataKind {
    Text,
    Binary,
}

/// What a control frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    Close,
    Ping,
    Pong,
}

/// A frame whose header was accepted, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Payload bytes still to come.
    pub left: u64,
    /// Turned to the next payload byte; zero where there is none.
    pub mask: [u8; 4],
    pub kind: Kind,
    pub is_final: bool,
    /// It begins a compressed message.
    pub is_deflated: bool,
}

/// The message that is under way when a header arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub kind: DataKind,
    pub bytes: usize,
    pub fragments: u32,
}

/// Reads a header from the front of `bytes`. Gives the frame and the header's size, or `None` as
/// long as it is incomplete and what is there is no reason to refuse it.
pub(super) fn parse(
    bytes: &[u8],
    role: Role,
    open: Option<Open>,
    limits: &Limits,
    may_deflate: bool,
) -> Result<Option<(Frame, usize)>, Violation> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let kind = check_start(first, second, role, open, may_deflate)?;
    let mut cursor = Cursor::new(bytes);
    // An opcode is all that it refuses, and that was checked.
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::ReservedOpcode)?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let size = cursor.position() as usize;

    // RFC 6455, 5.2: the most significant bit of a 64-bit length is 0.
    if length >> 63 != 0 {
        return Err(Violation::LengthOver63Bits);
    }
    // RFC 6455, 5.2: the minimal number of bytes encodes the length.
    if header.len(length) != size {
        return Err(Violation::LengthNotMinimal);
    }
    match kind {
        Kind::Data(_) => check_size(length, open, limits)?,
        Kind::Control(_) => {}
    }
    let mask = header.mask.unwrap_or_default();
    let frame = Frame { left: length, mask, kind, is_final: header.is_final, is_deflated: header.rsv1 };
    Ok(Some((frame, size)))
}

/// What the first two bytes give away.
fn check_start(first: u8, second: u8, role: Role, open: Option<Open>, may_deflate: bool) -> Result<Kind, Violation> {
    let is_final = first & 0x80 != 0;
    let is_masked = second & 0x80 != 0;
    // RFC 6455, 5.1: a server refuses frames without a mask, a client refuses those with one.
    if is_masked != (role == Role::Server) {
        return Err(Violation::Unmasked);
    }
    // RFC 7692, 6: RSV1 on the first frame of a message says that it is compressed; control frames and
    // continuations never have it.
    let begins_message = matches!(first & 0x0F, 1 | 2);
    let meaningful = if may_deflate && begins_message { 0x40 } else { 0 };
    // RFC 6455, 5.2: reserved bits are 0 unless an extension gives them a meaning.
    if first & 0x70 & !meaningful != 0 {
        return Err(Violation::ReservedBits);
    }
    let kind = match (OpCode::from(first & 0x0F), open) {
        (OpCode::Data(Data::Continue), Some(open)) => Kind::Data(open.kind),
        // RFC 6455, 5.4: a continuation continues something.
        (OpCode::Data(Data::Continue), None) => return Err(Violation::UnexpectedContinuation),
        // RFC 6455, 5.4: the fragments of one message are not mixed with another's.
        (OpCode::Data(Data::Text | Data::Binary), Some(_)) => return Err(Violation::ExpectedContinuation),
        (OpCode::Data(Data::Text), None) => Kind::Data(DataKind::Text),
        (OpCode::Data(Data::Binary), None) => Kind::Data(DataKind::Binary),
        (OpCode::Control(Control::Close), _) => Kind::Control(ControlKind::Close),
        (OpCode::Control(Control::Ping), _) => Kind::Control(ControlKind::Ping),
        (OpCode::Control(Control::Pong), _) => Kind::Control(ControlKind::Pong),
        // RFC 6455, 5.2: an unknown opcode fails the connection.
        (OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)), _) => {
            return Err(Violation::ReservedOpcode);
        }
    };
    match kind {
        Kind::Data(_) => {}
        // RFC 6455, 5.5: control frames have 125 bytes at most and are not fragmented.
        Kind::Control(_) => {
            if usize::from(second & 0x7F) > CONTROL_BYTES_MAX {
                return Err(Violation::ControlTooLong);
            }
            if !is_final {
                return Err(Violation::ControlFragmented);
            }
        }
    }
    Ok(kind)
}

fn check_size(length: u64, open: Option<Open>, limits: &Limits) -> Result<(), Violation> {
    if length > limits.frame_bytes_max as u64 {
        return Err(Violation::FrameTooLarge);
    }
    let before = open.map_or(0, |open| open.bytes);
    if length.saturating_add(before as u64) > limits.message_bytes_max as u64 {
        return Err(Violation::MessageTooLarge);
    }
    if open.is_some_and(|open| open.fragments >= limits.fragments_max) {
        return Err(Violation::TooManyFragments);
    }
    Ok(())
}
