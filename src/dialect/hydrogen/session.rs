//! The sessions of one shard: one for each connection, found by the connection's place.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::MessageRate;
use crate::base::{ConnId, Mono, Now, Wall};
use crate::engine::auth::Identity;
use crate::engine::topic::Pattern;

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
    /// Patterns and the numbers of their subscriptions.
    pub subscriptions: BTreeMap<Pattern, u32>,
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
    pub held: Option<VecDeque<Held>>,
    bucket: Bucket,
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
        let name = opened.identity.as_ref().map_or_else(Arc::default, |identity| (&*identity.name).into());
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
            subscriptions: BTreeMap::new(),
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
