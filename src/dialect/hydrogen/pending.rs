//! Commands under way: those whose handler answers later, and those that other workers are asked
//! about. Each has a ticket, a deadline, and gets exactly one response.

use std::collections::BTreeMap;

use super::gather::{Gather, Kind};
use super::reply::{Meta, kind};
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Mono, Now};
use crate::engine::work::Outbox;

/// One command under way.
#[derive(Debug)]
pub(super) struct Command {
    pub conn: ConnId,
    pub id: Box<str>,
    pub channel: Box<str>,
    pub action: Box<str>,
    pub read_at: Mono,
    /// When it must be answered. All commands have the same time, so tickets and deadlines are in
    /// the same order.
    pub deadline: Mono,
    /// What is collected from other workers.
    pub gather: Option<Gather>,
    /// Its answer is the bare object of older clients.
    pub is_older: bool,
    /// It is no command, but a session that is resumed in the handshake.
    pub is_handshake: bool,
}

/// Commands by ticket.
#[derive(Debug, Default)]
pub(super) struct Pending {
    commands: BTreeMap<u64, Command>,
    next: u64,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn tickets(&self) -> Vec<u64> {
        self.commands.keys().copied().collect()
    }

    pub(super) fn of_mut(&mut self, ticket: u64) -> Option<&mut Command> {
        self.commands.get_mut(&ticket)
    }

    /// When the oldest command must be answered.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.commands.first_key_value().map(|(_, command)| command.deadline)
    }

    /// The oldest command, if its time is over.
    pub(super) fn overdue(&self, now: Mono) -> Option<u64> {
        self.commands.first_key_value().filter(|(_, command)| command.deadline <= now).map(|(ticket, _)| *ticket)
    }

    fn insert(&mut self, command: Command) -> u64 {
        self.next += 1;
        self.commands.insert(self.next, command);
        self.next
    }
}

impl Hydrogen {
    /// Enters a command that is answered later.
    pub(super) fn defer(&mut self, meta: Meta<'_>, now: Now) -> u64 {
        self.pending.insert(Command {
            conn: meta.conn,
            id: meta.id.into(),
            channel: meta.channel.into(),
            action: meta.action.into(),
            read_at: meta.read_at,
            deadline: now.mono.after(self.settings.command_timeout),
            gather: None,
            is_older: false,
            is_handshake: false,
        })
    }

    /// Enters a session that is resumed in the handshake: there is no command to answer.
    pub(super) fn defer_resume(&mut self, conn: ConnId, now: Now) -> u64 {
        let meta = Meta { conn, id: "", channel: "system", action: "resume", read_at: now.mono };
        let ticket = self.defer(meta, now);
        if let Some(command) = self.pending.of_mut(ticket) {
            command.is_handshake = true;
        }
        ticket
    }

    /// Enters an older client's status request.
    pub(super) fn defer_status(&mut self, conn: ConnId, read_at: Mono, now: Now) -> u64 {
        let meta = Meta { conn, id: "", channel: "system", action: "status", read_at };
        let ticket = self.defer(meta, now);
        if let Some(command) = self.pending.of_mut(ticket) {
            command.is_older = true;
        }
        ticket
    }

    /// Takes back a command that was answered at once after all.
    pub(super) fn undefer(&mut self, ticket: u64) {
        self.pending.commands.remove(&ticket);
    }

    /// Answers a command, once; a second answer, or one for a client that is gone, is ignored.
    pub(super) fn finish(
        &mut self,
        ticket: u64,
        mut result: Result<Box<str>, Error>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(mut command) = self.pending.commands.remove(&ticket) else { return };
        // It ends before all of its parts are there.
        match command.gather.take().map(|gather| gather.kind) {
            Some(Kind::Making(making)) => self.unmake(&making, out),
            Some(Kind::Started(started)) => self.undo_started(&started, now, out),
            Some(Kind::All(_) | Kind::One(_) | Kind::Sum(..) | Kind::Rows(..) | Kind::Resumed(..)) | None => {}
        }
        if !self.is_here(command.conn) {
            return;
        }
        if let Err(error) = &mut result
            && error.code == Code::Internal
            && error.details.is_none()
        {
            let incident = self.random_text(9);
            log::error!("incident={incident} {}.{}: {}", command.channel, command.action, error.message);
            *error = super::dispatch::incident(&incident);
        }
        if command.is_older {
            match result {
                Ok(data) => self.respond_status(command.conn, &data, command.read_at, out),
                Err(error) => {
                    let refused = (None, Some("system"), Some("status"), &error);
                    self.respond_bad(command.conn, refused, command.read_at, now, out);
                }
            }
            return;
        }
        let meta = Meta {
            conn: command.conn,
            id: &command.id,
            channel: &command.channel,
            action: &command.action,
            read_at: command.read_at,
        };
        self.respond(meta, &result, now, out);
    }

    pub(super) fn count_in(&self, of_kind: usize, bytes: usize) {
        self.counters.add(Metric::MESSAGE_BYTES_IN.at(of_kind), bytes as u64);
        self.counters.inc(Metric::MESSAGES_IN.at(of_kind));
    }
}

const _: () = assert!(kind::BAD < crate::base::metric::TYPES_IN.len());
