//! Defects that are planted on purpose, between the parts, to show that the checks find them.

use bytes::Bytes;
use hydrogen::engine::store::{Backend, Damage, Level, Page, Read, Seq, Size, StoreError, Table, Trimmed, Write};
use hydrogen::sys::store::memory::MemoryBackend;

use crate::dice::Dice;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    Nothing,
    /// Groups are answered and not synced.
    SkipSync,
    /// Ids of publishes are not stored.
    DropDedup,
    /// A cursor is stored without what is open.
    ForgetOpen,
    /// Cursors are answered and not stored.
    LoseCursor,
    LoseSession,
    LoseSubscription,
    LoseLetter,
    /// One event that is to come again is not found.
    SkipRedelivery,
    /// Pages of events that were missed are a bit short.
    SkipMissed,
    /// A worker does not hear of a committed event.
    DeafWorker,
    RepeatEvent,
    SwapEvents,
    MisdirectEvent,
    LoseResponse,
    RepeatResponse,
    IgnoreAck,
    /// An ack counts for the event behind it, too.
    AckTooMuch,
    /// A larger window than was asked for.
    WideWindow,
    /// A wrong secret is as good as the right one.
    AnySecret,
    /// Old events live for ever: their time to live is not stored.
    AnotherPayload,
}

impl Mutation {
    pub const DEFECTS: &'static [Mutation] = &[
        Mutation::SkipSync,
        Mutation::DropDedup,
        Mutation::ForgetOpen,
        Mutation::LoseCursor,
        Mutation::LoseSession,
        Mutation::LoseSubscription,
        Mutation::LoseLetter,
        Mutation::SkipRedelivery,
        Mutation::SkipMissed,
        Mutation::DeafWorker,
        Mutation::RepeatEvent,
        Mutation::SwapEvents,
        Mutation::MisdirectEvent,
        Mutation::LoseResponse,
        Mutation::RepeatResponse,
        Mutation::IgnoreAck,
        Mutation::AckTooMuch,
        Mutation::WideWindow,
        Mutation::AnySecret,
        Mutation::AnotherPayload,
    ];
}

/// The planted defect of one run.
pub struct Saboteur {
    pub kind: Mutation,
    dice: Dice,
}

impl Saboteur {
    pub fn new(kind: Mutation, seed: u64) -> Saboteur {
        Saboteur { kind, dice: Dice::new(seed ^ 0x5ab0) }
    }

    pub fn strikes(&mut self, kind: Mutation, percent: usize) -> bool {
        self.kind == kind && self.dice.chance(percent)
    }
}

/// A store that may have a defect.
pub struct Bent {
    pub inner: MemoryBackend,
    pub kind: Mutation,
}

impl Bent {
    fn is_lost(&self, write: &Write) -> bool {
        let Write::Put { table, .. } = write else { return false };
        match self.kind {
            Mutation::LoseCursor => *table == Table::Cursors,
            Mutation::LoseSession => *table == Table::Sessions,
            Mutation::LoseSubscription => *table == Table::Subscriptions,
            Mutation::LoseLetter => *table == Table::DeadLetters,
            _ => false,
        }
    }

    fn bend(&self, write: &Write) -> Option<Write> {
        if self.is_lost(write) {
            return None;
        }
        let mut write = write.clone();
        match &mut write {
            Write::Append(append) if self.kind == Mutation::DropDedup => append.dedup = None,
            Write::Append(append) if self.kind == Mutation::SkipSync => append.level = Level::Memory,
            Write::Append(append) if self.kind == Mutation::AnotherPayload && append.offset.is_multiple_of(5) => {
                append.payload = Bytes::from_static(b"{\"n\":0,\"k\":0}");
            }
            Write::Put { table: Table::Cursors, value, .. } if self.kind == Mutation::ForgetOpen => {
                let text = std::str::from_utf8(value).unwrap();
                if let Some(end) = text.find(",\"open\"") {
                    *value = format!("{}}}", &text[..end]).into();
                }
            }
            _ => {}
        }
        Some(write)
    }
}

impl Backend for Bent {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        if self.kind == Mutation::Nothing {
            return self.inner.commit(group, first, sync);
        }
        let group: Vec<Write> = group.iter().filter_map(|write| self.bend(write)).collect();
        self.inner.commit(&group, first, sync && self.kind != Mutation::SkipSync)
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        self.inner.reopen(last)
    }

    fn failure(&self) -> Option<StoreError> {
        self.inner.failure()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        let mut page = self.inner.read(read)?;
        match read {
            Read::Seqs { .. } if self.kind == Mutation::SkipRedelivery => drop(page.records.pop()),
            Read::Patterns { .. } if self.kind == Mutation::SkipMissed && page.records.len() > 1 => {
                page.records.remove(0);
            }
            _ => {}
        }
        Ok(page)
    }

    fn get(&mut self, table: Table, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        self.inner.scan(table, prefix, after, limit)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.inner.close()
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        self.inner.take_damage()
    }

    fn size(&mut self) -> Size {
        self.inner.size()
    }
}
