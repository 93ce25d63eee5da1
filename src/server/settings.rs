//! From the configuration to what the pure rings are set to.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::dialect::hydrogen::{DeliverySettings, HydrogenSettings, MessageRate, Retention, SessionEvent, TopicRule};
use crate::dialect::signaling::{self, SignalingSettings};
use crate::engine::auth::CallPattern;
use crate::engine::conn::{Origins, Settings, SignalingDoor, TrustedProxies};
use crate::engine::delivery::Backoff;
use crate::engine::http::HeadLimits;
use crate::engine::outbound::OutboundLimits;
use crate::engine::topic::Bounds;
use crate::engine::ws;
use crate::engine::ws::deflate::{self, Kinds};

/// The server's version, as `system.info` and the status tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Settings of the connections of one reactor: its share of what is bounded for all together.
pub fn reactor_settings(config: &Config) -> Settings {
    let server = &config.web_socket_server;
    let reactors = server.io_threads.max(1);
    Settings {
        handshake_timeout: server.handshake_timeout,
        keep_alive_timeout: config.http.keep_alive_timeout,
        ping_interval: server.ping_interval,
        idle_timeout: server.idle_timeout,
        close_timeout: server.close_timeout,
        connections_max: server.max_connections,
        workers: server.thread_pool_size,
        protocols: server.protocols.iter().map(|name| Arc::from(name.as_str())).collect(),
        echo: server.echo,
        signaling: config.signaling.enabled.then(|| SignalingDoor {
            paths: config.signaling.paths.clone(),
            protocols: config.signaling.protocols.iter().map(|name| Arc::from(name.as_str())).collect(),
            needs_key: config.signaling.needs_key,
        }),
        auth_required: server.auth_required,
        query_key: server.allow_query_key,
        in_band_auth: server.allow_in_band_auth,
        origins: match &server.allowed_origins {
            config::Origins::Any => Origins::Any,
            config::Origins::SameHost => Origins::SameHost,
            config::Origins::Listed(origins) => Origins::Listed(origins.clone()),
        },
        proxies: TrustedProxies::new(server.trusted_proxies.clone()),
        head: HeadLimits { bytes: config.http.max_head_size, ..HeadLimits::default() },
        body_bytes_max: config.http.max_body_size as u64,
        frames: ws::Limits {
            frame_bytes_max: server.max_frame_size,
            message_bytes_max: server.max_message_size,
            fragments_max: u32::try_from(server.max_fragments).unwrap_or(u32::MAX),
        },
        deflate: Some(&server.compression).filter(|compression| compression.enabled).map(deflate_settings),
        in_flight_max: u32::try_from(server.max_in_flight).unwrap_or(u32::MAX),
        outbound: OutboundLimits {
            bytes_max: config.outbound.max_bytes_per_connection,
            frames_max: config.outbound.max_messages_per_connection,
        },
        outbound_total_max: config.outbound.max_bytes_total / reactors,
        reconnect_spread: config.shutdown.reconnect_spread,
    }
}

fn deflate_settings(compression: &config::Compression) -> deflate::Settings {
    let kinds = compression.messages.iter().map(|kind| match kind {
        config::CompressedKind::Responses => Kinds::RESPONSES,
        config::CompressedKind::Normal => Kinds::EVENTS,
        config::CompressedKind::Bulk => Kinds::BULK,
    });
    deflate::Settings {
        threshold: compression.threshold,
        level: compression.level,
        window_bits: compression.window_bits,
        client_window_bits: compression.client_context_takeover.then_some(compression.client_window_bits),
        kinds: kinds.fold(Kinds::default(), Kinds::with),
    }
}

/// Settings of hydrogen-protocol.
pub fn hydrogen_settings(config: &Config) -> HydrogenSettings {
    let server = &config.web_socket_server;
    let limits = serde_json::json!({
        "message_bytes": server.max_message_size,
        "frame_bytes": server.max_frame_size,
        "depth": server.max_depth,
        "in_flight": server.max_in_flight,
        "subscriptions": config.topics.max_subscriptions_per_connection,
        "outbound_bytes": config.outbound.max_bytes_per_connection,
        "window": config.delivery.max_window,
        "command_timeout_ms": server.command_timeout.as_millis() as u64,
    });
    HydrogenSettings {
        server_name: config.server_name.clone(),
        server_version: VERSION.to_owned(),
        depth_max: server.max_depth,
        bad_messages_max: server.max_bad_messages.unwrap_or(0),
        subscriptions_max: config.topics.max_subscriptions_per_connection,
        command_timeout: server.command_timeout,
        // Half of what cuts connections off, so that the last answers still go out.
        drain_grace: server.close_timeout.min(config.shutdown.drain_timeout) / 2,
        session_event: match server.session_event {
            config::SessionEvent::Connect => SessionEvent::Connect,
            config::SessionEvent::FirstCommand => SessionEvent::FirstCommand,
        },
        auth_per_message: server.auth_per_message,
        handshake_timeout: server.handshake_timeout,
        // The configuration checked them as patterns; one that names no action matches none.
        sensitive: config
            .security
            .sensitive_actions
            .iter()
            .filter_map(|pattern| CallPattern::parse(pattern.as_str()).ok())
            .collect(),
        signature_skew: config.security.signature_skew,
        rate: config.rate_limit.messages_per_second.map(|per_second| MessageRate {
            per_second: f64::from(per_second),
            burst: f64::from(config.rate_limit.burst),
        }),
        topic_idle: config.topics.idle_topic_timeout,
        delivery: delivery_settings(config),
        session_ttl: config.sessions.time_to_live.unwrap_or_default(),
        sessions_max: config.sessions.max_resumable,
        session_bytes_max: config.sessions.max_bytes,
        topic_rules: topic_rules(config),
        log_retention: Arc::new(log_retention(config)),
        ping: server.ping_interval,
        idle: server.idle_timeout,
        limits: limits.to_string().into(),
    }
}

