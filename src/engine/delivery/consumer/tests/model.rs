//! Random histories against a plain account of what became of every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::base::limits::DELIVERY_PAGE;

const WINDOW: usize = 5;
const MEMBERS: u64 = 3;

/// What became of an event for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Acked,
    Dead,
    Expired,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A topic that counts, one whose filter may not pass, one that is not wanted.
    Publish {
        topic: u8,
        passes: bool,
        ttl_s: Option<u8>,
    },
    Join {
        member: u8,
    },
    Leave {
        member: u8,
    },
    Ack {
        pick: u8,
    },
    Through {
        pick: u8,
    },
    Reject {
        pick: u8,
    },
    Pass {
        seconds: u8,
    },
    /// The store answers the oldest order, or cannot.
    Answer {
        fails: bool,
    },
    Trim {
        count: u8,
    },
    Replay {
        pick: u8,
    },
    Save,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let ttl = prop_oneof![3 => Just(None), 1 => (1u8..40).prop_map(Some)];
    prop_oneof![
        8 => (0u8..4, any::<bool>(), ttl).prop_map(|(topic, passes, ttl_s)| Step::Publish { topic, passes, ttl_s }),
        2 => (0..MEMBERS as u8).prop_map(|member| Step::Join { member }),
        1 => (0..MEMBERS as u8).prop_map(|member| Step::Leave { member }),
        6 => any::<u8>().prop_map(|pick| Step::Ack { pick }),
        1 => any::<u8>().prop_map(|pick| Step::Through { pick }),
        1 => any::<u8>().prop_map(|pick| Step::Reject { pick }),
        3 => (0u8..12).prop_map(|seconds| Step::Pass { seconds }),
        10 => prop::bool::weighted(0.1).prop_map(|fails| Step::Answer { fails }),
        1 => (1u8..4).prop_map(|count| Step::Trim { count }),
        1 => any::<u8>().prop_map(|pick| Step::Replay { pick }),
        1 => Just(Step::Save),
        1 => Just(Step::Crash),
    ]
}

/// What the disk holds of the consumer, and what was true then.
#[derive(Clone)]
struct Saved {
    cursor: String,
    ends: BTreeMap<u64, End>,
    first_sent: u64,
}

/// An order that the store has not answered yet. A page is read when it is asked for.
enum Asked {
    Page(Page),
    Fetch(Source, Vec<Seq>),
    Bury(DeadLetter),
}

struct Model {
    consumer: Consumer,
    log: Vec<Record>,
    dead: BTreeMap<u64, (DeadLetter, Record)>,
    asked: VecDeque<Asked>,
    now: Now,
    /// What each member was sent and has not acked, as the clients know it.
    held: BTreeMap<u64, BTreeSet<u64>>,
    /// Every event that counts, and how it ended in this run, which a crash takes back.
    wanted: BTreeSet<u64>,
    ends: BTreeMap<u64, End>,
    replayed: BTreeSet<u64>,
    first_sent: u64,
    saved: Saved,
    published: u64,
    joined: u64,
    /// Which connection stands for each member now.
    conns: [Option<u64>; MEMBERS as usize],
}

fn model_settings() -> Settings {
    Settings { window_bytes: 500, ..settings(WINDOW) }
}

fn selectors() -> Vec<Selector> {
    vec![selector("a.*", 0), filtered("f.x", serde_json::json!({"ok": true}))]
}

impl Model {
    fn new() -> Model {
        let mut consumer = Consumer::new(model_settings(), Seq(0));
        for selector in selectors() {
            consumer.select(selector);
        }
        let cursor = serde_json::to_string(&consumer.cursor()).unwrap();
        Model {
            consumer,
            log: vec![],
            dead: BTreeMap::new(),
            asked: VecDeque::new(),
            now: Now::default(),
            held: BTreeMap::new(),
            wanted: BTreeSet::new(),
            ends: BTreeMap::new(),
            replayed: BTreeSet::new(),
            first_sent: 0,
            saved: Saved { cursor, ends: BTreeMap::new(), first_sent: 0 },
            published: 0,
            joined: 0,
            conns: [None; MEMBERS as usize],
        }
    }

    fn end(&mut self, seq: u64, end: End) {
        assert!(self.wanted.contains(&seq), "{seq} does not count and is {end:?}");
        let before = self.ends.insert(seq, end);
        assert_eq!(before, None, "{seq} is {end:?}");
    }

