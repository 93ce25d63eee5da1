//! The log: `simplelog` formats, a thread of its own writes.
//!
//! A stalled terminal or disk must not stall a reactor, so lines go into a bounded queue, and
//! those that find it full are dropped and counted. Levels are set per module. Line breaks inside
//! a message are escaped, so that nothing that a peer sent can make a line of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, LevelPadding, ThreadLogMode, WriteLogger};
use time::macros::format_description;

/// How to log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// The level where no module says otherwise.
    pub level: LevelFilter,
    /// Levels by module: the longest matching prefix counts.
    pub modules: BTreeMap<String, LevelFilter>,
    /// A file to append to; standard error without one.
    pub file: Option<PathBuf>,
    /// Lines that may wait to be written.
    pub queue_lines: usize,
}

/// How long a request to the writing thread waits for room, and for its end.
const PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// The log of the process.
#[derive(Clone)]
pub struct Logger {
    queue: Sender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Starts the writing thread and makes this the log of the process.
pub fn start(settings: LogSettings) -> io::Result<Logger> {
    let target = Target::open(settings.file)?;
    let (send, receive) = bounded(settings.queue_lines.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let logger = Logger { queue: send.clone(), dropped: dropped.clone() };
    let seen = dropped.clone();
    std::thread::Builder::new().name("log".into()).spawn(move || write(&receive, target, &seen))?;
    let most = settings.modules.values().copied().chain([settings.level]).max().unwrap_or(settings.level);
    let mut config = ConfigBuilder::new();
    config
        // As many digits in every line, so that columns hold.
        .set_time_format_custom(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .set_thread_level(LevelFilter::Off)
        .set_thread_mode(ThreadLogMode::Names)
        .set_target_level(LevelFilter::Error)
        .set_location_level(LevelFilter::Off)
        .set_level_padding(LevelPadding::Right);
    let lines = Lines { queue: send, dropped, line: Vec::new() };
    let inner = WriteLogger::new(most, config.build(), lines);
    let filter = ByModule { inner, level: settings.level, modules: settings.modules };
    log::set_boxed_logger(Box::new(filter)).map_err(io::Error::other)?;
    log::set_max_level(most);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("a panic at {place}: {}", panic.payload_as_str().unwrap_or("no text"));
    }));
    Ok(logger)
}

impl Logger {
    /// Opens the file again, after it was moved away.
    pub fn reopen(&self) {
        // The asker can wait for room, but not for ever: the disk may be what stalls.
        let _ = self.queue.send_timeout(Message::Reopen, PATIENCE);
    }

    /// Waits until everything logged so far is written, for two seconds at most.
    pub fn flush(&self) {
        let (send, receive) = bounded(1);
        if self.queue.send_timeout(Message::Flush(send), PATIENCE).is_ok() {
            let _ = receive.recv_timeout(PATIENCE);
        }
    }

    /// Lines that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Collects what the formatter writes in pieces, and queues whole lines.
struct Lines {
    queue: Sender<Message>,
    dropped: Arc<AtomicU64>,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") && self.queue.try_send(Message::Line(std::mem::take(&mut self.line))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decides by module, and escapes line breaks.
struct ByModule {
    inner: Box<WriteLogger<Lines>>,
    level: LevelFilter,
    modules: BTreeMap<String, LevelFilter>,
}

impl ByModule {
    fn level_of(&self, target: &str) -> LevelFilter {
        let under =
            |module: &str| target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        let longest = self.modules.iter().filter(|(module, _)| under(module)).max_by_key(|(module, _)| module.len());
        longest.map_or(self.level, |(_, level)| *level)
    }
}

impl Log for ByModule {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level_of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = record.args().to_string();
        if text.contains(|c: char| c.is_control()) {
            text = text.chars().flat_map(escape).collect();
        }
        let mut escaped = Record::builder();
        escaped.metadata(record.metadata().clone());
        self.inner.log(&escaped.args(format_args!("{text}")).build());
    }

