//! `echo` and `rpc`: each connection keeps a number of messages in flight and sends the next one
//! when one comes back. `signal`: the same in each room; what comes back is the peer's, the owner
//! begins, and what is measured is the way from one peer through the server to the other.

use super::{Conns, Scenario};
use crate::cli::bench::conn::Conn;
use crate::cli::bench::layout::{Layout, Seat};
use crate::cli::bench::sequence::{Arrival, Sequence};
use crate::cli::bench::session::Heard;
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stamp::{Payload, Stamp};
use crate::cli::bench::stats::Tally;

/// What a connection sends and hears; in a room, if it is in one.
#[derive(Debug)]
struct Lane {
    /// The lanes in the stamps of what it sends, and of what comes to it.
    own: u32,
    source: u32,
    sent: u64,
    /// What came back, or from the peer.
    back: Sequence,
    heard: u64,
}

impl Lane {
    fn new(own: u32, source: u32) -> Lane {
        Lane { own, source, sent: 0, back: Sequence::default(), heard: 0 }
    }

    fn of(seat: Seat) -> Lane {
        Lane::new(seat.lane(), seat.source())
    }

    /// The stamp of the next message.
    fn next(&mut self, run: u16, time_ns: u64) -> Stamp {
        let stamp = Stamp { run, lane: self.own, seq: self.sent, time_ns };
        self.sent += 1;
        stamp
    }
}

/// One connection's.
#[derive(Debug)]
struct Lanes {
    first: Lane,
    /// In the other room of a guest of two.
    second: Option<Box<Lane>>,
}

impl Lanes {
    /// The one to which a source's messages come.
    fn hearing(&mut self, source: u32) -> Option<&mut Lane> {
        if self.first.source == source {
            return Some(&mut self.first);
        }
        self.second.as_deref_mut().filter(|lane| lane.source == source)
    }
}

/// One thread's part.
#[derive(Debug)]
pub struct Exchange {
    run: u16,
    pipeline: usize,
    payload: Payload,
    /// Who shares rooms, all of them in one thread; each connection exchanges with the server without.
    layout: Option<Layout>,
    /// By connection.
    lanes: Vec<Lanes>,
    tally: Tally,
}

impl Exchange {
    /// `pipeline` messages in flight on each connection.
    pub fn new(run: u16, pipeline: usize, payload: Payload) -> Exchange {
        Exchange { run, pipeline, payload, layout: None, lanes: Vec::new(), tally: Tally::default() }
    }

    /// The same between the two in each room.
    pub fn in_rooms(run: u16, pipeline: usize, payload: Payload, layout: Layout) -> Exchange {
        Exchange { layout: Some(layout), ..Exchange::new(run, pipeline, payload) }
    }

    /// A connection's lanes, and whether it is the one that begins.
    fn lanes_of(&self, number: usize) -> (Lanes, bool) {
        let Some(layout) = self.layout else {
            return (Lanes { first: Lane::new(number as u32, number as u32), second: None }, true);
        };
        let (first, second) = layout.seats(number);
        let second = second.map(|seat| Box::new(Lane::of(seat)));
        (Lanes { first: Lane::of(first), second }, first.is_owner)
    }

    fn send(&mut self, conn: &mut Conn, stamp: Stamp, phase: Phase) {
        conn.session.request(self.payload.stamped(stamp), stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }
}

impl Scenario for Exchange {
    fn start(&mut self, conns: &mut Conns, now: u64) {
        self.lanes.reserve_exact(conns.list.len());
        for id in 0..conns.list.len() {
            let conn = conns.touch(id);
            let (mut lanes, begins) = self.lanes_of(conn.number);
            if conn.is_live() && begins {
                for _ in 0..self.pipeline {
                    self.send(conn, lanes.first.next(self.run, now), Phase::WarmUp);
                }
            }
            self.lanes.push(lanes);
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
        let is_ours = stamp.run == self.run;
        // How many the peer has sent, this connection's lane does not know.
        let was_sent = |lane: &&mut Lane| self.layout.is_some() || stamp.seq < lane.sent;
        let lane = self.lanes.get_mut(conn.id).and_then(|lanes| lanes.hearing(stamp.lane));
        let Some(lane) = lane.filter(|lane| is_ours && was_sent(lane)) else {
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
            let stamp = lane.next(self.run, now);
            self.send(conn, stamp, phase);
        }
    }

    fn outstanding(&self) -> u64 {
        let lanes = self.lanes.iter().flat_map(|lanes| std::iter::once(&lanes.first).chain(lanes.second.as_deref()));
        let (sent, heard) = lanes.fold((0, 0), |(sent, heard), lane| (sent + lane.sent, heard + lane.heard));
        sent.saturating_sub(heard)
    }

    fn finish(&mut self) -> Tally {
        self.tally.faults.lost = self.outstanding();
        std::mem::take(&mut self.tally)
    }
}
