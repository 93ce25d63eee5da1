//! Long random histories against a model that keeps a list and looks at all of it.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PATTERNS: &[&str] =
    &["a.b", "a.c", "b.b", "a.b.c", "system.x", "a.*", "*.b", "a.>", ">", "*.*", "a.*.c", "system.*", "*.>"];
const TOPICS: &[&str] = &["a.b", "a.c", "b.b", "a.b.c", "system.x", "c.c"];
const PAYLOADS: &[&str] = &["{\"x\":1}", "{\"x\":2,\"y\":\"abc\"}", "{}", "7", "no json"];

fn filters() -> Vec<Option<Arc<Filter>>> {
    let mut filters = vec![None; 4];
    filters.extend([
        filter(json!({"x": 1})),
        filter(json!({"x": {"eq": 1.0}})),
        filter(json!({"x": {"ge": 2}, "y": {"prefix": "a"}})),
        filter(json!({"y": {"exists": false}})),
    ]);
    filters
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe { key: SubKey, pattern: usize, filter: usize, lane: Lane, overflow: Overflow, conflate: bool },
    Unsubscribe(SubKey),
    Drop(ConnId),
    Publish { topic: usize, payload: usize },
    FanOut { topic: usize, payload: usize },
    Sweep,
}

fn conns() -> impl Strategy<Value = ConnId> {
    (0u8..3, 0usize..4).prop_map(|(reactor, slot)| conn(reactor, slot))
}

fn keys() -> impl Strategy<Value = SubKey> {
    (conns(), 1u32..4).prop_map(|(conn, number)| SubKey { conn, number })
}

fn steps() -> impl Strategy<Value = Step> {
    let options = (any::<bool>(), any::<bool>(), any::<bool>());
    let subscribe = (keys(), 0..PATTERNS.len(), 0..filters().len(), options).prop_map(
        |(key, pattern, filter, (bulk, drop_oldest, conflate))| Step::Subscribe {
            key,
            pattern,
            filter,
            lane: if bulk { Lane::Bulk } else { Lane::Events },
            overflow: if drop_oldest { Overflow::DropOldest } else { Overflow::Disconnect },
            conflate,
        },
    );
    let event = || (0..TOPICS.len(), 0..PAYLOADS.len());
    prop_oneof![
        6 => subscribe,
        3 => keys().prop_map(Step::Unsubscribe),
        1 => conns().prop_map(Step::Drop),
        8 => event().prop_map(|(topic, payload)| Step::Publish { topic, payload }),
        1 => event().prop_map(|(topic, payload)| Step::FanOut { topic, payload }),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Default)]
struct Model {
    subscriptions: BTreeMap<SubKey, (Pattern, Options)>,
    topics: BTreeMap<&'static str, (u64, u64)>,
}

impl Model {
    fn receivers(&self, topic: &str, data: &str) -> Vec<Target> {
        let mut own: BTreeMap<ConnId, Vec<&Options>> = BTreeMap::new();
        for (key, (pattern, options)) in &self.subscriptions {
            if pattern.matches(topic) {
                own.entry(key.conn).or_default().push(options);
            }
        }
        let mut payload = Payload::new(data.as_bytes());
        let mut targets = Vec::new();
        for (conn, own) in own {
            let free = own.iter().find(|options| options.filter.is_none());
            let passing = || own.iter().find(|options| options.filter.as_ref().unwrap().passes(&mut payload));
            if let Some(options) = free.or_else(passing) {
                let flags = TargetFlags::new(own[0].lane, options.overflow, options.conflate);
                targets.push(Target { conn, flags });
            }
        }
        targets
    }
}

fn sorted(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_unstable();
    targets
}

proptest! {
    #[test]
    fn every_event_goes_where_the_naive_model_sends_it(
        steps in prop::collection::vec(steps(), 1..250),
        // Only lists without filters are patched.
        no_filters in any::<bool>(),
        patched_from in prop_oneof![Just(1usize), Just(4), Just(1000)],
        listed_targets in prop_oneof![Just(4usize), Just(10_000)],
    ) {
        let mut topics = topics(Bounds { patched_from, listed_targets, ..Bounds::default() });
        let mut model = Model::default();
        let filters = filters();
        for (at, step) in steps.into_iter().enumerate() {
            let now = Mono(at as u64);
            match step {
                Step::Subscribe { key, pattern, filter, lane, overflow, conflate } => {
                    let filter = if no_filters { None } else { filters[filter].clone() };
                    let options = Options { lane, overflow, conflate, filter };
                    let pattern = Pattern::parse(PATTERNS[pattern]).unwrap();
                    topics.subscribe(key, &pattern, options.clone(), "somebody".into()).unwrap();
                    model.subscriptions.insert(key, (pattern, options));
                }
                Step::Unsubscribe(key) => {
                    prop_assert_eq!(topics.unsubscribe(key), model.subscriptions.remove(&key).is_some());
                }
                Step::Drop(conn) => {
                    let before = model.subscriptions.len();
                    model.subscriptions.retain(|key, _| key.conn != conn);
                    prop_assert_eq!(topics.drop_connection(conn), before - model.subscriptions.len());
                }
                Step::Publish { topic, payload } => {
                    let (topic, data) = (TOPICS[topic], PAYLOADS[payload]);
                    let (epoch, offset) = model.topics.entry(topic).or_insert((now.0, 0));
                    *offset += 1;
                    let expected = Stamp { epoch: Epoch::new(*epoch), offset: *offset, prev: *offset - 1 };
                    prop_assert_eq!(topics.begin(topic, now, now.0).unwrap(), expected);
                    prop_assert_eq!(sorted(receivers(&mut topics, topic, data)), model.receivers(topic, data));
                }
                Step::FanOut { topic, payload } => {
                    let (topic, data) = (TOPICS[topic], PAYLOADS[payload]);
                    prop_assert_eq!(sorted(receivers(&mut topics, topic, data)), model.receivers(topic, data));
                }
                Step::Sweep => {
                    let swept = topics.sweep(now, Duration::ZERO, 100);
                    // A sweep that reaches the end begins again with the next call.
                    let swept = swept.topics + topics.sweep(now, Duration::ZERO, 100).topics;
                    prop_assert_eq!(swept, model.topics.len());
                    model.topics.clear();
                }
            }
            let counts = topics.counts();
            prop_assert_eq!((counts.subscriptions, counts.topics), (model.subscriptions.len(), model.topics.len()));
            prop_assert!(counts.lists <= counts.topics + 1);
        }
        for reactor in 0..3 {
            for slot in 0..4 {
                topics.drop_connection(conn(reactor, slot));
            }
        }
        for topic in TOPICS {
            prop_assert_eq!(receivers(&mut topics, topic, "{}"), vec![]);
        }
        topics.sweep(Mono(1000), Duration::ZERO, 100);
        topics.sweep(Mono(1000), Duration::ZERO, 100);
        prop_assert_eq!(topics.counts(), Counts::default());
    }
}
