//! Where to connect, and as whom: the arguments that all client commands share.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tungstenite::http::Uri;

use crate::base::limits::CREDENTIAL_BYTES;
use crate::cli::exit::Stop;
use crate::cli::json;

const URL_VARIABLE: &str = "HYDROGEN_URL";
const KEY_VARIABLE: &str = "HYDROGEN_KEY";
const DEFAULT_URL: &str = "ws://127.0.0.1:8080/";

/// The words of the command line.
#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectArgs {
    /// The server [default: $HYDROGEN_URL, else ws://127.0.0.1:8080/]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The key. Other users of this machine can see it here: better $HYDROGEN_KEY or --key-file
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A file with the key and nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust in place of the system's, for wss://
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Send the key with every message too, for servers with AuthPerMessage
    #[arg(long)]
    key_per_message: bool,
    /// Seconds until a connection must stand
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    connect_timeout: u64,
}

impl ConnectArgs {
    /// Checks everything. `env` looks a variable up.
    pub fn build(self, env: &dyn Fn(&str) -> Option<String>) -> Result<Target, Stop> {
        let env = |name| env(name).filter(|value| !value.is_empty());
        let key = match (self.key, self.key_file) {
            (Some(key), _) => Some(key),
            (None, Some(file)) => Some(read_key(&file)?),
            (None, None) => env(KEY_VARIABLE),
        };
        let url = self.url.or_else(|| env(URL_VARIABLE)).unwrap_or_else(|| DEFAULT_URL.into());
        let mut target = parse_url(&url)?;
        target.key = key.map(check_key).transpose()?;
        if self.key_per_message && target.key.is_none() {
            return Err(Stop::usage("--key-per-message needs a key"));
        }
        target.ca = self.ca;
        target.key_per_message = self.key_per_message;
        target.connect_timeout = Duration::from_secs(self.connect_timeout);
        Ok(target)
    }

    /// As [`ConnectArgs::build`], with this process's environment.
    pub fn build_here(self) -> Result<Target, Stop> {
        self.build(&|name| std::env::var(name).ok())
    }
}

/// Where to connect, and as whom. Displayed without path and key.
pub struct Target {
    /// Whether to speak TLS.
    pub is_tls: bool,
    /// A name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// As it stands in the request's `Host`.
    pub authority: String,
    /// Path and query.
    pub resource: String,
    /// Certificates to trust.
    pub ca: Option<PathBuf>,
    /// For TCP, TLS and the upgrade together.
    pub connect_timeout: Duration,
    key: Option<String>,
    key_per_message: bool,
}

impl Target {
    /// The value of the request's `Authorization`.
    pub fn authorization(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Key {key}"))
    }

    /// The envelope's field `auth`, with a comma before it, where every message needs it.
    pub fn auth_field(&self) -> Option<String> {
        let key = self.key.as_ref().filter(|_| self.key_per_message)?;
        Some(format!(r#","auth":{{"token":{}}}"#, json::string(key)))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "wss" } else { "ws" }, self.authority)
    }
}

/// The URL may hold a key, so no message repeats it.
fn parse_url(url: &str) -> Result<Target, Stop> {
    let bad = |why: &str| Stop::usage(format_args!("the URL {why}; it looks like ws://host:8080/ or wss://host/"));
    let uri: Uri = url.parse().map_err(|_| bad("is not valid"))?;
    // RFC 3986 3.1: schemes know no case.
    let is_tls = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
        // The server tells its address as `http://…`, and it is the same port.
        Some("ws" | "http") => false,
        Some("wss" | "https") => true,
        Some(_) | None => return Err(bad("does not begin with ws:// or wss://")),
    };
    let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("holds a user's name; keys go into HYDROGEN_KEY"));
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(bad("names no host"));
    }
    let has_port = !authority.as_str().ends_with(authority.host());
    let port = match authority.port_u16() {
        Some(port) => port,
        None if has_port => return Err(bad("has a port that is no number from 0 to 65535")),
        None if is_tls => 443,
        None => 80,
    };
    let resource = uri.path_and_query().map_or("/", |resource| resource.as_str());
    Ok(Target {
        is_tls,
        host,
        port,
        authority: authority.as_str().to_owned(),
        resource: if resource.starts_with('/') { resource.to_owned() } else { format!("/{resource}") },
        ca: None,
        connect_timeout: Duration::ZERO,
        key: None,
        key_per_message: false,
    })
}

