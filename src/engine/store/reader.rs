//! Answers what only looks: events, values.

use super::backend::Backend;
use super::event::{Answer, StoreEvent};
use super::fault::{StoreError, StoreFault};
use super::request::{Op, Request};
use crate::base::WorkerId;

/// Answers one look at the store: who asked, and the completion. A change is refused; it goes
/// through [`super::Writer::push`]. What was found damaged on the way is still to be told, with
/// [`super::Told::damage`].
pub fn answer(backend: &mut dyn Backend, request: Request) -> (WorkerId, StoreEvent) {
    let result = match request.op {
        Op::Read(read) => backend.read(&read).map(Answer::Page),
        Op::Get { table, key } => backend.get(table, &key).map(Answer::Value),
        Op::Scan { table, prefix, after, limit } => {
            backend.scan(table, &prefix, after.as_deref(), limit).map(Answer::Values)
        }
        Op::Write(_) => Err(StoreError::new(StoreFault::Refused, "a change does not go through the reader")),
    };
    (request.worker, StoreEvent::Done { ticket: request.ticket, result })
}
