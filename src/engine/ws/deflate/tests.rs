//! Compression against zlib used directly, the examples of RFC 7692, and what no compressor makes.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;

use super::*;
use crate::engine::ws::{Violation, encoder};

const MAX: usize = 100_000;

/// What a peer with this window sends for a message, as RFC 7692 7.2.1 has it. The compressor
/// keeps its history.
fn deflated(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 1000);
    compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    if out.is_empty() {
        // RFC 7692 7.2.3.6: a flush of nothing, right after another, gives nothing.
        return vec![0x00];
    }
    assert_eq!(out.split_off(out.len() - 4), TAIL);
    out
}

fn compressor(level: u32, bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(level), false, bits)
}

/// The message in a compressed frame of ours, inflated with a window of so many bits alone.
fn inflated(frame: &[u8], bits: u8) -> Vec<u8> {
    assert_eq!(frame[0] & 0xF0, 0xC0, "FIN and RSV1");
    let plain = [&[frame[0] & !0x40], &frame[1..]].concat();
    let payload = [Deflater::payload(&plain).unwrap(), &TAIL].concat();
    let mut out = Vec::with_capacity(MAX * 2);
    let mut inflate = Decompress::new_with_window_bits(false, bits);
    inflate.decompress_vec(&payload, &mut out, FlushDecompress::Sync).unwrap();
    assert_eq!(inflate.total_in(), payload.len() as u64);
    out
}

fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
    Inflater::default().message(payload, None, max).map(<[u8]>::to_vec)
}

/// A text with words that come again, and some that do not.
fn prose(length: usize, seed: usize) -> Vec<u8> {
    let words = (0..).map(|index| format!("{{\"n\":{},\"word\":\"{}\"}},", index * seed % 97, index * index % 31));
    let mut text: Vec<u8> = words.take(length / 8 + 1).flat_map(String::into_bytes).collect();
    text.truncate(length);
    text
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 7692 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
    for payload in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        assert_eq!(inflate(payload, 5).as_deref(), Ok(&b"Hello"[..]), "{payload:x?}");
        assert_eq!(inflate(payload, 4), Err(Violation::InflatedTooLarge), "{payload:x?}");
    }
    // RFC 7692 7.2.3.2: the second message refers to the first.
    let (mut inflater, mut window) = (Inflater::default(), Window::new(9));
    for payload in [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]] {
        assert_eq!(inflater.message(payload, Some(&mut window), 5), Ok(&b"Hello"[..]));
    }
    assert_eq!(window.bytes(), b"HelloHello");
    assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(Violation::DeflateData), "without the first");
    // RFC 7692 7.2.3.6: an empty message.
    for payload in [&[0x00][..], &[0x02, 0x00], &[0x03, 0x00]] {
        assert_eq!(inflate(payload, 5).as_deref(), Ok(&b""[..]), "{payload:x?}");
    }
}

#[test]
fn what_is_no_whole_stream_is_refused() {
    let whole = deflated(&mut compressor(6, 15), &prose(3000, 7));
    for cut in 1..whole.len() {
        let refused = inflate(&whole[..cut], MAX);
        assert_eq!(refused, Err(Violation::DeflateData), "cut at {cut} of {}", whole.len());
    }
    for payload in [&[0x07][..], &[0xff; 20], b"{\"type\":\"command\"}", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48]] {
        assert_eq!(inflate(payload, MAX), Err(Violation::DeflateData), "{payload:x?}");
    }
}

#[test]
fn a_bomb_is_cut_off_and_costs_little_more_than_the_limit() {
    let mut bomb = Vec::with_capacity(1 << 20);
    compressor(9, 15).compress_vec(&vec![b' '; 8 << 20], &mut bomb, FlushCompress::Sync).unwrap();
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    let mut inflater = Inflater::default();
    for max in [0, 1, 1000, 1 << 20] {
        assert_eq!(inflater.message(&bomb, None, max), Err(Violation::InflatedTooLarge));
        assert!(inflater.held_bytes() <= (max + 1).max(BUFFER_KEPT), "{max}: {}", inflater.held_bytes());
        assert_eq!(inflater.rest(), Tally::default());
        assert!(inflater.held_bytes() <= BUFFER_KEPT);
    }
    let exact = deflated(&mut compressor(9, 15), &[b' '; 5000]);
    assert_eq!(inflate(&exact, 5000).map(|message| message.len()), Ok(5000));
    assert_eq!(inflate(&exact, 4999), Err(Violation::InflatedTooLarge));
}

#[test]
fn final_blocks_are_bounded() {
    use crate::base::limits::FINAL_BLOCKS_PER_MESSAGE;
    let blocks = |count: usize| [0x03, 0x00].repeat(count);
    assert_eq!(inflate(&blocks(FINAL_BLOCKS_PER_MESSAGE), MAX).as_deref(), Ok(&b""[..]));
    assert_eq!(inflate(&blocks(FINAL_BLOCKS_PER_MESSAGE + 1), MAX), Err(Violation::DeflateData));
}

