//! Events that are given up, and their second chance.

use super::*;
use crate::engine::delivery::{DeadReason, Outcome};

fn rejected() -> Scene {
    let mut scene = Scene::started(settings(2), 1);
    scene.settle();
    scene.publish_many(1);
    assert!(scene.consumer.reject(conn(1), epoch(), 1, "no lamp", scene.now, &mut scene.out));
    scene.settle();
    scene
}

#[test]
fn a_rejected_event_is_done_when_its_dead_letter_is_stored() {
    let mut scene = rejected();
    assert_eq!(scene.dead.len(), 1);
    assert_eq!(scene.dead[0].reason, DeadReason::Rejected("no lamp".into()));
    assert_eq!(scene.dead[0].history[0].outcome, Outcome::Rejected);
    assert_eq!(scene.consumer.next_deadline(), None);
    assert_eq!(scene.consumer.floor(), Seq(0), "not before");
    scene.consumer.buried(Seq(1));
    assert_eq!((scene.consumer.floor(), scene.consumer.outstanding()), (Seq(1), 0));
}

#[test]
fn a_dead_letter_that_could_not_be_stored_is_handed_out_again() {
    let mut scene = rejected();
    scene.consumer.not_buried(Seq(1), scene.now.mono, 3);
    scene.consumer.not_buried(Seq(1), scene.now.mono, 3);
    let at = scene.consumer.next_deadline().unwrap();
    scene.pass(at.since(scene.now.mono));
    scene.settle();
    assert_eq!(scene.dead.len(), 2);
    assert_eq!(scene.dead[0], scene.dead[1]);
    scene.consumer.perished(Seq(1), &mut scene.out);
    scene.settle();
    assert_eq!((scene.expired, scene.consumer.outstanding()), (1, 0));
}

#[test]
fn a_store_that_is_well_again_gets_the_dead_letters_at_once() {
    let mut scene = rejected();
    scene.consumer.store_is_well(&mut scene.out);
    scene.settle();
    assert_eq!(scene.dead.len(), 1, "that one is on its way");
    scene.consumer.not_buried(Seq(1), scene.now.mono, 3);
    scene.consumer.store_is_well(&mut scene.out);
    scene.settle();
    assert_eq!((scene.dead.len(), scene.consumer.next_deadline()), (2, None));
    scene.consumer.buried(Seq(1));
    assert_eq!(scene.consumer.outstanding(), 0);
}

#[test]
fn only_what_is_dying_can_be_buried() {
    let mut scene = Scene::started(settings(2), 1);
    scene.settle();
    scene.publish_many(1);
    scene.consumer.buried(Seq(1));
    scene.consumer.perished(Seq(1), &mut scene.out);
    scene.consumer.not_buried(Seq(1), scene.now.mono, 0);
    assert!(scene.ack(1, 1));
}

#[test]
fn a_replayed_dead_letter_comes_from_its_table_and_goes_when_it_is_acked() {
    let mut scene = rejected();
    scene.consumer.buried(Seq(1));
    let letter = scene.dead.pop().unwrap();
    // Its time to live does not count any more.
    scene.log[0].expires = Some(Wall(-1));
    assert!(scene.consumer.replay(letter.clone(), scene.now.mono));
    assert!(!scene.consumer.replay(letter, scene.now.mono), "it is in flight");
    let fetch = scene.pump();
    assert_eq!(fetch, [Effect::Fetch { source: Source::DeadLetters, seqs: vec![Seq(1)] }]);
    assert_eq!(scene.consumer.cursor(), Cursor::new(Seq(1)), "a crash leaves it a dead letter");
    scene.serve(fetch[0].clone());
    scene.settle();
    assert_eq!(scene.sent(), [(1, 1, 1), (1, 1, 2)]);
    scene.consumer.trimmed("a.b", &[Seq(1)], &mut scene.out);
    assert!(scene.ack(1, 1));
    assert_eq!(scene.pump(), [Effect::Resurrected { seq: Seq(1) }]);
    assert_eq!(scene.expired, 0);
}

#[test]
fn a_replay_that_fails_again_has_a_longer_history() {
    let mut scene = rejected();
    scene.consumer.buried(Seq(1));
    let letter = scene.dead.pop().unwrap();
    assert!(scene.consumer.replay(letter, scene.now.mono));
    scene.settle();
    assert!(scene.consumer.reject(conn(1), epoch(), 1, "still no lamp", scene.now, &mut scene.out));
    scene.settle();
    assert_eq!((scene.dead[0].history.len(), scene.dead[0].deliveries), (2, 2));
    assert_eq!(scene.dead[0].reason, DeadReason::Rejected("still no lamp".into()));
    scene.consumer.buried(Seq(1));
    assert_eq!(scene.consumer.outstanding(), 0);
}

#[test]
fn a_replay_needs_room_and_goes_without_a_count_when_it_was_discarded() {
    let mut scene = rejected();
    scene.consumer.buried(Seq(1));
    let letter = scene.dead.pop().unwrap();
    scene.publish_many(2);
    assert!(!scene.consumer.replay(letter.clone(), scene.now.mono), "the window is full");
    assert!(scene.ack(1, 2));
    assert!(scene.consumer.replay(letter, scene.now.mono));
    assert!(matches!(scene.pump()[..], [Effect::Fetch { source: Source::DeadLetters, .. }]));
    scene.consumer.on_fetched(vec![], scene.now, &mut scene.out);
    scene.settle();
    assert_eq!((scene.consumer.outstanding(), scene.expired), (1, 0));
}
