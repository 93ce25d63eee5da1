//! Accepting: in batches, with a rest at the descriptor limit.
//!
//! One descriptor is held in reserve. When none is left it is given up to accept one socket and
//! close it at once, so that the peer learns something; then accepting rests. An edge that came
//! meanwhile is not waited for again: it is gone, so the timer tries.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::LISTENER_TOKENS;
use crate::base::limits::{ACCEPT_BATCH, ACCEPT_PAUSE_MS};
use crate::base::{Counters, Metric, Mono, Now, ReactorId};
use crate::sys::mailbox::{ReactorSender, ToReactor};

/// How often the log is told that no descriptor is left.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Connections that the kernel keeps while they wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds a listening socket. A port in use is an error: sharing it is never wanted.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    // Messages are small and complete: waiting for more to send only delays them. Accepted sockets have it from
    // their listener.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The addresses that an interface and a port stand for.
pub fn listen_addresses(interface: IpAddr, port: u16, ipv6: bool) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::new(interface, port)];
    if ipv6 && let IpAddr::V4(v4) = interface {
        if v4.is_loopback() {
            addresses.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port));
        } else if v4 == Ipv4Addr::UNSPECIFIED {
            addresses.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        }
    }
    addresses
}

/// The listeners of one reactor.
pub(super) struct Acceptor {
    id: ReactorId,
    listeners: Vec<TcpListener>,
    /// All reactors: accepted sockets are handed out in turn.
    reactors: Vec<ReactorSender>,
    next: usize,
    /// The listener that this turn began with.
    first: usize,
    /// When the log was last told of a rest.
    told_at: Option<Mono>,
    reserve: Option<File>,
    is_ready: bool,
    rests_until: Option<Mono>,
    /// Sockets for this reactor, taken within the turn.
    pub accepted: Vec<(TcpStream, SocketAddr)>,
}

impl Acceptor {
    pub(super) fn new(
        id: ReactorId,
        listeners: Vec<std::net::TcpListener>,
        reactors: Vec<ReactorSender>,
        registry: &Registry,
    ) -> io::Result<Acceptor> {
        let mut own = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(listener);
            let token = Token((LISTENER_TOKENS + 1 + index as u64) as usize);
            registry.register(&mut listener, token, Interest::READABLE)?;
            own.push(listener);
        }
        let reserve = if own.is_empty() { None } else { Some(File::open("/dev/null")?) };
        Ok(Acceptor {
            id,
            listeners: own,
            reactors,
            next: 0,
            first: 0,
            told_at: None,
            reserve,
            is_ready: false,
            rests_until: None,
            accepted: Vec::new(),
        })
    }

    pub(super) fn on_ready(&mut self) {
        self.is_ready = true;
    }

    /// Whether there may be more to accept at once.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready && self.rests_until.is_none()
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.rests_until
    }

    /// Accepts up to a batch; those for this reactor go to `own`.
    pub(super) fn accept(&mut self, now: Now, counters: &Counters, own: &mut Vec<(TcpStream, SocketAddr)>) {
        if self.rests_until.is_some_and(|until| until <= now.mono) {
            self.rests_until = None;
            self.is_ready = true;
            if self.reserve.is_none() {
                self.reserve = File::open("/dev/null").ok();
            }
        }
        if !self.is_ready() {
            return;
        }
        let mut left = ACCEPT_BATCH;
        // Each turn begins with another listener, so that a busy one starves no other.
        self.first = (self.first + 1) % self.listeners.len().max(1);
        for offset in 0..self.listeners.len() {
            let index = (self.first + offset) % self.listeners.len();
            while left > 0 {
                match self.listeners[index].accept() {
                    Ok((stream, address)) => {
                        left -= 1;
                        self.hand_out(stream, address, own);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_descriptor_limit(&error) => {
                        self.rest(index, now, counters);
                        return;
                    }
                    // The peer gave up between its handshake and our call.
                    Err(error) if is_transient(&error) => left -= 1,
                    Err(error) => {
                        log::warn!("accepting failed: {error}");
                        self.rests_until = Some(now.mono.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
                        return;
                    }
                }
            }
        }
        self.is_ready = left == 0;
    }

    fn hand_out(&mut self, stream: TcpStream, address: SocketAddr, own: &mut Vec<(TcpStream, SocketAddr)>) {
        let turn = self.next;
        self.next = (self.next + 1) % self.reactors.len().max(1);
        if turn == usize::from(self.id.0) || self.reactors.is_empty() {
            own.push((stream, address));
            return;
        }
        match self.reactors[turn].try_send(ToReactor::Adopt(stream.into(), address)) {
            Ok(()) => {
                self.reactors[turn].wake();
            }
            Err(ToReactor::Adopt(stream, address)) => own.push((TcpStream::from_std(stream), address)),
            Err(_) => {}
        }
    }

    fn rest(&mut self, index: usize, now: Now, counters: &Counters) {
        counters.inc(Metric::ACCEPT_PAUSES);
        if self.reserve.take().is_some() {
            if let Ok((stream, _)) = self.listeners[index].accept() {
                counters.inc(Metric::ACCEPT_DROPPED);
                drop(stream);
            }
            self.reserve = File::open("/dev/null").ok();
        }
        if self.told_at.is_none_or(|at| now.mono.since(at) >= TELL_INTERVAL) {
            self.told_at = Some(now.mono);
            log::warn!("no descriptor is left: accepting rests, {ACCEPT_PAUSE_MS} ms at a time");
        }
        self.rests_until = Some(now.mono.after(Duration::from_millis(ACCEPT_PAUSE_MS)));
    }
}

/// EMFILE or ENFILE.
fn is_descriptor_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_sends_without_delay_like_its_listener() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}
