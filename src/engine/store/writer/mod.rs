//! The writer: puts changes into groups, commits each as a whole, tells what came of it.
//!
//! Owns the numbers of events, the term, and whether the store is well. It is stepped by the
//! store's thread and by the simulator alike; files, threads and waiting are theirs. How many
//! requests may wait is bounded by whoever fills it.
//!
//! ```text
//!   WELL   -- commit went well ----> WELL    Committed to all, Done to each
//!   WELL   -- commit failed -------> FAILED  term + 1, Failed to all, then Done to all that wait
//!   WELL   -- refuses all ---------> FAILED  the same, without a commit
//!   FAILED -- any change ----------> FAILED  Done with the error, at once; but while the failure is
//!                                            that it is full, what takes away is committed,
//!                                            and cursors
//!   FAILED -- fails otherwise -----> FAILED  term + 1, Failed to all
//!   FAILED -- reopening failed ----> FAILED
//!   FAILED -- reopened ------------> WELL    Well to all; Failed with a new term before it if
//!                                            appends of this term were refused meanwhile
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::backend::Backend;
use super::event::{Answer, Commit, Entry, Failure, StoreEvent, Trimmed};
use super::fault::{StoreError, StoreFault};
use super::record::{Level, Record, Seq};
use super::request::{Append, Op, Request, Write};
use super::told::Told;
use crate::base::WorkerId;
use crate::base::limits::{GROUP_BYTES, GROUP_REQUESTS};

#[cfg(test)]
mod tests;

/// Puts changes into groups and commits them.
#[derive(Debug)]
pub struct Writer {
    /// Whose the waiting changes are; as long as `writes`.
    askers: VecDeque<Asker>,
    /// What waits. Apart from the askers, so that a group is handed on without a copy.
    writes: VecDeque<Write>,
    /// The newest event that was answered.
    last: Seq,
    term: u64,
    failure: Option<StoreError>,
    /// Whether an append of this very term was answered with the failure: appends behind it may
    /// be on their way with offsets that do not follow.
    is_term_torn: bool,
    written: Written,
}

#[derive(Clone, Copy, Debug)]
struct Asker {
    worker: WorkerId,
    ticket: u64,
}

/// What a writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Groups that were committed.
    pub groups: u64,
    /// How many of them were synced.
    pub synced: u64,
    /// Changes that were committed.
    pub requests: u64,
    /// How many of them were events.
    pub events: u64,
    /// Their bytes, as [`Write::weight`] counts them.
    pub bytes: u64,
    /// Changes that were answered with an error.
    pub refused: u64,
    /// Groups that could not be committed.
    pub failures: u64,
}

impl Writer {
    /// A writer that goes on behind the newest event of the image. Its term is 0.
    pub fn new(last: Seq) -> Writer {
        Writer {
            askers: VecDeque::new(),
            writes: VecDeque::new(),
            last,
            term: 0,
            failure: None,
            is_term_torn: false,
            written: Written::default(),
        }
    }

    /// Takes a change in. What can only fail is answered at once: changes while the store is in
    /// trouble, but for those that make room in a full one; appends of a term that is over; and
    /// what is no change.
    pub fn push(&mut self, request: Request, out: &mut Told) {
        let Request { worker, ticket, term, op } = request;
        let Op::Write(write) = op else {
            let error = StoreError::new(StoreFault::Refused, "only changes go through the writer");
            return self.refuse(Asker { worker, ticket }, error, out);
        };
        let is_append = matches!(write, Write::Append(_));
        if let Some(failure) = &self.failure
            && !(failure.fault == StoreFault::Full && write.is_for_full())
        {
            self.is_term_torn |= is_append && term == self.term;
            let error = failure.clone();
            return self.refuse(Asker { worker, ticket }, error, out);
        }
        if is_append && term != self.term {
            let text = format!("an append of term {term} in term {}", self.term);
            return self.refuse(Asker { worker, ticket }, StoreError::new(StoreFault::Stale, text), out);
        }
        self.askers.push_back(Asker { worker, ticket });
        self.writes.push_back(write);
    }

    /// Commits the oldest waiting changes as one group, if any wait, and tells what came of it.
    pub fn commit(&mut self, backend: &mut dyn Backend, out: &mut Told) {
        let (count, bytes) = self.next_group();
        if count == 0 {
            return;
        }
        let group = &self.writes.make_contiguous()[..count];
        let sync = group.iter().any(Write::needs_sync);
        match backend.commit(group, self.last.next(), sync) {
            Ok(trimmed) => {
                self.written.groups += 1;
                self.written.synced += u64::from(sync);
                self.written.requests += count as u64;
                self.written.bytes += bytes as u64;
                self.tell_committed(count, sync, trimmed, out);
            }
            Err(error) => {
                self.written.failures += 1;
                let is_known = self.failure.as_ref().is_some_and(|known| known.fault == error.fault);
                // No append waits, so that nothing follows what failed.
                if is_known {
                    self.writes.drain(..count);
                    for asker in self.askers.drain(..count).collect::<Vec<_>>() {
                        self.refuse(asker, error.clone(), out);
                    }
                    self.failure = Some(error);
                } else {
                    self.enter_failed(error, out);
                }
            }
        }
        out.damage(backend);
    }

