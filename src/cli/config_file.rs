//! Which configuration file a command reads: the one named, else the first one found.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Stop};
use super::output::note;
use crate::config::{Config, Loaded};

/// Looked at in this order when neither `--config` nor the environment names a file.
const PLACES: &[&str] = &["hydrogen.json", "/etc/hydrogen/hydrogen.json", "/usr/local/etc/hydrogen/hydrogen.json"];

const VARIABLE: &str = "HYDROGEN_CONFIG";

#[derive(clap::Args)]
pub struct ConfigArgs {
    /// The configuration file [default: $HYDROGEN_CONFIG, else the first readable of hydrogen.json,
    /// /etc/hydrogen/hydrogen.json and /usr/local/etc/hydrogen/hydrogen.json, else built-in defaults]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The file to read; `None` stands for the built-in defaults.
    pub fn find(&self) -> Option<PathBuf> {
        let from_environment = || std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(from_environment).or_else(|| first_readable(PLACES))
    }
}

fn first_readable(places: &[&str]) -> Option<PathBuf> {
    let is_readable = |place: &Path| place.is_file() && std::fs::File::open(place).is_ok();
    places.iter().map(PathBuf::from).find(|place| is_readable(place))
}

/// Reads the configuration. Problems go to standard error, all of them; warnings are the caller's.
pub fn load(file: Option<&Path>) -> Result<Loaded, Stop> {
    let Some(file) = file else {
        return Ok(Loaded { config: Config::default(), warnings: Vec::new() });
    };
    Config::load(file).map_err(|problems| {
        for problem in &problems {
            note(format_args!("error: {problem}"));
        }
        Stop::silent(Exit::Usage)
    })
}

/// Writes the warnings of a configuration to standard error.
pub fn note_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        note(format_args!("warning: {warning}"));
    }
}

/// The keys file of a data folder.
pub fn keys_file(data_dir: &Path) -> PathBuf {
    data_dir.join("keys.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_readable_place_is_taken_and_folders_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (missing, folder, one, two) = (place("missing"), place("folder"), place("one"), place("two"));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(first_readable(&[&missing, &folder]), None);
        std::fs::write(&one, "{}").unwrap();
        std::fs::write(&two, "{}").unwrap();
        assert_eq!(first_readable(&[&missing, &folder, &two, &one]), Some(two.into()));
    }
}
