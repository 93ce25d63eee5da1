//! One connection: connecting, the upgrade, frames in and out. Knows no scenario.

use std::io::{self, ErrorKind, Read, Write};

use memchr::memmem;
use mio::net::TcpStream;

use super::clock;
use super::frame::{self, Head, Outbox};
use super::session::{Ear, Fault, Heard, Role, Session};
use super::target::{ACCEPT, Target};

/// Bytes of the upgrade's response that are waited for.
const HEAD_MAX: usize = 16 << 10;
/// Bytes of a fragmented message that are waited for.
const MESSAGE_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Upgrading,
    /// The session's own handshake.
    Opening,
    Live,
    Closed,
}

/// One connection of a thread.
#[derive(Debug)]
pub struct Conn {
    /// Its place among the thread's connections.
    pub id: usize,
    /// Its number within the run.
    pub number: usize,
    /// What it is for.
    pub role: Role,
    /// Its protocol.
    pub session: Session,
    /// What it is to send.
    pub out: Outbox,
    /// For the poll.
    pub socket: TcpStream,
    stage: Stage,
    started_ns: u64,
    /// The beginning of a head or frame whose rest has not come.
    partial: Vec<u8>,
    /// The beginning of a message whose rest has not come.
    fragments: Vec<u8>,
}

impl Conn {
    /// A connection that was begun with [`Target::connect`].
    pub fn new(id: usize, number: usize, role: Role, session: Session, out: Outbox, socket: TcpStream) -> Conn {
        Conn {
            id,
            number,
            role,
            session,
            out,
            socket,
            stage: Stage::Connecting,
            started_ns: clock::now_ns(),
            partial: Vec::new(),
            fragments: Vec::new(),
        }
    }

    /// The socket can be written to: it is connected, or takes more again.
    pub fn on_writable(&mut self, target: &Target, ear: &mut Ear) -> Result<(), Fault> {
        if self.stage != Stage::Connecting {
            return Ok(());
        }
        if let Some(error) = self.socket.take_error().map_err(fault("connect"))? {
            return Err(fault("connect")(error));
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(fault("connect")(error)),
        }
        match &target.request {
            Some(request) => {
                self.stage = Stage::Upgrading;
                self.out.raw(&[request]);
            }
            None => self.open(ear),
        }
        Ok(())
    }

    /// Reads once, and takes in what came. Returns whether there may be more.
    pub fn read(&mut self, scratch: &mut [u8], target: &Target, ear: &mut Ear) -> Result<bool, Fault> {
        let len = match self.socket.read(scratch) {
            Ok(0) => return Err("the server ended the connection".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(fault("read")(error)),
        };
        ear.read_at_ns = clock::now_ns();
        if self.partial.is_empty() {
            let used = self.take(&scratch[..len], target, ear)?;
            self.partial.extend_from_slice(&scratch[used..len]);
        } else {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(&scratch[..len]);
            let used = self.take(&bytes, target, ear)?;
            bytes.drain(..used);
            // Given back rather than kept: thousands of connections are cut once in a while.
            self.partial = if bytes.is_empty() { Vec::new() } else { bytes };
        }
        self.session.after_read(&mut self.out);
        // A short read has emptied the socket; the next byte is a new edge.
        Ok(len == scratch.len())
    }

    /// Writes as much as the socket takes; the rest goes when it is writable again.
    pub fn flush(&mut self) -> Result<(), Fault> {
        if matches!(self.stage, Stage::Connecting | Stage::Closed) {
            return Ok(());
        }
        while !self.out.pending().is_empty() {
            match self.socket.write(self.out.pending()) {
                Ok(0) => return Err("the socket takes nothing".into()),
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault("write")(error)),
            }
        }
        Ok(())
    }

    /// Its session confirmed that it is ready. Returns whether that is news.
    pub fn settle(&mut self) -> bool {
        let is_news = self.stage == Stage::Opening;
        if is_news {
            self.stage = Stage::Live;
        }
        is_news
    }

