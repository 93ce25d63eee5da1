//! What a head says about the bytes after it: the body's length (RFC 9112 section 6), whether the
//! connection persists (section 9.3), and whether the client waits (RFC 9110 section 10.1.1).

use super::headers::{Headers, trim};
use super::method::Version;
use super::refusal::{Coding, Refusal};

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes.
    Exact(u64),
    /// Chunks, until one of size zero.
    Chunked,
}

pub(super) fn body_length(headers: &Headers, version: Version) -> Result<BodyLength, Refusal> {
    let codings = headers.first("transfer-encoding").is_some();
    let length = headers.once("content-length").map_err(|_| Refusal::BadLength)?;
    match (codings, length) {
        // RFC 9112 6.1: both together are how requests are smuggled; a server may refuse them.
        (true, Some(_)) => Err(Refusal::BothLengths),
        // RFC 9112 6.1: HTTP/1.0 knows no transfer codings, so the framing is faulty.
        (true, None) if version == Version::Http10 => Err(Refusal::TransferEncoding(Coding::Faulty)),
        (true, None) => transfer_codings(headers),
        (false, Some(digits)) => content_length(digits).map(BodyLength::Exact),
        (false, None) => Ok(BodyLength::None),
    }
}

/// RFC 9110 8.6: digits alone. Lists, signs, spaces and what does not fit are refused.
fn content_length(digits: &[u8]) -> Result<u64, Refusal> {
    if digits.is_empty() {
        return Err(Refusal::BadLength);
    }
    digits.iter().try_fold(0u64, |length, b| {
        let digit = if b.is_ascii_digit() { u64::from(b - b'0') } else { return Err(Refusal::BadLength) };
        length.checked_mul(10).and_then(|length| length.checked_add(digit)).ok_or(Refusal::BadLength)
    })
}

/// RFC 9112 6.3: without a final `chunked` the end cannot be known. Empty elements are refused too.
fn transfer_codings(headers: &Headers) -> Result<BodyLength, Refusal> {
    let (mut others, mut is_chunked) = (0, false);
    for coding in headers.all("transfer-encoding").flat_map(|value| value.split(|b| *b == b',')).map(trim) {
        // RFC 9112 6.1: chunked is applied once, and last.
        if is_chunked || coding.is_empty() {
            return Err(Refusal::TransferEncoding(Coding::Faulty));
        }
        is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        others += usize::from(!is_chunked);
    }
    match (is_chunked, others) {
        (true, 0) => Ok(BodyLength::Chunked),
        (true, _) => Err(Refusal::TransferEncoding(Coding::Unsupported)),
        (false, _) => Err(Refusal::TransferEncoding(Coding::Faulty)),
    }
}

/// RFC 9112 9.3: HTTP/1.1 persists unless told to close, HTTP/1.0 closes unless told to persist.
pub(super) fn keep_alive(headers: &Headers, version: Version) -> bool {
    !headers.lists("connection", "close")
        && match version {
            Version::Http11 => true,
            Version::Http10 => headers.lists("connection", "keep-alive"),
        }
}

/// RFC 9110 10.1.1: 417 for an unknown expectation; 100-continue is ignored in HTTP/1.0 and
/// without a body.
pub(super) fn expect_continue(headers: &Headers, version: Version, body: BodyLength) -> Result<bool, Refusal> {
    if headers.elements("expect").any(|expectation| !expectation.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Expectation);
    }
    let waits = headers.lists("expect", "100-continue");
    Ok(waits && version == Version::Http11 && !matches!(body, BodyLength::None | BodyLength::Exact(0)))
}
