//! What the workers are to be told, and in which order.

use super::backend::Backend;
use super::event::{Answer, StoreEvent};
use super::fault::StoreError;
use crate::base::WorkerId;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every worker.
    All,
    /// One worker.
    One(WorkerId),
}

/// What the workers are to be told. Each hears what concerns it in this order.
#[derive(Debug, Default)]
pub struct Told {
    events: Vec<(To, StoreEvent)>,
}

impl Told {
    /// Nothing yet.
    pub fn new() -> Told {
        Told::default()
    }

    /// Takes out all that is to be told, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (To, StoreEvent)> {
        self.events.drain(..)
    }

    /// Something that every worker hears.
    pub fn all(&mut self, event: StoreEvent) {
        self.events.push((To::All, event));
    }

    /// Something that one worker hears.
    pub fn one(&mut self, worker: WorkerId, event: StoreEvent) {
        self.events.push((To::One(worker), event));
    }

    /// A request's completion.
    pub fn done(&mut self, worker: WorkerId, ticket: u64, result: Result<Answer, StoreError>) {
        self.one(worker, StoreEvent::Done { ticket, result });
    }

    /// What the backend found damaged since it was asked last.
    pub fn damage(&mut self, backend: &mut dyn Backend) {
        let damage = backend.take_damage();
        if !damage.is_empty() {
            self.all(StoreEvent::Damaged(damage.into()));
        }
    }

    /// What waits to be told, in order.
    pub fn events(&self) -> &[(To, StoreEvent)] {
        &self.events
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
