//! The channels of the server, by name: built at the start, never changed after.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::engine::channel::{Action, Channel, Emitter, EventSink};
use crate::engine::wire::{is_action, is_channel};

/// All channels.
#[derive(Default)]
pub struct Channels {
    by_name: BTreeMap<Box<str>, Arc<dyn Channel>>,
}

/// Why a channel cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelsError {
    /// Not of the form `[a-z][a-z0-9_-]{0,63}`.
    BadName(String),
    /// Registered before.
    Twice(String),
    /// An action of it is not `[a-z0-9_]` words joined by dots.
    BadAction(String, &'static str),
}

impl fmt::Display for ChannelsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelsError::BadName(name) => write!(f, "{name:?} is no channel name: [a-z][a-z0-9_-]{{0,63}}"),
            ChannelsError::Twice(name) => write!(f, "channel {name:?} is registered twice"),
            ChannelsError::BadAction(name, action) => write!(f, "channel {name:?}: {action:?} is no action name"),
        }
    }
}

impl std::error::Error for ChannelsError {}

impl Channels {
    /// Registers a channel.
    pub fn add(&mut self, name: &str, channel: Arc<dyn Channel>) -> Result<(), ChannelsError> {
        if !is_channel(name) {
            return Err(ChannelsError::BadName(name.into()));
        }
        if let Some(action) = channel.actions().iter().find(|action| !is_action(action.name)) {
            return Err(ChannelsError::BadAction(name.into(), action.name));
        }
        if self.by_name.contains_key(name) {
            return Err(ChannelsError::Twice(name.into()));
        }
        self.by_name.insert(name.into(), channel);
        Ok(())
    }

    /// Gives each channel its emitter.
    pub fn start(&self, sink: &Arc<dyn EventSink>) {
        for (name, channel) in &self.by_name {
            channel.start(Emitter::new(name, sink.clone()));
        }
    }

    /// The channel and action of a command, if anybody handles it.
    pub(super) fn find(&self, channel: &str, action: &str) -> Option<(&Arc<dyn Channel>, Action)> {
        let handler = self.by_name.get(channel)?;
        let action = handler.actions().iter().find(|known| known.name == action)?;
        Some((handler, *action))
    }

    /// Whether the channel is known at all.
    pub(super) fn has(&self, channel: &str) -> bool {
        self.by_name.contains_key(channel)
    }

    /// `[{name, actions:[{action, summary, access}]}]`, encoded.
    pub fn describe(&self) -> serde_json::Value {
        let channel = |name: &str, channel: &Arc<dyn Channel>| {
            let actions: Vec<serde_json::Value> = channel
                .actions()
                .iter()
                .map(|action| serde_json::json!({"action": action.name, "summary": action.summary}))
                .collect();
            serde_json::json!({"channel": name, "actions": actions})
        };
        self.by_name.iter().map(|(name, of_name)| channel(name, of_name)).collect()
    }

    /// The channels' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}