    /// Ends it. Returns the stage's meaning for the count: `None` if it had ended before, else
    /// whether it was live.
    pub fn close(&mut self) -> Option<bool> {
        if self.stage == Stage::Closed {
            return None;
        }
        let was_live = self.is_live();
        self.stage = Stage::Closed;
        self.partial = Vec::new();
        // It may have been reset already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        Some(was_live)
    }

    /// Whether it may be used.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    fn open(&mut self, ear: &mut Ear) {
        self.stage = Stage::Opening;
        ear.handshakes_ns.push(clock::now_ns().saturating_sub(self.started_ns));
        self.session.open(&mut self.out, ear);
    }

    /// Takes in whole heads and frames; returns how many bytes they had.
    fn take(&mut self, bytes: &[u8], target: &Target, ear: &mut Ear) -> Result<usize, Fault> {
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return if bytes.len() > HEAD_MAX { Err("the response's head is too long".into()) } else { Ok(0) };
            };
            check_response(bytes, end)?;
            at = end + 4;
            self.open(ear);
        }
        if target.request.is_none() {
            return self.session.on_stream(bytes, &mut self.out, ear);
        }
        while let Some(head) = Head::parse(&bytes[at..]).map_err(|error| error.as_str())? {
            if at + head.end > bytes.len() {
                break;
            }
            self.on_frame(head, &bytes[at + head.start..at + head.end], ear)?;
            at += head.end;
        }
        Ok(at)
    }

    fn on_frame(&mut self, head: Head, payload: &[u8], ear: &mut Ear) -> Result<(), Fault> {
        match head.opcode {
            frame::PING => self.out.frame(frame::PONG, &[payload]),
            frame::PONG => {
                let stamp = ear.stamps.find(payload);
                ear.heard.push(Heard::Pong(stamp));
            }
            frame::CLOSE => return Err(close_text(payload).into()),
            frame::TEXT | frame::BINARY if head.is_final => self.session.on_message(payload, &mut self.out, ear)?,
            frame::TEXT | frame::BINARY | frame::CONTINUATION => {
                if self.fragments.len() + payload.len() > MESSAGE_MAX {
                    return Err("the server sent a message of more than 64 MiB".into());
                }
                self.fragments.extend_from_slice(payload);
                if head.is_final {
                    let message = std::mem::take(&mut self.fragments);
                    self.session.on_message(&message, &mut self.out, ear)?;
                }
            }
            opcode => return Err(format!("the server sent a frame with opcode {opcode}").into()),
        }
        Ok(())
    }
}

fn fault(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |error| format!("cannot {what}: {error}").into()
}

fn check_response(bytes: &[u8], end: usize) -> Result<(), Fault> {
    let head = &bytes[..end];
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let body = &bytes[end..];
        let text = [line, &body[..body.len().min(300)]].concat();
        return Err(format!("the upgrade was refused: {}", String::from_utf8_lossy(&text).trim_end()).into());
    }
    if memmem::find(head, ACCEPT).is_none() {
        return Err("the upgrade's response has not the right Sec-WebSocket-Accept".into());
    }
    Ok(())
}

fn close_text(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            format!("the server closed with {code} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
        }
        None => "the server closed without a code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_checked() {
        let good = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(check_response(good, good.len() - 4), Ok(()));
        let forged = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
        assert!(check_response(forged, forged.len() - 4).unwrap_err().contains("Accept"));
        let refused = b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\n{\"error\":{\"code\":\"unauthenticated\"}}";
        let text = check_response(refused, 31).unwrap_err();
        assert!(text.contains("401 Unauthorized") && text.contains("unauthenticated"), "{text}");
    }

    #[test]
    fn a_close_frame_is_told_with_code_and_reason() {
        assert_eq!(close_text(b"\x03\xf5slow"), "the server closed with 1013 slow");
        assert_eq!(close_text(b"\x03\xe8"), "the server closed with 1000");
        assert_eq!(close_text(b""), "the server closed without a code");
    }
}
