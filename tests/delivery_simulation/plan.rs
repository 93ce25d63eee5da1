//! What a seed makes of the server, and how rough the world is.

use std::sync::Arc;
use std::time::Duration;

use hydrogen::dialect::hydrogen::{DeliverySettings, HydrogenSettings, Retention, SessionEvent, TopicRule};
use hydrogen::engine::delivery::Backoff;
use hydrogen::engine::topic::Pattern;

use crate::dice::Dice;

/// The shape of one run.
pub struct Plan {
    pub steps: u64,
    pub reactors: usize,
    pub workers: usize,
    pub publishers: usize,
    pub subscribers: usize,
    /// Best-effort subscribers.
    pub listeners: usize,
    pub has_admin: bool,
    /// How many in a hundred steps move time far.
    pub jumps: usize,
    /// How many in a thousand steps end the server, one way or another.
    pub kills: usize,
    /// Whether the power may go, beside the process.
    pub cuts: bool,
    /// How many in a thousand steps cut a client's connection.
    pub losses: usize,
    /// How many in a thousand steps make the disk fail.
    pub faults: usize,
    /// Whether bits may flip.
    pub flips: bool,
    /// How many in a hundred events nobody acks in time.
    pub lazy: usize,
    /// How many in a hundred events are refused for good.
    pub rejects: usize,
    /// Milliseconds that a subscription gives its clients to ack.
    pub ack_ms: u64,
    pub wall_jumps: bool,
    pub settings: Arc<HydrogenSettings>,
}

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

impl Plan {
    pub fn of(dice: &mut Dice) -> Plan {
        let is_small = dice.chance(20);
        let ack_ms = dice.pick(&[200, 1000, 5000, 30_000]);
        let retention = if is_small {
            Retention {
                age: dice.pick(&[None, Some(S(3)), Some(S(30))]),
                events: dice.pick(&[2, 5, 1000]),
                bytes: dice.pick(&[300, 1000, 1 << 20]),
            }
        } else {
            Retention::default()
        };
        let retention = Arc::new(retention);
        let rule = |pattern: &str, is_guaranteed, keeps_history| TopicRule {
            pattern: Pattern::parse(pattern).unwrap(),
            is_guaranteed,
            keeps_history,
            retention: retention.clone(),
        };
        let rules = if dice.chance(60) { vec![rule("g.*", true, false), rule("h.*", false, true)] } else { Vec::new() };
        let tight = dice.chance(10);
        let delivery = DeliverySettings {
            window: dice.pick(&[1, 2, 4, 64]),
            window_max: dice.pick(&[2, 8, 1024]),
            window_bytes: if dice.chance(15) { 200 } else { 512 * 1024 },
            ack_timeout: MS(ack_ms),
            backoff: Backoff { base: MS(100), max: MS(dice.pick(&[400, 2000])) },
            attempts_max: dice.pick(&[2, 3, 10, 10]),
            dedup_window: S(if dice.chance(10) { 2 } else { 100_000 }),
            dedup_max: if dice.chance(5) { 4 } else { 100_000 },
            durable_expiry: None,
            durables_max: 100,
            letters_max: if dice.chance(10) { 2 } else { 1000 },
            pending_max: if tight { 3 } else { 1000 },
            pending_bytes_max: 1 << 20,
        };
        let settings = HydrogenSettings {
            server_name: String::new(),
            server_version: String::new(),
            depth_max: 16,
            bad_messages_max: 0,
            subscriptions_max: 100,
            command_timeout: S(if dice.chance(10) { 1 } else { 10 }),
            session_event: if dice.chance(50) { SessionEvent::Connect } else { SessionEvent::FirstCommand },
            auth_per_message: false,
            handshake_timeout: S(10),
            sensitive: Vec::new(),
            signature_skew: S(30),
            rate: None,
            drain_grace: S(2),
            topic_idle: S(if dice.chance(30) { 1 } else { 3600 }),
            ping: S(20),
            idle: S(50),
            delivery,
            session_ttl: S(if dice.chance(15) { 4 } else { 3600 }),
            sessions_max: if dice.chance(10) { 3 } else { 1000 },
            session_bytes_max: 64 * 1024,
            topic_rules: rules.into(),
            log_retention: retention.clone(),
            limits: "{}".into(),
        };
        Plan {
            steps: dice.between(150, 400) as u64,
            reactors: dice.between(1, 2),
            workers: dice.between(1, 3),
            publishers: dice.between(1, 2),
            subscribers: dice.between(1, 3),
            listeners: dice.below(2),
            has_admin: dice.chance(30),
            jumps: dice.pick(&[5, 15, 30]),
            kills: dice.pick(&[0, 5, 12]),
            cuts: dice.chance(50),
            losses: dice.pick(&[0, 15, 40]),
            faults: dice.pick(&[0, 0, 10]),
            flips: dice.chance(10),
            lazy: dice.pick(&[0, 10, 40]),
            rejects: dice.pick(&[0, 0, 5]),
            ack_ms,
            wall_jumps: dice.chance(15),
            settings: Arc::new(settings),
        }
    }
}

impl Plan {
    /// The ack timeout, where events are given up after a few.
    pub fn late(&self) -> Option<Duration> {
        (self.settings.delivery.attempts_max < 10).then_some(MS(self.ack_ms))
    }

    /// Whether a repeated publish may be taken for a new one.
    pub fn forgets_ids(&self) -> bool {
        self.settings.delivery.dedup_window < S(100) || self.settings.delivery.dedup_max < 100
    }
}
