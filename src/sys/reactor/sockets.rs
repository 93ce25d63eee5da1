//! The sockets of a reactor, at the places of their connections.

use super::socket::Socket;
use crate::base::ConnId;

/// Sockets by slot; each remembers the generation it belongs to.
#[derive(Default)]
pub(super) struct Sockets {
    places: Vec<Option<(u32, Socket)>>,
}

impl Sockets {
    pub(super) fn put(&mut self, id: ConnId, socket: Socket) {
        if self.places.len() <= id.slot() {
            self.places.resize_with(id.slot() + 1, || None);
        }
        self.places[id.slot()] = Some((id.generation(), socket));
    }

    pub(super) fn of(&mut self, id: ConnId) -> Option<&mut Socket> {
        match self.places.get_mut(id.slot())? {
            Some((generation, socket)) if *generation == id.generation() => Some(socket),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, id: ConnId) -> Option<Socket> {
        self.of(id)?;
        self.places.get_mut(id.slot())?.take().map(|(_, socket)| socket)
    }
}
