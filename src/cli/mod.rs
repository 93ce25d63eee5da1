//! The commands of the program `hydrogen`, one file each.
//!
//! Every command goes in two steps: clap parses the words, and the command builds a plan from
//! them, in which everything is checked, before it does anything. Results go to standard output,
//! and everything else to standard error. How a command ends is a row of [`exit`]'s table.

pub mod bench;
mod call;
mod check;
mod client;
mod columns;
mod config_file;
mod dead_letters;
pub mod exit;
mod interrupt;
mod json;
mod key;
mod output;
mod publish;
mod rooms;
mod serve;
mod status;
mod store;
mod subscribe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Stop};

#[derive(Parser)]
#[command(
    name = "hydrogen",
    version,
    about = "A self-hosted realtime server, and its clients",
    after_help = EXAMPLES,
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen key create ops --permit admin
  hydrogen serve --config conf/hydrogen.json
  hydrogen subscribe 'sensors.>' --format topic-payload
  hydrogen publish sensors.kitchen '{\"temp\":21.5}'

Each command has its own examples: hydrogen COMMAND --help";

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Check a configuration and what it names, and tell what would be served
    Check(check::Args),
    /// Create, list and revoke keys
    Key(key::Args),
    /// Publish one event, or each line of standard input
    Publish(publish::Args),
    /// Print events as they come, one a line
    Subscribe(subscribe::Args),
    /// Send a command and print the answer's data
    Call(call::Args),
    /// List, replay and discard the events that were given up
    DeadLetters(dead_letters::Args),
    /// Show how the server is doing
    Status(status::Args),
    /// List the rooms in which WebRTC peers find each other
    Rooms(rooms::Args),
    /// Look at the store of a server that is stopped
    Store(store::Args),
    /// Load a server and measure it
    Bench(Box<bench::Args>),
}

/// Runs the command that the program's arguments name.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version come here too, with code 0. A closed pipe has nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    match run(command) {
        Ok(()) => Exit::Ok.into(),
        Err(stop) => {
            if let Some(message) = &stop.message {
                output::note(message);
            }
            stop.exit.into()
        }
    }
}

fn run(command: Command) -> Result<(), Stop> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(args),
        Command::Key(args) => key::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Call(args) => call::run(args),
        Command::DeadLetters(args) => dead_letters::run(args),
        Command::Status(args) => status::run(args),
        Command::Rooms(args) => rooms::run(args),
        Command::Store(args) => store::run(args),
        Command::Bench(args) => bench::run(*args).map_err(|error| Stop::new(error.exit(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_declarations_of_all_commands_hold_together() {
        Cli::command().debug_assert();
    }
}
