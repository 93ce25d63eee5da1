//! Ctrl-C, for commands that run long: the first asks them to end in good order, the second ends
//! the process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::exit::{Exit, Stop};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is noted instead of ending the process.
pub fn watch() -> Result<(), Stop> {
    let at_once = i32::from(Exit::Interrupted.code());
    // In this order: the flag is still down when the first signal passes the first handler.
    flag::register_conditional_shutdown(SIGINT, at_once, &ASKED)
        .and_then(|_| flag::register(SIGINT, &ASKED))
        .map(|_| ())
        .map_err(|error: io::Error| Stop::new(Exit::System, format_args!("cannot watch for Ctrl-C: {error}")))
}

/// Whether Ctrl-C came.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
