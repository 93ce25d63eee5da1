//! The echo dialect: every message comes back as it came, for conformance suites and for
//! operators who test a proxy. It holds no state.

use crate::base::{ConnId, Counters, Metric, Mono};
use crate::engine::work::{Order, Outbox};
use crate::engine::ws::encoder;

const ECHO_IN: usize = 4;
const ECHO_OUT: usize = 4;

/// A connection was let in: it is ready at once.
pub fn on_open<P>(conn: ConnId, out: &mut Outbox<P>) {
    out.order(conn, Order::Ready { conn });
}

/// Sends a text message back.
pub fn on_text<P>(conn: ConnId, text: &str, read_at: Mono, counters: &Counters, out: &mut Outbox<P>) {
    send_back(conn, text.len(), encoder::text(text.as_bytes()), read_at, counters, out);
}

/// Sends a binary message back.
pub fn on_binary<P>(conn: ConnId, bytes: &[u8], read_at: Mono, counters: &Counters, out: &mut Outbox<P>) {
    send_back(conn, bytes.len(), encoder::binary(bytes), read_at, counters, out);
}

fn send_back<P>(
    conn: ConnId,
    came: usize,
    frame: bytes::Bytes,
    received_at: Mono,
    counters: &Counters,
    out: &mut Outbox<P>,
) {
    counters.inc(Metric::MESSAGES_IN.at(ECHO_IN));
    counters.inc(Metric::MESSAGES_OUT.at(ECHO_OUT));
    counters.add(Metric::MESSAGE_BYTES_IN.at(ECHO_IN), came as u64);
    counters.add(Metric::MESSAGE_BYTES_OUT.at(ECHO_OUT), frame.len() as u64);
    out.order(conn, Order::Send { conn, frame, settles: 1, received_at });
}
