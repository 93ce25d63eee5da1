//! Which acks count.

use super::*;

#[test]
fn an_ack_counts_once_and_from_members_alone() {
    let mut scene = Scene::started(settings(8), 2);
    scene.settle();
    scene.publish_many(1);
    assert_eq!(scene.sent(), [(1, 1, 1)]);
    assert!(!scene.ack(3, 1), "no member");
    assert!(!scene.ack(1, 2), "no such event");
    assert!(!scene.consumer.ack(conn(1), Epoch::new(8), 1, &mut scene.out), "another epoch");
    assert!(scene.ack(2, 1), "any member");
    assert!(!scene.ack(1, 1), "not again");
    assert_eq!((scene.consumer.outstanding(), scene.consumer.next_deadline()), (0, None));
}

#[test]
fn a_late_ack_counts_in_every_state_but_dying() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(4);
    scene.pass(10 * SECOND);
    assert!(scene.ack(1, 1), "it rests");
    scene.consumer.detach(conn(1), scene.now);
    scene.join(2);
    assert!(scene.ack(2, 2), "it is not sent again yet");
    let ordered = scene.pump();
    assert!(scene.ack(2, 3), "it is fetched to be sent again");
    scene.serve(ordered[0].clone());
    scene.sent();
    scene.settle();
    assert_eq!(scene.sent(), [(2, 4, 2)]);
    assert!(scene.consumer.reject(conn(2), epoch(), 4, "no", scene.now, &mut scene.out));
    assert!(!scene.ack(2, 4));
    assert!(!scene.consumer.reject(conn(2), epoch(), 4, "no", scene.now, &mut scene.out));
}

#[test]
fn through_takes_one_topic_up_to_an_offset() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    for topic in ["a.b", "a.c", "a.b", "a.b"] {
        scene.publish(topic);
    }
    for (n, topic, offset, expected) in
        [(2, "a.b", 9, 0), (1, "a.d", 9, 0), (1, "a.b", 0, 0), (1, "a.b", 3, 2), (1, "a.b", 3, 0), (1, "a.c", 9, 1)]
    {
        assert_eq!(
            scene.consumer.ack_through(conn(n), topic, offset.into(), &mut scene.out),
            expected,
            "{topic} {offset}"
        );
    }
    assert_eq!(scene.consumer.cursor().floor(), Seq(3));
}

#[test]
fn through_never_reaches_what_its_sender_may_not_have_seen() {
    let mut scene = Scene::started(settings(8), 2);
    scene.settle();
    scene.publish_many(4);
    assert_eq!(scene.sent(), [(1, 1, 1), (2, 2, 1), (1, 3, 1), (2, 4, 1)]);
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", 4u64.into(), &mut scene.out), 2, "its own alone");
    scene.consumer.detach(conn(2), scene.now);
    assert_eq!(
        scene.consumer.ack_through(conn(1), "a.b", 4u64.into(), &mut scene.out),
        0,
        "nor those on their way to it"
    );
    scene.settle();
    let newer = Record { epoch: Epoch::new(1), offset: 1, ..record(5, "a.b", "{}") };
    scene.publish_record(newer);
    assert_eq!(scene.sent(), [(1, 2, 2), (1, 4, 2), (1, 5, 1)]);
    assert_eq!(
        scene.consumer.ack_through(conn(1), "a.b", 1u64.into(), &mut scene.out),
        0,
        "the older epoch has none up to 1"
    );
    let named = |epoch, offset| UpTo { epoch: Some(Epoch::new(epoch)), offset };
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", named(2, 9), &mut scene.out), 0, "an epoch that none is of");
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", named(1, 1), &mut scene.out), 1, "the newer one by its name");
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", 4u64.into(), &mut scene.out), 2);
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", 4u64.into(), &mut scene.out), 0);
}

#[test]
fn through_counts_after_a_timeout() {
    let mut scene = Scene::started(settings(8), 1);
    scene.settle();
    scene.publish_many(2);
    scene.pass(10 * SECOND);
    assert_eq!(scene.consumer.ack_through(conn(1), "a.b", 2u64.into(), &mut scene.out), 2);
}
