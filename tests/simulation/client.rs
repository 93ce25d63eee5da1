//! A client: real bytes on a simulated socket, read and written in pieces of any size.

use std::collections::VecDeque;

use flate2::{Compress, Compression, FlushCompress};
use hydrogen::engine::ws::client::masked_frame;
use hydrogen::engine::ws::deflate::Inflater;
use hydrogen::engine::ws::{Control, Data, Decoder, Flow, Incoming, Limits, OpCode, Role};
use serde_json::Value;

use crate::floor::Floor;
use crate::keys::Keys;
use crate::link::Holder;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hydrogen,
    Echo,
    Http,
    /// Bytes that are no request.
    Noise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking,
    Open,
}

pub struct Client {
    pub link: usize,
    pub kind: Kind,
    /// Whose key it holds.
    pub key: Option<usize>,
    /// The key is shown with the first command.
    pub in_band: bool,
    stage: Stage,
    pub outbox: VecDeque<u8>,
    inbox: Vec<u8>,
    decoder: Decoder,
    inflater: Inflater,
    /// What compresses its messages, where that was agreed.
    compress: Option<Box<Compress>>,
    /// It reads seldom.
    pub is_slow: bool,
    /// It answers no pings, and says nothing more.
    pub is_silent: bool,
    /// It broke the rules: anything may come back.
    pub is_rude: bool,
    pub sent_close: bool,
    pub got_close: bool,
    pub is_gone: bool,
    pub number: u64,
}

enum Got {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 1 };

