//! `subscribe`, `unsubscribe`, `publish`, `history` and `presence`: their data, checked.

use std::sync::Arc;
use std::time::Duration;

use super::{admin, bad};
use crate::base::limits::TOPICS_PER_COMMAND;
use crate::base::{Code, Error};
use crate::engine::channel::{Call, Outcome, Publish, Session, Subscribe};
use crate::engine::outbound::{Lane, Overflow};
use crate::engine::topic::{Filter, Options, Pattern};
use crate::engine::wire::Raw;

/// The longest time that a retained event is kept, in seconds: ten years.
const TTL_S_MAX: u64 = 315_360_000;

fn unsupported(what: &'static str) -> Error {
    Error::new(Code::Unsupported, what)
}

pub(super) fn subscribe(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let data = call.data;
    let patterns = patterns(data)?;
    match text(data, "guarantee")?.as_deref() {
        None | Some("at_most_once") => {}
        Some("at_least_once") => return Err(unsupported("guaranteed delivery is not offered yet")),
        Some(_) => return Err(bad("data.guarantee: neither \"at_most_once\" nor \"at_least_once\"")),
    }
    for (field, what) in [
        ("name", "durable subscriptions are not offered yet"),
        ("window", "windows belong to guaranteed delivery, which is not offered yet"),
        ("ack_timeout_ms", "acknowledgments belong to guaranteed delivery, which is not offered yet"),
    ] {
        if data.member(field).is_some_and(|value| !value.is_null()) {
            return Err(unsupported(what));
        }
    }
    let from_last = match data.member("from") {
        None => false,
        Some(from) if from.is_str("new") => false,
        Some(from) if from.is_str("last") => true,
        Some(from) if from.is_str("all") || from.as_u64().is_some() => {
            return Err(unsupported("topics keep no history yet"));
        }
        Some(from) if from.as_str().is_some_and(|text| crate::base::Wall::parse(&text).is_some()) => {
            return Err(unsupported("topics keep no history yet"));
        }
        Some(_) => return Err(bad("data.from: \"new\", \"last\", \"all\", an offset or a time")),
    };
    let overflow = match text(data, "overflow")?.as_deref() {
        None | Some("disconnect") => Overflow::Disconnect,
        Some("drop_oldest") => Overflow::DropOldest,
        Some(_) => return Err(bad("data.overflow: neither \"disconnect\" nor \"drop_oldest\"")),
    };
    let lane = match text(data, "priority")?.as_deref() {
        None | Some("normal") => Lane::Events,
        Some("bulk" | "low") => Lane::Bulk,
        Some(_) => return Err(bad("data.priority: neither \"normal\" nor \"bulk\"")),
    };
    let filter = match data.member("filter") {
        Some(filter) if !filter.is_null() => {
            let value = serde_json::from_str(filter.as_raw()).map_err(|error| bad(format!("data.filter: {error}")))?;
            Filter::parse(&value).map_err(|error| bad(format!("data.filter: {error}")))?.map(Arc::new)
        }
        Some(_) | None => None,
    };
    let options = Options { lane, overflow, conflate: flag(data, "conflate")?, filter };
    Ok(session.subscribe(Subscribe { patterns, options, from_last }))
}

pub(super) fn unsubscribe(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    if call.data.member("name").is_some_and(|name| !name.is_null()) {
        return Err(unsupported("durable subscriptions are not offered yet"));
    }
    Ok(session.unsubscribe(&patterns(call.data)?))
}

/// The hot one: nothing is copied before it is known to be wanted.
pub(super) fn publish(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let (mut topic, mut payload, mut retain, mut ttl, mut low_priority) = (None, None, false, None, false);
    if !call.data.is_object() {
        return Err(bad("data: an object is needed"));
    }
    for (key, value) in call.data.members() {
        match &*key {
            "topic" => topic = Some(value.as_str().ok_or_else(|| bad("data.topic: a string is needed"))?),
            "payload" => payload = Some(value),
            "retain" => retain = value.as_bool().ok_or_else(|| bad("data.retain: true or false is needed"))?,
            "ttl_s" if value.is_null() => {}
            "ttl_s" => {
                let s = value.as_u64().filter(|s| (1..=TTL_S_MAX).contains(s));
                ttl = Some(Duration::from_secs(s.ok_or_else(|| bad("data.ttl_s: seconds from 1 to 315360000"))?));
            }
            "priority" if value.is_str("normal") => {}
            "priority" if value.is_str("low") => low_priority = true,
            "priority" => return Err(bad("data.priority: neither \"normal\" nor \"low\"")),
            "guarantee" if value.is_str("at_most_once") => {}
            "guarantee" if value.is_str("at_least_once") => {
                return Err(unsupported("guaranteed delivery is not offered yet"));
            }
            "guarantee" => return Err(bad("data.guarantee: neither \"at_most_once\" nor \"at_least_once\"")),
            _ => {}
        }
    }
    let topic = topic.ok_or_else(|| bad("data.topic: a string is needed"))?;
    let payload = payload.map_or("null", Raw::as_raw);
    if ttl.is_some() && !retain {
        // Without a log, only what is retained is ever kept.
        ttl = None;
    }
    Ok(session.publish(Publish { topic: &topic, payload, retain, ttl, low_priority }))
}

pub(super) fn history(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let topic = text(call.data, "topic")?.ok_or_else(|| bad("data.topic: a string is needed"))?;
    let since = match call.data.member("since") {
        None => None,
        Some(since) if since.is_null() => None,
        Some(since) => match since.as_u64() {
            Some(offset) => Some(offset),
            None if since.as_str().is_some_and(|text| crate::base::Wall::parse(&text).is_some()) => {
                return Err(unsupported("topics keep no history by time yet"));
            }
            None => return Err(bad("data.since: an offset or a time")),
        },
    };
    admin::page(call)?;
    Ok(session.history(&topic, since))
}

pub(super) fn presence(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let topic = text(call.data, "topic")?.ok_or_else(|| bad("data.topic: a string is needed"))?;
    Ok(session.presence(&topic, admin::page(call)?))
}

fn patterns(data: Raw<'_>) -> Result<Vec<Pattern>, Error> {
    let topics = data.member("topics").filter(|topics| topics.is_array());
    let topics = topics.ok_or_else(|| bad("data.topics: a list of patterns is needed"))?;
    let mut patterns: Vec<Pattern> = Vec::new();
    for (index, topic) in topics.elements().enumerate() {
        if index == TOPICS_PER_COMMAND {
            return Err(bad("data.topics: more than 256 patterns"));
        }
        let text = topic.as_str().ok_or_else(|| bad("data.topics: every pattern is a string"))?;
        let pattern = Pattern::parse(&text).map_err(|error| bad(format!("data.topics: {error}")))?;
        if pattern.is_exact() && !text.contains('.') {
            return Err(bad("data.topics: a topic has two tokens at least"));
        }
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() { Err(bad("data.topics: at least one pattern is needed")) } else { Ok(patterns) }
}

fn text<'a>(data: Raw<'a>, field: &str) -> Result<Option<std::borrow::Cow<'a, str>>, Error> {
    match data.member(field) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| bad(format!("data.{field}: a string is needed"))),
    }
}

fn flag(data: Raw<'_>, field: &str) -> Result<bool, Error> {
    match data.member(field) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| bad(format!("data.{field}: true or false is needed"))),
    }
}
