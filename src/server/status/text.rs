//! The metrics in Prometheus's text format: every family of the table, and the process.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::View;
use super::json::web_sockets;
use crate::base::metric::{Family, HISTOGRAM_BUCKETS, Kind};

const PREFIX: &str = "hydrogen_";

pub(super) fn metrics(view: &View<'_>) -> String {
    let mut families = Vec::new();
    for (family, cells) in view.figures.reduced() {
        let metrics = match family.kind {
            Kind::Histogram => vec![histogram(&cells)],
            Kind::TimeCounter => numbers(family, &cells, 1e-9),
            Kind::Counter | Kind::GaugeUp | Kind::GaugeDown => numbers(family, &cells, 1.0),
        };
        families.push(make(family.name, family.help, family.kind, metrics));
    }
    for (name, help, kind, value) in process(view) {
        families.push(make(name, help, kind, vec![number(kind, "", "", value)]));
    }
    families.extend(by_subscription(view));
    let mut info = number(Kind::GaugeUp, "version", view.about.server_version, 1.0);
    info.set_label(vec![label("version", view.about.server_version), label("name", &view.about.server_name)]);
    families.push(make("build_info", "The server's name and version.", Kind::GaugeUp, vec![info]));
    let mut out = Vec::new();
    // The families are our own constants: none is empty, and a Vec takes every write.
    let _ = TextEncoder::new().encode(&families, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The durable subscriptions with most events in flight.
fn by_subscription(view: &View<'_>) -> Option<MetricFamily> {
    let rows = view.delivery.iter().flat_map(|figures| &figures.rows);
    let durable = rows.map(|row| (row.identity.as_str(), row.name.as_str(), row.outstanding));
    let metric = |(identity, name, outstanding): (&str, &str, usize)| {
        let mut metric = number(Kind::GaugeUp, "", "", outstanding as f64);
        metric.set_label(vec![label("identity", identity), label("subscription", name)]);
        metric
    };
    let metrics: Vec<Metric> = durable.map(metric).collect();
    let help = "Events in flight by durable subscription, of the hundred of each worker with most.";
    // A family without numbers cannot be written.
    (!metrics.is_empty()).then(|| make("durable_subscription_outstanding", help, Kind::GaugeUp, metrics))
}

fn process(view: &View<'_>) -> Vec<(&'static str, &'static str, Kind, f64)> {
    let (process, store) = (&view.process, &view.store);
    let known = |value: Option<u64>| value.unwrap_or(0) as f64;
    vec![
        ("uptime_seconds", "Seconds since the server started.", Kind::GaugeUp, view.uptime_s() as f64),
        ("draining", "1 while the server is stopping.", Kind::GaugeUp, f64::from(u8::from(view.draining))),
        (
            "worker_queue_oldest_seconds",
            "How long the oldest batch has waited for a worker.",
            Kind::GaugeUp,
            view.queue_oldest.as_secs_f64(),
        ),
        ("worker_queue_batches", "Batches waiting for a worker.", Kind::GaugeUp, view.queue_depth as f64),
        ("blocks", "Identities and networks that are blocked.", Kind::GaugeUp, view.blocks as f64),
        (
            "late_deliveries_lost_total",
            "Late answers and emitted events that found a worker's queue full.",
            Kind::Counter,
            view.lost as f64,
        ),
        (
            "delivery_outstanding",
            "Events in flight to guaranteed subscriptions: sent and not acked, or to be sent again.",
            Kind::GaugeUp,
            view.delivery(|one| one.outstanding as u64) as f64,
        ),
        (
            "delivery_oldest_unacked_seconds",
            "How long the oldest event has been in flight.",
            Kind::GaugeUp,
            view.oldest_unacked_ms() as f64 / 1000.0,
        ),
        (
            "guaranteed_subscriptions_behind",
            "Guaranteed subscriptions that are behind the newest event.",
            Kind::GaugeUp,
            view.delivery(|one| one.behind as u64) as f64,
        ),
        ("dead_letters", "Dead letters that are kept.", Kind::GaugeUp, view.delivery(|one| one.letters as u64) as f64),
        (
            "sessions_resumable",
            "Sessions without connection that can be resumed.",
            Kind::GaugeUp,
            view.delivery(|one| one.parked as u64) as f64,
        ),
        ("store_well", "1 while the store takes changes.", Kind::GaugeUp, f64::from(u8::from(store.fault.is_none()))),
        ("store_bytes", "Bytes of the store's files.", Kind::GaugeUp, store.size.bytes as f64),
        ("store_events", "Events that the store holds, about.", Kind::GaugeUp, store.size.events as f64),
        ("store_groups_total", "Groups that were committed.", Kind::Counter, store.written.groups as f64),
        ("store_syncs_total", "Groups that were synced.", Kind::Counter, store.written.synced as f64),
        ("store_failures_total", "Groups that could not be committed.", Kind::Counter, store.written.failures as f64),
        (
            "store_waiting",
            "Requests that wait for the store.",
            Kind::GaugeUp,
            view.delivery(|one| one.store_requests as u64) as f64,
        ),
        ("signaling_rooms", "Rooms.", Kind::GaugeUp, view.rooms.rooms as f64),
        ("signaling_active_rooms", "Rooms that somebody is in.", Kind::GaugeUp, view.rooms.active_rooms as f64),
        ("signaling_members", "Members of rooms, there or not.", Kind::GaugeUp, view.rooms.members as f64),
        (
            "signaling_connections_in_rooms",
            "Connections that are in a room.",
            Kind::GaugeUp,
            view.rooms.connections_in_rooms as f64,
        ),
        (
            "signaling_away",
            "Places in rooms that are kept for connections that were lost.",
            Kind::GaugeUp,
            view.rooms.away as f64,
        ),
        (
            "signaling_held_candidates",
            "Candidates that wait for their offer.",
            Kind::GaugeUp,
            view.rooms.held_candidates as f64,
        ),
        (
            "signaling_queued_signals",
            "Signals that wait for who is away.",
            Kind::GaugeUp,
            view.rooms.queued_signals as f64,
        ),
        ("process_resident_memory_bytes", "Resident memory.", Kind::GaugeUp, known(process.resident_bytes)),
        ("process_virtual_memory_bytes", "Virtual memory.", Kind::GaugeUp, known(process.virtual_bytes)),
        ("process_cpu_seconds_total", "User and system time.", Kind::Counter, process.cpu_seconds.unwrap_or(0.0)),
        ("process_threads", "Threads.", Kind::GaugeUp, known(process.threads)),
        ("process_open_fds", "Open descriptors.", Kind::GaugeUp, known(process.open_files)),
        ("process_max_fds", "Descriptors that may be open.", Kind::GaugeUp, known(process.open_files_max)),
        // Names that dashboards of older Hydrogen servers ask for.
        ("websocket_uptime_seconds", "The same as hydrogen_uptime_seconds.", Kind::GaugeUp, view.uptime_s() as f64),
        (
            "websocket_active_connections",
            "Open WebSocket connections.",
            Kind::GaugeUp,
            web_sockets(&view.figures) as f64,
        ),
        (
            "websocket_connections_total",
            "The same as hydrogen_connections_opened_total.",
            Kind::Counter,
            view.figures.count(crate::base::Metric::CONNECTIONS_OPENED) as f64,
        ),
        (
            "websocket_requests_total",
            "Messages received, of all types.",
            Kind::Counter,
            view.figures.total(crate::base::Metric::MESSAGES_IN, crate::base::metric::TYPES_IN.len()) as f64,
        ),
    ]
}

fn make(name: &str, help: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        Kind::Counter | Kind::TimeCounter => MetricType::COUNTER,
        Kind::GaugeUp | Kind::GaugeDown => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(metrics);
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn numbers(family: &Family, cells: &[u64], unit: f64) -> Vec<Metric> {
    let one = |(value, cell): (&&str, &u64)| number(family.kind, family.label, value, *cell as f64 * unit);
    family.values.iter().zip(cells).map(one).collect()
}

fn number(kind: Kind, name: &str, value: &str, amount: f64) -> Metric {
    let mut metric = Metric::default();
    if !name.is_empty() {
        metric.set_label(vec![label(name, value)]);
    }
    match kind {
        Kind::Counter | Kind::TimeCounter => {
            let mut counter = Counter::default();
            counter.set_value(amount);
            metric.set_counter(counter);
        }
        Kind::GaugeUp | Kind::GaugeDown | Kind::Histogram => {
            let mut gauge = Gauge::default();
            gauge.set_value(amount);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn histogram(cells: &[u64]) -> Metric {
    let mut out = Histogram::default();
    let mut cumulative = 0;
    let mut buckets = Vec::new();
    // The last bucket holds everything longer: it is the +Inf that the encoder adds.
    for (index, cell) in cells[..HISTOGRAM_BUCKETS - 1].iter().enumerate() {
        cumulative += cell;
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(cumulative);
        bucket.set_upper_bound((1u64 << index) as f64 / 1e6);
        buckets.push(bucket);
    }
    out.set_bucket(buckets);
    out.set_sample_count(cells[HISTOGRAM_BUCKETS]);
    out.set_sample_sum(cells[HISTOGRAM_BUCKETS + 1] as f64 / 1e9);
    let mut metric = Metric::default();
    metric.set_histogram(out);
    metric
}
