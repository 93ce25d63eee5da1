use proptest::prelude::*;

use super::*;
use crate::engine::http::Coding;

fn parse(text: &[u8]) -> Result<Head, Refusal> {
    parse_head(text, &HeadLimits::default())
}

fn end(text: &[u8]) -> Result<HeadEnd, Refusal> {
    find_end(text, 0, &HeadLimits::default())
}

/// The outcome of a head that comes in pieces cut at these places.
fn end_in_pieces(text: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<HeadEnd, Refusal> {
    let mut scanned = 0;
    for cut in cuts.iter().map(|cut| cut % (text.len() + 1)).chain([text.len()]) {
        match find_end(&text[..cut.max(scanned)], scanned, limits)? {
            HeadEnd::Partial { scanned: more } => scanned = more,
            complete @ HeadEnd::Complete { .. } => return Ok(complete),
        }
    }
    Ok(HeadEnd::Partial { scanned })
}

#[test]
fn the_end_is_the_first_empty_line_after_the_request_line() {
    for (text, expected) in [
        (&b""[..], Ok(HeadEnd::Partial { scanned: 0 })),
        (b"GET / HTTP/1.1\r\nA: b\r\n", Ok(HeadEnd::Partial { scanned: 22 })),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r", Ok(HeadEnd::Partial { scanned: 22 })),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n", Ok(HeadEnd::Complete { end: 24 })),
        (b"\r\nG\r\n\r\n", Ok(HeadEnd::Complete { end: 7 })),
        (b"G\r\n\r\n", Ok(HeadEnd::Complete { end: 5 })),
        (b"\r", Ok(HeadEnd::Partial { scanned: 0 })),
        (b"\r\n", Ok(HeadEnd::Partial { scanned: 2 })),
        (b"\r\n\r\n", Err(Refusal::Malformed)),
        (b"\r\n\r\nG\r\n\r\n", Err(Refusal::Malformed)),
        (b"\nG", Err(Refusal::BareLineBreak)),
        (b"\rG", Err(Refusal::BareLineBreak)),
        (b"G\r\nA: b\nC", Err(Refusal::BareLineBreak)),
        (b"G\r\nA: b\rC", Err(Refusal::BareLineBreak)),
        (b"G\r\nA: b\r\r\n", Err(Refusal::BareLineBreak)),
        (b"\x16\x03\x01", Err(Refusal::Malformed)),
        (b" GET", Err(Refusal::Malformed)),
    ] {
        assert_eq!(end(text), expected, "{}", text.escape_ascii());
    }
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = HeadLimits { bytes: 24, headers: 4 };
    let fits = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    assert_eq!(find_end(fits, 0, &limits), Ok(HeadEnd::Complete { end: 24 }));
    assert_eq!(find_end(b"GET / HTTP/1.1\r\nA: bc\r\n\r\n", 0, &limits), Err(Refusal::HeadTooLarge));
    assert_eq!(find_end(&[b'a'; 23], 0, &limits), Ok(HeadEnd::Partial { scanned: 23 }));
    assert_eq!(find_end(&[b'a'; 24], 0, &limits), Err(Refusal::HeadTooLarge));
}

