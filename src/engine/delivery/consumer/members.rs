//! The connections that share a consumer, and what each of them holds.

use crate::base::ConnId;

#[derive(Debug)]
struct Member {
    conn: ConnId,
    events: usize,
    bytes: usize,
    is_started: bool,
    /// When it was last chosen, counted in choices.
    turn: u64,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    turn: u64,
}

impl Members {
    /// Adds one that gets nothing yet. Returns false if it is there already.
    pub fn attach(&mut self, conn: ConnId) -> bool {
        let is_new = !self.is_member(conn);
        if is_new {
            self.list.push(Member { conn, events: 0, bytes: 0, is_started: false, turn: 0 });
        }
        is_new
    }

    /// From now on it gets events. Returns false if it is no member.
    pub fn start(&mut self, conn: ConnId) -> bool {
        let member = self.member(conn);
        member.map(|member| member.is_started = true).is_some()
    }

    /// Takes one out. Returns false if it is no member.
    pub fn detach(&mut self, conn: ConnId) -> bool {
        let before = self.list.len();
        self.list.retain(|member| member.conn != conn);
        self.list.len() < before
    }

    /// One holds one event more.
    pub fn charge(&mut self, conn: ConnId, weight: usize) {
        self.turn += 1;
        let turn = self.turn;
        if let Some(member) = self.member(conn) {
            member.events += 1;
            member.bytes += weight;
            member.turn = turn;
        }
    }

    /// One holds one event less.
    pub fn release(&mut self, conn: ConnId, weight: usize) {
        if let Some(member) = self.member(conn) {
            member.events = member.events.saturating_sub(1);
            member.bytes = member.bytes.saturating_sub(weight);
        }
    }

    /// Who gets the next event: of those with room the one that holds the fewest, and of several
    /// the one that was not chosen for longest.
    pub fn choose(&self, weight: usize, bytes_max: usize) -> Option<ConnId> {
        let with_room = self.started().filter(|member| member.room(bytes_max) >= weight || member.events == 0);
        with_room.min_by_key(|member| (member.events, member.turn)).map(|member| member.conn)
    }

    /// Bytes that all of them may still get.
    pub fn room(&self, bytes_max: usize) -> usize {
        self.started().map(|member| member.room(bytes_max)).fold(0, usize::saturating_add)
    }

    pub fn is_member(&self, conn: ConnId) -> bool {
        self.list.iter().any(|member| member.conn == conn)
    }

    pub fn is_any_started(&self) -> bool {
        self.started().next().is_some()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.list.iter().map(|member| member.conn)
    }

    fn started(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().filter(|member| member.is_started)
    }

    fn member(&mut self, conn: ConnId) -> Option<&mut Member> {
        self.list.iter_mut().find(|member| member.conn == conn)
    }
}

impl Member {
    fn room(&self, bytes_max: usize) -> usize {
        bytes_max.saturating_sub(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(n: u64) -> ConnId {
        ConnId::from_u64(n)
    }

    #[test]
    fn only_a_member_that_was_started_is_chosen() {
        let mut members = Members::default();
        assert!(members.attach(conn(1)) && !members.attach(conn(1)));
        assert_eq!(members.choose(1, 100), None);
        assert!(members.start(conn(1)) && !members.start(conn(2)));
        assert_eq!(members.choose(1, 100), Some(conn(1)));
        assert!(members.detach(conn(1)) && !members.detach(conn(1)));
        assert!(!members.is_any_started());
    }

    #[test]
    fn equal_members_take_turns_and_the_emptier_one_goes_first() {
        let mut members = Members::default();
        for n in 1..=3 {
            members.attach(conn(n));
            members.start(conn(n));
        }
        for n in [1, 2, 3, 1, 2, 3] {
            assert_eq!(members.choose(10, 1000), Some(conn(n)));
            members.charge(conn(n), 10);
        }
        members.release(conn(3), 10);
        assert_eq!(members.choose(10, 1000), Some(conn(3)));
    }

    #[test]
    fn bytes_bound_all_but_the_first_event() {
        let mut members = Members::default();
        members.attach(conn(1));
        members.start(conn(1));
        assert_eq!(members.choose(500, 100), Some(conn(1)), "one event always");
        members.charge(conn(1), 500);
        assert_eq!(members.choose(1, 100), None);
        members.release(conn(1), 500);
        members.charge(conn(1), 60);
        assert_eq!((members.choose(40, 100), members.choose(41, 100)), (Some(conn(1)), None));
        assert_eq!(members.room(100), 40);
    }
}
