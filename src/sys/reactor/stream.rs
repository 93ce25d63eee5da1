//! The stream below a socket: what reading and writing it brings.

use std::io::{self, Read};

use mio::net::TcpStream;

use crate::engine::conn::SocketFault;

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

/// Reads once, however often it is interrupted: `None` if there is nothing at the moment.
pub(super) fn read_stream(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, SocketFault> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(SocketFault::Reset),
        }
    }
}
