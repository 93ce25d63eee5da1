//! What workers and services order: to the right connection, and no faster than sockets take it.

use super::Endpoint;
use crate::base::{Metric, Now};
use crate::engine::work::Order;

/// Whether all orders were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// They were.
    All,
    /// What waits is to be written first.
    Pressed,
}

impl Endpoint {
    /// Orders from workers and services, all of them, by way of the queues.
    pub fn on_orders(&mut self, orders: impl IntoIterator<Item = Order>, now: Now) {
        let mut orders = orders.into_iter();
        while self.take_orders(&mut orders, now) == Taken::Pressed {}
        self.spill();
        while self.hand_out(now) == Taken::Pressed {}
        self.is_mixed = false;
    }

    /// Orders from workers and services. Stops with [`Taken::Pressed`] when a connection whose socket
    /// was not found full has much waiting: it is to be written to before more is taken, by calling
    /// this again. Else a burst would be held against a peer that reads.
    ///
    /// Broadcasts may be held back, to go to their targets without a queue: [`Endpoint::poll_cast`] is
    /// to be called when there are no more orders.
    pub fn take_orders(&mut self, orders: &mut impl Iterator<Item = Order>, now: Now) -> Taken {
        loop {
            if self.hand_out(now) == Taken::Pressed {
                return Taken::Pressed;
            }
            let held = self.held_order.take();
            let may_stop = held.is_none();
            let Some(order) = held.or_else(|| orders.next()) else { return Taken::All };
            // What begins or ends a connection comes behind the events before it.
            let may_overtake = matches!(order, Order::Broadcast { .. } | Order::Send { .. } | Order::Settle { .. });
            if !may_overtake && self.spill() {
                self.held_order = Some(order);
                continue;
            }
            if may_stop && self.is_pressed_by(&order) {
                self.held_order = Some(order);
                return Taken::Pressed;
            }
            match order {
                Order::Ready { conn } => self.with(conn, now, |conn, cx| conn.on_ready(cx)),
                Order::Send { conn, frame, settles, received_at } => self.with(conn, now, |conn, cx| {
                    if settles > 0 {
                        cx.counters.record_ns(Metric::COMMAND_NS, cx.now.mono.since(received_at).as_nanos() as u64);
                    }
                    conn.on_settled(settles);
                    conn.on_send(frame, settles > 0, cx);
                    conn.on_resume(cx);
                }),
                Order::Settle { conn, count } => self.with(conn, now, |conn, cx| {
                    conn.on_settled(count);
                    conn.on_resume(cx);
                }),
                Order::Broadcast { event, targets, published_at } => {
                    self.around.counters.record_ns(Metric::DELIVERY_NS, now.mono.since(published_at).as_nanos() as u64);
                    self.on_broadcast(event, targets);
                }
                Order::CredentialRefused { conn } => self.with(conn, now, |conn, cx| conn.on_credential_refused(cx)),
                Order::Dialect { conn, dialect } => self.with(conn, now, |conn, cx| conn.on_dialect(dialect, cx)),
                Order::Farewell { worker } => self.on_farewell(worker, now),
                Order::Close { conn, reason, text } => {
                    self.with(conn, now, |conn, cx| conn.on_close_ordered(reason, text, cx));
                }
                Order::Answer { conn, answer } => self.with(conn, now, |conn, cx| conn.on_answer(&answer, cx)),
            }
        }
    }

    /// Whether it is a notice for a connection that is to be written to first.
    fn is_pressed_by(&self, order: &Order) -> bool {
        let Order::Send { conn, frame, settles: 0, .. } = order else { return false };
        let limits = &self.around.settings.outbound;
        self.table.get(*conn).is_some_and(|conn| conn.has_talkative_peers() && conn.is_pressed(frame.len(), limits))
    }
}
