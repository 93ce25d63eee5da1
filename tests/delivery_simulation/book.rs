//! What the world knows: every publish, every event that was committed, what each subscription was
//! sent and acked. The rules that an emission must keep are checked here, as it happens.

use std::collections::BTreeSet;
use std::time::Duration;

use hydrogen::base::{ConnId, Mono, Wall};
use hydrogen::engine::store::{Damage, Record, Table};
use hydrogen::sys::store::memory::SetAside;
use rustc_hash::FxHashMap;

use crate::wire::{Sent, TOPICS, matches, number};

/// A publish, however often it was sent.
pub struct Publish {
    pub topic: usize,
    pub k: usize,
    pub guaranteed: bool,
    pub ttl: Option<u64>,
    pub retain: bool,
    /// When it was sent first.
    pub step: u64,
    /// The event's id, once it was answered with success.
    pub answer: Option<(u64, u64)>,
    /// It was answered as synced.
    pub is_synced: bool,
    /// An attempt was answered with an error: another may store it once more.
    pub has_failed: bool,
    /// Events in the logs that have its number.
    pub stored: Vec<u32>,
}

/// Why an event is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    No,
    /// By retention, at this step.
    Trimmed(u64),
    Damaged(u64),
    /// It was never synced, and the power went.
    Cut,
}

/// An event in a log.
pub struct Event {
    pub n: usize,
    pub topic: usize,
    pub epoch: u64,
    pub offset: u64,
    pub seq: u64,
    pub step: u64,
    pub expires: Option<Wall>,
    pub gone: Gone,
}

/// What one subscription knows of one event.
#[derive(Clone, Copy, Default)]
pub struct Fate {
    /// The life of the server in which it was sent last; 0 if it never was.
    pub life: u32,
    pub conn: Option<ConnId>,
    pub at: Mono,
    /// When the server took its ack; 0 if it did not.
    pub acked: u64,
    /// Some ack of it, or a word that it was seen, was on its way: it may count.
    pub is_claimed: bool,
    pub is_received: bool,
    /// It was given up once.
    pub was_dead: bool,
    /// Its letter is in the store.
    pub has_letter: bool,
}

/// A pattern of a subscription.
pub struct Pat {
    pub pattern: usize,
    pub filter: Option<usize>,
    pub is_all: bool,
    pub asked: u64,
    /// The newest event of which every worker had heard by then.
    pub heard: u64,
    /// When it was answered with success; 0 before that.
    pub answered: u64,
    /// What was sent before this was not sent for it, or may have been taken back.
    pub holds_from: Mono,
    /// It was asked for again before it was answered with success.
    pub is_repeated: bool,
    /// When its end was asked for; 0 before that.
    pub ended: u64,
}

/// A guaranteed subscription.
#[derive(Default)]
pub struct Sub {
    pub key: Option<Box<str>>,
    pub is_group: bool,
    pub window: usize,
    pub pats: Vec<Pat>,
    pub fates: Vec<Fate>,
    /// Offsets up to which a topic was said to be dealt with, without an epoch: they may be taken for
    /// one that is newer than what was meant.
    pub vague: Vec<(usize, u64)>,
    /// It ended, by itself or because its record is damaged: nothing is expected of it.
    pub is_over: bool,
    /// The newest event of the first deliveries to each connection, in this life.
    pub newest: (u32, Vec<(ConnId, u32)>),
    /// Acks up to this step are in the store, and synced.
    pub synced: u64,
    /// Acks up to this step are in the store; with that many groups it is synced.
    pub saved: (u64, u64),
}

/// Up to where a client has dealt with a topic.
#[derive(Clone, Copy)]
pub struct Place {
    /// Of which epoch, where it says so.
    pub epoch: Option<u64>,
    pub offset: u64,
}

impl Place {
    /// What stands in the message. An event's name decides whether its epoch is named, not the dice.
    pub fn of(epoch: u64, offset: u64) -> (Place, String) {
        if (epoch ^ offset) & 1 == 0 {
            (Place { epoch: Some(epoch), offset }, format!("\"{epoch:016x}-{offset}\""))
        } else {
            (Place { epoch: None, offset }, offset.to_string())
        }
    }
}

