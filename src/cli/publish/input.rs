//! Lines of standard input, read by a thread of their own: a connection cannot be looked after
//! while a read of the terminal or a pipe blocks.

use std::io::{self, BufRead, Read as _};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::cli::client::MESSAGE_BYTES;

/// A line with its number, or why there are no more.
type Line = (u64, Result<String, String>);

pub(super) struct Input {
    lines: Receiver<Line>,
    /// Taken while waiting.
    next: Option<Line>,
    is_at_end: bool,
}

impl Input {
    /// Starts reading, at most `ahead` lines ahead.
    pub(super) fn start(ahead: usize) -> Input {
        let (sender, lines) = bounded(ahead);
        // It ends with its input, or with the process if the input never ends.
        thread::spawn(move || read(io::stdin().lock(), &sender));
        Input { lines, next: None, is_at_end: false }
    }

    /// The next line that is here.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        if self.next.is_some() {
            return self.next.take();
        }
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.is_at_end = true;
                None
            }
        }
    }

    /// Whether every line was given.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Waits for a line, or the end, no longer than that.
    pub(super) fn wait(&mut self, longest: Duration) {
        if self.next.is_none() {
            match self.lines.recv_timeout(longest) {
                Ok(line) => self.next = Some(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.is_at_end = true,
            }
        }
    }
}

fn read(mut input: impl BufRead, lines: &Sender<Line>) {
    for number in 1.. {
        let Some(line) = next(&mut input).transpose() else { return };
        let is_last = line.is_err();
        // Nobody takes lines after an error of the server.
        if lines.send((number, line)).is_err() || is_last {
            return;
        }
    }
}

/// One line without its end; `None` at the end of the input.
fn next(input: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    let bound = MESSAGE_BYTES as u64 + 1;
    let len = input.take(bound).read_until(b'\n', &mut line).map_err(|error| format!("cannot be read: {error}"))?;
    if len == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if len as u64 == bound {
        return Err(format!("longer than {MESSAGE_BYTES} bytes"));
    }
    String::from_utf8(line).map(Some).map_err(|_| "not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let (sender, receiver) = bounded(100);
        read(bytes, &sender);
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn lines_lose_their_ends_and_the_last_needs_none() {
        let line = |number, text: &str| (number, Ok(text.to_owned()));
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb\r\nc"), [line(1, "a"), line(2, ""), line(3, "b"), line(4, "c")]);
    }

    #[test]
    fn bad_bytes_end_the_input_with_a_reason() {
        assert_eq!(lines(b"a\n\xff\nb\n"), [(1, Ok("a".into())), (2, Err("not UTF-8".into()))]);
        assert_eq!(lines(&vec![b'x'; MESSAGE_BYTES + 2]), [(1, Err("longer than 67108864 bytes".into()))]);
    }
}
