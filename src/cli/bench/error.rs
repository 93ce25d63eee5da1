//! Why a run gave no result.

use std::fmt;
use std::io;

use crate::cli::exit::Exit;

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
    pub fn exit(&self) -> Exit {
        match self {
            BenchError::Usage(_) => Exit::Usage,
            BenchError::Server(_) => Exit::Lost,
            BenchError::OutOfTime(_) => Exit::Timeout,
            BenchError::System(_) => Exit::System,
            BenchError::Bug(_) => Exit::Internal,
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