/// What an ack on its way means.
pub struct Ack {
    pub sub: usize,
    pub conn: ConnId,
    /// Events that it names.
    pub events: Vec<u32>,
    /// A topic, and an offset up to which everything is meant.
    pub through: Option<(usize, Place)>,
    pub is_reject: bool,
    /// Its connection was a member when it was taken.
    pub counts: bool,
}

#[derive(Default)]
pub struct Book {
    pub publishes: Vec<Publish>,
    pub events: Vec<Event>,
    /// Whose event an id is, and its place among those in the logs.
    pub ids: FxHashMap<(u64, u64), (usize, Option<u32>)>,
    pub seqs: FxHashMap<u64, u32>,
    pub subs: Vec<Sub>,
    pub keys: FxHashMap<Box<str>, usize>,
    pub acks: Vec<Ack>,
    pub damage: Vec<Damage>,
    /// Sessions that were written down with what they hold, and synced.
    pub sessions: BTreeSet<Box<str>>,
    /// Sessions whose record was damaged.
    pub lost_sessions: Vec<Box<str>>,
    /// The server's lives, from 1.
    pub life: u32,
    /// Groups that were synced: of those that were committed, so many are safe.
    pub synced: u64,
    /// The latest that the wall clock ever was.
    pub wall: Wall,
    pub step: u64,
    /// The ack timeout, where events are given up soon.
    pub late: Option<Duration>,
}

impl Sub {
    pub fn fate(&mut self, event: u32) -> &mut Fate {
        let event = event as usize;
        if self.fates.len() <= event {
            self.fates.resize(event + 1, Fate::default());
        }
        &mut self.fates[event]
    }

    /// Whether a word of what was seen may have been taken for this event.
    pub fn is_vague(&self, event: &Event) -> bool {
        self.vague.iter().any(|(topic, offset)| *topic == event.topic && event.offset <= *offset)
    }

    /// Whether it was asked for, whatever came of it.
    pub fn may_want(&self, event: &Event, k: usize) -> bool {
        self.pats.iter().any(|pat| {
            matches(pat.pattern, event.topic)
                && pat.filter.is_none_or(|filter| filter == k)
                && (pat.is_all || event.step >= pat.asked || event.seq > pat.heard)
        })
    }

    /// Whether it must get an event: asked for, answered, and not ended.
    pub fn must_have(&self, publish: &Publish) -> bool {
        self.pats.iter().any(|pat| {
            matches(pat.pattern, publish.topic)
                && pat.filter.is_none_or(|filter| filter == publish.k)
                && pat.answered > 0
                && pat.ended == 0
                && (pat.is_all || publish.step > pat.answered)
        })
    }

    /// Whether what was sent of a topic at some time is held for it. Delivery until an ack is promised
    /// to what was granted: with a pattern that is refused or ended goes what was sent for it, also if
    /// the pattern, or another one of the topic, is granted later.
    fn still_wants(&self, topic: usize, sent: Mono) -> bool {
        let holds = |pat: &Pat| pat.answered > 0 && pat.ended == 0 && pat.holds_from <= sent;
        self.pats.iter().any(|pat| holds(pat) && matches(pat.pattern, topic))
    }

    /// Acks up to this step survive what happens now.
    fn settled(&mut self, groups: u64) -> u64 {
        if self.saved.1 <= groups {
            self.synced = self.synced.max(self.saved.0);
        }
        self.saved.0.max(self.synced)
    }
}

impl Book {
    /// An id was seen: it has one payload for ever.
    pub fn seen(&mut self, epoch: u64, offset: u64, n: usize) -> Option<u32> {
        let (known, event) = *self.ids.entry((epoch, offset)).or_insert((n, None));
        assert!(known == n, "the id {epoch:016x}-{offset} is of publish {known} and of {n}");
        event
    }

