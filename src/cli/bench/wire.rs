//! What a connection reads from and writes to: the socket, or TLS over it.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

/// A socket that does not block. The TLS handshake happens within reads and writes.
#[derive(Debug)]
pub struct Wire {
    /// For the poll.
    pub socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    /// A socket that is being connected.
    pub fn new(socket: TcpStream, tls: Option<ClientConnection>) -> Wire {
        Wire { socket, tls: tls.map(Box::new) }
    }

    /// Whether a short read has emptied the socket, so that the next byte is a new edge. TLS reads
    /// a record at a time.
    pub fn is_emptied_by_short_reads(&self) -> bool {
        self.tls.is_none()
    }

    /// Reads once; 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end without a farewell: TCP's end is told the same way.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Takes as much as there is room for; with TLS that is all, and [`Wire::flush`] says when it has gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.writer().write(bytes),
            None => self.socket.write(bytes),
        }
    }

    /// Sends what TLS has to send; would-block says that the rest waits for room.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Says farewell where the transport has one.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // What finds no room is not missed by anyone.
            let _ = self.flush();
        }
        // It may have been reset already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
