//! The rooms in the status, in the list for administrators, and in the form of GoVPN's server.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::View;
use crate::base::{DialectId, Metric};
use crate::config::{Config, Origins};
use crate::dialect::signaling::{MemberState, RoomRow};
use crate::server::signaling::RoomBoard;

/// Rooms that one answer lists.
const ROWS: usize = 1000;

/// A message of signaling, among the types that come in.
pub(super) const SIGNALING_IN: usize = 6;

/// Where the figures of rooms are, and what is told of the configuration.
pub(in crate::server) struct RoomStatus {
    board: Arc<RoomBoard>,
    paths: Vec<String>,
    any_origin: bool,
    clients_max: usize,
    expiry: Option<Duration>,
    cleanup: Duration,
}

impl RoomStatus {
    /// `None` where signaling is not served.
    pub(in crate::server) fn new(config: &Config, board: &Arc<RoomBoard>) -> Option<RoomStatus> {
        let section = &config.signaling;
        section.enabled.then(|| RoomStatus {
            board: board.clone(),
            paths: section.paths.clone(),
            any_origin: config.web_socket_server.allowed_origins == Origins::Any,
            clients_max: section.max_clients_per_room,
            expiry: section.room_expiry,
            cleanup: section.cleanup_interval,
        })
    }

    /// What the workers told last.
    pub(super) fn board(&self) -> &RoomBoard {
        &self.board
    }

    /// What stands behind a path of signaling, or behind none: `/health` of `/signaling/health`.
    pub(in crate::server) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.paths.iter().find_map(|own| path.strip_prefix(own.as_str()).filter(|rest| rest.starts_with('/')))
    }

    /// The rooms with their members, or the one with this id.
    pub(in crate::server) fn list(&self, room: Option<&str>) -> Value {
        self.board.read(|by_worker| {
            let total: usize = by_worker.values().map(|figures| figures.rooms).sum();
            let mut rows: Vec<&RoomRow> = by_worker
                .values()
                .flat_map(|figures| &figures.rows)
                .filter(|row| room.is_none_or(|id| row.id == id))
                .collect();
            rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            rows.truncate(ROWS);
            let rooms: Vec<Value> = rows.into_iter().map(row).collect();
            json!({"total": total, "rooms": rooms})
        })
    }
}

fn row(row: &RoomRow) -> Value {
    let members = row.members.iter().map(|member| {
        let state = match member.state {
            MemberState::Online => "online",
            MemberState::Away => "away",
            MemberState::Offline => "offline",
        };
        json!({"public_key": member.public_key, "name": member.name, "state": state})
    });
    json!({
        "id": row.id,
        "name": row.name,
        "owner": row.owner,
        "created": row.created.to_string(),
        "last_active": row.last_active.to_string(),
        "members": members.collect::<Vec<_>>(),
    })
}

/// `signaling` of the status object.
pub(super) fn figures(view: &View<'_>) -> Value {
    let (rooms, figures) = (&view.rooms, &view.figures);
    let signals = |kind| figures.count(Metric::SIGNALING_SIGNALS.at(kind));
    json!({
        "connections": rooms.connections,
        "connections_in_rooms": rooms.connections_in_rooms,
        "rooms": rooms.rooms,
        "active_rooms": rooms.active_rooms,
        "members": rooms.members,
        "away": rooms.away,
        "held_candidates": rooms.held_candidates,
        "queued_signals": rooms.queued_signals,
        "rooms_created": figures.count(Metric::SIGNALING_ROOMS_CREATED),
        "rooms_deleted": {
            "owner": figures.count(Metric::SIGNALING_ROOMS_DELETED),
            "expired": figures.count(Metric::SIGNALING_ROOMS_DELETED.at(1)),
        },
        "signals": {"offer": signals(0), "answer": signals(1), "candidate": signals(2)},
        "signals_dropped": figures.count(Metric::SIGNALING_SIGNALS_DROPPED),
        "relayed": figures.count(Metric::SIGNALING_RELAYED),
        "relayed_bytes": figures.count(Metric::SIGNALING_RELAYED_BYTES),
        "relay_refused": figures.count(Metric::SIGNALING_RELAY_REFUSED),
        "passwords_refused": figures.count(Metric::SIGNALING_PASSWORDS_REFUSED),
        "throttled": figures.total(Metric::SIGNALING_THROTTLED, 3),
        "errors": figures.count(Metric::SIGNALING_ERRORS),
        "bad_messages": figures.count(Metric::SIGNALING_BAD_MESSAGES),
        "kicked": figures.count(Metric::SIGNALING_KICKED),
        "resumed": figures.count(Metric::SIGNALING_RESUMED),
    })
}

