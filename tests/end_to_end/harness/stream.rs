//! A blocking socket with deadlines, plain or TLS, and HTTP requests on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, certificate};

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects. A receive buffer of a given size makes a slow reader felt early.
    pub fn connect(address: SocketAddr, tls: bool, receive_buffer: Option<usize>) -> io::Result<Stream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&address.into(), PATIENCE)?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        if !tls {
            return Ok(Stream::Plain(tcp));
        }
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(certificate::client(), name).unwrap();
        Ok(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Reads what there is, by a deadline. No bytes are the stream's end.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let tcp = match self {
                Stream::Plain(tcp) => &*tcp,
                Stream::Tls(tls) => tls.get_ref(),
            };
            tcp.set_read_timeout(Some(left))?;
            let read = match self {
                Stream::Plain(tcp) => tcp.read(buffer),
                Stream::Tls(tls) => tls.read(buffer),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(ErrorKind::TimedOut.into());
                }
                result => return result,
            }
        }
    }

    /// Sends a request and reads the answer's head; gives what came behind the head too.
    pub fn request(&mut self, text: &str) -> io::Result<(Answer, Vec<u8>)> {
        let deadline = Instant::now() + PATIENCE;
        self.write_all(text.as_bytes())?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        let end = loop {
            if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            match self.read(&mut buffer, deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        };
        let rest = bytes.split_off(end);
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((Answer { status, head, body: String::new() }, rest))
    }

    /// Sends a request and reads the whole answer.
    pub fn fetch(&mut self, text: &str) -> io::Result<Answer> {
        let (mut answer, rest) = self.request(text)?;
        answer.body = self.body(&answer, rest)?;
        Ok(answer)
    }

    /// Reads the body of an answer whose head was read.
    pub fn body(&mut self, answer: &Answer, mut body: Vec<u8>) -> io::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let length: usize = answer.field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut buffer = [0; 4096];
        while body.len() < length {
            match self.read(&mut buffer, deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => body.extend_from_slice(&buffer[..len]),
            }
        }
        assert_eq!(body.len(), length, "more than the length that was told");
        Ok(String::from_utf8(body).unwrap())
    }
}

/// The answer to an HTTP request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// A header field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
