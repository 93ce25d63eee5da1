//! Watching the interfaces: snapshots are compared, and each difference becomes an event.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::interfaces::{Address, Link, read_links};
use crate::engine::channel::Emitter;

/// The events' action: they are on the topic `network.interface_changed`.
const ACTION: &str = "interface_changed";
/// Snapshots are not taken more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What an interface went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is there. Its addresses follow in events of their own.
    Added,
    /// It is there no more. Its addresses went before it, in events of their own.
    Removed,
    /// Its link came.
    Up,
    /// Its link went.
    Down,
    /// It has one more address.
    AddressAdded,
    /// It has one address less.
    AddressRemoved,
}

/// One event's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The interface's name.
    pub interface: String,
    /// The kernel's number for it.
    pub index: Option<u32>,
    /// What happened.
    pub change: Kind,
    /// Whether it is up now.
    pub up: bool,
    /// Which address, if it is about one.
    #[serde(flatten)]
    pub address: Option<Address>,
}

impl Change {
    fn new(link: &Link, change: Kind, address: Option<Address>) -> Change {
        let up = link.up && change != Kind::Removed;
        Change { interface: link.name.clone(), index: link.index, change, up, address }
    }
}

/// What changed between two snapshots, each ordered by name: interface by interface.
pub fn changes(before: &[Link], after: &[Link]) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => old.name.cmp(&new.name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            // The same name with another number is another interface.
            (Some(old), Some(new)) if old.index == new.index => changed(old, new, &mut changes),
            (gone, come) => {
                if let Some(link) = gone {
                    let removed = |address| Change::new(link, Kind::AddressRemoved, Some(address));
                    changes.extend(link.addresses.iter().copied().map(removed));
                    changes.push(Change::new(link, Kind::Removed, None));
                }
                if let Some(link) = come {
                    changes.push(Change::new(link, Kind::Added, None));
                    let added = |address| Change::new(link, Kind::AddressAdded, Some(address));
                    changes.extend(link.addresses.iter().copied().map(added));
                }
            }
        }
    }
}

fn changed(old: &Link, new: &Link, changes: &mut Vec<Change>) {
    if old.up != new.up {
        changes.push(Change::new(new, if new.up { Kind::Up } else { Kind::Down }, None));
    }
    let removed = old.addresses.iter().filter(|address| !new.addresses.contains(address));
    changes.extend(removed.map(|address| Change::new(new, Kind::AddressRemoved, Some(*address))));
    let added = new.addresses.iter().filter(|address| !old.addresses.contains(address));
    changes.extend(added.map(|address| Change::new(new, Kind::AddressAdded, Some(*address))));
}

/// Where snapshots come from.
pub(super) type Source = Box<dyn FnMut() -> io::Result<Vec<Link>> + Send>;

/// The watching thread.
pub(super) struct Watcher {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Stop {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits until then; true if it is to stop.
    fn wait_until(&self, at: Instant) -> bool {
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped && !self.changed.wait_until(&mut is_stopped, at).timed_out() {}
        *is_stopped
    }
}

impl Watcher {
    /// Watches this machine's interfaces.
    pub(super) fn start(interval: Duration, emitter: Emitter) -> io::Result<Watcher> {
        Watcher::of(Box::new(read_links), interval.max(INTERVAL_MIN), emitter)
    }

    /// Watches what `source` says.
    pub(super) fn of(mut source: Source, interval: Duration, emitter: Emitter) -> io::Result<Watcher> {
        let stop = Arc::new(Stop::default());
        let watched = stop.clone();
        let thread = std::thread::Builder::new().name("network-watch".into());
        let thread = thread.spawn(move || watch(&mut source, interval, &emitter, &watched))?;
        Ok(Watcher { stop, thread })
    }

    /// Ends the thread. It waits for a snapshot under way, never for the interval.
    pub(super) fn stop(self) {
        *self.stop.is_stopped.lock() = true;
        self.stop.changed.notify_all();
        if self.thread.join().is_err() {
            log::error!("the watcher of the network interfaces panicked");
        }
    }
}

fn watch(source: &mut Source, interval: Duration, emitter: &Emitter, stop: &Stop) {
    let mut last: Option<Vec<Link>> = None;
    let mut is_failing = false;
    loop {
        match source() {
            Ok(links) => {
                is_failing = false;
                for change in last.iter().flat_map(|last| changes(last, &links)) {
                    emit(emitter, &change);
                }
                last = Some(links);
            }
            // What was seen last is kept: an unreadable machine has not lost its interfaces.
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    log::warn!("the network interfaces cannot be read: {error}");
                }
            }
        }
        if stop.wait_until(Instant::now() + interval) {
            return;
        }
    }
}

fn emit(emitter: &Emitter, change: &Change) {
    log::debug!("interface={} change={:?}", change.interface, change.change);
    match serde_json::to_vec(change) {
        Ok(payload) => {
            if let Err(error) = emitter.emit(ACTION, payload, false) {
                log::error!("the event {ACTION} cannot be emitted: {error}");
            }
        }
        Err(error) => log::error!("the event {ACTION} cannot be encoded: {error}"),
    }
}

#[cfg(test)]
mod tests;