    fn flush(&self) {}
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let (escaped, plain) = if c.is_control() { (Some(c.escape_default()), None) } else { (None, Some(c)) };
    escaped.into_iter().flatten().chain(plain)
}

/// Where lines go.
struct Target {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Target {
    fn open(path: Option<PathBuf>) -> io::Result<Target> {
        let file = path
            .as_ref()
            .map(|path| OpenOptions::new().create(true).append(true).mode(0o640).open(path))
            .transpose()?;
        Ok(Target { path, file })
    }

    fn write(&mut self, bytes: &[u8]) {
        // There is nowhere left to report a failure to.
        let _ = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => io::stderr().lock().write_all(bytes),
        };
    }
}

fn write(queue: &Receiver<Message>, mut target: Target, dropped: &AtomicU64) {
    let mut told = 0;
    // What ended a run of lines, and is not one: it comes next.
    let mut carried = None;
    while let Some(message) = carried.take().or_else(|| queue.recv().ok()) {
        match message {
            Message::Line(mut lines) => {
                // One write for all that waits.
                while lines.len() < 64 * 1024 && carried.is_none() {
                    match queue.try_recv() {
                        Ok(Message::Line(next)) => lines.extend_from_slice(&next),
                        Ok(other) => carried = Some(other),
                        Err(_) => break,
                    }
                }
                target.write(&lines);
            }
            Message::Reopen => match Target::open(target.path.clone()) {
                Ok(again) => target = again,
                Err(error) => target.write(format!("the log could not be opened again: {error}\n").as_bytes()),
            },
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
        let lost = dropped.load(Ordering::Relaxed);
        if lost > told {
            target.write(format!("{} lines of the log were dropped: its queue was full\n", lost - told).as_bytes());
            told = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(modules: &[(&str, LevelFilter)]) -> ByModule {
        let (send, _) = bounded(1);
        let lines = Lines { queue: send, dropped: Arc::default(), line: Vec::new() };
        ByModule {
            inner: WriteLogger::new(LevelFilter::Trace, simplelog::Config::default(), lines),
            level: LevelFilter::Info,
            modules: modules.iter().map(|(module, level)| ((*module).to_owned(), *level)).collect(),
        }
    }

    #[test]
    fn the_longest_module_decides() {
        let filter = filter(&[("hydrogen::sys", LevelFilter::Warn), ("hydrogen::sys::reactor", LevelFilter::Trace)]);
        assert_eq!(filter.level_of("hydrogen::sys::worker"), LevelFilter::Warn);
        assert_eq!(filter.level_of("hydrogen::sys::reactor::accept"), LevelFilter::Trace);
        assert_eq!(filter.level_of("hydrogen::system"), LevelFilter::Info);
    }

    #[test]
    fn line_breaks_are_escaped() {
        let text: String = "a\nINFO forged\r\u{1b}[0m".chars().flat_map(escape).collect();
        assert_eq!(text, "a\\nINFO forged\\r\\u{1b}[0m");
    }

    #[test]
    fn pieces_become_whole_lines_and_a_full_queue_drops_and_counts() {
        let (send, receive) = bounded(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut lines = Lines { queue: send, dropped: dropped.clone(), line: Vec::new() };
        for piece in ["one ", "line\n", "second\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert!(matches!(receive.try_recv(), Ok(Message::Line(line)) if line == b"one line\n"));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_request_behind_lines_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let target = Target::open(Some(path.clone())).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        let (send, receive) = bounded(8);
        let (done, is_done) = bounded(1);
        for message in [
            Message::Line(b"before\n".to_vec()),
            Message::Reopen,
            Message::Line(b"after\n".to_vec()),
            Message::Flush(done),
            Message::Line(b"last\n".to_vec()),
        ] {
            send.send(message).unwrap();
        }
        drop(send);
        write(&receive, target, &AtomicU64::new(0));
        assert_eq!(std::fs::read(&moved).unwrap(), b"before\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"after\nlast\n");
        assert_eq!(is_done.try_recv(), Ok(()));
    }
}
