//! How much of a connection's messages its worker has and is not done with, in one word.
//!
//! A worker settles messages by their number, not by their names: what is settled counts as of the
//! mean size of what was under way. Of none, nothing is under way, whatever was estimated before.

/// What any connection may have under way, however short its messages are to be, in KiB.
const KIB_MIN: u32 = 256;

/// Messages under way, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InFlight {
    messages: u16,
    /// Whole KiB of each: shorter messages are bounded by their number. At most 64 MiB are told apart.
    kib: u16,
}

impl InFlight {
    /// One more, of so many bytes.
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_add(1);
        self.kib = self.kib.saturating_add(u16::try_from(bytes / 1024).unwrap_or(u16::MAX));
    }

    /// So many are done with.
    pub(super) fn settle(&mut self, count: u32) {
        let before = u32::from(self.messages);
        debug_assert!(before >= count, "{count} settled of {before}");
        let left = before.saturating_sub(count);
        // Most are short: then there is nothing to share out.
        if self.kib != 0 {
            self.kib = (u64::from(self.kib) * u64::from(left) / u64::from(before)) as u16;
        }
        self.messages = left as u16;
    }

    /// Whether one more may be taken: fewer than `MaxInFlight` are under way, and of fewer bytes
    /// than the largest message has.
    pub(super) fn has_room(self, messages_max: u32, message_bytes_max: usize) -> bool {
        let kib_max = u32::try_from(message_bytes_max / 1024).unwrap_or(u32::MAX);
        u32::from(self.messages) < messages_max.min(u16::MAX.into())
            && u32::from(self.kib) < kib_max.clamp(KIB_MIN, u16::MAX.into())
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(self) -> bool {
        self.messages == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut short = InFlight::default();
        for _ in 0..4 {
            assert!(short.has_room(4, 1 << 20));
            short.add(100);
        }
        assert!(!short.has_room(4, 1 << 20));
        short.settle(1);
        assert!(short.has_room(4, 1 << 20));

        let mut long = InFlight::default();
        long.add(1 << 19);
        assert!(long.has_room(4, 1 << 20));
        long.add(1 << 19);
        assert!(!long.has_room(4, 1 << 20));
        long.settle(1);
        assert!(long.has_room(4, 1 << 20));
    }

    #[test]
    fn one_of_any_size_is_taken_when_there_is_none() {
        let mut in_flight = InFlight::default();
        in_flight.add(1 << 40);
        assert!(!in_flight.has_room(u32::MAX, 1 << 40));
        in_flight.settle(1);
        assert!(in_flight.is_empty() && in_flight.has_room(u32::MAX, 1 << 40));
    }

    #[test]
    fn where_messages_are_short_there_is_room_for_many() {
        let mut in_flight = InFlight::default();
        for _ in 0..200 {
            in_flight.add(1_024);
        }
        assert!(in_flight.has_room(1_000, 1_024));
    }

    #[test]
    fn what_is_settled_is_of_the_mean_and_of_none_nothing_is_left() {
        let mut in_flight = InFlight::default();
        for kib in [0, 1, 7, 900] {
            in_flight.add(kib * 1024);
        }
        in_flight.settle(2);
        assert_eq!((in_flight.messages, in_flight.kib), (2, 454));
        in_flight.settle(2);
        assert_eq!((in_flight.messages, in_flight.kib), (0, 0));
    }
}
