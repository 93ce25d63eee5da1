//! `hydrogen key list`: a table for people, or JSON for programs. Neither holds a hash or secret.

use serde_json::{Value, json};

use super::{FileArgs, now, stop};
use crate::base::Wall;
use crate::cli::exit::Stop;
use crate::cli::output::{Lines, note};
use crate::engine::auth::KeyRecord;
use crate::sys::keyfile;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen key list
  hydrogen key list --json --data-dir /var/lib/hydrogen";

const HEAD: [&str; 6] = ["ID", "NAME", "STATE", "CREATED", "EXPIRES", "PERMISSIONS"];

pub fn run(args: Args) -> Result<(), Stop> {
    let path = args.file.keys_file()?;
    let records = match keyfile::load(&path) {
        Ok(loaded) => {
            if let Some(warning) = loaded.warning {
                note(format_args!("warning: {warning}"));
            }
            loaded.records
        }
        // No file yet is no key yet.
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => return Err(stop(error)),
    };
    let now = now();
    let mut out = Lines::new();
    if args.json {
        let all: Value = records.iter().map(|record| describe(record, now)).collect();
        out.line(&[&all.to_string()])?;
    } else {
        let rows: Vec<[String; 6]> = records.iter().map(|record| row(record, now)).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].len()).chain([HEAD[column].len()]).max().unwrap_or_default()
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        out.line(&[&joined(&HEAD, &widths)])?;
        for row in &rows {
            out.line(&[&joined(row, &widths)])?;
        }
    }
    out.flush()
}

fn joined<T: AsRef<str>>(cells: &[T], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{:width$}  ", cell.as_ref()));
    }
    line.truncate(line.trim_end().len());
    line
}

fn state(record: &KeyRecord, now: Wall) -> &'static str {
    match (record.revoked, record.expires) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if expires <= now => "expired",
        (None, Some(_) | None) => "good",
    }
}

fn row(record: &KeyRecord, now: Wall) -> [String; 6] {
    let permissions: Vec<String> = record.permissions.iter().map(|permission| permission.to_string()).collect();
    [
        record.id.to_string(),
        record.name.to_string(),
        state(record, now).into(),
        record.created.to_string(),
        record.expires.map_or_else(|| "never".into(), |expires| expires.to_string()),
        permissions.join(","),
    ]
}

fn describe(record: &KeyRecord, now: Wall) -> Value {
    let permissions: Vec<String> = record.permissions.iter().map(|permission| permission.to_string()).collect();
    let time = |time: Option<Wall>| time.map(|time| time.to_string());
    json!({
        "id": record.id.as_str(),
        "name": &*record.name,
        "state": state(record, now),
        "permissions": permissions,
        "created": record.created.to_string(),
        "expires": time(record.expires),
        "revoked": time(record.revoked),
        "signing": record.signing.as_ref().map(|signing| signing.expose().0),
    })
}
