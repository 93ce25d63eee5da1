//! One shard by itself: what becomes of sessions whose rights change, and of what they send.

mod rejoining;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::base::{Metric, Reason, Wall};
use crate::engine::auth::{Block, BlockList, Identity, KeyRecord, KeyRing, Permissions, Target, Token};
use crate::engine::channel::{Access as Allowed, Action, Call, Channel, Outcome, Session};
use crate::engine::work::{Opening, Order};

/// Keeps its responders, so that its commands stay under way.
#[derive(Default)]
struct Late(Mutex<Vec<Responder>>);

impl Channel for Late {
    fn actions(&self) -> &[Action] {
        &[Action { name: "wait", summary: "waits", access: Allowed::Anyone }]
    }

    fn call(&self, _: &Call<'_>, session: &mut dyn Session) -> Outcome {
        self.0.lock().push(session.later());
        Outcome::Later
    }
}

#[derive(Default)]
struct Completions(Mutex<Vec<Completion>>);

impl CompletionSink for Completions {
    fn complete(&self, _: WorkerId, completion: Completion) {
        self.0.lock().push(completion);
    }
}

struct NoReports;

impl Reports for NoReports {
    fn status(&self, _: bool, responder: Responder) {
        responder.done("{}");
    }
}

struct Scene {
    shard: Hydrogen,
    late: Arc<Late>,
    completions: Arc<Completions>,
    out: Outbox<Peer>,
    now: Now,
}

const HERE: &str = "192.0.2.7";

fn conn(slot: usize) -> ConnId {
    ConnId::new(crate::base::ReactorId(0), slot, 0)
}

fn token(number: u8) -> Token {
    Token::mint(&[number; Token::RANDOM_BYTES])
}

/// Keys 1 to 3; the ones named are revoked, and key 3 expires.
fn access(version: u64, revoked: &[u8]) -> Access {
    let record = |number: u8| KeyRecord {
        id: token(number).id(),
        name: format!("name{number}").into(),
        hash: token(number).hash(),
        permissions: Permissions::parse(&["connect", "subscribe:>", "publish:>", "call:>"]).unwrap(),
        created: Wall(0),
        expires: (number == 3).then_some(Wall(60_000)),
        revoked: revoked.contains(&number).then_some(Wall(0)),
        signing: None,
    };
    let ring = KeyRing::new((1..=3).map(record).collect(), None).unwrap();
    Access { version, keys: Arc::new(ring), blocks: BlockList::default() }
}

impl Scene {
    fn new(rate: Option<MessageRate>) -> Scene {
        let now = Now { mono: Mono(1), wall: Wall(1) };
        let reports: Arc<dyn Reports> = Arc::new(NoReports);
        let late = Arc::new(Late::default());
        let completions = Arc::new(Completions::default());
        let mut channels = Channels::default();
        channels.add("system", Arc::new(system::SystemChannel::new(reports.clone()))).unwrap();
        channels.add("late", late.clone()).unwrap();
        let s = Duration::from_secs;
        let settings = HydrogenSettings {
            server_name: "here".into(),
            server_version: "1".into(),
            depth_max: 16,
            bad_messages_max: 0,
            subscriptions_max: 1000,
            command_timeout: s(30),
            drain_grace: s(1),
            session_event: SessionEvent::FirstCommand,
            auth_per_message: false,
            handshake_timeout: s(10),
            sensitive: Vec::new(),
            signature_skew: s(60),
            rate,
            topic_idle: s(60),
            ping: s(30),
            idle: s(60),
            delivery: DeliverySettings::default(),
            session_ttl: Duration::ZERO,
            sessions_max: 1000,
            session_bytes_max: 256 * 1024,
            topic_rules: Arc::from([]),
            log_retention: Arc::default(),
            limits: "{}".into(),
        };
        let shard = Hydrogen::new(Parts {
            worker: WorkerId(0),
            workers: 1,
            settings: Arc::new(settings),
            access: Arc::new(access(0, &[])),
            channels: Arc::new(channels),
            completions: completions.clone(),
            reports,
            counters: Arc::new(Counters::default()),
            bounds: Bounds::default(),
            seed: [7; 32],
            started: now,
            image: Arc::default(),
        });
        Scene { shard, late, completions, out: Outbox::new(1), now }
    }

