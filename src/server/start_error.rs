//! Why a server did not start: one kind for each part that can keep it from it.

use std::net::SocketAddr;
use std::{fmt, io};

use crate::dialect::hydrogen::ChannelsError;
use crate::sys::keyfile::KeyFileError;

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The data folder cannot be made or written.
    DataDir(std::path::PathBuf, io::Error),
    /// The keys file cannot be used.
    Keys(KeyFileError),
    /// The keys cannot be used together, or the configured key is too weak.
    Key(String),
    /// The certificate or its key cannot be used.
    Tls(String),
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The store cannot be opened.
    Store(String),
    /// The rooms cannot be served.
    Signaling(String),
    /// A channel cannot be registered.
    Channel(ChannelsError),
    /// A thread or a poll could not be made.
    System(io::Error),
    /// The configuration says that the server is not enabled.
    Disabled,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::DataDir(path, error) => write!(f, "DataDir {}: {error}", path.display()),
            StartError::Keys(error) => write!(f, "{error}"),
            StartError::Key(why) => write!(f, "{why}"),
            StartError::Tls(why) => write!(f, "TLS: {why}"),
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::Store(why) => write!(f, "{why}"),
            StartError::Signaling(why) => write!(f, "Signaling: {why}"),
            StartError::Channel(error) => write!(f, "{error}"),
            StartError::System(error) => write!(f, "{error}"),
            StartError::Disabled => f.write_str("WebSocketServer.Enabled is false: there is nothing to serve"),
        }
    }
}

impl std::error::Error for StartError {}
