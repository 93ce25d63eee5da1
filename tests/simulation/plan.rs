//! What a seed makes of the server: threads, bounds, timeouts, and how rough the world is.

use std::sync::Arc;
use std::time::Duration;

use hydrogen::dialect::hydrogen::{DeliverySettings, HydrogenSettings, MessageRate, SessionEvent};
use hydrogen::engine::auth::CallPattern;
use hydrogen::engine::conn::{Origins, Settings, TrustedProxies};
use hydrogen::engine::http::HeadLimits;
use hydrogen::engine::outbound::OutboundLimits;
use hydrogen::engine::ws;
use hydrogen::engine::ws::deflate::Kinds;

use crate::dice::Dice;

/// The shape of one run.
pub struct Plan {
    pub reactors: usize,
    pub workers: usize,
    pub steps: u64,
    pub clients: usize,
    /// Batches that a worker's queue holds.
    pub batches_max: usize,
    /// Messages that a worker's queue holds.
    pub messages_max: usize,
    /// Batches of orders that a reactor's queue holds.
    pub orders_max: usize,
    /// Messages that a worker takes in one turn.
    pub messages_per_turn: usize,
    /// Bytes that a socket holds on its way, each way.
    pub pipe: usize,
    pub read_buffer: usize,
    pub read_budget: usize,
    /// How many in a hundred clients read slowly.
    pub slow: usize,
    /// How many in a hundred actions of a client break something.
    pub rude: usize,
    /// Addresses that clients come from.
    pub hosts: usize,
    /// How many in a hundred clients hold a wrong key.
    pub strangers: usize,
    /// How many in a hundred steps that move time move it far.
    pub jumps: usize,
    pub settings: Arc<Settings>,
    pub hydrogen: Arc<HydrogenSettings>,
    /// The step at which the server is told to stop, if it is before the end.
    pub drains_at: Option<u64>,
    pub access_changes: bool,
    /// Reactors borrow the shards of workers that sleep.
    pub lends: bool,
}

impl Plan {
    pub fn of(seed: u64, dice: &mut Dice) -> Plan {
        let steps = dice.between(2000, 7000) as u64;
        let workers = dice.between(1, 3);
        let tight = dice.chance(50);
        let in_flight = dice.between(1, 8) as u32;
        let outbound = OutboundLimits {
            bytes_max: if tight { dice.between(500, 3000) } else { 64 * 1024 },
            frames_max: if tight { dice.between(4, 24) } else { 1000 },
        };
        let outbound_total_max = if dice.chance(20) { 4000 } else { 1 << 24 };
        let ping = Duration::from_secs(20);
        let idle = Duration::from_secs(50);
        let settings = Settings {
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            ping_interval: ping,
            idle_timeout: idle,
            close_timeout: Duration::from_secs(5),
            connections_max: if dice.chance(10) { 3 } else { 100 },
            workers,
            protocols: vec!["hydrogen-protocol".into(), "hydrogen".into()],
            echo: true,
            signaling: None,
            auth_required: true,
            query_key: true,
            in_band_auth: dice.chance(70),
            origins: Origins::Any,
            proxies: TrustedProxies::default(),
            head: HeadLimits::default(),
            body_bytes_max: 64,
            frames: ws::Limits { frame_bytes_max: 2048, message_bytes_max: 4096, fragments_max: 6 },
            deflate: deflate(dice),
            in_flight_max: in_flight,
            outbound,
            outbound_total_max,
            reconnect_spread: Duration::from_secs(3),
        };
        let hydrogen = HydrogenSettings {
            server_name: "simulated".into(),
            server_version: "0".into(),
            depth_max: 16,
            bad_messages_max: if dice.chance(30) { 3 } else { 0 },
            subscriptions_max: if dice.chance(20) { 3 } else { 100 },
            command_timeout: Duration::from_secs(10),
            session_event: if dice.chance(50) { SessionEvent::Connect } else { SessionEvent::FirstCommand },
            auth_per_message: false,
            handshake_timeout: Duration::from_secs(10),
            // The pattern is a constant that parses.
            sensitive: vec![CallPattern::parse("app.secure").unwrap()],
            signature_skew: Duration::from_secs(30),
            rate: dice.chance(10).then_some(MessageRate { per_second: 20.0, burst: 10.0 }),
            drain_grace: Duration::from_secs(2),
            topic_idle: Duration::from_secs(if dice.chance(30) { 2 } else { 3600 }),
            ping,
            idle,
            delivery: DeliverySettings::default(),
            session_ttl: Duration::ZERO,
            sessions_max: 100,
            session_bytes_max: 64 * 1024,
            topic_rules: Arc::from([]),
            log_retention: Arc::default(),
            limits: "{}".into(),
        };
        // Guessing is throttled by address: strangers come from few.
        let strangers = dice.pick(&[3, 3, 3, 50]);
        Plan {
            reactors: dice.between(1, 3),
            workers,
            steps,
            clients: dice.between(3, 14),
            batches_max: dice.between(1, 4),
            messages_max: dice.between(1, 8),
            orders_max: dice.between(1, 4),
            messages_per_turn: dice.between(1, 8),
            pipe: if tight { dice.between(100, 600) } else { dice.between(600, 8000) },
            read_buffer: dice.between(16, 1024),
            read_budget: dice.between(64, 4096),
            slow: dice.pick(&[0, 10, 30]),
            rude: dice.pick(&[0, 1, 5]),
            hosts: if strangers > 10 { 2 } else { 6 },
            strangers,
            jumps: dice.pick(&[0, 1, 4]),
            settings: Arc::new(settings),
            hydrogen: Arc::new(hydrogen),
            drains_at: dice.chance(20).then_some(steps * 3 / 4),
            access_changes: dice.chance(40),
            // By the seed itself, so that what older seeds drew stays what it was.
            lends: seed % 3 != 2,
        }
    }
}

/// Some of the servers compress.
fn deflate(dice: &mut Dice) -> Option<ws::deflate::Settings> {
    dice.chance(30).then(|| ws::deflate::Settings {
        threshold: dice.pick(&[0, 64, 300]),
        level: dice.between(1, 9) as u8,
        window_bits: dice.between(9, 15) as u8,
        client_window_bits: dice.chance(30).then_some(10),
        kinds: Kinds::ALL,
    })
}
