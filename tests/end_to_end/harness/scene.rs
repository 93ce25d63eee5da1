//! A server for one scenario: set, started, looked at, and found empty at the end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hydrogen::base::Wall;
use hydrogen::config::{Config, SecureMode};
use hydrogen::engine::auth::Permissions;
use hydrogen::server::Server;
use hydrogen::sys::keyfile::{self, NewKey, NewSigning};
use ring::rand::SystemRandom;
use serde_json::Value;
use tempfile::TempDir;

use super::stream::{Answer, Stream};
use super::{Client, Lab, Refusal, Variant, certificate, eventually};

/// What a server is started from.
pub struct Stage {
    folder: TempDir,
    variant: Variant,
    pub config: Config,
    /// An administrator's token.
    pub admin: String,
}

impl Stage {
    pub fn new(variant: Variant) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
        std::fs::create_dir(&config.data_dir).unwrap();
        let server = &mut config.web_socket_server;
        server.port = 0;
        server.io_threads = variant.reactors;
        server.thread_pool_size = variant.workers;
        if variant.tls {
            let (certificate_path, key_path) = certificate::write(folder.path());
            server.secure_mode = SecureMode::Tls { certificate_path, key_path };
        }
        config.rate_limit.handshake_failures = None;
        config.monitoring.status_interval = None;
        config.monitoring.network_interval = None;
        let mut stage = Stage { folder, variant, config, admin: String::new() };
        stage.admin = stage.key("root", &["admin"]);
        stage
    }

    pub fn keys_path(&self) -> PathBuf {
        self.config.data_dir.join("keys.json")
    }

    /// Makes a key; gives its token.
    pub fn key(&self, name: &str, permissions: &[&str]) -> String {
        self.make_key(name, permissions, None, NewSigning::None).0
    }

    /// Makes a key that ends; gives its token.
    pub fn key_until(&self, name: &str, permissions: &[&str], expires: Wall) -> String {
        self.make_key(name, permissions, Some(expires), NewSigning::None).0
    }

    /// Makes a key that signs; gives its token and the shared secret, base64url.
    pub fn key_that_signs(&self, name: &str, permissions: &[&str]) -> (String, String) {
        let (token, secret) = self.make_key(name, permissions, None, NewSigning::HmacSha256);
        (token, secret.unwrap())
    }

    fn make_key(
        &self,
        name: &str,
        permissions: &[&str],
        expires: Option<Wall>,
        signing: NewSigning,
    ) -> (String, Option<String>) {
        let permissions = Permissions::parse(permissions).unwrap();
        let key = NewKey { name: name.to_owned(), permissions, expires, signing };
        let made = keyfile::create_key(&self.keys_path(), key, wall(Duration::ZERO), &SystemRandom::new()).unwrap();
        (made.token.expose(), made.signing_secret.map(|secret| secret.expose().to_owned()))
    }

    /// Starts the server, with the channel `lab`.
    pub fn start(self) -> Scene {
        let lab = Lab::default();
        let server = Server::builder(self.config.clone()).channel("lab", lab.clone()).start().unwrap();
        let address = server.addresses()[0];
        Scene {
            server: Some(server),
            address,
            tls: self.variant.tls,
            admin: self.admin.clone(),
            lab,
            panics: 0,
            stage: self,
        }
    }
}

/// The time, that much later.
pub fn wall(later: Duration) -> Wall {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + later;
    Wall(now.as_millis() as i64)
}

/// A running server. Clients that are made after it end before it, so when it is dropped, it has
/// none: then it is looked at whether all was given back.
pub struct Scene {
    server: Option<Server>,
    address: SocketAddr,
    tls: bool,
    /// An administrator's token.
    pub admin: String,
    pub lab: Lab,
    /// Panics of handlers that the scenario means to have.
    pub panics: u64,
    stage: Stage,
}

impl Scene {
    /// A server of the usual kind.
    pub fn start(variant: Variant) -> Scene {
        Stage::new(variant).start()
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Takes the server out, to stop it.
    pub fn take_server(&mut self) -> Server {
        self.server.take().unwrap()
    }

    pub fn keys_path(&self) -> PathBuf {
        self.stage.keys_path()
    }

    pub fn config(&self) -> &Config {
        &self.stage.config
    }

    /// A new socket.
    pub fn stream(&self) -> Stream {
        Stream::connect(self.address, self.tls, None).unwrap()
    }

    /// A new socket with a small receive buffer.
    pub fn narrow_stream(&self) -> Stream {
        Stream::connect(self.address, self.tls, Some(4096)).unwrap()
    }

    /// A client of this token.
    pub fn client(&self, token: &str) -> Client {
        self.try_client(token).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// An administrator.
    pub fn root(&self) -> Client {
        self.client(&self.admin)
    }

    pub fn try_client(&self, token: &str) -> Result<Client, Refusal> {
        Client::connect(self.stream(), &format!("Authorization: Key {token}\r\n"))
    }

    /// A plain HTTP request.
    pub fn get(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        self.stream().fetch(&request).unwrap()
    }

    /// A figure of the status, by JSON pointer; what was never counted is 0.
    pub fn figure(&self, pointer: &str) -> u64 {
        self.server().status().pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// A figure of the metrics, by its whole name with labels.
    pub fn metric(&self, name: &str) -> u64 {
        let answer = self.get("/metrics");
        let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
        value.unwrap_or_else(|| panic!("no metric {name}")).parse::<f64>().unwrap() as u64
    }

    /// Waits until a figure has a value.
    pub fn settles(&self, pointer: &str, value: u64) {
        eventually(&format!("{pointer} = {value}"), || (self.figure(pointer) == value).then_some(()));
    }

    fn check_empty(&self) {
        for pointer in
            ["/connections/open", "/sessions", "/subscriptions", "/queues/worker_batches", "/queues/outbound_bytes"]
        {
            self.settles(pointer, 0);
        }
        for dialect in ["hydrogen", "echo", "signaling"] {
            self.settles(&format!("/connections/by_dialect/{dialect}"), 0);
        }
        let status = self.server().status();
        let connections = &status["connections"];
        let reasons: u64 =
            connections["closed_by_reason"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(reasons, connections["opened"].as_u64().unwrap(), "each connection ends with one reason: {status}");
        for (state, count) in connections["by_state"].as_object().unwrap() {
            if !["closed", "failed", "rejected"].contains(&state.as_str()) {
                assert_eq!(count, 0, "{state}: {status}");
            }
        }
        assert_eq!(self.metric("hydrogen_handler_panics_total"), self.panics);
        assert_eq!(self.metric("hydrogen_impossible_transitions_total"), 0);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Rights to answer that are left over: their commands' sessions are gone.
        drop(self.lab.take());
        if !std::thread::panicking() && self.server.is_some() {
            self.check_empty();
        }
        if let Some(server) = self.server.take() {
            server.stop();
        }
        debug_assert!(self.stage.folder.path().exists());
    }
}
