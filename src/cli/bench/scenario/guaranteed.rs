//! `guaranteed`: publishers that wait for the server's answers, and subscribers that check and
//! acknowledge what they get.
//!
//! A publisher keeps a number of publications unanswered. Answers alone would let a server put off
//! its deliveries without end, so publishers also pause while the subscribers lag too far behind.

use std::sync::Arc;

use super::{Conns, Scenario};
use crate::cli::bench::clock::SECOND_NS;
use crate::cli::bench::conn::Conn;
use crate::cli::bench::sequence::{Arrival, Sequence};
use crate::cli::bench::session::{Heard, Role};
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stamp::{Payload, Stamp};
use crate::cli::bench::stats::Tally;

mod progress;
#[cfg(test)]
mod tests;

pub use progress::Progress;

/// When nothing has moved for so long, the deliveries in flight are given up. A disk may well take a
/// second to sync.
const STALL_NS: u64 = 5 * SECOND_NS;

/// What publishers keep to.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Unanswered publications of each.
    pub pipeline: usize,
    /// Publications that the subscribers may lag behind, on average.
    pub backlog: usize,
}

#[derive(Debug)]
struct Publisher {
    conn: usize,
    /// Its number among the run's publishers.
    lane: usize,
    next: u64,
    unanswered: usize,
    answers: Sequence,
}

/// What a connection of this thread is.
#[derive(Debug)]
enum Part {
    Publisher(usize),
    /// What it has seen of each publisher.
    Subscriber(Box<[Sequence]>),
    /// It never became ready.
    Unused,
}

/// One thread's part.
#[derive(Debug)]
pub struct Guaranteed {
    run: u16,
    load: Load,
    topic: Arc<str>,
    progress: Arc<Progress>,
    payload: Payload,
    publishers: Vec<Publisher>,
    /// Who publishes first in a turn, so that nobody is always the last.
    first: usize,
    /// By connection.
    parts: Vec<Part>,
    moved_ns: u64,
    delivered: u64,
    tally: Tally,
}

impl Guaranteed {
    /// `progress` is that of all threads.
    pub fn new(run: u16, load: Load, payload: Payload, topic: Arc<str>, progress: Arc<Progress>) -> Guaranteed {
        Guaranteed {
            run,
            load,
            topic,
            progress,
            payload,
            publishers: Vec::new(),
            first: 0,
            parts: Vec::new(),
            moved_ns: 0,
            delivered: 0,
            tally: Tally::default(),
        }
    }

    fn on_delivery(&mut self, conn: usize, stamp: Stamp, phase: Phase, now: u64) {
        let lane = stamp.lane as usize;
        let is_ours = stamp.run == self.run && stamp.seq < self.progress.published(lane);
        let Some(Part::Subscriber(seen)) = self.parts.get_mut(conn).filter(|_| is_ours) else {
            self.tally.faults.unexpected += 1;
            return;
        };
        match seen[lane].arrive(stamp.seq) {
            Arrival::Forward => {}
            Arrival::Late => self.tally.faults.out_of_order += 1,
            Arrival::Duplicate => {
                self.tally.faults.duplicates += 1;
                return;
            }
        }
        self.progress.count_delivered();
        if phase == Phase::Measure {
            self.tally.deliveries += 1;
            self.tally.latency.record_ns(now.saturating_sub(stamp.time_ns));
        }
    }

    /// An answer came, good or bad: the publication is no longer waited for.
    fn on_answer(&mut self, conn: usize, stamp: Stamp, is_good: bool, phase: Phase, now: u64) {
        let publisher = match self.parts.get(conn) {
            Some(Part::Publisher(index)) => &mut self.publishers[*index],
            Some(Part::Subscriber(_) | Part::Unused) | None => {
                self.tally.faults.unexpected += 1;
                return;
            }
        };
        if stamp.run != self.run || stamp.lane as usize != publisher.lane || stamp.seq >= publisher.next {
            self.tally.faults.unexpected += 1;
            return;
        }
        // Answers may overtake one another: it is only deliveries that have an order.
        if publisher.answers.arrive(stamp.seq) == Arrival::Duplicate {
            self.tally.faults.duplicates += 1;
            return;
        }
        publisher.unanswered -= 1;
        self.moved_ns = now;
        if !is_good {
            self.tally.faults.unexpected += 1;
            self.progress.count_refused(publisher.lane);
        } else if phase == Phase::Measure {
            self.tally.messages += 1;
            self.tally.accepted.record_ns(now.saturating_sub(stamp.time_ns));
        }
    }

