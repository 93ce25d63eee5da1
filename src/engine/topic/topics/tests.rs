use super::*;
use crate::base::ReactorId;
use crate::engine::outbound::{Lane, Overflow};
use crate::engine::topic::{Filter, Target, TargetFlags};
use serde_json::{Value, json};

mod model;

fn topics(bounds: Bounds) -> Topics {
    Topics::new(bounds, 1)
}

fn conn(reactor: u8, slot: usize) -> ConnId {
    ConnId::new(ReactorId(reactor), slot, 0)
}

fn key(reactor: u8, slot: usize, number: u32) -> SubKey {
    SubKey { conn: conn(reactor, slot), number }
}

fn filter(value: Value) -> Option<Arc<Filter>> {
    Filter::parse(&value).unwrap().map(Arc::new)
}

fn only(value: Value) -> Options {
    Options { filter: filter(value), ..Options::default() }
}

fn subscribe(topics: &mut Topics, key: SubKey, pattern: &str, options: Options) {
    topics.subscribe(key, &Pattern::parse(pattern).unwrap(), options, "somebody".into()).unwrap();
}

fn receivers(topics: &mut Topics, topic: &str, data: &str) -> Vec<Target> {
    let fan_out = topics.fan_out(topic, &mut Payload::new(data.as_bytes()));
    let targets: Vec<Target> = fan_out.reactors().flat_map(|targets| targets.iter().copied()).collect();
    assert_eq!(fan_out.receivers, targets.len());
    for targets in fan_out.reactors() {
        assert!(targets.iter().all(|target| target.conn.reactor() == targets.reactor()));
    }
    targets
}

fn conns(topics: &mut Topics, topic: &str, data: &str) -> Vec<(u8, usize)> {
    let targets = receivers(topics, topic, data);
    targets.iter().map(|target| (target.conn.reactor().0, target.conn.slot())).collect()
}

fn everyone(topics: &mut Topics, topic: &str) -> Vec<Arc<[Target]>> {
    let fan_out = topics.fan_out(topic, &mut Payload::new(b"{}"));
    fan_out.reactors().map(|targets| targets.everyone().clone()).collect()
}

fn is_same(a: &[Arc<[Target]>], b: &[Arc<[Target]>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

#[test]
fn a_second_event_shares_the_lists_of_the_first() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", Options::default());
    subscribe(&mut topics, key(1, 1, 1), "a.*", Options::default());
    topics.begin("a.b", Mono(0), 1).unwrap();
    let first = everyone(&mut topics, "a.b");
    assert_eq!(first.len(), 2);
    assert!(is_same(&first, &everyone(&mut topics, "a.b")));
}

#[test]
fn other_topics_and_patterns_leave_a_list_alone() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", Options::default());
    subscribe(&mut topics, key(0, 2, 1), "a.*", Options::default());
    subscribe(&mut topics, key(0, 3, 1), "c.*", Options::default());
    topics.begin("a.b", Mono(0), 1).unwrap();
    let first = everyone(&mut topics, "a.b");
    subscribe(&mut topics, key(0, 4, 1), "a.c", Options::default());
    subscribe(&mut topics, key(0, 4, 2), "c.*", Options::default());
    subscribe(&mut topics, key(0, 4, 3), "d.>", Options::default());
    topics.unsubscribe(key(0, 3, 1));
    topics.drop_connection(conn(0, 4));
    assert!(is_same(&first, &everyone(&mut topics, "a.b")));
    subscribe(&mut topics, key(0, 4, 1), "a.>", Options::default());
    assert_eq!(conns(&mut topics, "a.b", "{}"), [(0, 1), (0, 2), (0, 4)]);
    topics.unsubscribe(key(0, 1, 1));
    assert_eq!(conns(&mut topics, "a.b", "{}"), [(0, 2), (0, 4)]);
}

#[test]
fn topics_under_the_same_patterns_share_one_list() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.*", Options::default());
    for name in ["a.b", "a.c", "a.d"] {
        topics.begin(name, Mono(0), 1).unwrap();
    }
    assert!(is_same(&everyone(&mut topics, "a.b"), &everyone(&mut topics, "a.c")));
    everyone(&mut topics, "a.d");
    let counts = topics.counts();
    assert_eq!((counts.topics, counts.lists, counts.listed_targets), (3, 1, 1));
    topics.sweep(Mono(1), Duration::ZERO, 10);
    let counts = topics.counts();
    assert_eq!((counts.topics, counts.lists, counts.listed_targets), (0, 0, 0));
}

