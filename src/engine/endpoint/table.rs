//! The slots of an endpoint: a place is used again, under another generation.

use crate::base::{ConnId, Mono, ReactorId};
use crate::engine::conn::Connection;

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
}

impl super::Endpoint {
    /// Bytes of the record of one connection, what the connection's queues and buffers hold not counted.
    pub const SLOT_BYTES: usize = size_of::<Slot>();
}

#[derive(Debug)]
struct Place {
    generation: u32,
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

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of the next connection; its place is taken by [`Table::fill`].
    pub(super) fn reserve(&mut self) -> ConnId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, slot: None });
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
        self.free.push(id.slot());
        self.len -= 1;
        place.slot.take().map(|slot| slot.conn)
    }

    /// The ids of all connections.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.places.iter().filter_map(|place| place.slot.as_ref().map(|slot| slot.conn.id())).collect()
    }
}
