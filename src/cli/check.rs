//! `hydrogen check`: everything that a start would stumble over, told at once, and a summary of
//! what would be served. It starts nothing, and leaves every folder as it was.

mod summary;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::config_file::{self, ConfigArgs, keys_file};
use super::exit::{Exit, Stop};
use super::output::note;
use crate::base::Wall;
use crate::config::{Config, SecureMode};
use crate::engine::auth::{KeyRecord, KeyRing, Permissions, SharedKey};
use crate::sys::clock::Clock;
use crate::sys::{keyfile, tls};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen check
  hydrogen check --config /etc/hydrogen/hydrogen.json && systemctl restart hydrogen
  sudo -u hydrogen hydrogen check

Run it as the user that the server runs as: what may be read and written depends on that.
The summary goes to standard output, problems and warnings to standard error.";

/// Checks, and tells all that is wrong before it stops.
pub fn run(args: Args) -> Result<(), Stop> {
    let file = args.config.find();
    let loaded = config_file::load(file.as_deref())?;
    config_file::note_warnings(&loaded);
    let now = Clock::default().now().wall;
    let mut findings = Findings::default();
    let keys = findings.look_at(&loaded.config, now);
    for warning in &findings.warnings {
        note(format_args!("warning: {warning}"));
    }
    for problem in &findings.problems {
        note(format_args!("error: {problem}"));
    }
    if !findings.problems.is_empty() {
        return Err(Stop::silent(Exit::Usage));
    }
    let is_first = !keys_file(&loaded.config.data_dir).exists();
    summary::print(file.as_deref(), &loaded.config, (!is_first).then_some(keys.as_slice()), now)
}

#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    /// Looks at everything that the configuration names; gives the keys.
    fn look_at(&mut self, config: &Config, now: Wall) -> Vec<KeyRecord> {
        if let SecureMode::Tls { certificate_path, key_path } = &config.web_socket_server.secure_mode
            && let Err(why) = tls::server_config(certificate_path, key_path)
        {
            self.problems.push(format!("WebSocketServer.SecureMode: {why}"));
        }
        if let Err(why) = is_usable_folder(&config.data_dir) {
            self.problems.push(format!("DataDir: {why}"));
        }
        if let Some(file) = &config.logging.file
            && let Err(error) = is_appendable(file)
        {
            self.problems.push(format!("Logging.File: cannot write {}: {error}", file.display()));
        }
        let shared = self.shared_key(config);
        let file = keys_file(&config.data_dir);
        let keys = self.keys(&file, shared.as_ref());
        let needs_keys = config.web_socket_server.auth_required;
        // Without a file the first start makes one, with an administrator's key.
        if file.exists()
            && needs_keys
            && config.web_socket_server.key.is_none()
            && !keys.iter().any(|key| is_good(key, now))
        {
            self.warnings.push("there is no good key, so nobody can connect: hydrogen key create makes one".into());
        }
        keys
    }

    fn shared_key(&mut self, config: &Config) -> Option<SharedKey> {
        let key = config.web_socket_server.key.as_ref()?;
        match SharedKey::parse(key.expose(), Permissions::default()) {
            Ok(shared) => {
                if shared.is_short() {
                    self.warnings.push("WebSocketServer.Key: shorter than 32 characters, so it can be guessed".into());
                }
                Some(shared)
            }
            Err(why) => {
                self.problems.push(format!("WebSocketServer.Key: {why}"));
                None
            }
        }
    }

    fn keys(&mut self, path: &Path, shared: Option<&SharedKey>) -> Vec<KeyRecord> {
        let loaded = match keyfile::load(path) {
            Ok(loaded) => loaded,
            Err(error) => {
                // The first key makes the file.
                if !error.is_missing() {
                    self.problems.push(format!("keys file: {error}"));
                }
                return Vec::new();
            }
        };
        self.warnings.extend(loaded.warning);
        if let Err(why) = KeyRing::new(loaded.records.clone(), shared) {
            self.problems.push(format!("keys file: {}: {why}", path.display()));
        }
        loaded.records
    }
}

fn is_good(key: &KeyRecord, now: Wall) -> bool {
    key.revoked.is_none() && key.expires.is_none_or(|expires| now < expires)
}

/// Whether files can be made in the folder, or the folder can be made. Permission bits do not
/// tell (the disk may be read-only, the user may be root), so a file is made and taken away.
fn is_usable_folder(folder: &Path) -> Result<(), String> {
    let there = match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => return Err(format!("{} is no folder", folder.display())),
        Ok(_) => folder.to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = nearest_above(folder);
            if !above.is_dir() {
                return Err(format!("{} cannot be made: {} is no folder", folder.display(), above.display()));
            }
            above
        }
        Err(error) => return Err(format!("cannot look at {}: {error}", folder.display())),
    };
    probe(&there).map_err(|error| format!("cannot write in {}: {error}", there.display()))
}

/// The nearest thing above a missing path that is there.
fn nearest_above(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.exists());
    match above {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn probe(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".hydrogen-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&file)?;
    fs::remove_file(&file)
}

fn is_appendable(file: &Path) -> io::Result<()> {
    if file.exists() {
        return OpenOptions::new().append(true).open(file).map(drop);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    probe(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_usable_if_it_can_be_written_or_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(is_usable_folder(dir.path()), Ok(()));
        assert_eq!(is_usable_folder(&dir.path().join("a/b/c")), Ok(()));
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(is_usable_folder(&file).unwrap_err().contains("is no folder"));
        assert!(is_usable_folder(&file.join("below")).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_log_file_is_appended_to_or_made_and_its_folder_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(is_appendable(&log).is_ok() && !log.exists());
        fs::write(&log, "line\n").unwrap();
        assert!(is_appendable(&log).is_ok());
        assert_eq!(fs::read_to_string(&log).unwrap(), "line\n");
        assert!(is_appendable(&dir.path().join("missing/log")).is_err());
    }

    #[test]
    fn the_nearest_thing_above_a_relative_path_is_this_folder() {
        assert_eq!(nearest_above(Path::new("no-such-folder")), Path::new("."));
        assert_eq!(nearest_above(Path::new("no-such-folder/below")), Path::new("."));
    }
}
