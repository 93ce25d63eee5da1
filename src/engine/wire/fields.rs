//! The members of an envelope that mean something, as they came, and the checks of their types.

use std::borrow::Cow;
use std::fmt;

use super::bad::{Fault, bad};
use super::name::is_id;
use super::object::Raw;

pub(super) const ID: Rule = Rule { field: "id", holds: is_id, text: "has not 1 to 128 bytes" };

/// The `auth` member. Its parts are not checked, and not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth<'a> {
    /// A key or JWT.
    pub token: Option<Cow<'a, str>>,
    /// Base64url of a signature.
    pub signature: Option<Cow<'a, str>>,
}

impl fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, signature) = (self.token.is_some(), self.signature.is_some());
        f.debug_struct("Auth").field("token", &token).field("signature", &signature).finish()
    }
}

/// One place per known member. What is not known is ignored.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) r#type: Option<Raw<'a>>,
    pub(super) id: Option<Raw<'a>>,
    pub(super) timestamp: Option<Raw<'a>>,
    pub(super) channel: Option<Raw<'a>>,
    pub(super) action: Option<Raw<'a>>,
    pub(super) data: Option<Raw<'a>>,
    pub(super) auth: Option<Raw<'a>>,
    pub(super) ids: Option<Raw<'a>>,
    pub(super) topic: Option<Raw<'a>>,
    pub(super) through: Option<Raw<'a>>,
    pub(super) status: Option<Raw<'a>>,
    pub(super) reason: Option<Raw<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn set(&mut self, key: &str, value: Raw<'a>) {
        let place = match key {
            "type" => &mut self.r#type,
            "id" => &mut self.id,
            "timestamp" => &mut self.timestamp,
            "channel" => &mut self.channel,
            "action" => &mut self.action,
            "data" => &mut self.data,
            "auth" => &mut self.auth,
            "ids" => &mut self.ids,
            "topic" => &mut self.topic,
            "through" => &mut self.through,
            "status" => &mut self.status,
            "reason" => &mut self.reason,
            _ => return,
        };
        *place = Some(value);
    }
}

/// What a field of text must be.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) field: &'static str,
    pub(super) holds: fn(&str) -> bool,
    /// Read after the field's name.
    pub(super) text: &'static str,
}

impl Rule {
    /// Any string will do.
    pub(super) const fn any(field: &'static str) -> Rule {
        Rule { field, holds: |_| true, text: "" }
    }

    /// The field, if it is there.
    pub(super) fn optional<'a>(self, value: Option<Raw<'a>>) -> Result<Option<Cow<'a, str>>, Fault> {
        value.map(|value| self.read(value)).transpose()
    }

    /// The field, which must be there.
    pub(super) fn required<'a>(self, value: Option<Raw<'a>>) -> Result<Cow<'a, str>, Fault> {
        self.read(value.ok_or_else(|| bad(self.field, "is missing"))?)
    }

    /// The field's value.
    pub(super) fn read<'a>(self, value: Raw<'a>) -> Result<Cow<'a, str>, Fault> {
        let text = value.as_str().ok_or_else(|| bad(self.field, "is no string"))?;
        if (self.holds)(&text) { Ok(text) } else { Err(bad(self.field, self.text)) }
    }
}
