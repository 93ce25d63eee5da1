//! Events that the store let go.

use super::*;

#[test]
fn trimmed_events_are_counted_in_flight_and_behind() {
    let mut scene = Scene::started(settings(2), 1);
    scene.settle();
    for topic in ["a.b", "a.b", "a.b", "b.b", "a.b"] {
        scene.publish(topic);
    }
    assert!(scene.ack(1, 1));
    for (topic, seq, expected) in
        [("a.b", 1, 0), ("a.b", 2, 1), ("a.b", 2, 1), ("a.b", 3, 2), ("b.b", 4, 2), ("a.b", 5, 3)]
    {
        scene.consumer.trimmed(topic, &[Seq(seq)], &mut scene.out);
        scene.log.retain(|record| record.seq != Seq(seq));
        scene.drain();
        assert_eq!(scene.expired, expected, "{seq}");
    }
    scene.settle();
    assert_eq!((scene.consumer.outstanding(), scene.consumer.is_live(), scene.expired), (0, true, 3));
}

#[test]
fn a_page_from_before_the_trim_delivers_nothing_that_was_counted() {
    let mut scene = Scene::new(settings(8));
    scene.publish_many(4);
    scene.join(1);
    let Effect::Read { patterns, after, through, limit, bytes } = scene.pump().remove(0) else { panic!("no read") };
    let page = page(&scene.log, &patterns, (after, through), limit, bytes);
    scene.consumer.trimmed("a.b", &[Seq(1), Seq(2)], &mut scene.out);
    scene.consumer.on_page(page, scene.now, &mut scene.out);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 3, 1), (1, 4, 1)]);
    assert_eq!(scene.expired, 2);
}

#[test]
fn what_is_missing_when_it_is_fetched_expired() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(3);
    scene.consumer.detach(conn(1), scene.now);
    scene.join(2);
    scene.log.remove(1);
    scene.settle();
    assert_eq!(scene.sent()[3..], [(2, 1, 2), (2, 3, 2)]);
    assert_eq!(scene.expired, 1);
    scene.consumer.trimmed("a.b", &[Seq(2)], &mut scene.out);
    scene.settle();
    assert_eq!(scene.expired, 1, "it is counted once");
}

#[test]
fn what_is_dying_is_not_counted() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(1);
    assert!(scene.consumer.reject(conn(1), epoch(), 1, "", scene.now, &mut scene.out));
    scene.consumer.trimmed("a.b", &[Seq(1)], &mut scene.out);
    scene.settle();
    assert_eq!((scene.expired, scene.dead.len(), scene.consumer.outstanding()), (0, 1, 1));
}
