//! Signaling, wired: its rooms read at the start, the secret key of its passwords, and what the
//! workers tell of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};

use super::settings::signaling_settings;
use super::start_error::StartError;
use crate::base::{Counters, Now, Wall, WorkerId};
use crate::config::Config;
use crate::dialect::signaling::{
    Parts, Pepper, Reports, RoomFigures, RoomRecord, Signaling, SignalingSettings, worker_of_room,
};
use crate::engine::store::{Backend, StoreError, Table};

/// Rooms that are read from the store at once.
const PAGE: usize = 1024;

/// Bytes of the secret key.
const PEPPER_BYTES: usize = 32;

/// What the workers tell of their rooms.
#[derive(Debug, Default)]
pub(super) struct RoomBoard(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    by_worker: BTreeMap<WorkerId, RoomFigures>,
    peak_rooms: usize,
    peak_connections: usize,
}

/// Sums over the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomSums {
    pub rooms: usize,
    pub active_rooms: usize,
    pub members: usize,
    pub connections: usize,
    pub connections_in_rooms: usize,
    pub away: usize,
    pub held_candidates: usize,
    pub queued_signals: usize,
    pub last_cleanup: Option<Wall>,
    /// The most that `active_rooms` has been.
    pub peak_rooms: usize,
    /// The most that `connections_in_rooms` has been.
    pub peak_connections: usize,
}

impl Told {
    fn sums(&self) -> RoomSums {
        let (peak_rooms, peak_connections) = (self.peak_rooms, self.peak_connections);
        let mut sums = RoomSums { peak_rooms, peak_connections, ..RoomSums::default() };
        for figures in self.by_worker.values() {
            sums.rooms += figures.rooms;
            sums.active_rooms += figures.active_rooms;
            sums.members += figures.members;
            sums.connections += figures.connections;
            sums.connections_in_rooms += figures.connections_in_rooms;
            sums.away += figures.away;
            sums.held_candidates += figures.held_candidates;
            sums.queued_signals += figures.queued_signals;
            sums.last_cleanup = sums.last_cleanup.max(figures.last_cleanup);
        }
        sums
    }
}

impl RoomBoard {
    /// What was told last, by worker.
    pub(super) fn read<T>(&self, look: impl FnOnce(&BTreeMap<WorkerId, RoomFigures>) -> T) -> T {
        look(&self.0.lock().by_worker)
    }

    /// The sums of what was told last.
    pub(super) fn sums(&self) -> RoomSums {
        self.0.lock().sums()
    }
}

impl Reports for RoomBoard {
    fn rooms(&self, worker: WorkerId, figures: RoomFigures) {
        let mut told = self.0.lock();
        let before = told.by_worker.insert(worker, figures);
        let sums = told.sums();
        told.peak_rooms = told.peak_rooms.max(sums.active_rooms);
        told.peak_connections = told.peak_connections.max(sums.connections_in_rooms);
        // Many rows are dropped where nobody waits for them.
        drop(told);
        drop(before);
    }
}

/// What every worker's signaling is made from.
pub(super) struct SignalingSeeds {
    settings: Arc<SignalingSettings>,
    /// The rooms of each worker that has not begun.
    rooms: Vec<Vec<RoomRecord>>,
    pepper: Arc<Pepper>,
    board: Arc<RoomBoard>,
}

impl SignalingSeeds {
    /// Reads the secret key and deals the rooms out; `None` where signaling is not served.
    pub(super) fn gather(
        config: &Config,
        rooms: Vec<(Box<str>, RoomRecord)>,
        board: &Arc<RoomBoard>,
    ) -> Result<Option<SignalingSeeds>, StartError> {
        if !config.signaling.enabled {
            return Ok(None);
        }
        let path = config.data_dir.join("signaling.key");
        let (pepper, is_new) = read_or_make(&path)
            .map_err(|error| StartError::Signaling(format!("the secret key in {}: {error}", path.display())))?;
        if is_new && !rooms.is_empty() {
            log::error!("{} was missing and made anew: the passwords of all rooms are wrong now", path.display());
        }
        let workers = config.web_socket_server.thread_pool_size.max(1);
        let mut dealt: Vec<Vec<RoomRecord>> = (0..workers).map(|_| Vec::new()).collect();
        for (id, room) in rooms {
            let worker = worker_of_room(&id, workers);
            if let Some(own) = dealt.get_mut(usize::from(worker.0)) {
                own.push(room);
            }
        }
        let settings = Arc::new(signaling_settings(config));
        Ok(Some(SignalingSeeds { settings, rooms: dealt, pepper: Arc::new(pepper), board: board.clone() }))
    }