    pub fn event_at(&self, epoch: u64, offset: u64) -> Option<u32> {
        self.ids.get(&(epoch, offset)).and_then(|(_, event)| *event)
    }

    pub fn event_of_seq(&self, seq: u64) -> Option<u32> {
        self.seqs.get(&seq).copied()
    }

    /// An event is in a log.
    pub fn committed(&mut self, record: &Record) {
        let text = std::str::from_utf8(&record.payload).unwrap();
        let n = number(text, "\"n\":").unwrap() as usize;
        let topic = TOPICS.iter().position(|topic| **topic == *record.topic).unwrap();
        let (epoch, offset) = (record.epoch.as_u64(), record.offset);
        assert!(self.seen(epoch, offset, n).is_none(), "{epoch:016x}-{offset} is stored twice");
        let index = self.events.len() as u32;
        self.ids.insert((epoch, offset), (n, Some(index)));
        self.seqs.insert(record.seq.0, index);
        let (seq, expires, step) = (record.seq.0, record.expires, self.step);
        self.events.push(Event { n, topic, epoch, offset, seq, step, expires, gone: Gone::No });
        self.publishes[n].stored.push(index);
    }

    pub fn trimmed(&mut self, seq: u64) {
        if let Some(event) = self.event_of_seq(seq) {
            self.events[event as usize].gone = Gone::Trimmed(self.step);
        }
    }

    /// Something was found damaged, and told.
    pub fn damaged(&mut self, damage: &[Damage]) {
        for damage in damage {
            match damage {
                Damage::Events { epoch, first, last, .. } => {
                    for offset in *first..=*last {
                        let event = self.event_at(epoch.as_u64(), offset).expect("what is damaged was committed");
                        self.events[event as usize].gone = Gone::Damaged(self.step);
                    }
                }
                Damage::Value { table, key } => self.value_damaged(*table, key),
                Damage::File { text } => panic!("a file is damaged: {text}"),
            }
            self.damage.push(damage.clone());
        }
    }

    fn value_damaged(&mut self, table: Table, key: &str) {
        match table {
            Table::Subscriptions => {
                if let Some(sub) = self.keys.get(key) {
                    self.subs[*sub].is_over = true;
                }
            }
            Table::Cursors => {
                if let Some(sub) = self.keys.get(key) {
                    let sub = &mut self.subs[*sub];
                    (sub.synced, sub.saved) = (0, (0, 0));
                    sub.fates.iter_mut().for_each(|fate| fate.acked = 0);
                }
            }
            Table::DeadLetters => {
                if let Some((sub, event)) = self.letter(key) {
                    self.subs[sub].fate(event).has_letter = false;
                }
            }
            Table::Sessions => {
                self.lost_sessions.push(key.into());
                if let Some(sub) = self.keys.get(&*format!("s/{key}")) {
                    self.subs[*sub].is_over = true;
                }
            }
            Table::Meta | Table::Retained | Table::Blocks | Table::Rooms => {}
        }
    }

    /// Whose letter a key names.
    pub fn letter(&self, key: &str) -> Option<(usize, u32)> {
        let (of, seq) = key.rsplit_once('#')?;
        let event = self.event_of_seq(u64::from_str_radix(seq, 16).ok()?)?;
        Some((*self.keys.get(of)?, event))
    }

    /// What was set aside was told, and nothing else was.
    pub fn check_damage(&self, aside: &[SetAside]) {
        let mut count = 0;
        for damage in &self.damage {
            count += match damage {
                Damage::Events { first, last, .. } => (last - first + 1) as usize,
                Damage::Value { .. } | Damage::File { .. } => 1,
            };
        }
        let is_told = |one: &SetAside| {
            self.damage.iter().any(|damage| match (damage, one) {
                (Damage::Events { epoch, first, last, .. }, SetAside::Event(record)) => {
                    *epoch == record.epoch && (*first..=*last).contains(&record.offset)
                }
                (Damage::Value { table, key }, SetAside::Value { table: of, key: name, .. }) => {
                    table == of && key == name
                }
                _ => false,
            })
        };
        assert!(aside.iter().all(is_told) && count == aside.len(), "set aside: {aside:?}; told: {:?}", self.damage);
    }

