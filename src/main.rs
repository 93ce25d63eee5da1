//! The `hydrogen` program: reads the command line and runs one command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hydrogen::cli::bench;

/// A self-hosted realtime server.
#[derive(Parser, Debug)]
#[command(name = "hydrogen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Loads a server and measures it
    Bench(Box<bench::Args>),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Bench(args) => match bench::run(*args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("hydrogen bench: {error}");
                ExitCode::from(error.exit_code())
            }
        },
    }
}
