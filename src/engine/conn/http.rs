//! The HTTP part of a connection: requests in, one at a time, until one of them becomes a
//! WebSocket or the connection ends.
//!
//! A pipelined request waits in the buffer until the one before it is answered. What is wrong
//! with a request is answered once, and then nothing more is read.

use bytes::Bytes;

use super::forwarded::is_local;
use super::verify::{self, Verdict};
use super::websocket::WsPhase;
use super::{Connection, Cx, Event, Phase, State, TimerKind};
use crate::base::{Metric, Reason, limits};
use crate::engine::auth::Identity;
use crate::engine::http::{Answer, BodyDecoder, CONTINUE, Head, HeadEnd, Method, Refusal, find_end, parse_head};
use crate::engine::outbound::Outbound;
use crate::engine::work::{Item, Opening, Request};
use std::sync::Arc;

/// What a connection holds while it reads requests.
#[derive(Debug, Default)]
pub(super) struct HttpPhase {
    /// Bytes of a request that is partly here, and those behind it.
    buffer: Vec<u8>,
    /// Bytes of the buffer that were searched for the head's end.
    scanned: usize,
    /// The request whose body is arriving.
    pending: Option<Pending>,
    /// How the answer that is being made is to be written.
    awaiting: Option<Awaiting>,
    /// The peer, or the server's stop, wants the next answer to be the last.
    close_after: bool,
    /// The last head that was read is a HEAD's: its answer has no body.
    head_only: bool,
    requests: u32,
}

#[derive(Debug)]
struct Pending {
    head: Head,
    identity: Option<Arc<Identity>>,
    body: BodyDecoder,
}

#[derive(Clone, Copy, Debug)]
struct Awaiting {
    keep_alive: bool,
}

impl HttpPhase {
    /// The next request waits until the answer before it is out: a peer that asks and does not
    /// read makes us hold one answer, not many.
    pub(super) fn may_read(&self, outbound: &Outbound) -> bool {
        self.awaiting.is_none() && (outbound.is_empty() || self.pending.is_some())
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn is_awaiting(&self) -> bool {
        self.awaiting.is_some()
    }

    /// Whether a request was answered, and the next is not begun or waits for the answer to be read.
    fn is_answered(&self) -> bool {
        self.requests > 0 && self.awaiting.is_none() && self.pending.is_none()
    }

    /// Whether no byte of a request has come.
    pub(super) fn is_unused(&self) -> bool {
        self.requests == 0 && self.buffer.is_empty() && self.pending.is_none() && self.awaiting.is_none()
    }

    /// Whether a request was answered, and no byte of the next is here.
    pub(super) fn is_between_requests(&self) -> bool {
        self.is_answered() && self.buffer.is_empty()
    }
}

impl Connection {
    fn http(&mut self) -> Option<&mut HttpPhase> {
        match &mut self.phase {
            Phase::Http(http) => Some(http),
            Phase::WebSocket(_) | Phase::Discard => None,
        }
    }

    pub(super) fn on_request_bytes(&mut self, input: &[u8], cx: &mut Cx<'_>) {
        let Some(http) = self.http() else { return };
        if http.is_between_requests() {
            // The next request has begun: it gets the time that a first one gets.
            let deadline = cx.now.mono.after(cx.settings.handshake_timeout);
            self.timers.set(TimerKind::Handshake, deadline);
        }
        let Some(http) = self.http() else { return };
        http.buffer.extend_from_slice(input);
        self.advance(cx);
    }

    /// Takes from the buffer what can be taken.
    fn advance(&mut self, cx: &mut Cx<'_>) {
        loop {
            let Phase::Http(http) = &self.phase else { return };
            if !http.may_read(&self.outbound) || (http.buffer.is_empty() && http.pending.is_none()) {
                return;
            }
            let go_on = if http.pending.is_some() { self.take_body(cx) } else { self.take_head(cx) };
            match go_on {
                Ok(true) => {}
                Ok(false) => return,
                Err(refusal) => return self.refuse(refusal, cx),
            }
        }
    }

