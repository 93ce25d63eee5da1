//! The sessions that are kept at their home while their first connection does not hold them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::record::SessionRecord;
use crate::base::{ConnId, Mono, WorkerId};

/// Who wants to resume a session.
#[derive(Debug)]
pub struct ResumeAsk {
    /// The connection.
    pub conn: ConnId,
    /// Its worker.
    pub worker: WorkerId,
    /// The session.
    pub session: Box<str>,
    /// The hash of the secret that was shown.
    pub secret: [u8; 32],
    /// Who shows it.
    pub identity: Arc<str>,
}

/// A session at its home, while its first connection does not hold it.
#[derive(Debug)]
pub(super) struct Parked {
    pub record: SessionRecord,
    /// The connection that holds it, and its worker.
    pub holder: Option<(ConnId, WorkerId)>,
    /// When it is forgotten, if nobody holds it.
    pub expires: Option<Mono>,
    /// Who gets it when its holder has let go, one after the other.
    pub waiting: VecDeque<ResumeAsk>,
}

/// Connections that may wait for one session.
pub(super) const WAITING_MAX: usize = 8;

/// The sessions that are kept at this worker.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub by_id: BTreeMap<Box<str>, Parked>,
    expiring: BTreeSet<(Mono, Box<str>)>,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Those that nobody holds: a bound on sessions that wait ends none that somebody has.
    pub(super) fn unheld(&self) -> usize {
        self.expiring.len()
    }

    pub(super) fn park(&mut self, record: SessionRecord, expires: Mono) {
        let id = record.id.clone();
        self.forget_expiry(&id);
        self.expiring.insert((expires, id.clone()));
        let waiting = self.by_id.get_mut(&id).map(|parked| std::mem::take(&mut parked.waiting)).unwrap_or_default();
        self.by_id.insert(id, Parked { record, holder: None, expires: Some(expires), waiting });
    }

    pub(super) fn forget_expiry(&mut self, id: &str) {
        if let Some(at) = self.by_id.get_mut(id).and_then(|parked| parked.expires.take()) {
            self.expiring.remove(&(at, id.into()));
        }
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Parked> {
        self.forget_expiry(id);
        self.by_id.remove(id)
    }

    /// The one that is forgotten first.
    pub(super) fn oldest(&self) -> Option<Box<str>> {
        self.expiring.first().map(|(_, id)| id.clone())
    }

    /// The one that is forgotten next, if its time has come.
    pub(super) fn due(&self, now: Mono) -> Option<Box<str>> {
        self.expiring.first().filter(|(at, _)| *at <= now).map(|(_, id)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_somebody_holds_is_neither_counted_nor_the_oldest() {
        let record = |id: &str| SessionRecord {
            id: id.into(),
            identity: "ada".into(),
            secret: [0; 32],
            subscriptions: Vec::new(),
            joined: Vec::new(),
        };
        let mut kept = Kept::default();
        kept.park(record("1.a"), Mono(1));
        kept.park(record("2.b"), Mono(2));
        assert_eq!((kept.unheld(), kept.oldest().as_deref()), (2, Some("1.a")));
        kept.forget_expiry("1.a");
        assert_eq!((kept.len(), kept.unheld(), kept.oldest().as_deref()), (2, 1, Some("2.b")));
        kept.park(record("1.a"), Mono(3));
        assert_eq!((kept.len(), kept.unheld(), kept.oldest().as_deref()), (2, 2, Some("2.b")));
    }
}
