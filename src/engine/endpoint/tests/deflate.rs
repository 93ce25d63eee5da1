//! Compression: what is agreed in the handshake, one compressed event for many, and what a peer can
//! make of few bytes.

use flate2::{Compress, Compression, FlushCompress};

use super::peer::{BINARY, Seen, TEXT, close_frame, frame, text, upgrade};
use super::scene::{Handed, Key, Scene};
use crate::base::limits::INFLATED_BYTES_PER_STEP;
use crate::base::{ConnId, Metric, Reason};
use crate::engine::outbound::{EventFrame, Lane, Overflow};
use crate::engine::topic::{Target, TargetFlags};
use crate::engine::work::Order;
use crate::engine::ws::deflate::{Inflater, Kinds, Settings};
use crate::engine::ws::{self, Decoder, Flow, Incoming, OpCode, Role};
use std::sync::Arc;

pub(super) const WIDE: &str = "permessage-deflate; client_max_window_bits";
pub(super) const NARROW: &str = "permessage-deflate; server_max_window_bits=10";

const SETTINGS: Settings =
    Settings { threshold: 100, level: 1, window_bits: 15, client_window_bits: None, kinds: Kinds::ALL };

pub(super) fn scene(change: impl FnOnce(&mut Settings)) -> Scene {
    let mut deflate = SETTINGS;
    change(&mut deflate);
    Scene::with(|settings| {
        settings.deflate = Some(deflate);
        settings.frames.message_bytes_max = 200_000;
        settings.frames.frame_bytes_max = 200_000;
        settings.in_flight_max = 64;
        settings.outbound.bytes_max = 100_000;
    })
}

fn request(offer: &str) -> String {
    upgrade(&format!("Authorization: Key {}\r\nSec-WebSocket-Extensions: {offer}\r\n", Key::Good.token()))
}

/// A connection that made this offer, and the answer to it.
pub(super) fn offering(scene: &mut Scene, offer: &str) -> (ConnId, Option<String>) {
    let id = scene.accept();
    scene.receive(id, request(offer));
    let reply = scene.reply(id);
    assert_eq!(reply.status, 101, "{offer}");
    scene.ready(id);
    scene.handed();
    (id, reply.header("Sec-WebSocket-Extensions").map(str::to_owned))
}

fn compressed(opcode: OpCode, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(message.len() + 1000);
    let mut compress = Compress::new_with_window_bits(Compression::new(9), false, 15);
    compress.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - 4);
    let mut frame = frame(opcode, payload);
    frame[0] |= 0x40;
    frame
}

/// What the peer saw, and whether each frame was compressed.
fn seen(scene: &mut Scene, id: ConnId) -> Vec<(bool, String)> {
    let bytes = scene.sent(id);
    let limits = ws::Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 1 };
    let (mut decoder, mut inflater) = (Decoder::with_deflate(Role::Client, None), Inflater::default());
    let (mut from, mut seen) = (0, Vec::new());
    while from < bytes.len() {
        let is_compressed = bytes[from] & 0x40 != 0;
        let sink = &mut |incoming: Incoming<'_>| {
            if let Incoming::Text(text) = incoming {
                seen.push((is_compressed, text.to_owned()));
            }
            Flow::Pause
        };
        from += decoder.feed_inflating(&mut bytes[from..].to_vec(), &limits, Some(&mut inflater), sink).unwrap();
    }
    seen
}

fn broadcast(scene: &mut Scene, ids: &[ConnId], message: &str, lane: Lane) {
    let event = EventFrame::new(ws::encoder::text(message.as_bytes()), "a.b".into(), false);
    let flags = TargetFlags::new(lane, Overflow::Disconnect, false);
    let targets: Vec<Target> = ids.iter().map(|conn| Target { conn: *conn, flags }).collect();
    let published_at = scene.now.mono;
    scene.order(Order::Broadcast { event: Arc::new(event), targets: targets.into(), published_at });
}

fn runs(scene: &Scene) -> u64 {
    scene.count(Metric::DEFLATE_RUNS) + scene.count(Metric::DEFLATE_RUNS.at(1))
}

#[test]
fn an_offer_is_answered_where_compression_is_on() {
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let mut on = scene(|_| {});
    assert_eq!(offering(&mut on, WIDE).1.as_deref(), Some(agreed));
    let narrow = format!("{agreed}; server_max_window_bits=10");
    assert_eq!(offering(&mut on, NARROW).1, Some(narrow.clone()));
    let both = format!("permessage-deflate; x\r\nSec-WebSocket-Extensions: {NARROW}");
    assert_eq!(offering(&mut on, &both).1, Some(narrow), "the second offer, on a line of its own");
    assert_eq!(offering(&mut on, "permessage-deflate; server_max_window_bits=8").1, None);
    let quoted = "permessage-deflate; server_max_window_bits=\"15\"";
    assert_eq!(offering(&mut on, quoted).1, Some(format!("{agreed}; server_max_window_bits=15")));
    assert_eq!(on.count(Metric::DEFLATE_OPENED), 4);
    let mut off = Scene::new();
    let (id, answer) = offering(&mut off, WIDE);
    assert_eq!(answer, None);
    off.receive(id, compressed(TEXT, b"x"));
    assert_eq!(off.reason(id), Some(Reason::ProtocolError));
}

