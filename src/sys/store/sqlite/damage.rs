//! What is found damaged: it is written aside as it was, taken from its place, and reported.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::heads::{Head, Heads};
use super::make_folder;
use super::row::{self, Bad};
use super::schema::end_sum;
use crate::base::Wall;
use crate::engine::store::{Damage, StoreError, StoreFault, Table};

/// Lines of one file. What is behind is reported and stays where it is.
const LINES: u64 = 1_000_000;

/// Where damaged things go, and what is still to be reported.
#[derive(Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    stamp: String,
    file: Option<File>,
    lines: u64,
    damage: Vec<Damage>,
}

impl Aside {
    /// Below the store's folder. Nothing is made before something is set aside.
    pub(super) fn new(path: &Path, now: Wall) -> Aside {
        let stamp = now.to_string().replace(':', "-");
        Aside { folder: path.join("damaged"), stamp, file: None, lines: 0, damage: Vec::new() }
    }

    /// A new folder for whole files.
    pub(super) fn folder(&self) -> std::io::Result<PathBuf> {
        let mut count = 0;
        loop {
            let name = if count == 0 { self.stamp.clone() } else { format!("{}-{count}", self.stamp) };
            let folder = self.folder.join(name);
            if !folder.exists() {
                make_folder(&folder)?;
                return Ok(folder);
            }
            count += 1;
        }
    }

    /// Something to report. Neighbours in a log are one range.
    pub(super) fn report(&mut self, damage: Damage) {
        if let (
            Some(Damage::Events { topic, epoch, last, .. }),
            Damage::Events { topic: next_topic, epoch: next_epoch, first: next_first, last: next_last },
        ) = (self.damage.last_mut(), &damage)
            && topic == next_topic
            && epoch == next_epoch
            && last.saturating_add(1) == *next_first
        {
            *last = *next_last;
            return;
        }
        self.damage.push(damage);
    }

    /// Events of a log that are gone.
    pub(super) fn report_events(&mut self, head: &Head, first: u64, last: u64) {
        self.report(Damage::Events { topic: (*head.topic).into(), epoch: head.epoch, first, last });
    }

    /// What was to be reported.
    pub(super) fn take(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    /// Writes a row aside. False if it could not be written: then it must stay where it is.
    pub(super) fn keep(&mut self, what: &str, why: &str, row: Map<String, Value>) -> bool {
        let line = json!({ "what": what, "why": why, "row": row });
        let kept = self.write(&line.to_string());
        if let Err(error) = &kept {
            log::error!("what is damaged cannot be set aside in {}: {error}", self.folder.display());
        }
        kept.is_ok()
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        if self.lines >= LINES {
            return Err(std::io::Error::other("too much is damaged"));
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                make_folder(&self.folder)?;
                let path = self.folder.join(format!("{}.ndjson", self.stamp));
                empty.insert(File::options().append(true).create(true).open(path)?)
            }
        };
        file.write_all(format!("{line}\n").as_bytes())?;
        self.lines += 1;
        Ok(())
    }
}

/// Sets damaged events aside. An error of kind damaged says that the tables do not agree on where
/// one belongs: then all is to be built anew.
pub(super) fn set_aside(
    db: &Connection,
    heads: &mut Heads,
    aside: &mut Aside,
    bad: Vec<Bad>,
) -> Result<(), StoreError> {
    for Bad { seq, .. } in bad {
        // Its row may be well, and the index that led there wrong.
        let Some((log, offset, row)) = place_of(db, heads, seq)? else {
            return Err(StoreError::new(StoreFault::Damaged, format!("nothing tells where event {seq} belongs")));
        };
        let Some(head) = heads.of(log).cloned() else {
            return Err(StoreError::new(StoreFault::Damaged, format!("event {seq} is of a log that is not known")));
        };
        if !aside.keep("event", "its sum does not hold", named(row, &head)) {
            return Err(StoreError::new(StoreFault::Full, "what is damaged cannot be set aside"));
        }
        take_away(db, heads, head.clone(), seq, offset)?;
        aside.report_events(&head, offset, offset);
    }
    Ok(())
}

/// A log, an offset, and the row that lies there.
type Placed = (i64, u64, Map<String, Value>);

/// The place of a damaged event and its row, if its row and the index agree on it.
fn place_of(db: &Connection, heads: &Heads, seq: u64) -> Result<Option<Placed>, StoreError> {
    let mut query = db.prepare_cached(&format!("SELECT {} FROM event NOT INDEXED WHERE seq = ?1", row::COLUMNS))?;
    let mut rows = query.query([seq as i64])?;
    let Some(found) = rows.next()? else { return Ok(None) };
    let Err(Bad { place: Some((log, offset)), row, .. }) = row::decode(found, heads)? else { return Ok(None) };
    drop(rows);
    Ok((row::seq_at(db, log, offset)? == Some(seq)).then_some((log, offset, row)))
}

fn named(mut row: Map<String, Value>, head: &Head) -> Map<String, Value> {
    row.insert("topic".into(), (*head.topic).into());
    row.insert("epoch".into(), head.epoch.to_string().into());
    row
}

fn take_away(db: &Connection, heads: &mut Heads, mut head: Head, seq: u64, offset: u64) -> Result<(), StoreError> {
    let log = head.id;
    let change = db.unchecked_transaction()?;
    db.prepare_cached("DELETE FROM event WHERE seq = ?1")?.execute([seq as i64])?;
    save_gap(db, log, offset, offset)?;
    if offset == head.last {
        save_end(db, &head)?;
    }
    change.commit()?;
    heads.gaps.add(log, offset, offset);
    if offset == head.first {
        row::begin_anew(db, &mut head)?;
        heads.put(head);
    }
    Ok(())
}

/// Remembers that a range is gone.
pub(super) fn save_gap(db: &Connection, log: i64, first: u64, last: u64) -> Result<(), StoreError> {
    let mut change = db.prepare_cached("INSERT OR REPLACE INTO gap (log, first, last) VALUES (?1, ?2, ?3)")?;
    change.execute(params![log, first as i64, last as i64])?;
    Ok(())
}

/// Remembers the end of a log whose last event is not there.
pub(super) fn save_end(db: &Connection, head: &Head) -> Result<(), StoreError> {
    let sum = end_sum(head.id, head.is_cut, head.last, head.last_seq.0);
    let mut change =
        db.prepare_cached("UPDATE log SET is_cut = ?2, last = ?3, last_seq = ?4, end_crc = ?5 WHERE id = ?1")?;
    change.execute(params![head.id, head.is_cut, head.last as i64, head.last_seq.0 as i64, sum])?;
    Ok(())
}

/// A small value whose sum does not hold.
pub(super) fn set_aside_value(
    db: &Connection,
    aside: &mut Aside,
    table: Table,
    key: &str,
    row: Map<String, Value>,
) -> Result<(), StoreError> {
    if aside.keep("value", "its sum does not hold", row) {
        db.prepare_cached("DELETE FROM value WHERE tab = ?1 AND key = ?2")?.execute(params![table as u8, key])?;
        aside.report(Damage::Value { table, key: key.into() });
        return Ok(());
    }
    Err(StoreError::new(StoreFault::Full, "what is damaged cannot be set aside"))
}
