//! The peer's side: what it sends, and what it sees.

use crate::engine::ws::{self, Control, Data, Decoder, Flow, Incoming, OpCode, Role, client};

pub const TEXT: OpCode = OpCode::Data(Data::Text);
pub const BINARY: OpCode = OpCode::Data(Data::Binary);
pub const CLOSE: OpCode = OpCode::Control(Control::Close);
pub const PING: OpCode = OpCode::Control(Control::Ping);
pub const PONG: OpCode = OpCode::Control(Control::Pong);

/// A frame that the peer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// An HTTP answer that the peer saw.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The error's code in the body.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().into()
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
}

/// A handshake with these further lines.
pub fn upgrade(lines: &str) -> String {
    upgrade_of("/", "hydrogen", lines)
}

pub fn upgrade_of(target: &str, protocols: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n{lines}\r\n"
    )
}

/// A masked frame.
pub fn frame(opcode: OpCode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    client::masked_frame(opcode, true, payload.as_ref(), [0x11, 0x82, 0xF3, 0x21], &mut out);
    out
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(TEXT, payload)
}

pub fn close_frame(code: u16) -> Vec<u8> {
    frame(CLOSE, code.to_be_bytes())
}

pub fn frames_of(bytes: &[u8]) -> Vec<Seen> {
    let limits = ws::Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 1 };
    let mut decoder = Decoder::new(Role::Client);
    let mut seen = Vec::new();
    let taken = decoder.feed(&mut bytes.to_vec(), &limits, &mut |incoming| {
        seen.push(match incoming {
            Incoming::Text(text) => Seen::Text(text.into()),
            Incoming::Binary(bytes) => Seen::Binary(bytes.into()),
            Incoming::Ping(_) => Seen::Ping,
            Incoming::Pong(payload) => Seen::Pong(payload.into()),
            Incoming::Close { code, reason } => Seen::Close(code, reason.into()),
        });
        Flow::Continue
    });
    assert_eq!(taken, Ok(bytes.len()), "the server keeps to RFC 6455");
    assert_eq!(decoder.held_bytes(), 0, "whole frames only");
    seen
}

/// The first answer, and the bytes behind it.
pub fn reply_of(bytes: &[u8]) -> (Reply, &[u8]) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply { status, head, body: String::new() };
    let length: usize = reply.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    let length = length.min(bytes.len() - end);
    reply.body = String::from_utf8(bytes[end..end + length].to_vec()).unwrap();
    (reply, &bytes[end + length..])
}
