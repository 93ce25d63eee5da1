//! Who speaks signaling, by what right: the same blocks and keys hold for them as for everybody.
//!
//! Owns the address and the identity of each signaling connection of one worker, and looks at them
//! again when keys or blocks change, and when a key is over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ConnId, Counters, Metric, Mono, Now, Reason};
use crate::engine::auth::{Access, Current, Identity};
use crate::engine::work::{Opening, Order, Outbox};

/// The signaling connections of one worker.
pub(super) struct Guests {
    access: Arc<Access>,
    counters: Arc<Counters>,
    by_conn: BTreeMap<ConnId, Guest>,
    /// When the keys of some are over.
    ends: BTreeSet<(Mono, ConnId)>,
}

struct Guest {
    ip: IpAddr,
    /// None of who came without a key where it might have shown one later.
    identity: Option<Arc<Identity>>,
    ends_at: Option<Mono>,
}

impl Guests {
    pub(super) fn new(access: Arc<Access>, counters: Arc<Counters>) -> Guests {
        Guests { access, counters, by_conn: BTreeMap::new(), ends: BTreeSet::new() }
    }

    /// A connection speaks signaling.
    pub(super) fn on_open<P>(&mut self, opening: &Opening, now: Now, out: &mut Outbox<P>) {
        self.insert(opening.conn, opening.address.ip(), opening.identity.clone(), now);
        // It was judged before a change that this worker has looked through its connections for already.
        if opening.access_version < self.access.version {
            self.review(opening.conn, now, out);
        }
    }

    fn insert(&mut self, conn: ConnId, ip: IpAddr, identity: Option<Arc<Identity>>, now: Now) {
        let ends_at = identity.as_ref().and_then(|identity| identity.expires).map(|at| {
            let left = u64::try_from(at.0.saturating_sub(now.wall.0)).unwrap_or(0);
            now.mono.after(Duration::from_millis(left))
        });
        self.ends.extend(ends_at.map(|at| (at, conn)));
        self.by_conn.insert(conn, Guest { ip, identity, ends_at });
    }

    pub(super) fn on_closed(&mut self, conn: ConnId) {
        if let Some(guest) = self.by_conn.remove(&conn)
            && let Some(at) = guest.ends_at
        {
            self.ends.remove(&(at, conn));
        }
    }

    /// Keys, permissions or blocks changed.
    pub(super) fn on_access<P>(&mut self, access: &Arc<Access>, now: Now, out: &mut Outbox<P>) {
        self.access = access.clone();
        let all: Vec<ConnId> = self.by_conn.keys().copied().collect();
        for conn in all {
            self.review(conn, now, out);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.ends.first().map(|(at, _)| *at)
    }

    pub(super) fn on_timeout<P>(&mut self, now: Now, out: &mut Outbox<P>) {
        while let Some((at, conn)) = self.ends.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.ends.remove(&(at, conn));
            self.end(conn, Reason::CredentialExpired, "the credential is expired", out);
        }
    }

    fn review<P>(&mut self, conn: ConnId, now: Now, out: &mut Outbox<P>) {
        let Some(Guest { ip, identity, .. }) = self.by_conn.get(&conn) else { return };
        if self.access.blocks.is_blocked(Some(*ip), identity.as_deref(), now.wall).is_some() {
            self.counters.inc(Metric::BLOCKED);
            return self.end(conn, Reason::Blocked, "blocked", out);
        }
        let Some(identity) = identity else { return };
        let why = match self.access.keys.current(identity, now.wall) {
            Current::Same => return,
            Current::Changed(identity) if identity.permissions.may_connect() => {
                let ip = *ip;
                self.on_closed(conn);
                return self.insert(conn, ip, Some(identity), now);
            }
            Current::Changed(_) => "the identity may no longer connect",
            Current::Expired => "the credential is expired",
            Current::Revoked => "the credential was revoked",
        };
        self.end(conn, Reason::CredentialExpired, why, out);
    }

