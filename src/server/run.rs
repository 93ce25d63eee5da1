//! The daemon: a server in the foreground, with a log, signals and the service manager's protocol.

use std::fmt;
use std::io::{self, Write};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::first_start::{keys_path, make_data_dir, make_first_key, write_token};
use super::{Server, StartError};
use crate::config::{Config, Loaded, SecureMode};
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
    if let Some(token) = first_key(&config).map_err(RunError::Start)? {
        // Before anything else can fail: this is the one time that the token is known.
        hand_over(&token, &config)
            .map_err(|error| RunError::Start(StartError::DataDir(config.data_dir.clone(), error)))?;
    }
    let server = Server::builder(config).start().map_err(RunError::Start)?;
    announce(&server);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    for signal in signals.forever() {
        if signal != SIGHUP {
            log::info!("signal={signal} stopping");
            break;
        }
        log::info!("signal={signal} reading the keys again");
        logger.reopen();
        server.stopper().reload();
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    end_at_the_next(signals, logger.clone()).map_err(RunError::Signals)?;
    server.stop();
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
fn hand_over(token: &str, config: &Config) -> io::Result<()> {
    let keys = keys_path(&config.data_dir);
    let mut out = io::stdout().lock();
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        let path = write_token(&config.data_dir, token)?;
        let (keys, path) = (keys.display(), path.display());
        let _ = writeln!(out, "a key for the administrator was made in {keys}; its token is in {path}: take it away");
        return out.flush();
    }
    let program = std::env::args().next().unwrap_or_else(|| "hydrogen".into());
    let scheme = if config.web_socket_server.secure_mode == SecureMode::None { "ws" } else { "wss" };
    let address = config.web_socket_server.addresses().first().map(ToString::to_string).unwrap_or_default();
    // Whoever started the server may have closed its output.
    let _ = writeln!(
        out,
        "A key for the administrator was made in {}. It is shown this once:\n\n    {token}\n\n\
         To try it, in another terminal:\n\n    \
         HYDROGEN_URL={scheme}://{address}/ HYDROGEN_KEY={token} {program} subscribe 'demo.>'\n",
        keys.display()
    );
    let _ = out.flush();
    Ok(())
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
            let wanted = config.web_socket_server.max_connections as u64 + 64;
            if limit < wanted {
                log::warn!("{limit} descriptors can be open, fewer than MaxConnections needs ({wanted})");
            }
        }
        Err(error) => log::warn!("the descriptor limit cannot be raised: {error}"),
    }
}
