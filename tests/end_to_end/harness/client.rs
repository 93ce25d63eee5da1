//! A blocking client of hydrogen-protocol. It keeps what comes until it is asked for.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::time::Instant;

use hydrogen::engine::ws::client::masked_frame;
use hydrogen::engine::ws::deflate::Inflater;
use hydrogen::engine::ws::{Control, Data, Decoder, Flow, Incoming, Limits, OpCode, Role};
use serde_json::{Value, json};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::PATIENCE;
use super::stream::{Answer, Stream};

const LIMITS: Limits =
    Limits { frame_bytes_max: 16 * 1024 * 1024, message_bytes_max: 16 * 1024 * 1024, fragments_max: 1 };
const MASK: [u8; 4] = [0x1b, 0xad, 0xd0, 0x0d];

/// Why a client was not let in.
pub type Refusal = Answer;

/// How a connection ended: the close frame's code and reason. No code: there was no close frame.
pub type End = (Option<u16>, String);

pub struct Client {
    stream: Stream,
    decoder: Decoder,
    inflater: Inflater,
    inbox: VecDeque<Value>,
    end: Option<End>,
    sent: u64,
    /// The answer to the handshake.
    pub upgraded: Answer,
    /// The data of `system.session`.
    pub session: Value,
}

impl Client {
    /// Connects with this credential, and reads the session's event.
    pub fn connect(stream: Stream, headers: &str) -> Result<Client, Refusal> {
        Client::open(stream, "/", &format!("{headers}Sec-WebSocket-Protocol: hydrogen-protocol\r\n"))
    }

    /// Connects with this target and these header lines, and reads the session's event.
    pub fn open(stream: Stream, target: &str, headers: &str) -> Result<Client, Refusal> {
        let mut client = Client::open_silent(stream, target, headers)?;
        client.session = client.event("system.session")["data"].take();
        Ok(client)
    }

