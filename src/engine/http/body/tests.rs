use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 64;

/// Feeds the pieces of `input` cut at these places; what was taken is not fed again.
fn decode(length: BodyLength, limit: u64, input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, usize, bool), Refusal> {
    let mut decoder = BodyDecoder::new(length, limit)?;
    let (mut out, mut at) = (Vec::new(), 0);
    for cut in cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]) {
        let (taken, _) = decoder.feed(&input[at..cut.max(at)], &mut out)?;
        at += taken;
    }
    assert_eq!(decoder.is_done(), decoder.feed(&[], &mut out)?.1);
    Ok((out, at, decoder.is_done()))
}

fn chunked(input: &str) -> Result<(String, usize, bool), Refusal> {
    let (out, taken, is_done) = decode(BodyLength::Chunked, LIMIT, input.as_bytes(), &[])?;
    Ok((String::from_utf8(out).unwrap(), taken, is_done))
}

#[test]
fn exact_bodies_take_their_length_and_no_more() {
    assert_eq!(decode(BodyLength::Exact(5), LIMIT, b"helloGET /", &[]), Ok((b"hello".to_vec(), 5, true)));
    assert_eq!(decode(BodyLength::Exact(5), LIMIT, b"hell", &[]), Ok((b"hell".to_vec(), 4, false)));
    assert_eq!(decode(BodyLength::None, LIMIT, b"GET /", &[]), Ok((vec![], 0, true)));
    assert_eq!(decode(BodyLength::Exact(0), LIMIT, b"GET /", &[]), Ok((vec![], 0, true)));
    assert!(BodyDecoder::new(BodyLength::Exact(LIMIT), LIMIT).is_ok());
    assert_eq!(BodyDecoder::new(BodyLength::Exact(LIMIT + 1), LIMIT).err(), Some(Refusal::BodyTooLarge));
    assert_eq!(BodyDecoder::new(BodyLength::Exact(u64::MAX), LIMIT).err(), Some(Refusal::BodyTooLarge));
}

#[test]
fn chunks_are_joined() {
    for (input, expected) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"),
        ("0005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("5; some; parameters=stuff\r\nhello\r\n0;x\r\n\r\n", "hello"),
        ("5;foo=\"bar; baz\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5 \t;foo\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\nhello\r\n0\r\nVary: *\r\nX:\tcaf\u{e9}\r\n\r\n", "hello"),
        ("0\r\n\r\n", ""),
    ] {
        assert_eq!(chunked(input), Ok((expected.into(), input.len(), true)), "{}", input.escape_debug());
        let followed = format!("{input}GET /");
        assert_eq!(chunked(&followed), Ok((expected.into(), input.len(), true)), "{}", input.escape_debug());
    }
}

#[test]
fn chunks_of_other_shapes_are_refused() {
    for (input, expected) in [
        ("\r\nhello", Refusal::Chunk),
        (" 5\r\n", Refusal::Chunk),
        ("\t5\r\n", Refusal::Chunk),
        ("5 \r\n", Refusal::Chunk),
        ("+5\r\n", Refusal::Chunk),
        ("-5\r\n", Refusal::Chunk),
        ("0x5\r\n", Refusal::Chunk),
        ("6_0\r\n", Refusal::Chunk),
        ("5h\r\n", Refusal::Chunk),
        ("5.\r\n", Refusal::Chunk),
        (";foo=bar\r\n", Refusal::Chunk),
        (" ;foo=bar\r\n", Refusal::Chunk),
        ("5\n", Refusal::Chunk),
        ("5\rh", Refusal::Chunk),
        ("5;a\n", Refusal::Chunk),
        ("5;a\rb\r\n", Refusal::Chunk),
        ("5;a\0\r\n", Refusal::Chunk),
        ("5;a=\"\r\n\"\r\nhello", Refusal::Chunk),
        ("5\r\nhellO!", Refusal::Chunk),
        ("5\r\nhello\n", Refusal::Chunk),
        ("5\r\nhello\r0", Refusal::Chunk),
        ("5\r\nhello0\r\n\r\n", Refusal::Chunk),
        ("10000000000000000\r\n", Refusal::Chunk),
        ("FFFFFFFFFFFFFFFFF\r\n", Refusal::Chunk),
        ("FFFFFFFFFFFFFFFF\r\n", Refusal::BodyTooLarge),
        ("41\r\n", Refusal::BodyTooLarge),
        ("5\r\nhello\r\n3c\r\n", Refusal::BodyTooLarge),
        ("0\r\nA: b\n", Refusal::Chunk),
        ("0\r\n\n", Refusal::Chunk),
        ("0\r\nA: b\rC", Refusal::Chunk),
        ("0\r\nA\r\n", Refusal::HeaderName),
        ("0\r\nA : b\r\n", Refusal::HeaderName),
        ("0\r\n: b\r\n", Refusal::HeaderName),
        ("0\r\nA: b\r\n c\r\n", Refusal::FoldedHeader),
        ("0\r\nA: b\x07\r\n", Refusal::HeaderValue),
        ("0\r\nContent-Length: 99\r\n", Refusal::HeaderName),
        ("0\r\nhost: evil\r\n", Refusal::HeaderName),
        ("0\r\nTransfer-Encoding: chunked\r\n", Refusal::HeaderName),
    ] {
        assert_eq!(chunked(input), Err(expected), "{}", input.escape_debug());
    }
}

