//! From a command to its handler: who is it, may it, is the signature good, who answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::Context;
use super::reply::Meta;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Mono, Now};
use crate::engine::auth::Permissions;
use crate::engine::channel::{Access, Action, Call, Outcome};
use crate::engine::wire::{Auth, Command, Raw};
use crate::engine::work::Outbox;

/// The error of a defect: the cause stands in the log beside the incident's id.
pub(super) fn incident(id: &str) -> Error {
    Error::new(Code::Internal, "an internal error; its cause is in the server's log")
        .details(format!("{{\"incident\":\"{id}\"}}"))
}

impl Hydrogen {
    pub(super) fn on_command(
        &mut self,
        conn: ConnId,
        text: &str,
        command: &Command<'_>,
        read_at: Mono,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let made;
        let id = match &command.id {
            Some(id) => &**id,
            None => {
                made = self.random_text(9);
                &made
            }
        };
        let meta = Meta { conn, id, channel: &command.channel, action: &command.action, read_at };
        if self.sessions.of(conn).is_some_and(|session| session.owes_session_event && session.identity.is_some()) {
            self.tell_session(conn, now, out);
        }
        let allowed = self.admit(conn, command, now, out).and_then(|action| {
            let signed = self.check_signature(conn, text, command, read_at, now, out)?;
            Ok(signed.then_some(action))
        });
        match allowed {
            Ok(Some(_)) => self.call(meta, command.data, now, out),
            // The signature's id is being looked at; the command comes again.
            Ok(None) => {}
            Err(error) => self.respond(meta, &Err(error), now, out),
        }
    }

    /// A command whose signature's id was looked at by its keeper.
    pub(super) fn resume_command(
        &mut self,
        conn: ConnId,
        command: &Command<'_>,
        claimed: Result<(), Error>,
        read_at: Mono,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        // A signature covers the id, so there is one.
        let id = command.id.as_deref().unwrap_or_default();
        let meta = Meta { conn, id, channel: &command.channel, action: &command.action, read_at };
        match claimed.and_then(|()| self.admit(conn, command, now, out)) {
            Ok(_) => self.call(meta, command.data, now, out),
            Err(error) => self.respond(meta, &Err(error), now, out),
        }
    }

    /// Finds the handler's action and checks that the caller may call it.
    fn admit(
        &mut self,
        conn: ConnId,
        command: &Command<'_>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<Action, Error> {
        let Some(session) = self.sessions.of(conn) else {
            return Err(Error::new(Code::Unavailable, "the session is over"));
        };
        // Its signature was being looked at when it was shut out.
        if session.is_shut_out {
            return Err(super::receive::shut_out());
        }
        let found = self.channels.find(&command.channel, &command.action).map(|(_, action)| action);
        let identity = match &session.identity {
            Some(identity) => identity,
            None => match found {
                Some(action) if action.access == Access::Unauthenticated => return Ok(action),
                Some(_) | None => {
                    return Err(Error::new(Code::Unauthenticated, "authenticate first, with system.authenticate"));
                }
            },
        };
        if identity.is_expired(now.wall) {
            return Err(Error::new(Code::Expired, "the credential is expired"));
        }
        self.check_token(conn, command.auth.as_ref(), now, out)?;
        let Some(action) = found else {
            let message = if self.channels.has(&command.channel) {
                "the channel has no such action"
            } else {
                "nobody handles this channel"
            };
            return Err(Error::new(Code::NoHandler, message));
        };
        let may = match action.access {
            Access::Anyone | Access::Unauthenticated => true,
            Access::Call => {
                self.permissions_of(conn).is_some_and(|own| own.may_call(&command.channel, &command.action))
            }
            Access::Admin => self.permissions_of(conn).is_some_and(Permissions::is_admin),
        };
        if may { Ok(action) } else { Err(Error::new(Code::Forbidden, "this identity may not call this")) }
    }

    fn permissions_of(&self, conn: ConnId) -> Option<&Permissions> {
        Some(&self.sessions.of(conn)?.identity.as_ref()?.permissions)
    }

    /// A credential on a message must be the connection's own; some configurations ask for one on
    /// every message.
    fn check_token(
        &mut self,
        conn: ConnId,
        auth: Option<&Auth<'_>>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<(), Error> {
        let Some(token) = auth.and_then(|auth| auth.token.as_deref()) else {
            if self.settings.auth_per_message {
                return Err(Error::new(Code::Unauthenticated, "every message needs a credential here"));
            }
            return Ok(());
        };
        match self.access.keys.authenticate(token, now.wall) {
            Ok(identity) => {
                let own = self.sessions.of(conn).and_then(|session| session.identity.as_ref());
                if own.is_some_and(|own| own.name == identity.name) {
                    Ok(())
                } else {
                    Err(Error::new(Code::Unauthenticated, "the credential is not this connection's"))
                }
            }
            Err(refused) => Err(self.on_wrong_credential(conn, refused.error(), now, out)),
        }
    }

    pub(super) fn may_ack(&mut self, conn: ConnId, auth: Option<&Auth<'_>>, now: Now, out: &mut Outbox<Peer>) -> bool {
        self.sessions.of(conn).is_some_and(|session| session.identity.is_some())
            && self.check_token(conn, auth, now, out).is_ok()
    }

    /// Calls the handler. Its panic costs this command and nothing else.
    fn call(&mut self, meta: Meta<'_>, data: Option<Raw<'_>>, now: Now, out: &mut Outbox<Peer>) {
        let channels = self.channels.clone();
        let Some((channel, _)) = channels.find(meta.channel, meta.action) else { return };
        let data = data.unwrap_or(Raw::trusted("null"));
        let call = Call { channel: meta.channel, action: meta.action, id: meta.id, data };
        let mut context = Context::new(self, meta, now, out);
        let outcome = catch_unwind(AssertUnwindSafe(|| channel.call(&call, &mut context)));
        let ticket = context.ticket();
        let result = match outcome {
            Ok(Outcome::Done(data)) => Ok(data),
            Ok(Outcome::Failed(error)) => Err(error),
            Ok(Outcome::Later) if ticket.is_some() => return,
            Ok(Outcome::Later) => Err(self.on_defect(meta, "the handler promised an answer and took no responder")),
            Err(panic) => {
                self.counters.inc(Metric::HANDLER_PANICS);
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a panic without text".to_owned());
                Err(self.on_defect(meta, &text))
            }
        };
        if let Some(ticket) = ticket {
            self.undefer(ticket);
        }
        self.respond(meta, &result, now, out);
    }

    /// Logs a defect under a fresh incident id; the client learns the id alone.
    fn on_defect(&mut self, meta: Meta<'_>, cause: &str) -> Error {
        let id = self.random_text(9);
        log::error!("incident={id} connection={} {}.{}: {cause}", meta.conn, meta.channel, meta.action);
        incident(&id)
    }
}
