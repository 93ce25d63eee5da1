//! TLS on a socket, with nothing held for a connection that is idle.
//!
//! `rustls` comes with buffers of its own, four kilobytes and more for each connection, or without any. Here it
//! has none: ciphertext is read into and written from memory that all connections of a reactor share, and only
//! what is left over stays with its connection, a record that has not come whole or what the
//! socket did not take.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};

use super::stream::{ReadOutcome, Written, read_stream};
use crate::base::limits::READ_BUFFER;
use crate::engine::conn::SocketFault;

/// Plaintext that goes into one write, at most.
const WRITE_BYTES: usize = 48 * 1024;
/// What encryption adds to that: less than 64 bytes for each record of up to 16 KiB.
const WRITE_ROOM: usize = WRITE_BYTES + 4 * 64;

/// Reads that bring no plaintext, at one time.
const READS_AT_ONCE: usize = 8;

/// Memory for one read and one write, shared by all connections of a reactor.
pub(super) struct Scratch {
    incoming: Box<[u8]>,
    plain: Vec<u8>,
    outgoing: Box<[u8]>,
}

impl Scratch {
    /// Without TLS none is needed.
    pub(super) fn new(is_tls: bool) -> Scratch {
        let room = |bytes: usize| vec![0; if is_tls { bytes } else { 0 }].into_boxed_slice();
        Scratch { incoming: room(READ_BUFFER), plain: Vec::new(), outgoing: room(WRITE_ROOM) }
    }
}

/// One connection's TLS.
pub(super) struct Session {
    tls: UnbufferedServerConnection,
    /// The beginning of a record that has not come whole.
    incoming: Vec<u8>,
    /// What the socket has not taken.
    outgoing: Vec<u8>,
    is_established: bool,
    /// The peer said that it sends no more.
    peer_closed: bool,
    is_closed: bool,
}

impl Session {
    pub(super) fn new(config: &Arc<rustls::ServerConfig>) -> Result<Session, rustls::Error> {
        Ok(Session {
            tls: UnbufferedServerConnection::new(config.clone())?,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            is_established: false,
            peer_closed: false,
            is_closed: false,
        })
    }

    /// Takes ciphertext in until there is plaintext, the socket is empty, or it ended. `buffer` has room
    /// for [`READ_BUFFER`] bytes.
    pub(super) fn read(
        &mut self,
        stream: &mut TcpStream,
        buffer: &mut [u8],
        scratch: &mut Scratch,
        read_closed: bool,
    ) -> Result<ReadOutcome, SocketFault> {
        for _ in 0..READS_AT_ONCE {
            if self.peer_closed {
                return Ok(ReadOutcome::Eof);
            }
            let kept = self.incoming.len();
            // A record is at most 16 KiB and some bytes, so that there is room.
            let Some(count) = read_stream(stream, &mut scratch.incoming[kept..])? else {
                return Ok(ReadOutcome::NotNow);
            };
            // The stream ended without a closure alert: an end like any other, since frames carry
            // their own lengths and nothing cut short is taken for whole.
            if count == 0 {
                return Ok(ReadOutcome::Eof);
            }
            let is_full = kept + count == scratch.incoming.len();
            scratch.incoming[..kept].copy_from_slice(&self.incoming);
            let (plain, left) = self.process(&mut scratch.incoming[..kept + count], buffer)?;
            if left == scratch.incoming.len() {
                return Err(SocketFault::Tls);
            }
            // What is idle holds nothing.
            self.incoming = scratch.incoming[kept + count - left..kept + count].to_vec();
            self.flush(stream)?;
            if plain > 0 {
                return Ok(ReadOutcome::Bytes(plain, is_full || read_closed || self.peer_closed));
            }
        }
        // Records without content, one after another: the others have their turn first.
        Ok(ReadOutcome::Bytes(0, true))
    }