    fn sent(&mut self, member: ConnId, attempt: u32, seq: u64) {
        assert!(self.conns.contains(&Some(member.as_u64())), "{seq} goes to nobody");
        assert!(self.wanted.contains(&seq), "{seq} does not count");
        if !self.replayed.contains(&seq) {
            assert_eq!(self.ends.get(&seq), None, "{seq} is sent again after its end");
        }
        if attempt == 1 {
            assert!(seq > self.first_sent, "{seq} comes first after {}", self.first_sent);
            self.first_sent = seq;
        }
        self.held.entry(member.as_u64()).or_default().insert(seq);
    }

    /// Pumps, and carries out what was ordered.
    fn pump(&mut self, mut out: Vec<Effect>) {
        self.consumer.pump(self.now.mono, &mut out);
        let mut again = vec![];
        self.consumer.pump(self.now.mono, &mut again);
        assert_eq!(again, [], "a second call orders nothing");
        let mut expired = 0;
        for effect in out {
            match effect {
                Effect::Send { member, attempt, record } => self.sent(member, attempt, record.seq.0),
                Effect::Read { patterns, after, through, limit, bytes } => {
                    assert!(limit <= WINDOW && limit > 0 && bytes <= 500 * MEMBERS as usize);
                    self.asked.push_back(Asked::Page(page(&self.log, &patterns, (after, through), limit, bytes)));
                }
                Effect::Fetch { source, seqs } => {
                    assert!(seqs.len() <= DELIVERY_PAGE && !seqs.is_empty() && seqs.is_sorted());
                    self.asked.push_back(Asked::Fetch(source, seqs));
                }
                Effect::Dead(letter) => self.asked.push_back(Asked::Bury(*letter)),
                Effect::Resurrected { seq } => {
                    assert!(self.replayed.remove(&seq.0) && self.dead.remove(&seq.0).is_some());
                }
                Effect::Expired(count) => expired += count,
            }
        }
        self.find_expired(expired);
        self.check();
    }

    /// The consumer says how many expired; which, is what it does not have any more.
    fn find_expired(&mut self, expired: u64) {
        let (open, taken) = (self.open(), self.consumer.taken().0);
        let is_lost = |seq: &u64| self.record(*seq).is_none();
        let gone: Vec<u64> = self
            .wanted
            .iter()
            .filter(|seq| !self.ends.contains_key(seq) && !open.contains(seq) && (**seq <= taken || is_lost(seq)))
            .copied()
            .collect();
        assert_eq!(gone.len() as u64, expired, "{gone:?} ended unaccounted");
        for seq in gone {
            self.end(seq, End::Expired);
        }
    }

    fn record(&self, seq: u64) -> Option<&Record> {
        self.log.iter().find(|record| record.seq.0 == seq)
    }

    fn open(&self) -> BTreeSet<u64> {
        self.consumer.cursor().open().map(|(seq, ..)| seq.0).collect()
    }

    fn check(&self) {
        assert!(self.consumer.outstanding() <= WINDOW);
        let open = self.open();
        assert!(open.iter().all(|seq| !self.ends.contains_key(seq)), "an event that ended is kept");
        let floor = self.consumer.floor().0;
        let early: Vec<_> = self.wanted.range(..=floor).filter(|seq| !self.ends.contains_key(seq)).collect();
        assert!(early.is_empty(), "{early:?} are not done, and the floor is {floor}");
    }

    fn step(&mut self, step: Step) {
        let mut out = vec![];
        match step {
            Step::Publish { topic, passes, ttl_s } => self.publish(topic, passes, ttl_s),
            Step::Join { member } => self.join(member),
            Step::Leave { member } => self.leave(member),
            Step::Ack { pick } => self.ack(pick, &mut out),
            Step::Through { pick } => self.through(pick, &mut out),
            Step::Reject { pick } => {
                if let Some((conn, seq)) = self.pick(pick)
                    && self.consumer.reject(self::conn(conn), epoch(), seq, "no", self.now, &mut out)
                {
                    assert!(self.replayed.contains(&seq) || !self.ends.contains_key(&seq));
                    self.forget(seq);
                }
            }
            Step::Pass { seconds } => {
                self.now.mono = self.now.mono.after(u32::from(seconds) * SECOND);
                self.now.wall.0 += i64::from(seconds) * 1000;
                self.consumer.on_time(self.now, u64::from(seconds), &mut out);
            }
            Step::Answer { fails } => self.answer(fails, &mut out),
            Step::Trim { count } => self.trim(usize::from(count), &mut out),
            Step::Replay { pick } => {
                let letters: Vec<_> = self.dead.values().map(|(letter, _)| letter.clone()).collect();
                if !letters.is_empty() {
                    let letter = letters[usize::from(pick) % letters.len()].clone();
                    let seq = letter.seq.0;
                    if self.ends.contains_key(&seq) && self.consumer.replay(letter, self.now.mono) {
                        self.replayed.insert(seq);
                    }
                }
            }
            Step::Save => {
                let cursor = serde_json::to_string(&self.consumer.cursor()).unwrap();
                self.saved = Saved { cursor, ends: self.ends.clone(), first_sent: self.first_sent };
            }
            Step::Crash => self.crash(),
        }
        self.pump(out);
    }

