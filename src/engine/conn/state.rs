//! The states of a connection, as data: one table, from which the check in debug builds, the
//! exhaustive test, its snapshot and the diagram in `docs/lifecycle.md` all come.

use crate::base::reason::End;

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name in metrics, logs and the documentation.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// Where a connection is in its life.
    State {
        /// Accepted; the TLS handshake and an HTTP request are arriving.
        Connecting = "connecting",
        /// A request is being judged, or a plain one answered.
        Verifying = "verifying",
        /// `101` is queued; the session context is being made.
        Established = "established",
        /// Messages flow.
        Connected = "connected",
        /// A ping is unanswered.
        Heartbeat = "heartbeat",
        /// The peer is considered gone.
        Inactive = "inactive",
        /// A close frame was sent or received; output is draining.
        Closing = "closing",
        /// Over: no request could be judged.
        Failed = "failed",
        /// Over: the request was refused.
        Rejected = "rejected",
        /// Over: it was served.
        Closed = "closed",
    }
}

named! {
    /// What can happen to a connection.
    Event {
        /// The head of a request is complete.
        RequestComplete = "request complete",
        /// A plain request was answered, and the connection is kept.
        Answered = "answered",
        /// The last plain answer is out, or the peer left between two requests.
        HttpDone = "http done",
        /// The handshake is good.
        Allowed = "allowed",
        /// The refusal is out.
        Refused = "refused",
        /// The answer to a request that was none is out.
        RequestFailed = "request failed",
        /// The handshake timeout passed.
        HandshakeTimeout = "handshake timeout",
        /// The worker made the session context.
        ContextReady = "context ready",
        /// Bytes came.
        Received = "bytes",
        /// Nothing came for the ping interval.
        PingDue = "ping interval",
        /// Nothing came for the idle timeout.
        IdleTimeout = "idle timeout",
        /// The server closes: an order, a violation, or the end of idleness.
        CloseOrdered = "close ordered",
        /// The peer's close frame came.
        CloseReceived = "close received",
        /// Our close frame is out, and the peer's was seen or, after a violation, is not waited for.
        CloseFinished = "close finished",
        /// The close timeout passed.
        CloseTimeout = "close timeout",
        /// The peer ended its stream.
        PeerEof = "end of stream",
        /// The socket or TLS failed.
        SocketError = "socket error",
    }
}

impl Event {
    /// How a connection that never was a WebSocket ends once its last answer is out.
    pub fn of_end(end: End) -> Event {
        match end {
            End::Failed => Event::RequestFailed,
            End::Rejected => Event::Refused,
            End::Closed => Event::HttpDone,
        }
    }
}

use Event as E;
use State as S;

/// Every legal transition. What is not here cannot happen.
pub const TRANSITIONS: &[(State, Event, State)] = &[
    (S::Connecting, E::RequestComplete, S::Verifying),
    (S::Connecting, E::HttpDone, S::Closed),
    (S::Connecting, E::RequestFailed, S::Failed),
    (S::Connecting, E::HandshakeTimeout, S::Failed),
    (S::Connecting, E::Received, S::Connecting),
    (S::Connecting, E::PeerEof, S::Failed),
    (S::Connecting, E::SocketError, S::Failed),
    (S::Verifying, E::Answered, S::Connecting),
    (S::Verifying, E::HttpDone, S::Closed),
    (S::Verifying, E::Allowed, S::Established),
    (S::Verifying, E::Refused, S::Rejected),
    (S::Verifying, E::RequestFailed, S::Failed),
    (S::Verifying, E::HandshakeTimeout, S::Failed),
    (S::Verifying, E::Received, S::Verifying),
    (S::Verifying, E::PeerEof, S::Failed),
    (S::Verifying, E::SocketError, S::Failed),
    (S::Established, E::ContextReady, S::Connected),
    (S::Established, E::Received, S::Established),
    (S::Established, E::CloseOrdered, S::Closing),
    (S::Established, E::CloseReceived, S::Closing),
    (S::Established, E::PeerEof, S::Closing),
    (S::Established, E::SocketError, S::Closing),
    (S::Connected, E::Received, S::Connected),
    (S::Connected, E::PingDue, S::Heartbeat),
    (S::Connected, E::CloseOrdered, S::Closing),
    (S::Connected, E::CloseReceived, S::Closing),
    (S::Connected, E::PeerEof, S::Closing),
    (S::Connected, E::SocketError, S::Closing),
    (S::Heartbeat, E::Received, S::Connected),
    (S::Heartbeat, E::IdleTimeout, S::Inactive),
    (S::Heartbeat, E::CloseOrdered, S::Closing),
    (S::Heartbeat, E::CloseReceived, S::Closing),
    (S::Heartbeat, E::PeerEof, S::Closing),
    (S::Heartbeat, E::SocketError, S::Closing),
    (S::Inactive, E::CloseOrdered, S::Closing),
    (S::Closing, E::Received, S::Closing),
    (S::Closing, E::ContextReady, S::Closing),
    (S::Closing, E::CloseOrdered, S::Closing),
    (S::Closing, E::CloseReceived, S::Closing),
    (S::Closing, E::CloseFinished, S::Closed),
    (S::Closing, E::CloseTimeout, S::Closed),
    (S::Closing, E::PeerEof, S::Closed),
    (S::Closing, E::SocketError, S::Closed),
];

