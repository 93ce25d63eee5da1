//! Rows of events: read, and held to be whole only if their sum says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};
use serde_json::{Map, Value, json};

use super::heads::{Head, Heads};
use super::schema::{Fixed, event_sum};
use crate::base::Wall;
use crate::engine::store::{Record, Seq, StoreError};

/// The columns of an event, in the order that [`decode`] wants.
pub(super) const COLUMNS: &str = "seq, log, offset, time, high, expires, pos, crc, payload";

/// An event that is whole.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) fixed: Fixed,
    pub(super) record: Record,
}

/// An event that is not.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    /// Its number.
    pub(super) seq: u64,
    /// Its log and offset, if its row still says so.
    pub(super) place: Option<(i64, u64)>,
    /// All of it.
    pub(super) row: Map<String, Value>,
}

/// Reads a row of [`COLUMNS`].
pub(super) fn decode(row: &Row<'_>, heads: &Heads) -> Result<Result<Whole, Bad>, StoreError> {
    let seq = row.get::<_, i64>(0)? as u64;
    let place = place(row);
    let found = place.and_then(|(log, offset)| {
        let head = heads.of(log)?;
        let (fixed, payload) = check(row, head, seq, offset)?;
        let record = Record {
            seq: Seq(seq),
            topic: head.topic.clone(),
            epoch: head.epoch,
            offset,
            time: fixed.time,
            expires: fixed.expires,
            payload: Bytes::copy_from_slice(payload),
        };
        Some(Whole { fixed, record })
    });
    Ok(found.ok_or_else(|| Bad { seq, place, row: raw(row, COLUMNS) }))
}

/// Whether a row of [`COLUMNS`] is whole, without a copy of its payload: its number and its log.
pub(super) fn examine(row: &Row<'_>, heads: &Heads) -> Result<Result<(u64, i64), Bad>, StoreError> {
    let seq = row.get::<_, i64>(0)? as u64;
    let place = place(row);
    let log = place.and_then(|(log, offset)| check(row, heads.of(log)?, seq, offset).map(|_| (seq, log)));
    Ok(log.ok_or_else(|| Bad { seq, place, row: raw(row, COLUMNS) }))
}

/// The next event that is whole.
pub(super) fn next_whole(rows: &mut Rows<'_>, heads: &Heads, bad: &mut Vec<Bad>) -> Option<Result<Record, StoreError>> {
    loop {
        let row: &Row<'_> = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return None,
            Err(error) => return Some(Err(error.into())),
        };
        match decode(row, heads) {
            Ok(Ok(whole)) => return Some(Ok(whole.record)),
            Ok(Err(found)) => bad.push(found),
            Err(error) => return Some(Err(error)),
        }
    }
}

/// SQLite's integers are signed; nothing that is stored lies behind.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn place(row: &Row<'_>) -> Option<(i64, u64)> {
    Some((integer(row, 1)?, u64::try_from(integer(row, 2)?).ok()?))
}

fn check<'a>(row: &'a Row<'_>, head: &Head, seq: u64, offset: u64) -> Option<(Fixed, &'a [u8])> {
    let fixed = Fixed {
        seq,
        log: head.id,
        offset,
        time: Wall(integer(row, 3)?),
        high: optional(row, 4)?,
        expires: optional(row, 5)?.map(Wall),
        pos: integer(row, 6)? as u64,
    };
    let sum = integer(row, 7)?;
    let Ok(ValueRef::Blob(payload)) = row.get_ref(8) else { return None };
    (event_sum(&fixed, &head.topic, head.epoch, payload) == sum).then_some((fixed, payload))
}

fn integer(row: &Row<'_>, index: usize) -> Option<i64> {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Some(number),
        _ => None,
    }
}

/// Nothing if the column is neither empty nor a number.
fn optional(row: &Row<'_>, index: usize) -> Option<Option<i64>> {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Some(Some(number)),
        Ok(ValueRef::Null) => Some(None),
        _ => None,
    }
}

/// All of a row, as it is.
pub(super) fn raw(row: &Row<'_>, columns: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for (index, name) in columns.split(", ").enumerate() {
        let value = match row.get_ref(index) {
            Ok(ValueRef::Null) | Err(_) => Value::Null,
            Ok(ValueRef::Integer(number)) => number.into(),
            Ok(ValueRef::Real(number)) => json!(number),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                // Text that is damaged may not be text any more.
                fields.insert(format!("{name}_base64"), STANDARD.encode(bytes).into());
                continue;
            }
        };
        fields.insert(name.to_owned(), value);
    }
    fields
}

/// The number of the event at a place, as the index has it.
pub(super) fn seq_at(db: &Connection, log: i64, offset: u64) -> Result<Option<u64>, StoreError> {
    let mut query = db.prepare_cached("SELECT seq FROM event INDEXED BY event_place WHERE log = ?1 AND offset = ?2")?;
    let found: Option<i64> = query.query_row(params![log, offset as i64], |row| row.get(0)).optional()?;
    Ok(found.map(|seq| seq as u64))
}

/// Finds anew where a log begins, after its oldest events went. An empty one begins behind its end.
pub(super) fn begin_anew(db: &Connection, head: &mut Head) -> Result<(), StoreError> {
    let mut query = db.prepare_cached(
        "SELECT offset, time, pos, length(payload) FROM event WHERE log = ?1 ORDER BY offset LIMIT 1",
    )?;
    let number = |row: &Row<'_>, index| row.get::<_, i64>(index);
    let found = query
        .query_row([head.id], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?, number(row, 3)?)))
        .optional()?;
    match found {
        Some((offset, time, pos, payload)) => {
            head.first = offset as u64;
            head.first_time = Some(Wall(time));
            head.start = (pos as u64).saturating_sub(head.weight(payload as usize));
        }
        None => {
            head.first = head.last.saturating_add(1);
            head.first_time = None;
            head.start = head.pos;
        }
    }
    Ok(())
}