    fn publish(&mut self, topic: u8, passes: bool, ttl_s: Option<u8>) {
        self.published += 1;
        let topic = ["a.x", "a.y", "f.x", "z.z"][usize::from(topic)];
        let expires = ttl_s.map(|ttl_s| Wall(self.now.wall.0 + i64::from(ttl_s) * 1000));
        let payload = format!("{{\"ok\":{passes},\"fill\":\"{}\"}}", "x".repeat((self.published as usize * 37) % 300));
        let record = Record { expires, ..record(self.published, topic, &payload) };
        if topic.starts_with('a') || (topic == "f.x" && passes) {
            self.wanted.insert(self.published);
        }
        if topic != "z.z" {
            match self.consumer.offer(&record, &mut Payload::new(&record.payload), self.now) {
                Offer::Taken { member } => self.sent(member, 1, record.seq.0),
                Offer::Expired => self.end(record.seq.0, End::Expired),
                Offer::NotMine => assert!(!self.wanted.contains(&record.seq.0)),
                Offer::Behind => assert!(!self.consumer.is_live()),
            }
        }
        self.log.push(record);
    }

    fn join(&mut self, member: u8) {
        if self.conns[usize::from(member)].is_none() {
            self.joined += 1;
            self.conns[usize::from(member)] = Some(self.joined);
            assert!(self.consumer.attach(conn(self.joined)) && self.consumer.start(conn(self.joined)));
        }
    }

    fn leave(&mut self, member: u8) {
        if let Some(gone) = self.conns[usize::from(member)].take() {
            self.consumer.detach(conn(gone), self.now);
            self.held.remove(&gone);
        }
    }

    /// Someone who is there, and an event that it was sent.
    fn pick(&self, pick: u8) -> Option<(u64, u64)> {
        let all: Vec<_> = self.held.iter().flat_map(|(conn, seqs)| seqs.iter().map(move |seq| (*conn, *seq))).collect();
        (!all.is_empty()).then(|| all[usize::from(pick) % all.len()])
    }

    fn forget(&mut self, seq: u64) {
        for seqs in self.held.values_mut() {
            seqs.remove(&seq);
        }
    }

    fn ack(&mut self, pick: u8, out: &mut Vec<Effect>) {
        let Some((conn, seq)) = self.pick(pick) else { return };
        let was_open = self.open().contains(&seq);
        let counts = self.consumer.ack(self::conn(conn), epoch(), seq, out);
        self.forget(seq);
        if counts && !self.replayed.contains(&seq) {
            assert!(was_open);
            self.end(seq, End::Acked);
        }
    }

    fn through(&mut self, pick: u8, out: &mut Vec<Effect>) {
        let Some((conn, seq)) = self.pick(pick) else { return };
        let topic = self.topic(seq);
        let before = self.open();
        self.consumer.ack_through(self::conn(conn), &topic, seq.into(), out);
        let acked: Vec<u64> = before.difference(&self.open()).copied().collect();
        for acked in acked {
            assert!(acked <= seq && self.topic(acked) == topic, "{acked} of an ack of {topic} through {seq}");
            assert!(self.held[&conn].contains(&acked), "{acked} was not sent to {conn}");
            self.end(acked, End::Acked);
            self.forget(acked);
        }
    }

    fn topic(&self, seq: u64) -> String {
        let in_log = self.record(seq).map(|record| record.topic.to_string());
        in_log.unwrap_or_else(|| self.dead.get(&seq).map_or("gone.gone".into(), |(letter, _)| letter.topic.to_string()))
    }