const STATES: usize = State::ALL.len();
const EVENTS: usize = Event::ALL.len();

/// `TRANSITIONS` as a matrix, built at compile time.
const MATRIX: [[Option<State>; EVENTS]; STATES] = {
    let mut matrix = [[None; EVENTS]; STATES];
    let mut index = 0;
    while index < TRANSITIONS.len() {
        let (from, event, to) = TRANSITIONS[index];
        assert!(matrix[from as usize][event as usize].is_none(), "a transition is declared twice");
        matrix[from as usize][event as usize] = Some(to);
        index += 1;
    }
    matrix
};

impl State {
    /// Where `event` leads from here; `None` if it cannot happen here.
    pub fn next(self, event: Event) -> Option<State> {
        MATRIX[self as usize][event as usize]
    }

    /// Whether the connection is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, State::Failed | State::Rejected | State::Closed)
    }

    /// Whether WebSocket messages may come in.
    pub fn is_open(self) -> bool {
        matches!(self, State::Established | State::Connected | State::Heartbeat)
    }

    /// The terminal state that goes with a reason's kind.
    pub fn of_end(end: End) -> State {
        match end {
            End::Failed => State::Failed,
            End::Rejected => State::Rejected,
            End::Closed => State::Closed,
        }
    }
}

/// Every state × every event, a row for each state that has a way out: the reviewed snapshot.
pub fn matrix_text() -> String {
    let mut out = String::from("| event |");
    for state in State::ALL {
        out.push_str(&format!(" {} |", state.as_str()));
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(STATES));
    out.push('\n');
    for event in Event::ALL {
        out.push_str(&format!("| {} |", event.as_str()));
        for state in State::ALL {
            out.push_str(&format!(" {} |", state.next(*event).map_or("·", State::as_str)));
        }
        out.push('\n');
    }
    out
}

/// The table as a Mermaid state diagram; events that lead to the same state share an arrow.
pub fn diagram_text() -> String {
    let mut out = String::from("stateDiagram-v2\n    [*] --> connecting\n");
    for from in State::ALL {
        for to in State::ALL {
            let events: Vec<&str> = Event::ALL
                .iter()
                .filter(|event| from != to && from.next(**event) == Some(*to))
                .map(|event| event.as_str())
                .collect();
            if !events.is_empty() {
                out.push_str(&format!("    {} --> {}: {}\n", from.as_str(), to.as_str(), events.join(", ")));
            }
        }
    }
    for state in State::ALL.iter().filter(|state| state.is_terminal()) {
        out.push_str(&format!("    {} --> [*]\n", state.as_str()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metric;

    #[test]
    fn metric_labels_are_the_states_in_order() {
        let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(names, metric::STATES);
    }

    #[test]
    fn terminal_states_have_no_way_out_and_the_others_end() {
        for state in State::ALL {
            let ways: Vec<State> = Event::ALL.iter().filter_map(|event| state.next(*event)).collect();
            assert_eq!(ways.is_empty(), state.is_terminal(), "{state:?}");
        }
        // From every state that is not terminal, a terminal one is reached.
        for start in State::ALL {
            let mut seen = vec![*start];
            let mut index = 0;
            while index < seen.len() {
                let here = seen[index];
                for next in Event::ALL.iter().filter_map(|event| here.next(*event)) {
                    if !seen.contains(&next) {
                        seen.push(next);
                    }
                }
                index += 1;
            }
            assert!(seen.iter().any(|state| state.is_terminal()), "{start:?}");
        }
    }

    #[test]
    fn a_lost_socket_ends_every_state_that_holds_one() {
        for state in State::ALL.iter().filter(|state| !state.is_terminal() && **state != State::Inactive) {
            for event in [Event::PeerEof, Event::SocketError] {
                let next = state.next(event).unwrap();
                assert!(next.is_terminal() || next == State::Closing, "{state:?} {event:?}");
            }
        }
    }
}
