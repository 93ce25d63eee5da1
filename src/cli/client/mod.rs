//! The client side of hydrogen-protocol, for the commands: blocking, one connection, deadlines on
//! everything.
//!
//! It knows envelopes and the ways in which a connection ends. It ignores what it does not know,
//! acknowledges what it is told to and nothing by itself, and never shows the key.

mod backoff;
mod broken;
mod envelope;
mod fetch;
mod handshake;
mod socket;
mod target;
mod tls;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tungstenite::{Message, Utf8Bytes, WebSocket};

pub use backoff::Backoff;
pub use broken::{Broken, Retry, fit_for_terminal, printable};
pub use envelope::{Envelope, Ids};
pub use fetch::{Fetched, fetch};
pub use target::{ConnectArgs, Target};

use super::exit::{Exit, Stop};
use super::{interrupt, json};
use crate::base::limits::IDS_PER_ACK;
use socket::{Patience, Stream};

/// The largest message that is taken. The server's largest is up to its configuration.
pub const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How long the server may take to answer our close frame. Nothing depends on it.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// An open connection.
pub struct Client {
    socket: WebSocket<Stream>,
    ids: Ids,
    auth: Option<String>,
}

/// The answer to a command: the response's data, or the error, each as JSON.
pub type Answer = Result<String, String>;

impl Client {
    /// Connects and gets the upgrade done.
    pub fn connect(target: &Target) -> Result<Client, Broken> {
        let deadline = Instant::now() + target.connect_timeout;
        let mut stream = socket::connect(target, deadline)?;
        stream.socket().set_patience(Patience::Until(Some(deadline)))?;
        let socket = handshake::upgrade(stream, target)?;
        Ok(Client { socket, ids: Ids::new(), auth: target.auth_field() })
    }

    /// Queues a command; gives its id. `data` is one JSON value.
    pub fn queue(&mut self, channel: &str, action: &str, data: &str) -> Result<String, Broken> {
        let id = self.ids.next();
        self.queue_as(&id, channel, action, data)?;
        Ok(id)
    }

    /// The same with an id of the caller's, out of [`Ids`]: a command that is repeated keeps its id.
    pub fn queue_as(&mut self, id: &str, channel: &str, action: &str, data: &str) -> Result<(), Broken> {
        let auth = self.auth.as_deref().unwrap_or_default();
        self.write(format!(
            r#"{{"type":"command","id":"{id}","channel":"{channel}","action":"{action}","data":{data}{auth}}}"#
        ))
    }

    /// Acknowledges these events, and sends what is queued.
    pub fn acknowledge(&mut self, ids: &[String]) -> Result<(), Broken> {
        for ids in ids.chunks(IDS_PER_ACK) {
            let ids: Vec<String> = ids.iter().map(|id| json::string(id)).collect();
            let auth = self.auth.as_deref().unwrap_or_default();
            self.write(format!(r#"{{"type":"ack","ids":[{}]{auth}}}"#, ids.join(",")))?;
        }
        self.flush()
    }

    fn write(&mut self, text: String) -> Result<(), Broken> {
        self.patience(Patience::Until(None))?;
        self.socket.write(Message::text(text)).map_err(Broken::from_websocket)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), Broken> {
        self.patience(Patience::Until(None))?;
        self.socket.flush().map_err(Broken::from_websocket)
    }

    /// The next message that is here already.
    pub fn receive_now(&mut self) -> Result<Option<Utf8Bytes>, Broken> {
        self.receive(Patience::None)
    }

    /// Waits for the next message, until the deadline if there is one.
    pub fn receive_until(&mut self, deadline: Option<Instant>) -> Result<Option<Utf8Bytes>, Broken> {
        self.receive(Patience::Until(deadline))
    }

    fn receive(&mut self, patience: Patience) -> Result<Option<Utf8Bytes>, Broken> {
        if interrupt::is_asked() {
            return Err(Stop::silent(Exit::Interrupted).into());
        }
        self.patience(patience)?;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(Some(text)),
                Ok(Message::Close(frame)) => return Err(Broken::from_close(frame)),
                // Pongs go out with the next read; binary messages belong to no command of ours.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_)) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && !interrupt::is_asked() =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(Broken::from_websocket(error)),
            }
        }
    }

    /// Sends a command and waits for its answer, passing over everything else.
    pub fn call(&mut self, channel: &str, action: &str, data: &str, wait: Duration) -> Result<Answer, Broken> {
        let deadline = Instant::now() + wait;
        let id = self.queue(channel, action, data)?;
        self.flush()?;
        while let Some(text) = self.receive_until(Some(deadline))? {
            if let Some(answer) = Envelope::parse(&text).and_then(|envelope| envelope.answer_to(|of| of == id)) {
                return Ok(answer);
            }
        }
        Err(no_answer(wait).into())
    }

    /// Takes leave: the server sees an orderly end. Whatever fails here changes nothing any more.
    pub fn close(mut self) {
        self.leave();
    }

    /// The same, for who gets another connection after it.
    pub fn leave(&mut self) {
        let until = Patience::Until(Some(Instant::now() + CLOSE_PATIENCE));
        if self.patience(until).is_ok() && self.socket.close(None).is_ok() {
            let deadline = Instant::now() + CLOSE_PATIENCE;
            while self.socket.read().is_ok() && Instant::now() < deadline {}
        }
        self.socket.get_mut().socket().hang_up();
    }

    fn patience(&mut self, patience: Patience) -> Result<(), Broken> {
        self.socket.get_mut().socket().set_patience(patience).map_err(Broken::from)
    }
}

/// The server did not answer.
pub fn no_answer(wait: Duration) -> Stop {
    Stop::new(Exit::Timeout, format_args!("no answer within {} s", wait.as_secs()))
}
