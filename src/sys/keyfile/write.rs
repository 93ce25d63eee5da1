//! One change of the keys file: lock, read, change, write beside, sync, rename.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::read::{KeyFileError, load};
use crate::base::limits::KEYS_FILE_BYTES;
use crate::engine::auth::{KeyRecord, file};

/// Long enough for many writers in a row, short enough for a person to wait.
const LOCK_ATTEMPTS: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Applies a change to the records and writes them, unless the change is refused.
pub(super) fn change<T>(
    path: &Path,
    apply: impl FnOnce(&mut Vec<KeyRecord>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    // A rename onto a link would replace the link, and leave the file behind it as it was.
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(KeyFileError::Io("find", path.into(), error)),
    };
    let owner = owner_of(&target)?;
    let _lock = lock(&beside(&target, ".lock"), &owner)?;
    let mut records = match load(&target) {
        Ok(loaded) => loaded.records,
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(error),
    };
    let result = apply(&mut records)?;
    let text = file::render(&records);
    if text.len() as u64 > KEYS_FILE_BYTES {
        return Err(KeyFileError::Misuse(format!("the keys file would be larger than {KEYS_FILE_BYTES} bytes")));
    }
    let new = beside(&target, ".new");
    write(&new, &text, &owner).and_then(|()| fs::rename(&new, &target)).map_err(|error| {
        // What is left of the attempt holds hashes and secrets; whether it goes changes no answer.
        let _ = fs::remove_file(&new);
        KeyFileError::Io("write", target.clone(), error)
    })?;
    // The rename itself is on disk only once its folder is.
    File::open(folder_of(&target))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| KeyFileError::Io("sync the folder of", target, error))?;
    Ok(result)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Who is to own what is written: the owner of the file that is there, or else of its folder.
/// An administrator's change must not take the file away from the server.
struct Owner {
    of: Metadata,
    is_required: bool,
}

fn owner_of(target: &Path) -> Result<Owner, KeyFileError> {
    match fs::metadata(target) {
        Ok(of) if of.is_file() => Ok(Owner { of, is_required: true }),
        Ok(_) => Err(KeyFileError::NotAFile(target.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let of = fs::metadata(folder_of(target));
            let of = of.map_err(|error| KeyFileError::Io("find the folder of", target.into(), error))?;
            Ok(Owner { of, is_required: false })
        }
        Err(error) => Err(KeyFileError::Io("read", target.into(), error)),
    }
}

impl Owner {
    fn adopt(&self, file: &File) -> io::Result<()> {
        if file.metadata()?.uid() == self.of.uid() {
            return Ok(());
        }
        match fchown(file, Some(self.of.uid()), Some(self.of.gid())) {
            Err(error) if self.is_required => Err(error),
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

/// The lock lasts as long as the file is open; the file itself stays, since whoever waits has it
/// open already.
fn lock(path: &Path, owner: &Owner) -> Result<File, KeyFileError> {
    let failed = |error| KeyFileError::Io("lock", path.into(), error);
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Only what was made here changes its owner: behind a name that was there before may be a
        // link to any file of the machine.
        Ok(file) => owner.adopt(&file).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(path),
        Err(error) => Err(error),
    };
    let file = file.map_err(failed)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(KeyFileError::Locked(path.into()))
}

fn write(path: &Path, text: &str, owner: &Owner) -> io::Result<()> {
    // Left by a process that died while it held the lock.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    owner.adopt(&file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