#[test]
fn lines_extensions_and_trailers_are_bounded() {
    let fits = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(HTTP_CHUNK_LINE - 4));
    assert_eq!(chunked(&fits), Ok(("a".into(), fits.len(), true)));
    assert_eq!(chunked(&format!("1;{}\r\n", "x".repeat(HTTP_CHUNK_LINE - 3))), Err(Refusal::Chunk));
    assert_eq!(chunked(&"0".repeat(HTTP_CHUNK_LINE + 1)), Err(Refusal::Chunk));
    let many = format!("1;{}\r\na\r\n", "x".repeat(250)).repeat(EXTENSION_BYTES / 250 + 1);
    assert_eq!(decode(BodyLength::Chunked, u64::MAX, many.as_bytes(), &[]), Err(Refusal::Chunk));
    assert_eq!(chunked(&format!("0\r\nA: {}", "x".repeat(HTTP_TRAILERS))), Err(Refusal::Chunk));
    assert_eq!(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(HTTP_TRAILERS / 6 + 1))), Err(Refusal::Chunk));
}

#[test]
fn the_first_refusal_sticks() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, LIMIT).unwrap();
    let mut out = Vec::new();
    assert_eq!(decoder.feed(b"41\r\n", &mut out), Err(Refusal::BodyTooLarge));
    assert_eq!(decoder.feed(b"0\r\n\r\n", &mut out), Err(Refusal::BodyTooLarge));
    assert_eq!(decoder.feed(b"", &mut out), Err(Refusal::BodyTooLarge));
    assert!(!decoder.is_done() && out.is_empty());
}

fn nearly_chunks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["1\r\na\r\n", "3;x=y\r\nabc\r\n", "0\r\n", "\r\n", "\r", "\n", "A: b\r\n", "f", "0", ";", " ", "-"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_have_one_outcome(
        input in nearly_chunks(), cuts in prop::collection::vec(0usize..80, 0..6), limit in 0u64..12,
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        for length in [BodyLength::Chunked, BodyLength::Exact(7)] {
            let whole = decode(length, limit, &input, &[]);
            prop_assert_eq!(decode(length, limit, &input, &cuts), whole.clone());
            if let Ok((out, taken, _)) = whole {
                prop_assert!(out.len() as u64 <= limit && taken <= input.len());
            }
        }
    }

    #[test]
    fn what_is_cut_into_chunks_is_joined_again(
        body in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        cuts in prop::collection::vec(0usize..400, 0..8),
    ) {
        let mut input = Vec::new();
        for chunk in &body {
            input.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"0\r\n\r\n");
        let mut cuts = cuts;
        cuts.sort_unstable();
        let body = body.concat();
        prop_assert_eq!(decode(BodyLength::Chunked, body.len() as u64, &input, &cuts), Ok((body, input.len(), true)));
    }
}
