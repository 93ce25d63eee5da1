//! The WebSocket part of a connection: frames in, and the close handshake.

use std::borrow::Cow;

use super::in_flight::InFlight;
use super::{Connection, Cx, Event, Phase, Settings, State, TimerKind};
use crate::base::limits::INFLATED_BYTES_PER_STEP;
use crate::base::{ConnId, DialectId, Metric, Reason};
use crate::engine::outbound::Outbound;
use crate::engine::work::Item;
use crate::engine::ws::deflate::{Agreed, Form};
use crate::engine::ws::{self, Decoder, Flow, Incoming, Role};
use bytes::{Buf, Bytes, BytesMut};

/// What a connection holds once it is a WebSocket.
#[derive(Debug)]
pub(super) struct WsPhase {
    decoder: Decoder,
    dialect: DialectId,
    /// The form in which compressed messages go to the peer, if compression was agreed.
    pub(super) deflate: Option<Form>,
    /// Messages that the worker has and has not settled.
    in_flight: InFlight,
    /// Bytes read while the connection may not take more messages.
    unread: BytesMut,
    /// The peer's close frame came, or it broke the protocol: nothing more of it is taken in.
    is_deaf: bool,
    close_sent: bool,
    /// Why it will close once the responses that are still owed are queued; nothing more is
    /// taken until then.
    parting: Option<Parting>,
}

