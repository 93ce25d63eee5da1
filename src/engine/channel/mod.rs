//! Channels: how commands are handled and events emitted, by the built-in channels and by an
//! application's own alike.
//!
//! A [`Channel`] has a name and answers the commands that are sent to it. It answers at once, or
//! takes a [`Responder`] and answers later from any thread. What it may do on behalf of the
//! caller is the [`Session`] trait; what it may say to everybody is an [`Emitter`].

mod late;
mod requests;

pub use late::{CompletionSink, Emitter, EventSink, Responder};
pub use requests::{
    Disconnect, Guaranteed, Letters, LettersOf, List, Page, Publish, Resume, Since, StartFrom, Subscribe,
};

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{ConnId, Error, Now};
use crate::engine::auth::{Identity, Target};
use crate::engine::topic::Pattern;
use crate::engine::wire::Raw;

/// Who may send a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any identity that may connect; what the command touches is checked by itself.
    Anyone,
    /// Identities with a `call:` permission for it.
    Call,
    /// Administrators.
    Admin,
    /// Also a client that has not authenticated yet.
    Unauthenticated,
}

/// One command that a channel answers.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Its name, `[a-z0-9_]` words joined by dots.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Who may send it.
    pub access: Access,
}

/// Handles the commands of one channel. Called on worker threads: it must not block. Work that
/// takes time goes to a thread of the channel's own, which answers through a [`Responder`].
pub trait Channel: Send + Sync {
    /// The commands it answers. Others are answered with `no_handler` before they get here.
    fn actions(&self) -> &[Action];

    /// Called once, before any command: keep the emitter if the channel has events of its own.
    fn start(&self, emitter: Emitter) {
        drop(emitter);
    }

    /// Answers one command. A panic costs this command an `internal` error and nothing else.
    fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome;
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// One of the channel's actions.
    pub action: &'a str,
    /// The command's id.
    pub id: &'a str,
    /// Its data, exactly as sent: valid JSON; `null` if there was none.
    pub data: Raw<'a>,
}

impl Call<'_> {
    /// The data as a type of the handler's own. The error names what does not fit.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.data.as_raw())
            .map_err(|error| Error::new(crate::base::Code::BadData, format!("data: {error}")))
    }
}

/// What became of a command.
#[derive(Debug)]
pub enum Outcome {
    /// Success; the response's data, encoded.
    Done(Box<str>),
    /// Failure.
    Failed(Error),
    /// The answer comes through the responder that was taken.
    Later,
}

impl Outcome {
    /// Success with a value to be encoded.
    pub fn json(value: &serde_json::Value) -> Outcome {
        Outcome::Done(value.to_string().into())
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        Outcome::Failed(error)
    }
}

impl From<Result<Outcome, Error>> for Outcome {
    fn from(result: Result<Outcome, Error>) -> Outcome {
        result.unwrap_or_else(Outcome::Failed)
    }
}

/// The caller's session, and what a handler may do on its behalf. Each of these that returns an
/// [`Outcome`] has checked the caller's permissions, and its outcome is the command's.
pub trait Session {
    /// Who calls; `None` if it has not authenticated.
    fn identity(&self) -> Option<&Arc<Identity>>;
    /// The connection.
    fn conn(&self) -> ConnId;
    /// Where it comes from.
    fn address(&self) -> SocketAddr;
    /// The time of this turn.
    fn now(&self) -> Now;
    /// Takes the right to answer later; the handler then returns [`Outcome::Later`].
    fn later(&mut self) -> Responder;

    /// Shows a credential: becomes that identity, or renews what it has.
    fn authenticate(&mut self, token: &str) -> Outcome;
    /// Subscribes the caller.
    fn subscribe(&mut self, subscribe: Subscribe) -> Outcome;
    /// Ends subscriptions of the caller.
    fn unsubscribe(&mut self, patterns: &[Pattern]) -> Outcome;
    /// Publishes as the caller.
    fn publish(&mut self, publish: Publish<'_>) -> Outcome;
    /// Ends a durable subscription of the caller's identity, for all its connections.
    fn unsubscribe_durable(&mut self, name: &str) -> Outcome;
    /// Takes up an earlier session of the caller's identity.
    fn resume(&mut self, resume: Resume) -> Outcome;
    /// Events that were given up.
    fn letters(&mut self, letters: Letters) -> Outcome;
    /// The events that a topic keeps, so many at most.
    fn history(&mut self, topic: &str, since: Since, limit: usize) -> Outcome;
    /// Who is subscribed to a topic.
    fn presence(&mut self, topic: &str, page: Page) -> Outcome;
    /// One page of an admin list.
    fn list(&mut self, list: List, page: Page) -> Outcome;
    /// Closes connections.
    fn disconnect(&mut self, whom: Disconnect) -> Outcome;
    /// Blocks an identity or address, for so many seconds or for good.
    fn block(&mut self, target: Target, duration_s: Option<u64>, reason: Option<&str>) -> Outcome;
    /// Lifts a block.
    fn unblock(&mut self, target: Target) -> Outcome;
}
