//! One connection, from the accepted socket to its single end.
//!
//! Owns the state, the deadlines, the request or frame that is partly here, and the outbound
//! queue. It refuses to do anything: bytes come in as arguments, messages go into the worker's
//! batch, and what is to be written waits in [`Connection::outbound`]. The lifecycle is drawn in
//! `docs/lifecycle.md`, from the table in [`state`].
//!
//! Every method is one of four kinds: a getter, `on_*` (something happened), `enter` (the one
//! function that changes the state), or a private step of those.

mod cx;
mod deflate;
mod forwarded;
mod http;
mod in_flight;
mod liveness;
mod settings;
pub mod state;
mod timers;
mod verify;
mod websocket;

pub use cx::{Cx, Gauge};
pub use deflate::Saved;
pub use forwarded::TrustedProxies;
pub use settings::{Origins, Settings, SignalingDoor};
pub use state::{Event, State};
pub use timers::{TimerKind, Timers};

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::http::Refusal;
use super::outbound::{EventFrame, Outbound, OutboundLimits, Policy, Pushed};
use crate::base::{ConnId, Metric, Mono, Reason};
use http::HttpPhase;
use websocket::WsPhase;

/// What a connection is doing with the bytes that come.
#[derive(Debug)]
enum Phase {
    /// Reading requests.
    Http(Box<HttpPhase>),
    /// Reading frames.
    WebSocket(WsPhase),
    /// Reading nothing more: the last answer is draining.
    Discard,
}