    fn identity(&self, number: u8) -> Arc<Identity> {
        access(0, &[]).keys.authenticate(&token(number).expose(), self.now.wall).unwrap()
    }

    fn open(&mut self, slot: usize, identity: Option<Arc<Identity>>, access_version: u64) {
        let opening = Opening {
            conn: conn(slot),
            dialect: crate::base::DialectId::Hydrogen,
            identity,
            address: format!("{HERE}:1000").parse().unwrap(),
            protocol: None,
            access_version,
            client_id: None,
            resume: None,
        };
        self.shard.on_open(&opening, self.now, &mut self.out);
    }

    fn swap(&mut self, access: Access) {
        self.shard.on_notice(&Notice::Access(Arc::new(access)), self.now, &mut self.out);
    }

    fn text(&mut self, slot: usize, text: &str) {
        self.shard.on_text(conn(slot), text, self.now.mono, self.now, &mut self.out);
    }

    fn command(&mut self, slot: usize, action: &str, data: Value) {
        let (channel, action) = action.split_once('.').unwrap();
        let text = json!({"type": "command", "id": action, "channel": channel, "action": action, "data": data});
        self.text(slot, &text.to_string());
    }

    fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.out.orders[0])
    }

    /// The responses since the last call: `ok`, or the error's code.
    fn answers(&mut self) -> Vec<String> {
        let answer = |order: &Order| {
            let Order::Send { frame, settles: 1, .. } = order else { return None };
            let text = String::from_utf8_lossy(frame);
            let value: Value = serde_json::from_str(&text[text.find("{\"").unwrap()..]).unwrap();
            Some(value["error"]["code"].as_str().unwrap_or("ok").to_owned())
        };
        self.orders().iter().filter_map(answer).collect()
    }

    /// The reasons for which closes were ordered since the last call.
    fn closes(&mut self) -> Vec<Reason> {
        let reason = |order: &Order| match order {
            Order::Close { reason, .. } => Some(*reason),
            _ => None,
        };
        self.orders().iter().filter_map(reason).collect()
    }
}

#[test]
fn a_session_that_was_judged_before_a_change_is_looked_at_by_the_newer_snapshot() {
    for (identity, judged_by, revoked, expected) in [
        (1, 0, &[1][..], Some(Reason::CredentialExpired)),
        (2, 0, &[1], None),
        // The worker has the newer word on it already, or will get it.
        (1, 1, &[1], None),
        (1, 2, &[1], None),
    ] {
        let mut scene = Scene::new(None);
        scene.swap(access(1, revoked));
        let identity = scene.identity(identity);
        scene.open(0, Some(identity), judged_by);
        assert_eq!(scene.closes(), Vec::from_iter(expected), "judged by {judged_by}");
    }
}

#[test]
fn a_blocked_address_is_closed_with_and_without_an_identity() {
    for identity in [None, Some(1)] {
        for opens_first in [true, false] {
            let mut scene = Scene::new(None);
            let identity = identity.map(|number| scene.identity(number));
            let block = Block { target: Target::network(HERE).unwrap(), until: None, reason: "".into() };
            let blocks = BlockList::default().with(block, scene.now.wall).unwrap();
            let blocked = Access { blocks, ..access(1, &[]) };
            if opens_first {
                scene.open(0, identity, 0);
                scene.swap(blocked);
            } else {
                scene.swap(blocked);
                scene.open(0, identity, 0);
            }
            assert_eq!(scene.closes(), [Reason::Blocked], "it opens first: {opens_first}");
        }
    }
}

