//! Events that pass a consumer, and how it comes to the head again.

use super::*;

#[test]
fn an_absent_consumer_costs_nothing_and_reads_when_someone_comes() {
    let mut scene = Scene::new(settings(100));
    for _ in 0..1000 {
        assert_eq!(scene.publish("a.b"), Offer::Behind);
    }
    assert!(scene.pump().is_empty());
    assert_eq!((scene.consumer.outstanding(), scene.consumer.taken()), (0, Seq(0)));
    assert!(scene.consumer.attach(conn(1)) && !scene.consumer.attach(conn(1)));
    assert!(scene.pump().is_empty(), "the client is told first");
    scene.consumer.start(conn(1));
    let ordered = scene.pump();
    let [Effect::Read { after: Seq(0), through: Seq(1000), limit: 64, .. }] = &ordered[..] else {
        panic!("{ordered:?}")
    };
    assert!(scene.pump().is_empty(), "one page at a time");
    scene.serve(ordered[0].clone());
    scene.settle();
    assert_eq!(scene.sent().len(), 100, "as many as the window takes");
    assert_eq!(scene.consumer.taken(), Seq(100));
}

#[test]
fn it_is_live_again_at_the_head() {
    let mut scene = Scene::started(settings(2), 1);
    scene.settle();
    scene.publish_many(5);
    assert!(!scene.consumer.is_live());
    scene.settle();
    for seq in 1..=5 {
        assert!(scene.ack(1, seq));
        scene.settle();
    }
    assert_eq!(scene.sent(), (1..=5).map(|seq| (1, seq, 1)).collect::<Vec<_>>());
    assert!(scene.consumer.is_live());
    assert_eq!(scene.publish("a.b"), Offer::Taken { member: conn(1) });
}

#[test]
fn what_was_published_during_a_read_is_read_next() {
    let mut scene = Scene::started(settings(8), 0);
    scene.publish_many(2);
    scene.join(1);
    let ordered = scene.pump();
    assert_eq!(scene.publish("a.b"), Offer::Behind);
    scene.serve(ordered[0].clone());
    assert!(!scene.consumer.is_live());
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 2, 1), (1, 3, 1)]);
    assert!(scene.consumer.is_live());
}

#[test]
fn a_large_event_waits_for_bytes_without_reading_in_circles() {
    let large = "x".repeat(600);
    let mut scene = Scene::started(Settings { window_bytes: 1000, ..settings(8) }, 1);
    scene.settle();
    for _ in 0..3 {
        let event = record(scene.next_seq(), "a.b", &format!("\"{large}\""));
        scene.publish_record(event);
    }
    assert!(scene.pump().is_empty());
    assert_eq!(scene.sent(), [(1, 1, 1)]);
    assert!(scene.ack(1, 1));
    scene.settle();
    assert_eq!(scene.sent(), [(1, 2, 1)]);
    assert!(scene.pump().is_empty());
    let huge = Record { seq: Seq(4), offset: 4, ..record(4, "a.b", &format!("\"{}\"", large.repeat(9))) };
    scene.publish_record(huge);
    for seq in 2..=4 {
        assert!(scene.ack(1, seq));
        scene.settle();
    }
    assert_eq!(scene.sent(), [(1, 3, 1), (1, 4, 1)], "one event always fits");
}

#[test]
fn expired_events_are_passed_over_and_counted() {
    let mut scene = Scene::new(settings(8));
    for ttl in [None, Some(Wall(1000)), Some(Wall(9000))] {
        let event = Record { expires: ttl, ..record(scene.next_seq(), "a.b", "{}") };
        scene.publish_record(event);
    }
    scene.pass(2 * SECOND);
    scene.join(1);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 3, 1)]);
    assert_eq!(scene.expired, 1);
    scene.consumer.detach(conn(1), scene.now);
    scene.pass(20 * SECOND);
    scene.join(2);
    scene.settle();
    assert_eq!(scene.sent(), [(2, 1, 2)], "also when it is sent again");
    assert_eq!((scene.expired, scene.consumer.outstanding()), (2, 1));
}

#[test]
fn after_trouble_the_store_rests() {
    let mut scene = Scene::new(settings(8));
    scene.publish_many(1);
    scene.join(1);
    assert_eq!(scene.pump().len(), 1);
    scene.consumer.on_read_failed(scene.now.mono, 0);
    assert!(scene.pump().is_empty());
    let at = scene.consumer.next_deadline().unwrap();
    scene.pass(at.since(scene.now.mono));
    assert_eq!(scene.consumer.next_deadline(), None);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1)]);
    scene.consumer.detach(conn(1), scene.now);
    scene.join(2);
    assert!(matches!(scene.pump()[..], [Effect::Fetch { .. }]));
    scene.consumer.on_fetch_failed(scene.now.mono, 0);
    assert!(scene.pump().is_empty());
    scene.pass(SECOND);
    scene.settle();
    assert_eq!(scene.sent(), [(2, 1, 2)]);
}

#[test]
fn a_store_that_is_well_again_is_asked_at_once() {
    let mut scene = Scene::new(settings(8));
    scene.publish_many(1);
    scene.join(1);
    for _ in 0..9 {
        assert_eq!(scene.pump().len(), 1);
        scene.consumer.on_read_failed(scene.now.mono, 0);
        assert!(scene.pump().is_empty());
        scene.consumer.store_is_well(&mut scene.out);
    }
    assert_eq!(scene.consumer.next_deadline(), None);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1)]);
}

#[test]
fn answers_that_were_not_asked_for_change_nothing() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    let page = Page { records: vec![record(9, "a.b", "{}")], through: Seq(9), ..Page::default() };
    scene.consumer.on_page(page, scene.now, &mut scene.out);
    scene.consumer.on_fetched(vec![record(9, "a.b", "{}")], scene.now, &mut scene.out);
    scene.consumer.on_read_failed(scene.now.mono, 0);
    scene.consumer.on_fetch_failed(scene.now.mono, 0);
    assert!(scene.pump().is_empty() && scene.sent().is_empty());
    assert_eq!((scene.consumer.taken(), scene.consumer.next_deadline()), (Seq(0), None));
}

#[test]
fn a_cursor_brings_back_what_was_not_acked_and_nothing_else() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    assert!(scene.consumer.take_dirty() && !scene.consumer.take_dirty());
    scene.publish_many(6);
    for seq in [1, 3, 4] {
        assert!(scene.ack(1, seq));
    }
    assert!(scene.consumer.take_dirty());
    let text = serde_json::to_string(&scene.consumer.cursor()).unwrap();
    assert_eq!(text, r#"{"at":6,"open":[[2,69,1,0],[5,69,1,0],[6,69,1,0]]}"#);
    let cursor: Cursor = serde_json::from_str(&text).unwrap();
    scene.publish_many(2);
    let selectors: Vec<_> = scene.consumer.selectors().cloned().collect();
    scene.consumer = Consumer::restore(settings(8), selectors, &cursor, Seq(8), scene.now.mono);
    assert_eq!(scene.consumer.floor(), Seq(1));
    scene.sent();
    scene.join(2);
    scene.settle();
    assert_eq!(scene.sent(), [(2, 2, 2), (2, 5, 2), (2, 6, 2), (2, 7, 1), (2, 8, 1)]);
}

#[test]
fn a_cursor_ahead_of_the_log_loses_nothing() {
    let mut scene = Scene::new(settings(8));
    let cursor = Cursor::new(Seq(500));
    scene.consumer = Consumer::restore(settings(8), [selector("a.>", 0)], &cursor, Seq(0), scene.now.mono);
    scene.publish_many(1);
    scene.join(1);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1)]);
}
