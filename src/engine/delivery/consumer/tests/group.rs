//! Several connections that share a consumer.

use super::*;

#[test]
fn each_event_goes_to_one_member() {
    let mut scene = Scene::started(settings(8), 3);
    scene.settle();
    scene.publish_many(6);
    assert_eq!(scene.sent(), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (1, 4, 1), (2, 5, 1), (3, 6, 1)]);
    assert!(scene.ack(2, 2) && scene.ack(2, 5));
    scene.publish_many(2);
    assert_eq!(scene.sent(), [(2, 7, 1), (2, 8, 1)], "who holds the fewest goes first");
}

#[test]
fn the_window_is_shared() {
    let mut scene = Scene::started(settings(2), 2);
    scene.settle();
    scene.publish_many(3);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (2, 2, 1)]);
    assert!(scene.ack(2, 2));
    scene.settle();
    assert_eq!(scene.sent(), [(2, 3, 1)]);
}

#[test]
fn what_a_member_held_moves_in_order_and_before_anything_newer() {
    let mut scene = Scene::started(settings(4), 2);
    scene.settle();
    scene.publish_many(9);
    scene.sent();
    assert_eq!(scene.consumer.detach(conn(1), scene.now), 2);
    assert_eq!(scene.consumer.detach(conn(1), scene.now), 0);
    assert!(scene.ack(2, 2));
    scene.settle();
    assert_eq!(scene.sent(), [(2, 1, 2), (2, 3, 2), (2, 5, 1)]);
}

#[test]
fn a_page_on_its_way_waits_for_what_is_sent_again() {
    let mut scene = Scene::started(settings(4), 1);
    scene.settle();
    scene.publish_many(4);
    scene.publish_many(4);
    assert!(scene.ack(1, 1) && scene.ack(1, 2));
    let ordered = scene.pump();
    assert!(matches!(ordered[..], [Effect::Read { limit: 2, .. }]));
    scene.sent();
    scene.consumer.detach(conn(1), scene.now);
    scene.join(2);
    scene.serve(ordered[0].clone());
    scene.settle();
    assert_eq!(scene.sent(), [(2, 3, 2), (2, 4, 2), (2, 5, 1), (2, 6, 1)]);
}

#[test]
fn live_events_wait_for_what_is_sent_again() {
    let mut scene = Scene::started(settings(4), 2);
    scene.settle();
    scene.publish_many(1);
    scene.consumer.detach(conn(1), scene.now);
    assert_eq!(scene.publish("a.b"), Offer::Behind);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (2, 1, 2), (2, 2, 1)]);
    assert!(scene.consumer.is_live());
}

#[test]
fn a_member_that_was_not_started_may_ack_and_gets_nothing() {
    let mut scene = Scene::started(settings(4), 1);
    scene.settle();
    scene.publish_many(1);
    scene.consumer.detach(conn(1), scene.now);
    scene.consumer.attach(conn(2));
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1)]);
    assert!(scene.ack(2, 1));
}
