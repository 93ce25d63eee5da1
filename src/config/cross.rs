//! What must go together, across keys and sections.

use super::protocols::ECHO;
use super::reader::Reading;
use super::{Config, WebSocketServer};

/// Checks a configuration whose single values are all in range.
pub(super) fn check(config: &Config, reading: &mut Reading<'_>) {
    check_sizes(config, reading);
    check_access(&config.web_socket_server, reading);
    let server = &config.web_socket_server;
    if server.ping_interval >= server.idle_timeout {
        warn(
            reading,
            "WebSocketServer.PingInterval",
            "not shorter than IdleTimeout: silent connections are closed before a ping is sent",
        );
    }
    if server.echo && server.protocols.iter().any(|name| name == ECHO) {
        error(reading, "WebSocketServer.Protocols", "\"echo\" is the echo dialect's name while Echo is true");
    }
}

fn check_sizes(config: &Config, reading: &mut Reading<'_>) {
    let (server, outbound) = (&config.web_socket_server, &config.outbound);
    if server.max_frame_size > server.max_message_size {
        let message = format!("larger than MaxMessageSize, which is {}", server.max_message_size);
        error(reading, "WebSocketServer.MaxFrameSize", message);
    }
    if outbound.max_bytes_total < outbound.max_bytes_per_connection {
        let message = format!("less than MaxBytesPerConnection, which is {}", outbound.max_bytes_per_connection);
        error(reading, "Outbound.MaxBytesTotal", message);
    }
    if outbound.max_bytes_per_connection < server.max_message_size {
        let message = format!(
            "less than WebSocketServer.MaxMessageSize, which is {}: the largest messages cannot be passed on",
            server.max_message_size
        );
        warn(reading, "Outbound.MaxBytesPerConnection", message);
    }
}

fn check_access(server: &WebSocketServer, reading: &mut Reading<'_>) {
    if !server.auth_required && !server.is_loopback() {
        let message = "false, and the port can be reached from other machines: everyone may connect";
        warn(reading, "WebSocketServer.AuthRequired", message);
    }
}

fn error(reading: &mut Reading<'_>, path: &str, message: impl Into<String>) {
    let place = reading.place(path);
    reading.errors.push(place, path, message);
}

fn warn(reading: &mut Reading<'_>, path: &str, message: impl Into<String>) {
    let place = reading.place(path);
    reading.warnings.push(place, path, message);
}