    /// Returns how much plaintext went to `plain`, and how much at the end of `input` is not used yet.
    fn process(&mut self, input: &mut [u8], plain: &mut [u8]) -> Result<(usize, usize), SocketFault> {
        let (mut used, mut filled) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut input[used..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|_| SocketFault::Tls)?;
                        discard += record.discard;
                        let end = filled + record.payload.len();
                        // Plaintext is shorter than its ciphertext, for which there was room.
                        plain.get_mut(filled..end).ok_or(SocketFault::Tls)?.copy_from_slice(record.payload);
                        filled = end;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing)?,
                // Written soon: it is in the session's hands, and nobody else's.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.is_established = true;
                    is_done = true;
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => is_done = true,
                Err(_) => {
                    self.take_alert();
                    return Err(SocketFault::Tls);
                }
                // Early data is not offered, and states that are not known cannot be served.
                Ok(_) => return Err(SocketFault::Tls),
            }
            used += discard;
            if is_done {
                return Ok((filled, input.len() - used));
            }
        }
    }

    /// The session failed, and may have something to say about it.
    fn take_alert(&mut self) {
        while let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
            self.tls.process_tls_records(&mut [])
        {
            if encode(&mut data, &mut self.outgoing).is_err() {
                return;
            }
        }
    }

    /// Encrypts and writes. What the socket does not take stays here, and is written first.
    pub(super) fn write(
        &mut self,
        stream: &mut TcpStream,
        slices: &[IoSlice<'_>],
        scratch: &mut Scratch,
    ) -> Result<Written, SocketFault> {
        if !self.is_established || self.is_closed || !self.flush(stream)? {
            return Ok(Written { count: 0, blocked: true });
        }
        let one;
        let plain: &[u8] = match slices {
            [slice] => &slice[..slice.len().min(WRITE_BYTES)],
            _ => {
                scratch.plain.clear();
                for slice in slices {
                    let room = WRITE_BYTES - scratch.plain.len();
                    scratch.plain.extend_from_slice(&slice[..slice.len().min(room)]);
                }
                one = &scratch.plain;
                one
            }
        };
        let size = self.encrypt(plain, &mut scratch.outgoing)?;
        // Messages about keys come first.
        let count = if self.outgoing.is_empty() { write_stream(stream, &scratch.outgoing[..size])? } else { 0 };
        self.outgoing.extend_from_slice(&scratch.outgoing[count..size]);
        let blocked = !self.flush(stream)?;
        Ok(Written { count: plain.len(), blocked })
    }

    fn encrypt(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, SocketFault> {
        loop {
            // What has come in part is left as it is.
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.incoming);
            debug_assert_eq!(discard, 0, "what is whole was taken when it came");
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return traffic.encrypt(plain, out).map_err(|_| SocketFault::Tls);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(_) | Err(_) => return Err(SocketFault::Tls),
            }
        }
    }

    /// Says that nothing more comes, once.
    pub(super) fn close(&mut self) {
        if self.is_closed || !self.is_established {
            return;
        }
        self.is_closed = true;
        // An alert is a few bytes; a second try is told how many.
        let mut alert = vec![0; 64];
        for _ in 0..2 {
            let state = self.tls.process_tls_records(&mut self.incoming).state;
            let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else { return };
            match traffic.queue_close_notify(&mut alert) {
                Ok(size) => return self.outgoing.extend_from_slice(&alert[..size]),
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    alert.resize(required_size, 0);
                }
                Err(EncryptError::EncryptExhausted) => return,
            }
        }
    }

    /// Writes what the socket did not take before. Returns whether all of it is out.
    pub(super) fn flush(&mut self, stream: &mut TcpStream) -> Result<bool, SocketFault> {
        if self.outgoing.is_empty() {
            return Ok(true);
        }
        let count = write_stream(stream, &self.outgoing)?;
        if count == self.outgoing.len() {
            self.outgoing = Vec::new();
            return Ok(true);
        }
        self.outgoing.drain(..count);
        Ok(false)
    }
}

/// Appends a message of the session's own.
fn encode<Data>(data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), SocketFault> {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match data.encode(&mut out[start..]) {
            Ok(size) => {
                out.truncate(start + size);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > room => {
                room = required_size;
            }
            Err(_) => return Err(SocketFault::Tls),
        }
    }
}

/// Writes until everything is out or the socket takes no more; says how much that is.
fn write_stream(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, SocketFault> {
    let mut count = 0;
    while count < bytes.len() {
        match stream.write(&bytes[count..]) {
            Ok(0) => return Err(SocketFault::Reset),
            Ok(written) => count += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(SocketFault::Reset),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
