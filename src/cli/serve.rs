//! `hydrogen serve`: reads the configuration and runs the server until it is told to stop.

use super::config_file::{self, ConfigArgs};
use super::exit::{Exit, Stop};
use super::output::note;
use crate::config::Loaded;

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
Ctrl-C or SIGTERM stops the server: it finishes running commands first.";

/// Loads the configuration, tells its warnings, and runs the server.
pub fn run(args: Args) -> Result<(), Stop> {
    let file = args.config.find();
    let loaded = config_file::load(file.as_deref())?;
    config_file::note_warnings(&loaded);
    if file.is_none() {
        note("hydrogen: no configuration file found; serving with built-in defaults");
    }
    start(loaded)
}

/// The server's entry.
fn start(loaded: Loaded) -> Result<(), Stop> {
    drop(loaded);
    Err(Stop::new(Exit::Internal, "the server is not part of this build"))
}
