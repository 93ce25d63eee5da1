//! The real server as a process: its folder, its start, and its ends.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::Process;
use serde_json::{Value, json};

use crate::dice::Dice;

/// Nothing that the server is asked for takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: an optimised one if the environment names it.
pub fn binary() -> PathBuf {
    std::env::var_os("HYDROGEN_CHAOS_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_hydrogen").into(), PathBuf::from)
}

/// A number of the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Where a server lives: configuration, keys, data, log.
pub struct Home {
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Home {
    /// A server that was never started.
    pub fn new(folder: &Path, dice: &mut Dice) -> Home {
        let home = Home { folder: folder.to_owned(), address: free_address(dice) };
        fs::create_dir_all(home.data()).unwrap();
        home.configure(&json!({}));
        home
    }

    /// Writes its configuration, with these sections besides. It counts from the next start.
    pub fn configure(&self, sections: &Value) {
        let (home, folder) = (self, &self.folder);
        let mut config = json!({
            "DataDir": home.data(),
            "WebSocketServer": {"Port": home.address.port(), "ThreadPoolSize": 2},
            "RateLimit": {"HandshakeFailures": 0},
            "Monitoring": {"StatusInterval": 0, "NetworkInterval": 0},
            "Shutdown": {"DrainTimeout": 3, "ReconnectSpread": 0},
            "Logging": {"Level": "info", "File": folder.join("log")},
        });
        for (name, section) in sections.as_object().into_iter().flatten() {
            config[name] = section.clone();
        }
        fs::write(home.config(), config.to_string()).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn store(&self) -> PathBuf {
        self.data().join("store")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("hydrogen.json")
    }

    /// The program with this home's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).arg("--config").arg(self.config());
        command.env_clear().current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Makes a key; gives its token.
    pub fn key(&self, name: &str, permissions: &str) -> String {
        let made = self.command(&["key", "create", name, "--permit", permissions]).output().unwrap();
        assert!(made.status.success(), "no key: {made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Starts the server, with these variables in its environment, and waits until it is ready.
    pub fn start(&self, variables: &[(&str, &Path)]) -> Program {
        let mut program = self.launch(variables);
        self.wait(&mut program);
        program
    }

    /// Starts the server and does not wait.
    pub fn launch(&self, variables: &[(&str, &Path)]) -> Program {
        let errors = File::options().create(true).append(true).open(self.folder.join("errors")).unwrap();
        let mut command = self.command(&["serve"]);
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(errors);
        Program(command.spawn().unwrap())
    }

    /// Waits until the server is ready.
    pub fn wait(&self, program: &mut Program) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            if let Some(status) = program.0.try_wait().unwrap() {
                panic!("the server did not start: {status}, see {}", self.folder.display());
            }
            assert!(Instant::now() < deadline, "the server is not ready, see {}", self.folder.display());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_ready(&self) -> bool {
        fetch(self.address, "/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

/// A plain request; the whole answer, if there is one.
pub fn fetch(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // In one piece, for those who count the server's reads.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A free port below those that systems give to clients: a client that connects to a port of
/// those, while nobody listens, can meet itself.
fn free_address(dice: &mut Dice) -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, dice.between(15_000, 32_000) as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A running server. Dropped, it is killed.
pub struct Program(Child);

impl Program {
    /// Its memory as the system has it, in KiB: what is resident now, and the most that ever was.
    pub fn memory_kib(&self) -> (u64, u64) {
        let status = Process::new(self.0.id() as i32).unwrap().status().unwrap();
        (status.vmrss.unwrap(), status.vmhwm.unwrap())
    }

    /// Its number with the system.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the server ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it was ended from elsewhere, as `kill -9` does.
    pub fn wait_killed(&mut self) {
        use std::os::unix::process::ExitStatusExt as _;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(9), "the server ended by itself: {status}");
                return;
            }
            assert!(Instant::now() < deadline, "the server was not killed");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Has it stop in order.
    pub fn stop(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not stop");
            thread::sleep(Duration::from_millis(2));
        };
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended, and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
