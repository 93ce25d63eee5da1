//! `idle`: connections are held; pings to one after another show that they live.

use super::{Conns, Scenario};
use crate::cli::bench::clock::SECOND_NS;
use crate::cli::bench::conn::Conn;
use crate::cli::bench::session::Heard;
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stamp::Stamp;
use crate::cli::bench::stats::Tally;

/// One thread's part.
#[derive(Debug)]
pub struct Idle {
    run: u16,
    interval_ns: Option<u64>,
    next_due_ns: u64,
    next_conn: usize,
    /// By connection, when the probe was due that is not answered yet.
    asked_ns: Vec<Option<u64>>,
    tally: Tally,
}

impl Idle {
    /// `rate`: pings a second from this thread; none if it is 0.
    pub fn new(run: u16, rate: f64) -> Idle {
        let interval_ns = (rate > 0.0).then(|| ((SECOND_NS as f64 / rate) as u64).max(1));
        Idle { run, interval_ns, next_due_ns: 0, next_conn: 0, asked_ns: Vec::new(), tally: Tally::default() }
    }

    fn probe(&mut self, conns: &mut Conns, phase: Phase) {
        let id = self.next_conn;
        self.next_conn = (id + 1) % conns.list.len();
        if !conns.list[id].is_live() {
            return;
        }
        if self.asked_ns[id].is_some() {
            self.tally.faults.throttled += 1;
            return;
        }
        self.asked_ns[id] = Some(self.next_due_ns);
        let conn = conns.touch(id);
        let stamp = Stamp { run: self.run, lane: conn.number as u32, seq: 0, time_ns: self.next_due_ns };
        conn.session.probe(stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }
}

impl Scenario for Idle {
    fn start(&mut self, conns: &mut Conns, now: u64) {
        self.asked_ns = vec![None; conns.list.len()];
        self.next_due_ns = now;
    }

    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64) {
        let Heard::Pong(stamp) = heard else {
            self.tally.faults.unexpected += 1;
            return;
        };
        match self.asked_ns.get_mut(conn.id).and_then(Option::take) {
            Some(due_ns) if stamp.is_none_or(|stamp| stamp.run == self.run && stamp.time_ns == due_ns) => {
                if phase == Phase::Measure {
                    self.tally.messages += 1;
                    self.tally.latency.record_ns(now.saturating_sub(due_ns));
                }
            }
            Some(_) | None => self.tally.faults.unexpected += 1,
        }
    }

    fn tick(&mut self, conns: &mut Conns, phase: Phase, now: u64) -> Option<u64> {
        let interval_ns = self.interval_ns?;
        if phase >= Phase::Drain || conns.list.is_empty() {
            return None;
        }
        while self.next_due_ns <= now {
            self.probe(conns, phase);
            self.next_due_ns += interval_ns;
        }
        Some(self.next_due_ns)
    }

    fn outstanding(&self) -> u64 {
        self.asked_ns.iter().flatten().count() as u64
    }

    fn finish(&mut self) -> Tally {
        self.tally.faults.lost = self.outstanding();
        std::mem::take(&mut self.tally)
    }
}