fn read_key(file: &Path) -> Result<String, Stop> {
    let mut text = String::new();
    // One byte more than any key with a line break tells a wrong file from a right one.
    File::open(file)
        .and_then(|file| file.take(CREDENTIAL_BYTES as u64 + 3).read_to_string(&mut text))
        .map_err(|error| Stop::usage(format_args!("cannot read the key file {}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

/// It stands in a header as it is.
fn check_key(key: String) -> Result<String, Stop> {
    if key.is_empty() || key.len() > CREDENTIAL_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Stop::usage("the key is not 1 to 255 printable ASCII characters without spaces"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    const NOTHING: ConnectArgs =
        ConnectArgs { url: None, key: None, key_file: None, ca: None, key_per_message: false, connect_timeout: 10 };

    fn message(result: Result<Target, Stop>) -> String {
        let stop = result.err().unwrap();
        assert_eq!(stop.exit, Exit::Usage);
        stop.message.unwrap()
    }

    #[test]
    fn urls_become_parts() {
        for (url, tls, host, port, resource) in [
            ("ws://127.0.0.1:8080/", false, "127.0.0.1", 8080, "/"),
            ("ws://h", false, "h", 80, "/"),
            ("wss://h.example/a/b?c=d", true, "h.example", 443, "/a/b?c=d"),
            ("ws://[::1]:81/x", false, "::1", 81, "/x"),
            ("WSS://h?x=1", true, "h", 443, "/?x=1"),
            ("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "/"),
            ("https://h.example/", true, "h.example", 443, "/"),
        ] {
            let found = parse_url(url).map(|t| (t.is_tls, t.host, t.port, t.resource));
            assert_eq!(found, Ok((tls, host.to_owned(), port, resource.to_owned())), "{url}");
        }
    }

    #[test]
    fn wrong_urls_are_explained_and_not_repeated() {
        for url in ["", "h:8080", "ftp://h/", "ws://", "ws://h:x/", "ws://h:99999/", "ws://u:secret@h/", "ws://a b/"] {
            let message = message(parse_url(url));
            assert!(message.contains("the URL") && !message.contains("secret"), "{url}: {message}");
        }
    }

    #[test]
    fn arguments_go_before_the_environment_and_empty_variables_are_none() {
        let env = |name: &str| match name {
            URL_VARIABLE => Some("ws://env:1/".to_owned()),
            KEY_VARIABLE => Some("from-env".to_owned()),
            _ => None,
        };
        let target = NOTHING.build(&env).unwrap();
        assert_eq!((target.to_string(), target.authorization()), ("ws://env:1".into(), Some("Key from-env".into())));
        let args = ConnectArgs { url: Some("wss://arg".into()), key: Some("k".into()), ..NOTHING };
        let target = args.build(&env).unwrap();
        assert_eq!((target.to_string(), target.authorization()), ("wss://arg".into(), Some("Key k".into())));
        let target = NOTHING.build(&|_| Some(String::new())).unwrap();
        assert_eq!((target.to_string(), target.authorization()), ("ws://127.0.0.1:8080".into(), None));
    }

    #[test]
    fn keys_are_read_from_files_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let with_file = || ConnectArgs { key_file: Some(file.clone()), key_per_message: true, ..NOTHING };
        std::fs::write(&file, "hyd1.a.b\n").unwrap();
        let target = with_file().build(&|_| None).unwrap();
        assert_eq!(target.authorization().as_deref(), Some("Key hyd1.a.b"));
        assert_eq!(target.auth_field().as_deref(), Some(r#","auth":{"token":"hyd1.a.b"}"#));
        for bad in ["two words", "line\nline", "schlüssel", "", &"k".repeat(256)] {
            std::fs::write(&file, bad).unwrap();
            let message = message(with_file().build(&|_| None));
            assert!(message.contains("the key is not") && (bad.is_empty() || !message.contains(bad)), "{message}");
        }
    }
}