#[test]
fn a_long_list_is_patched_so_that_the_other_reactors_keep_theirs() {
    let mut topics = topics(Bounds { patched_from: 4, ..Bounds::default() });
    for slot in 0..4 {
        for reactor in 0..2 {
            subscribe(&mut topics, key(reactor, slot, 1), "a.*", Options::default());
        }
    }
    topics.begin("a.b", Mono(0), 1).unwrap();
    let before = everyone(&mut topics, "a.b");
    topics.drop_connection(conn(1, 2));
    subscribe(&mut topics, key(1, 9, 1), "a.*", Options::default());
    let after = everyone(&mut topics, "a.b");
    assert!(Arc::ptr_eq(&before[0], &after[0]));
    assert_eq!(after[1].iter().map(|target| target.conn.slot()).collect::<Vec<_>>(), [0, 1, 3, 9]);
}

#[test]
fn a_connection_gets_an_event_once_with_the_options_of_its_first_match() {
    let bulk = || Options { lane: Lane::Bulk, ..Options::default() };
    let drop_oldest = || Options { overflow: Overflow::DropOldest, ..Options::default() };
    let flags = |options: &Options| TargetFlags::from(options);
    for (subscriptions, expected) in [
        (vec![(2, "a.b", bulk()), (1, "a.*", drop_oldest())], Some(flags(&drop_oldest()))),
        (vec![(1, "a.b", bulk()), (2, "a.*", drop_oldest())], Some(flags(&bulk()))),
        (vec![(1, "a.b", only(json!({"x": 1}))), (2, "a.*", bulk())], Some(flags(&Options::default()))),
        (
            vec![
                (1, "a.b", only(json!({"x": 2}))),
                (2, "a.>", Options { filter: filter(json!({"x": 1})), ..drop_oldest() }),
                (3, "a.*", Options { filter: filter(json!({"y": {"exists": false}})), ..bulk() }),
            ],
            Some(flags(&drop_oldest())),
        ),
        (vec![(1, "a.b", only(json!({"x": 2}))), (2, "a.>", only(json!({"y": 1})))], None),
    ] {
        let mut topics = topics(Bounds::default());
        for (number, pattern, options) in subscriptions {
            subscribe(&mut topics, key(0, 1, number), pattern, options);
        }
        let targets = receivers(&mut topics, "a.b", "{\"x\":1}");
        assert_eq!(targets.iter().map(|target| target.flags).collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}

#[test]
fn a_topics_events_take_one_lane_to_a_connection_whichever_filter_passes() {
    let in_bulk = |x: u32| Options { lane: Lane::Bulk, ..only(json!({ "x": x })) };
    for (subscriptions, expected) in [
        (vec![(1, "a.b", only(json!({"x": 1}))), (2, "a.*", in_bulk(2))], Lane::Events),
        (vec![(1, "a.b", in_bulk(1)), (2, "a.*", only(json!({"x": 2})))], Lane::Bulk),
        (vec![(1, "a.b", in_bulk(1)), (2, "a.*", Options::default())], Lane::Bulk),
    ] {
        let mut topics = topics(Bounds::default());
        for (number, pattern, options) in subscriptions {
            subscribe(&mut topics, key(0, 1, number), pattern, options);
        }
        for data in ["{\"x\":1}", "{\"x\":2}", "{\"x\":1}"] {
            let targets = receivers(&mut topics, "a.b", data);
            assert_eq!(targets.iter().map(|target| target.flags.lane()).collect::<Vec<_>>(), [expected], "{data}");
        }
    }
}

#[test]
fn filters_select_among_the_connections_of_every_reactor() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", only(json!({"x": 1})));
    subscribe(&mut topics, key(1, 1, 1), "a.b", Options::default());
    subscribe(&mut topics, key(1, 2, 1), "a.b", only(json!({"x": {"eq": 1.0}})));
    subscribe(&mut topics, key(2, 1, 1), "a.*", only(json!({"x": 2})));
    assert_eq!(topics.counts().filters, 2);
    assert_eq!(conns(&mut topics, "a.b", "{\"x\":1}"), [(0, 1), (1, 1), (1, 2)]);
    assert_eq!(conns(&mut topics, "a.b", "{\"x\":2}"), [(1, 1), (2, 1)]);
    assert_eq!(conns(&mut topics, "a.b", "[]"), [(1, 1)]);
    assert_eq!(conns(&mut topics, "a.b", "no json"), [(1, 1)]);
    topics.drop_connection(conn(2, 1));
    assert_eq!(topics.counts().filters, 1);
}

#[test]
fn a_payload_is_parsed_only_where_a_filter_looks_into_it() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", Options::default());
    subscribe(&mut topics, key(0, 2, 1), "a.c", only(json!({"x": 1})));
    for (topic, expected) in [("a.b", false), ("a.c", true), ("a.d", false)] {
        let mut payload = Payload::new(b"{\"x\":1}");
        topics.fan_out(topic, &mut payload);
        assert_eq!(payload.is_parsed(), expected, "{topic}");
    }
}

