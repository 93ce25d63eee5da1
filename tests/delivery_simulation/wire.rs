//! Reads what the server sends. Its members stand in an order that is known, so that a search
//! serves: the first of a name is the envelope's.

use bytes::Bytes;

/// The topics of every world. Rules may name the last two.
pub const TOPICS: [&str; 6] = ["t.a", "t.b", "t.c", "u.a", "g.a", "h.a"];
/// What is subscribed to.
pub const PATTERNS: [&str; 9] = ["t.a", "t.b", "t.c", "u.a", "g.a", "h.a", "t.*", "t.>", "*.a"];

/// Whether a pattern names a topic.
pub fn matches(pattern: usize, topic: usize) -> bool {
    match pattern {
        0..6 => pattern == topic,
        6 | 7 => topic < 3,
        _ => matches!(topic, 0 | 3 | 4 | 5),
    }
}

/// An event as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub epoch: u64,
    pub offset: u64,
    pub topic: usize,
    pub history: Option<u64>,
    pub prev: Option<u64>,
    pub ack: bool,
    pub attempt: u32,
    /// The number of its publish.
    pub n: usize,
}

/// The text of an unmasked frame.
pub fn text_of(frame: &Bytes) -> &str {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    std::str::from_utf8(&frame[header..]).unwrap()
}

pub fn number(text: &str, key: &str) -> Option<u64> {
    let rest = &text[text.find(key)? + key.len()..];
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

pub fn string<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = &text[text.find(key)? + key.len()..];
    rest.find('"').map(|end| &rest[..end])
}

/// An event's id.
pub fn id_of(text: &str) -> Option<(u64, u64)> {
    let (epoch, offset) = text.split_once('-')?;
    Some((u64::from_str_radix(epoch, 16).ok()?, offset.parse().ok()?))
}

/// An application's event; nothing if it is one of the server's own.
pub fn event(text: &str) -> Option<Sent> {
    let head = &text[..text.find(",\"data\":").expect("an event has data")];
    let channel = string(head, "\"channel\":\"").expect("an event has a channel");
    if channel == "system" {
        return None;
    }
    let action = string(head, "\"action\":\"").expect("an event has an action");
    let is_topic = |topic: &&str| topic.split_once('.') == Some((channel, action));
    let topic = TOPICS.iter().position(is_topic).expect("a topic of this world");
    let (epoch, offset) = id_of(string(head, "\"id\":\"").unwrap()).expect("an event's id");
    Some(Sent {
        epoch,
        offset,
        topic,
        history: number(head, "\"offset\":"),
        prev: number(head, "\"prev\":"),
        ack: head.contains("\"ack\":true"),
        attempt: number(head, "\"attempt\":").unwrap_or(1) as u32,
        n: number(text, "\"data\":{\"n\":").expect("an event's number") as usize,
    })
}
