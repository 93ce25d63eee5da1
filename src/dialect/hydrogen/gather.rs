//! Answers that several workers have a part in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::consumer_id::ConsumerId;
use super::making::{Making, Started};
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Now};
use crate::engine::channel::Page;
use crate::engine::store::Seq;
use crate::engine::topic::Pattern;
use crate::engine::work::Outbox;

/// One worker's part of an answer.
#[derive(Debug)]
pub enum Part {
    /// It is done, and there is nothing to say.
    Done,
    /// It is not.
    Failed(Error),
    /// The whole answer, encoded.
    Answer(Box<str>),
    /// So many.
    Count(u64),
    /// Rows of a list, in order.
    Rows(Vec<Row>),
    /// Where a guaranteed subscription to this pattern begins: behind this event.
    Place(Pattern, Seq),
    /// The newest event of which a worker has heard: one that begins now begins behind it.
    Head(Seq),
    /// A guaranteed subscription was joined.
    Joined(Joined),
    /// A guaranteed subscription that was to be joined is not there any more.
    NotJoined(ConsumerId),
    /// There was nothing to do.
    Nothing,
}

/// What a session gets back.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub refused: Vec<String>,
    pub lost: BTreeSet<Arc<str>>,
    /// Guaranteed subscriptions that are not there any more.
    pub gone: Vec<ConsumerId>,
}

/// What the home of a guaranteed subscription says of it to who joins.
#[derive(Debug, Default)]
pub struct Joined {
    /// Topics of which it lost events.
    pub lost: Vec<Arc<str>>,
    /// Events that may be in flight.
    pub window: usize,
    /// Until an event that was not acknowledged is sent again.
    pub ack_timeout_ms: u64,
}

/// A row of an admin list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What the list is ordered by, and continued after.
    pub key: String,
    /// One JSON object, encoded.
    pub json: Box<str>,
}

/// What is collected for one command.
#[derive(Debug)]
pub(super) struct Gather {
    /// Parts that are still to come.
    pub waits: usize,
    /// The first failure.
    pub failed: Option<Error>,
    pub kind: Kind,
}

/// How the parts become an answer.
#[derive(Debug)]
pub(super) enum Kind {
    /// The answer is known once all are done.
    All(Box<str>),
    /// One part is the answer.
    One(Option<Box<str>>),
    /// A sum, under this name.
    Sum(&'static str, u64),
    /// A page of rows.
    Rows(Vec<Row>, Page),
    /// The owners of topics know of a guaranteed subscription; then its home is asked.
    Making(Box<Making>),
    /// The answer's members are known but for what was lost, and events come once it is given.
    Started(Box<Started>),
    /// A session is restored.
    Resumed(ConnId, Box<Restored>),
}

impl Gather {
    pub(super) fn new(waits: usize, kind: Kind) -> Gather {
        Gather { waits, failed: None, kind }
    }

    pub(super) fn add(&mut self, part: Part) {
        self.waits = self.waits.saturating_sub(1);
        match (part, &mut self.kind) {
            (Part::Failed(error), _) => {
                self.failed.get_or_insert(error);
            }
            (Part::Answer(answer), Kind::One(one)) => *one = Some(answer),
            (Part::Count(count), Kind::Sum(_, sum)) => *sum += count,
            (Part::Rows(more), Kind::Rows(rows, _)) => rows.extend(more),
            (Part::Place(pattern, seq), Kind::Making(making)) => making.place(pattern, seq),
            (Part::Head(seq), Kind::Making(making)) => making.head = seq.max(making.head),
            (Part::Joined(joined), Kind::Resumed(_, restored)) => restored.lost.extend(joined.lost),
            (Part::Joined(joined), Kind::Started(started)) => {
                let granting = &mut started.granting;
                granting.lost.extend(joined.lost);
                (granting.window, granting.ack_timeout_ms) = (joined.window, joined.ack_timeout_ms);
            }
            (Part::NotJoined(id), Kind::Resumed(_, restored)) => restored.gone.push(id),
            (
                Part::Done
                | Part::Answer(_)
                | Part::Count(_)
                | Part::Rows(_)
                | Part::Place(..)
                | Part::Head(_)
                | Part::Joined(_)
                | Part::NotJoined(_)
                | Part::Nothing,
                _,
            ) => {}
        }
    }

