//! What must go together, across keys and sections.

use super::protocols::ECHO;
use super::reader::Reading;
use super::{Config, WebSocketServer};

/// Checks what was read. A value that is wrong by itself was reported and is its default here.
pub(super) fn check(config: &Config, reading: &mut Reading<'_>) {
    check_sizes(config, reading);
    check_access(&config.web_socket_server, reading);
    check_delivery(config, reading);
    check_signaling(config, reading);
    let server = &config.web_socket_server;
    if server.ping_interval >= server.idle_timeout {
        warn(
            reading,
            "WebSocketServer.PingInterval",
            "not shorter than IdleTimeout: silent connections are closed before a ping is sent",
        );
    }
    if server.echo && server.protocols.iter().any(|name| name == ECHO) {
        let keys = ["WebSocketServer.Protocols", "WebSocketServer.Echo"];
        error(reading, &keys, "\"echo\" is the echo dialect's name while Echo is true");
    }
}

fn check_sizes(config: &Config, reading: &mut Reading<'_>) {
    let (server, outbound) = (&config.web_socket_server, &config.outbound);
    if server.max_frame_size > server.max_message_size {
        let message = format!("larger than MaxMessageSize, which is {}", server.max_message_size);
        error(reading, &["WebSocketServer.MaxFrameSize", "WebSocketServer.MaxMessageSize"], message);
    }
    if outbound.max_bytes_total < outbound.max_bytes_per_connection {
        let message = format!("less than MaxBytesPerConnection, which is {}", outbound.max_bytes_per_connection);
        error(reading, &["Outbound.MaxBytesTotal", "Outbound.MaxBytesPerConnection"], message);
    }
    if outbound.max_bytes_per_connection < server.max_message_size {
        let message = format!(
            "less than WebSocketServer.MaxMessageSize, which is {}: the largest messages cannot be passed on",
            server.max_message_size
        );
        warn(reading, "Outbound.MaxBytesPerConnection", message);
    }
}

fn check_delivery(config: &Config, reading: &mut Reading<'_>) {
    let (delivery, size) = (&config.delivery, config.web_socket_server.max_message_size);
    if delivery.max_window < delivery.window {
        let message = format!("less than Window, which is {}", delivery.window);
        error(reading, &["Delivery.MaxWindow", "Delivery.Window"], message);
    }
    if delivery.max_backoff < delivery.ack_timeout {
        let message = format!("less than AckTimeoutMs, which is {}", delivery.ack_timeout.as_millis());
        error(reading, &["Delivery.MaxBackoffMs", "Delivery.AckTimeoutMs"], message);
    }
    if delivery.max_pending_bytes < size {
        let message = format!(
            "less than WebSocketServer.MaxMessageSize, which is {size}: the largest messages cannot be published with \
             a guarantee"
        );
        warn(reading, "Delivery.MaxPendingBytes", message);
    }
}

fn check_signaling(config: &Config, reading: &mut Reading<'_>) {
    let (signaling, server) = (&config.signaling, &config.web_socket_server);
    if signaling.max_members_per_room < signaling.max_clients_per_room {
        let message = format!("less than MaxClientsPerRoom, which is {}", signaling.max_clients_per_room);
        error(reading, &["Signaling.MaxMembersPerRoom", "Signaling.MaxClientsPerRoom"], message);
    }
    if !signaling.enabled {
        return;
    }
    let keys = ["Signaling.Protocols", "WebSocketServer.Protocols"];
    for name in &signaling.protocols {
        if server.protocols.contains(name) {
            error(reading, &keys, format!("\"{name}\" is a name of hydrogen-protocol, in WebSocketServer.Protocols"));
        } else if server.echo && name == ECHO {
            error(reading, &keys, "\"echo\" is the echo dialect's name while Echo is true");
        }
    }
    if !signaling.needs_key && signaling.password_limit.is_none() && !server.is_loopback() {
        let message = "0, and everyone may connect: a password of four digits is found in minutes";
        warn(reading, "Signaling.PasswordLimit.Failures", message);
    }
}

fn check_access(server: &WebSocketServer, reading: &mut Reading<'_>) {
    if !server.auth_required && !server.is_loopback() {
        let message = "false, and the port can be reached from other machines: everyone may connect";
        warn(reading, "WebSocketServer.AuthRequired", message);
    }
}

/// Reports an error at the first of the keys, unless one of them is wrong by itself already.
fn error(reading: &mut Reading<'_>, keys: &[&str], message: impl Into<String>) {
    if keys.iter().any(|key| reading.errors.concern(key)) {
        return;
    }
    if let Some(path) = keys.first() {
        reading.errors.push(reading.place(path), *path, message);
    }
}

fn warn(reading: &mut Reading<'_>, path: &str, message: impl Into<String>) {
    reading.warnings.push(reading.place(path), path, message);
}