    /// The store was opened with nothing behind `last`. What is lost must never have been answered
    /// as synced.
    pub fn truncated(&mut self, last: u64) {
        for event in &mut self.events {
            if event.seq <= last || event.gone == Gone::Cut {
                continue;
            }
            event.gone = Gone::Cut;
            self.seqs.remove(&event.seq);
            let publish = &self.publishes[event.n];
            let is_answered = publish.is_synced && publish.answer == Some((event.epoch, event.offset));
            assert!(!is_answered, "publish {} was answered as synced, and is lost", event.n);
        }
    }

    /// The server is gone, or even the power: acks that are not in the store, or not synced, are lost.
    pub fn lost(&mut self, is_cut: bool) {
        let groups = self.synced;
        for sub in &mut self.subs {
            let mut kept = sub.settled(groups);
            if is_cut {
                kept = sub.synced;
                sub.saved = (kept, 0);
            }
            for fate in sub.fates.iter_mut().filter(|fate| fate.acked > kept) {
                fate.acked = 0;
            }
        }
    }

    /// The store holds these: the others were taken away in a group that was not told.
    pub fn held(&mut self, seqs: &[u64]) {
        for event in &mut self.events {
            if event.gone == Gone::No && seqs.binary_search(&event.seq).is_err() {
                event.gone = Gone::Trimmed(self.step);
            }
        }
    }

    /// A cursor that was asked for at `step` was committed.
    pub fn saved(&mut self, sub: usize, step: u64, group: u64) {
        let groups = self.synced;
        let sub = &mut self.subs[sub];
        sub.settled(groups);
        sub.saved = (step, group);
    }

    /// The server took an ack.
    pub fn acked(&mut self, ack: usize, now: Mono) {
        let (life, step) = (self.life, self.step);
        let Ack { sub, conn, ref events, through, is_reject, counts } = self.acks[ack];
        let sub = &mut self.subs[sub];
        for event in events {
            let fate = sub.fate(*event);
            fate.is_claimed = true;
            fate.was_dead |= is_reject;
            // A late one may find that the event is being given up.
            let is_late = self.late.is_some_and(|late| now >= fate.at.after(late));
            if counts && !is_reject && !fate.was_dead && fate.life == life && !is_late {
                fate.acked = step;
            }
        }
        let Some((topic, Place { epoch: mut meant, offset })) = through else { return };
        if meant.is_none() {
            sub.vague.push((topic, offset));
        }
        // If it names no epoch, it counts for the oldest in flight. An event that was given up once may
        // be in flight again: nobody can say here whether its epoch is.
        for (index, event) in self.events.iter().enumerate().filter(|(_, event)| event.topic == topic) {
            let fate = sub.fate(index as u32);
            if fate.life != life || fate.conn != Some(conn) || fate.acked > 0 {
                continue;
            }
            let is_meant = *meant.get_or_insert(event.epoch) == event.epoch;
            if fate.was_dead || event.offset > offset {
                continue;
            }
            fate.is_claimed |= is_meant;
            let is_late = self.late.is_some_and(|late| now >= fate.at.after(late));
            if counts && is_meant && !is_late {
                fate.acked = step;
            }
        }
    }