#[test]
fn the_same_answers_of_filters_share_what_they_selected() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", only(json!({"x": {"gt": 1}})));
    let mut selected = |data: &str| {
        let fan_out = topics.fan_out("a.b", &mut Payload::new(data.as_bytes()));
        fan_out.reactors().map(|targets| targets.selected().clone()).collect::<Vec<_>>()
    };
    let first = selected("{\"x\":2}");
    assert_eq!(first.len(), 1);
    assert!(is_same(&first, &selected("{\"x\":3}")));
    assert!(selected("{\"x\":1}").is_empty());
}

#[test]
fn an_event_reaches_its_subscribers_though_the_topic_has_no_state() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.b", Options::default());
    assert_eq!(conns(&mut topics, "a.b", "{}"), [(0, 1)]);
    assert_eq!(conns(&mut topics, "a.c", "{}"), []);
    topics.unsubscribe(key(0, 1, 1));
    assert_eq!(conns(&mut topics, "a.b", "{}"), []);
    assert_eq!(topics.counts().topics, 0);
}

#[test]
fn a_subscription_replaces_the_one_of_the_same_key() {
    let mut topics = topics(Bounds { subscriptions: 1, ..Bounds::default() });
    subscribe(&mut topics, key(0, 1, 1), "a.b", Options::default());
    subscribe(&mut topics, key(0, 1, 1), "a.c", Options::default());
    assert_eq!(conns(&mut topics, "a.b", "{}"), []);
    assert_eq!(conns(&mut topics, "a.c", "{}"), [(0, 1)]);
    let pattern = Pattern::parse("a.c").unwrap();
    let refused = topics.subscribe(key(0, 1, 2), &pattern, Options::default(), "somebody".into());
    assert_eq!(refused, Err(Full::Subscriptions));
    let held: Vec<_> =
        topics.subscriptions_of(conn(0, 1)).map(|(number, pattern)| (number, pattern.as_str())).collect();
    assert_eq!(held, [(1, "a.c")]);
    assert!(topics.is_subscribed(key(0, 1, 1)));
    assert!(!topics.unsubscribe(key(0, 1, 2)));
    assert_eq!(topics.drop_connection(conn(0, 1)), 1);
    topics.sweep(Mono(0), Duration::ZERO, 1);
    assert_eq!(topics.counts(), Counts::default());
}

#[test]
fn an_idle_topic_goes_and_comes_back_in_another_epoch() {
    let mut topics = topics(Bounds { topics: 2, ..Bounds::default() });
    let idle = Duration::from_nanos(10);
    assert_eq!(topics.begin("a.b", Mono(0), 1).unwrap().to_string(), "0000000000000001-1");
    topics.begin("a.c", Mono(5), 1).unwrap();
    assert_eq!(topics.begin("a.d", Mono(5), 1), Err(Full::Topics));
    assert_eq!(topics.restore("a.d", Epoch::new(3), 7, Mono(5)), Err(Full::Topics));
    assert_eq!(topics.sweep(Mono(9), idle, 10), Swept::default());
    assert_eq!(topics.sweep(Mono(10), idle, 10), Swept { topics: 1, retained: 0 });
    assert_eq!(topics.begin("a.b", Mono(10), 2).unwrap().to_string(), "0000000000000002-1");
    topics.restore("a.b", Epoch::new(3), 7, Mono(10)).unwrap();
    assert_eq!(topics.begin("a.b", Mono(10), 2).unwrap(), Stamp { epoch: Epoch::new(3), offset: 8, prev: 7 });
}

