//! A server in a folder of its own, and one key for everything.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use crate::dice::Dice;
use crate::program::{Home, Program};

/// Measurements do not go on side by side.
static ALONE: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock()
}

pub struct Scene {
    // Dropped first: the server, then its folder.
    pub program: Program,
    pub home: Home,
    pub token: String,
    _folder: TempDir,
}

impl Scene {
    pub fn new() -> Scene {
        let folder = tempfile::Builder::new().prefix("hydrogen-bounds-").tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let home = Home::new(folder.path(), &mut Dice::new(now.as_nanos() as u64));
        let token = home.key("everyone", "connect,publish:>,subscribe:>");
        let program = home.start(NOTHING);
        Scene { program, home, token, _folder: folder }
    }

    /// Kills the server, starts it anew, and says how long it took until it was ready.
    pub fn restart_after_kill(&mut self) -> Duration {
        self.program.kill();
        self.start()
    }

    /// Stops the server in order, starts it anew, and says how long it took until it was ready.
    pub fn restart_after_stop(&mut self) -> Duration {
        self.program.stop();
        self.start()
    }

    /// What the store takes on disk.
    pub fn store_kib(&self) -> u64 {
        let files = fs::read_dir(self.home.store()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>() / 1024
    }

    fn start(&mut self) -> Duration {
        let begin = Instant::now();
        self.program = self.home.start(NOTHING);
        begin.elapsed()
    }
}

const NOTHING: &[(&str, &Path)] = &[];
