//! Running the program, with nothing of this machine's environment, and reading what it said.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Fails the test unless it ended with this code.
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

/// The program in an empty environment and a folder of no consequence.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydrogen"));
    command.args(args).env_clear().current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Ran {
    finish(command(args).spawn().unwrap())
}

/// Runs it to its end with this standard input.
pub fn run_with_input(args: &[&str], input: &str) -> Ran {
    let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let ran = finish(child);
    writer.join().unwrap();
    ran
}

/// Waits for its end; kills it if that does not come.
pub fn finish(mut child: Child) -> Ran {
    let deadline = Instant::now() + PATIENCE;
    let id = child.id().to_string();
    let watch = thread::spawn(move || {
        while Instant::now() < deadline {
            thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            if Instant::now() < deadline {
                return;
            }
        }
        let _ = Command::new("kill").args(["-9", &id]).status();
    });
    drop(child.stdin.take());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    watch.thread().unpark();
    watch.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}