    pub(super) fn finish(self) -> Result<Box<str>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.kind {
            Kind::All(answer) => Ok(answer),
            Kind::One(Some(answer)) => Ok(answer),
            Kind::One(None) => Err(Error::new(Code::Unavailable, "no worker answered")),
            Kind::Sum(_, 0) => Err(Error::new(Code::NotFound, "there is no such connection")),
            Kind::Sum(name, sum) => Ok(format!("{{\"{name}\":{sum}}}").into()),
            Kind::Rows(rows, page) => Ok(page_of(rows, &page)),
            // They go on elsewhere, and never get here.
            Kind::Making(_) | Kind::Started(_) | Kind::Resumed(..) => {
                Err(Error::new(Code::Internal, "a part was taken for the whole"))
            }
        }
    }
}

/// `{"items":[…],"next":…}`: the first rows in order, and where the next page begins.
pub(super) fn page_of(mut rows: Vec<Row>, page: &Page) -> Box<str> {
    rows.sort_unstable();
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let next = rows.last().filter(|_| more).map(|row| row.key.clone());
    let items: Vec<&str> = rows.iter().map(|row| &*row.json).collect();
    format!("{{\"items\":[{}],\"next\":{}}}", items.join(","), serde_json::json!(next)).into()
}

impl Hydrogen {
    /// A command's answer is one other worker's.
    pub(super) fn await_one(&mut self, ticket: u64) {
        if let Some(command) = self.pending.of_mut(ticket) {
            command.gather = Some(Gather::new(1, Kind::One(None)));
        }
    }

    /// One worker's part has come.
    pub(super) fn on_part(&mut self, ticket: u64, part: Part, now: Now, out: &mut Outbox<Peer>) {
        let Some(gather) = self.pending.of_mut(ticket).and_then(|command| command.gather.as_mut()) else { return };
        gather.add(part);
        if gather.waits > 0 {
            return;
        }
        let Some(gather) = self.pending.of_mut(ticket).and_then(|command| command.gather.take()) else { return };
        match gather {
            Gather { kind: Kind::Making(making), failed: None, .. } => self.go_on_making(ticket, *making, now, out),
            Gather { kind: Kind::Making(making), failed: Some(error), .. } => {
                self.unmake(&making, out);
                self.finish(ticket, Err(error), now, out);
            }
            Gather { kind: Kind::Started(started), failed: None, .. } => self.on_started(ticket, *started, now, out),
            Gather { kind: Kind::Started(started), failed: Some(error), .. } => {
                self.undo_started(&started, now, out);
                self.finish(ticket, Err(error), now, out);
            }
            Gather { kind: Kind::Resumed(conn, restored), .. } => self.finish_resume(ticket, conn, *restored, now, out),
            gather => self.finish(ticket, gather.finish(), now, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: &[&str]) -> Part {
        Part::Rows(keys.iter().map(|key| Row { key: (*key).into(), json: format!("\"{key}\"").into() }).collect())
    }

    #[test]
    fn pages_are_merged_in_order_and_say_where_they_go_on() {
        let page = Page { after: None, limit: 3 };
        let mut gather = Gather::new(2, Kind::Rows(Vec::new(), page));
        gather.add(rows(&["b", "d", "e"]));
        gather.add(rows(&["a", "c"]));
        assert_eq!(&*gather.finish().unwrap(), r#"{"items":["a","b","c"],"next":"c"}"#);
    }

    #[test]
    fn the_last_page_has_no_next() {
        let page = Page { after: None, limit: 3 };
        let mut gather = Gather::new(1, Kind::Rows(Vec::new(), page));
        gather.add(rows(&["a"]));
        assert_eq!(&*gather.finish().unwrap(), r#"{"items":["a"],"next":null}"#);
    }

    #[test]
    fn one_failure_is_the_answer() {
        let mut gather = Gather::new(2, Kind::All("{}".into()));
        gather.add(Part::Failed(Error::new(Code::Unavailable, "full")));
        gather.add(Part::Done);
        assert_eq!(gather.finish().unwrap_err().code, Code::Unavailable);
    }
}
