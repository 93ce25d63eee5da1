//! `echo` and `rpc`: each connection keeps a number of messages in flight and sends the next one
//! when one comes back.

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
    back: Sequence,
}

/// One thread's part.
#[derive(Debug)]
pub struct Exchange {
    run: u16,
    pipeline: usize,
    payload: Payload,
    /// By connection.
    lanes: Vec<Lane>,
    tally: Tally,
}

impl Exchange {
    /// `pipeline` messages in flight on each connection.
    pub fn new(run: u16, pipeline: usize, payload: Payload) -> Exchange {
        Exchange { run, pipeline, payload, lanes: Vec::new(), tally: Tally::default() }
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
            if conn.is_live() {
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
        let is_ours = stamp.run == self.run && stamp.lane == conn.number as u32;
        let Some(lane) = self.lanes.get_mut(conn.id).filter(|lane| is_ours && stamp.seq < lane.sent) else {
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
        self.lanes.iter().map(|lane| lane.back.missing(lane.sent)).sum()
    }

    fn finish(&mut self) -> Tally {
        self.tally.faults.lost = self.outstanding();
        std::mem::take(&mut self.tally)
    }
}
