//! `subscribe`, `unsubscribe`, `publish`, `history` and `presence`: their data, checked.

use std::sync::Arc;
use std::time::Duration;

use super::{admin, bad};
use crate::base::Error;
use crate::base::limits::TOPICS_PER_COMMAND;
use crate::engine::channel::{Call, Guaranteed, Outcome, Publish, Session, Since, StartFrom, Subscribe};
use crate::engine::outbound::{Lane, Overflow};
use crate::engine::topic::{EventId, Filter, Options, Pattern};
use crate::engine::wire::Raw;

/// The longest time that a retained event is kept, in seconds: ten years.
const TTL_S_MAX: u64 = 315_360_000;

/// Bytes of a durable subscription's name.
const NAME_BYTES: usize = 64;
/// The longest ack timeout that a subscription may ask for, in milliseconds.
const ACK_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 50..=3_600_000;

pub(super) fn subscribe(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let data = call.data;
    let patterns = patterns(data)?;
    let guaranteed = guaranteed(data)?;
    let from = from(data, &patterns)?;
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
    if guaranteed.is_some() && (options.conflate || options.overflow == Overflow::DropOldest) {
        return Err(bad("data.conflate, data.overflow: a guaranteed subscription drops nothing"));
    }
    Ok(session.subscribe(Subscribe { patterns, options, from, guaranteed }))
}

/// `guarantee`, and what belongs to it.
fn guaranteed(data: Raw<'_>) -> Result<Option<Guaranteed>, Error> {
    let is_guaranteed = is_guaranteed(data)?;
    let name = text(data, "name")?;
    if let Some(name) = &name {
        check_name(name)?;
    }
    let number = |field: &str, range: std::ops::RangeInclusive<u64>| match data.member(field) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(format!("data.{field}: a whole number from {} to {}", range.start(), range.end()))),
        },
    };
    let window = number("window", 1..=65_536)?;
    let ack_timeout = number("ack_timeout_ms", ACK_TIMEOUT_MS)?;
    match is_guaranteed {
        // A name says enough.
        Some(true) | None if is_guaranteed.is_some() || name.is_some() => Ok(Some(Guaranteed {
            name: name.map(|name| name.as_ref().into()),
            window: window.map(|window| window as usize),
            ack_timeout: ack_timeout.map(Duration::from_millis),
        })),
        Some(_) | None if name.is_some() || window.is_some() || ack_timeout.is_some() => {
            Err(bad("data.name, data.window, data.ack_timeout_ms: they need \"guarantee\":\"at_least_once\""))
        }
        Some(_) | None => Ok(None),
    }
}

/// A durable subscription's name.
fn check_name(name: &str) -> Result<(), Error> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_good) {
        Ok(())
    } else {
        Err(bad("data.name: 1 to 64 letters, digits, dots, hyphens and underscores"))
    }
}

fn from(data: Raw<'_>, patterns: &[Pattern]) -> Result<StartFrom, Error> {
    let Some(from) = data.member("from").filter(|from| !from.is_null()) else { return Ok(StartFrom::New) };
    let wrong = || bad("data.from: \"new\", \"last\", \"all\", an offset or a time");
    match from.as_str().as_deref() {
        Some("new") => return Ok(StartFrom::New),
        Some("last") => return Ok(StartFrom::Last),
        Some("all") => return Ok(StartFrom::All),
        Some(text) => return crate::base::Wall::parse(text).map(StartFrom::Time).ok_or_else(wrong),
        None => {}
    }
    let offset = from.as_u64().ok_or_else(wrong)?;
    if patterns.len() != 1 || !patterns[0].is_exact() {
        return Err(bad("data.from: an offset belongs to one topic"));
    }
    Ok(StartFrom::Offset(offset))
}

/// What `guarantee` says; `None` if it says nothing.
fn is_guaranteed(data: Raw<'_>) -> Result<Option<bool>, Error> {
    match text(data, "guarantee")?.as_deref() {
        None => Ok(None),
        Some("at_most_once") => Ok(Some(false)),
        Some("at_least_once") => Ok(Some(true)),
        Some(_) => Err(bad("data.guarantee: neither \"at_most_once\" nor \"at_least_once\"")),
    }
}

pub(super) fn unsubscribe(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    if let Some(name) = text(call.data, "name")? {
        check_name(&name)?;
        return Ok(session.unsubscribe_durable(&name));
    }
    Ok(session.unsubscribe(&patterns(call.data)?))
}

/// The hot one: nothing is copied before it is known to be wanted.
pub(super) fn publish(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let (mut topic, mut payload, mut retain, mut ttl, mut low_priority) = (None, None, false, None, false);
    let mut guaranteed = false;
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
            "guarantee" if value.is_str("at_least_once") => guaranteed = true,
            "guarantee" => return Err(bad("data.guarantee: neither \"at_most_once\" nor \"at_least_once\"")),
            _ => {}
        }
    }
    let topic = topic.ok_or_else(|| bad("data.topic: a string is needed"))?;
    let payload = payload.map_or("null", Raw::as_raw);
    Ok(session.publish(Publish { topic: &topic, payload, retain, ttl, low_priority, guaranteed, id: call.id }))
}

pub(super) fn history(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let topic = text(call.data, "topic")?.ok_or_else(|| bad("data.topic: a string is needed"))?;
    let since = match call.data.member("since").filter(|since| !since.is_null()) {
        None => Since::Start,
        Some(since) => match (since.as_u64(), since.as_str()) {
            (Some(offset), _) => Since::Offset(offset),
            (None, Some(text)) => {
                since_text(&text).ok_or_else(|| bad("data.since: an offset, an event's id or a time"))?
            }
            (None, None) => return Err(bad("data.since: an offset, an event's id or a time")),
        },
    };
    let page = admin::page(call)?;
    Ok(session.history(&topic, since, page.limit))
}

fn since_text(text: &str) -> Option<Since> {
    if let Some(time) = crate::base::Wall::parse(text) {
        return Some(Since::Time(time));
    }
    EventId::parse(text).map(|id| Since::Event(id.epoch, id.offset))
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
