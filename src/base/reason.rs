//! Why a connection ended. Every accepted socket ends with exactly one of these.

/// The terminal states, as the connection machine has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It never became a request that could be judged.
    Failed,
    /// It was judged, and refused.
    Rejected,
    /// It was served, and ended.
    Closed,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $end:ident, $close:expr;)*) => {
        /// Every reason for which a connection ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// All reasons, in the order of their names.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];
            /// Their names, in the same order: the values of the metric label `reason`.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name in metrics, logs and the status.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The terminal state that goes with it.
            pub fn end(self) -> End {
                match self { $(Reason::$variant => End::$end,)* }
            }

            /// The WebSocket close code that the server sends, if it sends a close frame.
            pub fn close_code(self) -> Option<u16> {
                match self { $(Reason::$variant => $close,)* }
            }
        }
    };
}

reasons! {
    /// The request or the TLS handshake did not arrive in time.
    HandshakeTimeout = "handshake_timeout", Failed, None;
    /// The peer went away before its request was complete.
    HandshakeEof = "handshake_eof", Failed, None;
    /// The TLS handshake failed.
    TlsFailed = "tls_failed", Failed, None;
    /// The request was not HTTP/1.1 as RFC 9112 has it.
    BadRequest = "bad_request", Failed, None;
    /// The request's head was larger than allowed.
    HeadTooLarge = "head_too_large", Failed, None;
    /// The request's body was larger than allowed.
    BodyTooLarge = "body_too_large", Failed, None;
    /// The socket failed before a request was complete.
    HandshakeError = "handshake_error", Failed, None;
    /// The handshake was not as RFC 6455 has it.
    BadHandshake = "bad_handshake", Rejected, None;
    /// A WebSocket endpoint was asked for without an upgrade.
    UpgradeRequired = "upgrade_required", Rejected, None;
    /// The credential is missing, wrong, expired or revoked.
    Unauthenticated = "unauthenticated", Rejected, None;
    /// The identity may not connect.
    Forbidden = "forbidden", Rejected, None;
    /// The page's origin is not allowed.
    OriginRefused = "origin_refused", Rejected, None;
    /// No dialect answers at this path or to this subprotocol.
    NoDialect = "no_dialect", Rejected, None;
    /// Too many attempts from this address.
    RateLimited = "rate_limited", Rejected, None;
    /// The address or identity is blocked.
    BlockedAtHandshake = "blocked_at_handshake", Rejected, None;
    /// The connection limit is reached.
    ServerFull = "server_full", Rejected, None;
    /// The server was stopping when the request came.
    DrainingAtHandshake = "draining_at_handshake", Rejected, None;
    /// Plain HTTP requests were answered, and the connection ended.
    HttpDone = "http_done", Closed, None;
    /// The peer closed, with a close frame.
    PeerClosed = "peer_closed", Closed, None;
    /// The peer ended the stream without a close frame.
    PeerEof = "peer_eof", Closed, None;
    /// The socket failed: a reset, most often.
    PeerReset = "peer_reset", Closed, None;
    /// A handler or dialect closed the connection in the ordinary way.
    ServerClosed = "server_closed", Closed, Some(1000);
    /// The server stopped.
    Draining = "draining", Closed, Some(1001);
    /// The peer broke the WebSocket protocol.
    ProtocolError = "protocol_error", Closed, Some(1002);
    /// The dialect takes no such message.
    UnsupportedData = "unsupported_data", Closed, Some(1003);
    /// Text that is not UTF-8.
    InvalidUtf8 = "invalid_utf8", Closed, Some(1007);
    /// Too many messages that were none.
    BadMessages = "bad_messages", Closed, Some(1008);
    /// An administrator blocked the address or identity.
    Blocked = "blocked", Closed, Some(1008);
    /// The in-band credential did not come in time, or was wrong.
    AuthenticationFailed = "authentication_failed", Closed, Some(1008);
    /// A frame or message over the limit.
    MessageTooLarge = "message_too_large", Closed, Some(1009);
    /// A defect of ours.
    Internal = "internal", Closed, Some(1011);
    /// The peer does not read as fast as it is sent to.
    SlowConsumer = "slow_consumer", Closed, Some(1013);
    /// The credential expired or was revoked during the connection.
    CredentialExpired = "credential_expired", Closed, Some(4001);
    /// Nothing came for the idle timeout.
    Idle = "idle", Closed, Some(4002);
    /// An administrator disconnected it.
    Disconnected = "disconnected", Closed, Some(4003);
    /// Another connection resumed its session.
    TakenOver = "taken_over", Closed, Some(4004);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_served_connections_are_closed_with_a_code_and_order_is_kept() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::NAMES[index], reason.as_str());
            if reason.close_code().is_some() {
                assert_eq!(reason.end(), End::Closed, "{}", reason.as_str());
            }
        }
    }
}
