//! The configuration: JSON with comments, read once into checked values.
//!
//! One file per section. A section declares each key once, in its `read`, with range, unit, default
//! and documentation; the reference page is made from the same calls. Everything wrong is reported
//! at once, each with file, line, column and path. This ring reads the configuration file and the
//! environment, and nothing else: it opens no other file that a key names, and starts nothing.

mod compression;
mod cross;
mod delivery;
mod env;
mod http;
mod listen;
mod logging;
mod monitoring;
mod nearest;
mod network;
mod number;
mod older;
mod origins;
mod outbound;
mod problem;
mod protocols;
mod proxies;
mod rate_limit;
mod reader;
mod reference;
mod secret;
mod security;
mod sessions;
mod shutdown;
mod signaling;
mod source;
mod store;
mod syntax;
mod text;
mod topic_rules;
mod topics;
mod web_socket_server;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use compression::{CompressedKind, Compression};
pub use delivery::Delivery;
pub use http::Http;
pub use logging::Logging;
pub use monitoring::Monitoring;
pub use network::Network;
pub use origins::Origins;
pub use outbound::Outbound;
pub use problem::Problem;
pub use rate_limit::RateLimit;
pub use reference::reference;
pub use security::{PublicStatus, Security};
pub use sessions::Sessions;
pub use shutdown::Shutdown;
pub use signaling::{Allowance, IceServers, PeerKeys, Proof, Relay, Signaling, Turn};
pub use store::Store;
pub use topic_rules::TopicRule;
pub use topics::Topics;
pub use web_socket_server::{SecureMode, SessionEvent, WebSocketServer};

use reader::{Reader, Reading};
use text::open;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the keys file and the store are.
    pub data_dir: PathBuf,
    /// The name that the status and `system.session` tell.
    pub server_name: String,
    /// The listener and its connections.
    pub web_socket_server: WebSocketServer,
    /// What waits to be written.
    pub outbound: Outbound,
    /// Topics and subscriptions.
    pub topics: Topics,
    /// What outlives the process.
    pub store: Store,
    /// Guaranteed delivery.
    pub delivery: Delivery,
    /// Sessions that clients come back to.
    pub sessions: Sessions,
    /// How much one peer may send.
    pub rate_limit: RateLimit,
    /// Signatures and what is public.
    pub security: Security,
    /// Plain HTTP requests.
    pub http: Http,
    /// Periodic status events.
    pub monitoring: Monitoring,
    /// Rooms in which WebRTC peers find each other.
    pub signaling: Signaling,
    /// How the server stops.
    pub shutdown: Shutdown,
    /// The log.
    pub logging: Logging,
    /// The `network` channel.
    pub network: Network,
}

/// A configuration that can be used, and what its owner should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Older names and doubtful combinations, in the order of the file.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// The folder of the store. A relative `Store.Path` counts from `DataDir`.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join(&self.store.path)
    }

    /// Reads a file, with the variables of this process's environment.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Vec<Problem>> {
        let path = path.as_ref();
        let text = source::read(path).map_err(|problem| vec![problem])?;
        Config::parse(&text, &path.display().to_string(), &|name| std::env::var(name).ok())
    }

    /// Reads a text. `file` stands in the problems; `env` looks a variable up.
    pub fn parse(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
        let text = source::without_mark(text);
        let mut reading = Reading::new(env);
        let root = match syntax::parse(text) {
            Ok(root) => root,
            Err((offset, message)) => {
                reading.errors.push(offset, "", message);
                return Err(reading.errors.into_problems(text, file));
            }
        };
        syntax::check_duplicates(text, &root, "", &mut reading.errors);
        reading.older = older::find(text, &root, &mut reading.errors, &mut reading.warnings);
        let config = reading.read(Some(&root), Config::read);
        cross::check(&config, &mut reading);
        if !reading.errors.is_empty() {
            return Err(reading.errors.into_problems(text, file));
        }
        Ok(Loaded { config, warnings: reading.warnings.into_problems(text, file) })
    }

    fn read(r: &mut Reader<'_, '_>) -> Config {
        let data_dir = r.text(
            "DataDir",
            ("data", "data".into()),
            &open("a path"),
            "The directory of the keys file and the store.",
            reader::path,
        );
        let server_name = r.text(
            "ServerName",
            ("hydrogen", "hydrogen".into()),
            &open("a name of 1 to 64 printable characters"),
            "The name of this server in the status and in `system.session`.",
            |text| match text.chars().count() {
                1..=64 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
                _ => Err(String::new()),
            },
        );
        let web_socket_server = r.section(
            "WebSocketServer",
            "The listener, and what holds for each connection. `WebSocket` is its older name.",
            WebSocketServer::read,
        );
        let max_message_size = web_socket_server.max_message_size as u64;
        Config {
            data_dir,
            server_name,
            web_socket_server,
            outbound: r
                .section("Outbound", "What waits to be written to the peers.", |r| Outbound::read(r, max_message_size)),
            topics: r.section("Topics", "Topics and subscriptions: their bounds, and what is kept.", Topics::read),
            store: r.section("Store", "Where events are kept that outlive the process.", Store::read),
            delivery: r.section(
                "Delivery",
                "Guaranteed delivery: events that come again until they are acknowledged.",
                |r| Delivery::read(r, max_message_size),
            ),
            sessions: r.section("Sessions", "What a client finds again that comes back.", Sessions::read),
            rate_limit: r.section("RateLimit", "How much one peer may send.", RateLimit::read),
            security: r.section("Security", "Signatures, and what is public.", Security::read),
            http: r.section("Http", "Plain HTTP requests on the same port.", Http::read),
            monitoring: r.section("Monitoring", "Status events that come by themselves.", Monitoring::read),
            signaling: r.section(
                "Signaling",
                "Rooms in which WebRTC peers find each other, as clients of GoVPN know them.",
                Signaling::read,
            ),
            shutdown: r.section("Shutdown", "How the server stops.", Shutdown::read),
            logging: r.section("Logging", "The log.", Logging::read),
            network: r.section("Network", "The `network` channel.", Network::read),
        }
    }
}

/// The configuration of an empty file.
impl Default for Config {
    fn default() -> Config {
        Reading::new(&|_| None).read(None, Config::read)
    }
}