    /// An event goes out to a member of a subscription: may it?
    pub fn emitted(&mut self, sub: usize, sent: &Sent, conn: ConnId, now: Mono, rules: &Rules<'_>) {
        let Sent { epoch, offset, attempt, .. } = *sent;
        let life = self.life;
        let index = self.event_at(epoch, offset);
        let index = index.unwrap_or_else(|| panic!("{epoch:016x}-{offset} goes out, and is not committed"));
        let Book { subs, events, publishes, .. } = self;
        let sub_index = sub;
        let sub = &mut subs[sub];
        let event = &events[index as usize];
        let name = || format!("event {epoch:016x}-{offset} ({}) of publish {}", TOPICS[event.topic], event.n);
        assert!(sub.may_want(event, publishes[event.n].k), "{} goes to {:?}, which never asked", name(), sub.key);
        let fate = *sub.fate(index);
        if fate.acked > 0 && !fate.was_dead && !sub.is_over {
            assert!(fate.life != life, "{} comes to {:?} again, acked at step {}", name(), sub.key, fate.acked);
            panic!("{} comes again after a restart: its ack of step {} was saved", name(), fate.acked);
        }
        if fate.life == life && !fate.was_dead {
            assert!(attempt > 1, "{} comes again, and says that it comes first", name());
            let is_due = now >= fate.at.after(rules.ack_timeout) || fate.conn.is_none_or(|conn| !(rules.is_here)(conn));
            assert!(is_due || sub.is_over, "{} comes again to {:?}, although it is not late", name(), sub.key);
        }
        if fate.life != life && !fate.was_dead && !sub.is_over {
            if sub.newest.0 != life {
                sub.newest = (life, Vec::new());
            }
            // What goes to several at once is in order for each of them.
            for (other, newest) in &sub.newest.1 {
                let is_ordered = *other == conn || (rules.is_gone)(*other);
                assert!(!is_ordered || *newest < index, "{} comes first to {:?}, behind a newer one", name(), sub.key);
            }
            match sub.newest.1.iter_mut().find(|(other, _)| *other == conn) {
                Some((_, newest)) => *newest = index,
                None => sub.newest.1.push((conn, index)),
            }
            for before in 0..index.min(sub.fates.len() as u32) {
                let fate = sub.fates[before as usize];
                let other = &events[before as usize];
                let waits = fate.life == life
                    && fate.acked == 0
                    && !fate.is_claimed
                    && !fate.was_dead
                    && fate.conn.is_some_and(|conn| (rules.is_gone)(conn))
                    && self.late.is_none_or(|late| now < fate.at.after(late))
                    && other.gone == Gone::No
                    && other.expires.is_none_or(|at| at > self.wall)
                    && sub.still_wants(other.topic, fate.at)
                    && !sub.is_vague(other);
                assert!(!waits, "{} comes before the unacked {:016x}-{}", name(), other.epoch, other.offset);
            }
        }
        let fate = sub.fate(index);
        (fate.life, fate.conn, fate.at) = (life, Some(conn), now);
        fate.acked = 0;
        let is_over = sub.is_over;
        let Sub { window, ref key, .. } = subs[sub_index];
        let count = if is_over { 0 } else { open(&subs[sub_index], events, life).count() };
        assert!(count <= window, "{key:?} has {count} events in flight, with a window of {window}");
    }

    /// How many events a subscription was sent for good, and has not acked.
    pub fn open(&self, sub: usize) -> usize {
        let sub = &self.subs[sub];
        if sub.is_over { 0 } else { open(sub, &self.events, self.life).count() }
    }

    /// Their ids.
    pub fn open_ids(&self, sub: usize) -> Vec<String> {
        let open = open(&self.subs[sub], &self.events, self.life);
        open.map(|event| format!("{:016x}-{}", event.epoch, event.offset)).collect()
    }
}

fn open<'a>(sub: &'a Sub, events: &'a [Event], life: u32) -> impl Iterator<Item = &'a Event> {
    let is_open = move |(event, fate): &(&Event, &Fate)| {
        fate.life == life
            && fate.acked == 0
            && !fate.is_claimed
            && !fate.was_dead
            && event.gone == Gone::No
            && event.expires.is_none()
            && sub.still_wants(event.topic, fate.at)
            && !sub.is_vague(event)
    };
    events.iter().zip(&sub.fates).filter(is_open).map(|(event, _)| event)
}

/// What the world says of connections and times.
pub struct Rules<'a> {
    pub ack_timeout: std::time::Duration,
    /// Whether the server has no reason to think that a connection is gone.
    pub is_here: &'a dyn Fn(ConnId) -> bool,
    /// Whether everybody in the server knows that a connection is gone.
    pub is_gone: &'a dyn Fn(ConnId) -> bool,
}
