//! A store that reaches its limit, and how it becomes well again.

use super::*;

/// Bytes that it has room for.
const ROOM: u64 = 2 << 20;

fn narrow(new_lab: NewLab) -> Store {
    let mut lab = new_lab();
    let opened = lab.open_narrow(ROOM);
    Store::around(lab, opened)
}

fn large(offset: u64, bytes: usize) -> Write {
    let payload = Bytes::from(format!("\"{}\"", "x".repeat(bytes)));
    Write::Append(Append { payload, ..append("a.b", 1, offset) })
}

fn try_append(store: &mut Store, bytes: usize) -> Result<(), StoreFault> {
    let offset = store.last.0 + 1;
    let done = store.backend.commit(&[large(offset, bytes)], store.last.next(), false);
    done.map(|_| store.last = store.last.next()).map_err(|error| error.fault)
}

/// Appends until there is no room. Returns how many events were taken.
fn fill(store: &mut Store) -> u64 {
    for count in 0..ROOM {
        if let Err(fault) = try_append(store, 1000) {
            assert_eq!(fault, StoreFault::Full);
            return count;
        }
    }
    unreachable!("it is never full")
}

fn reopen(store: &mut Store) -> Result<(), StoreFault> {
    store.backend.reopen(store.last).map_err(|error| error.fault)
}

pub fn a_full_store_takes_what_makes_room_and_is_well_when_there_is_enough(new_lab: NewLab) {
    let mut store = narrow(new_lab);
    store.commit(&[put(Table::Meta, "k", "v"), put(Table::Meta, "l", "v")]);
    let held = fill(&mut store);
    assert!(held > 400, "{held} events in {ROOM} bytes");
    assert_eq!(reopen(&mut store), Err(StoreFault::Full));
    // One event's room is not enough, or the next one would fill it again.
    assert_eq!(store.commit(&[trim("a.b", 1, 1), delete(Table::Meta, "k")]), [[Seq(1)]]);
    assert_eq!(reopen(&mut store), Err(StoreFault::Full));
    assert_eq!(store.backend.get(Table::Meta, "k").unwrap(), None);
    assert_eq!(store.backend.failure(), None);
    let mut through = 1;
    while reopen(&mut store).is_err() {
        through += held / 50;
        assert!(through < held / 2, "half of it is free, and it is full");
        store.commit(&[trim("a.b", 1, through)]);
    }
    let more = fill(&mut store);
    assert!(more >= 8, "well and full again after {more} events");
    assert_eq!(reopen(&mut store), Err(StoreFault::Full));
    assert_eq!(store.read("a.b", 1, through, 9999).records.len() as u64, held + more - through);
    assert_eq!(store.keys(Table::Meta), ["l".into()]);
}

pub fn a_full_store_is_not_well_before_there_is_room_for_what_was_refused(new_lab: NewLab) {
    let mut store = narrow(new_lab);
    let held = fill(&mut store);
    store.commit(&[trim("a.b", 1, held / 3)]);
    reopen(&mut store).unwrap();
    assert_eq!(try_append(&mut store, ROOM as usize), Err(StoreFault::Full));
    // What never fits does not keep it full once there is much room.
    store.commit(&[trim("a.b", 1, 3 * held / 4)]);
    reopen(&mut store).unwrap();
    fill(&mut store);
    assert_eq!(try_append(&mut store, 100_000), Err(StoreFault::Full));
    let mut through = 3 * held / 4;
    while reopen(&mut store).is_err() {
        through += 5;
        store.commit(&[trim("a.b", 1, through)]);
    }
    try_append(&mut store, 100_000).unwrap();
}

pub fn a_store_that_was_closed_full_is_full(new_lab: NewLab) {
    let mut store = narrow(new_lab);
    let held = fill(&mut store);
    store.backend.close().unwrap();
    drop(store.backend);
    let mut lab = store.lab;
    let opened = lab.open_narrow(ROOM);
    let mut store = Store::around(lab, opened);
    let more = fill(&mut store);
    assert!(more * 2 < held, "{more} after {held}");
    assert_eq!(reopen(&mut store), Err(StoreFault::Full));
    store.commit(&[trim("a.b", 1, held / 2)]);
    reopen(&mut store).unwrap();
    store.backend.close().unwrap();
    drop(store.backend);
    // With more room all goes on.
    let mut lab = store.lab;
    let opened = lab.open_narrow(4 * ROOM);
    let mut store = Store::around(lab, opened);
    assert!(fill(&mut store) > held);
}