    /// The close is ordered once; what follows is the reactor's.
    fn end<P>(&mut self, conn: ConnId, reason: Reason, text: &'static str, out: &mut Outbox<P>) {
        self.on_closed(conn);
        out.order(conn, Order::Close { conn, reason, text: text.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::engine::auth::{Block, BlockList, KeyRecord, KeyRing, Permissions, Target, Token};

    fn token(seed: u8) -> Token {
        Token::mint(&[seed; Token::RANDOM_BYTES])
    }

    fn record(seed: u8, expires: Option<i64>, revoked: Option<i64>) -> KeyRecord {
        KeyRecord {
            id: token(seed).id(),
            name: format!("key-{seed}").into(),
            hash: token(seed).hash(),
            permissions: Permissions::parse(&["connect"]).unwrap(),
            created: Wall(0),
            expires: expires.map(Wall),
            revoked: revoked.map(Wall),
            signing: None,
        }
    }

    fn access(version: u64, records: Vec<KeyRecord>, blocks: BlockList) -> Arc<Access> {
        Arc::new(Access { version, keys: Arc::new(KeyRing::new(records, None).unwrap()), blocks })
    }

    const NOW: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_000) };

    fn opening(access: &Access, slot: u64, seed: Option<u8>) -> Opening {
        let identity = seed.map(|seed| access.keys.authenticate(&token(seed).expose(), NOW.wall).unwrap());
        Opening {
            conn: ConnId::from_u64(slot),
            dialect: crate::base::DialectId::Signaling,
            identity,
            address: ([192, 0, 2, slot as u8], 1).into(),
            protocol: None,
            client_id: None,
            access_version: access.version,
            resume: None,
        }
    }

    fn closes(out: &mut Outbox<()>) -> Vec<(ConnId, Reason)> {
        let close = |order| match order {
            Order::Close { conn, reason, .. } => Some((conn, reason)),
            _ => None,
        };
        out.orders[0].drain(..).filter_map(close).collect()
    }

    #[test]
    fn blocks_and_revoked_keys_end_those_whom_they_concern_once() {
        let before = access(1, vec![record(1, None, None), record(2, None, None)], BlockList::default());
        let mut guests = Guests::new(before.clone(), Arc::default());
        let mut out = Outbox::new(1);
        for (slot, seed) in [(1, Some(1)), (2, Some(2)), (3, None), (4, None)] {
            guests.on_open(&opening(&before, slot, seed), NOW, &mut out);
        }
        let block = Block { target: Target::network("192.0.2.3").unwrap(), until: None, reason: "".into() };
        let blocks = BlockList::default().with(block, NOW.wall).unwrap();
        let after = access(2, vec![record(1, None, None), record(2, None, Some(1))], blocks);
        guests.on_access(&after, NOW, &mut out);
        let ended = [(ConnId::from_u64(2), Reason::CredentialExpired), (ConnId::from_u64(3), Reason::Blocked)];
        assert_eq!(closes(&mut out), ended);
        guests.on_access(&after, NOW, &mut out);
        assert_eq!(closes(&mut out), []);
        // One that was let in by the older snapshot comes too late.
        guests.on_open(&opening(&before, 3, None), NOW, &mut out);
        assert_eq!(closes(&mut out), ended[1..]);
        guests.on_closed(ConnId::from_u64(1));
        assert_eq!(guests.by_conn.keys().copied().collect::<Vec<_>>(), [ConnId::from_u64(4)]);
    }

    #[test]
    fn a_key_that_ends_ends_its_connections_at_that_time() {
        let before = access(1, vec![record(1, Some(3_000), None), record(2, Some(5_000), None)], BlockList::default());
        let mut guests = Guests::new(before.clone(), Arc::default());
        let mut out = Outbox::new(1);
        guests.on_open(&opening(&before, 1, Some(1)), NOW, &mut out);
        guests.on_open(&opening(&before, 2, Some(2)), NOW, &mut out);
        assert_eq!(guests.poll_timeout(), Some(NOW.mono.after(Duration::from_secs(2))));
        // The first gets longer.
        let after = access(2, vec![record(1, Some(9_000), None), record(2, Some(5_000), None)], BlockList::default());
        guests.on_access(&after, NOW, &mut out);
        let later = Now { mono: NOW.mono.after(Duration::from_secs(4)), wall: Wall(5_000) };
        assert_eq!(guests.poll_timeout(), Some(later.mono));
        guests.on_timeout(later, &mut out);
        assert_eq!(closes(&mut out), [(ConnId::from_u64(2), Reason::CredentialExpired)]);
        guests.on_closed(ConnId::from_u64(1));
        assert_eq!(guests.poll_timeout(), None);
    }
}
