//! Small values.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value};

use super::damage::{Aside, set_aside_value};
use super::live::Live;
use super::row::raw;
use super::schema::value_sum;
use crate::engine::store::{Damage, StoreError, StoreFault, Table};

/// The columns of a value, in the order in which they are read.
pub(super) const COLUMNS: &str = "tab, key, value, crc";

/// The value of a row of [`COLUMNS`], if its sum holds.
pub(super) fn decode(row: &Row<'_>) -> Option<(u8, Box<str>, Bytes)> {
    let (Ok(ValueRef::Integer(table)), Ok(ValueRef::Text(key))) = (row.get_ref(0), row.get_ref(1)) else {
        return None;
    };
    let (Ok(ValueRef::Blob(value)), Ok(ValueRef::Integer(sum))) = (row.get_ref(2), row.get_ref(3)) else {
        return None;
    };
    let (table, key) = (u8::try_from(table).ok()?, std::str::from_utf8(key).ok()?);
    (value_sum(table, key, value) == sum).then(|| (table, key.into(), Bytes::copy_from_slice(value)))
}

/// Sets aside every value whose sum does not hold. One that damage moved to another table would never
/// be asked for, and so never be missed.
pub(super) fn look_through(db: &Connection, aside: &mut Aside) -> Result<(), StoreError> {
    let mut bad = Vec::new();
    {
        let mut query = db.prepare(&format!("SELECT {COLUMNS} FROM value"))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            if decode(row).is_none_or(|(table, ..)| table_of(table).is_none()) {
                let (Ok(place), Ok(key)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) else {
                    return Err(StoreError::new(StoreFault::Damaged, "a small value has no key"));
                };
                bad.push((place, damage_of(row, &key), key, raw(row, COLUMNS)));
            }
        }
    }
    for (place, damage, key, row) in bad {
        if !aside.keep("value", "its sum does not hold", row) {
            return Err(StoreError::new(StoreFault::Full, "what is damaged cannot be set aside"));
        }
        if db.execute("DELETE FROM value WHERE tab = ?1 AND key = ?2", params![place, key])? != 1 {
            return Err(StoreError::new(StoreFault::Damaged, "a small value is not found under its own key"));
        }
        aside.report(damage);
    }
    Ok(())
}

/// What is lost with a damaged row. Where the sum holds for another table, that is where it was.
fn damage_of(row: &Row<'_>, key: &str) -> Damage {
    let sum = row.get::<_, i64>(3).ok();
    let value = row.get_ref(2).ok().and_then(|value| value.as_blob().ok()).unwrap_or_default();
    let was = Table::ALL.into_iter().find(|table| Some(value_sum(*table as u8, key, value)) == sum);
    let stated = || row.get::<_, u8>(0).ok().and_then(table_of);
    match was.or_else(stated) {
        Some(table) => Damage::Value { table, key: key.into() },
        None => Damage::File { text: format!("a small value of no table, key={key}").into() },
    }
}

fn table_of(place: u8) -> Option<Table> {
    Table::ALL.get(usize::from(place)).copied()
}

impl Live {
    /// One value.
    pub(super) fn get(&mut self, table: Table, key: &str, aside: &mut Aside) -> Result<Option<Bytes>, StoreError> {
        let found = {
            let mut query =
                self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM value WHERE tab = ?1 AND key = ?2"))?;
            query
                .query_row(params![table as u8, key], |row| Ok(decode(row).ok_or_else(|| raw(row, COLUMNS))))
                .optional()?
        };
        match found {
            None => Ok(None),
            Some(Ok((_, _, value))) => Ok(Some(value)),
            Some(Err(row)) => {
                self.take_values(table, vec![(key.into(), row)], aside)?;
                Ok(None)
            }
        }
    }

    /// Values under a prefix.
    pub(super) fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        aside: &mut Aside,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        let (mut values, mut bad) = (Vec::new(), Vec::new());
        {
            let (from, is_behind) = match after {
                Some(after) if after >= prefix => (after, true),
                _ => (prefix, false),
            };
            let compare = if is_behind { ">" } else { ">=" };
            let mut query = self.db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM value WHERE tab = ?1 AND key {compare} ?2 ORDER BY key"
            ))?;
            let mut rows = query.query(params![table as u8, from])?;
            while values.len() < limit
                && let Some(row) = rows.next()?
            {
                let key: String = row.get(1)?;
                if !key.starts_with(prefix) {
                    break;
                }
                match decode(row) {
                    Some((_, key, value)) => values.push((key, value)),
                    None => bad.push((key.into(), raw(row, COLUMNS))),
                }
            }
        }
        if !bad.is_empty() {
            self.take_values(table, bad, aside)?;
        }
        Ok(values)
    }

    fn take_values(
        &mut self,
        table: Table,
        bad: Vec<(Box<str>, Map<String, Value>)>,
        aside: &mut Aside,
    ) -> Result<(), StoreError> {
        self.set_sync(false)?;
        self.is_unsynced = true;
        for (key, row) in bad {
            set_aside_value(&self.db, aside, table, &key, row)?;
        }
        Ok(())
    }
}