    /// Looks whether the backend refuses everything, though no commit failed: a read may have
    /// met a disk that fails, or what is done after a commit.
    pub fn look_after(&mut self, backend: &dyn Backend, out: &mut Told) {
        if self.failure.is_none()
            && let Some(error) = backend.failure()
        {
            self.written.failures += 1;
            self.enter_failed(error, out);
        }
    }

    /// Tries to become well again. Returns whether the store is well now.
    pub fn try_reopen(&mut self, backend: &mut dyn Backend, out: &mut Told) -> bool {
        if self.failure.is_none() {
            return true;
        }
        match backend.reopen(self.last) {
            Ok(()) => {
                let failure = self.failure.take();
                // A worker that was refused offset 6 may already have sent 7 in the same term.
                if let (true, Some(error)) = (self.is_term_torn, failure) {
                    self.term += 1;
                    self.is_term_torn = false;
                    out.all(StoreEvent::Failed(Arc::new(Failure { error, term: self.term })));
                }
                out.all(StoreEvent::Well);
            }
            Err(error) => self.enter_failed(error, out),
        }
        out.damage(backend);
        self.failure.is_none()
    }

    /// Whether something waits to be committed.
    pub fn is_due(&self) -> bool {
        !self.writes.is_empty()
    }

    /// How many changes wait.
    pub fn waiting(&self) -> usize {
        self.writes.len()
    }

    /// Why the store takes no changes, if it does not.
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// The term that appends must name.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The number of the newest event that was answered.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// What it has done so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// How many of the waiting changes go into the next group, and their bytes. In a full store
    /// what brings something is not grouped with what makes room, which would fail with it.
    fn next_group(&self) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        let is_full = self.failure.is_some();
        for write in self.writes.iter().take(GROUP_REQUESTS) {
            let more = bytes + write.weight();
            let is_other = is_full && write.makes_room() != self.writes[0].makes_room();
            if count > 0 && (more > GROUP_BYTES || is_other) {
                break;
            }
            (count, bytes) = (count + 1, more);
        }
        (count, bytes)
    }

    fn tell_committed(&mut self, count: usize, sync: bool, trimmed: Vec<Trimmed>, out: &mut Told) {
        let group = self.askers.drain(..count).zip(self.writes.drain(..count));
        let mut trimmed = trimmed.into_iter();
        let mut entries = Vec::new();
        let mut answers = Vec::new();
        for (asker, write) in group {
            let answer = match write {
                Write::Append(append) => {
                    self.last = self.last.next();
                    entries.push(entry(append, self.last, asker));
                    continue;
                }
                Write::Trim { .. } => Answer::Trimmed(trimmed.next().unwrap_or_default()),
                Write::Put { .. } | Write::Delete { .. } => Answer::Done,
            };
            answers.push((asker, answer));
        }
        if !entries.is_empty() {
            self.written.events += entries.len() as u64;
            let level = if sync { Level::Disk } else { Level::Memory };
            out.all(StoreEvent::Committed(Arc::new(Commit { entries, level })));
        }
        for (asker, answer) in answers {
            out.done(asker.worker, asker.ticket, Ok(answer));
        }
    }

    /// All that waits fails: the offsets of its appends follow those that failed. The workers
    /// know already if the store only goes on failing in the same way.
    fn enter_failed(&mut self, error: StoreError, out: &mut Told) {
        if self.failure.as_ref().is_none_or(|known| known.fault != error.fault) {
            self.term += 1;
            self.is_term_torn = false;
            out.all(StoreEvent::Failed(Arc::new(Failure { error: error.clone(), term: self.term })));
        }
        self.writes.clear();
        while let Some(asker) = self.askers.pop_front() {
            self.refuse(asker, error.clone(), out);
        }
        self.failure = Some(error);
    }

    fn refuse(&mut self, asker: Asker, error: StoreError, out: &mut Told) {
        self.written.refused += 1;
        out.done(asker.worker, asker.ticket, Err(error));
    }
}

fn entry(append: Append, seq: Seq, asker: Asker) -> Entry {
    let Append { topic, epoch, offset, time, expires, payload, .. } = append;
    let record = Record { seq, topic, epoch, offset, time, expires, payload };
    Entry { record, worker: asker.worker, ticket: asker.ticket, frame: OnceLock::new() }
}
