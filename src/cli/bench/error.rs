//! Why a run gave no result.

use std::fmt;
use std::io;

/// Grouped by blame; a command's exit code follows from it.
#[derive(Debug)]
pub enum BenchError {
    /// The arguments make no sense together.
    Usage(String),
    /// The server refused, broke off or was not there.
    Server(String),
    /// `--max-time` passed first.
    OutOfTime(String),
    /// This machine could not do it.
    System(io::Error),
    /// A defect of the generator.
    Bug(&'static str),
}

impl BenchError {
    /// What the program ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            BenchError::Usage(_) => 2,
            BenchError::Server(_) => 1,
            BenchError::OutOfTime(_) => 3,
            BenchError::System(_) => 71,
            BenchError::Bug(_) => 70,
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Usage(text) | BenchError::Server(text) => f.write_str(text),
            BenchError::OutOfTime(stage) => write!(f, "not finished within --max-time: {stage}"),
            BenchError::System(error) => write!(f, "{error}"),
            BenchError::Bug(text) => write!(f, "a defect of hydrogen bench: {text}"),
        }
    }
}

impl std::error::Error for BenchError {}

impl From<io::Error> for BenchError {
    fn from(error: io::Error) -> BenchError {
        BenchError::System(error)
    }
}
