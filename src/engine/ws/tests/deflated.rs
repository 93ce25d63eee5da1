//! Compressed messages in frames: RSV1, fragments, splits, and what comes between.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::engine::ws::deflate::Inflater;

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 1000);
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, 15);
    compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

/// One masked frame with RSV1.
fn marked(opcode: OpCode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(opcode, fin, payload);
    frame[0] |= 0x40;
    frame
}

fn decode(stream: &[u8], ends: &[usize], kept_bits: Option<u8>) -> (Vec<Got>, Option<Violation>) {
    let (mut decoder, mut inflater) = (Decoder::with_deflate(Role::Server, kept_bits), Inflater::default());
    let (mut got, mut from) = (Vec::new(), 0);
    for &end in ends.iter().chain([&stream.len()]) {
        let fed =
            decoder.feed_inflating(&mut stream[from..end].to_vec(), &LIMITS, Some(&mut inflater), &mut |incoming| {
                got.push(incoming.into());
                Flow::Continue
            });
        if let Err(violation) = fed {
            assert!(decoder.is_done() && decoder.held_bytes() == 0);
            return (got, Some(violation));
        }
        from = end;
    }
    if kept_bits.is_none() {
        assert_eq!(decoder.held_bytes(), 0);
    }
    (got, None)
}

#[test]
fn compressed_and_plain_messages_mix() {
    let text = "x".repeat(500);
    let payload = deflated(text.as_bytes());
    let (one, two) = payload.split_at(payload.len() / 2);
    let stream = [
        marked(TEXT, true, &payload),
        frame(TEXT, true, b"plain"),
        marked(BINARY, false, one),
        frame(PING, true, b"p"),
        frame(CONTINUATION, false, b""),
        frame(CONTINUATION, true, two),
        marked(TEXT, true, &[0x00]),
        marked(TEXT, false, b""),
        frame(CONTINUATION, true, &[0x00]),
    ]
    .concat();
    let wanted = [
        Got::Text(text.clone()),
        Got::Text("plain".into()),
        Got::Ping(b"p".to_vec()),
        Got::Binary(text.into_bytes()),
        Got::Text(String::new()),
        Got::Text(String::new()),
    ];
    let each: Vec<usize> = (1..stream.len()).collect();
    for ends in [&[][..], &each] {
        assert_eq!(decode(&stream, ends, None), (wanted.to_vec(), None));
    }
}

#[test]
fn the_bit_stands_only_where_a_compressed_message_begins() {
    let payload = deflated(b"hello");
    for (name, stream) in [
        ("continuation", [marked(TEXT, false, &payload), marked(CONTINUATION, true, b"")].concat()),
        ("continuation of a plain one", [frame(TEXT, false, b"a"), marked(CONTINUATION, true, b"")].concat()),
        ("ping", marked(PING, true, b"")),
        ("pong", marked(PONG, true, b"")),
        ("close", marked(CLOSE, true, b"")),
        ("amid a message", [marked(TEXT, false, &payload), marked(PING, true, b"")].concat()),
    ] {
        assert_eq!(decode(&stream, &[], None).1, Some(Violation::ReservedBits), "{name}");
    }
    for bits in [0x20, 0x10, 0x60] {
        let mut stream = marked(TEXT, true, &payload);
        stream[0] |= bits;
        assert_eq!(decode(&stream, &[], None).1, Some(Violation::ReservedBits), "{bits:x}");
    }
    let mut decoder = Decoder::new(Role::Server);
    let mut got = Vec::new();
    let refused = feed(&mut decoder, &marked(TEXT, true, &payload), &mut got, Flow::Continue);
    assert_eq!((refused, got), (Err(Violation::ReservedBits), vec![]), "not agreed");
}

#[test]
fn what_comes_out_is_judged() {
    for (name, opcode, payload, violation) in [
        ("not UTF-8", TEXT, deflated(b"caf\xe9"), Violation::InvalidUtf8),
        ("half a character", TEXT, deflated(b"caf\xc3"), Violation::InvalidUtf8),
        ("too large", TEXT, deflated(&vec![b'x'; LIMITS.message_bytes_max + 1]), Violation::InflatedTooLarge),
        ("no deflate", BINARY, b"\xff\xff".to_vec(), Violation::DeflateData),
        ("plain text", TEXT, b"{}".to_vec(), Violation::DeflateData),
    ] {
        let whole = marked(opcode, true, &payload);
        assert_eq!(decode(&whole, &[], None), (vec![], Some(violation)), "{name}");
        let (one, two) = payload.split_at(payload.len() / 2);
        let parts = [marked(opcode, false, one), frame(CONTINUATION, true, two)].concat();
        assert_eq!(decode(&parts, &[], None), (vec![], Some(violation)), "{name}, in parts");
    }
    let largest = vec![b'x'; LIMITS.message_bytes_max];
    assert_eq!(decode(&marked(BINARY, true, &deflated(&largest)), &[], None), (vec![Got::Binary(largest)], None));
}

#[test]
fn without_an_inflater_compressed_messages_are_passed_over() {
    let mut decoder = Decoder::with_deflate(Role::Server, None);
    let mut got = Vec::new();
    let stream = [marked(TEXT, true, b"\xff\xff"), marked(TEXT, false, b"\xff"), frame(CONTINUATION, true, b"\xff")];
    let stream = [stream.concat(), frame(CLOSE, true, b"")].concat();
    assert_eq!(feed(&mut decoder, &stream, &mut got, Flow::Continue), Ok(()));
    assert_eq!(got, [Got::Close(None, String::new())]);
}

#[test]
fn what_a_client_may_refer_to_is_all_that_is_held_between_messages() {
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, 10);
    let mut decoder = Decoder::with_deflate(Role::Server, Some(10));
    let mut inflater = Inflater::default();
    let text = "some words that come again; ".repeat(100);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let mut payload = Vec::with_capacity(10_000);
        compress.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
        payload.truncate(payload.len() - 4);
        sizes.push(payload.len());
        let mut got = Vec::new();
        let mut stream = marked(TEXT, true, &payload);
        let fed = decoder.feed_inflating(&mut stream, &LIMITS, Some(&mut inflater), &mut |incoming| {
            got.push(Got::from(incoming));
            Flow::Continue
        });
        assert_eq!((fed.is_ok(), got), (true, vec![Got::Text(text.clone())]));
        assert!((1024..1100).contains(&decoder.held_bytes()), "{}", decoder.held_bytes());
    }
    assert!(sizes[1..].iter().all(|size| *size < sizes[0]), "{sizes:?}");
}

proptest! {
    #[test]
    fn any_fragments_in_any_pieces_are_one_message(
        text in "\\PC{0,200}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let payload = deflated(text.as_bytes());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let (mut stream, mut from) = (Vec::new(), 0);
        for (index, &to) in cuts.iter().enumerate() {
            let fin = index + 1 == cuts.len();
            let part = &payload[from..to];
            stream.extend(if index == 0 { marked(TEXT, fin, part) } else { frame(CONTINUATION, fin, part) });
            from = to;
        }
        let mut ends: Vec<usize> = ends.iter().map(|end| end.index(stream.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(decode(&stream, &ends, None), (vec![Got::Text(text)], None));
    }
}
