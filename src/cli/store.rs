//! `hydrogen store`: looks at the store of a server that is stopped. It changes nothing.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::exit::{Exit, Stop};
use super::output::Lines;
use crate::engine::store::Damage;
use crate::sys::store::sqlite::{self, CheckError, Report};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Read everything in the store, and tell what is damaged
    Check(CheckArgs),
}

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct CheckArgs {
    /// The store's folder
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen store check --path /var/lib/hydrogen/store
  hydrogen store check --path /var/lib/hydrogen/store --json | jq .damage

The server must be stopped. A store that was not closed in order is copied below TMPDIR first, and
the copy is looked at. The exit code is 6 if something is damaged.";

/// Runs what was asked for.
pub fn run(args: Args) -> Result<(), Stop> {
    match args.what {
        What::Check(args) => check(&args),
    }
}

fn check(args: &CheckArgs) -> Result<(), Stop> {
    let report = sqlite::check(&args.path).map_err(|error| match error {
        CheckError::Missing(_) | CheckError::Newer(_) => Stop::usage(error),
        CheckError::InUse(_) | CheckError::File(..) => Stop::new(Exit::System, error),
    })?;
    let mut out = Lines::new();
    if args.json {
        out.line(&[&as_json(&report).to_string()])?;
    } else {
        for line in as_text(&report) {
            out.line(&[&line])?;
        }
    }
    out.flush()?;
    if report.is_well() { Ok(()) } else { Err(Stop::silent(Exit::Damaged)) }
}

fn as_text(report: &Report) -> Vec<String> {
    let events: u64 = report.logs.iter().map(|log| log.events).sum();
    let how = if report.was_closed { "closed in order" } else { "not closed in order" };
    let mut lines = vec![format!(
        "{} bytes, {how}; {} logs with {events} events, the newest has number {}; {} ids of publishes",
        report.bytes,
        report.logs.len(),
        report.last,
        report.dedup
    )];
    for log in &report.logs {
        let (first, last) = (log.first, log.last);
        let range = if log.events == 0 { format!("nothing up to {last}") } else { format!("{first}..={last}") };
        lines.push(format!(
            "log topic={} epoch={} {range} events={} bytes={}",
            log.topic, log.epoch, log.events, log.bytes
        ));
    }
    for (table, count) in report.values.iter().filter(|(_, count)| *count > 0) {
        lines.push(format!("table {} values={count}", table.as_str()));
    }
    lines.extend(report.settled.iter().map(|damage| format!("reported before: {damage}")));
    lines.extend(report.damage.iter().map(|damage| format!("damaged: {damage}")));
    lines.extend(report.findings.iter().map(|finding| format!("wrong: {finding}")));
    lines.push(if report.is_well() { "nothing is damaged".into() } else { "something is damaged".to_owned() });
    lines
}

fn as_json(report: &Report) -> Value {
    let logs = report.logs.iter().map(|log| {
        json!({
            "topic": log.topic, "epoch": log.epoch.to_string(), "first": log.first, "last": log.last,
            "events": log.events, "bytes": log.bytes,
        })
    });
    let values = report.values.iter().map(|(table, count)| (table.as_str().to_owned(), Value::from(*count)));
    json!({
        "well": report.is_well(),
        "closed": report.was_closed,
        "bytes": report.bytes,
        "last": report.last,
        "logs": logs.collect::<Vec<_>>(),
        "values": values.collect::<serde_json::Map<_, _>>(),
        "dedup": report.dedup,
        "damage": report.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "settled": report.settled.iter().map(damage_json).collect::<Vec<_>>(),
        "findings": report.findings,
    })
}

fn damage_json(damage: &Damage) -> Value {
    match damage {
        Damage::Events { topic, epoch, first, last } => {
            json!({ "what": "events", "topic": topic, "epoch": epoch.to_string(), "first": first, "last": last })
        }
        Damage::Value { table, key } => json!({ "what": "value", "table": table.as_str(), "key": key }),
        Damage::File { text } => json!({ "what": "file", "text": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::Table;
    use crate::engine::topic::Epoch;
    use crate::sys::store::sqlite::LogReport;

    fn report(damage: Vec<Damage>) -> Report {
        let topic = "a.b".into();
        let log = LogReport { topic, epoch: Epoch::new(1), first: 3, last: 9, events: 6, bytes: 70 };
        Report { logs: vec![log], values: vec![(Table::Cursors, 2)], damage, ..Report::default() }
    }

    #[test]
    fn damage_is_told_by_topic_and_offset_in_both_forms() {
        let damage = Damage::Events { topic: "a.b".into(), epoch: Epoch::new(1), first: 4, last: 4 };
        let report = report(vec![damage]);
        let lines = as_text(&report);
        assert!(lines.contains(&"damaged: topic=a.b epoch=0000000000000001 offsets=4..=4".to_owned()), "{lines:?}");
        assert!(lines.contains(&"table cursors values=2".to_owned()));
        assert_eq!(lines.last().unwrap(), "something is damaged");
        let json = as_json(&report);
        assert_eq!((&json["damage"][0]["first"], &json["well"]), (&json!(4), &json!(false)));
        assert_eq!(json["values"]["cursors"], json!(2));
    }

    #[test]
    fn a_store_that_is_well_says_so() {
        let report = report(Vec::new());
        assert_eq!(as_text(&report).last().unwrap(), "nothing is damaged");
        assert_eq!(as_json(&report)["well"], json!(true));
    }
}
