//! Names that configurations of the Hydrogen server use, and what became of them.
//!
//! One table. A renamed key's value is read as if it stood under its new name; a key or section
//! that this server has no use for is accepted. Each is a warning, so that old files start, and
//! their owners learn what to write.

use std::collections::{BTreeMap, BTreeSet};

use jsonc_parser::ast::{Object, ObjectProp, Value};

use super::problem::{Findings, place};
use super::syntax::{join, kind, start};

/// What became of an older key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The value is read under this key.
    Renamed(&'static str),
    /// The section reads it itself; this key says the same today.
    Replaced(&'static str),
    /// Accepted, without effect; this key is the nearest, if there is one.
    Unused(Option<&'static str>),
    /// The same, if it is an object: today a key of another type has this name.
    UnusedObject(&'static str),
    /// An object of older keys. Those that have no line of their own are unused.
    Group,
}
use Fate::{Group, Renamed, Replaced, Unused, UnusedObject};

/// Older keys by path. Where two stand for one new key, the first that is given counts.
pub(super) const OLDER: &[(&str, Fate)] = &[
    ("WebSocket", Renamed("WebSocketServer")),
    ("WebSocketServer.EnableIPv4", Replaced("WebSocketServer.Interface")),
    ("WebSocketServer.Protocol", Renamed("WebSocketServer.Protocols")),
    ("WebSocketServer.protocol", Renamed("WebSocketServer.Protocols")),
    ("WebSocketServer.CertPath", Renamed("WebSocketServer.CertificatePath")),
    ("WebSocketServer.Heartbeat", Group),
    ("WebSocketServer.Heartbeat.Enabled", Unused(Some("WebSocketServer.PingInterval"))),
    ("WebSocketServer.Heartbeat.PingIntervalSeconds", Renamed("WebSocketServer.PingInterval")),
    ("WebSocketServer.Heartbeat.StaleConnectionSeconds", Renamed("WebSocketServer.IdleTimeout")),
    ("WebSocketServer.Heartbeat.PongTimeoutSeconds", Renamed("WebSocketServer.IdleTimeout")),
    ("WebSocketServer.ConnectionTimeouts", Group),
    ("WebSocketServer.ConnectionTimeouts.ExitWaitSeconds", Renamed("Shutdown.DrainTimeout")),
    ("WebSocketServer.LibLogLevel", Unused(Some("Logging.Level"))),
    ("WebSocketServer.LogLevel", Unused(Some("Logging.Level"))),
    ("WebSocketServer.PublicUrl", Unused(None)),
    ("WebSocketServer.RxBufferSize", Unused(None)),
    ("Server", Group),
    ("Server.ServerName", Renamed("ServerName")),
    ("Logging.Levels", Unused(Some("Logging.Level"))),
    ("Logging.Console", UnusedObject("Logging.Level")),
    ("Logging.Database", UnusedObject("Logging.Level")),
    ("Logging.Notify", UnusedObject("Logging.Level")),
    ("Logging.File", UnusedObject("Logging.File")),
    ("Server.LogFile", Renamed("Logging.File")),
    ("LogFile", Renamed("Logging.File")),
    ("PayloadKey", Unused(None)),
    ("Network.Interfaces", Unused(None)),
    ("Network.PortAllocation", Unused(None)),
    ("Network.Available", Unused(None)),
    ("Network.TrustedProxies", Renamed("WebSocketServer.TrustedProxies")),
    ("Monitoring.Intervals", Unused(Some("Monitoring.StatusInterval"))),
    ("Monitoring.Thresholds", Unused(None)),
    ("SystemMonitoring", Unused(Some("Monitoring.StatusInterval"))),
    ("API", Unused(None)),
    ("Chat", Unused(None)),
    ("Databases", Unused(None)),
    ("MailRelay", Unused(None)),
    ("NATS", Unused(None)),
    ("Notify", Unused(None)),
    ("OIDC", Unused(None)),
    ("Print", Unused(None)),
    ("PrintQueue", Unused(None)),
    ("RESTAPI", Unused(None)),
    ("Resources", Unused(None)),
    ("SMTPRelay", Unused(None)),
    ("Scripting", Unused(None)),
    ("Swagger", Unused(None)),
    ("SystemResources", Unused(None)),
    ("Terminal", Unused(None)),
    ("WebServer", Unused(None)),
    ("mDNSClient", Unused(None)),
    ("mDNSServer", Unused(None)),
];

/// A value that stands under an older name.
#[derive(Clone, Debug)]
pub(super) struct Moved<'a> {
    /// The path as written.
    pub(super) path: String,
    /// The value.
    pub(super) value: &'a Value<'a>,
}

/// The older keys of one file.
#[derive(Debug, Default)]
pub(super) struct Older<'a> {
    /// Values by their new path; those that a section reads itself by their own.
    pub(super) moved: BTreeMap<&'static str, Moved<'a>>,
    /// Where the keys stand that are dealt with.
    pub(super) taken: BTreeSet<usize>,
}

/// Finds the older keys of a file, and warns of each.
pub(super) fn find<'a>(text: &str, root: &'a Object<'a>, errors: &mut Findings, warnings: &mut Findings) -> Older<'a> {
    let mut older = Older::default();
    let mut groups = Vec::new();
    for (path, fate) in OLDER {
        let Some((property, written)) = lookup(root, path) else { continue };
        let at = property.range.start;
        if matches!(fate, UnusedObject(_)) && property.value.as_object().is_none() {
            continue;
        }
        older.taken.insert(at);
        match fate {
            Renamed(new) => {
                if let Some((newer, _)) = lookup(root, new).filter(|(p, _)| !older.taken.contains(&p.range.start)) {
                    let (line, column) = place(text, newer.range.start);
                    errors.push(at, written, format!("the older name of {new}, which stands at {line}:{column} too"));
                } else if let Some(first) = older.moved.get(new) {
                    warnings.push(at, written, format!("older name of {new}; not used beside {}", first.path));
                } else {
                    warnings.push(at, written.as_str(), format!("older name; the new one is {new}"));
                    older.moved.insert(new, Moved { path: written, value: &property.value });
                }
            }
            Replaced(new) => {
                warnings.push(at, written.as_str(), format!("older name; use {new}"));
                older.moved.insert(path, Moved { path: written, value: &property.value });
            }
            Unused(None) => warnings.push(at, written, "not used by this server"),
            Unused(Some(see)) => warnings.push(at, written, format!("not used by this server; see {see}")),
            UnusedObject(see) => {
                let message = format!("an object of this name is not used by this server; see {see}");
                warnings.push(at, written, message);
            }
            Group => match &property.value {
                Value::Object(object) => groups.push((object, written)),
                other => errors.push(start(other), written, format!("expected an object, found {}", kind(other))),
            },
        }
    }
    for (object, path) in groups {
        for property in object.properties.iter().filter(|property| !older.taken.contains(&property.range.start)) {
            warnings.push(property.range.start, join(&path, property.name.as_str()), "not used by this server");
        }
    }
    older
}

/// The property at a path, with the path as written: the section `WebSocketServer` may have its
/// older name.
fn lookup<'a>(root: &'a Object<'a>, path: &str) -> Option<(&'a ObjectProp<'a>, String)> {
    let mut tokens = path.split('.');
    let first = tokens.next()?;
    let mut property = match root.get(first) {
        None if first == "WebSocketServer" && path != first => root.get("WebSocket")?,
        found => found?,
    };
    let mut written = property.name.as_str().to_owned();
    for token in tokens {
        property = property.value.as_object()?.get(token)?;
        written = join(&written, token);
    }
    Some((property, written))
}
