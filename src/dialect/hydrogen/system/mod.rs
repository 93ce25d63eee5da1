//! The channel `system`: the commands that every server has.
//!
//! It is a channel like any other: what it does, it does through the session that it is handed.

mod about;
mod admin;
mod letters;
mod topics;

use std::sync::{Arc, OnceLock};

use super::Reports;
use crate::base::{Code, Error};
use crate::engine::channel::{Access, Action, Call, Channel, Outcome, Session};

const fn action(name: &'static str, access: Access, summary: &'static str) -> Action {
    Action { name, summary, access }
}

const ACTIONS: &[Action] = &[
    action("authenticate", Access::Unauthenticated, "shows a credential, or renews it"),
    action("ping", Access::Unauthenticated, "answers with the same data and the server's time"),
    action("info", Access::Anyone, "the server, its limits, dialects and channels"),
    action("status", Access::Anyone, "the server's figures"),
    action("subscribe", Access::Anyone, "subscribes to topics"),
    action("unsubscribe", Access::Anyone, "ends subscriptions"),
    action("publish", Access::Anyone, "publishes an event"),
    action("history", Access::Anyone, "the events that a topic keeps"),
    action("presence", Access::Anyone, "who is subscribed to a topic"),
    action("sessions", Access::Admin, "lists sessions"),
    action("connections", Access::Admin, "lists connections"),
    action("channels", Access::Admin, "lists channels and their actions"),
    action("topics", Access::Admin, "lists topics that have state"),
    action("disconnect", Access::Admin, "closes connections"),
    action("block", Access::Admin, "blocks an identity, address or network"),
    action("unblock", Access::Admin, "lifts a block"),
    action("dead_letters", Access::Admin, "lists events that could not be delivered"),
    action("dead_letters.replay", Access::Admin, "delivers dead letters again"),
    action("dead_letters.discard", Access::Admin, "forgets dead letters"),
    action("resume", Access::Anyone, "takes up an earlier session"),
];

/// What `system.info` and `system.channels` say; known once all channels are registered.
#[derive(Debug)]
pub struct About {
    /// The data of `system.info`, encoded.
    pub info: Box<str>,
    /// The channels and their actions.
    pub channels: serde_json::Value,
}

/// The channel `system`.
pub struct SystemChannel {
    reports: Arc<dyn Reports>,
    about: OnceLock<About>,
}

impl SystemChannel {
    /// A channel that takes its status from `reports`.
    pub fn new(reports: Arc<dyn Reports>) -> SystemChannel {
        SystemChannel { reports, about: OnceLock::new() }
    }

    /// Says what `system.info` and `system.channels` answer. Only the first call counts.
    pub fn describe(&self, about: About) {
        let _ = self.about.set(about);
    }
}

impl Channel for SystemChannel {
    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome {
        match call.action {
            "authenticate" => about::authenticate(call, session),
            "ping" => about::ping(call, session),
            "info" => self.about.get().map_or_else(unavailable, |about| Outcome::Done(about.info.clone())),
            "status" => {
                self.reports.status(false, session.later());
                Outcome::Later
            }
            "subscribe" => topics::subscribe(call, session).into(),
            "unsubscribe" => topics::unsubscribe(call, session).into(),
            "publish" => topics::publish(call, session).into(),
            "history" => topics::history(call, session).into(),
            "presence" => topics::presence(call, session).into(),
            "channels" => self.about.get().map_or_else(unavailable, |about| admin::channels(call, &about.channels)),
            "sessions" | "connections" | "topics" => admin::list(call, session).into(),
            "disconnect" => admin::disconnect(call, session).into(),
            "block" => admin::block(call, session).into(),
            "unblock" => admin::unblock(call, session).into(),
            "dead_letters" => letters::list(call, session).into(),
            "dead_letters.replay" => letters::replay(call, session).into(),
            "dead_letters.discard" => letters::discard(call, session).into(),
            "resume" => letters::resume(call, session).into(),
            // Actions that are not in the table do not get here.
            _ => Error::new(Code::NoHandler, "the channel has no such action").into(),
        }
    }
}

fn unavailable() -> Outcome {
    Error::new(Code::Unavailable, "the server is starting").into()
}

fn bad(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::BadData, text)
}
