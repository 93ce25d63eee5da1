//! The status as JSON: the command's answer, the event's data and `/api/status`.

use serde_json::{Map, Value, json};

use super::View;
use crate::base::counters::Histogram;
use crate::base::metric::{DIALECTS, STATES, TYPES_IN, TYPES_OUT};
use crate::base::{Category, Code, Figures, Metric, Reason};
use crate::dialect::hydrogen::SubscriptionFigures;

pub(super) fn status(view: &View<'_>) -> Value {
    let figures = &view.figures;
    let process = &view.process;
    let mut status = json!({
        "server": {
            "name": view.about.server_name,
            "version": view.about.server_version,
            "started": view.started.wall.to_string(),
            "uptime_s": view.uptime_s(),
            "running": true,
            "draining": view.draining,
        },
        "process": {
            "memory_usage": process.resident_bytes,
            "virtual_bytes": process.virtual_bytes,
            "cpu_load": process.cpu_load,
            "cpu_seconds": process.cpu_seconds,
            "thread_count": process.threads,
            "open_files": process.open_files,
            "open_files_max": process.open_files_max,
        },
        "connections": connections(view),
        "sessions": figures.gauge(Metric::SESSIONS_OPENED, Metric::SESSIONS_CLOSED),
        "subscriptions": figures.gauge(Metric::SUBSCRIPTIONS_MADE, Metric::SUBSCRIPTIONS_ENDED),
        "topics": figures.gauge(Metric::TOPICS_MADE, Metric::TOPICS_ENDED),
        "messages": {
            "in": by_label(figures, Metric::MESSAGES_IN, TYPES_IN),
            "out": by_label(figures, Metric::MESSAGES_OUT, TYPES_OUT),
            "bytes_in": figures.count(Metric::BYTES_IN),
            "bytes_out": figures.count(Metric::BYTES_OUT),
        },
        "queues": {
            "worker_batches": view.queue_depth,
            "worker_oldest_us": view.queue_oldest.as_micros() as u64,
            "worker_batches_limit": view.about.queue_limit,
            "worker_full": figures.count(Metric::QUEUE_FULL),
            "outbound_bytes": figures.gauge(Metric::OUTBOUND_QUEUED, Metric::OUTBOUND_DONE),
            "outbound_bytes_limit": view.about.outbound_max,
        },
        "delivery": {
            "published": figures.count(Metric::EVENTS_PUBLISHED),
            "delivered": figures.count(Metric::EVENTS_DELIVERED),
            "dropped": {
                "drop_oldest": figures.count(Metric::EVENTS_DROPPED),
                "conflate": figures.count(Metric::EVENTS_DROPPED.at(1)),
                "disconnect": figures.count(Metric::EVENTS_DROPPED.at(2)),
            },
            "lost": view.lost,
            "outstanding": view.delivery(|one| one.outstanding as u64),
            "oldest_unacked_ms": view.oldest_unacked_ms(),
            "acked": figures.count(Metric::ACKS_TAKEN),
            "acks_ignored": figures.count(Metric::ACKS_IGNORED),
            "redelivered": figures.count(Metric::EVENTS_REDELIVERED),
            "expired": figures.count(Metric::EVENTS_EXPIRED),
            "dead": figures.count(Metric::EVENTS_DEAD),
            "dead_letters": view.delivery(|one| one.letters as u64),
            "unlogged": figures.count(Metric::EVENTS_UNLOGGED),
            "guaranteed_subscriptions": view.delivery(|one| one.subscriptions as u64),
            "durable_subscriptions": view.delivery(|one| one.durable as u64),
            "behind": view.delivery(|one| one.behind as u64),
            "sessions_resumable": view.delivery(|one| one.parked as u64),
            "by_subscription": subscriptions(view),
        },
        "store": store(view),
        "workers": {
            "count": view.about.workers,
            "busy_s": figures.count(Metric::WORKER_BUSY_NS) as f64 / 1e9,
            "queue_wait_us": histogram(figures.histogram(Metric::QUEUE_WAIT_NS)),
        },
        "errors": errors(figures),
        "limits": {
            "rate_limited": figures.count(Metric::RATE_LIMITED),
            "blocked": figures.count(Metric::BLOCKED),
            "blocks": view.blocks,
            "credentials_refused": figures.count(Metric::AUTH_REFUSED),
        },
        "latency_us": {
            "command": histogram(figures.histogram(Metric::COMMAND_NS)),
            "delivery": histogram(figures.histogram(Metric::DELIVERY_NS)),
            "guaranteed_publish": histogram(figures.histogram(Metric::PUBLISH_NS)),
            "sync": histogram(figures.histogram(Metric::SYNC_NS)),
        },
    });
    if view.serves_rooms {
        status["signaling"] = super::rooms::figures(view);
    }
    status
}

