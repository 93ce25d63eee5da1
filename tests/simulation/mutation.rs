//! Defects that are planted on purpose, between the parts, to show that the checks find them.

use std::sync::Arc;

use hydrogen::base::ConnId;
use hydrogen::engine::topic::{Target, TargetFlags};
use hydrogen::engine::work::{Item, Order};

use crate::dice::Dice;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    Nothing,
    LoseResponse,
    RepeatResponse,
    LoseEvent,
    RepeatEvent,
    SwapEvents,
    MisdirectEvent,
    LoseDropNotice,
    LoseClosed,
    LeakConnection,
    LoseReadiness,
    /// A reactor sleeps without a look at what its turn set free.
    SleepEarly,
}

impl Mutation {
    pub const DEFECTS: &'static [Mutation] = &[
        Mutation::LoseResponse,
        Mutation::RepeatResponse,
        Mutation::LoseEvent,
        Mutation::RepeatEvent,
        Mutation::SwapEvents,
        Mutation::MisdirectEvent,
        Mutation::LoseDropNotice,
        Mutation::LoseClosed,
        Mutation::LeakConnection,
        Mutation::LoseReadiness,
        Mutation::SleepEarly,
    ];
}

/// The planted defect of one run.
pub struct Saboteur {
    kind: Mutation,
    dice: Dice,
    held: Option<Order>,
}

impl Saboteur {
    pub fn new(kind: Mutation, seed: u64) -> Saboteur {
        Saboteur { kind, dice: Dice::new(seed ^ 0x5ab0), held: None }
    }

    pub fn strikes(&mut self, kind: Mutation, percent: usize) -> bool {
        self.kind == kind && self.dice.chance(percent)
    }

    /// What becomes of one order.
    pub fn order(&mut self, order: Order, conns: &[ConnId]) -> Vec<Order> {
        match order {
            Order::Send { conn, settles: 1, .. } if self.strikes(Mutation::LoseResponse, 5) => {
                vec![Order::Settle { conn, count: 1 }]
            }
            Order::Send { conn, frame, settles: 1, received_at } if self.strikes(Mutation::RepeatResponse, 5) => {
                let again = Order::Send { conn, frame: frame.clone(), settles: 0, received_at };
                vec![Order::Send { conn, frame, settles: 1, received_at }, again]
            }
            Order::Broadcast { .. } if self.strikes(Mutation::LoseEvent, 10) => vec![],
            Order::Broadcast { event, targets, published_at } => {
                let order = |targets: &Arc<[Target]>| Order::Broadcast {
                    event: event.clone(),
                    targets: targets.clone(),
                    published_at,
                };
                if self.strikes(Mutation::RepeatEvent, 10) {
                    return vec![order(&targets), order(&targets)];
                }
                if self.strikes(Mutation::MisdirectEvent, 10) && !conns.is_empty() {
                    let conn = self.dice.pick(conns);
                    let strays = Arc::from([Target { conn, flags: TargetFlags::default() }]);
                    return vec![order(&strays)];
                }
                if self.kind == Mutation::SwapEvents {
                    let topic = event.topic.clone();
                    return match self.held.take() {
                        Some(Order::Broadcast { event: earlier, targets: to, published_at: at })
                            if earlier.topic == topic =>
                        {
                            vec![order(&targets), Order::Broadcast { event: earlier, targets: to, published_at: at }]
                        }
                        Some(held) => {
                            self.held = Some(order(&targets));
                            vec![held]
                        }
                        None => {
                            self.held = Some(order(&targets));
                            vec![]
                        }
                    };
                }
                vec![order(&targets)]
            }
            other => vec![other],
        }
    }

    /// Whether an item on its way to a worker gets there.
    pub fn lets_pass(&mut self, item: &Item) -> bool {
        match item {
            Item::Dropped { .. } => !self.strikes(Mutation::LoseDropNotice, 100),
            Item::Closed { .. } => !self.strikes(Mutation::LoseClosed, 10),
            Item::Open(_) | Item::Text { .. } | Item::Binary { .. } => true,
        }
    }
}
