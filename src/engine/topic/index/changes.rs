//! The last changes of one pattern's subscriptions.
//!
//! Kept by patterns that stand in a long fan-out list. Knowing the connections that came and went
//! since the list was made, one patches it at the cost of a copy instead of making it anew.

use std::collections::VecDeque;

use crate::base::ConnId;

/// Changes remembered. A list that missed more is made anew.
pub(in crate::engine::topic) const CHANGES: usize = 256;

/// A bounded log of who changed, by generation.
#[derive(Debug)]
pub(super) struct Changes {
    /// Everything after this generation is remembered.
    floor: u64,
    entries: VecDeque<(u64, ConnId)>,
}

impl Changes {
    /// Remembers what comes after `generation`.
    pub fn after(generation: u64) -> Changes {
        Changes { floor: generation, entries: VecDeque::new() }
    }

    /// A change of this connection's subscriptions; generations only grow.
    pub fn push(&mut self, generation: u64, conn: ConnId) {
        if self.entries.len() == CHANGES
            && let Some((forgotten, _)) = self.entries.pop_front()
        {
            self.floor = forgotten;
        }
        self.entries.push_back((generation, conn));
    }

    /// Who changed after `seen`; `None` if that is no longer known.
    pub fn since(&self, seen: u64) -> Option<impl Iterator<Item = ConnId>> {
        let newer = self.entries.iter().rev().take_while(move |(generation, _)| *generation > seen);
        (seen >= self.floor).then(|| newer.map(|(_, conn)| *conn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_said_to_be_unknown() {
        let mut changes = Changes::after(10);
        let conns =
            |changes: &Changes, seen| changes.since(seen).map(|conns| conns.map(|conn| conn.as_u64()).collect());
        assert_eq!(conns(&changes, 9), None);
        assert_eq!(conns(&changes, 10), Some(vec![]));
        for n in 1..=CHANGES as u64 {
            changes.push(10 + n, ConnId::from_u64(n));
        }
        assert_eq!(conns(&changes, 10).map(|all| all.len()), Some(CHANGES));
        assert_eq!(conns(&changes, 264), Some(vec![256, 255]));
        changes.push(300, ConnId::from_u64(7));
        assert_eq!(conns(&changes, 10), None);
        assert_eq!(conns(&changes, 11).map(|all| all.len()), Some(CHANGES));
    }
}
