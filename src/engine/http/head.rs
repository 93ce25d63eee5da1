//! Request heads: where one ends, and what it says.
//!
//! `httparse` takes more than a server on the open network should (bare LF, any number of blank
//! lines, lengths that contradict each other), so the end of the head is found here, line by
//! line, before it is asked, and the rules of RFC 9112 that it leaves to others are applied after.

use std::fmt;

use httparse::Status;
use memchr::memchr2;

use super::framing::{self, BodyLength};
use super::headers::{Headers, is_tchar, is_token};
use super::method::{Method, Version};
use super::refusal::Refusal;
use super::target::{Target, is_host};
use crate::base::limits::HTTP_HEADERS;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, from the first of the request line to the last of the empty line.
    pub bytes: usize,
    /// Header fields; never more than [`HTTP_HEADERS`].
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { bytes: 16 * 1024, headers: HTTP_HEADERS }
    }
}

/// Where a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEnd {
    /// Not yet. The first `scanned` bytes need not be looked at again.
    Partial {
        /// To be handed to the next call.
        scanned: usize,
    },
    /// `buf[..end]` is a whole head, to be given to [`parse_head`]; the body follows.
    Complete {
        /// The first byte after the empty line.
        end: usize,
    },
}

/// Looks for the end of a head at the start of `buf`, whose first `scanned` bytes were looked at
/// before. Refuses what cannot become a head any more.
pub fn find_end(buf: &[u8], scanned: usize, limits: &HeadLimits) -> Result<HeadEnd, Refusal> {
    let window = &buf[..buf.len().min(limits.bytes)];
    // What does not start like a request (TLS, most often) is refused without waiting for more.
    if scanned == 0 && window.first().is_some_and(|b| !is_tchar(*b) && !matches!(b, b'\r' | b'\n')) {
        return Err(Refusal::Malformed);
    }
    let mut at = scanned.min(window.len());
    while let Some(found) = memchr2(b'\r', b'\n', &window[at..]) {
        let cr = at + found;
        match (window[cr], window.get(cr + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', None) => return partial(buf, cr, limits),
            // RFC 9112 2.2: a bare CR is refused; so is the bare LF that a recipient may take.
            _ => return Err(Refusal::BareLineBreak),
        }
        at = cr + 2;
        match cr {
            // RFC 9112 2.2: at least one empty line before the request line is ignored; we take one.
            0 => {}
            2 if window.starts_with(b"\r\n") => return Err(Refusal::Malformed),
            _ if window[..cr].ends_with(b"\r\n") => return Ok(HeadEnd::Complete { end: at }),
            _ => {}
        }
    }
    partial(buf, window.len(), limits)
}

fn partial(buf: &[u8], scanned: usize, limits: &HeadLimits) -> Result<HeadEnd, Refusal> {
    if buf.len() >= limits.bytes { Err(Refusal::HeadTooLarge) } else { Ok(HeadEnd::Partial { scanned }) }
}

/// One request's head, checked.
#[derive(Clone)]
pub struct Head {
    /// What is asked.
    pub method: Method,
    /// The path as it was sent, from the first slash on; `*` for `OPTIONS *`, empty for CONNECT.
    pub path: String,
    /// What stands after the first question mark, as it was sent. May hold a credential.
    pub query: Option<String>,
    /// The version.
    pub version: Version,
    /// Host and port: the target's if it names one, else those of `Host`.
    pub host: Option<String>,
    /// All header fields.
    pub headers: Headers,
    /// How the body is framed.
    pub body: BodyLength,
    /// Whether another request may follow on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

/// Without the query and the fields' values, which may hold credentials.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("version", &self.version)
            .field("headers", &self.headers.len())
            .field("body", &self.body)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

/// Parses a whole head: what [`find_end`] called complete, and nothing after it.
pub fn parse_head(head: &[u8], limits: &HeadLimits) -> Result<Head, Refusal> {
    if find_end(head, 0, limits)? != (HeadEnd::Complete { end: head.len() }) {
        return Err(Refusal::Malformed);
    }
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut fields = [httparse::EMPTY_HEADER; HTTP_HEADERS];
    let mut request = httparse::Request::new(&mut fields[..limits.headers.min(HTTP_HEADERS)]);
    match request.parse(head) {
        Ok(Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(Refusal::Malformed),
        Err(error) => return Err(cause(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Malformed);
    };
    let method = Method::parse(method);
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let target = Target::parse(method, target)?;
    let headers = Headers::new(head, request.headers);
    // RFC 9110 8.3: Content-Type stands once; two of them let two readers disagree.
    headers.once("content-type").map_err(|_| Refusal::HeaderValue)?;
    let host = host(&headers, version)?;
    let body = framing::body_length(&headers, version)?;
    Ok(Head {
        method,
        path: target.path.into(),
        query: target.query.map(Into::into),
        version,
        host: target.authority.or(host).map(Into::into),
        body,
        keep_alive: framing::keep_alive(&headers, version),
        expect_continue: framing::expect_continue(&headers, version, body)?,
        headers,
    })
}

/// RFC 9112 3.2: 400 for a request of HTTP/1.1 without `Host`, and for any with two or a bad one.
fn host(headers: &Headers, version: Version) -> Result<Option<&str>, Refusal> {
    match (headers.once("host"), version) {
        (Ok(Some(host)), _) => match std::str::from_utf8(host) {
            Ok(host) if is_host(host, false) => Ok(Some(host)),
            Ok(_) | Err(_) => Err(Refusal::Host),
        },
        (Ok(None), Version::Http10) => Ok(None),
        (Ok(None), Version::Http11) | (Err(_), _) => Err(Refusal::Host),
    }
}

/// Finds the refusal's name for what `httparse` stumbled over.
fn cause(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
        httparse::Error::HeaderValue => Refusal::HeaderValue,
        // RFC 9112 5.2: a folded field is refused or unfolded; unfolding is what attackers count on.
        httparse::Error::HeaderName if head.windows(3).any(|w| matches!(w, b"\r\n " | b"\r\n\t")) => {
            Refusal::FoldedHeader
        }
        httparse::Error::HeaderName => Refusal::HeaderName,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
            request_line_cause(head)
        }
    }
}

fn request_line_cause(head: &[u8]) -> Refusal {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(_), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Refusal::Malformed;
    };
    match version {
        _ if !is_token(method) => Refusal::Malformed,
        b"HTTP/1.0" | b"HTTP/1.1" => Refusal::Target,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Refusal::Version,
        _ => Refusal::Malformed,
    }
}

#[cfg(test)]
mod tests;
