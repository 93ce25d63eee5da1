//! Why an HTTP request is refused: status, error code, metric and words, one row each.
//!
//! A refusal is answered once, and the connection is closed after it: whoever broke the framing
//! cannot be trusted with where the next request starts.

use crate::base::{Code, Error, Metric, Reason};

/// What is wrong with a transfer coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The body's end cannot be known: `chunked` is missing, not last or repeated, or it is HTTP/1.0.
    Faulty,
    /// Well framed, with a coding before `chunked` that is not decoded here.
    Unsupported,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident $(($field:ty))? = $name:literal, $status:literal, $code:ident, $reason:ident, $message:literal;)*) => {
        /// Every way in which an HTTP request is refused, in the order of
        /// [`HTTP_REFUSALS`](crate::base::metric::HTTP_REFUSALS).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $($(#[$doc])* $variant $(($field))?,)* }

        enum Index { $($variant,)* }

        impl Refusal {
            /// Place in the order of metric names.
            pub fn index(self) -> usize {
                match self { $(Refusal::$variant { .. } => Index::$variant as usize,)* }
            }

            /// The name in metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Refusal::$variant { .. } => $name,)* }
            }

            /// The code in the answer's body.
            pub fn code(self) -> Code {
                match self { $(Refusal::$variant { .. } => Code::$code,)* }
            }

            /// Why the connection ends, if it ends with this answer.
            pub fn reason(self) -> Reason {
                match self { $(Refusal::$variant { .. } => Reason::$reason,)* }
            }

            fn usual_status(self) -> u16 {
                match self { $(Refusal::$variant { .. } => $status,)* }
            }

            fn usual_message(self) -> &'static str {
                match self { $(Refusal::$variant { .. } => $message,)* }
            }
        }
    };
}