/// Why a connection closes as soon as it owes nothing.
#[derive(Debug)]
enum Parting {
    /// A worker ordered it: the reason, and a text for the close frame.
    Ordered(Box<(Reason, Cow<'static, str>)>),
    /// The server is stopping.
    Draining,
    /// The peer broke the protocol.
    Failed(ws::Violation),
}

impl WsPhase {
    pub(super) fn new(dialect: DialectId, deflate: Option<Agreed>) -> WsPhase {
        let decoder = match deflate {
            Some(agreed) => Decoder::with_deflate(Role::Server, agreed.kept_bits),
            None => Decoder::new(Role::Server),
        };
        WsPhase {
            decoder,
            dialect,
            deflate: deflate.map(|agreed| agreed.form),
            in_flight: InFlight::default(),
            unread: BytesMut::new(),
            is_deaf: false,
            close_sent: false,
            parting: None,
        }
    }

    /// A client that has too many commands under way, or does not read its responses, is not
    /// read from: the stream's own flow control slows it down.
    pub(super) fn may_read(&self, outbound: &Outbound, settings: &Settings) -> bool {
        self.close_sent
            || (self.parting.is_none()
                && has_room(self.in_flight, settings)
                && reads_its_answers(outbound, settings)
                && self.unread.is_empty())
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.unread.capacity()
    }

    /// Whether the last words are said, and are only to be written.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }
}

impl Connection {
    pub(super) fn on_frame_bytes(&mut self, input: &mut [u8], cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &self.phase else { return };
        // What follows bytes that wait, waits behind them; before the close, all of it waits.
        let waits = !phase.unread.is_empty() || (phase.parting.is_some() && !phase.close_sent);
        let consumed = if waits && !phase.is_deaf { 0 } else { self.feed(input, cx) };
        if let Phase::WebSocket(phase) = &mut self.phase {
            phase.unread.extend_from_slice(&input[consumed..]);
        }
    }

    /// Takes what may be taken of `input`, and says how much that is.
    fn feed(&mut self, input: &mut [u8], cx: &mut Cx<'_>) -> usize {
        let Phase::WebSocket(phase) = &mut self.phase else { return input.len() };
        // RFC 6455 5.5.1: after the close frame, what follows is discarded.
        if phase.is_deaf {
            return input.len();
        }
        let id = self.id;
        let (closing, dialect) = (phase.close_sent, phase.dialect);
        let settings = cx.settings;
        let mut pongs_fit = true;
        let mut close = None;
        let (in_flight, outbound) = (&mut phase.in_flight, &mut self.outbound);
        let control_bytes_max = cx.control_bytes_max();
        // Nothing is inflated for a connection that is closing.
        let mut inflater = phase.deflate.filter(|_| !closing).map(|_| std::mem::take(&mut cx.zlib.inflater));
        let mut appetite = if inflater.is_some() { INFLATED_BYTES_PER_STEP } else { usize::MAX };
        let mut hand_on = |len: usize| {
            in_flight.add(len);
            appetite = appetite.saturating_sub(len);
            flow(has_room(*in_flight, settings) && appetite > 0)
        };
        let consumed =
            phase.decoder.feed_inflating(input, &settings.frames, inflater.as_mut(), &mut |incoming| match incoming {
                Incoming::Text(text) if !closing => {
                    let batch = cx.batch(id);
                    batch.texts.push_str(text);
                    batch.items.push(Item::Text { conn: id, dialect, len: text.len() as u32 });
                    hand_on(text.len())
                }
                Incoming::Binary(bytes) if !closing => {
                    let batch = cx.batch(id);
                    batch.bytes.extend_from_slice(bytes);
                    batch.items.push(Item::Binary { conn: id, dialect, len: bytes.len() as u32 });
                    hand_on(bytes.len())
                }
                Incoming::Ping(payload) if !closing => {
                    cx.counters.inc(Metric::PINGS_IN);
                    pongs_fit = outbound.push_control(ws::pong(payload), control_bytes_max);
                    flow(pongs_fit && reads_its_answers(outbound, settings))
                }
                Incoming::Text(_) | Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Pong(_) => Flow::Continue,
                Incoming::Close { code, reason } => {
                    // RFC 6455 5.5.1: the answer echoes the code that was received.
                    close = Some(ws::close(code.map(|code| (code, reason))));
                    Flow::Pause
                }
            });
        if let Some(inflater) = inflater {
            cx.put_back(inflater);
        }
        match consumed {
            Err(violation) => {
                self.on_violation(violation, cx);
                input.len()
            }
            Ok(consumed) => {
                if let Some(echo) = close {
                    self.on_close_received(echo, cx);
                    return input.len();
                }
                if !pongs_fit {
                    self.close(Reason::SlowConsumer, "slow consumer: pongs are not read", cx);
                    // The rest is looked through for the peer's close frame alone.
                    return consumed + self.feed(&mut input[consumed..], cx);
                }
                consumed
            }
        }
    }

    /// Takes the bytes that were read while the connection might not take more messages.
    pub fn on_resume(&mut self, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        if self.ending.is_some() {
            return;
        }
        if phase.parting.is_some() {
            return self.part_if_settled(cx);
        }
        if phase.unread.is_empty()
            || !has_room(phase.in_flight, cx.settings)
            // What a few bytes were inflated to is done with before there is more of it.
            || (phase.deflate.is_some() && !phase.in_flight.is_empty())
            || !reads_its_answers(&self.outbound, cx.settings)
        {
            return;
        }
        self.feed_unread(cx);
    }

    fn feed_unread(&mut self, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        let mut unread = std::mem::take(&mut phase.unread);
        let consumed = self.feed(&mut unread, cx);
        unread.advance(consumed);
        if !unread.is_empty()
            && let Phase::WebSocket(phase) = &mut self.phase
        {
            phase.unread = unread;
        }
    }

    /// The server is stopping: closes as soon as every message that was taken is answered, or at
    /// the close timeout.
    pub(super) fn drain_websocket(&mut self, cx: &mut Cx<'_>) {
        self.part(Parting::Draining, cx);
    }

    /// A worker ordered the close: what was asked before is answered first, if it can be in time.
    pub fn on_close_ordered(&mut self, reason: Reason, text: Cow<'static, str>, cx: &mut Cx<'_>) {
        self.part(Parting::Ordered(Box::new((reason, text))), cx);
    }

    fn part(&mut self, parting: Parting, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        if self.state.is_terminal() || self.ending.is_some() {
            return;
        }
        // What is decided stands, but a peer that cannot be understood is told that above all.
        if phase.parting.is_some() && !matches!(parting, Parting::Failed(_)) {
            return;
        }
        phase.parting = Some(parting);
        self.timers.set(TimerKind::Close, cx.now.mono.after(cx.settings.close_timeout));
        self.part_if_settled(cx);
    }

    fn part_if_settled(&mut self, cx: &mut Cx<'_>) {
        if let Phase::WebSocket(phase) = &self.phase
            && phase.in_flight.is_empty()
        {
            self.part_now(cx);
        }
    }

    /// Closes for the reason that was found before.
    pub(super) fn part_now(&mut self, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        match phase.parting.take() {
            Some(Parting::Ordered(ordered)) => self.close(ordered.0, &ordered.1, cx),
            Some(Parting::Failed(violation)) => self.close(violation.reason(), violation.text(), cx),
            Some(Parting::Draining) => {
                let text = drain_text(self.id, cx);
                self.close(Reason::Draining, &text, cx);
            }
            None => {}
        }
    }

    /// The worker is done with so many messages.
    pub fn on_settled(&mut self, count: u32) {
        if let Phase::WebSocket(phase) = &mut self.phase {
            phase.in_flight.settle(count);
        }
    }

    /// The session context is made.
    pub fn on_ready(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Established | State::Closing) {
            self.enter(Event::ContextReady, cx);
            if self.state == State::Connected {
                self.timers.set(TimerKind::Liveness, cx.now.mono.after(cx.settings.ping_interval));
            }
        }
    }

    /// A response or notice from the worker.
    pub fn on_send(&mut self, frame: Bytes, is_answer: bool, cx: &mut Cx<'_>) {
        if !self.is_websocket() || self.ending.is_some() {
            return;
        }
        let frame = self.form_of_response(frame, cx);
        if is_answer || !self.has_talkative_peers() {
            self.push_control(frame, cx);
        } else if !self.outbound.push_notice(frame, &cx.outbound_limits()) {
            self.close(Reason::SlowConsumer, "slow consumer: the outbound limit is reached", cx);
        }
    }

    /// Whether others decide how much it is sent beside answers and events.
    pub fn has_talkative_peers(&self) -> bool {
        self.dialect() == Some(DialectId::Signaling)
    }

    /// RFC 6455 7.1.7: the connection is failed. What was right before is still answered; what
    /// follows cannot be understood, so the peer's close frame is not waited for.
    fn on_violation(&mut self, violation: ws::Violation, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        phase.is_deaf = true;
        if self.ending.is_none() {
            cx.counters.inc(violation.metric());
        }
        // Events that wait would only delay the one thing that the peer must know.
        self.outbound.discard_events();
        self.part(Parting::Failed(violation), cx);
        self.finish_close(cx);
    }

    /// Starts the close handshake, once. `text` goes into the close frame.
    pub fn close(&mut self, reason: Reason, text: &str, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        if self.state.is_terminal() || self.ending.is_some() {
            return;
        }
        phase.close_sent = true;
        self.ending = Some(reason);
        if reason == Reason::SlowConsumer {
            self.outbound.discard_events();
        }
        self.outbound.push_last(ws::close(reason.close_code().map(|code| (code, text))));
        self.enter(Event::CloseOrdered, cx);
        self.timers.clear_all();
        self.timers.set(TimerKind::Close, cx.now.mono.after(cx.settings.close_timeout));
        // The peer's close frame comes behind what waits, amid a frame perhaps.
        self.feed_unread(cx);
    }

    fn on_close_received(&mut self, echo: Bytes, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &mut self.phase else { return };
        phase.is_deaf = true;
        let answered = std::mem::replace(&mut phase.close_sent, true);
        if !answered {
            self.ending = Some(Reason::PeerClosed);
            // RFC 6455 5.5.1: an endpoint answers with a close frame, as soon as practical.
            self.outbound.discard_events();
            self.outbound.push_last(echo);
            self.timers.clear_all();
            self.timers.set(TimerKind::Close, cx.now.mono.after(cx.settings.close_timeout));
        }
        self.enter(Event::CloseReceived, cx);
        self.finish_close(cx);
    }

    /// Ends the connection once nothing more is to come from the peer and our close frame is out.
    pub(super) fn finish_close(&mut self, cx: &mut Cx<'_>) {
        let Phase::WebSocket(phase) = &self.phase else { return };
        if self.state == State::Closing && phase.close_sent && phase.is_deaf && self.outbound.is_empty() {
            self.enter(Event::CloseFinished, cx);
        }
    }

    pub(super) fn on_websocket_gone(&mut self, event: Event, reason: Reason, cx: &mut Cx<'_>) {
        if self.state.is_terminal() {
            return;
        }
        self.ending.get_or_insert(reason);
        if let Phase::WebSocket(phase) = &mut self.phase {
            phase.unread = BytesMut::new();
        }
        self.enter(event, cx);
        if self.state == State::Closing {
            self.enter(event, cx);
        }
    }

    /// What it speaks has turned out.
    pub fn on_dialect(&mut self, dialect: DialectId, cx: &mut Cx<'_>) {
        if let Phase::WebSocket(phase) = &mut self.phase {
            let before = std::mem::replace(&mut phase.dialect, dialect);
            cx.counters.inc(Metric::DIALECT_CLOSED.at(before as usize));
            cx.counters.inc(Metric::DIALECT_OPENED.at(dialect as usize));
        }
    }

    /// The dialect that it speaks, once it is a WebSocket.
    pub fn dialect(&self) -> Option<DialectId> {
        match &self.phase {
            Phase::WebSocket(phase) => Some(phase.dialect),
            Phase::Http(_) | Phase::Discard => None,
        }
    }
}

/// The reason of a 1001: when to come back, spread over the clients so that they do not all come
/// at once.
fn drain_text(id: ConnId, cx: &Cx<'_>) -> String {
    let spread = cx.settings.reconnect_spread.as_millis() as u64;
    // A multiplicative hash spreads neighbouring slots evenly.
    let share = (id.slot() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    format!("draining; reconnect_after_ms={}", (spread * share) >> 32)
}

/// Whether few enough answers wait that the peer may ask for more.
pub(super) fn reads_its_answers(outbound: &Outbound, settings: &Settings) -> bool {
    outbound.control_frames() < settings.in_flight_max as usize
        && outbound.control_bytes() < settings.outbound.bytes_max
}

fn has_room(in_flight: InFlight, settings: &Settings) -> bool {
    in_flight.has_room(settings.in_flight_max, settings.frames.message_bytes_max)
}

fn flow(go_on: bool) -> Flow {
    if go_on { Flow::Continue } else { Flow::Pause }
}
