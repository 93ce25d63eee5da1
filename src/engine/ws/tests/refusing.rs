//! Every violation, wherever the stream is cut, and at which byte it shows.

use super::*;

/// A stream, the frames before the offence, the byte with which the offence shows, and its name.
struct Case {
    name: &'static str,
    good: Vec<u8>,
    bad: Vec<u8>,
    shows_after: usize,
    violation: Violation,
}

fn case(name: &'static str, good: Vec<u8>, bad: Vec<u8>, shows_after: usize, violation: Violation) -> Case {
    Case { name, good, bad, shows_after, violation }
}

fn cases() -> Vec<Case> {
    use Violation::*;
    let started = || frame(TEXT, false, b"a");
    let mask = [1, 2, 3, 4];
    let long = |first: u8, length: u64| [&[first, 0xFF][..], &length.to_be_bytes(), &mask].concat();
    let short = |first: u8, length: u16| [&[first, 0xFE][..], &length.to_be_bytes(), &mask].concat();
    let four = || [started(), frame(CONTINUATION, false, b""), frame(PING, true, b"p")].concat();
    let four = || [four(), frame(CONTINUATION, false, b"b"), frame(CONTINUATION, false, b"c")].concat();
    let twice = || [frame(BINARY, false, &[7; 100_000]), frame(CONTINUATION, false, &[7; 99_999])].concat();
    vec![
        case("text without a mask", vec![], b"\x81\x01a".to_vec(), 2, Unmasked),
        case("ping without a mask", started(), b"\x89\x00".to_vec(), 2, Unmasked),
        case("first reserved bit", vec![], vec![0xC1, 0x80, 1, 2, 3, 4], 2, ReservedBits),
        case("second reserved bit", vec![], vec![0xA1, 0x80, 1, 2, 3, 4], 2, ReservedBits),
        case("third reserved bit", started(), vec![0x99, 0x80, 1, 2, 3, 4], 2, ReservedBits),
        case("reserved data opcode 3", vec![], vec![0x83, 0x80, 1, 2, 3, 4], 2, ReservedOpcode),
        case("reserved data opcode 7", started(), vec![0x87, 0x80, 1, 2, 3, 4], 2, ReservedOpcode),
        case("reserved control opcode 11", vec![], vec![0x8B, 0x80, 1, 2, 3, 4], 2, ReservedOpcode),
        case("reserved control opcode 15", started(), vec![0x8F, 0x80, 1, 2, 3, 4], 2, ReservedOpcode),
        case("ping of 126 bytes", vec![], frame(PING, true, &[0; 126]), 2, ControlTooLong),
        case("close of 65536 bytes", started(), frame(CLOSE, true, &[0; 65_536]), 2, ControlTooLong),
        case("fragmented ping", vec![], frame(PING, false, b"p"), 2, ControlFragmented),
        case("fragmented close", started(), frame(CLOSE, false, b""), 2, ControlFragmented),
        case("125 in two bytes", vec![], short(0x81, 125), 8, LengthNotMinimal),
        case("0 in two bytes", started(), short(0x80, 0), 8, LengthNotMinimal),
        case("65535 in eight bytes", vec![], long(0x82, 65_535), 14, LengthNotMinimal),
        case("1 in eight bytes", vec![], long(0x82, 1), 14, LengthNotMinimal),
        case("64 bits", vec![], long(0x82, 1 << 63), 14, LengthOver63Bits),
        case("all 64 bits", started(), long(0x80, u64::MAX), 14, LengthOver63Bits),
        case("continuation of nothing", vec![], frame(CONTINUATION, true, b"x"), 2, UnexpectedContinuation),
        case(
            "continuation of what ended",
            [started(), frame(CONTINUATION, true, b"x")].concat(),
            frame(CONTINUATION, false, b"x"),
            2,
            UnexpectedContinuation,
        ),
        case("text amid text", started(), frame(TEXT, true, b"x"), 2, ExpectedContinuation),
        case(
            "binary after an empty fragment",
            frame(TEXT, false, b""),
            frame(BINARY, false, b""),
            2,
            ExpectedContinuation,
        ),
        case("frame over the limit", vec![], long(0x82, 100_001), 14, FrameTooLarge),
        case("the largest frame", started(), long(0x80, u64::MAX >> 1), 14, FrameTooLarge),
        case("message over the limit", twice(), frame(CONTINUATION, true, b"xy"), 6, MessageTooLarge),
        case("fifth fragment", four(), frame(CONTINUATION, true, b""), 6, TooManyFragments),
        case("text of bad bytes", vec![], frame(TEXT, true, b"a\xffbc"), 8, InvalidUtf8),
        case("bad bytes amid a fragment", started(), frame(CONTINUATION, false, b"a\xed\xa0\x80c"), 9, InvalidUtf8),
        case("too far a code point", vec![], frame(TEXT, false, b"\xf4\x90\x80\x80"), 8, InvalidUtf8),
        case("text that ends amid a character", vec![], frame(TEXT, true, b"a\xe2\x82"), 9, InvalidUtf8),
        case(
            "message that ends amid a character",
            frame(TEXT, false, b"a\xe2\x82"),
            frame(CONTINUATION, true, b""),
            6,
            InvalidUtf8,
        ),
        case(
            "character broken by a fragment",
            frame(TEXT, false, b"\xe2\x82"),
            frame(CONTINUATION, true, b"("),
            7,
            InvalidUtf8,
        ),
        case("close of one byte", vec![], frame(CLOSE, true, b"\x03"), 7, ClosePayload),
        case("close with 1005", started(), frame(CLOSE, true, b"\x03\xed"), 8, CloseCode),
        case("close with a bad reason", vec![], frame(CLOSE, true, b"\x03\xe8\xff"), 9, InvalidUtf8),
    ]
}

