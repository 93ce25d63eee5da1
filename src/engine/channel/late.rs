//! Answers and events from other threads than the worker's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Code, Error, WorkerId};
use crate::engine::topic::{PatternError, is_topic};
use crate::engine::work::{Completion, Emission};

/// Carries late answers to the worker whose command they answer.
pub trait CompletionSink: Send + Sync {
    /// Hands over one answer; may wait for room.
    fn complete(&self, worker: WorkerId, completion: Completion);
}

/// Carries events to the worker that owns their topic.
pub trait EventSink: Send + Sync {
    /// Hands over one event; may wait for room.
    fn emit(&self, emission: Emission);
}

/// The right to answer one command, once. Dropped unused, it answers with an `internal` error, so
/// that every command gets its response.
pub struct Responder {
    worker: WorkerId,
    ticket: u64,
    sink: Option<Arc<dyn CompletionSink>>,
}

impl Responder {
    /// For the worker: a responder for one of its commands.
    pub fn new(worker: WorkerId, ticket: u64, sink: Arc<dyn CompletionSink>) -> Responder {
        Responder { worker, ticket, sink: Some(sink) }
    }

    /// Answers with success; `data` is one JSON value, encoded.
    pub fn done(self, data: impl Into<Box<str>>) {
        self.finish(Ok(data.into()));
    }

    /// Answers with an error.
    pub fn failed(self, error: Error) {
        self.finish(Err(error));
    }

    /// Answers with either.
    pub fn finish(mut self, result: Result<Box<str>, Error>) {
        if let Some(sink) = self.sink.take() {
            sink.complete(self.worker, Completion { ticket: self.ticket, result });
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            let result = Err(Error::new(Code::Internal, "the handler ended without an answer"));
            sink.complete(self.worker, Completion { ticket: self.ticket, result });
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("worker", &self.worker).field("ticket", &self.ticket).finish()
    }
}

/// Emits the events of one channel. Cheap to clone.
#[derive(Clone)]
pub struct Emitter {
    channel: Arc<str>,
    sink: Arc<dyn EventSink>,
}

impl Emitter {
    /// An emitter for the topics of `channel`.
    pub fn new(channel: &str, sink: Arc<dyn EventSink>) -> Emitter {
        Emitter { channel: channel.into(), sink }
    }

    /// Emits an event on `<channel>.<action>`; `payload` is one JSON value, encoded. With `retain`
    /// it is kept for those who subscribe later.
    pub fn emit(&self, action: &str, payload: impl Into<Bytes>, retain: bool) -> Result<(), PatternError> {
        let topic = format!("{}.{action}", self.channel);
        is_topic(&topic)?;
        self.sink.emit(Emission { topic: topic.into(), payload: payload.into(), retain });
        Ok(())
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Emitter({})", self.channel)
    }
}