    /// Reads a head; true if the buffer may hold more to take.
    fn take_head(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let settings = cx.settings;
        let Some(http) = self.http() else { return Ok(false) };
        let end = match find_end(&http.buffer, http.scanned, &settings.head)? {
            HeadEnd::Complete { end } => end,
            HeadEnd::Partial { scanned } => {
                http.scanned = scanned;
                return Ok(false);
            }
        };
        let head = parse_head(&http.buffer[..end], &settings.head)?;
        http.buffer.drain(..end);
        http.scanned = 0;
        http.requests += 1;
        http.head_only = head.method == Method::Head;
        cx.counters.inc(Metric::HTTP_REQUESTS);
        self.enter(Event::RequestComplete, cx);
        let address = settings.proxies.client(self.address, &head.headers);
        match verify::judge(&head, address, cx)? {
            Verdict::WebSocket(admission) => {
                self.address = address;
                self.establish(*admission, cx);
                Ok(false)
            }
            Verdict::Plain(identity) => {
                let body = BodyDecoder::new(head.body, settings.body_bytes_max)?;
                if head.expect_continue && !body.is_done() {
                    self.push_answer(CONTINUE.to_vec());
                }
                if let Some(http) = self.http() {
                    http.pending = Some(Pending { head, identity, body });
                }
                Ok(true)
            }
        }
    }

    /// Reads a body and, once it is complete, hands the request on.
    fn take_body(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let id = self.id;
        let Some(http) = self.http() else { return Ok(false) };
        let Some(mut pending) = http.pending.take() else { return Ok(false) };
        // No resource here takes a body: it is read so that the next request is found.
        let mut discarded = Vec::new();
        let (consumed, done) = pending.body.feed(&http.buffer, &mut discarded)?;
        http.buffer.drain(..consumed);
        if !done {
            http.pending = Some(pending);
            return Ok(false);
        }
        let Pending { head, identity, .. } = pending;
        let last = http.close_after || cx.gauge.draining || http.requests >= limits::HTTP_REQUESTS_PER_CONNECTION;
        http.awaiting = Some(Awaiting { keep_alive: head.keep_alive && !last });
        if http.buffer.is_empty() {
            http.buffer = Vec::new();
        }
        self.timers.clear(TimerKind::Handshake);
        let is_local = is_local(self.address, &head);
        cx.requests.push(Request { conn: id, head, identity, is_local });
        Ok(false)
    }

    /// The answer to the request that was handed on.
    pub fn on_answer(&mut self, answer: &Answer, cx: &mut Cx<'_>) {
        let Some(http) = self.http() else { return };
        let Some(awaiting) = http.awaiting.take() else { return };
        let keep = awaiting.keep_alive && !http.close_after && !cx.gauge.draining;
        let mut out = Vec::with_capacity(answer.body.len() + 256);
        answer.write(http.head_only, !keep, cx.now.wall, &mut out);
        self.push_answer(out);
        if !keep {
            self.end_http(Reason::HttpDone, cx);
            return;
        }
        if self.state == State::Verifying {
            self.enter(Event::Answered, cx);
        }
        self.timers.set(TimerKind::Handshake, cx.now.mono.after(cx.settings.keep_alive_timeout));
    }

    /// Some bytes of an answer went out: who reads it gets time to read the rest.
    pub(super) fn on_answer_read(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        match &self.phase {
            Phase::Http(http) if http.is_answered() => {
                self.timers.set(TimerKind::Handshake, now.after(cx.settings.keep_alive_timeout));
            }
            Phase::Discard => self.timers.set(TimerKind::Close, now.after(cx.settings.close_timeout)),
            Phase::Http(_) | Phase::WebSocket(_) => {}
        }
    }

