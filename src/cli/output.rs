//! Standard output and standard error. A reader that closed its end of a pipe is no error: the
//! command stops, silently and with success, as `head` expects it.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use super::exit::{Exit, Stop};

/// As much as a busy reader takes in one piece.
const BUFFER: usize = 64 * 1024;

/// Standard output, by lines. Nothing is seen before [`Lines::flush`].
pub struct Lines {
    out: BufWriter<StdoutLock<'static>>,
}

impl Lines {
    /// Takes standard output.
    pub fn new() -> Lines {
        Lines { out: BufWriter::with_capacity(BUFFER, io::stdout().lock()) }
    }

    /// Adds the parts as one line.
    pub fn line(&mut self, parts: &[&str]) -> Result<(), Stop> {
        for part in parts {
            self.out.write_all(part.as_bytes()).map_err(stop)?;
        }
        self.out.write_all(b"\n").map_err(stop)
    }

    /// Hands everything to the reader.
    pub fn flush(&mut self) -> Result<(), Stop> {
        self.out.flush().map_err(stop)
    }
}

/// Writes a text and a line feed to standard output, at once.
pub fn print(text: impl Display) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(stop)
}

/// Writes a line to standard error. If that is closed, there is nobody to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn stop(error: io::Error) -> Stop {
    match error.kind() {
        ErrorKind::BrokenPipe => Stop::silent(Exit::Ok),
        _ => Stop::new(Exit::System, format_args!("cannot write to standard output: {error}")),
    }
}
