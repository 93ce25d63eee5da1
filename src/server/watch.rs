//! The service manager's watchdog: fed only while every reactor and worker answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::dialect::hydrogen::Peer;
use crate::sys::mailbox::{ReactorSender, ToReactor, ToWorker, WorkerSender};

/// Asks every thread whether it lives, and tells the service manager while all of them do.
pub(super) struct Watchdog {
    interval: Duration,
    next: Instant,
    /// Answers to the question under way, and how many there must be.
    answers: Arc<AtomicUsize>,
    asked: usize,
}

impl Watchdog {
    /// A watchdog, if the service manager asks for one.
    pub(super) fn from_environment() -> Option<Watchdog> {
        // Fed twice in its time, so that one late answer does not end the server.
        let interval = sd_notify::watchdog_enabled()? / 2;
        Some(Watchdog { interval, next: Instant::now(), answers: Arc::default(), asked: 0 })
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn on_time(&mut self, now: Instant, reactors: &[ReactorSender], workers: &[WorkerSender<Peer>]) {
        if now < self.next {
            return;
        }
        self.next = now + self.interval;
        if self.answers.load(Ordering::Relaxed) >= self.asked {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            log::error!("a reactor or worker did not answer for {} ms", self.interval.as_millis());
        }
        self.answers = Arc::default();
        self.asked = reactors.len() + workers.len();
        for reactor in reactors {
            if reactor.try_send(ToReactor::Check(self.answers.clone())).is_ok() {
                reactor.wake();
            }
        }
        for worker in workers {
            if worker.try_send(ToWorker::Check(self.answers.clone())).is_ok() {
                worker.wake();
            }
        }
    }
}
