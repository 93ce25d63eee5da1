use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const LIMITS: OutboundLimits = OutboundLimits { bytes_max: 100, frames_max: 16 };

fn event(topic: &str, text: &str) -> Arc<EventFrame> {
    Arc::new(EventFrame::new(Bytes::copy_from_slice(text.as_bytes()), topic.into(), false))
}

fn policy(lane: Lane, overflow: Overflow, conflate: bool) -> Policy {
    Policy { lane, overflow, conflate }
}

const PLAIN: Policy = Policy { lane: Lane::Events, overflow: Overflow::Disconnect, conflate: false };

/// Writes up to `count` bytes and returns them.
fn write(out: &mut Outbound, count: usize) -> String {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = out.gather(&mut slices);
    let mut all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
    let blocked = all.len() > count;
    all.truncate(count);
    out.on_sent(all.len(), blocked);
    out.release(&mut Spare::default());
    String::from_utf8(all).unwrap()
}

#[test]
fn a_response_overtakes_events_but_never_splits_a_frame() {
    let mut out = Outbound::default();
    assert_eq!(out.push_event(&event("a.b", "event1"), PLAIN, &LIMITS), Pushed::Queued);
    assert_eq!(out.push_event(&event("a.b", "event2"), PLAIN, &LIMITS), Pushed::Queued);
    assert_eq!(write(&mut out, 3), "eve");
    assert!(out.push_control(Bytes::from_static(b"<reply>"), 100));
    assert_eq!(write(&mut out, 100), "nt1<reply>event2");
    assert!(out.is_empty());
    assert_eq!(out.bytes(), 0);
}

#[test]
fn bulk_waits_for_events_but_is_not_starved() {
    let mut out = Outbound::default();
    let bulk = policy(Lane::Bulk, Overflow::Disconnect, false);
    for _ in 0..2 {
        out.push_event(&event("a.b", "b"), bulk, &LIMITS);
    }
    for _ in 0..6 {
        out.push_event(&event("a.b", "e"), PLAIN, &LIMITS);
    }
    assert_eq!(write(&mut out, 100), "eeeebeeb");
}

#[test]
fn overflow_does_what_the_policy_says() {
    let limits = OutboundLimits { bytes_max: 6, frames_max: 16 };
    let drop = policy(Lane::Events, Overflow::DropOldest, false);
    let mut out = Outbound::default();
    for text in ["e1", "e2", "e3"] {
        assert_eq!(out.push_event(&event("a.b", text), drop, &limits), Pushed::Queued);
    }
    assert_eq!(out.push_event(&event("a.c", "e4"), drop, &limits), Pushed::Dropped(1));
    assert_eq!(out.push_event(&event("a.b", "e5"), PLAIN, &limits), Pushed::Dropped(1));
    assert_eq!(out.take_dropped(&limits), None);
    assert_eq!(write(&mut out, 100), "e3e4e5");
    assert_eq!(out.take_dropped(&limits), Some(Dropped { count: 2, conflated: 0, topics: vec!["a.b".into()] }));
    assert_eq!(out.take_dropped(&limits), None);

    for text in ["e1", "e2", "e3"] {
        assert_eq!(out.push_event(&event("a.b", text), PLAIN, &limits), Pushed::Queued);
    }
    assert_eq!(out.push_event(&event("a.b", "e4"), PLAIN, &limits), Pushed::Overflow);
    assert!(out.push_control(Bytes::from_static(b"answers have a bound of their own"), 5));
    assert!(!out.push_control(Bytes::from_static(b"x"), 5));
    out.push_last(Bytes::from_static(b"x"));
    assert_eq!(out.discard_events(), 3);
    assert_eq!(write(&mut out, 100), "answers have a bound of their ownx");
}

#[test]
fn low_priority_is_dropped_first() {
    let limits = OutboundLimits { bytes_max: 6, frames_max: 16 };
    let drop = policy(Lane::Events, Overflow::DropOldest, false);
    let mut out = Outbound::default();
    out.push_event(&event("a.b", "e1"), drop, &limits);
    let low = Arc::new(EventFrame::new(Bytes::from_static(b"l2"), "a.b".into(), true));
    out.push_event(&low, drop, &limits);
    out.push_event(&event("a.b", "e3"), drop, &limits);
    assert_eq!(out.push_event(&event("a.b", "e4"), drop, &limits), Pushed::Dropped(1));
    assert_eq!(write(&mut out, 100), "e1e3e4");
}

#[test]
fn conflation_keeps_the_newest_of_each_topic_only_while_slow() {
    let conflate = policy(Lane::Events, Overflow::Disconnect, true);
    let mut out = Outbound::default();
    out.push_event(&event("a.b", "b1"), conflate, &LIMITS);
    out.push_event(&event("a.b", "b2"), conflate, &LIMITS);
    out.push_event(&event("a.c", "c1"), conflate, &LIMITS);
    assert_eq!(write(&mut out, 1), "b");
    assert_eq!(out.push_event(&event("a.b", "b3"), conflate, &LIMITS), Pushed::Conflated);
    assert_eq!(out.push_event(&event("a.d", "d1"), conflate, &LIMITS), Pushed::Queued);
    assert_eq!(out.push_event(&event("a.d", "d2!"), conflate, &LIMITS), Pushed::Conflated);
    assert_eq!(write(&mut out, 100), "1b3c1d2!");
    assert!(out.is_empty());
}

