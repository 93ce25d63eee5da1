//! Sockets that are finished with, but not closed yet.
//!
//! Closing a socket while its peer still sends resets the connection, and the peer loses the
//! answer under way. So the write side is shut, and what comes is read and thrown away, for a
//! short while and in a bounded number of sockets.

use std::collections::VecDeque;
use std::time::Duration;

use mio::{Registry, Token};

use super::socket::Socket;
use super::stream::ReadOutcome;
use super::tls::Scratch;
use crate::base::Mono;

const LINGER: Duration = Duration::from_secs(2);
const LINGER_SOCKETS: usize = 1024;
/// Reads of one socket at one time, so that a flood holds nobody up.
const READS_AT_ONCE: usize = 16;

#[derive(Default)]
pub(super) struct Lingering {
    sockets: VecDeque<(Mono, Socket)>,
}

impl Lingering {
    /// Closes a socket, now or after its peer had time to read.
    pub(super) fn retire(&mut self, mut socket: Socket, lingers: bool, registry: &Registry, token: Token, now: Mono) {
        if !lingers && !socket.is_tls() {
            // Closing it ends the stream, and takes it out of the poll.
            return;
        }
        socket.shutdown();
        if self.sockets.len() >= LINGER_SOCKETS {
            self.sockets.pop_front();
        }
        // All lingering sockets share a token: when it fires, each is tried.
        if socket.reregister(registry, token).is_ok() {
            self.sockets.push_back((now.after(LINGER), socket));
        }
    }

    /// Some of them are ready.
    pub(super) fn on_ready(&mut self, buffer: &mut [u8], scratch: &mut Scratch) {
        self.sockets.retain_mut(|(_, socket)| {
            socket.shutdown();
            for _ in 0..READS_AT_ONCE {
                match socket.read(buffer, scratch) {
                    Ok(ReadOutcome::Bytes(..)) => {}
                    Ok(ReadOutcome::NotNow) => return true,
                    Ok(ReadOutcome::Eof) | Err(_) => return false,
                }
            }
            true
        });
    }

    pub(super) fn on_time(&mut self, now: Mono) {
        while self.sockets.front().is_some_and(|(at, _)| *at <= now) {
            self.sockets.pop_front();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.sockets.front().map(|(at, _)| *at)
    }
}
