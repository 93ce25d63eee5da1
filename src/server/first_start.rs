//! The first start: the data folder and one administrator key, shown once.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;

use crate::base::Wall;
use crate::engine::auth::{Permission, Permissions};
use crate::sys::keyfile::{self, NewKey, NewSigning};

/// The keys file inside the data folder.
pub fn keys_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys.json")
}

/// Makes the data folder if it is missing, for its owner alone, and checks that it can be written.
pub fn make_data_dir(data_dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    // Permission bits do not tell the whole truth: what counts is that a file can be made.
    let probe = data_dir.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// Makes an administrator's key if there is no keys file; its token is returned to be shown once.
pub fn make_first_key(data_dir: &Path, now: Wall) -> Result<Option<String>, keyfile::KeyFileError> {
    let path = keys_path(data_dir);
    if path.exists() {
        return Ok(None);
    }
    let permissions: Permissions = [Permission::Admin].into_iter().collect();
    let key = NewKey { name: "admin".into(), permissions, expires: None, signing: NewSigning::None };
    let created = keyfile::create_key(&path, key, now, &SystemRandom::new())?;
    Ok(Some(created.token.expose()))
}

/// Puts a token into a file of the data folder that its owner alone can read.
pub fn write_token(data_dir: &Path, token: &str) -> io::Result<PathBuf> {
    let path = data_dir.join("admin.token");
    // One from before belongs to keys that are gone. A new file is its owner's alone from the start.
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(path)
}
