//! Compression over real sockets: what is agreed, events and responses that are compressed and read
//! again, compressed commands, and bombs.

use flate2::{Compress, Compression, FlushCompress};
use hydrogen::config::CompressedKind;
use hydrogen::engine::ws::client::masked_frame;
use hydrogen::engine::ws::{Data, OpCode};
use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, command, scenarios};

scenarios! {
    events_and_responses_are_compressed_for_those_who_offer_it
    compressed_commands_are_taken
    bombs_are_cut_off_and_others_go_on
    without_the_setting_no_offer_is_taken
    a_priority_may_be_all_that_is_compressed
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

fn stage(variant: Variant) -> Stage {
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.compression.enabled = true;
    stage
}

fn offering(scene: &Scene, offer: &str) -> Client {
    let headers = format!("Authorization: Key {}\r\n{offer}", scene.admin);
    Client::connect(scene.stream(), &headers).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// A masked text frame with RSV1.
fn compressed(text: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(text.len() + 1000);
    let mut compress = Compress::new_with_window_bits(Compression::new(9), false, 15);
    compress.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - 4);
    let mut frame = Vec::new();
    masked_frame(OpCode::Data(Data::Text), true, &payload, [7, 77, 177, 200], &mut frame);
    frame[0] |= 0x40;
    frame
}

fn sent(scene: &Scene, what: &str) -> u64 {
    scene.metric(&format!("hydrogen_compressed_{what}_total{{direction=\"sent\"}}"))
}

fn large(number: usize) -> Value {
    json!({"number": number, "words": "again and again ".repeat(200)})
}

fn events_and_responses_are_compressed_for_those_who_offer_it(variant: Variant) {
    let scene = stage(variant).start();
    let mut wide: Vec<Client> = (0..3).map(|_| offering(&scene, OFFER)).collect();
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(wide[0].upgraded.field("sec-websocket-extensions"), Some(agreed));
    let mut narrow = offering(&scene, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n");
    let named = format!("{agreed}; server_max_window_bits=12");
    assert_eq!(narrow.upgraded.field("sec-websocket-extensions"), Some(named.as_str()));
    let mut plain = scene.root();
    assert_eq!(plain.upgraded.field("sec-websocket-extensions"), None);
    assert_eq!(scene.metric("hydrogen_compressed_connections"), 4);
    for client in wide.iter_mut().chain([&mut narrow, &mut plain]) {
        client.subscribe(&["a.b"]);
    }
    for number in 0..20 {
        assert_eq!(plain.publish("a.b", large(number)), 5);
    }
    for client in wide.iter_mut().chain([&mut narrow, &mut plain]) {
        for number in 0..20 {
            client.expect_event("a.b", &large(number));
        }
    }
    assert_eq!(sent(&scene, "messages"), 4 * 20);
    assert!(sent(&scene, "message_bytes") * 10 < sent(&scene, "message_plain_bytes"));
    assert_eq!(scene.metric("hydrogen_compressions_total{result=\"smaller\"}"), 2 * 20, "once for each window");
    assert_eq!(wide[0].ok("system.ping", large(1))["words"], large(1)["words"]);
    assert_eq!(sent(&scene, "messages"), 4 * 20 + 1);
    wide[0].ping();
    assert_eq!(sent(&scene, "messages"), 4 * 20 + 1, "small ones go as they are");
    drop((wide, narrow, plain));
    scene.settles("/connections/open", 0);
    assert_eq!(scene.metric("hydrogen_compressed_connections"), 0);
}

fn compressed_commands_are_taken(variant: Variant) {
    let scene = stage(variant).start();
    let mut client = offering(&scene, OFFER);
    let commands: Vec<Vec<u8>> =
        (0..50).map(|number| compressed(&command(&format!("z-{number}"), "system.ping", &large(number)))).collect();
    // In one write, and then a byte or some at a time.
    client.raw(&commands[..25].concat());
    for piece in commands[25..].concat().chunks(11) {
        client.raw(piece);
    }
    for number in 0..50 {
        assert_eq!(client.response(&format!("z-{number}"))["data"]["number"], number);
    }
    client.ping();
    assert_eq!(scene.metric("hydrogen_compressed_messages_total{direction=\"received\"}"), 50);
    client.close();
}

fn bombs_are_cut_off_and_others_go_on(variant: Variant) {
    let scene = stage(variant).start();
    let mut other = scene.root();
    for size in [8 << 20, (1 << 20) + 1] {
        let mut client = offering(&scene, OFFER);
        client.raw(&compressed(&" ".repeat(size)));
        assert_eq!(client.closed(1009), "compressed message too large");
        other.ping();
    }
    let mut client = offering(&scene, OFFER);
    let mut broken = compressed(&large(1).to_string());
    let last = broken.len() - 9;
    broken[last] ^= 0x55;
    client.raw(&broken);
    client.closed(1002);
    // Many messages just within the limit, in few bytes: each is told that it is none.
    let mut client = offering(&scene, OFFER);
    client.raw(&compressed(&" ".repeat(1 << 20)).repeat(40));
    for _ in 0..40 {
        client.take("error", |message| message["error"]["code"] == "bad_json");
    }
    client.ping();
    assert_eq!(scene.metric("hydrogen_websocket_violations_total{violation=\"inflated_too_large\"}"), 2);
}

fn without_the_setting_no_offer_is_taken(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = offering(&scene, OFFER);
    assert_eq!(client.upgraded.field("sec-websocket-extensions"), None);
    client.ping();
    client.raw(&compressed("{}"));
    assert_eq!(client.closed(1002), "a reserved bit is set");
    let headers = format!("Authorization: Key {}\r\nSec-WebSocket-Extensions: a;\r\n", scene.admin);
    assert_eq!(Client::connect(scene.stream(), &headers).err().unwrap().status, 400);
}

fn a_priority_may_be_all_that_is_compressed(variant: Variant) {
    let mut stage = stage(variant);
    stage.config.web_socket_server.compression.messages = vec![CompressedKind::Bulk];
    let scene = stage.start();
    let (mut normal, mut bulk) = (offering(&scene, OFFER), offering(&scene, OFFER));
    normal.subscribe(&["a.b"]);
    bulk.subscribe_with(&["a.b"], json!({"priority": "bulk"}));
    let mut root = scene.root();
    root.publish("a.b", large(1));
    normal.expect_event("a.b", &large(1));
    bulk.expect_event("a.b", &large(1));
    bulk.ok("system.ping", large(2));
    assert_eq!(sent(&scene, "messages"), 1);
}
