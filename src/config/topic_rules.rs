//! `Topics.Rules`: what is kept of which topics, and how safely.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::engine::topic::pattern::Pattern;

use super::reader::{ItemDocs, Reader};
use super::text::open;

const KIB: u64 = 1024;
const TIB: u64 = 1024 * 1024 * 1024 * KIB;

/// More rules than a person keeps in view.
const RULES: usize = 256;

/// Up to a hundred years.
pub(super) const AGES_S: RangeInclusive<u64> = 1..=3_153_600_000;
/// Events of one log.
pub(super) const EVENTS: RangeInclusive<u64> = 1..=1_000_000_000_000;
/// Bytes of one log.
pub(super) const BYTES: RangeInclusive<u64> = KIB..=16 * TIB;

/// What holds for the topics under a pattern. Of several rules for a topic the first counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// Which topics.
    pub pattern: Pattern,
    /// Whether every publish is answered only when it is on disk, also one that does not ask for it.
    pub guaranteed: bool,
    /// Whether best-effort publishes are kept too.
    pub history: bool,
    /// How old an event of a log may be; `None`: as `LogMaxAge` says.
    pub max_age: Option<Duration>,
    /// Events of one topic's log; `None`: as `LogMaxEvents` says.
    pub max_events: Option<u64>,
    /// Bytes of one topic's log; `None`: as `LogMaxBytes` says.
    pub max_bytes: Option<u64>,
}

const DOCS: ItemDocs = ItemDocs {
    list: "What is kept of which topics. For each topic the first rule counts whose pattern matches it.",
    item: "Each item of the list is an object: `{ \"Topics\": \"sensors.>\", \"History\": true, \"MaxAge\": 86400 }`.",
};

pub(super) fn read(r: &mut Reader<'_, '_>) -> Vec<TopicRule> {
    let rules = r.items("Rules", RULES, &DOCS, read_rule);
    // Once something is wrong the places in the list are no longer those in the file.
    if !r.is_wrong("Rules") {
        warn_of_idle(&rules, r);
    }
    rules
}

fn read_rule(r: &mut Reader<'_, '_>) -> Option<TopicRule> {
    let pattern = r.needed(
        "Topics",
        &open("a topic or pattern like \"sensors.>\""),
        "The topics for which the rule is: `*` stands for one token, a final `>` for one or more.",
        |text| Pattern::parse(text).map_err(|error| error.to_string()),
    );
    let guaranteed = r.choice(
        "Guarantee",
        &[("at_most_once", false), ("at_least_once", true)],
        ("at_most_once", false),
        "With `\"at_least_once\"` every publish is answered when it is on disk, also one that does not ask for it.",
    );
    let history = r.flag("History", false, "Whether events are kept that were published without a guarantee.");
    let max_age = r.given_seconds("MaxAge", AGES_S, "`LogMaxAge`", "Older events are dropped from the topic's log.");
    let max_events = r.given_count("MaxEvents", EVENTS, "`LogMaxEvents`", "Events of one topic's log.");
    let max_bytes = r.given_bytes_on_disk("MaxBytes", BYTES, "`LogMaxBytes`", "Bytes of one topic's log.");
    Some(TopicRule { pattern: pattern?, guaranteed, history, max_age, max_events, max_bytes })
}

/// A rule behind one that matches all of its topics.
fn warn_of_idle(rules: &[TopicRule], r: &mut Reader<'_, '_>) {
    for (index, rule) in rules.iter().enumerate() {
        if let Some(first) = rules[..index].iter().position(|earlier| earlier.pattern.covers(&rule.pattern)) {
            let message = format!("never used: Rules[{first}] stands before it, and matches all of its topics");
            r.warn(&format!("Rules[{index}]"), message);
        }
    }
}