#[test]
fn every_violation_shows_at_its_byte_and_not_before() {
    for Case { name, good, bad, shows_after, violation } in cases() {
        let (mut decoder, mut got) = (Decoder::new(Role::Server), Vec::new());
        assert_eq!(feed(&mut decoder, &good, &mut got, Flow::Continue), Ok(()), "{name}");
        for (index, byte) in bad[..shows_after].iter().enumerate() {
            let expected = if index + 1 == shows_after { Err(violation) } else { Ok(()) };
            assert_eq!(feed(&mut decoder, &[*byte], &mut got, Flow::Continue), expected, "{name}, byte {index}");
        }
    }
}

#[test]
fn a_violation_is_the_same_wherever_the_stream_is_cut() {
    for Case { name, good, bad, violation, .. } in cases() {
        let bad = &bad[..bad.len().min(20)];
        let stream = [&good[..], bad].concat();
        let (expected, refused) = decode(Role::Server, &stream, &[], Flow::Continue);
        assert_eq!(refused.map(|(_, violation)| violation), Some(violation), "{name}");
        for cut in stream.len().saturating_sub(bad.len() + 20)..stream.len() {
            let (got, refused) = decode(Role::Server, &stream, &[cut], Flow::Continue);
            assert_eq!(refused.map(|(_, violation)| violation), Some(violation), "{name}, cut at {cut}");
            assert_eq!(got, expected, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn all_that_a_decoder_can_find_is_in_the_table() {
    let tested: Vec<_> = cases().iter().map(|case| case.violation).collect();
    for violation in Violation::ALL {
        let is_elsewhere = match violation {
            // What comes after a close frame is discarded, not refused.
            Violation::DataAfterClose => true,
            // Of messages that are compressed, which this decoder takes none of.
            Violation::DeflateData | Violation::InflatedTooLarge => true,
            _ => false,
        };
        assert_eq!(tested.contains(violation), !is_elsewhere, "{violation}");
    }
}

#[test]
fn what_touches_a_limit_passes() {
    let largest = [frame(BINARY, false, &[7; 100_000]), frame(CONTINUATION, true, &[7; 100_000])].concat();
    assert_eq!(decode(Role::Server, &largest, &[], Flow::Continue), (vec![Got::Binary(vec![7; 200_000])], None));
    let four = [frame(TEXT, false, b"a"), frame(CONTINUATION, false, b""), frame(CONTINUATION, false, b"b")].concat();
    let four = [four, frame(CONTINUATION, true, b"c")].concat();
    assert_eq!(decode(Role::Server, &four, &[], Flow::Continue), (vec![Got::Text("abc".into())], None));
}

#[test]
fn a_client_refuses_masked_frames() {
    let (_, refused) = decode(Role::Client, &frame(TEXT, true, b"a"), &[], Flow::Continue);
    assert_eq!(refused.map(|(_, violation)| violation), Some(Violation::Unmasked));
}

#[test]
fn what_follows_a_close_frame_or_a_violation_is_discarded() {
    let close = [frame(TEXT, false, b"a"), frame(CLOSE, true, b"\x03\xe8bye"), vec![0xFF; 40]].concat();
    let each: Vec<usize> = (1..close.len()).collect();
    for ends in [&[][..], &each] {
        let expected = vec![Got::Close(Some(1000), "bye".into())];
        assert_eq!(decode(Role::Server, &close, ends, Flow::Continue), (expected, None));
    }
    let (mut decoder, mut got) = (Decoder::new(Role::Server), Vec::new());
    assert_eq!(feed(&mut decoder, b"\xFF\xFF", &mut got, Flow::Continue), Err(Violation::ReservedBits));
    assert_eq!(feed(&mut decoder, &frame(TEXT, true, b"a"), &mut got, Flow::Continue), Ok(()));
    assert_eq!(got, []);
}
