//! What a seed makes of the server, and how rough the world is.

use std::sync::Arc;
use std::time::Duration;

use hydrogen::dialect::hydrogen::{DeliverySettings, HydrogenSettings, Retention, SessionEvent};
use hydrogen::dialect::signaling::{Expiry, PasswordLimit, PeerKeys, Proof, RateLimit, RelayLimit, SignalingSettings};

use crate::dice::Dice;
use crate::keys::FIRST_OF_PAIRS;

/// The shape of one run.
pub struct Plan {
    pub steps: u64,
    /// Queues from reactors to each worker.
    pub reactors: usize,
    pub workers: usize,
    pub clients: usize,
    /// How many keys they share, and the first of them.
    pub people: usize,
    pub first: u8,
    /// Whether keys are proved here, or may be.
    pub has_proofs: bool,
    /// How many in a hundred clients prove theirs.
    pub provers: usize,
    /// How many in a hundred lives have another rule than the one before.
    pub new_rules: usize,
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
    /// How many in a hundred clients stop reading, each time they connect.
    pub deaf: usize,
    /// How many in a hundred requests ask for a place that is kept.
    pub grace: usize,
    /// How many in a hundred requests state somebody else's key.
    pub strange: usize,
    pub wall_jumps: bool,
    pub settings: Arc<SignalingSettings>,
    pub hydrogen: Arc<HydrogenSettings>,
}

/// Chosen so that the seeds that failed before there were proofs run without.
const PROOFS: u64 = 0x31d6 << 20;

/// Mostly it is as it comes.
const RULES: [Proof; 7] =
    [Proof::Off, Proof::Optional, Proof::Optional, Proof::Optional, Proof::Optional, Proof::Required, Proof::Required];

const S: fn(u64) -> Duration = Duration::from_secs;

impl Plan {
    pub fn of(seed: u64, dice: &mut Dice) -> Plan {
        let after = if dice.chance(20) { Some(S(90)) } else { None };
        let is_strict = dice.chance(10);
        let settings = SignalingSettings {
            clients_max: dice.pick(&[2, 3, 50, 50]),
            members_max: dice.pick(&[2, 3, 254, 254]),
            rooms_max: dice.pick(&[2, 100_000, 100_000, 100_000]),
            rooms_per_connection_max: dice.pick(&[1, 64, 64, 64]),
            expiry: Expiry { after, interval: S(20) },
            rate: is_strict.then_some(RateLimit { requests: 3, period: S(10) }),
            passwords: dice.chance(20).then_some(PasswordLimit { failures: 2, period: S(60) }),
            grace: dice.pick(&[S(0), S(3), S(30), S(30), S(30)]),
            relay: match dice.below(4) {
                0 => RelayLimit { connection_bytes: None, room_bytes: None },
                1 => RelayLimit { connection_bytes: Some(1200), room_bytes: Some(2000) },
                _ => SignalingSettings::default().relay,
            },
            // What is throttled by bytes is not simulated.
            signal_bytes: None,
            peer_keys: PeerKeys::Real,
            ..SignalingSettings::default()
        };
        let plan = Plan {
            steps: dice.between(200, 800) as u64,
            reactors: dice.between(1, 2),
            workers: dice.between(1, 4),
            clients: dice.between(2, 6),
            people: dice.between(2, 5),
            first: 1,
            has_proofs: false,
            provers: 0,
            new_rules: 0,
            jumps: dice.pick(&[1, 5, 15]),
            kills: dice.pick(&[0, 2, 6]),
            cuts: dice.chance(50),
            losses: dice.pick(&[0, 15, 30]),
            faults: dice.pick(&[0, 0, 10, 20]),
            deaf: dice.pick(&[0, 0, 10]),
            grace: dice.pick(&[0, 50, 90]),
            strange: dice.pick(&[0, 3, 15]),
            wall_jumps: dice.chance(15),
            settings: Arc::new(settings),
            hydrogen: hydrogen(),
        };
        plan.with_proofs(Dice::new(seed ^ PROOFS))
    }

    /// In half of the worlds keys are proved, and in most of those aliases stand for them, as it comes. Chance of
    /// its own decides, so that the other half are what they were before there was any of it.
    fn with_proofs(self, mut dice: Dice) -> Plan {
        if !dice.chance(50) {
            return self;
        }
        let settings = SignalingSettings {
            proof: dice.pick(&RULES),
            peer_keys: dice.pick(&[PeerKeys::Real, PeerKeys::Alias, PeerKeys::Alias, PeerKeys::Alias]),
            ..(*self.settings).clone()
        };
        Plan {
            first: FIRST_OF_PAIRS,
            has_proofs: true,
            provers: dice.pick(&[30, 60, 100]),
            new_rules: dice.pick(&[0, 0, 50]),
            settings: Arc::new(settings),
            ..self
        }
    }

    /// Another life may have another rule.
    pub fn change_rule(&mut self, dice: &mut Dice) {
        if self.has_proofs && dice.chance(self.new_rules) {
            let proof = dice.pick(&RULES);
            self.settings = Arc::new(SignalingSettings { proof, ..(*self.settings).clone() });
        }
    }

    /// Whether a request may be refused as one too many.
    pub fn may_throttle(&self) -> bool {
        self.settings.rate.is_some() || self.settings.passwords.is_some()
    }
}

/// Nobody speaks it here.
fn hydrogen() -> Arc<HydrogenSettings> {
    Arc::new(HydrogenSettings {
        server_name: String::new(),
        server_version: String::new(),
        depth_max: 16,
        bad_messages_max: 0,
        subscriptions_max: 100,
        command_timeout: S(10),
        session_event: SessionEvent::FirstCommand,
        auth_per_message: false,
        handshake_timeout: S(1_000_000),
        sensitive: Vec::new(),
        signature_skew: S(30),
        rate: None,
        drain_grace: S(2),
        topic_idle: S(3600),
        ping: S(20),
        idle: S(50),
        delivery: DeliverySettings::default(),
        session_ttl: S(3600),
        sessions_max: 1000,
        session_bytes_max: 64 * 1024,
        topic_rules: Vec::new().into(),
        log_retention: Arc::new(Retention::default()),
        limits: "{}".into(),
    })
}
