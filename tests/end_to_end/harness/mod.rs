//! What the scenarios stand on: variants, deadlines, a server to start, a client, a channel.

mod certificate;
mod client;
mod lab;
mod log;
mod scene;
mod stream;

pub use client::{Client, Refusal, command, topic_of};
pub use lab::Lab;
pub use log::logged;
pub use scene::{Scene, Stage, wall};

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long one expected thing may take. Far more than it does: only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How long one test may take.
const TEST_DEADLINE: Duration = Duration::from_secs(50);

/// How a server is run.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Over TLS.
    pub tls: bool,
    /// Reactor threads.
    pub reactors: usize,
    /// Worker threads.
    pub workers: usize,
}

impl Variant {
    pub const PLAIN_ONE: Variant = Variant { tls: false, reactors: 1, workers: 1 };
    pub const PLAIN_SEVERAL: Variant = Variant { tls: false, reactors: 2, workers: 3 };
    pub const TLS_ONE: Variant = Variant { tls: true, reactors: 1, workers: 1 };
    pub const TLS_SEVERAL: Variant = Variant { tls: true, reactors: 2, workers: 3 };
}

/// Runs each scenario in all variants, as a test of its own.
macro_rules! scenarios {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::harness::{Variant, run};

            #[test]
            fn plain_one() {
                run(Variant::PLAIN_ONE, super::$name);
            }

            #[test]
            fn plain_several() {
                run(Variant::PLAIN_SEVERAL, super::$name);
            }

            #[test]
            fn tls_one() {
                run(Variant::TLS_ONE, super::$name);
            }

            #[test]
            fn tls_several() {
                run(Variant::TLS_SEVERAL, super::$name);
            }
        }
    )*};
}
pub(crate) use scenarios;

/// Runs a scenario, and fails if it does not end in time.
pub fn run(variant: Variant, scenario: fn(Variant)) {
    log::catch();
    let (ended, end) = channel::<()>();
    let thread = thread::spawn(move || {
        // Dropped when the scenario ends, in whichever way.
        let _ended = ended;
        scenario(variant);
    });
    match end.recv_timeout(TEST_DEADLINE) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        Err(RecvTimeoutError::Timeout) => panic!("{variant:?}: not done after {TEST_DEADLINE:?}"),
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(3));
    }
}
