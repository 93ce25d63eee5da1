//! One thread of the generator: its poll loop, its connections, and the scenario that uses them.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::args::ProtocolKind;
use super::clock::{self, Timer};
use super::conn::{Conn, Ended};
use super::frame::{Masking, Outbox};
use super::scenario::{Conns, Scenario};
use super::session::{Ear, Guarantee, Heard, Role, Rooms, Session};
use super::shared::{Phase, Shared};
use super::stats::Tally;
use super::target::Target;
use super::usage;

const WAKER: Token = Token(usize::MAX - 1);
const TIMER: Token = Token(usize::MAX - 2);
/// Bytes of the read buffer that all connections of the thread share.
const SCRATCH_BYTES: usize = 256 << 10;
/// Full reads of one connection in a row, before the phase is looked at again.
const READS_IN_A_ROW: usize = 64;
/// The kernel's receive buffer of a connection that does not read; it takes no less than some 2 KiB.
const DEAF_BUFFER_BYTES: usize = 4 << 10;
const EVENTS_PER_TURN: usize = 1024;
/// How long a quiet thread takes to notice a new phase.
const TURN_MAX: Duration = Duration::from_millis(10);

/// What a worker is to do.
#[derive(Debug)]
pub struct Work {
    /// Its number, from 0.
    pub index: usize,
    /// The server.
    pub target: Arc<Target>,
    /// What is spoken.
    pub protocol: ProtocolKind,
    /// What publications and subscriptions ask for, if it is more than the protocol's least.
    pub guarantee: Option<Guarantee>,
    /// The rooms that its connections open and join.
    pub rooms: Arc<Rooms>,
    /// How frames are masked.
    pub masking: Masking,
    /// The run's mark in stamps.
    pub run: u16,
    /// Its connections: number within the run, and role; the last is opened first.
    pub plan: Vec<(usize, Role)>,
    /// Connections being set up at one time.
    pub batch: usize,
    /// Those with this number and higher ones read nothing once they are ready.
    pub deaf_from: usize,
    /// The number of the first connection that takes another's place, and how far the next ones are apart.
    pub spare: (usize, usize),
}

/// What a worker leaves behind.
#[derive(Debug)]
pub struct Yield {
    /// Its counts.
    pub tally: Tally,
    /// The first refusal's text.
    pub refusal: Option<String>,
}

/// A worker before and while it runs.
pub struct Worker {
    work: Work,
    shared: Arc<Shared>,
    scenario: Box<dyn Scenario>,
    poll: Poll,
    timer: Timer,
    conns: Conns,
    ear: Ear,
    tally: Tally,
    opening: usize,
}

