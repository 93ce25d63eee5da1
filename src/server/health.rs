//! Whether the threads that a server cannot do without still run.
//!
//! Owns the mark that one of them ended without having been told to. What follows from that is
//! the owner's to say: the daemon ends, so that its service manager starts it anew.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What is done when a thread is lost.
pub(super) type OnLoss = Box<dyn Fn() + Send + Sync>;

/// The health of one server's threads.
pub(super) struct Health {
    lost: AtomicBool,
    on_loss: Option<OnLoss>,
}

impl Health {
    pub(super) fn new(on_loss: Option<OnLoss>) -> Health {
        Health { lost: AtomicBool::new(false), on_loss }
    }

    /// Whether no thread was lost.
    pub(super) fn is_good(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }

    /// Runs what a thread is for. An error or a panic is a loss; its regular end is none.
    fn watch(&self, name: &str, run: impl FnOnce() -> io::Result<()>) {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => log::error!("thread={name} ended: {error}"),
            Err(_) => log::error!("thread={name} ended with a panic"),
        }
        self.lost.store(true, Ordering::Relaxed);
        if let Some(on_loss) = &self.on_loss {
            on_loss();
        }
    }
}

/// Starts a thread that the server cannot do without.
pub(super) fn spawn(
    name: &str,
    health: &Arc<Health>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (name, health) = (name.to_owned(), health.clone());
    std::thread::Builder::new().name(name.clone()).spawn(move || health.watch(&name, run))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn an_error_or_a_panic_is_a_loss_and_an_end_is_none() {
        fn panics() -> io::Result<()> {
            panic!("a defect")
        }
        type Run = fn() -> io::Result<()>;
        let runs: [(Run, bool); 3] =
            [(|| Ok(()), true), (|| Err(io::Error::other("the poll failed")), false), (panics, false)];
        for (run, is_good) in runs {
            let told = Arc::new(AtomicUsize::new(0));
            let seen = told.clone();
            let on_loss: OnLoss = Box::new(move || {
                seen.fetch_add(1, Ordering::Relaxed);
            });
            let health = Arc::new(Health::new(Some(on_loss)));
            spawn("reactor-0", &health, run).unwrap().join().unwrap();
            assert_eq!(health.is_good(), is_good);
            assert_eq!(told.load(Ordering::Relaxed), usize::from(!is_good));
        }
    }
}