refusals! {
    /// No HTTP request line, or bytes that no other name fits.
    Malformed = "malformed", 400, BadEnvelope, BadRequest, "this is no HTTP/1.1 request";
    /// A version of HTTP other than 1.0 and 1.1.
    Version = "version", 505, Unsupported, BadRequest, "only HTTP/1.1 and HTTP/1.0 are served here";
    /// The head is larger than the limit.
    HeadTooLarge = "head_too_large", 431, TooLarge, HeadTooLarge, "the request's head is too large";
    /// More header fields than the limit.
    TooManyHeaders = "too_many_headers", 431, TooLarge, HeadTooLarge, "the request has too many header fields";
    /// A CR or LF that is not half of a CRLF.
    BareLineBreak = "bare_line_break", 400, BadEnvelope, BadRequest, "a line of the head does not end in CRLF";
    /// A header field continued on a second line.
    FoldedHeader = "folded_header", 400, BadEnvelope, BadRequest, "a header field is folded over lines";
    /// A header field's name that is no token, or has white space before its colon.
    HeaderName = "header_name", 400, BadEnvelope, BadRequest, "a header field's name is not valid";
    /// A control character in a value, or a repeated field that may stand only once.
    HeaderValue = "header_value", 400, BadEnvelope, BadRequest, "a header field's value is not valid";
    /// `Host` missing, repeated or not valid.
    Host = "host", 400, BadEnvelope, BadRequest, "exactly one valid Host is needed";
    /// `Content-Length` and `Transfer-Encoding` together.
    BothLengths = "both_lengths", 400, BadEnvelope, BadRequest, "Content-Length and Transfer-Encoding exclude each other";
    /// A `Content-Length` that is repeated or no plain number.
    BadLength = "bad_length", 400, BadEnvelope, BadRequest, "Content-Length is not one plain number";
    /// A `Transfer-Encoding` other than `chunked`.
    TransferEncoding(Coding) = "transfer_encoding", 400, BadEnvelope, BadRequest, "Transfer-Encoding must be chunked, once, on HTTP/1.1";
    /// A chunk or trailer that is not as RFC 9112 has it.
    Chunk = "chunk", 400, BadEnvelope, BadRequest, "the chunked body is not valid";
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large", 413, TooLarge, BodyTooLarge, "the request's body is too large";
    /// An expectation other than `100-continue`.
    Expectation = "expectation", 417, Unsupported, BadRequest, "only 100-continue can be expected";
    /// A request target that does not go with its method, or holds forbidden characters.
    Target = "target", 400, BadEnvelope, BadRequest, "the request target is not valid";
    /// A WebSocket endpoint asked for without an upgrade, or with another version than 13.
    UpgradeRequired = "upgrade_required", 426, Unsupported, UpgradeRequired, "this endpoint speaks WebSocket version 13 only";
    /// Not a handshake as RFC 6455 has it; the field says what is wrong, for a person.
    BadUpgrade(&'static str) = "bad_upgrade", 400, BadEnvelope, BadHandshake, "";
    /// Nothing is served there.
    NotFound = "not_found", 404, NotFound, NoDialect, "nothing is served at this path";
    /// A method that the resource does not take; the field is the `Allow` header's value.
    Method(&'static str) = "method", 405, Unsupported, BadRequest, "this resource does not take this method";
    /// The credential is missing or wrong.
    Unauthenticated = "unauthenticated", 401, Unauthenticated, Unauthenticated, "a valid credential is needed";
    /// The identity may not do this.
    Forbidden = "forbidden", 403, Forbidden, Forbidden, "this identity may not do this";
    /// The page's origin is not allowed.
    Origin = "origin", 403, Forbidden, OriginRefused, "this origin is not allowed";
    /// Too many attempts; the field says when to come back, in milliseconds.
    RateLimited(u64) = "rate_limited", 429, RateLimited, RateLimited, "too many attempts";
    /// Blocked by an administrator, for so many milliseconds more.
    Blocked(u64) = "blocked", 429, Blocked, BlockedAtHandshake, "blocked";
    /// The connection limit is reached; come back after so many milliseconds.
    ServerFull(u64) = "server_full", 503, ServerFull, ServerFull, "the connection limit is reached";
    /// The server is stopping; come back after so many milliseconds.
    Draining(u64) = "draining", 503, Draining, DrainingAtHandshake, "the server is stopping";
    /// The request did not arrive in time.
    Timeout = "timeout", 408, HandshakeTimeout, HandshakeTimeout, "the request did not arrive in time";
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        // RFC 9112 6.1: 501 for a coding that is not understood, 400 where the end cannot be known.
        if self == Refusal::TransferEncoding(Coding::Unsupported) { 501 } else { self.usual_status() }
    }

    /// For a person. Never holds anything that the peer sent.
    pub fn message(self) -> &'static str {
        if let Refusal::BadUpgrade(what) = self {
            what
        } else if self == Refusal::TransferEncoding(Coding::Unsupported) {
            "no transfer coding but chunked is decoded here"
        } else {
            self.usual_message()
        }
    }

    /// When to come back, in milliseconds, where that is known.
    pub fn retry_after_ms(self) -> Option<u64> {
        if let Refusal::RateLimited(ms) | Refusal::Blocked(ms) | Refusal::ServerFull(ms) | Refusal::Draining(ms) = self
        {
            Some(ms)
        } else {
            None
        }
    }

    /// The error that the answer's body holds.
    pub fn error(self) -> Error {
        let error = Error::new(self.code(), self.message());
        match self.retry_after_ms() {
            Some(ms) => error.retry_after_ms(ms),
            None => error,
        }
    }

    /// The cell that counts it.
    pub fn metric(self) -> Metric {
        Metric::HTTP_REFUSALS.at(self.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metric::HTTP_REFUSALS;
    use crate::base::reason::End;

    const ALL: [Refusal; 28] = [
        Refusal::Malformed,
        Refusal::Version,
        Refusal::HeadTooLarge,
        Refusal::TooManyHeaders,
        Refusal::BareLineBreak,
        Refusal::FoldedHeader,
        Refusal::HeaderName,
        Refusal::HeaderValue,
        Refusal::Host,
        Refusal::BothLengths,
        Refusal::BadLength,
        Refusal::TransferEncoding(Coding::Faulty),
        Refusal::Chunk,
        Refusal::BodyTooLarge,
        Refusal::Expectation,
        Refusal::Target,
        Refusal::UpgradeRequired,
        Refusal::BadUpgrade("no key"),
        Refusal::NotFound,
        Refusal::Method("GET"),
        Refusal::Unauthenticated,
        Refusal::Forbidden,
        Refusal::Origin,
        Refusal::RateLimited(1),
        Refusal::Blocked(1),
        Refusal::ServerFull(1),
        Refusal::Draining(1),
        Refusal::Timeout,
    ];

    #[test]
    fn refusals_stand_in_the_order_of_their_metric() {
        assert_eq!(ALL.len(), HTTP_REFUSALS.len());
        for (index, refusal) in ALL.iter().enumerate() {
            assert_eq!(refusal.index(), index);
            assert_eq!(refusal.as_str(), HTTP_REFUSALS[index]);
            assert_eq!(refusal.metric(), Metric::HTTP_REFUSALS.at(index));
        }
    }

    #[test]
    fn every_refusal_has_words_a_status_and_a_reason_that_is_no_ordinary_end() {
        for refusal in ALL {
            assert!(!refusal.message().is_empty(), "{refusal:?}");
            assert!((400..600).contains(&refusal.status()), "{refusal:?}");
            assert_ne!(refusal.reason().end(), End::Closed, "{refusal:?}");
            assert_eq!(refusal.error().retry_after_ms, refusal.retry_after_ms());
        }
        assert_eq!(Refusal::TransferEncoding(Coding::Faulty).status(), 400);
        assert_eq!(Refusal::TransferEncoding(Coding::Unsupported).status(), 501);
    }
}
