//! What a configuration would serve, for a person.

use std::path::Path;

use crate::base::Wall;
use crate::cli::exit::Stop;
use crate::cli::output::Lines;
use crate::config::{Config, SecureMode};
use crate::engine::auth::KeyRecord;

/// Without keys there is no keys file yet.
pub(super) fn print(file: Option<&Path>, config: &Config, keys: Option<&[KeyRecord]>, now: Wall) -> Result<(), Stop> {
    let mut out = Lines::new();
    for (what, value) in rows(file, config, keys, now) {
        out.line(&[&format!("{what:<14}{value}")])?;
    }
    out.flush()
}

fn rows(file: Option<&Path>, config: &Config, keys: Option<&[KeyRecord]>, now: Wall) -> Vec<(&'static str, String)> {
    let server = &config.web_socket_server;
    let scheme = match &server.secure_mode {
        SecureMode::None => "ws",
        SecureMode::Tls { .. } => "wss",
    };
    let listen: Vec<String> = server.addresses().iter().map(|address| format!("{scheme}://{address}/")).collect();
    let listen = if server.enabled { listen.join(" ") } else { "nowhere (WebSocketServer.Enabled is false)".into() };
    let rooms = &config.signaling;
    let of_rooms = rooms.protocols.iter().filter(|_| rooms.enabled).map(String::as_str);
    let dialects = server.protocols.iter().map(String::as_str).chain(server.echo.then_some("echo")).chain(of_rooms);
    let mut rows = vec![
        ("configuration", file.map_or_else(|| "built-in defaults".into(), |file| file.display().to_string())),
        ("name", config.server_name.clone()),
        ("listens on", listen),
        ("subprotocols", dialects.collect::<Vec<_>>().join(" ")),
        ("credentials", credentials(config)),
        (
            "keys",
            keys.map_or_else(
                || "no file yet: the first start makes one, with an administrator's key".into(),
                |keys| count(keys, now),
            ),
        ),
        ("data folder", config.data_dir.display().to_string()),
        ("threads", format!("{} for sockets, {} for commands", server.io_threads, server.thread_pool_size)),
        ("connections", format!("{} at most", server.max_connections)),
        ("messages", format!("{} bytes at most", server.max_message_size)),
        ("log", config.logging.file.as_ref().map_or_else(|| "standard error".into(), |f| f.display().to_string())),
    ];
    if rooms.enabled {
        let credential = if rooms.needs_key { "with a key" } else { "without a key" };
        rows.push(("rooms", format!("{} at most, {credential}, at {}", rooms.max_rooms, rooms.paths.join(" "))));
    }
    rows
}

fn credentials(config: &Config) -> String {
    let server = &config.web_socket_server;
    let mut text = String::from(if server.auth_required { "needed" } else { "not needed: everyone may connect" });
    if server.key.is_some() {
        text.push_str(", with a shared key");
    }
    text
}

fn count(keys: &[KeyRecord], now: Wall) -> String {
    let revoked = keys.iter().filter(|key| key.revoked.is_some()).count();
    let is_expired = |key: &&KeyRecord| key.revoked.is_none() && key.expires.is_some_and(|expires| expires <= now);
    let expired = keys.iter().filter(is_expired).count();
    format!("{} good, {expired} expired, {revoked} revoked", keys.len() - expired - revoked)
}
