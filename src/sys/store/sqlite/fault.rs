//! What SQLite and the files say when they fail, in the store's own terms.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ffi::ErrorCode;

use crate::engine::store::{StoreError, StoreFault};

/// Why a store cannot be opened. Damage is no reason: what is damaged is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Its folder cannot be made or written.
    Folder(Box<str>),
    /// Another process has it open.
    InUse(Box<str>),
    /// A newer program wrote it.
    Newer(Box<str>),
    /// The disk fails, or has no room to begin.
    Disk(Box<str>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Folder(text) | OpenError::InUse(text) | OpenError::Newer(text) | OpenError::Disk(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// A folder that cannot be used.
    pub(super) fn folder(path: &Path, error: &io::Error) -> OpenError {
        OpenError::Folder(format!("the store's folder {} cannot be used: {error}", path.display()).into())
    }

    /// A store that could not be brought up.
    pub(super) fn of(path: &Path, error: &StoreError) -> OpenError {
        let text = format!("the store in {} cannot be opened: {error}", path.display()).into();
        match error.fault {
            StoreFault::ReadOnly => OpenError::Folder(text),
            StoreFault::Refused => OpenError::Newer(text),
            StoreFault::Full | StoreFault::Io | StoreFault::Damaged | StoreFault::Stale => OpenError::Disk(text),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::new(kind(&error), format!("SQLite: {error}"))
    }
}

/// Rows and tables of a shape that was never made are damage: what is asked of them never changes.
/// What is not known to be harmless is held to be the disk's fault: then all is opened anew.
fn kind(error: &rusqlite::Error) -> StoreFault {
    let rusqlite::Error::SqliteFailure(code, _) = error else { return StoreFault::Damaged };
    match code.code {
        ErrorCode::DiskFull => StoreFault::Full,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreFault::ReadOnly,
        // A schema that cannot be read is told as a plain error.
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::ConstraintViolation
        | ErrorCode::TooBig
        | ErrorCode::TypeMismatch
        | ErrorCode::Unknown => StoreFault::Damaged,
        _ => StoreFault::Io,
    }
}

/// The store's name for a file operation that failed.
pub(super) fn of_file(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let fault = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => StoreFault::Full,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => StoreFault::ReadOnly,
        _ => StoreFault::Io,
    };
    StoreError::new(fault, format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn each_failure_has_its_fault() {
        for (code, fault) in [
            (ffi::SQLITE_FULL, StoreFault::Full),
            (ffi::SQLITE_READONLY, StoreFault::ReadOnly),
            (ffi::SQLITE_READONLY_DIRECTORY, StoreFault::ReadOnly),
            (ffi::SQLITE_PERM, StoreFault::ReadOnly),
            (ffi::SQLITE_IOERR_FSYNC, StoreFault::Io),
            (ffi::SQLITE_IOERR_WRITE, StoreFault::Io),
            (ffi::SQLITE_IOERR_READ, StoreFault::Io),
            (ffi::SQLITE_CANTOPEN, StoreFault::Io),
            (ffi::SQLITE_NOMEM, StoreFault::Io),
            (ffi::SQLITE_CORRUPT, StoreFault::Damaged),
            (ffi::SQLITE_CORRUPT_INDEX, StoreFault::Damaged),
            (ffi::SQLITE_NOTADB, StoreFault::Damaged),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, StoreFault::Damaged),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(StoreError::from(error).fault, fault, "{code}");
        }
        let io = |kind| of_file("writing", Path::new("x"), &io::Error::from(kind)).fault;
        assert_eq!(io(io::ErrorKind::StorageFull), StoreFault::Full);
        assert_eq!(io(io::ErrorKind::ReadOnlyFilesystem), StoreFault::ReadOnly);
        assert_eq!(io(io::ErrorKind::Other), StoreFault::Io);
    }
}
