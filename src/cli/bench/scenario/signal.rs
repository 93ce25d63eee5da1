//! `signal`: the owner of each room keeps a number of offers in flight to its peer, which answers each.
//! What is measured is the way from one peer through the server to the other.

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
    /// What came from its peer.
    came: Sequence,
    heard: u64,
}

/// One thread's part. Both peers of a room are in the same thread.
#[derive(Debug)]
pub struct Signal {
    run: u16,
    pipeline: usize,
    payload: Payload,
    /// By connection.
    lanes: Vec<Lane>,
    tally: Tally,
}

impl Signal {
    /// `pipeline` offers in flight in each room.
    pub fn new(run: u16, pipeline: usize, payload: Payload) -> Signal {
        Signal { run, pipeline, payload, lanes: Vec::new(), tally: Tally::default() }
    }

    fn send(&mut self, conn: &mut Conn, phase: Phase, now: u64) {
        let lane = &mut self.lanes[conn.id];
        let stamp = Stamp { run: self.run, lane: conn.number as u32, seq: lane.sent, time_ns: now };
        lane.sent += 1;
        conn.session.request(self.payload.stamped(stamp), stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }
}

impl Scenario for Signal {
    fn start(&mut self, conns: &mut Conns, now: u64) {
        self.lanes.resize_with(conns.list.len(), Lane::default);
        for id in 0..conns.list.len() {
            let conn = conns.touch(id);
            if conn.is_live() && conn.number.is_multiple_of(2) {
                for _ in 0..self.pipeline {
                    self.send(conn, Phase::WarmUp, now);
                }
            }
        }
    }

    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64) {
        let Heard::Message(stamp) = heard else {
            self.tally.faults.unexpected += 1;
            return;
        };
        let is_from_peer = stamp.run == self.run && stamp.lane == (conn.number ^ 1) as u32;
        let Some(lane) = self.lanes.get_mut(conn.id).filter(|_| is_from_peer) else {
            self.tally.faults.unexpected += 1;
            return;
        };
        match lane.came.arrive(stamp.seq) {
            Arrival::Forward => {}
            Arrival::Late => self.tally.faults.out_of_order += 1,
            Arrival::Duplicate => {
                self.tally.faults.duplicates += 1;
                return;
            }
        }
        lane.heard += 1;
        if phase == Phase::Measure {
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
        sent - heard
    }

    fn finish(&mut self) -> Tally {
        self.tally.faults.lost = self.outstanding();
        std::mem::take(&mut self.tally)
    }
}
