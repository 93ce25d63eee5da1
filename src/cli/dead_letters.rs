//! `hydrogen dead-letters`: events that were given up, of a running server. An administrator
//! looks at them, has them delivered again, or throws them away.

mod dispose;
mod list;

use clap::Subcommand;

use super::exit::{Exit, Stop};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen dead-letters list
  hydrogen dead-letters replay 'd/billing/shop#000000000000000d'
  hydrogen dead-letters discard --all --yes

They need a key with the permission admin.";

#[derive(Subcommand)]
enum Command {
    /// List the dead letters, subscription by subscription
    List(list::Args),
    /// Have dead letters delivered again
    Replay(dispose::ReplayArgs),
    /// Throw dead letters away
    Discard(dispose::DiscardArgs),
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Stop> {
    match args.command {
        Command::List(args) => list::run(args),
        Command::Replay(args) => dispose::replay(args),
        Command::Discard(args) => dispose::discard(args),
    }
}

/// An answer that is not as this version knows it.
fn unreadable(error: serde_json::Error) -> Stop {
    Stop::new(Exit::Lost, format_args!("the answer is not to be read: {error}"))
}
