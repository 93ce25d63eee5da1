//! What every backend must do, as tests that are run for each of them.
//!
//! A backend gives a [`Lab`] and calls [`conforms!`] with an expression that makes a new one. Its
//! own tests show what its faults do; here is what holds when nothing goes wrong but the end of
//! the process.

pub mod full;
pub mod logs;
mod model;
pub mod opening;
pub mod pages;
pub mod random;
pub mod values;

use std::time::Duration;

use bytes::Bytes;

use crate::base::Wall;
use crate::engine::store::{
    Append, Backend, Image, Level, Opened, Page, Read, Seq, StoreError, StoreFault, Table, Write,
};
use crate::engine::topic::Epoch;

/// The time at which a lab opens its store.
pub const NOW: Wall = Wall(1_800_000_000_000);

/// For how long a lab's store remembers ids of publishes.
pub const DEDUP_WINDOW: Duration = Duration::from_secs(60);

/// How many ids of publishes it remembers.
pub const DEDUP_MAX: usize = 8;

/// A place where one store is opened again and again, never twice at a time.
pub trait Lab {
    /// Opens the store, at [`NOW`], with [`DEDUP_WINDOW`] and [`DEDUP_MAX`].
    fn open(&mut self) -> Opened<Box<dyn Backend>>;

    /// Opens it with room for so many bytes and no more.
    fn open_narrow(&mut self, bytes: u64) -> Opened<Box<dyn Backend>>;

    /// Lets go of the store as the end of its process does, with nothing closed in order.
    fn kill(&mut self, backend: Box<dyn Backend>);
}

/// Makes a test of each check, for the lab that the expression makes.
macro_rules! conforms {
    ($new:expr) => {
        $crate::sys::store::conformance::conforms! { $new;
            logs::offsets_follow,
            logs::a_new_epoch_begins_a_log_that_is_the_newest,
            logs::a_group_is_kept_as_a_whole_or_not_at_all,
            logs::a_group_may_hold_everything_at_once,
            logs::numbers_are_given_once_and_may_leave_gaps,
            logs::a_trim_takes_the_oldest_and_says_which,
            logs::a_log_that_holds_nothing_is_forgotten_unless_it_is_the_newest,
            logs::bytes_are_those_of_the_events_held,
            pages::pages_of_a_log_by_offset,
            pages::pages_of_a_log_by_time,
            pages::pages_of_a_log_are_bounded_in_bytes_but_give_one_event,
            pages::pages_by_patterns_give_each_event_once_in_order,
            pages::pages_by_patterns_say_how_far_they_looked,
            pages::the_first_event_since_a_time_is_found_over_all_logs,
            pages::the_first_event_since_a_time_is_found_though_times_are_out_of_order,
            pages::pages_of_single_events_leave_out_what_is_gone,
            pages::pages_give_events_as_they_were_written,
            values::values_are_set_replaced_and_taken_away,
            values::values_are_scanned_in_order_behind_a_key_under_a_prefix,
            opening::a_new_store_is_empty,
            opening::a_store_tells_whether_it_was_closed_in_order,
            opening::what_was_synced_survives_the_process,
            opening::ids_of_publishes_are_remembered_within_the_window,
            opening::so_many_ids_of_publishes_are_remembered_at_most,
            opening::a_mixed_log_says_so_for_good,
            opening::reopening_a_store_that_is_well_changes_nothing,
            full::a_full_store_takes_what_makes_room_and_is_well_when_there_is_enough,
            full::a_full_store_is_not_well_before_there_is_room_for_what_was_refused,
            full::a_store_that_was_closed_full_is_full,
            random::histories_agree_with_the_model,
        }
    };
    ($new:expr; $($module:ident::$check:ident),* $(,)?) => {
        $(
            #[test]
            fn $check() {
                $crate::sys::store::conformance::$module::$check(&mut || Box::new($new));
            }
        )*
    };
}
pub(crate) use conforms;

/// Makes a new lab with nothing in its store.
pub type NewLab<'a> = &'a mut dyn FnMut() -> Box<dyn Lab>;

/// A store that is open, and what it was opened with.
struct Store {
    lab: Box<dyn Lab>,
    backend: Box<dyn Backend>,
    image: Image,
    last: Seq,
}

impl Store {
    fn new(new_lab: NewLab) -> Store {
        Store::open(new_lab())
    }

    fn open(mut lab: Box<dyn Lab>) -> Store {
        let opened = lab.open();
        Store::around(lab, opened)
    }

    fn around(lab: Box<dyn Lab>, opened: Opened<Box<dyn Backend>>) -> Store {
        let Opened { backend, image, damage } = opened;
        assert_eq!(damage, []);
        Store { lab, backend, last: image.last, image }
    }

    /// Closed in order and opened again.
    fn closed(mut self) -> Store {
        self.backend.close().unwrap();
        drop(self.backend);
        Store::open(self.lab)
    }

    /// Killed and opened again.
    fn killed(mut self) -> Store {
        self.lab.kill(self.backend);
        Store::open(self.lab)
    }

    /// Commits a group that must be taken, and syncs it.
    fn commit(&mut self, group: &[Write]) -> Vec<Vec<Seq>> {
        let gone = self.backend.commit(group, self.last.next(), true).unwrap();
        self.last.0 += group.iter().filter(|write| matches!(write, Write::Append(_))).count() as u64;
        gone.into_iter().map(|trimmed| trimmed.gone).collect()
    }

    /// A group that must be refused.
    fn is_refused(&mut self, group: &[Write]) {
        let refused = self.backend.commit(group, self.last.next(), true);
        assert_eq!(refused.map_err(|error: StoreError| error.fault), Err(StoreFault::Refused));
    }

    fn read(&mut self, topic: &str, epoch: u64, after: u64, limit: usize) -> Page {
        let (topic, epoch) = (topic.into(), Epoch::new(epoch));
        self.backend.read(&Read::Offset { topic, epoch, after, limit, bytes: usize::MAX }).unwrap()
    }

    fn offsets(&mut self, topic: &str, epoch: u64) -> Vec<u64> {
        offsets(&self.read(topic, epoch, 0, 1000))
    }

    fn keys(&mut self, table: Table) -> Vec<Box<str>> {
        self.backend.scan(table, "", None, 1000).unwrap().into_iter().map(|(key, _)| key).collect()
    }
}

fn offsets(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.offset).collect()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.seq.0).collect()
}

fn append(topic: &str, epoch: u64, offset: u64) -> Append {
    Append {
        topic: topic.into(),
        epoch: Epoch::new(epoch),
        offset,
        is_mixed: false,
        time: NOW,
        expires: None,
        payload: Bytes::from(format!("{{\"offset\":{offset}}}")),
        level: Level::Disk,
        dedup: None,
    }
}

fn event(topic: &str, epoch: u64, offset: u64) -> Write {
    Write::Append(append(topic, epoch, offset))
}

fn events(topic: &str, epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Vec<Write> {
    offsets.map(|offset| event(topic, epoch, offset)).collect()
}

fn trim(topic: &str, epoch: u64, through: u64) -> Write {
    Write::Trim { topic: topic.into(), epoch: Epoch::new(epoch), through, before: None }
}

fn put(table: Table, key: &str, value: &str) -> Write {
    Write::Put { table, key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), level: Level::Disk }
}

fn delete(table: Table, key: &str) -> Write {
    Write::Delete { table, key: key.into(), level: Level::Disk }
}
