//! The status in the form of Hydrogen's own clients: names and nesting are theirs.

use serde_json::{Value, json};

use super::View;
use super::json::{open_sockets, web_sockets};
use crate::base::Metric;
use crate::base::metric::TYPES_IN;
use crate::engine::conn::State;
use crate::sys::process::SystemFigures;

pub(super) fn status(view: &View<'_>, system: &SystemFigures) -> Value {
    let figures = &view.figures;
    let process = &view.process;
    let uptime = view.uptime_s();
    let started = view.started.wall.to_string();
    let connections = web_sockets(figures);
    let verifying = State::Verifying as usize;
    let requested = figures.gauge(Metric::STATE_ENTERED.at(verifying), Metric::STATE_LEFT.at(verifying));
    let opened = figures.count(Metric::CONNECTIONS_OPENED);
    let requests = figures.total(Metric::MESSAGES_IN, TYPES_IN.len());
    let service = |name: &str, status: Value| {
        let mut status = status;
        status["threads"] = json!(process.threads);
        status["virtualMemoryBytes"] = json!(process.virtual_bytes);
        status["residentMemoryBytes"] = json!(process.resident_bytes);
        json!({ name: {"enabled": true, "status": status} })
    };
    let mut services = service(
        "websocket",
        json!({"uptime": uptime, "activeConnections": connections, "totalConnections": opened, "totalRequests": requests}),
    );
    let web = json!({"activeRequests": requested, "totalRequests": figures.count(Metric::HTTP_REQUESTS),
        "currentConnections": open_sockets(figures)});
    services["webserver"] = service("webserver", web)["webserver"].take();
    json!({
        "version": {
            "server": view.about.server_version,
            "api": "1.0",
            "release": view.about.server_version,
            "build_type": if cfg!(debug_assertions) { "debug" } else { "release" },
        },
        "system": system,
        "status": {
            "server_running": !view.draining,
            "server_stopping": view.draining,
            "server_starting": false,
            "server_uptime": uptime,
            "server_started": started,
            "server_runtime_formatted": runtime(uptime),
        },
        "services": services,
        // Older readers still ask for these at the top.
        "server_running": !view.draining,
        "memory_usage": process.resident_bytes,
        "cpu_load": process.cpu_load,
        "thread_count": process.threads,
        "server_start_time": started,
        "active_connections": connections,
        "total_connections": opened,
        "total_requests": requests,
    })
}

/// `HH:MM:SS`, or `Nd HHh MMm SSs` from a day on.
fn runtime(uptime_s: u64) -> String {
    let (days, hours, minutes, seconds) = (uptime_s / 86_400, uptime_s / 3600 % 24, uptime_s / 60 % 60, uptime_s % 60);
    match days {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}d {hours:02}h {minutes:02}m {seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_written_as_older_servers_did() {
        assert_eq!(runtime(59), "00:00:59");
        assert_eq!(runtime(86_399), "23:59:59");
        assert_eq!(runtime(90_061), "1d 01h 01m 01s");
    }
}
