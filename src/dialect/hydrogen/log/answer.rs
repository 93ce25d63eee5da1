//! Whom the outcome of a publish goes to: a command of this worker, or of another.

use super::super::gather::Part;
use super::super::reply_to::Reply;
use super::super::{Hydrogen, Peer};
use crate::base::{Error, Now};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// Answers what waited for the store, or for other workers.
    pub(in super::super) fn reply(
        &mut self,
        reply: Reply,
        result: Result<Box<str>, Error>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match reply {
            Reply::Own(ticket) => self.finish(ticket, result, now, out),
            Reply::Peer(worker, ticket) => {
                let part = result.map_or_else(Part::Failed, Part::Answer);
                out.peers.push((worker, Peer::Part { ticket, part }));
            }
            // Nobody waits: what found no room is counted.
            Reply::Nobody => {
                if let Err(error) = result {
                    self.count_error(error.code);
                }
            }
        }
    }
}