    /// The answer is out: the request behind it has its turn.
    pub(super) fn on_answer_out(&mut self, cx: &mut Cx<'_>) {
        if let Phase::Http(http) = &self.phase
            && http.is_answered()
            && !http.buffer.is_empty()
        {
            self.timers.set(TimerKind::Handshake, cx.now.mono.after(cx.settings.handshake_timeout));
            self.advance(cx);
        }
    }

    /// The next answer is the last one.
    pub(super) fn close_after_answer(&mut self) {
        if let Some(http) = self.http() {
            http.close_after = true;
        }
    }

    /// Answers with a refusal, and reads nothing more.
    pub(super) fn refuse(&mut self, refusal: Refusal, cx: &mut Cx<'_>) {
        cx.counters.inc(refusal.metric());
        cx.counters.inc(Metric::error(refusal.code()));
        let head_only = self.http().is_some_and(|http| http.head_only);
        let mut out = Vec::with_capacity(512);
        Answer::refusal(&refusal).write(head_only, true, cx.now.wall, &mut out);
        self.push_answer(out);
        // What was judged is rejected; what never got so far, or broke its own framing, failed.
        let reason = refusal.reason();
        self.end_http(reason, cx);
    }

    fn push_answer(&mut self, bytes: Vec<u8>) {
        // A plain connection has one answer under way at most, so the limit cannot be met here.
        let _ = self.outbound.push_control(Bytes::from(bytes), usize::MAX);
    }

    /// Decides the end; the terminal state is entered when the answer is out.
    pub(super) fn end_http(&mut self, reason: Reason, cx: &mut Cx<'_>) {
        self.phase = Phase::Discard;
        self.ending = Some(reason);
        self.timers.clear_all();
        self.timers.set(TimerKind::Close, cx.now.mono.after(cx.settings.close_timeout));
        if self.outbound.is_empty() {
            self.on_drained(cx);
        }
    }

    /// Enters the terminal state of a connection that never was a WebSocket.
    pub(super) fn finish_http(&mut self, event: Event, reason: Reason, cx: &mut Cx<'_>) {
        self.ending.get_or_insert(reason);
        self.phase = Phase::Discard;
        self.enter(event, cx);
    }

    pub(super) fn on_handshake_timeout(&mut self, cx: &mut Cx<'_>) {
        let Phase::Http(http) = &self.phase else { return };
        if http.is_between_requests() || !http.may_read(&self.outbound) {
            // The peer asks for nothing more, or does not read what it asked for.
            self.finish_http(Event::HttpDone, Reason::HttpDone, cx);
        } else if http.buffer.is_empty() && http.pending.is_none() {
            self.finish_http(Event::HandshakeTimeout, Reason::HandshakeTimeout, cx);
        } else {
            self.refuse(Refusal::Timeout, cx);
        }
    }

    /// Answers `101` and becomes a WebSocket.
    fn establish(&mut self, admission: verify::Admission, cx: &mut Cx<'_>) {
        let mut rest = match self.http() {
            Some(http) => std::mem::take(&mut http.buffer),
            None => Vec::new(),
        };
        self.push_answer(admission.answer);
        self.timers.clear(TimerKind::Handshake);
        self.phase = Phase::WebSocket(WsPhase::new(admission.dialect, admission.deflate));
        if admission.deflate.is_some() {
            cx.counters.inc(Metric::DEFLATE_OPENED);
        }
        cx.gauge.websockets += 1;
        cx.counters.inc(Metric::DIALECT_OPENED.at(admission.dialect as usize));
        self.enter(Event::Allowed, cx);
        let opening = Opening {
            conn: self.id,
            dialect: admission.dialect,
            identity: admission.identity,
            address: self.address,
            protocol: admission.protocol,
            client_id: admission.client_id,
            access_version: cx.access.version,
            resume: admission.resume,
        };
        cx.submit(self.id, Item::Open(Box::new(opening)));
        // A client may send its first frames right behind the request.
        if !rest.is_empty() {
            self.on_frame_bytes(&mut rest, cx);
        }
    }
}
