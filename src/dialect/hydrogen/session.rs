//! The sessions of one shard: one for each connection, found by the connection's place.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use litemap::LiteMap;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::record::{Joined, SessionRecord, WrittenSubscription, hash_of};
use super::settings::MessageRate;
use crate::base::{ConnId, Mono, Now, Secret, Wall};
use crate::engine::auth::Identity;
use crate::engine::topic::{Options, Pattern, UpTo};

/// What is known of one client.
#[derive(Debug)]
pub(super) struct Session {
    pub conn: ConnId,
    pub address: SocketAddr,
    pub protocol: Option<Arc<str>>,
    /// Who it is; `None` until it has authenticated.
    pub identity: Option<Arc<Identity>>,
    /// The identity's name, shared with its subscriptions.
    pub name: Arc<str>,
    pub session_id: Box<str>,
    /// The epoch of events that are for this session alone, and how many there were.
    pub epoch: u64,
    pub own_events: u64,
    pub opened: Wall,
    /// What it is subscribed to.
    pub subscriptions: LiteMap<Pattern, Subscribed>,
    /// The guaranteed subscriptions that it is a member of.
    pub joined: Vec<Member>,
    /// What whoever resumes it must show; none until it was told.
    pub secret: Option<Secret>,
    pub is_resumed: bool,
    /// It waits to be resumed.
    pub resuming: Option<Box<Resuming>>,
    /// Another connection has it now.
    pub is_surrendered: bool,
    /// What is kept of it, once it was shut out.
    pub last_record: Option<Box<SessionRecord>>,
    pub next_subscription: u32,
    pub bad_messages: u32,
    pub failed_credentials: u32,
    /// The close is ordered because the session lost its right: it is refused everything.
    pub is_shut_out: bool,
    /// When its armed deadlines pass, so that they can be taken back.
    pub expiry_at: Option<Mono>,
    pub authenticate_at: Option<Mono>,
    /// `system.session` is still to be sent.
    pub owes_session_event: bool,
    /// Messages that wait until a signature's id is found to be new.
    #[allow(clippy::box_collection, reason = "seldom there, and 24 bytes less in every session")]
    pub held: Option<Box<VecDeque<Held>>>,
    bucket: Bucket,
}

impl super::Hydrogen {
    /// Bytes of the record of one session, what it points to not counted.
    pub const SESSION_BYTES: usize = size_of::<Session>();
}

/// What a connection that resumes waits with.
#[derive(Debug)]
pub(super) struct Resuming {
    pub secret: Secret,
    pub seen: Vec<(Box<str>, UpTo)>,
    /// The command; none if it was asked for in the handshake.
    pub ticket: Option<u64>,
}

/// A subscription of a session.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    /// Its number; of no meaning for a guaranteed one.
    pub number: u32,
    pub is_guaranteed: bool,
    pub options: Options,
}

/// A guaranteed subscription that a session is a member of.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: ConsumerId,
    pub key: ConsumerKey,
    /// Its patterns, as far as this session asked for them.
    pub patterns: Vec<Pattern>,
}

/// What a session became by joining a guaranteed subscription.
#[derive(Debug, Default)]
pub(super) struct NewlyJoined {
    /// It was no member before.
    pub is_member: bool,
    /// It had not asked for these before.
    pub patterns: Vec<Pattern>,
}

/// A message that waits its turn.
#[derive(Debug)]
pub(super) struct Held {
    pub text: Box<str>,
    pub read_at: Mono,
}

/// A token bucket: whoever sends evenly never notices it.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Mono,
}

/// A session's beginning.
pub(super) struct Opened {
    pub conn: ConnId,
    pub address: SocketAddr,
    pub protocol: Option<Arc<str>>,
    pub identity: Option<Arc<Identity>>,
    pub session_id: Box<str>,
    pub epoch: u64,
}

impl Session {
    pub(super) fn new(opened: Opened, rate: Option<MessageRate>, now: Now) -> Session {
        let name = opened.identity.as_ref().map_or_else(Arc::default, |identity| identity.name.clone());
        Session {
            conn: opened.conn,
            address: opened.address,
            protocol: opened.protocol,
            identity: opened.identity,
            name,
            session_id: opened.session_id,
            epoch: opened.epoch,
            own_events: 0,
            opened: now.wall,
            subscriptions: LiteMap::new(),
            joined: Vec::new(),
            secret: None,
            is_resumed: false,
            resuming: None,
            last_record: None,
            is_surrendered: false,
            next_subscription: 0,
            bad_messages: 0,
            failed_credentials: 0,
            is_shut_out: false,
            expiry_at: None,
            authenticate_at: None,
            owes_session_event: true,
            held: None,
            bucket: Bucket { tokens: rate.map_or(0.0, |rate| rate.burst), filled_at: now.mono },
        }
    }

    /// It is a member of a guaranteed subscription, for these patterns. Returns what it was not
    /// before. A best-effort subscription to one of them stays until it is ended.
    pub(super) fn join(&mut self, key: ConsumerKey, patterns: &[Pattern]) -> NewlyJoined {
        let id = key.id();
        let known = self.joined.iter().position(|member| member.id == id);
        let number = match known {
            Some(number) => number,
            None => {
                self.joined.push(Member { id, key, patterns: Vec::new() });
                self.joined.len() - 1
            }
        };
        let own = &mut self.joined[number].patterns;
        let mut newly = NewlyJoined { is_member: known.is_none(), patterns: Vec::new() };
        for pattern in patterns {
            if !own.contains(pattern) {
                own.push(pattern.clone());
                newly.patterns.push(pattern.clone());
            }
        }
        let is_unnamed = matches!(self.joined[number].key, ConsumerKey::Session(_));
        for pattern in patterns.iter().filter(|_| is_unnamed) {
            let subscribed = Subscribed { number: 0, is_guaranteed: true, options: Options::default() };
            if !self.subscriptions.contains_key(pattern) {
                self.subscribe(pattern.clone(), subscribed);
            }
        }
        newly
    }

