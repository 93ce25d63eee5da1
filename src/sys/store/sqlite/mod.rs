//! The store on a disk, in SQLite.
//!
//! Owns one folder: `db` and `db-wal` are SQLite's, `mark` says how far the logs had come, `lock`
//! keeps a second process out, and `damaged` holds what was set aside. One connection, which one
//! thread uses. It refuses to guess: what its sums do not hold to be whole is never given out, and
//! what is known to be gone is reported.

mod check;
mod commit;
mod damage;
mod fault;
mod gaps;
mod heads;
mod holes;
mod live;
mod load;
mod mark;
mod open;
mod patterns;
mod read;
mod row;
mod salvage;
mod schema;
mod since;
mod space;
mod tables;
#[cfg(test)]
mod tests;
mod way;

pub use check::{CheckError, LogReport, Report, check};
pub use fault::OpenError;

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::base::Wall;
use crate::engine::store::{
    Backend, Damage, Image, Opened, Page, Read, Seq, Size, StoreError, StoreFault, Table, Trimmed, Write,
};
use damage::Aside;
use live::Live;
use mark::{Known, Mark};
use open::Up;
use schema::{Meta, PAGE};
use space::Space;
use way::Way;

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// Its folder. It is made if it is not there.
    pub path: PathBuf,
    /// Bytes that its database may take.
    pub max_bytes: u64,
    /// Bytes of the disk that it leaves free.
    pub min_free_bytes: u64,
    /// Bytes of its pages that are kept in memory.
    pub cache_bytes: u64,
    /// For how long ids of publishes are remembered.
    pub dedup_window: Duration,
    /// How many of them at most.
    pub dedup_max: usize,
}

impl SqliteSettings {
    /// Pages of the log that ask for a checkpoint.
    fn checkpoint_pages(&self) -> u32 {
        (self.max_bytes / 16 / PAGE).clamp(32, 1000) as u32
    }

    /// Bytes that the log may take for long. What one large group made of it is given back.
    fn log_bytes(&self) -> u64 {
        2 * u64::from(self.checkpoint_pages()) * PAGE
    }
}

/// The store on a disk.
#[derive(Debug)]
pub struct SqliteBackend {
    settings: SqliteSettings,
    now: Wall,
    /// Nothing while it could not be opened again.
    live: Option<Live>,
    /// What must be there when it is opened again.
    known: Option<Known>,
    mark: Mark,
    aside: Aside,
    space: Space,
    fault: Option<StoreError>,
    /// A checkpoint found no room. What it was to move stays in the log, where it is safe.
    crowded: Option<StoreError>,
    /// Pages of the log that ask for a checkpoint.
    checkpoint_pages: u32,
    _lock: File,
}

/// Makes a folder that its owner alone looks into.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl SqliteBackend {
    /// Opens the store in its folder, whatever state it is in, or makes a new one.
    pub fn open(settings: SqliteSettings, now: Wall) -> Result<Opened<SqliteBackend>, OpenError> {
        let path = &settings.path;
        make_folder(path).map_err(|error| OpenError::folder(path, &error))?;
        let lock = lock(&settings)?;
        let mut aside = Aside::new(path, now);
        let known = Known::read(path);
        let way = Way { settings: &settings, now, known: &known, is_memory: false, last: None };
        let up = open::raise(&way, &mut aside, false).map_err(|error| OpenError::of(path, &error))?;
        let Up { live, was_closed, remembered } = up;
        let image = Image { last: live.last, logs: live.heads.image(), dedup: remembered, was_closed };
        let damage = aside.take();
        let space = Space::new(path, settings.max_bytes, settings.min_free_bytes, settings.log_bytes());
        let mut backend = SqliteBackend {
            now,
            live: Some(live),
            known: None,
            mark: Mark::begin(path, &known),
            aside,
            space,
            fault: None,
            crowded: None,
            checkpoint_pages: settings.checkpoint_pages(),
            _lock: lock,
            settings,
        };
        backend.size();
        Ok(Opened { backend, image, damage })
    }

    /// Uses the open store. If its tables turn out to be damaged, they are built anew, and it is
    /// tried once more.
    fn with<T>(&mut self, act: impl Fn(&mut Live, &mut Aside) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut result = self.try_with(&act);
        if let Err(error) = &result
            && error.fault == StoreFault::Damaged
            && self.fault.is_none()
        {
            log::error!("the store in {} is damaged: {error}", self.settings.path.display());
            self.let_go();
            result = self.raise(None, true).and_then(|()| self.try_with(&act));
        }
        if let Err(error) = &result
            && matches!(error.fault, StoreFault::Io | StoreFault::Damaged)
        {
            self.fault.get_or_insert_with(|| error.clone());
        }
        result
    }

    fn try_with<T>(&mut self, act: impl Fn(&mut Live, &mut Aside) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match (&self.fault, &mut self.live) {
            (Some(fault), _) => Err(fault.clone()),
            (None, Some(live)) => act(live, &mut self.aside),
            (None, None) => Err(StoreError::new(StoreFault::Io, "the store is closed")),
        }
    }

    /// Closes the files as they are. What must be in them is remembered.
    fn let_go(&mut self) {
        if let Some(live) = self.live.take() {
            self.known = Some(Known::of(&live.heads, live.last));
            live.abandon();
        }
    }

    fn raise(&mut self, last: Option<Seq>, must_rebuild: bool) -> Result<(), StoreError> {
        let mut known = self.known.clone().unwrap_or_default();
        known.last = last.unwrap_or(known.last);
        let way = Way { settings: &self.settings, now: self.now, known: &known, is_memory: true, last };
        let up = open::raise(&way, &mut self.aside, must_rebuild)?;
        self.live = Some(up.live);
        (self.known, self.crowded) = (None, None);
        self.mark = Mark::begin(&self.settings.path, &Known::read(&self.settings.path));
        self.fault = None;
        Ok(())
    }

    /// After a commit: the mark, and a checkpoint if it is time. The commit is done and stays so;
    /// a checkpoint that fails ends the store, unless it lacks nothing but room.
    fn follow_up(&mut self, sync: bool) {
        let Some(live) = &mut self.live else { return };
        if sync {
            self.mark.write(&live.heads, &live.grown, live.last, live.pages());
            live.grown.clear();
        }
        if live.pages() >= self.checkpoint_pages || self.mark.is_long() {
            match checkpoint(live, &mut self.mark) {
                Ok(()) => self.crowded = None,
                Err(error) if error.fault == StoreFault::Full => self.crowded = Some(error),
                Err(error) => self.fault = Some(error),
            }
        }
    }

    /// Commits, if the disk and the limits have room for it.
    fn try_commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        let Some(live) = &mut self.live else { return Err(StoreError::new(StoreFault::Io, "the store is closed")) };
        match &self.crowded {
            Some(error) if !group.iter().all(Write::makes_room) => return Err(error.clone()),
            Some(_) | None => {}
        }
        self.space.admit(&live.db, group)?;
        live.commit(group, first, sync)
    }

    /// Sees that the open store can be written, and has room again if it was full.
    fn probe(&mut self) -> Result<(), StoreError> {
        let Some(live) = &mut self.live else { return Err(StoreError::new(StoreFault::Io, "the store is closed")) };
        self.space.recover(&live.db)?;
        live.probe()?;
        if self.crowded.is_some() {
            checkpoint(live, &mut self.mark)?;
            self.crowded = None;
        }
        self.space.is_well();
        Ok(())
    }
}

