//! Writes requests as clients of both eras do, and reads what the server sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// Whose words are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    Room,
    Network,
}

impl Era {
    pub fn pick<T>(self, room: T, network: T) -> T {
        match self {
            Era::Room => room,
            Era::Network => network,
        }
    }

    /// The field that names a room.
    pub fn id(self) -> &'static str {
        self.pick("room_id", "network_id")
    }

    /// The field that holds a room's name.
    pub fn name(self) -> &'static str {
        self.pick("room_name", "network_name")
    }
}

/// How a payload lies in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Base64 = 0,
    Text = 1,
    Object = 2,
    Bytes = 3,
}

impl Encoding {
    pub const ALL: [Encoding; 4] = [Encoding::Base64, Encoding::Text, Encoding::Object, Encoding::Bytes];

    /// Its bit in a set of encodings.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A request as it lies in its message.
pub fn request(id: &str, kind: &str, payload: &Value, encoding: Encoding) -> String {
    let text = payload.to_string();
    let payload = match encoding {
        Encoding::Base64 => json!(STANDARD.encode(text)),
        Encoding::Text => json!(text),
        Encoding::Object => payload.clone(),
        Encoding::Bytes => json!(text.as_bytes()),
    };
    json!({"message_id": id, "type": kind, "payload": payload}).to_string()
}

/// A message as a client reads it.
#[derive(Clone, Debug)]
pub struct Got {
    pub id: String,
    pub kind: String,
    pub payload: Value,
    pub encoding: Encoding,
}

impl Got {
    /// Reads an unmasked frame.
    pub fn read(frame: &Bytes) -> Got {
        let text = text_of(frame);
        assert!(text.ends_with('\n'), "a message without its line break: {text}");
        let mut envelope: Value = serde_json::from_str(text).expect("the server writes JSON");
        let (payload, encoding) = match envelope["payload"].take() {
            Value::String(text) => match STANDARD.decode(&text) {
                Ok(bytes) => (serde_json::from_slice(&bytes), Encoding::Base64),
                Err(_) => (serde_json::from_str(&text), Encoding::Text),
            },
            Value::Array(bytes) => {
                let bytes: Vec<u8> = bytes.iter().map(|byte| byte.as_u64().expect("a byte") as u8).collect();
                (serde_json::from_slice(&bytes), Encoding::Bytes)
            }
            object => (Ok(object), Encoding::Object),
        };
        let mut text = |name: &str| match envelope[name].take() {
            Value::String(text) => text,
            other => panic!("{name} is {other}"),
        };
        Got { id: text("message_id"), kind: text("type"), payload: payload.expect("a payload is JSON"), encoding }
    }

    /// A text field; empty if it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.payload[field].as_str().unwrap_or_default()
    }

    /// The room that it is about, whatever the era.
    pub fn room(&self) -> &str {
        self.payload["room_id"].as_str().or(self.payload["network_id"].as_str()).unwrap_or_default()
    }

    /// The peer that it is about.
    pub fn peer(&self, field: &str) -> Option<u64> {
        let text = self.payload[field].as_str()?;
        Some(u64::from_str_radix(text, 16).expect("a peer's id"))
    }
}

/// The text of an unmasked frame.
pub fn text_of(frame: &Bytes) -> &str {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    std::str::from_utf8(&frame[header..]).expect("a text frame is UTF-8")
}