/// The durable subscriptions with most events in flight.
fn subscriptions(view: &View<'_>) -> Value {
    let row = |row: &SubscriptionFigures| {
        json!({
            "name": row.name,
            "identity": row.identity,
            "connections": row.members,
            "outstanding": row.outstanding,
            "oldest_unacked_ms": row.oldest_ms,
            "live": row.is_live,
            "behind_by": row.behind_by,
            "dead_letters": row.letters,
        })
    };
    view.delivery.iter().flat_map(|figures| &figures.rows).map(row).collect()
}

fn store(view: &View<'_>) -> Value {
    let store = &view.store;
    json!({
        "well": store.fault.is_none(),
        "fault": store.fault.map(|fault| fault.as_str()),
        "bytes": store.size.bytes,
        "free_bytes": (store.size.free != u64::MAX).then_some(store.size.free),
        "events": store.size.events,
        "topics": view.delivery(|one| one.logs as u64),
        "groups": store.written.groups,
        "syncs": store.written.synced,
        "last_sync_us": store.last_sync_ns / 1000,
        "failures": store.written.failures,
        "waiting": view.delivery(|one| one.store_requests as u64),
        "damaged": store.damaged,
    })
}

fn connections(view: &View<'_>) -> Value {
    let figures = &view.figures;
    let gauges = |up: Metric, down: Metric, names: &[&str]| -> Map<String, Value> {
        let gauge =
            |(index, name): (usize, &&str)| ((*name).to_owned(), json!(figures.gauge(up.at(index), down.at(index))));
        names.iter().enumerate().map(gauge).collect()
    };
    json!({
        "open": open_sockets(figures),
        "limit": view.about.connections_max,
        "opened": figures.count(Metric::CONNECTIONS_OPENED),
        "closed": figures.total(Metric::CONNECTIONS_CLOSED, Reason::ALL.len()),
        "by_state": gauges(Metric::STATE_ENTERED, Metric::STATE_LEFT, STATES),
        "by_dialect": gauges(Metric::DIALECT_OPENED, Metric::DIALECT_CLOSED, DIALECTS),
        "closed_by_reason": by_label(figures, Metric::CONNECTIONS_CLOSED, Reason::NAMES),
    })
}

/// Sockets that were opened and have not ended.
pub(super) fn open_sockets(figures: &Figures) -> u64 {
    figures
        .count(Metric::CONNECTIONS_OPENED)
        .saturating_sub(figures.total(Metric::CONNECTIONS_CLOSED, Reason::ALL.len()))
}

/// WebSocket connections that are open.
pub(super) fn web_sockets(figures: &Figures) -> u64 {
    let open = |index| figures.gauge(Metric::DIALECT_OPENED.at(index), Metric::DIALECT_CLOSED.at(index));
    (0..DIALECTS.len()).map(open).sum()
}

/// The label values that were counted at all.
fn by_label(figures: &Figures, first: Metric, names: &[&str]) -> Map<String, Value> {
    let counted = |(index, name): (usize, &&str)| match figures.count(first.at(index)) {
        0 => None,
        count => Some(((*name).to_owned(), json!(count))),
    };
    names.iter().enumerate().filter_map(counted).collect()
}

fn errors(figures: &Figures) -> Value {
    let mut by_category = Map::new();
    for category in [Category::Connection, Category::Protocol, Category::Authentication, Category::Application] {
        let counted: Map<String, Value> = Code::ALL
            .iter()
            .filter(|code| code.category() == category && figures.count(Metric::error(**code)) > 0)
            .map(|code| (code.as_str().to_owned(), json!(figures.count(Metric::error(*code)))))
            .collect();
        by_category.insert(category.as_str().to_owned(), counted.into());
    }
    by_category.into()
}

/// Quantiles are upper bounds: the buckets are powers of two.
fn histogram(histogram: Histogram<'_>) -> Value {
    let mean = if histogram.count == 0 { 0.0 } else { histogram.sum_ns as f64 / histogram.count as f64 / 1000.0 };
    json!({
        "count": histogram.count,
        "mean": (mean * 10.0).round() / 10.0,
        "p50": histogram.quantile_us(0.5),
        "p90": histogram.quantile_us(0.9),
        "p99": histogram.quantile_us(0.99),
        "p999": histogram.quantile_us(0.999),
    })
}
