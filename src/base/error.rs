//! The errors of the protocol, grouped by whose fault they are, with one function each to the
//! close code, the HTTP status, the exit code and the metric label.

use std::borrow::Cow;
use std::fmt;

/// The protocol's four categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The connection as a whole.
    Connection,
    /// What was sent is not the protocol.
    Protocol,
    /// Who may do what.
    Authentication,
    /// The command itself.
    Application,
}

impl Category {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Connection => "connection",
            Category::Protocol => "protocol",
            Category::Authentication => "authentication",
            Category::Application => "application",
        }
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer sent something it must not send.
    Peer,
    /// The peer may not do this.
    Refused,
    /// A bound was reached.
    Limit,
    /// The request makes no sense here and now.
    Misuse,
    /// The machine or another service failed.
    System,
    /// A defect of ours.
    Bug,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $category:ident, $blame:ident, $retry:literal, $http:literal;)*) => {
        /// Every error code of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All codes, in the order of the protocol page.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// Their names, in the same order: the values of the metric label `code`.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The protocol's category.
            pub fn category(self) -> Category {
                match self { $(Code::$variant => Category::$category,)* }
            }

            /// Whose fault it is.
            pub fn blame(self) -> Blame {
                match self { $(Code::$variant => Blame::$blame,)* }
            }

            /// Whether the same command may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(Code::$variant => $retry,)* }
            }

            /// The status of an HTTP answer that carries this error.
            pub fn http_status(self) -> u16 {
                match self { $(Code::$variant => $http,)* }
            }
        }
    };
}

codes! {
    /// The connection limit is reached.
    ServerFull = "server_full", Connection, Limit, true, 503;
    /// The server is stopping.
    Draining = "draining", Connection, System, true, 503;
    /// The TLS handshake failed.
    TlsFailed = "tls_failed", Connection, Peer, false, 400;
    /// The handshake took too long.
    HandshakeTimeout = "handshake_timeout", Connection, Peer, true, 408;
    /// The peer does not read as fast as it is sent to.
    SlowConsumer = "slow_consumer", Connection, Limit, true, 503;
    /// Text that is no JSON.
    BadJson = "bad_json", Protocol, Peer, false, 400;
    /// JSON that is no envelope.
    BadEnvelope = "bad_envelope", Protocol, Peer, false, 400;
    /// An envelope of a type that clients do not send.
    BadType = "bad_type", Protocol, Peer, false, 400;
    /// Larger than the limit.
    TooLarge = "too_large", Protocol, Limit, false, 413;
    /// Nested deeper than the limit.
    TooDeep = "too_deep", Protocol, Limit, false, 400;
    /// Known, and not offered here.
    Unsupported = "unsupported", Protocol, Misuse, false, 400;
    /// No credential, or a wrong one.
    Unauthenticated = "unauthenticated", Authentication, Refused, false, 401;
    /// The identity may not do this.
    Forbidden = "forbidden", Authentication, Refused, false, 403;
    /// The credential is expired.
    Expired = "expired", Authentication, Refused, false, 401;
    /// The signature is missing or does not fit.
    BadSignature = "bad_signature", Authentication, Refused, false, 401;
    /// The signed message was seen before, or is too old.
    Replayed = "replayed", Authentication, Refused, false, 401;
    /// Too many in too short a time.
    RateLimited = "rate_limited", Authentication, Limit, true, 429;
    /// An administrator blocked this address or identity.
    Blocked = "blocked", Authentication, Refused, false, 429;
    /// Nobody handles this channel.
    NoHandler = "no_handler", Application, Misuse, false, 404;
    /// There is no such topic.
    NoTopic = "no_topic", Application, Misuse, false, 404;
    /// The command's data is not of the form that it takes.
    BadData = "bad_data", Application, Peer, false, 400;
    /// There is no such thing.
    NotFound = "not_found", Application, Misuse, false, 404;
    /// It contradicts what is there.
    Conflict = "conflict", Application, Misuse, false, 409;
    /// The handler did not answer in time.
    Timeout = "timeout", Application, System, true, 504;
    /// It cannot be served at the moment.
    Unavailable = "unavailable", Application, System, true, 503;
    /// The disk is full.
    StorageFull = "storage_full", Application, System, true, 507;
    /// A defect of ours; the incident id stands in the log.
    Internal = "internal", Application, Bug, false, 500;
}

/// An error as a client sees it.
///
/// `message` is for a person and never holds a secret; `details` is a JSON value, already encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What it is, for a program.
    pub code: Code,
    /// What it is, for a person.
    pub message: Cow<'static, str>,
    /// When a retry makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// One JSON value, encoded.
    pub details: Option<Box<str>>,
}

impl Error {
    /// An error with a message and nothing else.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Error {
        Error { code, message: message.into(), retry_after_ms: None, details: None }
    }

    /// The same error, with a time after which a retry makes sense.
    pub fn retry_after_ms(mut self, ms: u64) -> Error {
        self.retry_after_ms = Some(ms);
        self
    }

    /// The same error, with details: one JSON value, encoded.
    pub fn details(mut self, json: impl Into<Box<str>>) -> Error {
        self.details = Some(json.into());
        self
    }

    /// `{"category":…,"code":…,"message":…,"retryable":…,"retry_after_ms":…,"details":…}`,
    /// appended to `out`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"category\":\"");
        out.extend_from_slice(self.code.category().as_str().as_bytes());
        out.extend_from_slice(b"\",\"code\":\"");
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        // Writing to a Vec cannot fail, and a str always encodes.
        let _ = serde_json::to_writer(&mut *out, self.message.as_ref());
        out.extend_from_slice(if self.code.is_retryable() { b",\"retryable\":true" } else { b",\"retryable\":false" });
        if let Some(ms) = self.retry_after_ms {
            out.extend_from_slice(b",\"retry_after_ms\":");
            out.extend_from_slice(ms.to_string().as_bytes());
        }
        if let Some(details) = &self.details {
            out.extend_from_slice(b",\"details\":");
            out.extend_from_slice(details.as_bytes());
        }
        out.push(b'}');
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_what_is_set_and_escapes_the_message() {
        let mut out = Vec::new();
        Error::new(Code::RateLimited, "slow \"down\"").retry_after_ms(500).details("{\"a\":1}").write_json(&mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"category":"authentication","code":"rate_limited","message":"slow \"down\"",
                "retryable":true,"retry_after_ms":500,"details":{"a":1}})
        );
    }

    #[test]
    fn names_and_codes_are_in_the_same_order() {
        for (code, name) in Code::ALL.iter().zip(Code::NAMES) {
            assert_eq!(code.as_str(), *name);
            assert_eq!(Code::ALL[*code as usize], *code);
        }
    }
}