    fn answer(&mut self, fails: bool, out: &mut Vec<Effect>) {
        match self.asked.pop_front() {
            None => {}
            Some(Asked::Page(_)) if fails => self.consumer.on_read_failed(self.now.mono, 1),
            Some(Asked::Page(page)) => self.consumer.on_page(page, self.now, out),
            Some(Asked::Fetch(..)) if fails => self.consumer.on_fetch_failed(self.now.mono, 1),
            Some(Asked::Fetch(source, seqs)) => {
                let records = match source {
                    Source::Log => seqs.iter().filter_map(|seq| self.record(seq.0)).cloned().collect(),
                    Source::DeadLetters => {
                        seqs.iter().filter_map(|seq| self.dead.get(&seq.0)).map(|(_, record)| record.clone()).collect()
                    }
                };
                self.consumer.on_fetched(records, self.now, out);
            }
            Some(Asked::Bury(letter)) if fails => self.consumer.not_buried(letter.seq, self.now.mono, 1),
            Some(Asked::Bury(letter)) => self.bury(letter, out),
        }
    }

    fn bury(&mut self, letter: DeadLetter, out: &mut Vec<Effect>) {
        let (seq, key) = (letter.seq, letter.seq.0);
        let old = self.dead.get(&key).map(|(_, record)| record.clone());
        let Some(record) = self.record(key).cloned().or(old) else {
            return self.consumer.perished(seq, out);
        };
        self.dead.insert(key, (letter, record));
        self.consumer.buried(seq);
        if !self.replayed.remove(&key) {
            self.end(key, End::Dead);
        }
        self.forget(key);
    }

    fn trim(&mut self, count: usize, out: &mut Vec<Effect>) {
        let count = count.min(self.log.len());
        for record in self.log.drain(..count) {
            // Whether a filter passes is known here alone, so the caller's count would be too high.
            let is_passed = record.topic.starts_with('a') || self.wanted.contains(&record.seq.0);
            if &*record.topic != "z.z" && is_passed {
                self.consumer.trimmed(&record.topic, &[record.seq], out);
            }
        }
    }

    fn crash(&mut self) {
        let saved = self.saved.clone();
        let cursor: Cursor = serde_json::from_str(&saved.cursor).unwrap();
        let head = Seq(self.published);
        self.consumer = Consumer::restore(model_settings(), selectors(), &cursor, head, self.now.mono);
        (self.ends, self.first_sent) = (saved.ends, saved.first_sent);
        self.replayed.clear();
        self.asked.clear();
        self.held.clear();
        self.conns = [None; MEMBERS as usize];
        // What was trimmed between the save and the crash ended, and nobody is there to count it.
        let (open, taken) = (self.open(), self.consumer.taken().0);
        let lost: Vec<u64> = self
            .wanted
            .iter()
            .filter(|seq| **seq > taken && !open.contains(seq) && self.record(**seq).is_none())
            .filter(|seq| !self.ends.contains_key(seq))
            .copied()
            .collect();
        for seq in lost {
            self.end(seq, End::Expired);
        }
    }

    /// Someone is there, and acks all that comes.
    fn finish(&mut self) {
        self.step(Step::Join { member: 0 });
        for _ in 0..10_000 {
            if self.held.values().all(BTreeSet::is_empty)
                && self.asked.is_empty()
                && self.consumer.outstanding() == 0
                && self.consumer.is_live()
                // The pause after a store's failure may outlast what it was for.
                && self.consumer.next_deadline().is_none()
            {
                break;
            }
            self.step(Step::Answer { fails: false });
            self.step(Step::Ack { pick: 0 });
            if self.asked.is_empty() && self.held.values().all(BTreeSet::is_empty) {
                self.step(Step::Pass { seconds: 1 });
            }
        }
        assert!(self.consumer.is_live(), "it never comes to the head: {:?}", self.consumer);
        let open: Vec<_> = self.wanted.iter().filter(|seq| !self.ends.contains_key(seq)).collect();
        assert!(open.is_empty(), "{open:?} never ended");
        assert_eq!((self.consumer.outstanding(), self.consumer.next_deadline()), (0, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_event_ends_once_and_comes_in_order(steps in prop::collection::vec(step(), 1..200)) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}

#[test]
fn a_pause_after_a_failed_fetch_ends_when_nothing_is_left_to_fetch() {
    let mut model = Model::new();
    for step in [
        Step::Publish { topic: 0, passes: false, ttl_s: None },
        Step::Join { member: 0 },
        Step::Answer { fails: false },
        Step::Pass { seconds: 10 },
        Step::Pass { seconds: 1 },
        Step::Answer { fails: true },
        Step::Ack { pick: 0 },
    ] {
        model.step(step);
    }
    assert_eq!(model.consumer.outstanding(), 0);
    model.finish();
}
