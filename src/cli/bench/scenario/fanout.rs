//! `fanout`: one publisher, and subscribers that check what they get.
//!
//! The publisher keeps to a window: a publication leaves it when every subscriber of its topic has
//! it. So a server is loaded as much as it can take and never flooded. With a rate, publications
//! are due at fixed times, and latency counts from then: who lags behind cannot hide it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use mio::Waker;

use super::{Conns, Scenario};
use crate::cli::bench::args::WINDOW_MAX;
use crate::cli::bench::clock::SECOND_NS;
use crate::cli::bench::conn::Conn;
use crate::cli::bench::sequence::{Arrival, Sequence};
use crate::cli::bench::session::{Heard, Role};
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stamp::{Payload, Stamp};
use crate::cli::bench::stats::Tally;

const SLOTS: usize = 2 * WINDOW_MAX;
/// When nothing has been delivered for so long, what is in flight is given up.
const STALL_NS: u64 = SECOND_NS;
/// Bytes that may wait for a server that does not read from the publisher.
const UNSENT_MAX: usize = 64 << 20;

/// Who has what, over all threads.
#[derive(Debug)]
pub struct Board {
    /// How many subscribers have each of the latest publications.
    delivered: Vec<AtomicU32>,
    /// Live subscribers by topic.
    subscribers: Vec<AtomicU32>,
    published: AtomicU64,
    /// Wakes the publisher's thread, if there are others.
    pub waker: OnceLock<Waker>,
}

impl Board {
    /// Nobody has anything.
    pub fn new(topics: usize) -> Board {
        Board {
            delivered: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            subscribers: (0..topics).map(|_| AtomicU32::new(0)).collect(),
            published: AtomicU64::new(0),
            waker: OnceLock::new(),
        }
    }

    fn slot(&self, publication: u64) -> &AtomicU32 {
        &self.delivered[(publication % SLOTS as u64) as usize]
    }

    fn needed(&self, lane: usize) -> u32 {
        self.subscribers[lane].load(Relaxed)
    }

    fn lane(&self, publication: u64) -> usize {
        (publication % self.subscribers.len() as u64) as usize
    }

    fn is_complete(&self, publication: u64) -> bool {
        self.slot(publication).load(Relaxed) >= self.needed(self.lane(publication))
    }

    /// Counts a delivery; returns whether it was the last one waited for.
    fn deliver(&self, lane: usize, publication: u64) -> bool {
        // One given up long ago: its slot has another's count by now.
        if publication + (SLOTS as u64) < self.published.load(Relaxed) {
            return false;
        }
        self.slot(publication).fetch_add(1, Relaxed) + 1 == self.needed(lane)
    }

    /// How many of the publications went to a topic.
    fn published_in(&self, lane: usize) -> u64 {
        let topics = self.subscribers.len() as u64;
        (self.published.load(Relaxed) + topics - 1 - lane as u64) / topics
    }
}

#[derive(Debug)]
struct Publisher {
    conn: usize,
    next: u64,
    /// The oldest publication that some subscriber still waits for.
    undelivered: u64,
    started_ns: u64,
    /// Publications that have been due so far, sent or not.
    due: u64,
    progress_ns: u64,
}

impl Publisher {
    fn in_flight(&self) -> usize {
        (self.next - self.undelivered) as usize
    }
}

/// What a publisher keeps to.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many publications in flight.
    Window(usize),
    /// So many publications a second.
    Rate(f64),
}

/// One thread's part.
#[derive(Debug)]
pub struct Fanout {
    run: u16,
    pace: Pace,
    topics: Arc<[Arc<str>]>,
    board: Arc<Board>,
    payload: Payload,
    publisher: Option<Publisher>,
    stride: usize,
    /// By connection, its number and what it has seen of each of its topics.
    streams: Vec<Option<(usize, Box<[Sequence]>)>>,
    tally: Tally,
}

