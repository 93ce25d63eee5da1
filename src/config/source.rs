//! The bytes of a configuration file as text.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::problem::{Problem, place};

/// The largest configuration file in bytes. A hundred times what every key with a comment takes.
const FILE_BYTES: u64 = 1024 * 1024;

/// Reads the whole file; the byte order mark stays.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let file = path.display().to_string();
    let problem = |message: String, (line, column): (usize, usize)| Problem {
        file: file.clone(),
        line,
        column,
        path: String::new(),
        message,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(why(&error), (0, 0)))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(problem(format!("larger than {FILE_BYTES} bytes"), (0, 0)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        problem("not UTF-8 from here on".into(), place(without_mark(&before), valid))
    })
}

/// The text without a byte order mark, which some editors put first.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".into(),
        ErrorKind::PermissionDenied => "the server has no permission to read it".into(),
        ErrorKind::IsADirectory => "a directory, not a file".into(),
        _ => format!("cannot be read: {error}"),
    }
}
