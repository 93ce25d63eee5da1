//! `dead_letters` and what is done with them, and `resume`: their data, checked.

use super::{admin, bad};
use crate::base::limits::{IDS_PER_ACK, TOPICS_PER_COMMAND};
use crate::base::{Error, Secret};
use crate::engine::channel::{Call, Letters, LettersOf, Outcome, Resume, Session};
use crate::engine::topic::UpTo;
use crate::engine::wire::{Raw, up_to};

/// Bytes of a session's id and of its secret.
const SESSION_BYTES: usize = 128;

pub(super) fn list(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let page = admin::page(call)?;
    let letters = Letters::List { of: of(call.data)?, after: page.after, limit: page.limit };
    Ok(session.letters(letters))
}

pub(super) fn replay(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let letters = match ids(call.data)? {
        Some(ids) => Letters::Replay(ids),
        None => Letters::ReplayAll(of(call.data)?),
    };
    Ok(session.letters(letters))
}

pub(super) fn discard(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let letters = match ids(call.data)? {
        Some(ids) => Letters::Discard(ids),
        None => Letters::DiscardAll(of(call.data)?),
    };
    Ok(session.letters(letters))
}

pub(super) fn resume(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let needed = |field: &str| {
        let value = text(call.data, field)?;
        value
            .filter(|value| value.len() <= SESSION_BYTES)
            .ok_or_else(|| bad(format!("data.{field}: a string is needed")))
    };
    let (id, secret) = (needed("session")?, needed("secret")?);
    Ok(session.resume(Resume { session: id.into(), secret: Secret::new(secret), seen: seen(call.data)? }))
}

/// `{"<topic>":<offset, or an event's id>,…}`.
fn seen(data: Raw<'_>) -> Result<Vec<(Box<str>, UpTo)>, Error> {
    let Some(seen) = data.member("seen").filter(|seen| !seen.is_null()) else { return Ok(Vec::new()) };
    let wrong = || bad("data.seen: an object of topics, each with an offset or an event's id");
    if !seen.is_object() {
        return Err(wrong());
    }
    let mut topics = Vec::new();
    for (topic, place) in seen.members() {
        if topics.len() == TOPICS_PER_COMMAND {
            return Err(bad("data.seen: more than 256 topics"));
        }
        topics.push(((&*topic).into(), up_to(place).ok_or_else(wrong)?));
    }
    Ok(topics)
}

/// `{"ids":[…]}`; `None` where `{"all":true}` says that no ids are meant.
fn ids(data: Raw<'_>) -> Result<Option<Vec<String>>, Error> {
    let wrong = || bad("data: either a list of ids, or \"all\":true");
    let is_all = data.member("all").and_then(|all| all.as_bool()).unwrap_or(false);
    let Some(ids) = data.member("ids").filter(|ids| ids.is_array()) else {
        return if is_all { Ok(None) } else { Err(wrong()) };
    };
    if is_all {
        return Err(wrong());
    }
    let mut out = Vec::new();
    for id in ids.elements() {
        if out.len() == IDS_PER_ACK {
            return Err(bad("data.ids: more than 1024 ids"));
        }
        out.push(id.as_str().ok_or_else(|| bad("data.ids: every id is a string"))?.into_owned());
    }
    if out.is_empty() { Err(wrong()) } else { Ok(Some(out)) }
}

fn of(data: Raw<'_>) -> Result<LettersOf, Error> {
    Ok(LettersOf {
        subscription: text(data, "subscription")?,
        identity: text(data, "identity")?,
        topic: text(data, "topic")?,
    })
}

fn text(data: Raw<'_>, field: &str) -> Result<Option<String>, Error> {
    match data.member(field).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(bad(format!("data.{field}: a string is needed"))),
        },
    }
}
