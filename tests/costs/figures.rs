//! The figures' history, `benches/history.ndjson`, and the rule that none gets worse by more than
//! a tenth of what stands there last.
//!
//! With `HYDROGEN_COSTS_BLESS=FILE` nothing is compared: the figures are appended to that file, and
//! `make costs BLESS=1` puts them into the history.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// How much worse a figure may get.
const SLACK: f64 = 1.1;

/// Fails if one of these is worse than the last of its name in the history. Lower is better.
pub fn hold(figures: &[(&str, f64)]) {
    let figures: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (*name, round(*value))).collect();
    if let Some(file) = std::env::var_os("HYDROGEN_COSTS_BLESS") {
        let mut file = File::options().create(true).append(true).open(file).unwrap();
        for (name, value) in figures {
            file.write_all(format!("{}\n", json!({"figure": name, "value": value})).as_bytes()).unwrap();
        }
        return;
    }
    let history = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/history.ndjson");
    let history = fs::read_to_string(history).unwrap();
    let broken: Vec<String> = figures.iter().filter_map(|(name, value)| judge(&history, name, *value)).collect();
    assert!(broken.is_empty(), "\n{}\nif that is meant to be: make costs BLESS=1", broken.join("\n"));
}

/// What is wrong with a figure, if anything is.
fn judge(history: &str, name: &str, value: f64) -> Option<String> {
    let Some(last) = last(history, name) else { return Some(format!("{name}: {value}, and none in the history")) };
    println!("{name}: {value}, and {last} in the history");
    (value > last * SLACK).then(|| format!("{name}: {value}, and {last} in the history: more than a tenth worse"))
}

fn last(history: &str, name: &str) -> Option<f64> {
    let mut lines = history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.rfind(|line| line["figure"] == name).map(|line| line["value"].as_f64().unwrap())
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[test]
fn a_figure_may_get_better_and_a_tenth_worse() {
    let history = "{\"figure\":\"a\",\"value\":5}\n{\"figure\":\"b\",\"value\":0}\n{\"figure\":\"a\",\"value\":10}\n";
    for (name, value, passes) in [
        ("a", 1.0, true),
        ("a", 10.0, true),
        ("a", 11.0, true),
        ("a", 11.1, false),
        ("b", 0.0, true),
        ("b", 0.1, false),
    ] {
        assert_eq!(judge(history, name, value).is_none(), passes, "{name} {value}");
    }
    assert!(judge(history, "c", 0.0).is_some(), "one without a history");
}