    fn publish(&mut self, index: usize, conns: &mut Conns, phase: Phase, now: u64) {
        let publisher = &mut self.publishers[index];
        let stamp = Stamp { run: self.run, lane: publisher.lane as u32, seq: publisher.next, time_ns: now };
        publisher.next += 1;
        publisher.unanswered += 1;
        self.progress.count_published(publisher.lane);
        let conn = conns.touch(publisher.conn);
        conn.session.publish(&self.topic, self.payload.stamped(stamp), stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }

    /// Gives up on deliveries that do not come. Answers are waited for whatever happens.
    fn watch(&mut self, now: u64) {
        let delivered = self.progress.delivered();
        let waits = self.progress.lag() > 0 || self.publishers.iter().any(|publisher| publisher.unanswered > 0);
        if delivered != self.delivered || !waits {
            self.delivered = delivered;
            self.moved_ns = now;
        } else if now.saturating_sub(self.moved_ns) > STALL_NS {
            self.moved_ns = now;
            self.progress.give_up();
            self.tally.faults.stalls += 1;
        }
    }
}

impl Scenario for Guaranteed {
    fn on_settled(&mut self, conn: &Conn, _phase: Phase, _now: u64) {
        if matches!(conn.role, Role::Subscriber(_)) {
            self.progress.add_subscriber();
        }
    }

    fn on_closed(&mut self, conn: &Conn) {
        if matches!(conn.role, Role::Subscriber(_)) {
            self.progress.remove_subscriber();
        }
    }

    fn start(&mut self, conns: &mut Conns, now: u64) {
        self.moved_ns = now;
        for conn in &conns.list {
            let part = match conn.role {
                Role::Subscriber(_) if conn.is_live() => {
                    Part::Subscriber(vec![Sequence::default(); self.progress.lanes()].into())
                }
                Role::Publisher if conn.is_live() => {
                    let (conn, lane, answers) = (conn.id, conn.number, Sequence::default());
                    self.publishers.push(Publisher { conn, lane, next: 0, unanswered: 0, answers });
                    Part::Publisher(self.publishers.len() - 1)
                }
                Role::Subscriber(_) | Role::Publisher | Role::Client => Part::Unused,
            };
            self.parts.push(part);
        }
    }

    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64) {
        match heard {
            Heard::Message(stamp) => self.on_delivery(conn.id, stamp, phase, now),
            Heard::Response(stamp) => self.on_answer(conn.id, stamp, true, phase, now),
            Heard::Refused(Some(stamp)) => self.on_answer(conn.id, stamp, false, phase, now),
            Heard::Refused(None) | Heard::Pong(_) | Heard::Settled => self.tally.faults.unexpected += 1,
        }
    }

    fn tick(&mut self, conns: &mut Conns, phase: Phase, now: u64) -> Option<u64> {
        // While draining, the main thread says when it has waited long enough.
        if phase >= Phase::Drain || self.publishers.is_empty() {
            return None;
        }
        self.watch(now);
        self.first = (self.first + 1) % self.publishers.len();
        for turn in 0..self.publishers.len() {
            let index = (self.first + turn) % self.publishers.len();
            let conn = self.publishers[index].conn;
            while self.publishers[index].unanswered < self.load.pipeline
                && conns.list[conn].is_live()
                && self.progress.has_room(self.load.backlog)
            {
                self.publish(index, conns, phase, now);
            }
        }
        None
    }

    fn outstanding(&self) -> u64 {
        let unanswered: usize = self.publishers.iter().map(|publisher| publisher.unanswered).sum();
        unanswered as u64 + self.progress.lag()
    }

    fn finish(&mut self) -> Tally {
        let unanswered: usize = self.publishers.iter().map(|publisher| publisher.unanswered).sum();
        self.tally.faults.lost += unanswered as u64;
        for part in &self.parts {
            let Part::Subscriber(seen) = part else { continue };
            for (lane, sequence) in seen.iter().enumerate() {
                self.tally.faults.lost += self.progress.missing(lane, sequence);
            }
        }
        std::mem::take(&mut self.tally)
    }
}
