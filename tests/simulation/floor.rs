//! What the simulated threads share: the clock, the chance, the sockets, the queues, the desk of
//! the services, and the shadow that watches.

use std::collections::VecDeque;

use hydrogen::base::{Now, WorkerId};
use hydrogen::engine::work::{Control, Request};

use crate::dice::Dice;
use crate::link::Link;
use crate::mutation::Saboteur;
use crate::plan::Plan;
use crate::queues::Queues;
use crate::shadow::Shadow;
use crate::trace::Trace;

/// What waits for a service thread or the kernel.
#[derive(Default)]
pub struct Desk {
    /// Links that wait to be accepted.
    pub backlog: VecDeque<usize>,
    /// Nobody is accepted any more.
    pub is_closed: bool,
    /// The reactor that the next accepted link is handed to.
    pub next_reactor: usize,
    pub requests: VecDeque<Request>,
    pub controls: VecDeque<(WorkerId, Control)>,
    /// What the workers ask of a store that takes everything.
    pub stored: VecDeque<(WorkerId, u64)>,
}

pub struct Floor<'a> {
    pub plan: &'a Plan,
    pub now: Now,
    pub step: u64,
    pub dice: &'a mut Dice,
    pub trace: &'a mut Trace,
    pub links: &'a mut Vec<Link>,
    pub queues: &'a mut Queues,
    pub desk: &'a mut Desk,
    pub shadow: &'a mut Shadow,
    pub saboteur: &'a mut Saboteur,
}

impl Floor<'_> {
    pub fn say(&mut self, text: String) {
        self.trace.line(self.step, text);
    }
}