#[test]
fn who_is_shut_out_hears_nothing_and_is_refused_everything_but_what_is_under_way() {
    let mut scene = Scene::new(None);
    let (lost, other) = (scene.identity(1), scene.identity(2));
    scene.open(0, Some(lost), 0);
    scene.open(1, Some(other), 0);
    scene.command(0, "system.subscribe", json!({"topics": ["a.b", "a.>"]}));
    scene.command(0, "late.wait", json!({}));
    assert_eq!(scene.answers(), ["ok"]);
    scene.swap(access(1, &[1]));
    assert_eq!(scene.closes(), [Reason::CredentialExpired]);
    assert_eq!(scene.shard.topics().subscriptions, 0);

    scene.command(1, "system.publish", json!({"topic": "a.b", "payload": 1}));
    assert!(!scene.out.orders[0].iter().any(|order| matches!(order, Order::Broadcast { .. })));
    assert_eq!(scene.answers(), ["ok"]);
    scene.command(0, "system.ping", json!({}));
    scene.command(0, "system.publish", json!({"topic": "a.b", "payload": 1}));
    scene.command(0, "system.authenticate", json!({"token": token(2).expose()}));
    scene.text(0, "{\"type\":\"keepalive\"}");
    assert_eq!(scene.answers(), ["unauthenticated"; 4]);
    scene.text(0, "{\"type\":\"ack\",\"id\":\"x\"}");
    assert!(matches!(scene.orders()[..], [Order::Settle { count: 1, .. }]));

    scene.late.0.lock().pop().unwrap().done("{}");
    let completion = scene.completions.0.lock().pop().unwrap();
    scene.shard.on_completion(completion, scene.now, &mut scene.out);
    assert_eq!(scene.answers(), ["ok"]);
    scene.swap(access(2, &[1]));
    assert_eq!(scene.closes(), [], "it is closed once");
}

#[test]
fn deadlines_of_sessions_do_not_pile_up() {
    let mut scene = Scene::new(None);
    scene.open(0, None, 0);
    assert_eq!(scene.shard.timers.len(), 1);
    for _ in 0..20 {
        scene.now.mono = scene.now.mono.after(Duration::from_millis(1));
        scene.command(0, "system.authenticate", json!({"token": token(3).expose()}));
        assert_eq!(scene.answers(), ["ok"]);
        assert_eq!(scene.shard.timers.len(), 1);
    }
    scene.shard.on_closed(conn(0), scene.now, &mut scene.out);
    assert_eq!(scene.shard.timers.len(), 0);
    scene.open(1, None, 0);
    scene.shard.on_closed(conn(1), scene.now, &mut scene.out);
    assert_eq!(scene.shard.poll_timeout(), None);
}

#[test]
fn an_expired_credential_ends_its_session() {
    let mut scene = Scene::new(None);
    let identity = scene.identity(3);
    scene.open(0, Some(identity), 0);
    scene.now = Now { mono: scene.shard.poll_timeout().unwrap(), wall: Wall(60_000) };
    scene.shard.on_timeout(scene.now, &mut scene.out);
    assert_eq!(scene.closes(), [Reason::CredentialExpired]);
    assert_eq!(scene.shard.timers.len(), 0);
}

#[test]
fn neither_binary_messages_nor_those_that_wait_escape_the_rate() {
    let mut scene = Scene::new(Some(MessageRate { per_second: 1.0, burst: 2.0 }));
    let identity = scene.identity(1);
    scene.open(0, Some(identity), 0);
    scene.shard.sessions.of_mut(conn(0)).unwrap().held = Some(Box::default());
    scene.command(0, "system.ping", json!({}));
    scene.shard.on_binary(conn(0), scene.now.mono, scene.now, &mut scene.out);
    scene.command(0, "system.ping", json!({}));
    scene.shard.on_binary(conn(0), scene.now.mono, scene.now, &mut scene.out);
    assert_eq!(scene.answers(), ["unsupported", "rate_limited", "rate_limited"]);
    assert_eq!(scene.shard.sessions.of(conn(0)).unwrap().held.as_ref().unwrap().len(), 1);
}

