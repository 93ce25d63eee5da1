//! The ways from service threads back to the workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::shard::Peer;
use crate::base::WorkerId;
use crate::dialect::hydrogen::{DeliveryFigures, Reports};
use crate::engine::channel::{CompletionSink, EventSink, Responder};
use crate::engine::topic::owner;
use crate::engine::work::{Completion, Emission, Request};
use crate::sys::mailbox::{ToWorker, WorkerSender, is_worker_thread};
use crossbeam_channel::Sender;
use parking_lot::Mutex;

/// The workers' queues, as the sinks that channels and services know.
pub(super) struct Workers {
    pub queues: Arc<Vec<WorkerSender<Peer>>>,
    /// Answers and events that found no room.
    pub lost: Arc<AtomicU64>,
}

impl CompletionSink for Workers {
    fn complete(&self, worker: WorkerId, completion: Completion) {
        if let Some(queue) = self.queues.get(usize::from(worker.0)) {
            self.deliver(queue, ToWorker::Completion(completion));
        }
    }
}

impl EventSink for Workers {
    fn emit(&self, emission: Emission) {
        let worker = owner(&emission.topic, self.queues.len());
        if let Some(queue) = self.queues.get(usize::from(worker.0)) {
            self.deliver(queue, ToWorker::Emission(emission));
        }
    }
}

/// How long a thread of a channel waits for room in a worker's queue.
const PATIENCE: Duration = Duration::from_millis(100);

impl Workers {
    /// A handler may answer or emit on a worker's thread, which must wait for room neither in its
    /// own queue nor in another's; a queue that full has its commands' deadlines to fall back on.
    fn deliver(&self, queue: &WorkerSender<Peer>, message: ToWorker<Peer>) {
        let patience = if is_worker_thread() { Duration::ZERO } else { PATIENCE };
        if !queue.send_within(message, patience) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            log::warn!("a worker's queue stayed full: an answer or event for it is lost");
        }
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

/// What the workers tell of their guaranteed delivery, by worker.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<WorkerId, DeliveryFigures>>);

impl Board {
    /// What was told last.
    pub(super) fn read(&self) -> Vec<DeliveryFigures> {
        self.0.lock().values().cloned().collect()
    }
}

/// The status service's queue, as the dialect knows it.
pub(super) struct StatusQueue {
    pub jobs: Sender<StatusJob>,
    pub board: Arc<Board>,
}

impl Reports for StatusQueue {
    fn status(&self, older: bool, responder: Responder) {
        if let Err(error) = self.jobs.try_send(StatusJob::Report { older, responder })
            && let StatusJob::Report { responder, .. } = error.into_inner()
        {
            let busy = crate::base::Error::new(crate::base::Code::Unavailable, "too many status requests at once");
            responder.failed(busy.retry_after_ms(1000));
        }
    }

    fn delivery(&self, worker: WorkerId, figures: DeliveryFigures) {
        self.board.0.lock().insert(worker, figures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mailbox::worker_mailbox;

    #[test]
    fn a_worker_thread_does_not_wait_for_another_and_the_loss_is_counted() {
        let (own, own_inbox) = worker_mailbox();
        let (other, _other_inbox) = worker_mailbox();
        while other.try_send(ToWorker::Stop).is_ok() {}
        let lost = Arc::new(AtomicU64::new(0));
        let sink = Workers { queues: Arc::new(vec![own, other]), lost: lost.clone() };
        let emit = move || {
            let before = std::time::Instant::now();
            sink.complete(WorkerId(1), Completion { ticket: 1, result: Ok("{}".into()) });
            before.elapsed()
        };
        let on_worker = std::thread::spawn(move || {
            own_inbox.attach();
            emit()
        });
        assert!(on_worker.join().unwrap() < PATIENCE);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }
}
