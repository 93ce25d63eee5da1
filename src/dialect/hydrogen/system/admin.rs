//! The admin lists, `disconnect`, `block` and `unblock`: their data, checked.

use super::bad;
use crate::base::limits::PAGE_ROWS;
use crate::base::{ConnId, Error};
use crate::engine::auth::Target;
use crate::engine::channel::{Call, Disconnect, List, Outcome, Page, Session};
use crate::engine::wire::Raw;

/// Rows of a page where none are asked for.
const PAGE_DEFAULT: usize = 100;

/// `{after, limit}`, both optional.
pub(super) fn page(call: &Call<'_>) -> Result<Page, Error> {
    let limit = match call.data.member("limit") {
        None => PAGE_DEFAULT,
        Some(limit) => match limit.as_u64() {
            Some(limit) if (1..=PAGE_ROWS as u64).contains(&limit) => limit as usize,
            Some(_) | None => return Err(bad("data.limit: a number from 1 to 1000")),
        },
    };
    Ok(Page { after: text(call.data, "after")?, limit })
}

pub(super) fn list(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let list = match call.action {
        "sessions" => List::Sessions,
        "connections" => List::Connections,
        _ => List::Topics,
    };
    Ok(session.list(list, page(call)?))
}

pub(super) fn channels(call: &Call<'_>, channels: &serde_json::Value) -> Outcome {
    let page = match page(call) {
        Ok(page) => page,
        Err(error) => return error.into(),
    };
    let name = |row: &serde_json::Value| row["channel"].as_str().unwrap_or_default().to_owned();
    let after = |row: &&serde_json::Value| page.after.as_ref().is_none_or(|after| name(row) > *after);
    let mut rows: Vec<serde_json::Value> =
        channels.as_array().into_iter().flatten().filter(after).take(page.limit + 1).cloned().collect();
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = rows.last().filter(|_| more).map(name);
    Outcome::json(&serde_json::json!({"items": rows, "next": next}))
}

pub(super) fn disconnect(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let named = ["connection", "identity", "address"];
    let given: Vec<&str> = named.into_iter().filter(|field| call.data.member(field).is_some()).collect();
    let [field] = given[..] else { return Err(bad("data: exactly one of connection, identity and address")) };
    let value = text(call.data, field)?.ok_or_else(|| bad(format!("data.{field}: a string is needed")))?;
    let whom = match field {
        "connection" => {
            let conn: ConnId = value.parse().map_err(|()| bad("data.connection: this is no connection's id"))?;
            Disconnect::Connection(conn)
        }
        "identity" => Disconnect::Identity(value),
        _ => Disconnect::Address(value.parse().map_err(|_| bad("data.address: this is no address"))?),
    };
    Ok(session.disconnect(whom))
}

pub(super) fn block(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    let target = target(call)?;
    let duration_s = match call.data.member("duration_s") {
        None => None,
        Some(duration) if duration.is_null() => None,
        Some(duration) => Some(duration.as_u64().filter(|s| *s > 0).ok_or_else(|| bad("data.duration_s: seconds"))?),
    };
    Ok(session.block(target, duration_s, text(call.data, "reason")?.as_deref()))
}

pub(super) fn unblock(call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
    Ok(session.unblock(target(call)?))
}

/// `identity` or `address` (an address or a network). Neither is ever taken for the other: a name
/// may look like an address.
fn target(call: &Call<'_>) -> Result<Target, Error> {
    match (text(call.data, "identity")?, text(call.data, "address")?) {
        (Some(name), None) => Target::identity(&name).map_err(|why| bad(format!("data.identity: {why}"))),
        (None, Some(network)) => Target::network(&network).map_err(|why| bad(format!("data.address: {why}"))),
        (None, None) | (Some(_), Some(_)) => Err(bad("data: exactly one of identity and address")),
    }
}

fn text(data: Raw<'_>, field: &str) -> Result<Option<String>, Error> {
    match data.member(field) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => {
            let text = value.as_str().ok_or_else(|| bad(format!("data.{field}: a string is needed")))?;
            Ok(Some(text.into_owned()))
        }
    }
}
