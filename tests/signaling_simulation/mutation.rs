//! Defects that are planted on purpose, between the parts, to show that the checks find them.

use bytes::Bytes;
use hydrogen::base::ConnId;
use hydrogen::engine::store::{Backend, Damage, Page, Read, Seq, Size, StoreError, Table, Trimmed, Write};
use hydrogen::sys::store::memory::MemoryBackend;

use crate::dice::Dice;
use crate::keys;
use crate::signals::is_signal;
use crate::wire::Got;
use crate::world::World;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    Nothing,
    /// Groups are answered and not synced.
    SkipSync,
    /// Records are answered and not stored.
    LosePut,
    LoseDelete,
    /// A record is stored without its newest member.
    LoseMember,
    /// A record is stored with another owner.
    AnotherOwner,
    /// A record is stored with other addresses.
    MoveAddresses,
    /// What failed is told as done.
    FailedAsDone,
    /// A worker does not hear that something is written.
    LoseDone,
    LoseAnswer,
    RepeatAnswer,
    /// Somebody is not told of another.
    LoseNotice,
    RepeatNotice,
    /// Somebody is told who is not concerned.
    MisdirectNotice,
    /// Two messages for one connection in another order.
    SwapMessages,
    LoseSignal,
    RepeatSignal,
    /// A signal names another sender.
    ForgeSender,
    /// A message from worker to worker is lost.
    LosePeer,
    /// Messages between two workers in another order.
    SwapPeers,
    /// A worker does not hear that a connection is over.
    DeafToClose,
    /// Deadlines pass unnoticed.
    NoDeadlines,
    /// A wrong token is as good as the right one.
    AnyToken,
    /// A stranger is taken for the owner.
    AnyOwner,
    /// A wrong password is as good as the right one.
    AnyPassword,
    /// A wrong signature is as good as the right one.
    AnyProof,
    /// A record is stored without what was proved.
    LoseProof,
    /// The server begins without what was proved before.
    ForgetProofs,
    /// Where a proof is required it is not.
    NotRequired,
    /// A key is told in place of its alias.
    RealKey,
    /// An alias of another room is told.
    StrangeAlias,
}

impl Mutation {
    pub const DEFECTS: &'static [Mutation] = &[
        Mutation::SkipSync,
        Mutation::LosePut,
        Mutation::LoseDelete,
        Mutation::LoseMember,
        Mutation::AnotherOwner,
        Mutation::MoveAddresses,
        Mutation::FailedAsDone,
        Mutation::LoseDone,
        Mutation::LoseAnswer,
        Mutation::RepeatAnswer,
        Mutation::LoseNotice,
        Mutation::RepeatNotice,
        Mutation::MisdirectNotice,
        Mutation::SwapMessages,
        Mutation::LoseSignal,
        Mutation::RepeatSignal,
        Mutation::ForgeSender,
        Mutation::LosePeer,
        Mutation::SwapPeers,
        Mutation::DeafToClose,
        Mutation::NoDeadlines,
        Mutation::AnyToken,
        Mutation::AnyOwner,
        Mutation::AnyPassword,
        Mutation::AnyProof,
        Mutation::LoseProof,
        Mutation::ForgetProofs,
        Mutation::NotRequired,
        Mutation::RealKey,
        Mutation::StrangeAlias,
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

impl World {
    /// A message that answers nothing, with the planted defects.
    pub fn sabotaged(&mut self, conn: ConnId, mut got: Got) {
        let is_signal = is_signal(&got.kind);
        let (lose, repeat) = match is_signal {
            true => (Mutation::LoseSignal, Mutation::RepeatSignal),
            false => (Mutation::LoseNotice, Mutation::RepeatNotice),
        };
        if self.saboteur.strikes(lose, 5) {
            return;
        }
        if self.saboteur.strikes(repeat, 5) {
            self.told(conn, got.clone(), false);
        }
        if is_signal && self.saboteur.strikes(Mutation::ForgeSender, 20) {
            got.payload["public_key"] = keys::key(99).into();
        }
        if self.saboteur.strikes(Mutation::RealKey, 20) {
            self.unmask(&mut got, keys::key);
        }
        if self.saboteur.strikes(Mutation::StrangeAlias, 20) {
            self.unmask(&mut got, |number| keys::alias("0123456789abcdef", number));
        }
        let first = self.server.conns.keys().next().copied();
        let to = if self.saboteur.strikes(Mutation::MisdirectNotice, 5) { first.unwrap_or(conn) } else { conn };
        self.told(to, got, false);
    }