impl Client {
    pub fn new(link: usize, kind: Kind) -> Client {
        Client {
            link,
            kind,
            key: None,
            in_band: false,
            stage: Stage::Asking,
            outbox: VecDeque::new(),
            inbox: Vec::new(),
            decoder: Decoder::new(Role::Client),
            inflater: Inflater::default(),
            compress: None,
            is_slow: false,
            is_silent: false,
            is_rude: false,
            sent_close: false,
            got_close: false,
            is_gone: false,
            number: 0,
        }
    }

    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open && !self.is_gone
    }

    pub fn is_asking(&self) -> bool {
        self.stage == Stage::Asking && !self.is_gone
    }

    /// Whether it may say something new.
    pub fn may_speak(&self) -> bool {
        self.is_open() && !self.sent_close && !self.got_close && !self.is_silent && !self.is_rude
    }

    /// Puts bytes on the socket, as many as it takes and no more than `most`; true if there were any.
    pub fn write(&mut self, most: usize, floor: &mut Floor<'_>) -> bool {
        let link = &mut floor.links[self.link];
        if self.is_gone || link.up.is_ended() {
            self.outbox.clear();
            return false;
        }
        let room = link.capacity.saturating_sub(link.up.waits());
        let count = self.outbox.len().min(room).min(most);
        let bytes: Vec<u8> = self.outbox.drain(..count).collect();
        link.up.write(&bytes);
        count > 0
    }

    /// Takes bytes from the socket; true if there were any, or the end.
    pub fn read(&mut self, most: usize, floor: &mut Floor<'_>) -> bool {
        if self.is_gone {
            return false;
        }
        let link = &mut floor.links[self.link];
        let bytes = link.down.take(most);
        link.on_room();
        if bytes.is_empty() {
            let over = link.is_reset || link.down.has_end();
            if over {
                self.leave(floor);
            }
            return over;
        }
        self.take(&bytes, floor);
        true
    }

    /// Closes the socket.
    pub fn leave(&mut self, floor: &mut Floor<'_>) {
        let link = &mut floor.links[self.link];
        link.up.end();
        link.client_is_gone = true;
        self.is_gone = true;
        self.outbox.clear();
        if link.holder == Holder::Nobody {
            // It will be accepted, and found to be over.
            link.up.deliver(usize::MAX);
        }
    }

    fn take(&mut self, bytes: &[u8], floor: &mut Floor<'_>) {
        if self.stage == Stage::Open {
            return self.take_frames(&mut bytes.to_vec(), floor);
        }
        self.inbox.extend_from_slice(bytes);
        while self.stage == Stage::Asking {
            let Some(end) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            let head = String::from_utf8(self.inbox[..end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).unwrap().to_owned();
            if status == "101" {
                floor.say(format!("link {} is let in", self.link));
                let book = &mut floor.shadow.books[self.link];
                assert!(matches!(self.kind, Kind::Hydrogen | Kind::Echo), "link {}: let in unasked", self.link);
                assert!(
                    self.kind == Kind::Echo || self.in_band || book.claims.is_some(),
                    "link {}: let in with a wrong key",
                    self.link
                );
                if !self.in_band {
                    book.name = book.claims;
                }
                if head.contains("permessage-deflate") {
                    self.decoder = Decoder::with_deflate(Role::Client, None);
                    self.compress = Some(Box::new(Compress::new(Compression::fast(), false)));
                }
                self.stage = Stage::Open;
                let mut rest = self.inbox.split_off(end + 4);
                self.inbox = Vec::new();
                self.take_frames(&mut rest, floor);
                return;
            }
            if status == "100" {
                self.inbox.drain(..end + 4);
                continue;
            }
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            let length: usize = length.unwrap_or_else(|| panic!("no length: {head}")).parse().unwrap();
            if self.inbox.len() < end + 4 + length {
                return;
            }
            self.inbox.drain(..end + 4 + length);
            floor.say(format!("link {} is answered {status}", self.link));
            let book = &mut floor.shadow.books[self.link];
            book.http_answers += 1;
            assert!(book.http_answers <= book.http_requests.max(1), "link {}: an answer to nothing", self.link);
        }
    }

    fn take_frames(&mut self, bytes: &mut [u8], floor: &mut Floor<'_>) {
        let mut got = Vec::new();
        let fed = self.decoder.feed_inflating(bytes, &LIMITS, Some(&mut self.inflater), &mut |incoming| {
            got.push(match incoming {
                Incoming::Text(text) => Got::Text(text.to_owned()),
                Incoming::Binary(_) => Got::Binary,
                Incoming::Ping(payload) => Got::Ping(payload.to_vec()),
                Incoming::Pong(payload) => Got::Pong(payload.to_vec()),
                Incoming::Close { code, .. } => Got::Close(code),
            });
            Flow::Continue
        });
        assert!(fed.is_ok(), "link {}: the server broke the WebSocket protocol: {fed:?}", self.link);
        for got in got {
            self.on_message(got, floor);
        }
    }

    fn on_message(&mut self, got: Got, floor: &mut Floor<'_>) {
        let link = self.link;
        assert!(!self.got_close, "link {link}: something came after the close frame");
        let book = &mut floor.shadow.books[link];
        match got {
            Got::Text(text) if self.kind == Kind::Echo => {
                let sent = book.echoes.pop_front();
                assert_eq!(sent.as_deref(), Some(&*text), "link {link}: another echo than was due");
            }
            Got::Text(text) => {
                floor.say(format!("link {link} gets {}", &text[..text.len().min(700)]));
                self.on_text(&text, floor);
            }
            Got::Binary => panic!("link {link}: a binary message"),
            Got::Ping(payload) => {
                if !self.is_silent && !self.sent_close {
                    self.frame(OpCode::Control(Control::Pong), true, &payload, floor);
                }
            }
            Got::Pong(payload) => {
                let sent = book.pings.pop_front();
                assert_eq!(sent, Some(payload), "link {link}: another pong than was due");
            }
            Got::Close(code) => {
                floor.say(format!("link {link} gets a close frame, {code:?}"));
                self.got_close = true;
                let book = &mut floor.shadow.books[link];
                book.close_code = Some(code);
                if !self.sent_close {
                    self.sent_close = true;
                    self.outbox.clear();
                    if !self.is_rude {
                        self.frame(OpCode::Control(Control::Close), true, &code.unwrap_or(1000).to_be_bytes(), floor);
                    }
                }
            }
        }
    }

    fn on_text(&mut self, text: &str, floor: &mut Floor<'_>) {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("link {}: no JSON: {text}", self.link));
        match value["type"].as_str() {
            Some("response") => floor.shadow.on_response(self.link, &value),
            Some("event") => floor.shadow.on_event(self.link, &value),
            Some("keepalive_ok") | None => floor.shadow.on_older(self.link, &value),
            Some(other) => panic!("link {}: a message of type {other}", self.link),
        }
    }

    /// One masked frame.
    pub fn frame(&mut self, opcode: OpCode, fin: bool, payload: &[u8], floor: &mut Floor<'_>) {
        let mut out = Vec::new();
        masked_frame(opcode, fin, payload, floor.dice.bytes(), &mut out);
        self.outbox.extend(out);
    }

    /// One text message, in one frame or several, with pings between them.
    pub fn text(&mut self, text: &str, floor: &mut Floor<'_>) {
        let deflated = match &mut self.compress {
            Some(compress) if floor.dice.chance(60) => Some(deflate(compress, text)),
            Some(_) | None => None,
        };
        let payload = deflated.as_deref().unwrap_or(text.as_bytes());
        let start = self.outbox.len();
        if !floor.dice.chance(10) || payload.len() < 3 {
            self.frame(OpCode::Data(Data::Text), true, payload, floor);
            return self.mark(start, deflated.is_some());
        }
        let cut = floor.dice.below(payload.len());
        self.frame(OpCode::Data(Data::Text), false, &payload[..cut], floor);
        self.mark(start, deflated.is_some());
        if floor.dice.chance(50) {
            self.ping(floor);
        }
        self.frame(OpCode::Data(Data::Continue), true, &payload[cut..], floor);
    }

    /// Says of the frame that starts there that its message is compressed.
    fn mark(&mut self, start: usize, is_compressed: bool) {
        if is_compressed {
            self.outbox[start] |= 0x40;
        }
    }

    pub fn ping(&mut self, floor: &mut Floor<'_>) {
        let size = floor.dice.below(20);
        let payload = floor.dice.bytes::<20>()[..size].to_vec();
        floor.shadow.books[self.link].pings.push_back(payload.clone());
        self.frame(OpCode::Control(Control::Ping), true, &payload, floor);
    }

    /// The polite end.
    pub fn close(&mut self, floor: &mut Floor<'_>) {
        floor.say(format!("link {} closes", self.link));
        self.sent_close = true;
        floor.shadow.books[self.link].client_closed_first = true;
        self.frame(OpCode::Control(Control::Close), true, &1000u16.to_be_bytes(), floor);
    }

    /// The request that begins the connection.
    pub fn ask(&mut self, keys: &Keys, floor: &mut Floor<'_>) {
        let dice = &mut *floor.dice;
        let book = &mut floor.shadow.books[self.link];
        if self.kind == Kind::Noise {
            let noise: [u8; 40] = dice.bytes();
            self.outbox.extend(noise);
            if dice.chance(50) {
                self.outbox.extend(b"\r\n\r\n");
            }
            return;
        }
        if self.kind == Kind::Http {
            for _ in 0..dice.between(1, 3) {
                let keep = if dice.chance(80) { "" } else { "Connection: close\r\n" };
                let body = if dice.chance(30) { "Content-Length: 4\r\n\r\nbody" } else { "\r\n" };
                self.outbox.extend(format!("GET /health HTTP/1.1\r\nHost: sim\r\n{keep}{body}").bytes());
                book.http_requests += 1;
                if !keep.is_empty() {
                    break;
                }
            }
            return;
        }
        let (mut path, mut offered, mut more) = ("/".to_owned(), "hydrogen-protocol".to_owned(), String::new());
        if self.kind == Kind::Echo {
            offered = "echo".into();
        } else {
            let token = match self.key {
                Some(key) => {
                    book.claims = Some(keys.0[key].name);
                    keys.0[key].token.expose()
                }
                None => "hyd1.0000000000000000.nobody".into(),
            };
            match dice.below(if floor.plan.settings.in_band_auth { 4 } else { 3 }) {
                0 => more = format!("Authorization: Key {token}\r\n"),
                1 => offered = format!("hydrogen-protocol, key.{token}"),
                2 => path = format!("/?key={token}"),
                _ => {
                    self.in_band = true;
                    if self.key.is_none() {
                        book.claims = None;
                    }
                }
            }
        }
        if floor.plan.settings.deflate.is_some() {
            more.push_str(dice.pick(&[
                "",
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
                "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n",
            ]));
        }
        let nonce = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, dice.bytes::<16>());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Protocol: {offered}\r\n{more}\r\n"
        );
        self.outbox.extend(request.bytes());
    }
}

/// A message compressed by itself.
fn deflate(compress: &mut Compress, text: &str) -> Vec<u8> {
    compress.reset();
    let mut out = Vec::with_capacity(text.len() * 2 + 100);
    compress.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}
