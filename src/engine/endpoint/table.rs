//! The slots of an endpoint: a place is used again, under another generation.

use crate::base::{ConnId, Mono, ReactorId};
use crate::engine::conn::Connection;
use crate::engine::ws::deflate::Form;

/// One connection and what the endpoint remembers of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub conn: Connection,
    /// The earliest wake-up that stands for it.
    pub wake_at: Mono,
    /// It waits in the list of those that have something to write.
    pub dirty: bool,
    /// It was found that it may not be read from.
    pub held: bool,
    /// It was found that its worker takes no more.
    pub stalled: bool,
    /// Its worker knows that it is closing.
    pub told: bool,
    /// It waits in the list of those that are over.
    pub finished: bool,
}

impl Slot {
    pub(super) const NO_WAKE: Mono = Mono(u64::MAX);

    /// Whether it belongs into the list of those that have something to write, and is not in it.
    pub(super) fn wants_write(&self, waiting: usize) -> bool {
        waiting > 0 && !self.dirty && !self.conn.outbound.is_blocked()
    }
}

impl super::Endpoint {
    /// Bytes of the record of one connection, what the connection's queues and buffers hold not counted.
    pub const SLOT_BYTES: usize = size_of::<Slot>();
}

#[derive(Debug)]
struct Place {
    generation: u32,
    /// What [`Connection::takes_straight`] says, so that a broadcast need not look at the connection.
    is_straight: bool,
    /// The form in which compressed messages go to it.
    form: Option<Form>,
    slot: Option<Box<Slot>>,
}

/// Connections by slot.
#[derive(Debug)]
pub(super) struct Table {
    reactor: ReactorId,
    places: Vec<Place>,
    free: Vec<usize>,
    len: usize,
}

impl Table {
    pub(super) fn new(reactor: ReactorId) -> Table {
        Table { reactor, places: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(super) fn reactor(&self) -> ReactorId {
        self.reactor
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of the next connection; its place is taken by [`Table::fill`].
    pub(super) fn reserve(&mut self) -> ConnId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, is_straight: false, form: None, slot: None });
            self.places.len() - 1
        });
        ConnId::new(self.reactor, place, self.places[place].generation)
    }

    pub(super) fn fill(&mut self, id: ConnId, conn: Connection) {
        let slot = Slot {
            conn,
            wake_at: Slot::NO_WAKE,
            dirty: false,
            held: false,
            stalled: false,
            finished: false,
            told: false,
        };
        self.places[id.slot()].slot = Some(Box::new(slot));
        self.len += 1;
    }

    /// Whether there is this connection, and an event may be written to its socket past the queue.
    pub(super) fn is_straight(&self, id: ConnId) -> bool {
        let Some(place) = self.places.get(id.slot()) else { return false };
        let is_straight = place.is_straight && place.generation == id.generation() && id.reactor() == self.reactor;
        debug_assert_eq!(is_straight, self.get(id).is_some_and(Connection::takes_straight));
        is_straight
    }

    /// The form in which compressed messages go to a connection that is there.
    pub(super) fn form(&self, id: ConnId) -> Option<Form> {
        self.places.get(id.slot()).and_then(|place| place.form)
    }

    /// Takes note of what a step has changed: to be called after each.
    pub(super) fn stepped(&mut self, id: ConnId) {
        if let Some(place) = self.places.get_mut(id.slot()) {
            let conn = place.slot.as_ref().map(|slot| &slot.conn);
            place.is_straight = conn.is_some_and(Connection::takes_straight);
            place.form = conn.and_then(Connection::deflate);
        }
    }

    /// The slot, unless the id is of another time or another reactor.
    pub(super) fn slot(&mut self, id: ConnId) -> Option<&mut Slot> {
        let place = self.places.get_mut(id.slot())?;
        if place.generation != id.generation() || id.reactor() != self.reactor {
            return None;
        }
        place.slot.as_deref_mut()
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Connection> {
        let place = self.places.get(id.slot())?;
        if place.generation != id.generation() || id.reactor() != self.reactor {
            return None;
        }
        place.slot.as_deref().map(|slot| &slot.conn)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.slot(id)?;
        let place = &mut self.places[id.slot()];
        place.generation = place.generation.wrapping_add(1);
        place.is_straight = false;
        self.free.push(id.slot());
        self.len -= 1;
        place.slot.take().map(|slot| slot.conn)
    }

    /// The ids of all connections.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.places.iter().filter_map(|place| place.slot.as_ref().map(|slot| slot.conn.id())).collect()
    }
}
