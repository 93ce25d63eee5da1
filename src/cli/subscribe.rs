//! `hydrogen subscribe`: events as lines, for people and pipes.
//!
//! Whatever is printed is flushed before the next wait: line by line when events are rare, in
//! large pieces when they are not. An event is acknowledged after that, and not before.

mod listener;
mod start;

use std::time::Duration;

use clap::ValueEnum;

use super::client::{ConnectArgs, Target};
use super::exit::Stop;
use super::{interrupt, json};
use crate::base::limits::{ID_BYTES, TOPICS_PER_COMMAND};
use crate::engine::topic::Pattern;
use listener::Listener;
use start::Start;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Topics or patterns: `*` stands for one token, a final `>` for one or more
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
    /// Where to start: new, last (each topic's last event first), all, an offset, or a time like
    /// 2026-02-26T18:45:00Z
    #[arg(long, value_name = "WHERE", value_parser = start::parse)]
    from: Option<Start>,
    /// Have every event come until it is acknowledged, which it is when it was printed
    #[arg(long)]
    guaranteed: bool,
    /// The same with a subscription of this name, which outlives this program: whoever comes back
    /// to it gets what was not acknowledged
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
    /// Unacknowledged events at a time, with --guaranteed or --durable
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: Option<u32>,
    /// Milliseconds after which an unacknowledged event comes again, with --guaranteed or --durable
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(50..=3_600_000))]
    ack_timeout: Option<u32>,
    /// Only events whose data fits: an object of paths with values or conditions
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// While this client is slow, keep only each topic's newest event
    #[arg(long)]
    conflate: bool,
    /// What happens when this client is too slow
    #[arg(long, value_name = "POLICY")]
    overflow: Option<Overflow>,
    /// Whether these events go with those of other subscriptions, or behind them
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Lane>,
    /// End after this many events
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds: with 5 if --count was not reached, else with 0
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: Option<u64>,
    /// What a line holds: the whole envelope, its data, or topic, tab and data
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
    /// Connect again when the connection cannot be made or is lost. What is published in between
    /// is missed, unless --guaranteed or --durable has it come later
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen subscribe 'sensors.>'
  hydrogen subscribe sensors.kitchen --from last --count 1 --format payload
  hydrogen subscribe 'sensors.*' --filter '{\"temp\":{\"gt\":30}}' --reconnect | tee hot.jsonl
  hydrogen subscribe 'orders.>' --durable billing --from all --reconnect >> orders.jsonl
  hydrogen subscribe 'chat.>' --format topic-payload | while IFS=$'\\t' read -r topic data; do ...; done

Quote patterns: the shell has its own use for * and >.";

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Overflow {
    Disconnect,
    DropOldest,
}

impl Overflow {
    fn as_str(self) -> &'static str {
        match self {
            Overflow::Disconnect => "disconnect",
            Overflow::DropOldest => "drop_oldest",
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Lane {
    Normal,
    Bulk,
}

impl Lane {
    fn as_str(self) -> &'static str {
        match self {
            Lane::Normal => "normal",
            Lane::Bulk => "bulk",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Payload,
    TopicPayload,
}

/// What is checked before anything is done.
struct Plan {
    patterns: Vec<Pattern>,
    /// The data of the subscribe command.
    data: String,
    format: Format,
    count: Option<u64>,
    timeout: Option<Duration>,
    reconnect: bool,
    /// Whether a new connection resumes the session of the one before: events of an unnamed
    /// subscription wait there.
    resumes: bool,
    target: Target,
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = build(args)?;
    interrupt::watch()?;
    Listener::new(&plan).run()
}

fn build(args: Args) -> Result<Plan, Stop> {
    if args.patterns.len() > TOPICS_PER_COMMAND {
        return Err(Stop::usage(format_args!("more than {TOPICS_PER_COMMAND} patterns")));
    }
    let parse = |text: &String| {
        Pattern::parse(text).map_err(|why| Stop::usage(format_args!("{text:?} is no topic or pattern: {why}")))
    };
    let patterns: Vec<Pattern> = args.patterns.iter().map(parse).collect::<Result<_, _>>()?;
    let mut data = format!("{{\"topics\":{}", serde_json::Value::from(args.patterns));
    let is_guaranteed = args.guaranteed || args.durable.is_some();
    if is_guaranteed {
        data.push_str(",\"guarantee\":\"at_least_once\"");
    } else if args.window.is_some() || args.ack_timeout.is_some() {
        return Err(Stop::usage("--window and --ack-timeout go with --guaranteed or --durable"));
    }
    if let Some(name) = &args.durable {
        if !(1..=ID_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(Stop::usage(format_args!("{name:?} is no name: it has 1 to {ID_BYTES} bytes")));
        }
        data.push_str(&format!(",\"name\":{}", json::string(name)));
    }
    if let Some(Start(from)) = &args.from {
        data.push_str(&format!(",\"from\":{from}"));
    }
    if let Some(window) = args.window {
        data.push_str(&format!(",\"window\":{window}"));
    }
    if let Some(ms) = args.ack_timeout {
        data.push_str(&format!(",\"ack_timeout_ms\":{ms}"));
    }
    if let Some(filter) = &args.filter {
        let filter = json::object(filter).map_err(|why| Stop::usage(format_args!("--filter: {why}")))?;
        data.push_str(&format!(",\"filter\":{filter}"));
    }
    if args.conflate {
        data.push_str(",\"conflate\":true");
    }
    if let Some(overflow) = args.overflow {
        data.push_str(&format!(",\"overflow\":\"{}\"", overflow.as_str()));
    }
    if let Some(lane) = args.priority {
        data.push_str(&format!(",\"priority\":\"{}\"", lane.as_str()));
    }
    data.push('}');
    Ok(Plan {
        patterns,
        data,
        format: args.format,
        count: args.count,
        timeout: args.timeout.map(Duration::from_secs),
        reconnect: args.reconnect,
        resumes: is_guaranteed && args.durable.is_none(),
        target: args.connect.build_here()?,
    })
}
