//! `hydrogen key`: the keys file of a server on this machine. A running server sees each change
//! by itself.

mod create;
mod list;
mod revoke;

use std::path::PathBuf;

use clap::Subcommand;

use super::config_file::{self, ConfigArgs};
use super::exit::{Exit, Stop};
use crate::base::Wall;
use crate::sys::clock::Clock;
use crate::sys::keyfile::KeyFileError;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen key create kitchen --permit connect,publish:sensors.kitchen.>
  hydrogen key list
  hydrogen key revoke kitchen

The keys file is keys.json in the data folder. Run these as the user that owns it.";

#[derive(Subcommand)]
enum Command {
    /// Create a key and print its token, which is shown this once
    Create(create::Args),
    /// List the keys, without their secrets
    List(list::Args),
    /// Revoke a key by its id, or all keys of a name
    Revoke(revoke::Args),
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Stop> {
    match args.command {
        Command::Create(args) => create::run(args),
        Command::List(args) => list::run(args),
        Command::Revoke(args) => revoke::run(args),
    }
}

/// Which keys file.
#[derive(clap::Args)]
struct FileArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder, in place of the configuration's DataDir
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
}

impl FileArgs {
    /// The data folder.
    fn data_dir(&self) -> Result<PathBuf, Stop> {
        match &self.data_dir {
            Some(folder) => Ok(folder.clone()),
            None => Ok(config_file::load(self.config.find().as_deref())?.config.data_dir),
        }
    }

    /// The keys file.
    fn keys_file(&self) -> Result<PathBuf, Stop> {
        self.data_dir().map(|folder| config_file::keys_file(&folder))
    }
}

fn now() -> Wall {
    Clock::default().now().wall
}

fn stop(error: KeyFileError) -> Stop {
    let exit = match &error {
        error if error.is_missing() => Exit::Usage,
        KeyFileError::Io(..) | KeyFileError::Locked(_) => Exit::System,
        KeyFileError::NotAFile(_) | KeyFileError::Damaged(..) | KeyFileError::Misuse(_) => Exit::Usage,
    };
    Stop::new(exit, error)
}