#[test]
fn a_broken_offer_fails_the_handshake_whether_compression_is_on_or_not() {
    for mut scene in [scene(|_| {}), Scene::new()] {
        let id = scene.accept();
        scene.receive(id, request("permessage-deflate;"));
        let reply = scene.reply(id);
        assert_eq!((reply.status, &*reply.code()), (400, "bad_envelope"));
        scene.expect_end(id, Reason::BadHandshake);
    }
}

#[test]
fn an_event_is_compressed_once_for_all_that_agreed_on_the_same() {
    let mut scene = scene(|_| {});
    let mut ids: Vec<ConnId> = (0..2).map(|_| offering(&mut scene, WIDE).0).collect();
    ids.extend((0..2).map(|_| offering(&mut scene, NARROW).0));
    ids.push(scene.connected());
    let message = format!("{{\"words\":\"{}\"}}", "again and again ".repeat(50));
    broadcast(&mut scene, &ids, &message, Lane::Events);
    assert_eq!(runs(&scene), 2, "one for each window");
    let sizes: Vec<usize> = ids.iter().map(|id| scene.endpoint.connection(*id).unwrap().outbound.bytes()).collect();
    assert!(sizes[..4].iter().all(|size| *size < 100) && sizes[4] > message.len(), "{sizes:?}");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(seen(&mut scene, *id), [(index < 4, message.clone())]);
    }
    assert_eq!(scene.count(Metric::DEFLATE_MESSAGES.at(1)), 4);
    assert_eq!(scene.count(Metric::DEFLATE_BYTES.at(1)), sizes[..4].iter().sum::<usize>() as u64);
    assert_eq!(scene.count(Metric::DEFLATE_PLAIN_BYTES.at(1)), 4 * sizes[4] as u64);
    for id in ids {
        scene.receive(id, close_frame(1000));
        scene.sent(id);
        scene.expect_end(id, Reason::PeerClosed);
    }
    assert_eq!(scene.count(Metric::DEFLATE_OPENED), 4);
    assert_eq!(scene.count(Metric::DEFLATE_CLOSED), 4);
}

#[test]
fn what_is_small_does_not_shrink_or_is_not_to_be_compressed_goes_plain() {
    let long = "x".repeat(200);
    for (kinds, lane, message, is_compressed) in [
        (Kinds::ALL, Lane::Events, &long[..], true),
        (Kinds::ALL, Lane::Bulk, &long, true),
        (Kinds::ALL, Lane::Events, &long[..100], true),
        (Kinds::ALL, Lane::Events, &long[..99], false),
        (Kinds::EVENTS, Lane::Events, &long, true),
        (Kinds::EVENTS, Lane::Bulk, &long, false),
        (Kinds::BULK, Lane::Events, &long, false),
        (Kinds::RESPONSES, Lane::Bulk, &long, false),
    ] {
        let mut scene = scene(|deflate| deflate.kinds = kinds);
        let (id, _) = offering(&mut scene, WIDE);
        broadcast(&mut scene, &[id], message, lane);
        assert_eq!(seen(&mut scene, id), [(is_compressed, message.to_owned())], "{kinds:?} {lane:?}");
        scene.receive(id, text("ask"));
        scene.respond(id, &long);
        assert_eq!(seen(&mut scene, id), [(kinds.has(Kinds::RESPONSES), long.clone())]);
    }
    let mut scene = scene(|deflate| deflate.threshold = 0);
    let (id, _) = offering(&mut scene, WIDE);
    broadcast(&mut scene, &[id], "qx7", Lane::Events);
    assert_eq!(seen(&mut scene, id), [(false, "qx7".to_owned())]);
    assert_eq!(scene.count(Metric::DEFLATE_RUNS.at(1)), 1);
}

#[test]
fn compressed_messages_come_in_and_are_counted() {
    let mut scene = scene(|_| {});
    let (id, _) = offering(&mut scene, WIDE);
    let long = "word ".repeat(1000);
    let wire = compressed(TEXT, long.as_bytes());
    scene.receive(id, [&wire[..], &text("plain"), &compressed(BINARY, b"bytes")].concat());
    let wanted =
        [Handed::Text(id, long.clone()), Handed::Text(id, "plain".into()), Handed::Binary(id, b"bytes".to_vec())];
    assert_eq!(scene.handed(), wanted);
    assert_eq!(scene.count(Metric::DEFLATE_MESSAGES), 2);
    assert_eq!(scene.count(Metric::DEFLATE_PLAIN_BYTES), long.len() as u64 + 5);
    assert!(scene.count(Metric::DEFLATE_BYTES) < wire.len() as u64 + 20);
    assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
}

