//! One socket, plain or TLS: bytes in, slices out.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::stream::{ReadOutcome, Written, read_stream};
use super::tls::{self, Scratch};
use crate::engine::conn::SocketFault;

/// A socket and what is known of its readiness.
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<tls::Session>>,
    /// The poll said that it is readable, and no read said otherwise since.
    pub readable: bool,
    /// The poll said that the peer ended its stream.
    pub read_closed: bool,
    /// It waits in the list of readable sockets.
    pub queued: bool,
    /// Our own stream is ended.
    write_closed: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<rustls::ServerConfig>>) -> Result<Socket, rustls::Error> {
        let tls = match tls {
            Some(config) => Some(Box::new(tls::Session::new(config)?)),
            None => None,
        };
        Ok(Socket { stream, tls, readable: false, read_closed: false, queued: false, write_closed: false })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads plaintext into `buffer`.
    pub(super) fn read(&mut self, buffer: &mut [u8], scratch: &mut Scratch) -> Result<ReadOutcome, SocketFault> {
        let outcome = match &mut self.tls {
            None => match read_stream(&mut self.stream, buffer)? {
                None => ReadOutcome::NotNow,
                Some(0) => ReadOutcome::Eof,
                // A short read means that the socket is empty, unless the end of the stream is still to
                // be read: its edge may be the one that is being served.
                Some(count) => ReadOutcome::Bytes(count, count == buffer.len() || self.read_closed),
            },
            Some(session) => session.read(&mut self.stream, buffer, scratch, self.read_closed)?,
        };
        if matches!(outcome, ReadOutcome::NotNow | ReadOutcome::Bytes(_, false)) {
            self.readable = false;
        }
        Ok(outcome)
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], scratch: &mut Scratch) -> Result<Written, SocketFault> {
        match &mut self.tls {
            None => loop {
                match self.stream.write_vectored(slices) {
                    Ok(count) => {
                        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
                        return Ok(Written { count, blocked: count < offered });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Written { count: 0, blocked: true });
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(SocketFault::Reset),
                }
            },
            Some(session) => session.write(&mut self.stream, slices, scratch),
        }
    }

    /// Writes what the socket takes of one slice.
    pub(super) fn write_one(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<Written, SocketFault> {
        if let Some(session) = &mut self.tls {
            return session.write(&mut self.stream, &[IoSlice::new(bytes)], scratch);
        }
        loop {
            match self.stream.write(bytes) {
                Ok(count) => return Ok(Written { count, blocked: count < bytes.len() }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written { count: 0, blocked: true });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(SocketFault::Reset),
            }
        }
    }

    /// Writes what the TLS session holds, as far as the socket takes it.
    pub(super) fn flush_tls(&mut self) {
        if let Some(session) = &mut self.tls {
            // A failure here is met again, and handled, by the next read.
            let _ = session.flush(&mut self.stream);
        }
    }

    /// Ends the writing side, as soon as everything is out: to be called again until then.
    pub(super) fn shutdown(&mut self) {
        // Each call to the system makes a new edge: whoever shuts down on every edge turns for good.
        if self.write_closed {
            return;
        }
        if let Some(session) = &mut self.tls {
            session.close();
            // The last words are still in the session: the stream ends behind them.
            if session.flush(&mut self.stream) == Ok(false) {
                return;
            }
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self.write_closed = true;
    }
}

impl<P> super::Reactor<P> {
    /// Bytes of the record of one socket, without a TLS session.
    pub const SOCKET_BYTES: usize = size_of::<Socket>();
}
