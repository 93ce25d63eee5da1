//! The daemon: a server in the foreground, with a log, signals and the service manager's protocol.

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::first_start::{keys_path, make_data_dir, make_first_key, write_token};
use super::{Server, StartError};
use crate::config::{Config, Loaded, SecureMode};
use crate::engine::work::StopCause;
use crate::sys::clock::Clock;
use crate::sys::log::{LogSettings, Logger};

/// Why the daemon ended other than by being told to.
#[derive(Debug)]
pub enum RunError {
    /// The log cannot be opened.
    Log(io::Error),
    /// The server did not start.
    Start(StartError),
    /// Signals cannot be waited for.
    Signals(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Log(error) => write!(f, "Logging.File: {error}"),
            RunError::Start(error) => write!(f, "{error}"),
            RunError::Signals(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Makes the data folder, and an administrator's key if there is no keys file yet. The key's token
/// is returned: it is kept nowhere, and can be shown this once. With a keys file there is none.
pub fn first_key(config: &Config) -> Result<Option<String>, StartError> {
    make_data_dir(&config.data_dir).map_err(|error| StartError::DataDir(config.data_dir.clone(), error))?;
    make_first_key(&config.data_dir, Clock::default().now().wall).map_err(StartError::Keys)
}

/// Serves until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP reads the keys
/// again and reopens the log.
pub fn run(loaded: Loaded) -> Result<(), RunError> {
    let config = loaded.config;
    let logger = crate::sys::log::start(LogSettings {
        level: config.logging.level,
        modules: config.logging.modules.clone(),
        file: config.logging.file.clone(),
        queue_lines: config.logging.queue_lines,
    })
    .map_err(RunError::Log)?;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    raise_descriptor_limit(&config);
    // Before anything is announced, so that an early signal is not lost.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(RunError::Signals)?;
    let result = serve(config, &logger, signals);
    if let Err(error) = &result {
        log::error!("{error}");
    }
    logger.flush();
    result
}

fn serve(config: Config, logger: &Logger, mut signals: Signals) -> Result<(), RunError> {
    // One that serves nobody needs no key: the start below says why.
    let first = if config.web_socket_server.enabled { first_key(&config).map_err(RunError::Start)? } else { None };
    let is_logged = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), standard_output().ok());
    if let Some(token) = &first {
        // Before anything else can fail: this is the one time that the token is known.
        hand_over(token, &config.data_dir, is_logged)
            .map_err(|error| RunError::Start(StartError::DataDir(config.data_dir.clone(), error)))?;
    }
    let is_tls = config.web_socket_server.secure_mode != SecureMode::None;
    let last_words = logger.clone();
    let end = move || {
        // A part of the server would be dead and the rest would not tell: the service manager
        // starts the whole anew.
        log::error!("the server cannot go on without this thread: aborting");
        last_words.flush();
        std::process::abort();
    };
    let server = Server::builder(config).on_loss(Box::new(end)).start().map_err(RunError::Start)?;
    announce(&server);
    if let (Some(token), Some(address), false) = (&first, server.addresses().first(), is_logged) {
        show_a_try(token, *address, is_tls);
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut cause = StopCause::default();
    for signal in signals.forever() {
        if signal != SIGHUP {
            log::info!("signal={signal} stopping");
            if signal == SIGINT {
                cause = StopCause::Interrupted;
            }
            break;
        }
        log::info!("signal={signal} reading the keys again");
        logger.reopen();
        server.stopper().reload();
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    end_at_the_next(signals, logger.clone()).map_err(RunError::Signals)?;
    server.stop_for(cause);
    log::info!("stopped");
    Ok(())
}

/// Whoever asks twice does not want to wait: the process ends by the signal, as if it had never
/// been handled.
fn end_at_the_next(mut signals: Signals, logger: Logger) -> io::Result<()> {
    let wait = move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                log::warn!("signal={signal} ending at once, without waiting for connections");
                logger.flush();
                // It does not return: these signals end a process.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(|_| ())
}

/// Shows the first key the one time that it can be shown. Where standard output goes into a log,
/// the token is put into a file for the administrator alone instead.
fn hand_over(token: &str, data_dir: &Path, is_logged: bool) -> io::Result<()> {
    let keys = keys_path(data_dir);
    let keys = keys.display();
    // Whoever started the server may have closed its output.
    let mut out = io::stdout().lock();
    if is_logged {
        let path = write_token(data_dir, token)?;
        let path = path.display();
        let _ = writeln!(out, "a key for the administrator was made in {keys}; its token is in {path}: take it away");
    } else {
        let _ =
            writeln!(out, "A key for the administrator was made in {keys}. It is shown this once:\n\n    {token}\n");
    }
    let _ = out.flush();
    Ok(())
}

/// Shows how the first key is used, once it is known where the server listens.
fn show_a_try(token: &str, mut address: SocketAddr, is_tls: bool) {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let program = std::env::args().next().unwrap_or_else(|| "hydrogen".into());
    let scheme = if is_tls { "wss" } else { "ws" };
    let mut out = io::stdout().lock();
    let _ = writeln!(
        out,
        "\nTo try it, in another terminal:\n\n    \
         HYDROGEN_URL={scheme}://{address}/ HYDROGEN_KEY={token} {program} subscribe 'demo.>'\n"
    );
    let _ = out.flush();
}

/// Device and inode of standard output.
fn standard_output() -> io::Result<(u64, u64)> {
    let found = std::fs::metadata("/proc/self/fd/1")?;
    Ok((found.dev(), found.ino()))
}

/// Whether standard output is the journal. systemd.exec(5): JOURNAL_STREAM holds the device and
/// inode of the journal's stream; it alone tells nothing, since children inherit it.
fn is_journal(stream: Option<&str>, output: Option<(u64, u64)>) -> bool {
    let named = stream.and_then(|stream| stream.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    named.is_some() && named == output
}

/// Says what is listened on.
fn announce(server: &Server) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "listening on {}", server.url());
    let _ = out.flush();
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
}

/// A socket is a descriptor: the soft limit is raised as far as it goes.
fn raise_descriptor_limit(config: &Config) {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) => {
            let wanted = descriptors(config);
            if limit < wanted {
                log::warn!("{limit} descriptors can be open, fewer than MaxConnections needs ({wanted})");
            }
        }
        Err(error) => log::warn!("the descriptor limit cannot be raised: {error}"),
    }
}

/// Descriptors that the server may need: its connections, handshakes and plain requests beside
/// them, sockets that linger after their answer, and files, listeners and pipes.
fn descriptors(config: &Config) -> u64 {
    let server = &config.web_socket_server;
    let sockets = server.max_connections as u64 + 256 + 1024 * server.io_threads.max(1) as u64;
    sockets + 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let output = Some((8, 4711));
        for (stream, expected) in [
            (Some("8:4711"), true),
            (Some("8:4712"), false),
            (Some("9:4711"), false),
            (Some("8"), false),
            (Some(""), false),
            (Some("a:b"), false),
            (None, false),
        ] {
            assert_eq!(is_journal(stream, output), expected, "{stream:?}");
        }
        assert!(!is_journal(Some("8:4711"), None));
        assert!(!is_journal(None, None));
    }
}