    /// The same, for a client that is sent no event before it has authenticated.
    pub fn open_silent(mut stream: Stream, target: &str, headers: &str) -> Result<Client, Refusal> {
        let key = generate_key();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
        );
        let (mut answer, mut rest) = stream.request(&request).unwrap();
        if answer.status != 101 {
            answer.body = stream.body(&answer, rest).unwrap();
            return Err(answer);
        }
        assert_eq!(answer.field("sec-websocket-accept"), Some(derive_accept_key(key.as_bytes()).as_str()));
        let decoder = match answer.field("sec-websocket-extensions") {
            Some(_) => Decoder::with_deflate(Role::Client, None),
            None => Decoder::new(Role::Client),
        };
        let mut client = Client {
            stream,
            decoder,
            inflater: Inflater::default(),
            inbox: VecDeque::new(),
            end: None,
            sent: 0,
            upgraded: answer,
            session: Value::Null,
        };
        client.take_in(&mut rest);
        Ok(client)
    }

    /// Sends a text message.
    pub fn text(&mut self, text: &str) {
        let mut frame = Vec::new();
        masked_frame(OpCode::Data(Data::Text), true, text.as_bytes(), MASK, &mut frame);
        self.stream.write_all(&frame).unwrap();
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends several text messages in one write.
    pub fn texts(&mut self, texts: impl IntoIterator<Item = String>) {
        let mut frames = Vec::new();
        for text in texts {
            masked_frame(OpCode::Data(Data::Text), true, text.as_bytes(), MASK, &mut frames);
        }
        self.stream.write_all(&frames).unwrap();
    }

    /// Sends a command; `name` is `<channel>.<action>`. Gives its id.
    pub fn send(&mut self, name: &str, data: &Value) -> String {
        self.sent += 1;
        let id = format!("c-{}", self.sent);
        self.text(&command(&id, name, data));
        id
    }

    /// The response to a command.
    pub fn response(&mut self, id: &str) -> Value {
        self.take(&format!("response to {id}"), |message| message["type"] == "response" && message["id"] == id)
    }

    /// Sends a command, and gives its data or its error.
    pub fn call(&mut self, name: &str, data: Value) -> Result<Value, Value> {
        let id = self.send(name, &data);
        let mut response = self.response(&id);
        let (channel, action) = name.split_once('.').unwrap();
        assert_eq!((&response["channel"], &response["action"]), (&json!(channel), &json!(action)), "{response}");
        match response["status"].as_str() {
            Some("success") => Ok(response["data"].take()),
            Some("error") => Err(response["error"].take()),
            _ => panic!("neither success nor error: {response}"),
        }
    }

    /// Sends a command that succeeds.
    pub fn ok(&mut self, name: &str, data: Value) -> Value {
        self.call(name, data.clone()).unwrap_or_else(|error| panic!("{name} {data}: {error}"))
    }

    /// Sends a command that fails; gives the error's code.
    pub fn refused(&mut self, name: &str, data: Value) -> String {
        match self.call(name, data.clone()) {
            Ok(done) => panic!("{name} {data}: {done}"),
            Err(error) => error["code"].as_str().unwrap().to_owned(),
        }
    }

    pub fn ping(&mut self) {
        self.ok("system.ping", json!({}));
    }

    pub fn subscribe(&mut self, topics: &[&str]) {
        self.subscribe_with(topics, json!({}));
    }

    /// Subscribes with options; everything must be granted.
    pub fn subscribe_with(&mut self, topics: &[&str], mut options: Value) {
        options["topics"] = json!(topics);
        let granted = self.ok("system.subscribe", options);
        let granted = granted["topics"].as_array().unwrap();
        assert_eq!(granted.len(), topics.len());
        assert!(granted.iter().all(|topic| topic["granted"] == true), "{granted:?}");
    }

    /// Publishes; gives how many subscribers the event went to.
    pub fn publish(&mut self, topic: &str, payload: Value) -> u64 {
        self.ok("system.publish", json!({"topic": topic, "payload": payload}))["receivers"].as_u64().unwrap()
    }

    /// The next event of this topic.
    pub fn event(&mut self, topic: &str) -> Value {
        self.take(&format!("event {topic}"), |message| topic_of(message).as_deref() == Some(topic))
    }

    /// The next event of an application's topic.
    pub fn next_event(&mut self) -> Value {
        self.take("event", |message| message["type"] == "event" && message["channel"] != "system")
    }

    /// The next event of an application's topic must be this one.
    pub fn expect_event(&mut self, topic: &str, data: &Value) {
        let event = self.next_event();
        assert_eq!((topic_of(&event).as_deref(), &event["data"]), (Some(topic), data), "{event}");
    }

    /// What has come and was not asked for, after an answer of the server's to a ping.
    pub fn leftovers(&mut self) -> Vec<Value> {
        self.ping();
        self.inbox.drain(..).collect()
    }

    /// The next message of which that is true; the others are kept.
    pub fn take(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut looked_at = 0;
        loop {
            if let Some(found) = self.inbox.iter().skip(looked_at).position(&wanted) {
                return self.inbox.remove(looked_at + found).unwrap();
            }
            looked_at = self.inbox.len();
            if let Some(end) = &self.end {
                panic!("no {what}: ended with {end:?}, after {:?}", self.inbox);
            }
            if !self.read(deadline) {
                panic!("no {what} in time, but {:?}", self.inbox);
            }
        }
    }

    /// The next message, whatever it is; `None` once the connection is over.
    pub fn next(&mut self) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        while self.inbox.is_empty() && self.end.is_none() {
            assert!(self.read(deadline), "nothing came in time");
        }
        self.inbox.pop_front()
    }

    /// Reads up to the end, which must have this code; gives the reason. Messages are kept.
    pub fn closed(&mut self, code: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.end.is_none() {
            assert!(self.read(deadline), "not closed in time, but {:?}", self.inbox);
        }
        let (found, reason) = self.end.clone().unwrap();
        assert_eq!(found, Some(code), "{reason}");
        reason
    }

    /// Closes, and waits for the server's close frame.
    pub fn close(mut self) {
        let mut frame = Vec::new();
        masked_frame(OpCode::Control(Control::Close), true, &1000u16.to_be_bytes(), MASK, &mut frame);
        self.stream.write_all(&frame).unwrap();
        self.closed(1000);
    }

    /// Reads once. False at the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer, deadline) {
            Ok(0) => self.end = Some((None, "end of file".to_owned())),
            Ok(len) => self.take_in(&mut buffer[..len]),
            Err(error) if error.kind() == ErrorKind::TimedOut => return false,
            Err(error) => self.end = Some((None, error.to_string())),
        }
        true
    }

    fn take_in(&mut self, bytes: &mut [u8]) {
        let Client { decoder, inflater, inbox, end, .. } = self;
        decoder
            .feed_inflating(bytes, &LIMITS, Some(inflater), &mut |incoming| {
                match incoming {
                    Incoming::Text(text) => inbox.push_back(serde_json::from_str(text).unwrap()),
                    Incoming::Close { code, reason } => *end = Some((code, reason.to_owned())),
                    Incoming::Ping(_) | Incoming::Pong(_) => {}
                    Incoming::Binary(bytes) => panic!("a binary message of {} bytes", bytes.len()),
                }
                Flow::Continue
            })
            .unwrap();
        if let Some((Some(code), _)) = &self.end {
            let mut frame = Vec::new();
            masked_frame(OpCode::Control(Control::Close), true, &code.to_be_bytes(), MASK, &mut frame);
            // The server may have gone by now.
            let _ = self.stream.write_all(&frame);
        }
    }
}

/// A command's text.
pub fn command(id: &str, name: &str, data: &Value) -> String {
    let (channel, action) = name.split_once('.').unwrap();
    let mut text = String::new();
    write!(text, r#"{{"type":"command","id":"{id}","channel":"{channel}","action":"{action}","data":{data}}}"#)
        .unwrap();
    text
}

/// `<channel>.<action>` of an event.
pub fn topic_of(message: &Value) -> Option<String> {
    if message["type"] != "event" {
        return None;
    }
    Some(format!("{}.{}", message["channel"].as_str()?, message["action"].as_str()?))
}
