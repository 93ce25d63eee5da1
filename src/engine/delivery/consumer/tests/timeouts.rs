//! Acks that do not come.

use super::*;
use crate::engine::delivery::{DeadReason, Outcome};

#[test]
fn an_unacked_event_rests_and_comes_again_with_its_attempt() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(1);
    assert_eq!(scene.consumer.next_deadline(), Some(Mono(0).after(10 * SECOND)));
    scene.pass(10 * SECOND - Duration::from_nanos(1));
    assert!(scene.pump().is_empty());
    scene.pass(Duration::from_nanos(1));
    let due = scene.consumer.next_deadline().unwrap().since(scene.now.mono);
    assert!(SECOND / 2 <= due && due <= SECOND, "{due:?}");
    assert_eq!(scene.publish("a.b"), Offer::Taken { member: conn(1) }, "what rests holds nothing up");
    scene.pass(due);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 2, 1), (1, 1, 2)]);
    assert_eq!(scene.consumer.outstanding(), 2);
}

#[test]
fn the_last_timeout_makes_a_dead_letter_with_its_history() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(1);
    for _ in 0..100 {
        if !scene.dead.is_empty() {
            break;
        }
        let at = scene.consumer.next_deadline().unwrap();
        scene.pass(at.since(scene.now.mono));
        scene.settle();
    }
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 1, 2), (1, 1, 3)]);
    let letter = &scene.dead[0];
    assert_eq!((letter.seq, letter.offset, letter.deliveries), (Seq(1), 1, 3));
    assert_eq!(letter.reason, DeadReason::AttemptsExhausted);
    assert_eq!(letter.history.len(), 3);
    assert!(letter.history.iter().all(|attempt| attempt.outcome == Outcome::TimedOut && attempt.conn == conn(1)));
    assert!(letter.history.is_sorted_by_key(|attempt| attempt.at));
}

#[test]
fn a_connection_that_flaps_kills_no_event_and_fills_no_memory() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(1);
    for n in 2..=100 {
        assert_eq!(scene.consumer.detach(conn(n - 1), scene.now), 1);
        scene.join(n);
        scene.settle();
    }
    assert!(scene.dead.is_empty());
    assert_eq!(scene.sent().last(), Some(&(100, 1, 100)));
    assert!(scene.consumer.reject(conn(100), epoch(), 1, "", scene.now, &mut scene.out));
    scene.settle();
    let history = &scene.dead[0].history;
    assert_eq!(history.len(), crate::base::limits::ATTEMPTS_KEPT);
    assert_eq!(history[history.len() - 2].conn, conn(99), "the last attempts are kept");
    assert_eq!(history[history.len() - 1].outcome, Outcome::Rejected);
}

#[test]
fn what_rests_does_not_outlast_its_connection() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(2);
    scene.pass(10 * SECOND);
    assert!(scene.ack(1, 2));
    scene.publish_many(1);
    scene.sent();
    // A connection takes the session over before the old one is gone.
    scene.join(2);
    assert_eq!(scene.consumer.detach(conn(1), scene.now), 1);
    scene.settle();
    assert_eq!(scene.sent(), [(2, 1, 2), (2, 3, 2)]);
}

#[test]
fn the_count_of_timeouts_survives_in_the_cursor() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(1);
    for _ in 0..2 {
        scene.pass(10 * SECOND);
        scene.pass(8 * SECOND);
        scene.settle();
    }
    let cursor = scene.consumer.cursor();
    scene.consumer = Consumer::restore(settings(8), [selector("a.>", 0)], &cursor, Seq(1), scene.now.mono);
    scene.join(2);
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 1, 2), (1, 1, 3), (2, 1, 4)]);
    scene.pass(10 * SECOND);
    scene.settle();
    assert_eq!(scene.dead.len(), 1);
}
