//! `hydrogen dead-letters replay` and `discard`: what becomes of them, one by one or all.

use std::time::Duration;

use serde_json::Value;

use super::unreadable;
use crate::base::limits::{ID_BYTES, PAGE_ROWS};
use crate::cli::client::{Client, ConnectArgs};
use crate::cli::exit::Stop;
use crate::cli::output::{self, note};
use crate::cli::{interrupt, json};

#[derive(clap::Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
#[command(after_help = DISCARD_EXAMPLES)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    which: Which,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  hydrogen dead-letters replay 'd/billing/shop#000000000000000d' 's/2e000000.xuTfqzSk4v5BRXzQlCDvrQ#000000000000001f'
  hydrogen dead-letters replay --all --subscription billing --yes

Each is delivered to the subscription that gave it up, and has all its attempts before it again.";

const DISCARD_EXAMPLES: &str = "\
Examples:
  hydrogen dead-letters discard 'd/billing/shop#000000000000000d'
  hydrogen dead-letters discard --all --yes
  hydrogen dead-letters list --topic demo.a --json | jq -r .id | xargs hydrogen dead-letters discard

What was discarded is gone.";

/// Which dead letters.
#[derive(clap::Args)]
struct Which {
    /// Their ids, as the list has them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All of them; needs --yes
    #[arg(long)]
    all: bool,
    /// With --all: only those of this durable subscription
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    subscription: Option<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The action, and what its answer counts.
struct Deed {
    action: &'static str,
    done: &'static str,
}

pub(super) fn replay(args: ReplayArgs) -> Result<(), Stop> {
    dispose(args.which, &Deed { action: "dead_letters.replay", done: "replayed" })
}

pub(super) fn discard(args: DiscardArgs) -> Result<(), Stop> {
    dispose(args.which, &Deed { action: "dead_letters.discard", done: "discarded" })
}

fn dispose(which: Which, deed: &Deed) -> Result<(), Stop> {
    let requests = requests(&which)?;
    let target = which.connect.build_here()?;
    interrupt::watch()?;
    let mut client = Client::connect(&target)?;
    let mut count = 0;
    let mut result = Ok(());
    for data in &requests {
        match ask(&mut client, deed, data, Duration::from_secs(which.timeout)) {
            Ok(done) => count += done,
            Err(stop) => {
                result = Err(stop);
                break;
            }
        }
    }
    client.close();
    // What was done before an error is done.
    if result.is_ok() || count > 0 {
        output::print(format_args!("{count} {}", deed.done))?;
    }
    result?;
    let asked = which.ids.len() as u64;
    if count < asked {
        note(format_args!("hydrogen: {} of {asked} are not there", asked - count));
    }
    Ok(())
}

fn ask(client: &mut Client, deed: &Deed, data: &str, wait: Duration) -> Result<u64, Stop> {
    let answer = client.call("system", deed.action, data, wait)?.map_err(Stop::answered)?;
    let answer: Value = serde_json::from_str(&answer).map_err(unreadable)?;
    Ok(answer.get(deed.done).and_then(Value::as_u64).unwrap_or_default())
}

/// The data of each command: many ids take several.
fn requests(which: &Which) -> Result<Vec<String>, Stop> {
    if which.all {
        if !which.yes {
            return Err(Stop::usage("--all is about every dead letter: --yes confirms it"));
        }
        let only = which.subscription.as_deref().map(|name| format!(",\"subscription\":{}", json::string(name)));
        return Ok(vec![format!("{{\"all\":true{}}}", only.unwrap_or_default())]);
    }
    if let Some(id) = which.ids.iter().find(|id| !(1..=ID_BYTES).contains(&id.len())) {
        return Err(Stop::usage(format_args!("{id:?} is no id: it has 1 to {ID_BYTES} bytes")));
    }
    Ok(which.ids.chunks(PAGE_ROWS).map(|ids| format!("{{\"ids\":{}}}", Value::from(ids))).collect())
}
