//! Selectors that come and go.

use super::*;

#[test]
fn a_selector_may_reach_back_without_repeating_the_others() {
    let mut scene = Scene::with(Consumer::new(settings(16), Seq(0)));
    scene.consumer.select(selector("a.>", 0));
    scene.join(1);
    scene.settle();
    for topic in ["a.b", "c.b", "a.b", "c.b"] {
        scene.publish(topic);
    }
    assert!(scene.ack(1, 1));
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 3, 1)]);
    assert!(!scene.consumer.select(selector("a.>", 0)));
    assert!(scene.consumer.select(selector("c.*", 2)));
    assert_eq!((scene.consumer.taken(), scene.consumer.floor()), (Seq(2), Seq(2)));
    assert_eq!(scene.publish("a.b"), Offer::Behind);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 4, 1), (1, 5, 1)]);
    assert!(scene.consumer.is_live());
    for seq in 3..=5 {
        assert!(scene.ack(1, seq), "{seq}");
    }
    assert_eq!(scene.consumer.floor(), Seq(5));
}

#[test]
fn a_page_that_was_asked_for_without_the_new_selector_is_read_again() {
    let mut scene = Scene::new(settings(16));
    for topic in ["a.b", "c.b"] {
        scene.publish(topic);
    }
    scene.consumer.head_moved(Seq(2));
    scene.join(1);
    let ordered = scene.pump();
    assert!(scene.consumer.select(selector("c.*", 1)));
    scene.serve(ordered[0].clone());
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 2, 1)]);
}

#[test]
fn what_nobody_wants_any_more_is_dropped() {
    let mut scene = Scene::with(Consumer::new(settings(16), Seq(0)));
    scene.consumer.select(selector("a.>", 0));
    scene.consumer.select(selector("a.b", 0));
    scene.consumer.select(selector("c.d", 0));
    scene.join(1);
    scene.settle();
    for topic in ["a.b", "a.c", "c.d"] {
        scene.publish(topic);
    }
    let cursor = scene.consumer.cursor();
    assert_eq!(scene.consumer.deselect(&Pattern::parse("x.y").unwrap()), None);
    assert_eq!(scene.consumer.deselect(&Pattern::parse("a.>").unwrap()), Some(1));
    assert!(!scene.ack(1, 2) && scene.ack(1, 1) && scene.ack(1, 3));
    // The cursor from before still lists it; its topic is not known until it is fetched.
    scene.sent();
    let selectors: Vec<_> = scene.consumer.selectors().cloned().collect();
    scene.consumer = Consumer::restore(settings(8), selectors, &cursor, Seq(3), scene.now.mono);
    scene.join(2);
    scene.settle();
    assert_eq!(scene.sent(), [(2, 1, 2), (2, 3, 2)]);
    assert_eq!((scene.expired, scene.consumer.outstanding()), (0, 2));
}

#[test]
fn selectors_with_thousands_of_topics_find_theirs() {
    let mut scene = Scene::with(Consumer::new(settings(16), Seq(0)));
    for n in 0..5000 {
        assert!(scene.consumer.select(selector(&format!("t.{n}"), 0)));
    }
    scene.join(1);
    scene.settle();
    assert_eq!(scene.publish("t.4321"), Offer::Taken { member: conn(1) });
    assert_eq!(scene.publish("t.5000"), Offer::NotMine);
}
