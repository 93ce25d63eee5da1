//! Service threads behind a bounded queue.
//!
//! Owns the threads and what waits for them. A full queue refuses at once; nothing in it is lost:
//! what still waits when the pool stops is handed back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Why a pool takes no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// So much waits already.
    Full,
    /// It has stopped.
    Stopped,
    /// None of its threads could be started.
    NoThreads,
}

/// Threads that do one kind of work, first come, first served.
pub(super) struct Pool<T> {
    shared: Arc<Shared<T>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    has_threads: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    capacity: usize,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    is_stopped: bool,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts `threads` threads that call `work`, and a queue for `capacity` pieces of it.
    pub(super) fn new(name: &'static str, threads: usize, capacity: usize, work: fn(T)) -> Pool<T> {
        let queue = Queue { waiting: VecDeque::with_capacity(capacity), is_stopped: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new(), capacity });
        let start = |number: usize| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            match thread.spawn(move || shared.serve(work)) {
                Ok(thread) => Some(thread),
                Err(error) => {
                    log::error!("thread={name}-{number} cannot be started: {error}");
                    None
                }
            }
        };
        let threads: Vec<_> = (0..threads).filter_map(start).collect();
        let has_threads = !threads.is_empty();
        Pool { shared, threads: Mutex::new(threads), has_threads }
    }

    /// Queues what `make` makes. It is called only if there is room.
    pub(super) fn submit(&self, make: impl FnOnce() -> T) -> Result<(), Refusal> {
        if !self.has_threads {
            return Err(Refusal::NoThreads);
        }
        let mut queue = self.shared.queue.lock();
        if queue.is_stopped {
            return Err(Refusal::Stopped);
        }
        if queue.waiting.len() >= self.shared.capacity {
            return Err(Refusal::Full);
        }
        queue.waiting.push_back(make());
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Takes no more work, and hands back what no thread has begun. Threads end once they have
    /// finished what they do.
    pub(super) fn stop(&self) -> Vec<T> {
        let mut queue = self.shared.queue.lock();
        queue.is_stopped = true;
        let left = queue.waiting.drain(..).collect();
        drop(queue);
        self.shared.changed.notify_all();
        left
    }

    /// Waits for the threads to end, after [`Pool::stop`].
    pub(super) fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of the work was caught and logged; there is nothing else to hear.
            let _ = thread.join();
        }
    }
}

impl<T> Shared<T> {
    fn serve(&self, work: fn(T)) {
        while let Some(piece) = self.next() {
            // A defect costs the one command, whose responder answers when it is dropped.
            if catch_unwind(AssertUnwindSafe(|| work(piece))).is_err() {
                log::error!("a command of the network channel panicked");
            }
        }
    }

    fn next(&self) -> Option<T> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_stopped {
                return None;
            }
            if let Some(piece) = queue.waiting.pop_front() {
                return Some(piece);
            }
            self.changed.wait(&mut queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, bounded};
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    /// Work that says that it began, and then waits to be let go.
    type Piece = (Sender<()>, Receiver<()>);

    fn hold((begun, go): Piece) {
        begun.send(()).unwrap();
        let _ = go.recv_timeout(SOON);
    }

    #[test]
    fn a_full_queue_refuses_and_makes_nothing() {
        let pool = Pool::new("test", 1, 1, hold);
        let (begun, has_begun) = bounded(4);
        let (go, gone) = bounded(4);
        let piece = || (begun.clone(), gone.clone());
        pool.submit(piece).unwrap();
        has_begun.recv_timeout(SOON).unwrap();
        pool.submit(piece).unwrap();
        assert_eq!(pool.submit(|| panic!("made for nothing")), Err(Refusal::Full));

        go.send(()).unwrap();
        has_begun.recv_timeout(SOON).unwrap();
        pool.submit(piece).unwrap();
        assert_eq!(pool.stop().len(), 1, "what waits is handed back");
        assert_eq!(pool.submit(piece), Err(Refusal::Stopped));
        go.send(()).unwrap();
        pool.join();
    }

    #[test]
    fn a_panic_costs_one_piece_and_not_the_thread() {
        let pool =
            Pool::new("test", 1, 4, |done: Option<Sender<()>>| done.expect("a piece that panics").send(()).unwrap());
        let (done, is_done) = bounded(1);
        pool.submit(|| None).unwrap();
        pool.submit(|| Some(done)).unwrap();
        is_done.recv_timeout(SOON).unwrap();
        pool.stop();
        pool.join();
    }

    #[test]
    fn without_threads_nothing_is_taken() {
        let pool = Pool::new("test", 0, 4, drop::<u8>);
        assert_eq!(pool.submit(|| 1), Err(Refusal::NoThreads));
    }
}
