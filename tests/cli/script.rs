//! A server in a thread that plays a script: connections in order, each with its own steps.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket, accept_hdr};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub url: String,
    thread: JoinHandle<()>,
}

impl Server {
    /// Plays the script on a free port.
    pub fn play(script: impl FnOnce(&TcpListener) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        Server { url, thread: thread::spawn(move || script(&listener)) }
    }

    /// Fails the test if the script failed.
    pub fn end(self) {
        self.thread.join().unwrap();
    }
}

/// One connection after its handshake.
pub struct Peer<S = TcpStream> {
    socket: WebSocket<S>,
    pub authorization: String,
}

impl Peer {
    /// Takes the next connection; it must speak hydrogen-protocol.
    pub fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer::accept_on(stream).unwrap()
    }
}

impl<S: Read + Write> Peer<S> {
    /// Does the handshake; only the transport may fail.
    pub fn accept_on(stream: S) -> Result<Peer<S>, String> {
        let mut authorization = String::new();
        #[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let choose = |request: &Request, mut response: Response| {
            let field = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
            assert_eq!(field("sec-websocket-protocol"), "hydrogen-protocol");
            authorization = field("authorization").to_owned();
            response.headers_mut().insert("sec-websocket-protocol", "hydrogen-protocol".parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr(stream, choose).map_err(|error| error.to_string())?;
        let mut peer = Peer { socket, authorization };
        // Every server greets so, and every client must get over it.
        peer.event("system.session", json!({"session": "s"}));
        Ok(peer)
    }

    /// The next command: its name, and all of it.
    pub fn command(&mut self) -> (String, Value) {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let command: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(command["type"], "command");
                let name = format!("{}.{}", command["channel"].as_str().unwrap(), command["action"].as_str().unwrap());
                return (name, command);
            }
        }
    }

    /// The ids of the next ack.
    pub fn ack(&mut self) -> Vec<String> {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let ack: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(ack["type"], "ack");
                return ack["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            }
        }
    }

    /// The ids of so many acknowledged events, in as many acks as they come in.
    pub fn acks(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.extend(self.ack());
        }
        ids
    }

    /// The next command, which must be this one; answers it with success, and gives its data.
    pub fn answer(&mut self, name: &str, data: Value) -> Value {
        let (found, command) = self.command();
        assert_eq!(found, name);
        self.succeed(&command, data);
        command["data"].clone()
    }

    pub fn succeed(&mut self, command: &Value, data: Value) {
        self.send(json!({"type": "response", "id": command["id"], "status": "success", "data": data}));
    }

    pub fn fail(&mut self, command: &Value, code: &str) {
        self.send(json!({"type": "response", "id": command["id"], "status": "error",
            "error": {"category": "application", "code": code, "message": "as the script has it"}}));
    }

    /// An error that asks for a repetition very soon.
    pub fn refuse_for_now(&mut self, command: &Value, code: &str) {
        self.send(json!({"type": "response", "id": command["id"], "status": "error",
            "error": {"category": "application", "code": code, "message": "m", "retryable": true, "retry_after_ms": 20}}));
    }

    pub fn event(&mut self, topic: &str, data: Value) {
        let (channel, action) = topic.split_once('.').unwrap();
        self.send(json!({"type": "event", "id": "e-1", "channel": channel, "action": action, "data": data}));
    }

    /// An event that wants to be acknowledged.
    pub fn wanting(&mut self, id: &str, topic: &str, data: Value) {
        let (channel, action) = topic.split_once('.').unwrap();
        self.send(json!({"type": "event", "id": id, "channel": channel, "action": action, "ack": true, "data": data}));
    }

    pub fn send(&mut self, message: Value) {
        self.text(&message.to_string());
    }

    pub fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).unwrap();
    }

    pub fn ping(&mut self) {
        self.socket.send(Message::Ping("p".into())).unwrap();
    }

    /// Waits for the pong to [`Peer::ping`].
    pub fn pong(&mut self) {
        while !matches!(self.socket.read().unwrap(), Message::Pong(_)) {}
    }

    /// Sends an event and waits until the client has taken it; gives whether it is still there.
    pub fn event_is_taken(&mut self, topic: &str, data: Value) -> bool {
        self.event(topic, data);
        self.ping();
        loop {
            match self.socket.read() {
                Ok(Message::Pong(_)) => return true,
                Ok(Message::Close(_)) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        self.socket
            .send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() })))
            .unwrap();
        while self.socket.read().is_ok() {}
    }

    /// Waits for the client's close frame: it took leave in good order.
    pub fn expect_close(&mut self) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(_)) => return,
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }

    /// The same, with nothing acknowledged before it.
    pub fn expect_close_without_ack(&mut self) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(_)) => return,
                Ok(message) => assert!(!message.is_text(), "{message}"),
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }

    /// Goes without a word.
    pub fn drop_connection(self) {}
}

/// Answers the next handshake with this, in two pieces.
pub fn refuse(listener: &TcpListener, head: &str, body: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let len = stream.read(&mut piece).unwrap();
        request.extend_from_slice(&piece[..len]);
    }
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    thread::sleep(Duration::from_millis(20));
    stream.write_all(body.as_bytes()).unwrap();
}
