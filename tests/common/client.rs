//! A blocking client of hydrogen-protocol, on tungstenite. When its connection is lost it says so,
//! and is of no use any more.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};

use crate::program::PATIENCE;

/// The connection is lost.
#[derive(Debug)]
pub struct Gone;

pub struct Client {
    socket: WebSocket<TcpStream>,
}

/// Commands of all clients: a publish whose id was used before is a repeat.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl Client {
    pub fn connect(address: SocketAddr, token: &str) -> Result<Client, Gone> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|_| Gone)?;
        stream.set_nodelay(true).map_err(|_| Gone)?;
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).map_err(|_| Gone)?;
        }
        let request = ClientRequestBuilder::new(format!("ws://{address}/").parse().unwrap())
            .with_sub_protocol("hydrogen-protocol")
            .with_header("Authorization", format!("Key {token}"));
        let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
        let (socket, _) = tungstenite::client::client_with_config(request, stream, Some(config)).map_err(|_| Gone)?;
        Ok(Client { socket })
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) -> Result<(), Gone> {
        self.socket.send(Message::text(message.to_string())).map_err(|_| Gone)
    }

    /// Has a message ready to be sent: with the next one that is sent, or by `flush`.
    pub fn queue(&mut self, message: &Value) -> Result<(), Gone> {
        self.socket.write(Message::text(message.to_string())).map_err(|_| Gone)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), Gone> {
        self.socket.flush().map_err(|_| Gone)
    }

    /// Sends a command of the channel `system`.
    pub fn command(&mut self, id: &str, action: &str, data: &Value) -> Result<(), Gone> {
        self.send(&json!({"type": "command", "id": id, "channel": "system", "action": action, "data": data}))
    }

    /// The next message, if one comes within this time.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Value>, Gone> {
        let wait = wait.max(Duration::from_millis(1));
        self.socket.get_ref().set_read_timeout(Some(wait)).map_err(|_| Gone)?;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).map(Some).map_err(|_| Gone),
                Ok(Message::Close(_)) => return Err(Gone),
                Ok(_) => {}
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Sends a command and waits for its response; what else comes is given to `other`.
    pub fn call(&mut self, action: &str, data: &Value, mut other: impl FnMut(Value)) -> Result<Value, Gone> {
        let id = format!("call-{}", CALLS.fetch_add(1, Ordering::Relaxed) + 1);
        self.command(&id, action, data)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.poll(Duration::from_millis(100))? {
                Some(message) if message["type"] == "response" && message["id"] == id => return Ok(message),
                Some(message) => other(message),
                None => {}
            }
        }
        println!("no response to {action} {data} in {PATIENCE:?}");
        Err(Gone)
    }

    /// Leaves with a close frame, and waits for the answer.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.get_ref().set_read_timeout(Some(PATIENCE));
        while self.socket.read().is_ok() {}
    }

    /// Leaves without a word.
    pub fn abandon(self) {
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}
