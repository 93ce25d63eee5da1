//! What is common to all dialects, lent from one outbox to another for a step.

use std::mem::swap;

use crate::engine::work::Outbox;

/// A loan, handed back when it is dropped: also when the step panics, whose effects so far stand.
pub(super) struct Loan<'a, P, Q> {
    to: &'a mut Outbox<P>,
    from: &'a mut Outbox<Q>,
}

impl<'a, P, Q> Loan<'a, P, Q> {
    /// Lends what `from` holds, but for messages to other workers.
    pub(super) fn new(to: &'a mut Outbox<P>, from: &'a mut Outbox<Q>) -> Loan<'a, P, Q> {
        let mut loan = Loan { to, from };
        loan.exchange();
        loan
    }

    /// Whose it is meanwhile.
    pub(super) fn outbox(&mut self) -> &mut Outbox<P> {
        self.to
    }

    fn exchange(&mut self) {
        swap(&mut self.to.orders, &mut self.from.orders);
        swap(&mut self.to.controls, &mut self.from.controls);
        swap(&mut self.to.store, &mut self.from.store);
    }
}

impl<P, Q> Drop for Loan<'_, P, Q> {
    fn drop(&mut self) {
        self.exchange();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::base::{ConnId, WorkerId};
    use crate::engine::work::Order;

    #[test]
    fn what_was_ordered_before_a_panic_stands_behind_what_was_there() {
        let (mut own, mut common): (Outbox<u8>, Outbox<u16>) = (Outbox::new(0), Outbox::new(1));
        let ready = |slot: u64| Order::Ready { conn: ConnId::from_u64(slot) };
        common.order(ConnId::from_u64(0), ready(0));
        let step = catch_unwind(AssertUnwindSafe(|| {
            let mut loan = Loan::new(&mut own, &mut common);
            loan.outbox().order(ConnId::from_u64(0), ready(1));
            loan.outbox().peers.push((WorkerId(0), 7));
            panic!("a defect");
        }));
        assert!(step.is_err());
        let slots: Vec<_> = common.orders[0].iter().filter_map(|order| order.conn()).collect();
        assert_eq!(slots, [ConnId::from_u64(0), ConnId::from_u64(1)]);
        assert_eq!(own.peers, [(WorkerId(0), 7)]);
        assert!(own.orders.is_empty() && common.peers.is_empty());
    }
}
