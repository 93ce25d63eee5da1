//! Answers: status line, fields and body, written to bytes.
//!
//! Every answer says who serves, when, how long its body is and whether another request may
//! follow. A value that would break out of its line cannot: control characters become spaces.

use std::io::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::refusal::Refusal;
use super::upgrade::Upgrade;
use crate::base::{Error, Wall};

/// What a client that expects it waits for before it sends its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body's media type; not written if empty.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Further fields. A `Cache-Control` among them takes the place of `no-store`.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// An answer of any kind.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer { status, content_type, body: body.into(), headers: Vec::new() }
    }

    /// JSON, already encoded.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer::new(status, "application/json", body)
    }

    /// A page.
    pub fn html(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer::new(status, "text/html; charset=utf-8", body)
    }

    /// Plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", body)
    }

    /// An error as the protocol has it: `{"error":{…}}`, with the status that goes with its code.
    pub fn error(error: &Error) -> Answer {
        let mut body = b"{\"error\":".to_vec();
        error.write_json(&mut body);
        body.push(b'}');
        let answer = Answer::json(error.code.http_status(), body);
        let answer = match error.retry_after_ms {
            // RFC 9110 10.2.3: whole seconds.
            Some(ms) => answer.header("Retry-After", ms.div_ceil(1000).to_string()),
            None => answer,
        };
        match error.code.http_status() {
            // RFC 9110 15.5.2: 401 names a scheme.
            401 => answer.header("WWW-Authenticate", "Key realm=\"hydrogen\""),
            _ => answer,
        }
    }

    /// The answer to a refused request. The connection is to be closed after it.
    pub fn refusal(refusal: &Refusal) -> Answer {
        let mut answer = Answer::error(&refusal.error());
        answer.status = refusal.status();
        if *refusal == Refusal::UpgradeRequired {
            // RFC 9110 15.5.22 and RFC 6455 4.4: what to upgrade to, and in which version.
            answer = answer.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
        }
        if let Refusal::Method(allow) = refusal {
            // RFC 9110 15.5.6: 405 names the methods that are taken.
            answer = answer.header("Allow", *allow);
        }
        answer
    }

    /// The same answer with one more field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes all of it. `head_only` answers a HEAD: the same fields, no body.
    pub fn write(&self, head_only: bool, close: bool, now: Wall, out: &mut Vec<u8>) {
        self.write_head(close, now, out);
        if !head_only && self.has_body() {
            out.extend_from_slice(&self.body);
        }
    }

    /// Writes the head alone, for who sends the body's bytes by reference.
    pub fn write_head(&self, close: bool, now: Wall, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "HTTP/1.1 {} {}\r\nServer: hydrogen\r\nDate: ", self.status, phrase(self.status));
        write_date(now, out);
        out.extend_from_slice(b"\r\n");
        if self.has_body() {
            if !self.content_type.is_empty() {
                write_field("Content-Type", self.content_type, out);
            }
            let _ = write!(out, "Content-Length: {}\r\n", self.body.len());
        }
        if !self.has("Cache-Control") {
            write_field("Cache-Control", "no-store", out);
        }
        write_field("X-Content-Type-Options", "nosniff", out);
        // RFC 9110 7.8: who sends Upgrade names it in Connection.
        match (close, self.has("Upgrade")) {
            (true, false) => write_field("Connection", "close", out),
            (false, false) => write_field("Connection", "keep-alive", out),
            (true, true) => write_field("Connection", "close, Upgrade", out),
            (false, true) => write_field("Connection", "keep-alive, Upgrade", out),
        }
        for (name, value) in &self.headers {
            write_field(name, value, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 9110 8.6: no body, and no length of one, with 1xx, 204 and 304.
    fn has_body(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

/// Writes the `101` that accepts an upgrade. A protocol that was not offered is not written.
pub fn write_switching(upgrade: &Upgrade, protocol: Option<&str>, extensions: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    write_field("Sec-WebSocket-Accept", &upgrade.accept, out);
    // RFC 6455 4.2.2: one of those offered, or none.
    if let Some(protocol) = protocol.filter(|name| upgrade.protocols.iter().any(|offered| offered == name)) {
        write_field("Sec-WebSocket-Protocol", protocol, out);
    }
    if let Some(extensions) = extensions {
        write_field("Sec-WebSocket-Extensions", extensions, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn write_date(now: Wall, out: &mut Vec<u8>) {
    let time = Timestamp::from_second(now.unix_s()).unwrap_or_default();
    let start = out.len();
    if DateTimePrinter::new().print_timestamp_rfc9110(&time, &mut *out).is_err() {
        // Years before 0 have no such form.
        out.truncate(start);
        out.extend_from_slice(b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}

/// The reason phrases of RFC 9110 section 15; empty for a status that none of our answers has.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