/// What GoVPN's server answers at `/stats`.
pub(super) fn stats(view: &View<'_>, status: &RoomStatus) -> Value {
    let (rooms, figures) = (&view.rooms, &view.figures);
    let cleanup = rooms.last_cleanup.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string());
    json!({
        "config": {
            "allow_all_origins": status.any_origin,
            "cleanup_interval": hours(status.cleanup),
            "max_clients_per_room": status.clients_max,
            "room_expiry_days": status.expiry.map_or(0, |expiry| expiry.as_secs() / 86_400),
        },
        "server_stats": {
            "start_time": view.started.wall.to_string(),
            "uptime": uptime(view.uptime_s()),
            "connections_total": figures.count(Metric::DIALECT_OPENED.at(DialectId::Signaling as usize)),
            "active_connections": rooms.connections_in_rooms,
            "active_rooms": rooms.active_rooms,
            "peak_connections": rooms.peak_connections,
            "peak_rooms": rooms.peak_rooms,
            "messages_processed": figures.count(Metric::MESSAGES_IN.at(SIGNALING_IN)),
            "version": view.about.server_version,
            "last_cleanup_time": cleanup,
            "stale_rooms_removed": figures.count(Metric::SIGNALING_ROOMS_DELETED.at(1)),
        },
    })
}

/// `24h0m0s`, as Go writes a duration of whole hours.
fn hours(duration: Duration) -> String {
    format!("{}h0m0s", duration.as_secs() / 3600)
}

/// `0d 0h 0m 12s`
fn uptime(seconds: u64) -> String {
    format!("{}d {}h {}m {}s", seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metric::TYPES_IN;
    use crate::base::{Wall, WorkerId};
    use crate::dialect::signaling::{Reports, RoomFigures};

    #[test]
    fn times_are_written_as_go_writes_them() {
        assert_eq!(hours(Duration::from_secs(86_400)), "24h0m0s");
        assert_eq!(uptime(12), "0d 0h 0m 12s");
        assert_eq!(uptime(93_784), "1d 2h 3m 4s");
        assert_eq!(TYPES_IN[SIGNALING_IN], "signaling");
    }

    #[test]
    fn rooms_of_all_workers_are_listed_by_id_up_to_a_bound() {
        let board = Arc::new(RoomBoard::default());
        let config =
            Config::parse("{\"Signaling\":{\"Enabled\":true,\"Paths\":[\"/a\",\"/b/c\"]}}", "f", &|_| None).unwrap();
        let status = RoomStatus::new(&config.config, &board).unwrap();
        for worker in 0..2 {
            let row = |index: usize| RoomRow {
                id: format!("{:04}", index * 2 + worker),
                name: "n".into(),
                owner: "k".into(),
                created: Wall(0),
                last_active: Wall(0),
                members: Vec::new(),
            };
            let figures = RoomFigures { rooms: 2000, rows: (0..600).map(row).collect(), ..RoomFigures::default() };
            board.rooms(WorkerId(worker as u16), figures);
        }
        let all = status.list(None);
        assert_eq!((all["total"].as_u64(), all["rooms"].as_array().unwrap().len()), (Some(4000), ROWS));
        assert_eq!((&all["rooms"][1]["id"], &all["rooms"][999]["id"]), (&json!("0001"), &json!("0999")));
        assert_eq!(status.list(Some("1001"))["rooms"].as_array().unwrap().len(), 1);
        for (path, below) in [("/a/health", Some("/health")), ("/b/c/stats", Some("/stats")), ("/ab", None)] {
            assert_eq!(status.below(path), below);
        }
    }
}