impl Worker {
    /// Makes the poll; opens nothing yet.
    pub fn new(work: Work, shared: Arc<Shared>, scenario: Box<dyn Scenario>) -> io::Result<Worker> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        let fd: RawFd = timer.raw_fd();
        poll.registry().register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
        let conns = Conns::with_capacity(work.plan.len());
        let (ear, tally) = (Ear::default(), Tally::default());
        Ok(Worker { work, shared, scenario, poll, timer, conns, ear, tally, opening: 0 })
    }

    /// Wakes this worker from another thread.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Runs until the phase is [`Phase::Done`].
    pub fn run(mut self) -> io::Result<Yield> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut last = Phase::SetUp;
        loop {
            if last == Phase::SetUp {
                self.open_more();
            }
            match self.poll.poll(&mut events, Some(TURN_MAX)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let phase = self.shared.phase();
            if phase == Phase::Done {
                break;
            }
            if last == Phase::SetUp && phase > Phase::SetUp {
                self.scenario.start(&mut self.conns, clock::now_ns());
                self.flush_touched();
                if self.scenario.renews() {
                    (0..self.conns.list.len()).for_each(|id| self.leave(id));
                }
            }
            last = phase;
            for event in &events {
                match event.token() {
                    WAKER => {}
                    TIMER => self.timer.clear(),
                    Token(id) => {
                        if event.is_writable() {
                            self.on_writable(id, phase);
                        }
                        if event.is_readable() || event.is_error() {
                            self.on_readable(id, &mut scratch, phase);
                        }
                    }
                }
            }
            if phase > Phase::SetUp {
                self.tick(phase)?;
            }
        }
        self.tally.merge(&self.scenario.finish());
        self.count_deaf();
        Ok(Yield { tally: self.tally, refusal: self.ear.refusal })
    }

    fn tick(&mut self, phase: Phase) -> io::Result<()> {
        let now = clock::now_ns();
        let due = self.scenario.tick(&mut self.conns, phase, now);
        self.flush_touched();
        if let Some(due) = due {
            self.timer.arm(due, now)?;
        }
        if phase == Phase::Drain {
            self.shared.report_outstanding(self.work.index, self.scenario.outstanding());
        }
        Ok(())
    }

    fn open_more(&mut self) {
        while self.opening < self.work.batch {
            let Some((number, role)) = self.work.plan.pop() else { return };
            if let Err(error) = self.begin(number, role) {
                self.shared.count_failed(&format!("cannot connect: {error}"));
            }
        }
    }

    fn begin(&mut self, number: usize, role: Role) -> io::Result<()> {
        let conn = self.begun(self.conns.list.len(), number, role)?;
        self.conns.list.push(conn);
        Ok(())
    }

    /// Another connection in the place of one that has left.
    fn renew(&mut self, id: usize) {
        let (number, step) = self.work.spare;
        self.work.spare = (number + step, step);
        match self.begun(id, number, self.conns.list[id].role.clone()) {
            Ok(conn) => self.conns.list[id] = conn,
            Err(error) => self.shared.count_failed(&format!("cannot connect: {error}")),
        }
    }

    fn begun(&mut self, id: usize, number: usize, role: Role) -> io::Result<Conn> {
        let mut wire = self.work.target.connect(number)?;
        if number >= self.work.deaf_from {
            // What the kernel would take in its place is no part of what is measured.
            socket2::SockRef::from(&wire.socket).set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
        }
        // Both at once and never again: writable comes anew only after the buffer was full.
        self.poll.registry().register(&mut wire.socket, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        let session = Session::new(
            self.work.protocol,
            self.work.target.transport(),
            &role,
            self.work.guarantee.as_ref(),
            &self.work.rooms,
            self.work.run,
            number,
        );
        let out = Outbox::new(self.work.masking, number as u64 + 1);
        self.opening += 1;
        Ok(Conn::new(id, number, role, session, out, wire))
    }

    fn on_writable(&mut self, id: usize, phase: Phase) {
        let conn = &mut self.conns.list[id];
        if conn.is_closed() {
            return;
        }
        match conn.on_writable(&self.work.target, &mut self.ear) {
            Ok(()) => {
                self.dispatch(id, phase);
                self.flush(id);
            }
            Err(fault) => self.close(id, &fault),
        }
    }

    fn on_readable(&mut self, id: usize, scratch: &mut [u8], phase: Phase) {
        for reads in 1.. {
            let conn = &mut self.conns.list[id];
            if conn.is_closed() {
                return;
            }
            let more = conn.read(scratch, &self.work.target, &mut self.ear);
            // Also of a connection that is closed now: what came before the fault came.
            self.dispatch(id, phase);
            match more {
                Ok(false) => break,
                Ok(true) if reads % READS_IN_A_ROW == 0 && self.shared.phase() == Phase::Done => break,
                Ok(true) => {}
                Err(fault) => return self.close(id, &fault),
            }
        }
        self.flush(id);
    }

    /// Hands on what was heard on a connection.
    fn dispatch(&mut self, id: usize, phase: Phase) {
        let now = self.ear.read_at_ns;
        if phase == Phase::Measure {
            self.tally.bytes += self.ear.bytes;
        }
        self.ear.bytes = 0;
        for ns in self.ear.handshakes_ns.drain(..) {
            self.tally.handshake.record_ns(ns);
        }
        let (mut refused_opening, mut is_new) = (false, false);
        let conn = &mut self.conns.list[id];
        for heard in self.ear.heard.drain(..) {
            match heard {
                Heard::Settled => {
                    if conn.settle() {
                        is_new = true;
                        self.opening -= 1;
                        if phase == Phase::SetUp {
                            self.shared.count_settled();
                        }
                        conn.is_deaf = conn.number >= self.work.deaf_from;
                        self.scenario.on_settled(conn, phase, now);
                    }
                }
                Heard::Refused(_) if !conn.is_live() => refused_opening = true,
                Heard::Message(_) | Heard::Response(_) | Heard::Pong(_) | Heard::Refused(_) => {
                    self.scenario.on_heard(conn, heard, phase, now);
                }
            }
        }
        if refused_opening {
            let text = self.ear.refusal.clone().unwrap_or_default();
            self.close(id, &format!("the server refused: {text}"));
        } else if is_new {
            self.on_settled(id, phase);
        }
    }

    fn on_settled(&mut self, id: usize, phase: Phase) {
        let conn = &mut self.conns.list[id];
        if conn.is_deaf {
            // It fails only for a socket that is not registered.
            let _ = self.poll.registry().deregister(&mut conn.wire.socket);
        }
        if phase > Phase::SetUp && self.scenario.renews() {
            self.leave(id);
        }
    }

    /// Asks a connection that is ready to end.
    fn leave(&mut self, id: usize) {
        let conn = &mut self.conns.list[id];
        if !conn.is_live() {
            return;
        }
        if conn.leave(&self.work.target) {
            self.flush(id);
        } else {
            self.close(id, "it left");
        }
    }

    /// Counts the deaf connections that the server has ended. Its farewell waits behind what they do not
    /// read, so it is its own end that is looked at; for a server on another machine nothing is known.
    fn count_deaf(&mut self) {
        let mut deaf = self.conns.list.iter().filter(|conn| conn.is_deaf).peekable();
        if deaf.peek().is_none() || !self.work.target.address.ip().is_loopback() {
            return;
        }
        let established = usage::established_with(self.work.target.address);
        let has_ended = |conn: &&Conn| conn.wire.socket.local_addr().is_ok_and(|mine| !established.contains(&mine));
        self.tally.deaf_ended = deaf.filter(has_ended).count() as u64;
    }

    fn flush(&mut self, id: usize) {
        if let Err(fault) = self.conns.list[id].flush() {
            self.close(id, &fault);
        }
    }

    fn flush_touched(&mut self) {
        while let Some(id) = self.conns.touched.pop() {
            self.flush(id);
        }
    }

    fn close(&mut self, id: usize, reason: &str) {
        let conn = &mut self.conns.list[id];
        let Some(ended) = conn.close() else { return };
        // It fails only for a socket that is not registered.
        let _ = self.poll.registry().deregister(&mut conn.wire.socket);
        match ended {
            Ended::Opening => {
                self.opening -= 1;
                self.shared.count_failed(reason);
            }
            Ended::Live => {
                self.shared.count_failed(reason);
                self.scenario.on_closed(conn);
            }
            Ended::Leaving if self.shared.phase() < Phase::Drain => self.renew(id),
            Ended::Leaving => {}
        }
    }
}
