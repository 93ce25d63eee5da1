//! `hydrogen serve`: reads the configuration and runs the server until it is told to stop.

use super::config_file::{self, ConfigArgs};
use super::exit::{Exit, Stop};
use super::output::note;
use crate::server::{RunError, StartError};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen serve
  hydrogen serve --config conf/hydrogen.json
  HYDROGEN_CONFIG=/srv/hydrogen.json hydrogen serve

`hydrogen check` tells what is wrong with a configuration without running it.
Ctrl-C or SIGTERM stops the server: it finishes running commands first. The second one ends it at once.";

/// Loads the configuration, tells its warnings, and runs the server.
pub fn run(args: Args) -> Result<(), Stop> {
    let file = args.config.find();
    let loaded = config_file::load(file.as_deref())?;
    config_file::note_warnings(&loaded);
    if file.is_none() {
        note("hydrogen: no configuration file found; serving with built-in defaults");
    }
    crate::server::run(loaded).map_err(|error| Stop::new(exit_of(&error), error))
}

/// Whose fault it is that the server did not start.
fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::Log(_) | RunError::Signals(_) => Exit::System,
        RunError::Start(
            StartError::DataDir(..)
            | StartError::Listen(..)
            | StartError::Store(_)
            | StartError::Signaling(_)
            | StartError::System(_),
        ) => Exit::System,
        RunError::Start(
            StartError::Keys(_)
            | StartError::Key(_)
            | StartError::Tls(_)
            | StartError::Channel(_)
            | StartError::Disabled,
        ) => Exit::Usage,
    }
}
