//! Reading the keys file, and what can go wrong with it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::limits::KEYS_FILE_BYTES;
use crate::engine::auth::{KeyRecord, file};

/// Why the keys file cannot be read or changed.
#[derive(Debug)]
pub enum KeyFileError {
    /// The machine refused what stands in the text.
    Io(&'static str, PathBuf, io::Error),
    /// What is there is no plain file.
    NotAFile(PathBuf),
    /// What is there holds no keys, or damaged ones.
    Damaged(PathBuf, String),
    /// Another process keeps the lock.
    Locked(PathBuf),
    /// The change makes no sense.
    Misuse(String),
}

impl KeyFileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, KeyFileError::Io(_, _, error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFileError::Io(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
            KeyFileError::NotAFile(path) => write!(f, "{} is no file", path.display()),
            KeyFileError::Damaged(path, why) => write!(f, "{}: {why}", path.display()),
            KeyFileError::Locked(path) => write!(f, "another process holds {}", path.display()),
            KeyFileError::Misuse(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// What a file held.
#[derive(Debug)]
pub struct Loaded {
    /// The keys, in the file's order.
    pub records: Vec<KeyRecord>,
    /// What an administrator should know about the file.
    pub warning: Option<String>,
}

/// Reads the keys file.
pub fn load(path: &Path) -> Result<Loaded, KeyFileError> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let found = fs::metadata(path).map_err(|error| KeyFileError::Io("read", path.into(), error))?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile(path.into()));
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEYS_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| KeyFileError::Io("read", path.into(), error))?;
    if text.len() as u64 > KEYS_FILE_BYTES {
        return Err(KeyFileError::Damaged(path.into(), format!("larger than {KEYS_FILE_BYTES} bytes")));
    }
    let records = file::parse(&text).map_err(|why| KeyFileError::Damaged(path.into(), why))?;
    let mode = found.mode() & 0o777;
    let warning = (mode & 0o044 != 0)
        .then(|| format!("{} can be read by others than its owner (mode {mode:o}); 600 is enough", path.display()));
    Ok(Loaded { records, warning })
}