#[test]
fn a_bomb_ends_its_connection_and_is_counted() {
    let mut scene = scene(|_| {});
    let (id, _) = offering(&mut scene, WIDE);
    scene.receive(id, compressed(TEXT, &vec![b' '; 10_000_000]));
    assert_eq!(scene.handed(), []);
    assert_eq!(scene.frames(id), [Seen::Close(Some(1009), "compressed message too large".into())]);
    assert_eq!(scene.count(ws::Violation::InflatedTooLarge.metric()), 1);
    scene.expect_end(id, Reason::MessageTooLarge);
    let (id, _) = offering(&mut scene, WIDE);
    let mut broken = frame(TEXT, b"{}");
    broken[0] |= 0x40;
    scene.receive(id, broken);
    assert_eq!(scene.frames(id), [Seen::Close(Some(1002), "compressed message cannot be inflated".into())]);
    scene.expect_end(id, Reason::ProtocolError);
}

#[test]
fn many_large_messages_in_few_bytes_are_taken_a_part_at_a_time() {
    let mut scene = scene(|_| {});
    let (id, _) = offering(&mut scene, WIDE);
    let large = " ".repeat(100_000);
    let stream = compressed(TEXT, large.as_bytes()).repeat(20);
    assert!(stream.len() < 3000);
    scene.receive(id, stream);
    let mut taken = 0;
    while taken < 20 {
        let texts = scene.texts();
        let bytes: usize = texts.iter().map(String::len).sum();
        assert!((1..=INFLATED_BYTES_PER_STEP + large.len()).contains(&bytes), "{bytes} at once");
        taken += texts.len();
        assert_eq!(scene.endpoint.may_read(id), taken == 20);
        for left in (0..texts.len()).rev() {
            scene.order(Order::Settle { conn: id, count: 1 });
            assert_eq!(scene.endpoint.batches().iter().all(|batch| batch.items.is_empty()), left > 0 || taken == 20);
        }
    }
    assert_eq!(scene.endpoint.poll_readable(), Some(id));
    assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
}

#[test]
fn nothing_is_inflated_for_a_connection_that_is_closing() {
    let mut scene = scene(|_| {});
    let (id, _) = offering(&mut scene, WIDE);
    scene.close(id, Reason::ServerClosed);
    scene.sent(id);
    scene.receive(id, compressed(TEXT, &vec![b' '; 10_000_000]));
    scene.receive(id, compressed(TEXT, b"x"));
    assert_eq!(scene.count(Metric::DEFLATE_MESSAGES), 0);
    scene.receive(id, close_frame(1000));
    scene.handed();
    scene.expect_end(id, Reason::ServerClosed);
}

#[test]
fn a_client_may_refer_to_earlier_messages_where_that_is_configured() {
    let mut scene = scene(|deflate| deflate.client_window_bits = Some(11));
    let (id, answer) = offering(&mut scene, WIDE);
    let wanted = "permessage-deflate; server_no_context_takeover; client_max_window_bits=11";
    assert_eq!(answer.as_deref(), Some(wanted));
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, 11);
    for number in 0..4 {
        let message = format!("{{\"number\":{number},\"a message much like the others\":true}}");
        let mut payload = Vec::with_capacity(1000);
        compress.compress_vec(message.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        assert_eq!(payload.len() < 20, number > 0);
        let mut frame = frame(TEXT, payload);
        frame[0] |= 0x40;
        scene.receive(id, frame);
        assert_eq!(scene.texts(), [message]);
    }
    let held = scene.endpoint.connection(id).unwrap().held_bytes();
    assert!((200..500).contains(&held), "{held}");
}

#[test]
fn a_turns_events_go_out_in_one_write_compressed_once_for_each_form() {
    let mut scene = scene(|_| ());
    let (wide, other, narrow) =
        (offering(&mut scene, WIDE).0, offering(&mut scene, WIDE).0, offering(&mut scene, NARROW).0);
    let plain = scene.connected();
    let texts: Vec<String> = (0..5).map(|number| format!("{number} {}", "to and fro ".repeat(40))).collect();
    let ids = [wide, other, narrow, plain];
    let orders = texts.iter().map(|text| scene.event(&ids, "a.b", text)).collect();
    let sent = scene.carry_out(orders, &mut |_| usize::MAX);
    assert_eq!(sent.len(), 4, "one write each");
    let of = |id: ConnId| &sent.iter().find(|(to, _)| *to == id).unwrap().1;
    assert_eq!(of(wide), of(other));
    assert!(of(wide).len() < of(plain).len() / 3 && of(wide)[0] & 0x40 != 0 && of(narrow)[0] & 0x40 != 0);
    assert_eq!(scene.count(Metric::DEFLATE_RUNS), 10, "five events, two forms");
    assert_eq!(scene.count(Metric::DEFLATE_MESSAGES.at(1)), 15);
    assert_eq!(scene.count(Metric::DEFLATE_BYTES.at(1)) as usize, 2 * of(wide).len() + of(narrow).len());
}