impl Fanout {
    /// `topics` are those of all threads, and so is `board`. `stride` is [`Args::stride`](crate::cli::bench::Args::stride).
    pub fn new(
        run: u16,
        pace: Pace,
        payload: Payload,
        topics: Arc<[Arc<str>]>,
        stride: usize,
        board: Arc<Board>,
    ) -> Fanout {
        Fanout {
            run,
            pace,
            topics,
            stride,
            board,
            payload,
            publisher: None,
            streams: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The topics of a subscriber, by its number within the run; number 0 is the publisher.
    pub fn lanes_of(number: usize, topics: usize, stride: usize) -> impl ExactSizeIterator<Item = usize> {
        (number.saturating_sub(1) % stride..topics).step_by(stride)
    }

    fn lanes(&self, conn: &Conn) -> impl ExactSizeIterator<Item = usize> + use<> {
        Fanout::lanes_of(conn.number, self.topics.len(), self.stride)
    }

    fn on_delivery(&mut self, conn: &Conn, stamp: Stamp, phase: Phase, now: u64) {
        let (lane, first) = (stamp.lane as usize, conn.number.saturating_sub(1) % self.stride);
        let is_its = stamp.run == self.run && lane < self.topics.len() && lane % self.stride == first;
        let stream = self.streams.get_mut(conn.id).and_then(Option::as_mut).filter(|_| is_its);
        let Some(sequence) = stream.and_then(|(_, sequences)| sequences.get_mut(lane / self.stride)) else {
            self.tally.faults.unexpected += 1;
            return;
        };
        if stamp.seq >= self.board.published_in(lane) {
            self.tally.faults.unexpected += 1;
            return;
        }
        match sequence.arrive(stamp.seq) {
            Arrival::Forward => {}
            Arrival::Late => self.tally.faults.out_of_order += 1,
            Arrival::Duplicate => {
                self.tally.faults.duplicates += 1;
                return;
            }
        }
        let latency_ns = now.saturating_sub(stamp.time_ns);
        if phase == Phase::Measure {
            self.tally.messages += 1;
            self.tally.latency.record_ns(latency_ns);
        }
        if self.board.deliver(lane, stamp.seq * self.topics.len() as u64 + lane as u64) {
            if phase == Phase::Measure {
                self.tally.complete.record_ns(latency_ns);
            }
            if let (None, Some(waker)) = (&self.publisher, self.board.waker.get()) {
                // It fails only if the publisher's thread has ended.
                let _ = waker.wake();
            }
        }
    }

    fn publish(&mut self, publisher: &mut Publisher, conns: &mut Conns, time_ns: u64, phase: Phase) {
        let lane = self.board.lane(publisher.next);
        let seq = publisher.next / self.topics.len() as u64;
        self.board.slot(publisher.next).store(0, Relaxed);
        publisher.next += 1;
        self.board.published.store(publisher.next, Relaxed);
        let stamp = Stamp { run: self.run, lane: lane as u32, seq, time_ns };
        let conn = conns.touch(publisher.conn);
        conn.session.publish(&self.topics[lane], self.payload.stamped(stamp), stamp, &mut conn.out);
        self.tally.sent += u64::from(phase == Phase::Measure);
    }

    /// Moves the window over what is delivered, and gives up what never will be.
    fn advance(&mut self, publisher: &mut Publisher, now: u64) {
        let before = publisher.undelivered;
        while publisher.undelivered < publisher.next && self.board.is_complete(publisher.undelivered) {
            publisher.undelivered += 1;
        }
        if publisher.undelivered > before || publisher.in_flight() == 0 {
            publisher.progress_ns = now;
        } else if now.saturating_sub(publisher.progress_ns) > STALL_NS {
            publisher.undelivered = publisher.next;
            publisher.progress_ns = now;
            self.tally.faults.stalls += 1;
        }
    }

    fn drive(&mut self, publisher: &mut Publisher, conns: &mut Conns, phase: Phase, now: u64) -> Option<u64> {
        self.advance(publisher, now);
        if phase >= Phase::Drain || !conns.list[publisher.conn].is_live() {
            return None;
        }
        match self.pace {
            Pace::Window(window) => {
                while publisher.in_flight() < window && has_room(publisher, conns) {
                    self.publish(publisher, conns, now, phase);
                }
                None
            }
            Pace::Rate(rate) => loop {
                let due_ns = publisher.started_ns + (publisher.due as f64 * SECOND_NS as f64 / rate) as u64;
                if due_ns > now {
                    return Some(due_ns);
                }
                publisher.due += 1;
                if publisher.in_flight() < WINDOW_MAX && has_room(publisher, conns) {
                    self.publish(publisher, conns, due_ns, phase);
                } else {
                    self.tally.faults.throttled += 1;
                }
            },
        }
    }
}

/// Whether publications are to reach it.
fn is_hearing(conn: &Conn) -> bool {
    matches!(conn.role, Role::Subscriber(_)) && !conn.is_deaf
}

fn has_room(publisher: &Publisher, conns: &Conns) -> bool {
    conns.list[publisher.conn].out.pending().len() < UNSENT_MAX
}

impl Scenario for Fanout {
    fn on_settled(&mut self, conn: &Conn, _phase: Phase, _now: u64) {
        if is_hearing(conn) {
            for lane in self.lanes(conn) {
                self.board.subscribers[lane].fetch_add(1, Relaxed);
            }
        }
    }

    fn on_closed(&mut self, conn: &Conn) {
        if is_hearing(conn) {
            for lane in self.lanes(conn) {
                self.board.subscribers[lane].fetch_sub(1, Relaxed);
            }
        }
    }

    fn start(&mut self, conns: &mut Conns, now: u64) {
        for conn in &conns.list {
            let sequences = || vec![Sequence::default(); self.lanes(conn).len()].into();
            let is_subscriber = is_hearing(conn) && conn.is_live();
            self.streams.push(is_subscriber.then(|| (conn.number, sequences())));
            if conn.role == Role::Publisher && conn.is_live() {
                self.publisher = Some(Publisher {
                    conn: conn.id,
                    next: 0,
                    undelivered: 0,
                    started_ns: now,
                    due: 0,
                    progress_ns: now,
                });
            }
        }
    }

    fn on_heard(&mut self, conn: &mut Conn, heard: Heard, phase: Phase, now: u64) {
        match heard {
            Heard::Message(stamp) => self.on_delivery(conn, stamp, phase, now),
            Heard::Response(stamp) if stamp.run == self.run => {
                if phase == Phase::Measure {
                    self.tally.accepted.record_ns(now.saturating_sub(stamp.time_ns));
                }
            }
            Heard::Response(_) | Heard::Refused(_) | Heard::Pong(_) | Heard::Settled => {
                self.tally.faults.unexpected += 1;
            }
        }
    }

    fn tick(&mut self, conns: &mut Conns, phase: Phase, now: u64) -> Option<u64> {
        let mut publisher = self.publisher.take()?;
        let due = self.drive(&mut publisher, conns, phase, now);
        self.publisher = Some(publisher);
        due
    }

    fn outstanding(&self) -> u64 {
        self.publisher.as_ref().map_or(0, |publisher| publisher.in_flight() as u64)
    }

    fn finish(&mut self) -> Tally {
        for (number, sequences) in self.streams.iter().flatten() {
            let lanes = Fanout::lanes_of(*number, self.topics.len(), self.stride);
            for (lane, sequence) in lanes.zip(sequences) {
                self.tally.faults.lost += sequence.missing(self.board.published_in(lane));
            }
        }
        std::mem::take(&mut self.tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_take_turns_over_the_topics() {
        let board = Board::new(3);
        board.published.store(7, Relaxed);
        assert_eq!([0, 1, 2].map(|lane| board.published_in(lane)), [3, 2, 2]);
        assert_eq!([0, 1, 2, 3].map(|publication| board.lane(publication)), [0, 1, 2, 0]);
        let lanes = |number, topics, stride| Fanout::lanes_of(number, topics, stride).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3, 4].map(|number| lanes(number, 3, 3)), [[0], [0], [1], [2], [0]]);
        assert_eq!([1, 2].map(|number| lanes(number, 5, 2)), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_publication_is_complete_when_every_subscriber_of_its_topic_has_it() {
        let board = Board::new(2);
        board.subscribers[0].store(2, Relaxed);
        board.published.store(2, Relaxed);
        assert!(!board.deliver(0, 0));
        assert!(!board.is_complete(0));
        assert!(board.deliver(0, 0));
        assert!(board.is_complete(0));
        assert!(board.is_complete(1), "nobody subscribes to the other topic");
    }

    #[test]
    fn deliveries_of_forgotten_publications_touch_no_slot() {
        let board = Board::new(1);
        board.subscribers[0].store(1, Relaxed);
        board.published.store(SLOTS as u64 + 5, Relaxed);
        assert!(!board.deliver(0, 4));
        assert_eq!(board.slot(4).load(Relaxed), 0);
        assert!(board.deliver(0, 5));
    }

    #[test]
    fn a_stalled_window_is_given_up_after_a_second() {
        let topics: Arc<[Arc<str>]> = Arc::from(vec![Arc::from("t")]);
        let board = Arc::new(Board::new(1));
        board.subscribers[0].store(1, Relaxed);
        let mut fanout = Fanout::new(1, Pace::Window(4), Payload::new(100), topics, 1, board.clone());
        let mut publisher = Publisher { conn: 0, next: 4, undelivered: 0, started_ns: 0, due: 0, progress_ns: 0 };
        board.published.store(4, Relaxed);
        board.deliver(0, 0);
        fanout.advance(&mut publisher, 10);
        assert_eq!((publisher.undelivered, publisher.in_flight()), (1, 3));
        fanout.advance(&mut publisher, 10 + STALL_NS);
        assert_eq!((publisher.in_flight(), fanout.tally.faults.stalls), (3, 0));
        fanout.advance(&mut publisher, 11 + STALL_NS);
        assert_eq!((publisher.in_flight(), fanout.tally.faults.stalls), (0, 1));
    }
}
