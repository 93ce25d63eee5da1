//! The ways from service threads back to the workers.

use std::sync::Arc;
use std::time::Duration;

use crate::base::WorkerId;
use crate::dialect::hydrogen::{Peer, Reports};
use crate::engine::channel::{CompletionSink, EventSink, Responder};
use crate::engine::topic::owner;
use crate::engine::work::{Completion, Emission, Request};
use crate::sys::mailbox::{ToWorker, WorkerSender};
use crossbeam_channel::Sender;

/// The workers' queues, as the sinks that channels and services know.
pub(super) struct Workers(pub Arc<Vec<WorkerSender<Peer>>>);

impl CompletionSink for Workers {
    fn complete(&self, worker: WorkerId, completion: Completion) {
        if let Some(queue) = self.0.get(usize::from(worker.0)) {
            deliver(queue, ToWorker::Completion(completion));
        }
    }
}

impl EventSink for Workers {
    fn emit(&self, emission: Emission) {
        let worker = owner(&emission.topic, self.0.len());
        if let Some(queue) = self.0.get(usize::from(worker.0)) {
            deliver(queue, ToWorker::Emission(emission));
        }
    }
}

/// How long a thread of a channel waits for room in a worker's queue.
const PATIENCE: Duration = Duration::from_millis(100);

/// A handler may answer or emit on the worker's own thread, which must not wait for room in its
/// own queue; a queue that full has its commands' deadlines to fall back on.
fn deliver(queue: &WorkerSender<Peer>, message: ToWorker<Peer>) {
    let patience = if queue.is_own_thread() { Duration::ZERO } else { PATIENCE };
    if !queue.send_within(message, patience) {
        log::warn!("a worker's queue stayed full: an answer or event for it is lost");
    }
}

/// What the status service is asked.
pub(super) enum StatusJob {
    /// A plain HTTP request.
    Http(Box<Request>),
    /// A status report.
    Report {
        /// In the form of Hydrogen's own clients.
        older: bool,
        /// Where it goes.
        responder: Responder,
    },
}

/// The status service's queue, as the dialect knows it.
pub(super) struct StatusQueue(pub Sender<StatusJob>);

impl Reports for StatusQueue {
    fn status(&self, older: bool, responder: Responder) {
        if let Err(error) = self.0.try_send(StatusJob::Report { older, responder })
            && let StatusJob::Report { responder, .. } = error.into_inner()
        {
            let busy = crate::base::Error::new(crate::base::Code::Unavailable, "too many status requests at once");
            responder.failed(busy.retry_after_ms(1000));
        }
    }
}