#[test]
fn frames_keep_their_opcode_and_small_or_random_ones_stay_plain() {
    let mut deflater = Deflater::new(1, 15);
    let text = prose(5000, 3);
    let frame = deflater.compress(&encoder::text(&text), Form::Wide).unwrap();
    assert_eq!((frame[0], inflated(&frame, 15)), (0xC1, text.clone()));
    let frame = deflater.compress(&encoder::binary(&text), Form::Wide).unwrap();
    assert_eq!((frame[0], inflated(&frame, 15)), (0xC2, text));
    let noise = noise(5000, 1);
    for plain in
        [encoder::text(b""), encoder::text(b"x"), encoder::binary(&noise), encoder::ping(b"ping"), encoder::close(None)]
    {
        assert_eq!(deflater.compress(&plain, Form::Wide), None, "{:x?}", &plain[..2]);
    }
    assert_eq!(Deflater::payload(&encoder::ping(b"ping")), None);
}

/// Bytes that nothing can make smaller.
fn noise(length: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64 | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn what_does_not_shrink_leaves_nothing_behind() {
    // More of it than a compressor's pending output has room for.
    for level in [1, 6, 9] {
        let mut deflater = Deflater::new(level, 15);
        for number in 0..600 {
            let plain = encoder::binary(&noise(256 + number % 7, number));
            assert_eq!(deflater.compress(&plain, Form::Wide), None, "level {level}, number {number}");
        }
        let plain = encoder::binary(&noise(300_000, 5));
        assert_eq!(deflater.compress(&plain, Form::Wide), None);
        assert!(deflater.is_ready(Form::Wide), "the same compressor goes on");
        let frame = deflater.compress(&encoder::text(&prose(4000, 3)), Form::Wide).unwrap();
        assert_eq!(inflated(&frame, 15), prose(4000, 3));
    }
}

#[test]
fn an_inflater_goes_on_after_whatever_it_refused() {
    let mut inflater = Inflater::default();
    let text = prose(5000, 11);
    let whole = deflated(&mut compressor(6, 15), &text);
    for number in 0..2000 {
        let mut broken = whole.clone();
        let at = number * 7919 % broken.len();
        broken[at] ^= 1 << (number % 8);
        broken.truncate(broken.len() - number % 3);
        let _ = inflater.message(&broken, None, 4000 + number);
        assert_eq!(inflater.message(&whole, None, MAX), Ok(&text[..]), "number {number}");
    }
}

#[test]
fn large_buffers_are_given_back() {
    let mut deflater = Deflater::new(1, 15);
    let text = prose(BUFFER_KEPT * 3, 3);
    assert!(deflater.compress(&encoder::text(&text), Form::Wide).is_some());
    let payload = deflated(&mut compressor(1, 15), &text);
    let mut inflater = Inflater::default();
    assert_eq!(inflater.message(&payload, None, text.len()), Ok(&text[..]));
    let wanted = Tally { messages: 1, compressed_bytes: payload.len() as u64, plain_bytes: text.len() as u64 };
    assert_eq!(inflater.rest(), wanted);
    assert_eq!(inflater.held_bytes(), 0);
}

/// Messages from nothing to a few windows.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = prop_oneof![
        (0usize..300, 1usize..50).prop_map(|(length, seed)| prose(length, seed)),
        (0usize..70_000, 1usize..50).prop_map(|(length, seed)| prose(length, seed)),
        prop::collection::vec(any::<u8>(), 0..600),
    ];
    prop::collection::vec(message, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_zlib_deflates_is_inflated(
        messages in messages(), level in 0u32..=9, bits in 9u8..=15, is_kept in any::<bool>(),
    ) {
        let mut compress = compressor(level, bits);
        let mut inflater = Inflater::default();
        let mut window = Window::new(bits);
        for message in messages {
            let payload = deflated(&mut compress, &message);
            let kept = is_kept.then_some(&mut window);
            prop_assert_eq!(inflater.message(&payload, kept, MAX), Ok(&message[..]));
            if !is_kept {
                compress.reset();
            }
        }
    }

    #[test]
    fn a_stream_in_several_parts_with_final_blocks_is_one_message(
        messages in messages(), bits in 9u8..=15,
    ) {
        let (mut payload, mut whole) = (Vec::new(), Vec::new());
        for message in &messages {
            let mut compress = compressor(6, bits);
            let mut out = Vec::with_capacity(message.len() * 2 + 1000);
            compress.compress_vec(message, &mut out, FlushCompress::Finish).unwrap();
            payload.extend_from_slice(&out);
            whole.extend_from_slice(message);
        }
        prop_assert_eq!(inflate(&payload, whole.len()), Ok(whole.clone()));
        payload.push(0x00);
        prop_assert_eq!(inflate(&payload, whole.len()), Ok(whole));
    }

    #[test]
    fn what_is_deflated_is_inflated_by_zlib_with_the_agreed_window(
        messages in messages(), level in 1u8..=9, bits in 9u8..=15,
    ) {
        let mut deflater = Deflater::new(level, bits);
        for message in messages {
            let plain = encoder::binary(&message);
            for (form, window) in [(Form::Wide, bits), (Form::Narrow, 9)] {
                if let Some(frame) = deflater.compress(&plain, form) {
                    prop_assert!(frame.len() < plain.len());
                    prop_assert_eq!(inflated(&frame, window), &message[..]);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_inflated_within_the_limit_or_refused(
        payload in prop::collection::vec(any::<u8>(), 0..400), max in 0usize..2000, is_kept in any::<bool>(),
    ) {
        let mut window = Window::new(9);
        window.push(&prose(900, 5));
        let mut inflater = Inflater::default();
        match inflater.message(&payload, is_kept.then_some(&mut window), max) {
            Ok(message) => prop_assert!(message.len() <= max),
            Err(violation) => prop_assert!(matches!(violation, Violation::DeflateData | Violation::InflatedTooLarge)),
        }
    }
}