/// Settings of signaling.
pub fn signaling_settings(config: &Config) -> SignalingSettings {
    let section = &config.signaling;
    let turn = section.ice_servers.turn.as_ref();
    SignalingSettings {
        clients_max: section.max_clients_per_room,
        members_max: section.max_members_per_room,
        rooms_max: section.max_rooms,
        rooms_per_connection_max: section.max_rooms_per_connection,
        expiry: signaling::Expiry { after: section.room_expiry, interval: section.cleanup_interval },
        rate: section.rate_limit.map(|limit| signaling::RateLimit { requests: limit.count, period: limit.period }),
        // One limit for the connections of all dialects.
        messages: config.rate_limit.messages_per_second.map(|per_second| signaling::RateLimit {
            requests: config.rate_limit.burst,
            period: Duration::from_secs_f64(f64::from(config.rate_limit.burst) / f64::from(per_second.max(1))),
        }),
        passwords: section
            .password_limit
            .map(|limit| signaling::PasswordLimit { failures: limit.count, period: limit.period }),
        proof: match section.proof {
            config::Proof::Off => signaling::Proof::Off,
            config::Proof::Optional => signaling::Proof::Optional,
            config::Proof::Required => signaling::Proof::Required,
        },
        peer_keys: match section.peer_keys {
            config::PeerKeys::Real => signaling::PeerKeys::Real,
            config::PeerKeys::Alias => signaling::PeerKeys::Alias,
        },
        grace: section.grace,
        ice: signaling::IceServers {
            stun: section.ice_servers.stun.clone(),
            turn: turn.map(|turn| signaling::Turn {
                urls: turn.urls.clone(),
                secret: turn.secret.clone(),
                lifetime: turn.lifetime,
            }),
        },
        signal_bytes: section.signal_bytes,
        relay: signaling::RelayLimit {
            connection_bytes: section.relay.bytes_per_minute,
            room_bytes: section.relay.room_bytes_per_minute,
        },
    }
}

fn delivery_settings(config: &Config) -> DeliverySettings {
    let delivery = &config.delivery;
    DeliverySettings {
        window: delivery.window,
        window_max: delivery.max_window,
        // Half of what may wait for a connection, so that a burst never meets its limit.
        window_bytes: config.outbound.max_bytes_per_connection / 2,
        ack_timeout: delivery.ack_timeout,
        backoff: Backoff { base: BACKOFF_BASE.min(delivery.max_backoff), max: delivery.max_backoff },
        attempts_max: delivery.max_attempts,
        dedup_window: delivery.deduplication_window,
        dedup_max: delivery.max_deduplication_ids,
        durable_expiry: delivery.durable_expiry,
        durables_max: delivery.max_durable_subscriptions,
        letters_max: delivery.max_dead_letters,
        pending_max: delivery.max_pending_publishes,
        pending_bytes_max: delivery.max_pending_bytes,
    }
}

/// How long an event rests after the first ack that did not come; then twice as long each time.
const BACKOFF_BASE: Duration = Duration::from_millis(500);

fn log_retention(config: &Config) -> Retention {
    let topics = &config.topics;
    Retention { age: Some(topics.log_max_age), events: topics.log_max_events, bytes: topics.log_max_bytes }
}

fn topic_rules(config: &Config) -> Arc<[TopicRule]> {
    let default = log_retention(config);
    let rule = |rule: &config::TopicRule| TopicRule {
        pattern: rule.pattern.clone(),
        is_guaranteed: rule.guaranteed,
        keeps_history: rule.history,
        retention: Arc::new(Retention {
            age: rule.max_age.or(default.age),
            events: rule.max_events.unwrap_or(default.events),
            bytes: rule.max_bytes.unwrap_or(default.bytes),
        }),
    };
    config.topics.rules.iter().map(rule).collect()
}

/// Settings of the channel `network`.
pub fn network_settings(config: &Config) -> crate::sys::network::NetworkSettings {
    crate::sys::network::NetworkSettings {
        lookup_threads: config.network.lookup_threads,
        name_lookup: config.network.name_lookup,
        watch_interval: config.monitoring.network_interval,
    }
}

/// Bounds of one worker's topics: its share, with some room for an uneven spread.
pub fn topic_bounds(config: &Config) -> Bounds {
    let workers = config.web_socket_server.thread_pool_size.max(1);
    let share = |all: usize| if workers == 1 { all } else { (all / workers).saturating_mul(2).min(all).max(1) };
    let subscriptions =
        config.web_socket_server.max_connections.saturating_mul(config.topics.max_subscriptions_per_connection);
    Bounds {
        topics: share(config.topics.max_topics),
        subscriptions: subscriptions.max(1),
        retained_values: share(config.topics.max_retained),
        retained_bytes: share(config.topics.max_retained_bytes),
        ..Bounds::default()
    }
}
