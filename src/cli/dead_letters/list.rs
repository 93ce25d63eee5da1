//! `hydrogen dead-letters list`: a table for people, or a line of JSON for each.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::unreadable;
use crate::base::limits::PAGE_ROWS;
use crate::cli::client::{Client, ConnectArgs, Target, printable};
use crate::cli::columns::table;
use crate::cli::exit::Stop;
use crate::cli::json;
use crate::cli::output::{Lines, note};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only those of this durable subscription
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// Only those of this identity's subscriptions
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only those of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those after this one
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// So many at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Print each as a line of JSON, with its attempts and its payload
    #[arg(long)]
    json: bool,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen dead-letters list
  hydrogen dead-letters list --subscription billing --limit 1000
  hydrogen dead-letters list --json | jq -c 'select(.reason == \"rejected\") | .payload'";

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    next: Option<&'a RawValue>,
}

/// What the table shows of one.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    died: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subscription: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    identity: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    attempts: Vec<&'a RawValue>,
}

const HEAD: [&str; 7] = ["ID", "DIED", "TOPIC", "SUBSCRIPTION", "IDENTITY", "ATTEMPTS", "REASON"];

/// What is checked before anything is done.
struct Plan {
    /// The fields of every command that choose, each with a comma before it.
    filter: String,
    after: Option<String>,
    limit: usize,
    timeout: Duration,
    target: Target,
}

pub(super) fn run(args: Args) -> Result<(), Stop> {
    let is_json = args.json;
    let plan = build(args)?;
    let mut client = Client::connect(&plan.target)?;
    let mut out = Output { is_json, lines: Lines::new(), rows: Vec::new(), is_empty: true };
    let result = list(&mut client, &plan, &mut out);
    client.close();
    // What came before an error is shown.
    if result.is_ok() || !out.is_empty {
        out.finish()?;
    }
    if result? {
        note("hydrogen: there are more: --limit shows more at a time, --after goes on after an id");
    }
    Ok(())
}

fn build(args: Args) -> Result<Plan, Stop> {
    let mut filter = String::new();
    for (name, value) in [("subscription", &args.subscription), ("identity", &args.identity), ("topic", &args.topic)] {
        if let Some(value) = value {
            filter.push_str(&format!(",\"{name}\":{}", json::string(value)));
        }
    }
    Ok(Plan {
        filter,
        after: args.after.as_deref().map(json::string),
        limit: args.limit as usize,
        timeout: Duration::from_secs(args.timeout),
        target: args.connect.build_here()?,
    })
}

/// Asks page by page; gives whether there are more than were asked for.
fn list(client: &mut Client, plan: &Plan, out: &mut Output) -> Result<bool, Stop> {
    let mut after = plan.after.clone();
    let mut left = plan.limit;
    loop {
        let from = after.as_ref().map_or_else(String::new, |after| format!(",\"after\":{after}"));
        let data = format!("{{\"limit\":{}{}{from}}}", left.min(PAGE_ROWS), plan.filter);
        let answer = client.call("system", "dead_letters", &data, plan.timeout)?.map_err(Stop::answered)?;
        let page: Page<'_> = serde_json::from_str(&answer).map_err(unreadable)?;
        for item in page.items.iter().take(left) {
            out.add(item.get())?;
        }
        let is_over = page.items.len() > left;
        left = left.saturating_sub(page.items.len());
        let next = page.next.map(RawValue::get).filter(|next| *next != "null");
        match next {
            // A page without items would come for ever.
            Some(next) if left > 0 && !page.items.is_empty() => after = Some(next.to_owned()),
            next => return Ok(is_over || (left == 0 && next.is_some())),
        }
    }
}

struct Output {
    is_json: bool,
    lines: Lines,
    /// Of the table, whose widths are known at the end.
    rows: Vec<[String; 7]>,
    is_empty: bool,
}

impl Output {
    fn add(&mut self, item: &str) -> Result<(), Stop> {
        self.is_empty = false;
        if self.is_json {
            return self.lines.line(&[&json::on_one_line(item)]);
        }
        let item: Item<'_> = serde_json::from_str(item).map_err(unreadable)?;
        let cell = |text: Option<Cow<'_, str>>| text.map_or_else(|| "-".into(), |text| printable(&text));
        self.rows.push([
            printable(&item.id),
            cell(item.died),
            cell(item.topic),
            cell(item.subscription),
            cell(item.identity),
            item.attempts.len().to_string(),
            cell(item.reason),
        ]);
        Ok(())
    }

    fn finish(mut self) -> Result<(), Stop> {
        if !self.is_json {
            for row in table(HEAD, &self.rows) {
                self.lines.line(&[&row])?;
            }
        }
        self.lines.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_text_cannot_steer_a_terminal() {
        let mut out = Output { is_json: false, lines: Lines::new(), rows: Vec::new(), is_empty: true };
        out.add(r#"{"id":"d-1","topic":"a.b","attempts":[{},{}],"reason":"\u001b[2Jno","new":1}"#).unwrap();
        out.add(r#"{"id":"d-2","topic":"a.b","subscription":"ü","identity":null,"died":"then"}"#).unwrap();
        assert_eq!(
            table(HEAD, &out.rows),
            [
                "ID   DIED  TOPIC  SUBSCRIPTION  IDENTITY  ATTEMPTS  REASON",
                "d-1  -     a.b    -             -         2          [2Jno",
                "d-2  then  a.b    ü             -         0         -",
            ]
        );
        assert!(out.add(r#"{"topic":"a.b"}"#).is_err());
    }
}