#[test]
fn notices_keep_their_place_among_answers_and_have_the_limits_of_events() {
    let limits = OutboundLimits { bytes_max: 20, frames_max: 4 };
    let mut out = Outbound::default();
    for text in ["<a>", "<notice>"] {
        assert!(out.push_notice(Bytes::from_static(text.as_bytes()), &limits));
        assert!(out.push_control(Bytes::from_static(b"<b>"), 100));
    }
    assert!(!out.push_notice(Bytes::from_static(b"<c>"), &limits), "frames");
    assert_eq!(write(&mut out, 100), "<a><b><notice><b>");
    assert!(out.push_notice(Bytes::from_static(b"<larger than the whole limit>"), &limits));
    assert!(!out.push_notice(Bytes::from_static(b"<c>"), &limits), "bytes");
    assert!(out.push_control(Bytes::from_static(b"<b>"), 100));
}

#[test]
fn responses_take_no_room_from_events_nor_events_from_responses() {
    let limits = OutboundLimits { bytes_max: 6, frames_max: 3 };
    let mut out = Outbound::default();
    for text in ["e1", "e2", "e3"] {
        assert_eq!(out.push_event(&event("a.b", text), PLAIN, &limits), Pushed::Queued);
    }
    for _ in 0..4 {
        assert!(out.push_control(Bytes::from_static(b"<response>"), 100));
    }
    assert_eq!(out.control_bytes(), 40);
    assert_eq!(write(&mut out, 100), "<response><response><response><response>e1e2e3");
    assert_eq!(out.held_bytes(), 0);
}

#[test]
fn nothing_leaves_behind_the_last_frame_however_far_it_is_out() {
    for first in [0, 3, 5, 9] {
        let mut out = Outbound::default();
        out.push_event(&event("a.b", "event"), PLAIN, &LIMITS);
        out.push_last(Bytes::from_static(b"last"));
        let mut sent = if first > 0 { write(&mut out, first) } else { String::new() };
        assert!(out.push_control(Bytes::from_static(b"late"), 100));
        assert_eq!(out.push_event(&event("a.b", "late"), PLAIN, &LIMITS), Pushed::Dropped(1));
        out.push_last(Bytes::from_static(b"late"));
        sent += &write(&mut out, 100);
        assert_eq!(sent, "eventlast");
        assert_eq!((out.bytes(), out.held_bytes()), (0, 0));
    }
}

#[test]
fn conflation_keeps_to_the_limit_when_the_newest_is_larger() {
    let conflate = policy(Lane::Events, Overflow::Disconnect, true);
    let limits = OutboundLimits { bytes_max: 7, frames_max: 16 };
    let mut out = Outbound::default();
    for (topic, text) in [("a.a", "a1"), ("a.b", "b1"), ("a.c", "c1")] {
        out.push_event(&event(topic, text), conflate, &limits);
    }
    assert_eq!(write(&mut out, 1), "a");
    assert_eq!(out.push_event(&event("a.b", "b-22"), conflate, &limits), Pushed::Conflated);
    assert_eq!(out.push_event(&event("a.b", "b-3333"), conflate, &limits), Pushed::Dropped(2));
    assert_eq!(out.bytes(), 3);
    assert_eq!(write(&mut out, 100), "1c1");
    assert!(out.is_empty());
}

#[test]
fn conflation_does_not_overtake_an_event_of_another_subscription() {
    let conflate = policy(Lane::Events, Overflow::Disconnect, true);
    let mut out = Outbound::default();
    out.push_event(&event("a.x", "x1"), PLAIN, &LIMITS);
    assert_eq!(write(&mut out, 1), "x");
    assert_eq!(out.push_event(&event("a.b", "b1"), conflate, &LIMITS), Pushed::Queued);
    assert_eq!(out.push_event(&event("a.b", "b2"), PLAIN, &LIMITS), Pushed::Queued);
    assert_eq!(out.push_event(&event("a.b", "b3"), conflate, &LIMITS), Pushed::Queued);
    assert_eq!(out.push_event(&event("a.b", "b4"), conflate, &LIMITS), Pushed::Conflated);
    assert_eq!(write(&mut out, 100), "1b1b2b4");
}

