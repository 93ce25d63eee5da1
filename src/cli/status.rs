//! `hydrogen status`: the server's figures, as a table or as JSON.

mod table;

use std::io::{IsTerminal as _, stdout};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, ConnectArgs, Target};
use super::exit::{Exit, Stop};
use super::{interrupt, json, output};

/// How often a wait looks at Ctrl-C and the connection.
const LOOK: Duration = Duration::from_millis(100);

/// ECMA-48: erase the screen, and go to its first place.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print the status as one line of JSON
    #[arg(long)]
    json: bool,
    /// Show it again and again, every so many seconds
    #[arg(
        long,
        value_name = "S",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    watch: Option<u64>,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen status
  hydrogen status --watch
  hydrogen status --json --watch=10 >> status.jsonl
  hydrogen status --json --url wss://example.org/ | jq .connections

The table leaves out the zeros of long lists, like errors by code; --json has them all.";

/// What is checked before anything is done.
struct Plan {
    is_json: bool,
    period: Option<Duration>,
    timeout: Duration,
    target: Target,
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = Plan {
        is_json: args.json,
        period: args.watch.map(Duration::from_secs),
        timeout: Duration::from_secs(args.timeout),
        target: args.connect.build_here()?,
    };
    if plan.period.is_some() {
        interrupt::watch()?;
    }
    let mut client = Client::connect(&plan.target)?;
    let result = follow(&mut client, &plan);
    client.close();
    result
}

fn follow(client: &mut Client, plan: &Plan) -> Result<(), Stop> {
    loop {
        let start = Instant::now();
        let status = client.call("system", "status", "{}", plan.timeout)?.map_err(Stop::answered)?;
        show(&status, plan)?;
        let Some(period) = plan.period else { return Ok(()) };
        let end = start + period;
        while Instant::now() < end {
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            // Pings are answered, events passed over, and an end of the connection is told.
            while client.receive_now()?.is_some() {}
        }
    }
}

fn show(status: &str, plan: &Plan) -> Result<(), Stop> {
    if plan.is_json {
        return output::print(json::on_one_line(status));
    }
    let value = serde_json::from_str(status)
        .map_err(|error| Stop::new(Exit::Lost, format_args!("the status is not to be read: {error}")))?;
    let table = table::render(&value);
    match plan.period {
        Some(_) if stdout().is_terminal() => output::print(format_args!("{CLEAR}{table}")),
        Some(_) | None => output::print(table),
    }
}
