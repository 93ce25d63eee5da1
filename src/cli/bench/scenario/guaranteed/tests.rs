//! One thread's part, driven by hand.

use super::*;

const RUN: u16 = 3;

/// Publisher 0 with `sent` publications is connection 0; connection 1 subscribes.
fn scene(sent: u64) -> Guaranteed {
    let progress = Arc::new(Progress::new(1));
    progress.add_subscriber();
    for _ in 0..sent {
        progress.count_published(0);
    }
    let load = Load { pipeline: 4, backlog: 8 };
    let mut scene = Guaranteed::new(RUN, load, Payload::new(64), Arc::from("t"), progress);
    let answers = Sequence::default();
    scene.publishers.push(Publisher { conn: 0, lane: 0, next: sent, unanswered: sent as usize, answers });
    scene.parts = vec![Part::Publisher(0), Part::Subscriber(vec![Sequence::default()].into())];
    scene
}

fn stamp(seq: u64) -> Stamp {
    Stamp { run: RUN, lane: 0, seq, time_ns: 10 }
}

#[test]
fn answers_are_messages_and_deliveries_are_counted_beside_them() {
    let mut scene = scene(2);
    scene.on_answer(0, stamp(1), true, Phase::Measure, 1_010);
    scene.on_answer(0, stamp(0), true, Phase::Measure, 2_010);
    scene.on_delivery(1, stamp(0), Phase::Measure, 3_010);
    assert_eq!(scene.outstanding(), 1);
    scene.on_delivery(1, stamp(1), Phase::Drain, 3_010);
    assert_eq!(scene.outstanding(), 0);
    let tally = scene.finish();
    assert_eq!((tally.messages, tally.deliveries), (2, 1));
    assert_eq!(tally.accepted.summary().unwrap().count, 2);
    assert!((tally.latency.summary().unwrap().max_us - 3.0).abs() < 0.01);
    assert!(tally.faults.is_none(), "{:?}", tally.faults);
}

#[test]
fn what_is_not_answered_and_what_is_not_delivered_is_lost() {
    let mut scene = scene(3);
    scene.on_answer(0, stamp(0), true, Phase::Measure, 20);
    scene.on_delivery(1, stamp(1), Phase::Measure, 20);
    assert_eq!(scene.finish().faults.lost, 2 + 2);
}

#[test]
fn repeats_latecomers_and_strangers_are_told_apart() {
    let mut scene = scene(3);
    for seq in [1, 0, 0] {
        scene.on_delivery(1, stamp(seq), Phase::Measure, 20);
    }
    scene.on_delivery(1, stamp(3), Phase::Measure, 20);
    scene.on_delivery(1, Stamp { run: RUN + 1, ..stamp(2) }, Phase::Measure, 20);
    scene.on_delivery(1, Stamp { lane: 7, ..stamp(2) }, Phase::Measure, 20);
    scene.on_delivery(0, stamp(2), Phase::Measure, 20);
    scene.on_answer(1, stamp(2), true, Phase::Measure, 20);
    scene.on_answer(0, stamp(3), true, Phase::Measure, 20);
    let faults = scene.tally.faults;
    assert_eq!((faults.out_of_order, faults.duplicates, faults.unexpected), (1, 1, 6));
    assert_eq!((scene.tally.deliveries, scene.tally.messages), (2, 0));
}

#[test]
fn a_refused_publication_is_an_error_and_not_lost() {
    let mut scene = scene(1);
    scene.on_answer(0, stamp(0), false, Phase::Measure, 20);
    assert_eq!(scene.outstanding(), 0);
    let tally = scene.finish();
    assert_eq!((tally.faults.unexpected, tally.faults.lost, tally.messages), (1, 0, 0));
}

#[test]
fn deliveries_that_do_not_come_are_given_up_and_answers_are_not() {
    let mut scene = scene(2);
    scene.moved_ns = 1;
    scene.watch(STALL_NS);
    assert_eq!(scene.tally.faults.stalls, 0);
    scene.watch(STALL_NS + 2);
    assert_eq!((scene.tally.faults.stalls, scene.progress.lag()), (1, 0));
    assert_eq!(scene.outstanding(), 2);
    scene.on_answer(0, stamp(0), true, Phase::Measure, 2 * STALL_NS);
    scene.watch(2 * STALL_NS + 3);
    assert_eq!(scene.tally.faults.stalls, 1, "an answer is progress");
}