fn checkpoint(live: &mut Live, mark: &mut Mark) -> Result<(), StoreError> {
    live.checkpoint()?;
    live.grown.clear();
    mark.reset();
    Ok(())
}

/// A store that is dropped without being closed leaves its files as a process does that ends at
/// once: SQLite would empty its log, which the mark still tells of.
impl Drop for SqliteBackend {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            live.abandon();
        }
    }
}

/// Keeps a second process out. The system lets go of it when this one ends.
fn lock(settings: &SqliteSettings) -> Result<File, OpenError> {
    let path = settings.path.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| OpenError::folder(&settings.path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("the store in {} is in use by another process", settings.path.display());
            Err(OpenError::InUse(text.into()))
        }
        Err(TryLockError::Error(error)) => Err(OpenError::folder(&settings.path, &error)),
    }
}

impl Backend for SqliteBackend {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let done = self.try_commit(group, first, sync);
        match &done {
            Ok(_) => {
                self.space.grew(group);
                self.follow_up(sync);
            }
            Err(error) if matches!(error.fault, StoreFault::Io | StoreFault::Damaged) => {
                self.fault = Some(error.clone());
            }
            Err(error) if error.fault == StoreFault::Full => self.space.was_full(group),
            Err(_) => {}
        }
        done
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        // After a refusal everything is as it was: the files are still good.
        let is_good = self.fault.is_none() && self.live.as_ref().is_some_and(|live| live.last <= last);
        if !is_good {
            self.let_go();
            self.raise(Some(last), false)?;
            if let Some(live) = &mut self.live {
                live.last = last.max(live.last);
            }
        }
        let probed = self.probe();
        if let Err(error) = &probed
            && matches!(error.fault, StoreFault::Io | StoreFault::Damaged)
        {
            self.fault = Some(error.clone());
        }
        probed
    }

    fn failure(&self) -> Option<StoreError> {
        self.fault.clone()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.with(|live, aside| live.read(read, aside))
    }

    fn get(&mut self, table: Table, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.with(|live, aside| live.get(table, key, aside))
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        self.with(|live, aside| live.scan(table, prefix, after, limit, aside))
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let Some(mut live) = self.live.take() else { return Ok(()) };
        live.set_sync(true)?;
        schema::set_meta(&live.db, Meta::IsClosed, 1)?;
        live.checkpoint()?;
        live.db.close().map_err(|(_, error)| StoreError::from(error))?;
        self.mark = Mark::begin(&self.settings.path, &Known::default());
        Ok(())
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        self.aside.take()
    }

    fn size(&mut self) -> Size {
        let Some(live) = &self.live else { return Size { free: u64::MAX, ..Size::default() } };
        if let Err(error) = self.space.refresh(&live.db) {
            log::warn!("the store's size is not known: {error}");
        }
        Size { bytes: self.space.files, free: self.space.free, events: live.events }
    }
}