/// How the socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFault {
    /// A reset, or any other error of the socket.
    Reset,
    /// The TLS handshake or a TLS record was bad.
    Tls,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    id: ConnId,
    address: SocketAddr,
    state: State,
    /// Set once, when the end is decided; the terminal state is entered when output has drained.
    ending: Option<Reason>,
    phase: Phase,
    timers: Timers,
    last_received: Mono,
    /// What waits to be written.
    pub outbound: Outbound,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(id: ConnId, address: SocketAddr, cx: &mut Cx<'_>) -> Connection {
        cx.counters.inc(Metric::CONNECTIONS_OPENED);
        cx.counters.inc(Metric::STATE_ENTERED.at(State::Connecting as usize));
        let mut timers = Timers::default();
        timers.set(TimerKind::Handshake, cx.now.mono.after(cx.settings.handshake_timeout));
        Connection {
            id,
            address,
            state: State::Connecting,
            ending: None,
            phase: Phase::Http(Box::default()),
            timers,
            last_received: cx.now.mono,
            outbound: Outbound::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The state it is in.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it ended, or is about to.
    pub fn reason(&self) -> Option<Reason> {
        self.ending
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }

    /// Bytes of memory that it holds beside itself: for what is partly here, and for what waits.
    pub fn held_bytes(&self) -> usize {
        let inbound = match &self.phase {
            Phase::Http(http) => http.held_bytes(),
            Phase::WebSocket(ws) => ws.held_bytes(),
            Phase::Discard => 0,
        };
        inbound + self.outbound.held_bytes()
    }

    /// Whether a worker knows of it.
    pub fn is_websocket(&self) -> bool {
        matches!(self.phase, Phase::WebSocket(_))
    }

    /// Whether more bytes may be read from its socket now.
    pub fn may_read(&self, settings: &Settings) -> bool {
        match &self.phase {
            Phase::Http(http) => http.may_read(&self.outbound),
            Phase::WebSocket(ws) => ws.may_read(&self.outbound, settings),
            Phase::Discard => true,
        }
    }

    /// The one function that changes the state. An event that the table has no place for is a
    /// defect: it stops a debug build, and is counted and ignored in a release.
    fn enter(&mut self, event: Event, cx: &mut Cx<'_>) {
        let Some(next) = self.state.next(event) else {
            debug_assert!(false, "{:?} has no place for {event:?}", self.state);
            cx.counters.inc(Metric::IMPOSSIBLE_TRANSITIONS);
            return;
        };
        if next == self.state {
            return;
        }
        cx.counters.inc(Metric::STATE_LEFT.at(self.state as usize));
        cx.counters.inc(Metric::STATE_ENTERED.at(next as usize));
        self.state = next;
        if next.is_terminal() {
            let reason = self.ending.unwrap_or(Reason::Internal);
            self.ending = Some(reason);
            debug_assert_eq!(State::of_end(reason.end()), next, "{reason:?}");
            cx.counters.inc(Metric::closed(reason));
            if self.deflate().is_some() {
                cx.counters.inc(Metric::DEFLATE_CLOSED);
            }
            self.timers.clear_all();
            self.outbound = Outbound::default();
        }
    }

    /// Bytes came. They may be changed: frames are unmasked in place.
    pub fn on_received(&mut self, input: &mut [u8], cx: &mut Cx<'_>) {
        if self.state.is_terminal() || input.is_empty() {
            return;
        }
        cx.counters.add(Metric::BYTES_IN, input.len() as u64);
        self.last_received = cx.now.mono;
        if self.state == State::Heartbeat {
            self.timers.set(TimerKind::Liveness, cx.now.mono.after(cx.settings.ping_interval));
        }
        self.enter(Event::Received, cx);
        match &self.phase {
            Phase::Http(_) => self.on_request_bytes(input, cx),
            Phase::WebSocket(_) => self.on_frame_bytes(input, cx),
            Phase::Discard => {}
        }
    }

    /// The peer ended its stream.
    pub fn on_eof(&mut self, cx: &mut Cx<'_>) {
        match (&self.phase, self.state) {
            (_, State::Failed | State::Rejected | State::Closed) => {}
            // The last answer may still be on its way out.
            (Phase::Http(http), State::Connecting) if http.is_between_requests() => {
                self.end_http(Reason::HttpDone, cx);
            }
            // A half-closed peer may still read the answer that is on its way.
            (Phase::Http(http), State::Verifying) if http.is_awaiting() && self.ending.is_none() => {
                self.close_after_answer();
            }
            (Phase::Discard, State::Connecting | State::Verifying) => {}
            (Phase::Http(_) | Phase::Discard, _) => {
                self.finish_http(Event::PeerEof, Reason::HandshakeEof, cx);
            }
            // It may still read the close frame that answers its own.
            (Phase::WebSocket(ws), _) if ws.is_deaf() && !self.outbound.is_empty() => {}
            (Phase::WebSocket(_), _) => self.on_websocket_gone(Event::PeerEof, Reason::PeerEof, cx),
        }
    }

    /// The socket failed.
    pub fn on_socket_error(&mut self, fault: SocketFault, cx: &mut Cx<'_>) {
        let websocket = self.is_websocket();
        let reason = match (fault, websocket) {
            (_, true) => Reason::PeerReset,
            (SocketFault::Reset, false) => Reason::HandshakeError,
            (SocketFault::Tls, false) => Reason::TlsFailed,
        };
        if websocket {
            self.on_websocket_gone(Event::SocketError, reason, cx);
        } else if !self.state.is_terminal() {
            let between = matches!(&self.phase, Phase::Http(http) if http.is_between_requests());
            if between && self.state == State::Connecting {
                self.finish_http(Event::HttpDone, Reason::HttpDone, cx);
            } else {
                // What was decided before is lost with the socket: the request failed.
                self.ending = None;
                self.finish_http(Event::SocketError, reason, cx);
            }
        }
    }

    /// Whether with `size` bytes more much would wait that the socket was not offered yet: more than
    /// half of the limits.
    pub fn is_pressed(&self, size: usize, limits: &OutboundLimits) -> bool {
        let (bytes, frames) = (self.outbound.bytes(), self.outbound.frames());
        frames > 0
            && (bytes + size > limits.bytes_max / 2 || frames >= limits.frames_max / 2)
            && !self.outbound.is_blocked()
    }

    /// Whether an event may be written to its socket past the queue: nothing waits, or may come before it.
    pub fn takes_straight(&self) -> bool {
        self.state.is_open() && self.ending.is_none() && self.is_websocket() && self.outbound.is_idle()
    }

    /// There is no place for it: it is answered without being heard.
    pub fn refuse_unheard(&mut self, cx: &mut Cx<'_>) {
        self.enter(Event::RequestComplete, cx);
        self.refuse(Refusal::ServerFull(verify::RETRY_MS), cx);
    }

    /// The server stops now.
    pub fn on_cut(&mut self, cx: &mut Cx<'_>) {
        match &self.phase {
            Phase::WebSocket(_) => self.on_websocket_gone(Event::SocketError, Reason::Draining, cx),
            Phase::Http(_) | Phase::Discard => self.on_socket_error(SocketFault::Reset, cx),
        }
    }

    /// The server is stopping.
    pub fn on_drain(&mut self, cx: &mut Cx<'_>) {
        match &self.phase {
            Phase::WebSocket(_) => self.drain_websocket(cx),
            Phase::Http(http) if http.is_between_requests() && self.state == State::Connecting => {
                self.end_http(Reason::HttpDone, cx);
            }
            // Whoever asked for nothing yet has nothing to wait for.
            Phase::Http(http) if http.is_unused() => self.finish_http(Event::HttpDone, Reason::HttpDone, cx),
            Phase::Http(_) => self.close_after_answer(),
            Phase::Discard => {}
        }
    }

    /// Deadlines that have passed.
    pub fn on_time(&mut self, cx: &mut Cx<'_>) {
        while let Some(kind) = self.timers.pop_due(cx.now.mono) {
            match kind {
                TimerKind::Handshake => self.on_handshake_timeout(cx),
                TimerKind::Liveness => self.on_liveness(cx),
                TimerKind::Close => self.on_close_timeout(cx),
            }
        }
    }

    /// Queues an event as its subscription's policy says.
    pub fn push_event(&mut self, event: &Arc<EventFrame>, policy: Policy, cx: &mut Cx<'_>) {
        if !self.state.is_open() || self.ending.is_some() {
            cx.counters.inc(Metric::EVENTS_DROPPED.at(2));
            return;
        }
        let limits = cx.outbound_limits();
        let event = self.form_of(event, policy.lane, cx);
        match self.outbound.push_event(event, policy, &limits) {
            Pushed::Queued => cx.counters.inc(Metric::EVENTS_DELIVERED),
            Pushed::Conflated => {
                cx.counters.inc(Metric::EVENTS_DELIVERED);
                cx.counters.inc(Metric::EVENTS_DROPPED.at(1));
            }
            Pushed::Dropped(count) => {
                cx.counters.inc(Metric::EVENTS_DELIVERED);
                cx.counters.add(Metric::EVENTS_DROPPED, u64::from(count));
            }
            Pushed::Overflow => {
                let lost = self.outbound.discard_events() as u64 + 1;
                cx.counters.add(Metric::EVENTS_DROPPED.at(2), lost);
                self.close(Reason::SlowConsumer, "slow consumer: the outbound limit is reached", cx);
            }
        }
    }

    /// Queues a control frame or response; a peer that asks and does not read is closed.
    fn push_control(&mut self, frame: Bytes, cx: &mut Cx<'_>) {
        if !self.outbound.push_control(frame, cx.control_bytes_max()) {
            self.close(Reason::SlowConsumer, "slow consumer: responses are not read", cx);
        }
    }

    /// So many bytes of the outbound queue went out; `blocked` if the socket took less than it
    /// was offered.
    pub fn on_sent(&mut self, count: usize, blocked: bool, cx: &mut Cx<'_>) {
        if self.state.is_terminal() {
            return;
        }
        cx.counters.add(Metric::BYTES_OUT, count as u64);
        self.outbound.on_sent(count, blocked);
        if count > 0 {
            self.on_answer_read(cx);
        }
        if self.outbound.is_empty() {
            self.on_drained(cx);
        }
        // It may have been held back for not reading.
        self.on_resume(cx);
    }

    /// Whether the peer may still be sending when the connection is over: closing its socket at
    /// once would reset the last words under way.
    pub fn lingers(&self) -> bool {
        use Reason as R;
        match self.ending {
            Some(R::HandshakeEof | R::HandshakeError) => false,
            Some(R::ProtocolError | R::InvalidUtf8 | R::MessageTooLarge) => true,
            Some(_) | None => !self.is_websocket(),
        }
    }

    /// Everything that waited is out.
    fn on_drained(&mut self, cx: &mut Cx<'_>) {
        // What a connection that is over had left may still have gone out.
        if self.state.is_terminal() {
            return;
        }
        match &self.phase {
            Phase::Discard => {
                if let Some(reason) = self.ending {
                    self.finish_http(Event::of_end(reason.end()), reason, cx);
                }
            }
            Phase::WebSocket(_) => self.finish_close(cx),
            Phase::Http(_) => self.on_answer_out(cx),
        }
    }

    fn on_close_timeout(&mut self, cx: &mut Cx<'_>) {
        match self.state {
            State::Closing => self.enter(Event::CloseTimeout, cx),
            State::Connecting | State::Verifying => {
                if let Some(reason) = self.ending {
                    self.finish_http(Event::of_end(reason.end()), reason, cx);
                }
            }
            // Responses that were owed did not come in time.
            State::Established | State::Connected | State::Heartbeat => self.part_now(cx),
            State::Inactive | State::Failed | State::Rejected | State::Closed => {}
        }
    }
}