#[test]
fn a_head_says_what_it_holds() {
    let head = parse(b"\r\nPOST /a/b?c=d HTTP/1.1\r\nHost: h:80\r\nX: \t caf\xc3\xa9 \r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n").unwrap();
    assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
    assert_eq!((head.path.as_str(), head.query.as_deref()), ("/a/b", Some("c=d")));
    assert_eq!(head.host.as_deref(), Some("h:80"));
    assert_eq!(head.headers.text("x"), Some("café"));
    assert_eq!(head.body, BodyLength::Exact(12));
    assert!(head.keep_alive && head.expect_continue);
    let head = parse(b"GET http://u@other/x HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!((head.path.as_str(), head.host.as_deref()), ("/x", Some("other")));
    let head = parse(b"-blargh / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.method, head.host, head.keep_alive), (Method::Other, None, false));
}

#[test]
fn the_connection_persists_as_the_version_and_the_field_say() {
    for (version, connection, expected) in [
        ("1.1", "x", true),
        ("1.1", "Close", false),
        ("1.1", "keep-alive, close", false),
        ("1.0", "x", false),
        ("1.0", "Keep-Alive", true),
        ("1.0", "keep-alive, close", false),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
        assert_eq!(parse(text.as_bytes()).unwrap().keep_alive, expected, "{text}");
    }
}

#[test]
fn who_expects_100_waits_only_with_a_body_and_on_1_1() {
    for (version, fields, expected) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", Ok(true)),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", Ok(true)),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", Ok(false)),
        ("1.1", "Expect: 100-continue\r\n", Ok(false)),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", Ok(false)),
        ("1.1", "Content-Length: 1\r\n", Ok(false)),
        ("1.1", "Expect: 200-ok\r\nContent-Length: 1\r\n", Err(Refusal::Expectation)),
        ("1.1", "Expect: 100-continue, x\r\nContent-Length: 1\r\n", Err(Refusal::Expectation)),
    ] {
        let text = format!("PUT / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
        assert_eq!(parse(text.as_bytes()).map(|head| head.expect_continue), expected, "{text}");
    }
}

#[test]
fn request_lines_that_are_none_are_refused_by_name() {
    for (line, expected) in [
        ("GET HTTP/1.1", Refusal::Malformed),
        ("GET /", Refusal::Malformed),
        ("GET  / HTTP/1.1", Refusal::Malformed),
        ("GET /  HTTP/1.1", Refusal::Malformed),
        ("GET / a HTTP/1.1", Refusal::Malformed),
        ("GET\t/\tHTTP/1.1", Refusal::Malformed),
        ("GET / HTTP/1.1 ", Refusal::Malformed),
        ("GET / HTTP/111", Refusal::Malformed),
        ("GET / HTTP/0.99", Refusal::Malformed),
        ("GET / http/1.1", Refusal::Malformed),
        ("GET / FTP/1.1", Refusal::Malformed),
        ("GET / HTTP/1.10", Refusal::Malformed),
        ("GET / HTTP/11111111111111111111.1", Refusal::Malformed),
        ("GET / HTTP/2.0", Refusal::Version),
        ("GET / HTTP/0.9", Refusal::Version),
        ("GET / HTTP/1.2", Refusal::Version),
        ("PRI * HTTP/2.0", Refusal::Version),
        ("G(T / HTTP/1.1", Refusal::Malformed),
        ("GET: / HTTP/1.1", Refusal::Malformed),
        ("GET\0 / HTTP/1.1", Refusal::Malformed),
        ("GETß / HTTP/1.1", Refusal::Malformed),
        ("GET /\0 HTTP/1.1", Refusal::Target),
        ("GET /\x7f HTTP/1.1", Refusal::Target),
        ("GET /é HTTP/1.1", Refusal::Target),
        ("GET * HTTP/1.1", Refusal::Target),
    ] {
        let text = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(parse(text.as_bytes()).err(), Some(expected), "{}", line.escape_debug());
    }
    assert_eq!(parse(b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n").err(), Some(Refusal::Target));
}

#[test]
fn fields_that_break_the_grammar_are_refused_by_name() {
    for (field, expected) in [
        ("A : b", Refusal::HeaderName),
        ("A\t: b", Refusal::HeaderName),
        (": b", Refusal::HeaderName),
        ("A", Refusal::HeaderName),
        ("A b: c", Refusal::HeaderName),
        ("A\0: b", Refusal::HeaderName),
        ("Content-Lengthß: 3", Refusal::HeaderName),
        ("A: b\r\n c", Refusal::FoldedHeader),
        ("A: b\r\n\tc: d", Refusal::FoldedHeader),
        ("A:\r\n b", Refusal::FoldedHeader),
        ("A: b\0", Refusal::HeaderValue),
        ("A: b\x07c", Refusal::HeaderValue),
        ("A: b\x7fc", Refusal::HeaderValue),
        ("A: b\nC: d", Refusal::BareLineBreak),
        ("A: b\rC: d", Refusal::BareLineBreak),
        ("Host: other", Refusal::Host),
        ("Content-Type: a/b\r\nContent-Type: c/d", Refusal::HeaderValue),
    ] {
        for text in [
            format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{field}\r\nHost: h\r\n\r\n"),
        ] {
            assert_eq!(parse(text.as_bytes()).err(), Some(expected), "{}", text.escape_debug());
        }
    }
    assert_eq!(parse(b"GET / HTTP/1.1\r\n Host: h\r\n\r\n").err(), Some(Refusal::FoldedHeader));
}

#[test]
fn host_stands_once_on_1_1_and_is_valid() {
    for (text, expected) in [
        ("1.1\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost:\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost: a b\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost: a/b\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost: u@a\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost: ü\r\n\r\n", Some(Refusal::Host)),
        ("1.1\r\nHost: a\r\nhost: a\r\n\r\n", Some(Refusal::Host)),
        ("1.0\r\nHost: a\r\nHost: b\r\n\r\n", Some(Refusal::Host)),
        ("1.0\r\n\r\n", None),
        ("1.1\r\nHost: [::1]:80\r\n\r\n", None),
    ] {
        let text = format!("GET / HTTP/{text}");
        assert_eq!(parse(text.as_bytes()).err(), expected, "{text}");
    }
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n").err(), Some(Refusal::Host));
}

#[test]
fn lengths_that_two_readers_could_read_differently_are_refused() {
    let faulty = Err(Refusal::TransferEncoding(Coding::Faulty));
    let unsupported = Err(Refusal::TransferEncoding(Coding::Unsupported));
    for (fields, expected) in [
        ("", Ok(BodyLength::None)),
        ("Content-Length: 0", Ok(BodyLength::Exact(0))),
        ("content-LENGTH:\t0012 ", Ok(BodyLength::Exact(12))),
        ("Content-Length: 18446744073709551615", Ok(BodyLength::Exact(u64::MAX))),
        ("Content-Length: 18446744073709551616", Err(Refusal::BadLength)),
        ("Content-Length: 99999999999999999999999", Err(Refusal::BadLength)),
        ("Content-Length:", Err(Refusal::BadLength)),
        ("Content-Length: -1", Err(Refusal::BadLength)),
        ("Content-Length: -0", Err(Refusal::BadLength)),
        ("Content-Length: +1", Err(Refusal::BadLength)),
        ("Content-Length: 0x1", Err(Refusal::BadLength)),
        ("Content-Length: 0_1", Err(Refusal::BadLength)),
        ("Content-Length: 1 1", Err(Refusal::BadLength)),
        ("Content-Length: 1.0", Err(Refusal::BadLength)),
        ("Content-Length: 5, 5", Err(Refusal::BadLength)),
        ("Content-Length: 5\r\nContent-Length: 5", Err(Refusal::BadLength)),
        ("Content-Length: 5\r\nContent-Length: 6", Err(Refusal::BadLength)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(Refusal::BothLengths)),
        ("Transfer-Encoding: x\r\nContent-Length: 5", Err(Refusal::BothLengths)),
        ("Transfer-Encoding: chunked", Ok(BodyLength::Chunked)),
        ("Transfer-Encoding: \tCHUNKED \t", Ok(BodyLength::Chunked)),
        ("Transfer-Encoding:", faulty),
        ("Transfer-Encoding: ,chunked", faulty),
        ("Transfer-Encoding: chunked,", faulty),
        ("Transfer-Encoding: chunked, chunked", faulty),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", faulty),
        ("Transfer-Encoding: chunked, gzip", faulty),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", faulty),
        ("Transfer-Encoding: gzip", faulty),
        ("Transfer-Encoding: identity", faulty),
        ("Transfer-Encoding: xchunked", faulty),
        ("Transfer-Encoding: chunked;q=1", faulty),
        ("Transfer-Encoding: \"chunked\"", faulty),
        ("Transfer-Encoding: gzip, chunked", unsupported),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", unsupported),
        ("Transfer_Encoding: chunked", Ok(BodyLength::None)),
    ] {
        let line = if fields.is_empty() { "" } else { "\r\n" };
        let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}{line}\r\n");
        assert_eq!(parse(text.as_bytes()).map(|head| head.body), expected, "{text}");
    }
    assert_eq!(parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").map(|head| head.body), faulty);
}

#[test]
fn fields_are_counted() {
    let text = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(parse(text(HTTP_HEADERS).as_bytes()).unwrap().headers.len(), HTTP_HEADERS);
    assert_eq!(parse(text(HTTP_HEADERS + 1).as_bytes()).err(), Some(Refusal::TooManyHeaders));
    let limits = HeadLimits { bytes: 4096, headers: 2 };
    assert!(parse_head(text(2).as_bytes(), &limits).is_ok());
    assert_eq!(parse_head(text(3).as_bytes(), &limits).err(), Some(Refusal::TooManyHeaders));
}

#[test]
fn only_one_whole_head_is_parsed() {
    for text in [&b"GET / HTTP/1.0\r\n\r\nX"[..], b"GET / HTTP/1.0\r\n", b"", b"\r\n", b"GET / HTTP/1.0\r\n\r\n\r\n"] {
        assert_eq!(parse(text).err(), Some(Refusal::Malformed), "{}", text.escape_ascii());
    }
}

#[test]
fn a_head_shows_no_credential_in_debug() {
    let head = parse(b"GET /?key=hush HTTP/1.1\r\nHost: h\r\nAuthorization: Key hush\r\n\r\n").unwrap();
    assert!(!format!("{head:?}").contains("hush"));
}

/// Bytes that are nearly a head, so that random ones reach deep into the parser.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET ", "OPTIONS ", "/", "*", "http://", "h", "?key=a", " HTTP/1.1", " HTTP/1.0", "\r\n", "\r\n\r\n", "\r", "\n", " ", "\t", ":", ": ",
            "Host", "Content-Length", "Transfer-Encoding", "chunked", ",", "5", "Connection", "close", "A", "é", "\0",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    (any::<bool>(), prop::collection::vec(piece, 0..24)).prop_map(|(is_started, pieces)| {
        let mut text = if is_started { b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec() } else { Vec::new() };
        text.extend(pieces.into_iter().flatten());
        text
    })
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_have_one_outcome(
        text in nearly_a_head(), cuts in prop::collection::vec(0usize..200, 0..6), bytes in 0usize..120,
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let limits = HeadLimits { bytes, headers: 8 };
        let whole = find_end(&text, 0, &limits);
        let pieces = end_in_pieces(&text, &cuts, &limits);
        prop_assert_eq!(pieces, whole);
        if let Ok(HeadEnd::Complete { end }) = whole {
            prop_assert!(end <= bytes);
            if let Ok(head) = parse_head(&text[..end], &limits) {
                prop_assert!(head.headers.len() <= 8);
                prop_assert!(head.path.bytes().all(|b| b.is_ascii_graphic()));
                for (name, value) in head.headers.iter() {
                    prop_assert!(is_token(name) && !value.iter().any(|b| *b < 0x20 && *b != b'\t' || *b == 0x7f));
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        path in "/[a-zA-Z0-9%._~/-]{0,30}", query in prop::option::of("[a-z=&%+]{0,20}"),
        fields in prop::collection::vec(("X-[A-Za-z0-9_|]{1,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..10),
    ) {
        let mut text = format!("PATCH {path}");
        if let Some(query) = &query {
            text += &format!("?{query}");
        }
        text += " HTTP/1.1\r\nHost: h\r\n";
        for (name, value) in &fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let head = parse(text.as_bytes()).unwrap();
        prop_assert_eq!((head.method, &head.path, &head.query), (Method::Patch, &path, &query));
        let read: Vec<_> = head.headers.iter().skip(1).collect();
        let written: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(read, written);
    }
}
