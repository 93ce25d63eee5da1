//! A TCP socket, or TLS on one, that keeps deadlines and stops for Ctrl-C.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::broken::Broken;
use super::target::Target;
use super::tls;
use crate::cli::exit::Exit;
use crate::cli::interrupt;

/// One wait of the system. A signal ends it early; this bounds the rare case in which the signal
/// comes just before the wait.
const SLICE: Duration = Duration::from_millis(500);

/// How long the server may take nothing of what is written.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a read waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then; without end if there is no time.
    Until(Option<Instant>),
}

/// The TCP socket.
pub(super) struct Socket {
    tcp: TcpStream,
    patience: Patience,
    /// The timeout that the system was told, to tell it less often.
    timeout: Duration,
}

impl Socket {
    fn new(tcp: TcpStream) -> io::Result<Socket> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(SLICE))?;
        tcp.set_write_timeout(Some(SLICE))?;
        Ok(Socket { tcp, patience: Patience::Until(None), timeout: SLICE })
    }

    pub(super) fn set_patience(&mut self, patience: Patience) -> io::Result<()> {
        let (was, is) = (self.patience == Patience::None, patience == Patience::None);
        self.patience = patience;
        if was == is { Ok(()) } else { self.tcp.set_nonblocking(is) }
    }

    /// Ends the connection in both directions.
    pub(super) fn hang_up(&mut self) {
        // It may have ended already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    /// Readies the next wait of the system, unless time is up.
    fn wait_once(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if interrupt::is_asked() {
            return Err(io::Error::other("interrupted"));
        }
        let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()).min(SLICE));
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        if left != self.timeout {
            self.tcp.set_read_timeout(Some(left))?;
            self.timeout = left;
        }
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Patience::Until(deadline) = self.patience else { return self.tcp.read(buffer) };
        loop {
            self.wait_once(deadline)?;
            match self.tcp.read(buffer) {
                Err(error) if is_passing(&error) => {}
                result => return result,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.patience == Patience::None {
            return self.tcp.write(bytes);
        }
        let deadline = Instant::now() + WRITE_PATIENCE;
        loop {
            match self.tcp.write(bytes) {
                Err(error) if is_passing(&error) && !interrupt::is_asked() => {
                    if Instant::now() >= deadline {
                        return Err(io::Error::other("the server takes nothing"));
                    }
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Plain or TLS.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    pub(super) fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Connects to the first of the host's addresses that answers, and does the TLS handshake.
pub(super) fn connect(target: &Target, deadline: Instant) -> Result<Stream, Broken> {
    // Made first: what is wrong with the certificates to trust needs no connection.
    let tls = if target.is_tls { Some(tls::client(target)?) } else { None };
    let socket = connect_tcp(target, deadline)
        .map_err(|error| Broken::lost(format_args!("cannot connect to {target}: {}", why(&error))))?;
    let Some(tls) = tls else { return Ok(Stream::Plain(socket)) };
    let mut stream = StreamOwned::new(tls, socket);
    let handshake = stream.sock.set_patience(Patience::Until(Some(deadline))).and_then(|()| {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(())
    });
    match handshake {
        Ok(()) => Ok(Stream::Tls(Box::new(stream))),
        // A certificate that is not trusted now will not be in a moment.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(Broken::for_good(Exit::Lost, format_args!("no TLS with {target}: {error}")))
        }
        Err(error) => Err(Broken::lost(format_args!("no TLS with {target}: {}", why(&error)))),
    }
}

fn connect_tcp(target: &Target, deadline: Instant) -> io::Result<Socket> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (target.host.as_str(), target.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left).and_then(Socket::new) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "it took too long".into(),
        ErrorKind::UnexpectedEof => "the other side hung up".into(),
        _ => error.to_string(),
    }
}
