//! The `network` channel: the machine's interfaces, listening sockets, free ports and host names.
//!
//! Owns two kinds of service threads, so that no worker reads a file, binds a socket or waits for a
//! name server: one thread for what the machine itself knows, and some for name lookups, which may
//! take seconds each. A third kind watches the interfaces and tells what changes. It configures
//! nothing: it only looks.

mod interfaces;
mod listening;
mod lookup;
mod pool;
mod ports;
mod request;
mod watch;

pub use interfaces::{Address, Counters, Interface, Link, read_interfaces, read_links};
pub use listening::{Listening, read_listening};
pub use ports::{Found, Verdict, first_free, try_port};
pub use watch::{Change, Kind, changes};

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::pool::{Pool, Refusal};
use self::request::Task;
use self::watch::Watcher;
use crate::base::{Code, Error};
use crate::engine::channel::{Access, Action, Call, Channel, Emitter, Outcome, Responder, Session};

/// Commands that wait for the machine's thread. Each takes it a few milliseconds.
const LOCAL_QUEUE: usize = 256;
/// Lookups that wait for a thread. Each may take seconds: more would wait in vain.
const LOOKUP_QUEUE: usize = 64;
/// Lookup threads, however many are asked for.
const LOOKUP_THREADS_MAX: usize = 64;
/// When a command is worth repeating that found its queue full.
const RETRY_AFTER_MS: u64 = 1000;

const ACTIONS: [Action; 4] = [
    Action { name: "interfaces", summary: "Lists the network interfaces.", access: Access::Call },
    Action { name: "listening", summary: "Lists the machine's listening sockets.", access: Access::Call },
    Action { name: "lookup", summary: "Looks up the addresses of a host name.", access: Access::Call },
    Action { name: "port_available", summary: "Tells whether a port can be listened on.", access: Access::Call },
];

/// The kind of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// 32 bits.
    Ipv4,
    /// 128 bits.
    Ipv6,
}

impl Family {
    /// The kind of this address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// What a port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// How the channel works.
#[derive(Clone, Copy, Debug)]
pub struct NetworkSettings {
    /// Threads that look names up.
    pub lookup_threads: usize,
    /// Whether names are looked up at all.
    pub name_lookup: bool,
    /// How often the interfaces are looked at for changes; `None`: never.
    pub watch_interval: Option<Duration>,
}

/// The channel.
pub struct NetworkChannel {
    local: Pool<Job>,
    /// `None` if names are not looked up.
    lookups: Option<Pool<Job>>,
    watch_interval: Option<Duration>,
    watching: Mutex<Watching>,
}

/// A command, and the right to answer it.
struct Job {
    task: Task,
    responder: Responder,
}

enum Watching {
    NotYet,
    Now(Watcher),
    Over,
}

impl NetworkChannel {
    /// Starts the service threads. The watcher starts with [`Channel::start`].
    pub fn new(settings: NetworkSettings) -> NetworkChannel {
        let threads = settings.lookup_threads.clamp(1, LOOKUP_THREADS_MAX);
        NetworkChannel {
            local: Pool::new("network", 1, LOCAL_QUEUE, Job::run),
            lookups: settings.name_lookup.then(|| Pool::new("lookup", threads, LOOKUP_QUEUE, Job::run)),
            watch_interval: settings.watch_interval,
            watching: Mutex::new(Watching::NotYet),
        }
    }

    /// Ends the threads, and answers what still waits with `draining`. A lookup under way cannot
    /// be cut short: its thread ends by itself when the name servers have answered.
    pub fn stop(&self) {
        let watching = std::mem::replace(&mut *self.watching.lock(), Watching::Over);
        if let Watching::Now(watcher) = watching {
            watcher.stop();
        }
        let lookups = self.lookups.iter().flat_map(Pool::stop);
        for job in self.local.stop().into_iter().chain(lookups) {
            job.responder.failed(refused(Refusal::Stopped));
        }
        self.local.join();
    }

    fn take(&self, call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
        let task = Task::of(call)?;
        let pool = match &task {
            Task::Interfaces | Task::Listening | Task::Port { .. } | Task::Range { .. } => &self.local,
            Task::Lookup { .. } => self.lookups.as_ref().ok_or_else(|| {
                Error::new(Code::Unsupported, "name lookup is switched off in this server's configuration")
            })?,
        };
        pool.submit(|| Job { task, responder: session.later() }).map_err(refused)?;
        Ok(Outcome::Later)
    }
}

impl Channel for NetworkChannel {
    fn actions(&self) -> &[Action] {
        &ACTIONS
    }

    fn start(&self, emitter: Emitter) {
        let Some(interval) = self.watch_interval else { return };
        let mut watching = self.watching.lock();
        if matches!(*watching, Watching::NotYet) {
            match Watcher::start(interval, emitter) {
                Ok(watcher) => *watching = Watching::Now(watcher),
                Err(error) => log::error!("the watcher of the network interfaces cannot be started: {error}"),
            }
        }
    }

    fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome {
        self.take(call, session).into()
    }
}

impl Drop for NetworkChannel {
    fn drop(&mut self) {
        self.stop();
    }
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Full => {
            Error::new(Code::Unavailable, "too many commands of this kind wait already").retry_after_ms(RETRY_AFTER_MS)
        }
        Refusal::Stopped => Error::new(Code::Draining, "the server is stopping"),
        Refusal::NoThreads => Error::new(Code::Unavailable, "the server has no thread for this"),
    }
}

impl Job {
    fn run(self) {
        let answer = self.task.run();
        self.responder.finish(answer.map(|data| data.to_string().into()));
    }
}

impl Task {
    /// Does it. It may block.
    fn run(self) -> Result<Value, Error> {
        match self {
            Task::Interfaces => {
                let interfaces = read_interfaces().map_err(|error| unreadable("the interfaces", &error))?;
                Ok(json!({ "interfaces": interfaces }))
            }
            Task::Listening => {
                let (sockets, truncated) = read_listening().map_err(|error| unreadable("the sockets", &error))?;
                Ok(json!({ "sockets": sockets, "truncated": truncated }))
            }
            Task::Port { port, address, protocol } => {
                let verdict = try_port(port, address, protocol).map_err(|error| untried(&error))?;
                Ok(json!({ "available": verdict == Verdict::Free, "port": port, "reason": verdict }))
            }
            Task::Range { ports, address, protocol } => {
                let found = first_free(ports, address, protocol).map_err(|error| untried(&error))?;
                let Found { port, verdict, tried } = found;
                Ok(json!({ "available": port.is_some(), "port": port, "reason": verdict, "tried": tried }))
            }
            Task::Lookup { name, family } => {
                let begun = Instant::now();
                let addresses = lookup::look_up(&name, family)?;
                let took_ms = begun.elapsed().as_millis() as u64;
                Ok(json!({ "name": name, "addresses": addresses, "took_ms": took_ms }))
            }
        }
    }
}

fn unreadable(what: &str, error: &io::Error) -> Error {
    log::warn!("{what} of this machine cannot be read: {error}");
    Error::new(Code::Unavailable, format!("{what} of this machine cannot be read"))
}

fn untried(error: &io::Error) -> Error {
    log::warn!("a port cannot be tried: {error}");
    Error::new(Code::Unavailable, "the server cannot open a socket to try the port")
}

/// The example of the channels page, so that it keeps compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/channels.md")]
struct ChannelsPage;

#[cfg(test)]
mod tests;
