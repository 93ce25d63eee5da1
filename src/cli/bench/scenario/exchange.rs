//! `echo` and `rpc`: each connection keeps a number of messages in flight and sends the next one
//! when one comes back. `signal`: what comes back is the peer's; the owner of each room begins, and
//! what is measured is the way from one peer through the server to the other.

use super::{Conns, Scenario};
use crate::cli::bench::conn::Conn;
use crate::cli::bench::sequence::{Arrival, Sequence};
use crate::cli::bench::session::Heard;
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stamp::{Payload, Stamp};
use crate::cli::bench::stats::Tally;

#[derive(Debug, Default)]
struct Lane {
    sent: u64,
    /// What came back, or from the peer.
    back: Sequence,
    heard: u64,
}

/// One thread's part.
#[derive(Debug)]
pub struct Exchange {
    run: u16,
    pipeline: usize,
    payload: Payload,
    /// Whether connections go by pairs, both of them in one thread.
    is_paired: bool,
    /// By connection.
    lanes: Vec<Lane>,
    tally: Tally,
}

impl Exchange {
    /// `pipeline` messages in flight on each connection.
    pub fn new(run: u16, pipeline: usize, payload: Payload) -> Exchange {
        Exchange { run, pipeline, payload, is_paired: false, lanes: Vec::new(), tally: Tally::default() }
    }

    /// The same between the two of each pair of connections: an even number, and the odd one behind it.
    pub fn of_pairs(run: u16, pipeline: usize, payload: Payload) -> Exchange {
        Exchange { is_paired: true, ..Exchange::new(run, pipeline, payload) }
    }

    /// Whose messages come to a connection.
    fn source(&self, number: usize) -> usize {
        if self.is_paired { number ^ 1 } else { number }
    }

    fn send(&mut self, conn: &mut Conn, phase: Phase, now: u64) {
        let lane = &mut self.lanes[conn.id];
        let stamp = Stamp { run: self.run, lane: conn.number as u32, seq: lane.sent, time_ns: now };
        lane.sent += 1;
        conn.session.request(self.payload.stamped(stamp), stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }
}

impl Scenario for Exchange {
    fn start(&mut self, conns: &mut Conns, now: u64) {
        self.lanes.resize_with(conns.list.len(), Lane::default);
        for id in 0..conns.list.len() {
            let conn = conns.touch(id);
            if conn.is_live() && (!self.is_paired || conn.number.is_multiple_of(2)) {
                for _ in 0..self.pipeline {
                    self.send(conn, Phase::WarmUp, now);
                }
            }
        }
    }

    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64) {
        let (stamp, is_answer) = match heard {
            Heard::Message(stamp) | Heard::Response(stamp) => (stamp, true),
            Heard::Refused(Some(stamp)) => (stamp, false),
            Heard::Refused(None) | Heard::Pong(_) | Heard::Settled => {
                self.tally.faults.unexpected += 1;
                return;
            }
        };
        let is_ours = stamp.run == self.run && stamp.lane == self.source(conn.number) as u32;
        // How many the peer has sent, this connection's lane does not know.
        let was_sent = |lane: &&mut Lane| self.is_paired || stamp.seq < lane.sent;
        let Some(lane) = self.lanes.get_mut(conn.id).filter(|lane| is_ours && was_sent(lane)) else {
            self.tally.faults.unexpected += 1;
            return;
        };
        match lane.back.arrive(stamp.seq) {
            Arrival::Forward => {}
            Arrival::Late => self.tally.faults.out_of_order += 1,
            Arrival::Duplicate => {
                self.tally.faults.duplicates += 1;
                return;
            }
        }
        lane.heard += 1;
        if !is_answer {
            self.tally.faults.unexpected += 1;
        } else if phase == Phase::Measure {
            self.tally.messages += 1;
            self.tally.latency.record_ns(now.saturating_sub(stamp.time_ns));
        }
        if phase < Phase::Drain {
            self.send(conn, phase, now);
        }
    }

    fn outstanding(&self) -> u64 {
        let (sent, heard) =
            self.lanes.iter().fold((0, 0), |(sent, heard), lane| (sent + lane.sent, heard + lane.heard));
        sent.saturating_sub(heard)
    }

    fn finish(&mut self) -> Tally {
        self.tally.faults.lost = self.outstanding();
        std::mem::take(&mut self.tally)
    }
}