    /// Takes note of a subscription. Most sessions have one, and room for no more.
    pub(super) fn subscribe(&mut self, pattern: Pattern, subscribed: Subscribed) {
        if self.subscriptions.is_empty() {
            self.subscriptions = LiteMap::with_capacity(1);
        }
        self.subscriptions.insert(pattern, subscribed);
    }

    /// Takes back what [`Session::join`] said to be new. Returns the member if it is none any more.
    pub(super) fn unjoin(&mut self, id: ConsumerId, newly: &NewlyJoined) -> Option<Member> {
        let number = self.joined.iter().position(|member| member.id == id)?;
        let member = &mut self.joined[number];
        member.patterns.retain(|own| !newly.patterns.contains(own));
        if matches!(member.key, ConsumerKey::Session(_)) {
            for pattern in &newly.patterns {
                if self.subscriptions.get(pattern).is_some_and(|subscribed| subscribed.is_guaranteed) {
                    self.subscriptions.remove(pattern);
                }
            }
        }
        (newly.is_member && member.patterns.is_empty()).then(|| self.joined.remove(number))
    }

    /// Whether it is a member of a guaranteed subscription, for all of these patterns.
    pub(super) fn is_joined(&self, id: ConsumerId, patterns: &[Pattern]) -> bool {
        let member = self.joined.iter().find(|member| member.id == id);
        member.is_some_and(|member| patterns.iter().all(|pattern| member.patterns.contains(pattern)))
    }

    /// The guaranteed subscriptions that it is a member of.
    pub(super) fn consumers(&self) -> Vec<ConsumerId> {
        self.joined.iter().map(|member| member.id).collect()
    }

    /// The names of the durable ones.
    pub(super) fn durables(&self) -> impl Iterator<Item = &str> {
        self.joined.iter().filter_map(|member| match &member.key {
            ConsumerKey::Durable { name, .. } => Some(&**name),
            ConsumerKey::Session(_) => None,
        })
    }

    /// What is kept of it; nothing of who never showed who it is, or was never told how to come back.
    pub(super) fn record(&self) -> Option<SessionRecord> {
        if self.last_record.is_some() || self.name.is_empty() {
            return None;
        }
        let best_effort = self.subscriptions.iter().filter(|(_, subscribed)| !subscribed.is_guaranteed);
        Some(SessionRecord {
            id: self.session_id.clone(),
            identity: (&*self.name).into(),
            secret: hash_of(self.secret.as_ref()?),
            subscriptions: best_effort
                .map(|(pattern, subscribed)| WrittenSubscription::new(pattern, &subscribed.options))
                .collect(),
            joined: self
                .joined
                .iter()
                .map(|member| Joined {
                    key: member.key.to_string(),
                    patterns: member.patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
                })
                .collect(),
        })
    }

    /// Bytes of what is kept of it, about.
    pub(super) fn weight(&self) -> usize {
        let pattern = |pattern: &Pattern| pattern.as_str().len() + 32;
        let filter =
            |subscribed: &Subscribed| subscribed.options.filter.as_ref().map_or(0, |filter| filter.as_str().len());
        let subscribed: usize = self.subscriptions.iter().map(|(of, with)| pattern(of) + filter(with)).sum();
        let joined = self.joined.iter().map(|member| 128 + member.patterns.iter().map(pattern).sum::<usize>());
        subscribed + joined.sum::<usize>()
    }

    /// Takes a token for one message; else says in how many milliseconds there is one.
    pub(super) fn take_token(&mut self, rate: MessageRate, now: Mono) -> Result<(), u64> {
        let elapsed = now.since(self.bucket.filled_at).as_secs_f64();
        self.bucket.tokens = (self.bucket.tokens + elapsed * rate.per_second).min(rate.burst);
        self.bucket.filled_at = now;
        if self.bucket.tokens >= 1.0 {
            self.bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.bucket.tokens) / rate.per_second * 1000.0).ceil() as u64)
    }
}

/// Sessions by reactor and slot.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    reactors: Vec<Vec<Option<Box<Session>>>>,
    len: usize,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, session: Session) {
        let (reactor, slot) = (usize::from(session.conn.reactor().0), session.conn.slot());
        if self.reactors.len() <= reactor {
            self.reactors.resize_with(reactor + 1, Vec::new);
        }
        let slots = &mut self.reactors[reactor];
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        if slots[slot].replace(Box::new(session)).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn of(&self, conn: ConnId) -> Option<&Session> {
        let session = self.reactors.get(usize::from(conn.reactor().0))?.get(conn.slot())?.as_deref()?;
        (session.conn == conn).then_some(session)
    }

    pub(super) fn of_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let session = self.reactors.get_mut(usize::from(conn.reactor().0))?.get_mut(conn.slot())?.as_deref_mut()?;
        (session.conn == conn).then_some(session)
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        self.of(conn)?;
        let session = self.reactors[usize::from(conn.reactor().0)][conn.slot()].take();
        self.len -= usize::from(session.is_some());
        session
    }

    /// All sessions, in the order of their connections' ids but for the generations.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.reactors.iter().flatten().filter_map(|slot| slot.as_deref())
    }
}
