//! Who is in which room, for `signal`.
//!
//! Each room has an owner of its own, since a key owns one room at most, and a guest. With more rooms than
//! half the connections some guests are in two. Connections are numbered by groups of those who share rooms:
//! first the pairs of an owner and a guest, then the threes of two owners and the guest of both.

/// So many connections in so many rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pairs: usize,
    threes: usize,
}

/// One connection's part in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The room's number within the run.
    pub room: usize,
    /// Whether the connection opens the room, or joins it.
    pub is_owner: bool,
}

impl Layout {
    /// What `--rooms` may be for so many connections: none without a room, none in more than two.
    pub fn rooms_of(connections: usize) -> std::ops::RangeInclusive<usize> {
        connections.div_ceil(2)..=2 * connections / 3
    }

    /// `rooms` are within [`Layout::rooms_of`] the connections.
    pub fn new(connections: usize, rooms: usize) -> Layout {
        let guests = connections.saturating_sub(rooms);
        let threes = rooms.saturating_sub(guests);
        Layout { pairs: guests.saturating_sub(threes), threes }
    }

    /// How many there are.
    pub fn rooms(self) -> usize {
        self.pairs + 2 * self.threes
    }

    /// Where a connection is: the room that it enters first, and the other if there is one.
    pub fn seats(self, number: usize) -> (Seat, Option<Seat>) {
        let Some(place) = number.checked_sub(2 * self.pairs) else {
            return (Seat { room: number / 2, is_owner: number.is_multiple_of(2) }, None);
        };
        let (three, place) = (place / 3, place % 3);
        let room = self.pairs + 2 * three;
        if place < 2 {
            return (Seat { room: room + place, is_owner: true }, None);
        }
        let seat = |index| Seat { room: room + index, is_owner: false };
        (seat(0), Some(seat(1)))
    }

    /// One thread's connections, the owners first. All that share a room are in one thread.
    pub fn numbers(self, thread: usize, threads: usize) -> impl DoubleEndedIterator<Item = usize> {
        let groups = move || (thread..self.pairs + self.threes).step_by(threads);
        let owners = groups().flat_map(move |group| self.owners(group));
        owners.chain(groups().map(move |group| self.owners(group).end))
    }

    /// A group's owners; its guest is the next.
    fn owners(self, group: usize) -> std::ops::Range<usize> {
        match group.checked_sub(self.pairs) {
            None => 2 * group..2 * group + 1,
            Some(three) => 2 * self.pairs + 3 * three..2 * self.pairs + 3 * three + 2,
        }
    }
}

impl Seat {
    /// The lane in the stamps of what it sends. Each room has two, one for each direction; among pairs a lane
    /// is the sender's number.
    pub fn lane(self) -> u32 {
        (2 * self.room + usize::from(!self.is_owner)) as u32
    }

    /// The lane of what comes to it.
    pub fn source(self) -> u32 {
        self.lane() ^ 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Each room as its owner and guest, by the seats of all connections.
    fn rooms(connections: usize, rooms: usize) -> Vec<[usize; 2]> {
        let layout = Layout::new(connections, rooms);
        assert_eq!(layout.rooms(), rooms);
        let mut members = vec![[usize::MAX; 2]; rooms];
        for number in 0..connections {
            let (first, second) = layout.seats(number);
            for seat in [Some(first), second].into_iter().flatten() {
                let side = usize::from(!seat.is_owner);
                assert_eq!(members[seat.room][side], usize::MAX, "room {} twice", seat.room);
                members[seat.room][side] = number;
            }
        }
        members
    }

    #[test]
    fn rooms_have_an_owner_and_a_guest_who_may_have_two() {
        assert_eq!(rooms(2, 1), [[0, 1]]);
        assert_eq!(rooms(6, 3), [[0, 1], [2, 3], [4, 5]]);
        assert_eq!(rooms(3, 2), [[0, 2], [1, 2]]);
        assert_eq!(rooms(6, 4), [[0, 2], [1, 2], [3, 5], [4, 5]]);
        assert_eq!(rooms(7, 4), [[0, 1], [2, 3], [4, 6], [5, 6]]);
    }

    #[test]
    fn threads_have_whole_groups_with_the_owners_first() {
        let numbers = |connections, rooms, thread, threads| {
            Layout::new(connections, rooms).numbers(thread, threads).collect::<Vec<_>>()
        };
        assert_eq!(numbers(6, 3, 0, 1), [0, 2, 4, 1, 3, 5]);
        assert_eq!(numbers(6, 3, 1, 2), [2, 3]);
        assert_eq!(numbers(6, 4, 0, 1), [0, 1, 3, 4, 2, 5]);
        assert_eq!(numbers(7, 4, 0, 2), [0, 4, 5, 1, 6]);
        assert_eq!(numbers(7, 4, 3, 4), [] as [usize; 0]);
    }

    #[test]
    fn ten_thousand_rooms_fit_into_19_800_connections() {
        let layout = Layout::new(19_800, 10_000);
        let seats = (0..19_800).map(|number| layout.seats(number));
        let (owners, guests): (Vec<_>, Vec<_>) = seats.partition(|(first, _)| first.is_owner);
        assert_eq!((owners.len(), guests.len()), (10_000, 9_800));
        assert_eq!(guests.iter().filter(|(_, second)| second.is_some()).count(), 200);
    }

    proptest! {
        #[test]
        fn any_number_of_rooms_is_full_and_every_lane_has_one_sender(
            connections in 2usize..200, pick: prop::sample::Index, threads in 1usize..5,
        ) {
            let choice: Vec<usize> = Layout::rooms_of(connections).collect();
            let count = choice[pick.index(choice.len())];
            let layout = Layout::new(connections, count);
            let mut lanes = BTreeSet::new();
            for (room, [owner, guest]) in rooms(connections, count).into_iter().enumerate() {
                let (seat, none) = layout.seats(owner);
                prop_assert!(none.is_none() && seat.room == room);
                let (first, second) = layout.seats(guest);
                let other = [Some(first), second].into_iter().flatten().find(|seat| seat.room == room).unwrap();
                prop_assert_eq!((seat.lane(), seat.source()), (other.source(), other.lane()));
                prop_assert!(lanes.insert(seat.lane()) && lanes.insert(other.lane()));
            }
            let mut thread_of = vec![usize::MAX; connections];
            for thread in 0..threads {
                for number in layout.numbers(thread, threads) {
                    prop_assert_eq!(std::mem::replace(&mut thread_of[number], thread), usize::MAX);
                }
            }
            prop_assert!(thread_of.iter().all(|thread| *thread < threads));
            for [owner, guest] in rooms(connections, count) {
                prop_assert_eq!(thread_of[owner], thread_of[guest]);
            }
        }
    }

    #[test]
    fn among_pairs_lanes_are_the_numbers_of_connections() {
        let layout = Layout::new(8, 4);
        assert!((0..8).all(|number| layout.seats(number).0.lane() == number as u32));
    }
}
