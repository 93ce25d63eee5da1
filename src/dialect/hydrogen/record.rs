//! A session as it is written down.

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::base::Secret;
use crate::engine::outbound::{Lane, Overflow};
use crate::engine::topic::{Filter, Options, Pattern};

/// What is kept of a session's secret.
pub(super) fn hash_of(secret: &Secret) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.expose().as_bytes()).as_ref());
    hash
}

/// A session as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its id.
    pub id: Box<str>,
    /// Whose it is.
    pub identity: Box<str>,
    /// The SHA-256 of its secret.
    pub secret: [u8; 32],
    /// Its best-effort subscriptions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<WrittenSubscription>,
    /// The guaranteed ones that it is a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Joined>,
}

/// A best-effort subscription as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrittenSubscription {
    /// The pattern.
    pub topics: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drop_oldest: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    conflate: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<serde_json::Value>,
}

/// A guaranteed subscription that a session is a member of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// Its key.
    pub key: String,
    /// Its patterns, as far as this session asked for them.
    pub patterns: Vec<String>,
}

impl SessionRecord {
    /// JSON, for the store.
    pub(super) fn encode(&self) -> Bytes {
        // It holds nothing that JSON has no place for.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads what was written.
    pub fn decode(bytes: &[u8]) -> Option<SessionRecord> {
        serde_json::from_slice(bytes).ok()
    }
}

impl WrittenSubscription {
    pub(super) fn new(pattern: &Pattern, options: &Options) -> WrittenSubscription {
        WrittenSubscription {
            topics: pattern.as_str().to_owned(),
            bulk: options.lane == Lane::Bulk,
            drop_oldest: options.overflow == Overflow::DropOldest,
            conflate: options.conflate,
            filter: options.filter.as_ref().map(|filter| filter.to_value()),
        }
    }

    pub(super) fn read(&self) -> Option<(Pattern, Options)> {
        let filter = match &self.filter {
            Some(filter) => Filter::parse(filter).ok()?.map(Into::into),
            None => None,
        };
        let options = Options {
            lane: if self.bulk { Lane::Bulk } else { Lane::Events },
            overflow: if self.drop_oldest { Overflow::DropOldest } else { Overflow::Disconnect },
            conflate: self.conflate,
            filter,
        };
        Some((Pattern::parse(&self.topics).ok()?, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_comes_back_as_it_was_written() {
        let filter = Filter::parse(&serde_json::json!({"a.b": {"gt": 5}})).unwrap().map(Into::into);
        for (lane, overflow, conflate, filter) in
            [(Lane::Events, Overflow::Disconnect, false, None), (Lane::Bulk, Overflow::DropOldest, true, filter)]
        {
            let options = Options { lane, overflow, conflate, filter };
            let pattern = Pattern::parse("a.*.>").unwrap();
            let text = serde_json::to_string(&WrittenSubscription::new(&pattern, &options)).unwrap();
            let (read, of) = serde_json::from_str::<WrittenSubscription>(&text).unwrap().read().unwrap();
            assert_eq!(read, pattern);
            assert_eq!((of.lane, of.overflow, of.conflate), (options.lane, options.overflow, options.conflate));
            assert_eq!(of.filter, options.filter);
        }
    }
}
