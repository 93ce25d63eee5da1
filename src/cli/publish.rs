//! `hydrogen publish`: one event, or each line of standard input, with a bounded number of
//! publishes that wait for their answers.

mod input;
mod run;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;

use super::client::{ConnectArgs, Target};
use super::exit::Stop;
use super::interrupt;
use super::json;
use crate::engine::topic::is_topic;
use input::Input;
use run::Run;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topic, as sensors.kitchen
    topic: String,
    /// The event's data, one JSON value. "-", or nothing with a pipe: each line of standard input
    #[arg(allow_hyphen_values = true)]
    payload: Option<String>,
    /// Send the payload as a JSON string, whatever it is
    #[arg(long)]
    text: bool,
    /// Keep the event for subscribers that come later
    #[arg(long)]
    retain: bool,
    /// Seconds after which the event is no longer delivered
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    ttl: Option<u64>,
    /// What goes first when a subscriber is slow: low is dropped first
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Priority>,
    /// Take no answer but that the event is on disk, and publish it again until there is one
    #[arg(long)]
    guaranteed: bool,
    /// With --guaranteed: how often to publish again, or to connect, before giving up
    #[arg(long, value_name = "N", default_value_t = 8, requires = "guaranteed", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    retries: u32,
    /// With standard input: publishes that wait for their answers at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: u16,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen publish sensors.kitchen '{\"temp\":21.5}' --retain
  hydrogen publish chat.lobby --text 'Hello, all'
  printf '1\\n2\\n3\\n' | hydrogen publish demo.count
  tail -f app.log | hydrogen publish logs.app --text -
  hydrogen publish orders.new --guaranteed < orders.jsonl

Prints the id of each event. After the first error no further line is read; what is under way is
waited for.";

#[derive(Clone, Copy, ValueEnum)]
enum Priority {
    Low,
    Normal,
}

impl Priority {
    fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
        }
    }
}

/// What is checked before anything is done.
struct Plan {
    /// `None`: the lines of standard input.
    payload: Option<String>,
    form: Form,
    in_flight: usize,
    timeout: Duration,
    /// How often one event is published again, and how many connections may fail in a row.
    retries: u32,
    target: Target,
}

/// What all events of one run have in common.
struct Form {
    is_text: bool,
    /// `{"topic":…` up to the payload.
    head: String,
    /// The fields after the payload, and the end.
    tail: String,
}

impl Form {
    /// The command's data; `None` for a line that holds nothing to send.
    fn data(&self, line: &str) -> Result<Option<String>, serde_json::Error> {
        let string;
        let payload = if self.is_text {
            string = json::string(line);
            &string
        } else if line.trim().is_empty() {
            return Ok(None);
        } else {
            json::value(line)?
        };
        Ok(Some(format!("{}{payload}{}", self.head, self.tail)))
    }
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = build(args)?;
    match &plan.payload {
        Some(data) => Run::start(&plan)?.publish(data),
        None => {
            interrupt::watch()?;
            Run::start(&plan)?.publish_lines(&mut Input::start(plan.in_flight))
        }
    }
}

fn build(args: Args) -> Result<Plan, Stop> {
    is_topic(&args.topic).map_err(|why| Stop::usage(format_args!("{:?} is no topic: {why}", args.topic)))?;
    let mut tail = String::new();
    if args.retain {
        tail.push_str(",\"retain\":true");
    }
    if let Some(ttl) = args.ttl {
        tail.push_str(&format!(",\"ttl_s\":{ttl}"));
    }
    if let Some(priority) = args.priority {
        tail.push_str(&format!(",\"priority\":\"{}\"", priority.as_str()));
    }
    if args.guaranteed {
        tail.push_str(",\"guarantee\":\"at_least_once\"");
    }
    tail.push('}');
    let form = Form { is_text: args.text, head: format!("{{\"topic\":\"{}\",\"payload\":", args.topic), tail };
    let payload = match args.payload.as_deref() {
        Some("-") => None,
        Some(payload) => {
            let no_json = |error| format!("the payload is no JSON: {error}; --text sends it as a string");
            let data = form.data(payload).map_err(|error| Stop::usage(no_json(error)))?;
            Some(data.ok_or_else(|| Stop::usage("the payload is empty; --text sends an empty string"))?)
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Stop::usage("no payload; \"-\" reads lines from the terminal"));
        }
        None => None,
    };
    Ok(Plan {
        payload,
        form,
        in_flight: args.in_flight.into(),
        timeout: Duration::from_secs(args.timeout),
        retries: if args.guaranteed { args.retries } else { 0 },
        target: args.connect.build_here()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_data_as_json_or_as_text() {
        let form = |is_text| Form { is_text, head: "{\"payload\":".into(), tail: ",\"retain\":true}".into() };
        let data = |is_text: bool, line: &str| form(is_text).data(line).ok().flatten();
        assert_eq!(data(false, " {\"a\": 1}").as_deref(), Some("{\"payload\":{\"a\": 1},\"retain\":true}"));
        assert_eq!(data(true, "a\"b").as_deref(), Some("{\"payload\":\"a\\\"b\",\"retain\":true}"));
        assert_eq!(data(true, "").as_deref(), Some("{\"payload\":\"\",\"retain\":true}"));
        assert!(form(false).data("  ").unwrap().is_none());
        assert!(form(false).data("hello").is_err());
    }
}
