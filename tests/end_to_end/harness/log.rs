//! What servers of this process log as errors, and silence about panics that a test means to have.

use std::sync::Once;

use parking_lot::Mutex;

/// Stands in the text of each panic that a test causes in a handler.
pub const PURPOSE: &str = "on purpose";

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Catcher;

impl log::Log for Catcher {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Catches the log of this process from now on.
pub fn catch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(Catcher)).unwrap();
        log::set_max_level(log::LevelFilter::Error);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.contains(PURPOSE)) {
                usual(panic);
            }
        }));
    });
}

/// The first error line that holds this text.
pub fn logged(text: &str) -> Option<String> {
    LINES.lock().iter().find(|line| line.contains(text)).cloned()
}
