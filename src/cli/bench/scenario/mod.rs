//! What is sent when, and what is measured of what comes back. One file for each scenario; none of
//! them knows sockets or protocols.

mod connect;
mod exchange;
mod fanout;
mod guaranteed;
mod idle;

use super::conn::Conn;
use super::session::Heard;
use super::shared::Phase;
use super::stats::Tally;

pub use connect::Connect;
pub use exchange::Exchange;
pub use fanout::{Board, Fanout, Pace};
pub use guaranteed::{Guaranteed, Load, Progress};
pub use idle::Idle;

/// A thread's connections, and which of them have something to send.
#[derive(Debug)]
pub struct Conns {
    /// All, closed ones too.
    pub list: Vec<Conn>,
    /// To be flushed.
    pub touched: Vec<usize>,
}

impl Conns {
    /// None yet.
    pub fn with_capacity(connections: usize) -> Conns {
        Conns { list: Vec::with_capacity(connections), touched: Vec::new() }
    }

    /// A connection that something is about to be sent on.
    pub fn touch(&mut self, id: usize) -> &mut Conn {
        self.touched.push(id);
        &mut self.list[id]
    }
}

/// A scenario's part in one thread.
pub trait Scenario: Send {
    /// Whether a connection that is ready under load is closed, and another opened in its place.
    fn renews(&self) -> bool {
        false
    }

    /// A connection is ready, by what was read at `now`.
    fn on_settled(&mut self, _conn: &Conn, _phase: Phase, _now: u64) {}

    /// A connection that was ready has ended.
    fn on_closed(&mut self, _conn: &Conn) {}

    /// All connections of all threads are ready, or have failed.
    fn start(&mut self, conns: &mut Conns, now: u64);

    /// Something was heard, read at `now`. What it puts into `conn.out` is sent.
    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64);

    /// After each turn of the poll loop. Returns when it wants to be called at the latest.
    fn tick(&mut self, _conns: &mut Conns, _phase: Phase, _now: u64) -> Option<u64> {
        None
    }

    /// What was sent and has not come, asked while draining.
    fn outstanding(&self) -> u64;

    /// The results, once at the end.
    fn finish(&mut self) -> Tally;
}