    /// A worker's shard, with its rooms.
    pub(super) fn plant(
        &mut self,
        worker: WorkerId,
        counters: &Arc<Counters>,
        seed: [u8; 32],
        started: Now,
    ) -> Signaling {
        Signaling::new(Parts {
            worker,
            workers: self.rooms.len(),
            settings: self.settings.clone(),
            counters: counters.clone(),
            seed,
            started,
            rooms: self.rooms.get_mut(usize::from(worker.0)).map(std::mem::take).unwrap_or_default(),
            pepper: self.pepper.clone(),
            reports: self.board.clone(),
        })
    }
}

/// Reads all rooms, with their ids. One that is damaged is told of, and left where it is.
pub(super) fn load_rooms(backend: &mut dyn Backend) -> Result<Vec<(Box<str>, RoomRecord)>, StoreError> {
    let mut rooms = Vec::new();
    let mut after: Option<Box<str>> = None;
    loop {
        let page = backend.scan(Table::Rooms, "", after.as_deref(), PAGE)?;
        for (key, value) in &page {
            match RoomRecord::parse(key, value) {
                Some(room) => rooms.push((key.clone(), room)),
                None => log::error!(
                    "the store's room {key:?} of {} bytes cannot be read: it is left out, and left in the store",
                    value.len()
                ),
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok(rooms),
        }
    }
}

/// The secret key in a file, which is made if it is not there; whether it was.
fn read_or_make(path: &Path) -> io::Result<(Pepper, bool)> {
    match File::open(path) {
        Ok(file) => read(file).map(|pepper| (pepper, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map(|pepper| (pepper, true)),
        Err(error) => Err(error),
    }
}

fn read(file: File) -> io::Result<Pepper> {
    let mut key = Vec::with_capacity(PEPPER_BYTES + 1);
    file.take(PEPPER_BYTES as u64 + 1).read_to_end(&mut key)?;
    let key: [u8; PEPPER_BYTES] = key.try_into().map_err(|key: Vec<u8>| {
        let found = if key.len() > PEPPER_BYTES { "more".to_owned() } else { key.len().to_string() };
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{PEPPER_BYTES} bytes are expected, {found} are there; put the file back from a copy"),
        )
    })?;
    Ok(Pepper::new(key))
}

/// Whole and on the disk under its name, or not there at all.
fn make(path: &Path) -> io::Result<Pepper> {
    let mut key = [0; PEPPER_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no randomness"))?;
    let beside = path.with_extension("key.new");
    // One from before was never finished.
    match std::fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(Pepper::new(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::engine::store::{Level, Seq, Write};
    use crate::sys::store::memory::{MemoryBackend, MemoryDisk};

    #[test]
    fn the_secret_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signaling.key");
        std::fs::write(path.with_extension("key.new"), "cut off").unwrap();
        let (_, is_new) = read_or_make(&path).unwrap();
        assert!(is_new);
        let made = std::fs::read(&path).unwrap();
        assert!(made.len() == PEPPER_BYTES && made.iter().any(|byte| *byte != 0));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (_, is_new) = read_or_make(&path).unwrap();
        assert!(!is_new && std::fs::read(&path).unwrap() == made);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["signaling.key"]);
    }

    #[test]
    fn peaks_stay_when_what_they_count_goes() {
        let board = RoomBoard::default();
        let tell = |worker, rooms| {
            let figures =
                RoomFigures { active_rooms: rooms, connections_in_rooms: 2 * rooms, ..RoomFigures::default() };
            board.rooms(WorkerId(worker), figures);
        };
        tell(0, 3);
        tell(1, 4);
        tell(0, 1);
        let sums = board.sums();
        assert_eq!((sums.active_rooms, sums.peak_rooms), (5, 7));
        assert_eq!((sums.connections_in_rooms, sums.peak_connections), (10, 14));
    }

    #[test]
    fn a_secret_key_of_another_length_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signaling.key");
        for (length, found) in [(0, "0"), (31, "31"), (33, "more"), (4096, "more")] {
            std::fs::write(&path, vec![7; length]).unwrap();
            let error = read_or_make(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("32 bytes are expected, {found} are there")), "{error}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), length as u64);
        }
    }

    #[test]
    fn a_damaged_room_is_left_out_and_stays_where_it_is() {
        let opened = MemoryBackend::open(&MemoryDisk::new(), Wall(0), std::time::Duration::ZERO, 0);
        let mut backend = opened.backend;
        let put = |key: String, value: &'static [u8]| Write::Put {
            table: Table::Rooms,
            key: key.into(),
            value: value.into(),
            level: Level::Disk,
        };
        backend.commit(&[put("zz".into(), b"{\"cut")], Seq(1), true).unwrap();
        assert_eq!(load_rooms(&mut backend).unwrap().len(), 0);
        assert_eq!(backend.scan(Table::Rooms, "", None, PAGE).unwrap().len(), 1);
    }
}