    /// Something else in place of what stands for a key.
    fn unmask(&self, got: &mut Got, other: impl Fn(u8) -> String) {
        if let Some((_, number)) = self.aliases.get(got.text("public_key")) {
            got.payload["public_key"] = other(*number).into();
        }
    }
}

/// A change of a room that reached the disk.
pub struct Stored {
    pub room: Box<str>,
    pub value: Option<Bytes>,
}

/// A store that may have a defect, and tells what it did.
pub struct Bent {
    pub inner: MemoryBackend,
    pub kind: Mutation,
    /// Rooms that were written since it was looked at.
    pub stored: Vec<Stored>,
    /// Whether all of that is synced.
    pub is_synced: bool,
    /// Changes of rooms in the group that failed last.
    pub failed: Vec<Stored>,
}

impl Bent {
    pub fn new(inner: MemoryBackend, kind: Mutation) -> Bent {
        Bent { inner, kind, stored: Vec::new(), is_synced: false, failed: Vec::new() }
    }

    fn bend(&self, write: &Write) -> Option<Write> {
        let mut write = write.clone();
        let value = match &mut write {
            Write::Delete { .. } if self.kind == Mutation::LoseDelete => return None,
            Write::Put { .. } if self.kind == Mutation::LosePut => return None,
            Write::Put { table: Table::Rooms, value, .. } => value,
            _ => return Some(write),
        };
        if self.kind == Mutation::LoseProof {
            forget_proofs(value);
            return Some(write);
        }
        let mut record: serde_json::Value = serde_json::from_slice(value).expect("a room's record is JSON");
        let members = record["members"].as_array_mut().expect("a list");
        match self.kind {
            Mutation::LoseMember if members.len() > 1 => drop(members.pop()),
            Mutation::AnotherOwner if members.len() > 1 => record["owner"] = members[1]["key"].clone(),
            Mutation::MoveAddresses if members.len() > 1 => {
                let last = members.len() - 1;
                members[last]["address"] = 200.into();
            }
            _ => {}
        }
        *value = record.to_string().into();
        Some(write)
    }
}

/// A room's record as if nobody had proved anything.
pub fn forget_proofs(value: &mut Bytes) {
    let mut record: serde_json::Value = serde_json::from_slice(value).expect("a room's record is JSON");
    for member in record["members"].as_array_mut().expect("a list") {
        member["proved"] = false.into();
    }
    *value = record.to_string().into();
}

fn rooms_of(group: &[Write]) -> impl Iterator<Item = Stored> {
    group.iter().filter_map(|write| match write {
        Write::Put { table: Table::Rooms, key, value, .. } => {
            Some(Stored { room: key.clone(), value: Some(value.clone()) })
        }
        Write::Delete { table: Table::Rooms, key, .. } => Some(Stored { room: key.clone(), value: None }),
        Write::Put { .. } | Write::Delete { .. } | Write::Append(_) | Write::Trim { .. } => None,
    })
}

impl Backend for Bent {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        let bent: Vec<Write>;
        let (group, sync) = match self.kind {
            Mutation::Nothing => (group, sync),
            kind => {
                bent = group.iter().filter_map(|write| self.bend(write)).collect();
                (&bent[..], sync && kind != Mutation::SkipSync)
            }
        };
        let done = self.inner.commit(group, first, sync);
        match &done {
            Ok(_) => {
                self.stored.extend(rooms_of(group));
                self.is_synced = sync;
            }
            Err(_) => self.failed = rooms_of(group).collect(),
        }
        done
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        self.inner.reopen(last)
    }

    fn failure(&self) -> Option<StoreError> {
        self.inner.failure()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.inner.read(read)
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
