//! One connection: connecting, the upgrade, frames in and out. Knows no scenario.

mod response;

use std::io::{self, ErrorKind};

use memchr::memmem;

use super::clock;
use super::frame::{self, Head, Outbox};
use super::session::{Ear, Fault, Heard, Role, Session};
use super::target::Target;
use super::wire::Wire;

/// Bytes of the upgrade's response that are waited for.
const HEAD_MAX: usize = 16 << 10;
/// RFC 6455, 7.4.1: a normal closure.
const CLOSE_NORMAL: [u8; 2] = 1000u16.to_be_bytes();
/// Bytes of a fragmented message that are waited for.
const MESSAGE_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Upgrading,
    /// The session's own handshake.
    Opening,
    Live,
    /// It was asked to end.
    Leaving,
    Closed,
}

/// What a connection was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Not ready yet.
    Opening,
    /// Ready.
    Live,
    /// On its way out by its own will.
    Leaving,
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
    /// What it reads and writes.
    pub wire: Wire,
    /// Whether it reads nothing once it is ready.
    pub is_deaf: bool,
    /// When it was begun.
    pub started_ns: u64,
    stage: Stage,
    /// Whether compression was agreed to.
    deflates: bool,
    /// The beginning of a head or frame whose rest has not come.
    partial: Vec<u8>,
    /// The beginning of a message whose rest has not come.
    fragments: Vec<u8>,
    is_fragmented_compressed: bool,
}

impl Conn {
    /// A connection that was begun with [`Target::connect`].
    pub fn new(id: usize, number: usize, role: Role, session: Session, out: Outbox, wire: Wire) -> Conn {
        Conn {
            id,
            number,
            role,
            session,
            out,
            wire,
            is_deaf: false,
            started_ns: clock::now_ns(),
            stage: Stage::Connecting,
            deflates: false,
            partial: Vec::new(),
            fragments: Vec::new(),
            is_fragmented_compressed: false,
        }
    }

    /// The socket can be written to: it is connected, or takes more again.
    pub fn on_writable(&mut self, target: &Target, ear: &mut Ear) -> Result<(), Fault> {
        if self.stage != Stage::Connecting {
            return Ok(());
        }
        if let Some(error) = self.wire.socket.take_error().map_err(fault("connect"))? {
            return Err(fault("connect")(error));
        }
        match self.wire.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(fault("connect")(error)),
        }
        match target.request_of(&self.role) {
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
        let len = match self.wire.read(scratch) {
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
        Ok(len == scratch.len() || !self.wire.is_emptied_by_short_reads())
    }

    /// Writes as much as the socket takes; the rest goes when it is writable again.
    pub fn flush(&mut self) -> Result<(), Fault> {
        if matches!(self.stage, Stage::Connecting | Stage::Closed) {
            return Ok(());
        }
        while !self.out.pending().is_empty() {
            match self.wire.write(self.out.pending()) {
                Ok(0) => return Err("the socket takes nothing".into()),
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault("write")(error)),
            }
        }
        match self.wire.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(fault("write")(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Its session confirmed that it is ready. Returns whether that is news.
    pub fn settle(&mut self) -> bool {
        let is_news = self.stage == Stage::Opening;
        if is_news {
            self.stage = Stage::Live;
        }
        is_news
    }

    /// Asks the server to end it, and returns whether it is to be waited for: a stream of bytes just ends.
    pub fn leave(&mut self, target: &Target) -> bool {
        self.stage = Stage::Leaving;
        if target.is_framed() {
            self.out.frame(frame::CLOSE, &[&CLOSE_NORMAL]);
        }
        target.is_framed()
    }

    /// Ends it, and tells what it was; `None` if it had ended before.
    pub fn close(&mut self) -> Option<Ended> {
        let ended = match self.stage {
            Stage::Connecting | Stage::Upgrading | Stage::Opening => Ended::Opening,
            Stage::Live => Ended::Live,
            Stage::Leaving => Ended::Leaving,
            Stage::Closed => return None,
        };
        self.stage = Stage::Closed;
        self.partial = Vec::new();
        self.wire.close();
        Some(ended)
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
            self.deflates = response::check(bytes, end, target.wants_deflate)?;
            at = end + 4;
            self.open(ear);
        }
        if !target.is_framed() {
            return self.session.on_stream(bytes, &mut self.out, ear);
        }
        while let Some(head) = Head::parse(&bytes[at..], self.deflates).map_err(|error| error.as_str())? {
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
            frame::TEXT | frame::BINARY if head.is_final => self.on_message(payload, head.is_compressed, ear)?,
            frame::TEXT | frame::BINARY | frame::CONTINUATION => {
                if self.fragments.len() + payload.len() > MESSAGE_MAX {
                    return Err("the server sent a message of more than 64 MiB".into());
                }
                if head.opcode != frame::CONTINUATION {
                    self.is_fragmented_compressed = head.is_compressed;
                }
                self.fragments.extend_from_slice(payload);
                if head.is_final {
                    let message = std::mem::take(&mut self.fragments);
                    self.on_message(&message, self.is_fragmented_compressed, ear)?;
                }
            }
            opcode => return Err(format!("the server sent a frame with opcode {opcode}").into()),
        }
        Ok(())
    }

    fn on_message(&mut self, message: &[u8], is_compressed: bool, ear: &mut Ear) -> Result<(), Fault> {
        ear.bytes += message.len() as u64;
        if !is_compressed {
            return self.session.on_message(message, &mut self.out, ear);
        }
        let mut inflater = std::mem::take(&mut ear.inflater);
        let heard = match inflater.get_or_insert_default().inflate(message) {
            Some(plain) => self.session.on_message(plain, &mut self.out, ear),
            None => Err("the server sent a compressed message that cannot be inflated".into()),
        };
        ear.inflater = inflater;
        heard
    }
}

fn fault(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |error| format!("cannot {what}: {error}").into()
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
    fn a_close_frame_is_told_with_code_and_reason() {
        assert_eq!(close_text(b"\x03\xf5slow"), "the server closed with 1013 slow");
        assert_eq!(close_text(b"\x03\xe8"), "the server closed with 1000");
        assert_eq!(close_text(b""), "the server closed without a code");
    }
}
