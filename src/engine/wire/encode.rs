//! What the server sends, appended to a buffer.
//!
//! Members stand in the order of the protocol page. Timestamps come as text, since one turn's
//! messages share one; `data` comes encoded and goes out byte for byte.

use super::json::plain::plain_len;
use crate::base::Error;

/// Bytes of an envelope without its texts, for one reservation per message.
const FRAME_BYTES: usize = 160;
/// The same of an event: its members and their names, with the longest numbers.
const EVENT_BYTES: usize = 256;

/// What stands in an event before its data.
#[derive(Clone, Copy, Debug)]
pub struct EventHead<'a> {
    /// The topic's epoch; with the offset it makes the id.
    pub epoch: &'a str,
    /// The event's place in its topic.
    pub offset: u64,
    /// RFC 3339.
    pub timestamp: &'a str,
    /// The topic's first token.
    pub channel: &'a str,
    /// The rest of the topic.
    pub action: &'a str,
    /// Whether the topic keeps history, so that `offset` and `prev` are written.
    pub history: bool,
    /// The offset before this one in the topic; none for the first.
    pub prev: Option<u64>,
    /// Whether an ack is asked for.
    pub ack: bool,
    /// Which delivery it is, from 1; written from 2 on.
    pub attempt: u32,
}

/// A response with `"status":"success"`.
pub fn response_ok(out: &mut Vec<u8>, id: &str, timestamp: &str, channel: &str, action: &str, data: &[u8]) {
    out.reserve(FRAME_BYTES + id.len() + channel.len() + action.len() + data.len());
    response_head(out, id, timestamp, Some(channel), Some(action));
    out.extend_from_slice(b",\"status\":\"success\",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
}

/// A response with `"status":"error"`. Channel and action are left out where the command's could
/// not be read.
pub fn response_error(
    out: &mut Vec<u8>,
    id: &str,
    timestamp: &str,
    channel: Option<&str>,
    action: Option<&str>,
    error: &Error,
) {
    response_head(out, id, timestamp, channel, action);
    out.extend_from_slice(b",\"status\":\"error\",\"error\":");
    error.write_json(out);
    out.push(b'}');
}

/// Bytes that an event with a topic and data of these sizes needs at most, unless its topic has to be
/// escaped.
pub fn event_room(topic: usize, data: usize) -> usize {
    EVENT_BYTES + topic + data
}

/// An event.
pub fn event(out: &mut Vec<u8>, head: &EventHead<'_>, data: &[u8]) {
    out.reserve(event_room(head.channel.len() + 1 + head.action.len(), data.len()));
    out.extend_from_slice(b"{\"type\":\"event\",\"id\":\"");
    push_escaped(out, head.epoch);
    out.push(b'-');
    push_u64(out, head.offset);
    out.extend_from_slice(b"\",\"timestamp\":");
    push_json_string(out, head.timestamp);
    out.extend_from_slice(b",\"channel\":");
    push_json_string(out, head.channel);
    out.extend_from_slice(b",\"action\":");
    push_json_string(out, head.action);
    if head.history {
        out.extend_from_slice(b",\"offset\":");
        push_u64(out, head.offset);
        if let Some(prev) = head.prev {
            out.extend_from_slice(b",\"prev\":");
            push_u64(out, prev);
        }
    }
    if head.ack {
        out.extend_from_slice(b",\"ack\":true");
    }
    if head.attempt > 1 {
        out.extend_from_slice(b",\"attempt\":");
        push_u64(out, u64::from(head.attempt));
    }
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
}

/// The answer to an older client's keepalive.
pub fn keepalive_ok(out: &mut Vec<u8>, unix_s: i64) {
    out.extend_from_slice(b"{\"type\":\"keepalive_ok\",\"ts\":");
    if unix_s < 0 {
        out.push(b'-');
    }
    push_u64(out, unix_s.unsigned_abs());
    out.push(b'}');
}

/// A JSON string with its quotes.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// A number in decimal.
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    // 2^64 - 1 has 20 digits.
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn response_head(out: &mut Vec<u8>, id: &str, timestamp: &str, channel: Option<&str>, action: Option<&str>) {
    out.extend_from_slice(b"{\"type\":\"response\",\"id\":");
    push_json_string(out, id);
    out.extend_from_slice(b",\"timestamp\":");
    push_json_string(out, timestamp);
    if let Some(channel) = channel {
        out.extend_from_slice(b",\"channel\":");
        push_json_string(out, channel);
    }
    if let Some(action) = action {
        out.extend_from_slice(b",\"action\":");
        push_json_string(out, action);
    }
}

/// A string's inside.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_len(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { return };
        push_escape(out, byte);
        rest = &rest[plain + 1..];
    }
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