#[test]
fn a_topic_stays_as_long_as_it_retains_a_value() {
    let mut topics = topics(Bounds::default());
    topics.begin("a.b", Mono(0), 1).unwrap();
    let (event, payload) = (Bytes::from_static(b"event"), Bytes::from_static(b"1"));
    topics.retain("a.b", event.clone(), payload.clone(), Some(Duration::from_nanos(20)), Mono(0)).unwrap();
    assert_eq!(topics.sweep(Mono(19), Duration::ZERO, 10), Swept::default());
    let expected = Retained { event, payload, expires: Some(Mono(20)) };
    assert_eq!(topics.retained("a.b", Mono(19)), Some(&expected));
    let pattern = Pattern::parse("a.*").unwrap();
    assert_eq!(topics.retained_matching(&pattern, Mono(19), 5), [("a.b".into(), expected)]);
    assert_eq!(topics.retained_matching(&pattern, Mono(19), 0), []);
    assert_eq!(topics.retained_matching(&pattern, Mono(20), 5), []);
    assert_eq!(topics.sweep(Mono(20), Duration::ZERO, 10), Swept { topics: 1, retained: 1 });
    assert!(!topics.clear("a.b"));
}

#[test]
fn what_cannot_be_retained_is_told_before_and_after() {
    let mut topics = topics(Bounds { retained_values: 1, retained_bytes: 10, ..Bounds::default() });
    assert_eq!(topics.make_room("a.b", 8, Mono(0)), Err(Full::RetainedBytes));
    assert_eq!(topics.make_room("a.b", 7, Mono(0)), Ok(()));
    topics.retain("a.b", Bytes::from_static(b"1234567"), Bytes::new(), None, Mono(0)).unwrap();
    let refused = topics.retain("a.c", Bytes::from_static(b"1"), Bytes::new(), None, Mono(0));
    assert_eq!(refused, Err(Full::RetainedValues));
    let counts = topics.counts();
    assert_eq!((counts.retained_values, counts.retained_bytes), (1, 10));
}

#[test]
fn presence_counts_connections_by_identity() {
    let mut topics = topics(Bounds::default());
    for (slot, number, pattern, identity) in [
        (1, 1, "a.b", "anna"),
        (1, 2, "a.*", "anna"),
        (2, 1, "a.>", "anna"),
        (3, 1, "a.b", "bert"),
        (4, 1, "a.c", "carl"),
    ] {
        let pattern = Pattern::parse(pattern).unwrap();
        topics.subscribe(key(0, slot, number), &pattern, Options::default(), identity.into()).unwrap();
    }
    assert_eq!(topics.presence("a.b", None, 9), [("anna".into(), 2), ("bert".into(), 1)]);
    assert_eq!(topics.presence("a.b", None, 1), [("anna".into(), 2)]);
    assert_eq!(topics.presence("a.b", Some("anna"), 9), [("bert".into(), 1)]);
    assert_eq!(topics.presence("b.b", None, 9), []);
}

#[test]
fn the_list_of_topics_comes_in_pages() {
    let mut topics = topics(Bounds::default());
    subscribe(&mut topics, key(0, 1, 1), "a.*", Options::default());
    subscribe(&mut topics, key(0, 1, 2), "a.b", Options::default());
    for name in ["b.a", "a.c", "a.b"] {
        topics.begin(name, Mono(0), 1).unwrap();
    }
    topics.begin("a.b", Mono(0), 1).unwrap();
    topics.retain("a.c", Bytes::new(), Bytes::new(), None, Mono(0)).unwrap();
    let row = |name: &str, offset, subscriptions, is_retained| Row {
        name: name.into(),
        epoch: Epoch::new(1),
        offset,
        subscriptions,
        is_retained,
    };
    assert_eq!(topics.list(None, 2), [row("a.b", 2, 2, false), row("a.c", 1, 1, true)]);
    assert_eq!(topics.list(Some("a.c"), 2), [row("b.a", 1, 0, false)]);
    assert_eq!(topics.list(Some("b.a"), 2), []);
}

#[test]
fn lists_over_their_bound_are_let_go_and_made_again() {
    let mut topics = topics(Bounds { listed_targets: 3, ..Bounds::default() });
    for slot in 0..2 {
        subscribe(&mut topics, key(0, slot, 1), "a.*", Options::default());
        subscribe(&mut topics, key(0, slot, 2), "b.*", Options::default());
    }
    for name in ["a.x", "b.x", "a.x"] {
        topics.begin(name, Mono(0), 1).unwrap();
        assert_eq!(conns(&mut topics, name, "{}"), [(0, 0), (0, 1)]);
        assert!(topics.counts().listed_targets <= 3);
    }
}
