//! One socket, plain or TLS: bytes in, slices out.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ServerConnection;

use crate::engine::conn::SocketFault;

/// A socket and what is known of its readiness.
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// The poll said that it is readable, and no read said otherwise since.
    pub readable: bool,
    /// The poll said that the peer ended its stream.
    pub read_closed: bool,
    /// It waits in the list of readable sockets.
    pub queued: bool,
    /// Our own stream is ended.
    write_closed: bool,
}

/// What a read brought.
pub(super) enum ReadOutcome {
    /// So many bytes; and whether another read may bring more.
    Bytes(usize, bool),
    /// Nothing at the moment.
    NotNow,
    /// The end of the stream.
    Eof,
}

/// What a write took.
pub(super) struct Written {
    /// So many bytes are out of our hands.
    pub count: usize,
    /// The socket takes no more for now, and will say when it does.
    pub blocked: bool,
}

/// Plaintext that a TLS session may hold back while its socket takes no more.
const TLS_BUFFER: usize = 64 * 1024;

impl Socket {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<rustls::ServerConfig>>) -> Result<Socket, rustls::Error> {
        // Messages are small and complete: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let tls = match tls {
            Some(config) => {
                let mut session = ServerConnection::new(config.clone())?;
                session.set_buffer_limit(Some(TLS_BUFFER));
                Some(Box::new(session))
            }
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

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// Reads plaintext into `buffer`.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, SocketFault> {
        match &mut self.tls {
            None => match read_stream(&mut self.stream, buffer)? {
                None => {
                    self.readable = false;
                    Ok(ReadOutcome::NotNow)
                }
                Some(0) => Ok(ReadOutcome::Eof),
                Some(count) => {
                    // A short read means that the socket is empty, unless the end of the stream
                    // is still to be read: its edge may be the one that is being served.
                    let more = count == buffer.len() || self.read_closed;
                    self.readable = more;
                    Ok(ReadOutcome::Bytes(count, more))
                }
            },
            Some(session) => read_tls(session, &mut self.stream, buffer, &mut self.readable),
        }
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<Written, SocketFault> {
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
            Some(session) => {
                if session.is_handshaking() {
                    return Ok(Written { count: 0, blocked: true });
                }
                // The session takes a bounded amount at a time. Only what it cannot get rid of
                // means that the socket is full, and that a write edge will come.
                let count = session.writer().write_vectored(slices).map_err(|_| SocketFault::Reset)?;
                write_tls(session, &mut self.stream)?;
                Ok(Written { count, blocked: session.wants_write() })
            }
        }
    }

    /// Writes what the TLS session holds, as far as the socket takes it.
    pub(super) fn flush_tls(&mut self) {
        if let Some(session) = &mut self.tls {
            // A failure here is met again, and handled, by the next read.
            let _ = write_tls(session, &mut self.stream);
        }
    }

    /// Ends the writing side, as soon as everything is out: to be called again until then.
    pub(super) fn shutdown(&mut self) {
        // Each call to the system makes a new edge: whoever shuts down on every edge turns for good.
        if self.write_closed {
            return;
        }
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
            let _ = write_tls(session, &mut self.stream);
            // The last words are still in the session: the stream ends behind them.
            if session.wants_write() {
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

fn read_stream(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, SocketFault> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(SocketFault::Reset),
        }
    }
}

/// Takes ciphertext in until there is plaintext, the socket is empty, or it ended.
fn read_tls(
    session: &mut ServerConnection,
    stream: &mut TcpStream,
    buffer: &mut [u8],
    readable: &mut bool,
) -> Result<ReadOutcome, SocketFault> {
    loop {
        match session.reader().read(buffer) {
            Ok(0) => return Ok(ReadOutcome::Eof),
            Ok(count) => return Ok(ReadOutcome::Bytes(count, true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The stream ended without a closure alert: an end like any other, since frames
            // carry their own lengths and nothing cut short is taken for whole.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(ReadOutcome::Eof),
            Err(_) => return Err(SocketFault::Tls),
        }
        match session.read_tls(stream) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *readable = false;
                return Ok(ReadOutcome::NotNow);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(SocketFault::Reset),
        }
        let state = session.process_new_packets().map_err(|_| SocketFault::Tls)?;
        if state.tls_bytes_to_write() > 0 {
            write_tls(session, stream)?;
        }
        if state.peer_has_closed() && state.plaintext_bytes_to_read() == 0 {
            return Ok(ReadOutcome::Eof);
        }
    }
}

fn write_tls(session: &mut ServerConnection, stream: &mut TcpStream) -> Result<(), SocketFault> {
    while session.wants_write() {
        match session.write_tls(stream) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(SocketFault::Reset),
        }
    }
    Ok(())
}
