//! The names of guaranteed subscriptions, and where they are at home.

use std::fmt;

use ring::digest::{SHA256, digest};

use crate::base::{ConnId, WorkerId};

/// A guaranteed subscription's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerKey {
    /// The unnamed ones of a session, together.
    Session(Box<str>),
    /// A named one.
    Durable {
        /// Whose it is.
        identity: Box<str>,
        /// Its name.
        name: Box<str>,
    },
}

/// A guaranteed subscription's name, short: the number of its home, and a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerId {
    place: u32,
    hash: u64,
}

impl ConsumerKey {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<ConsumerKey> {
        if let Some(session) = text.strip_prefix("s/") {
            return Some(ConsumerKey::Session(session.into()));
        }
        // A name has no slash.
        let (name, identity) = text.strip_prefix("d/")?.split_once('/')?;
        Some(ConsumerKey::Durable { identity: identity.into(), name: name.into() })
    }

    /// The short name.
    pub fn id(&self) -> ConsumerId {
        let hash = digest(&SHA256, self.to_string().as_bytes());
        let number = |at: usize| hash.as_ref()[at..at + 8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let place = match self {
            ConsumerKey::Session(session) => place_of_session(session),
            ConsumerKey::Durable { .. } => number(8) as u32,
        };
        ConsumerId { place, hash: number(0) }
    }
}

/// `s/<session>` or `d/<name>/<identity>`.
impl fmt::Display for ConsumerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsumerKey::Session(session) => write!(f, "s/{session}"),
            ConsumerKey::Durable { identity, name } => write!(f, "d/{name}/{identity}"),
        }
    }
}

impl ConsumerId {
    /// The worker that owns it.
    pub fn home(self, workers: usize) -> WorkerId {
        WorkerId((self.place as usize % workers.max(1)) as u16)
    }
}

/// The connection in which a session began: its id stands at the beginning of the session's.
pub(super) fn first_conn(session: &str) -> Option<ConnId> {
    let (conn, _) = session.split_once('.')?;
    u64::from_str_radix(conn, 16).ok().map(ConnId::from_u64)
}

/// A session is at home where it began, so that nothing about it has to be passed on as long as
/// it lives there.
fn place_of_session(session: &str) -> u32 {
    first_conn(session).map_or(0, |conn| (conn.slot() + usize::from(conn.reactor().0)) as u32)
}

/// The worker at which a session is at home.
pub(super) fn home_of_session(session: &str, workers: usize) -> WorkerId {
    WorkerId((place_of_session(session) as usize % workers.max(1)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ReactorId;
    use crate::engine::work::worker_of;

    #[test]
    fn a_key_reads_as_it_was_written() {
        for key in [
            ConsumerKey::Session("1f.abc".into()),
            ConsumerKey::Durable { identity: "a/b".into(), name: "printer.1".into() },
        ] {
            assert_eq!(ConsumerKey::parse(&key.to_string()), Some(key));
        }
        assert_eq!(ConsumerKey::parse("x/y"), None);
    }

    #[test]
    fn a_session_is_at_home_where_it_began() {
        for workers in 1..5 {
            for slot in 0..20 {
                let conn = ConnId::new(ReactorId(1), slot, 7);
                let session = format!("{:x}.random", conn.as_u64());
                assert_eq!(home_of_session(&session, workers), worker_of(conn, workers));
                assert_eq!(ConsumerKey::Session(session.as_str().into()).id().home(workers), worker_of(conn, workers));
            }
        }
    }
}