#[test]
fn wrong_tokens_are_counted_wherever_they_stand() {
    let ping = |token: &str| {
        json!({"type": "command", "channel": "system", "action": "ping", "auth": {"token": token}}).to_string()
    };
    let mut scene = Scene::new(None);
    let identity = scene.identity(1);
    scene.open(0, Some(identity), 0);
    scene.text(0, &ping(&token(1).expose()));
    scene.text(0, &ping(&token(2).expose()));
    assert_eq!(scene.answers(), ["ok", "unauthenticated"], "another's good token is no guess");
    for text in [ping("wrong"), json!({"type": "ack", "id": "x", "auth": {"token": "wrong"}}).to_string()] {
        scene.text(0, &text);
        let orders = scene.orders();
        assert!(orders.iter().any(|order| matches!(order, Order::CredentialRefused { .. })));
        assert!(!orders.iter().any(|order| matches!(order, Order::Close { .. })));
    }
    scene.command(0, "system.authenticate", json!({"token": "wrong"}));
    assert_eq!(scene.closes(), [Reason::AuthenticationFailed]);
}

#[test]
fn a_command_names_no_more_patterns_than_it_may_equal_ones_included() {
    let mut scene = Scene::new(None);
    let identity = scene.identity(1);
    scene.open(0, Some(identity), 0);
    for action in ["system.subscribe", "system.unsubscribe"] {
        for (count, expected) in [(256, "ok"), (257, "bad_data")] {
            scene.command(0, action, json!({ "topics": vec!["a.b"; count] }));
            assert_eq!(scene.answers(), [expected], "{action} {count}");
        }
    }
}

#[test]
fn bad_messages_are_counted_by_kind_and_all_messages_with_their_bytes() {
    use crate::base::metric::{BAD_MESSAGES, TYPES_IN, TYPES_OUT};
    let place = |names: &[&str], name: &str| names.iter().position(|own| *own == name).unwrap();
    let mut scene = Scene::new(None);
    let identity = scene.identity(1);
    scene.open(0, Some(identity), 0);
    let texts = ["{no json", "[]", "{\"type\":\"response\"}"];
    texts.iter().for_each(|text| scene.text(0, text));
    scene.shard.on_binary(conn(0), scene.now.mono, scene.now, &mut scene.out);
    let counters = scene.shard.counters.clone();
    for kind in ["not_json", "not_object", "unknown_type", "binary"] {
        assert_eq!(counters.value(Metric::BAD_MESSAGES_IN.at(place(BAD_MESSAGES, kind))), 1, "{kind}");
    }
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    assert_eq!(counters.value(Metric::MESSAGE_BYTES_IN.at(place(TYPES_IN, "bad"))), bytes as u64);
    let sent = |order: &Order| match order {
        Order::Send { frame, .. } => frame.len() as u64,
        _ => 0,
    };
    let sent: u64 = scene.orders().iter().map(sent).sum();
    assert_eq!(counters.value(Metric::MESSAGE_BYTES_OUT.at(place(TYPES_OUT, "response"))), sent);
}

#[test]
fn an_events_bytes_count_for_every_receiver() {
    let mut scene = Scene::new(None);
    for slot in 0..3 {
        let identity = scene.identity(1);
        scene.open(slot, Some(identity), 0);
        scene.command(slot, "system.subscribe", json!({"topics": ["a.b"]}));
    }
    scene.orders();
    let event = Metric::MESSAGE_BYTES_OUT.at(reply::kind::EVENT);
    let before = scene.shard.counters.value(event);
    scene.command(0, "system.publish", json!({"topic": "a.b", "payload": 1}));
    let length = scene.orders().iter().find_map(|order| match order {
        Order::Broadcast { event, .. } => Some(event.frame.len() as u64),
        _ => None,
    });
    assert_eq!(scene.shard.counters.value(event) - before, 3 * length.unwrap());
}

#[test]
fn a_page_of_connections_has_the_first_ones_behind_its_beginning_in_order() {
    use crate::engine::channel::{List, Page};
    let mut scene = Scene::new(None);
    for slot in [4, 1, 3, 0, 2] {
        scene.open(slot, None, 0);
    }
    let key = |slot: usize| format!("{:016x}", conn(slot).as_u64());
    let page = Page { after: Some(key(0)), limit: 2 };
    let rows = scene.shard.rows_here(List::Connections, &page);
    assert_eq!(rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), [key(1), key(2), key(3)]);
    for (row, slot) in rows.iter().zip(1..) {
        let json: Value = serde_json::from_str(&row.json).unwrap();
        assert_eq!(json["connection"], conn(slot).to_string());
    }
}