proptest! {
    /// Whatever is dropped, replaced or cut: what is counted is what would be written, the limits
    /// hold for events, and in the end nothing is held.
    #[test]
    fn the_count_is_what_waits_under_every_policy(
        steps in prop::collection::vec((0u8..8, 1usize..30, 0usize..3, any::<[bool; 4]>()), 1..80),
    ) {
        let limits = OutboundLimits { bytes_max: 120, frames_max: 12 };
        let mut out = Outbound::default();
        let (mut sent, mut told, mut dropped) = (String::new(), 0, 0);
        for (kind, size, topic, [low_priority, bulk, drop, conflate]) in steps {
            let text = format!("<{}>", "x".repeat(size));
            match kind {
                0 => {
                    let before = out.frames();
                    let fits = out.push_control(Bytes::from(text), 60);
                    prop_assert_eq!(out.frames(), before + usize::from(fits));
                }
                1 | 2 => sent.push_str(&write(&mut out, size * 3)),
                _ => {
                    let topic = ["a.b", "a.c", "a.d"][topic].into();
                    let event = Arc::new(EventFrame::new(Bytes::from(text), topic, low_priority));
                    let lane = if bulk { Lane::Bulk } else { Lane::Events };
                    let overflow = if drop { Overflow::DropOldest } else { Overflow::Disconnect };
                    let before = out.frames();
                    match out.push_event(&event, policy(lane, overflow, conflate), &limits) {
                        Pushed::Queued => prop_assert_eq!(out.frames(), before + 1),
                        Pushed::Conflated => prop_assert_eq!(out.frames(), before),
                        Pushed::Dropped(count) => {
                            prop_assert_eq!(out.frames() + count as usize, before + 1);
                            dropped += count;
                        }
                        // Others may have been dropped in vain; they are told all the same.
                        Pushed::Overflow => dropped += (before - out.frames()) as u32,
                    }
                    let events = out.frames() - out.control_frames();
                    prop_assert!(events <= limits.frames_max + 1, "one more may be partly out");
                }
            }
            told += out.take_dropped(&limits).map_or(0, |dropped| dropped.count);
            let mut slices = [IoSlice::new(&[]); 128];
            let filled = out.gather(&mut slices);
            prop_assert_eq!(slices[..filled].iter().map(|slice| slice.len()).sum::<usize>(), out.bytes());
            prop_assert_eq!(filled, out.frames());
        }
        while !out.is_empty() {
            sent.push_str(&write(&mut out, 7));
        }
        told += out.take_dropped(&limits).map_or(0, |dropped| dropped.count);
        out.release(&mut Spare::default());
        prop_assert_eq!(told, u64::from(dropped));
        prop_assert_eq!((out.bytes(), out.held_bytes()), (0, 0));
        let is_whole = |frame: &str| frame.starts_with('<') && frame.ends_with('>') && !frame[1..].contains('<');
        prop_assert!(sent.split_inclusive('>').all(is_whole), "frames are whole");
    }

    /// What goes out is what was pushed, whole frame by whole frame, in order within each lane,
    /// however the writes are cut; and what is counted as waiting is what waits.
    #[test]
    fn frames_stay_whole_and_in_order(steps in prop::collection::vec((0u8..4, 1usize..9, 0usize..40), 1..120)) {
        let limits = OutboundLimits { bytes_max: 10_000, frames_max: 1000 };
        let mut out = Outbound::default();
        let mut sent = String::new();
        let mut pushed: [Vec<String>; 3] = Default::default();
        for (number, (kind, size, count)) in steps.into_iter().enumerate() {
            let body = format!("{number:04}{}", "x".repeat(size));
            match kind {
                0 => {
                    let text = format!("<C{body}>");
                    prop_assert!(out.push_control(Bytes::from(text.clone()), usize::MAX));
                    pushed[0].push(text);
                }
                1 | 2 => {
                    let lane = if kind == 1 { Lane::Events } else { Lane::Bulk };
                    let text = format!("<{}{body}>", if kind == 1 { 'E' } else { 'B' });
                    out.push_event(&event("a.b", &text), policy(lane, Overflow::Disconnect, false), &limits);
                    pushed[kind as usize].push(text);
                }
                _ => sent.push_str(&write(&mut out, count)),
            }
        }
        let total: usize = pushed.iter().flatten().map(String::len).sum();
        prop_assert_eq!(out.bytes(), total - sent.len());
        while !out.is_empty() {
            sent.push_str(&write(&mut out, 7));
        }
        let frames: Vec<&str> = sent.split_inclusive('>').collect();
        for (lane, letter) in [(0, "<C"), (1, "<E"), (2, "<B")] {
            let of_lane: Vec<&str> = frames.iter().filter(|f| f.starts_with(letter)).copied().collect();
            prop_assert_eq!(of_lane, pushed[lane].iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

#[test]
fn room_that_one_connection_needs_no_more_is_the_next_ones() {
    let mut spare = Spare::default();
    let (mut one, mut two) = (Outbound::default(), Outbound::default());
    one.furnish(&mut spare);
    assert!(one.is_idle(), "there is none yet");
    one.push_event(&event("a.b", "event"), PLAIN, &LIMITS);
    one.release(&mut spare);
    assert_eq!(one.frames(), 1, "it is needed");
    one.on_sent(5, false);
    one.release(&mut spare);
    assert_eq!((one.is_idle(), one.held_bytes()), (true, 0));
    two.furnish(&mut spare);
    assert!(two.held_bytes() > 0);
    assert!(!two.is_idle());
    two.push_event(&event("a.b", "other"), PLAIN, &LIMITS);
    assert_eq!(write(&mut two, 100), "other");
}
