//! What a client may send: commands, acks, and two messages of older clients.
//!
//! Every member of the envelope is checked here, and `data` is passed on exactly as it came.
//! Whether a credential or signature is right, and whether anybody handles the channel, is not
//! known here.

use std::borrow::Cow;

use super::ack::{self, Ack};
use super::bad::{BadMessage, Fault, bad, bad_type};
use super::fields::{Auth, Fields, ID, Rule};
use super::json::Scanner;
use super::name::{is_action, is_channel};
use super::object::Raw;
use super::timestamp;
use crate::base::{Error, Wall};

const TYPE: Rule = Rule::any("type");
const TIMESTAMP: Rule = Rule::any("timestamp");
const CHANNEL: Rule = Rule { field: "channel", holds: is_channel, text: "is not of the form [a-z][a-z0-9_-]{0,63}" };
const ACTION: Rule =
    Rule { field: "action", holds: is_action, text: "is not [a-z0-9_] words joined by dots, up to 128 bytes" };
const TOKEN: Rule = Rule::any("auth.token");
const SIGNATURE: Rule = Rule::any("auth.signature");

/// One message from a client.
#[derive(Clone, Debug)]
pub enum Incoming<'a> {
    /// `{"type":"command",…}`: gets exactly one response.
    Command(Command<'a>),
    /// `{"type":"ack",…}`: gets none.
    Ack(Ack<'a>),
    /// `{"type":"status"}` of older clients: gets the bare status object.
    LegacyStatus,
    /// `{"type":"keepalive"}` or `{"type":"k"}` of older clients: gets `keepalive_ok`.
    LegacyKeepalive,
}

/// A command that was checked.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// What the response repeats.
    pub id: Option<Cow<'a, str>>,
    /// The id as it was sent, with its quotes and escapes.
    pub id_raw: Option<Raw<'a>>,
    /// When the client says that it made the command.
    pub timestamp: Option<Timestamp<'a>>,
    /// The channel.
    pub channel: Cow<'a, str>,
    /// The action.
    pub action: Cow<'a, str>,
    /// Any JSON value, exactly as it was sent.
    pub data: Option<Raw<'a>>,
    /// A credential, a signature, or both.
    pub auth: Option<Auth<'a>>,
}

/// A timestamp: what was signed, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// As the client wrote it.
    pub text: Cow<'a, str>,
    /// What it says.
    pub wall: Wall,
}

/// A message that is none of [`Incoming`], with what its error response can repeat.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    /// What the client is told.
    pub error: Error,
    /// What it is counted as.
    pub kind: BadMessage,
    /// The id, if it could be read and is one.
    pub id: Option<Cow<'a, str>>,
    /// The channel, likewise.
    pub channel: Option<Cow<'a, str>>,
    /// The action, likewise.
    pub action: Option<Cow<'a, str>>,
}

/// Reads one message. `depth_max` counts the envelope itself as 1.
pub fn parse<'a>(scanner: &mut Scanner, text: &'a str, depth_max: usize) -> Result<Incoming<'a>, Box<Refused<'a>>> {
    let mut fields = Fields::default();
    let scanned = scanner.scan_members(text, depth_max, |key, value| fields.set(key, value));
    scanned.map_err(Fault::from).and_then(|()| read(&fields)).map_err(|fault| Box::new(refuse(&fields, fault)))
}

fn read<'a>(fields: &Fields<'a>) -> Result<Incoming<'a>, Fault> {
    let of_type = TYPE.required(fields.r#type)?;
    match &*of_type {
        "command" => command(fields).map(Incoming::Command),
        "ack" => {
            CHANNEL.optional(fields.channel)?;
            ACTION.optional(fields.action)?;
            read_timestamp(fields)?;
            let of = ack::read(fields)?;
            Ok(Incoming::Ack(Ack { of, auth: read_auth(fields)? }))
        }
        "status" if fields.channel.is_none() && fields.action.is_none() => Ok(Incoming::LegacyStatus),
        "keepalive" | "k" => Ok(Incoming::LegacyKeepalive),
        "event" | "response" => Err(bad_type("only the server sends events and responses")),
        _ => Err(bad_type("`type` is neither \"command\" nor \"ack\"")),
    }
}

fn command<'a>(fields: &Fields<'a>) -> Result<Command<'a>, Fault> {
    Ok(Command {
        id: ID.optional(fields.id)?,
        id_raw: fields.id,
        timestamp: read_timestamp(fields)?,
        channel: CHANNEL.required(fields.channel)?,
        action: ACTION.required(fields.action)?,
        data: fields.data,
        auth: read_auth(fields)?,
    })
}

fn read_timestamp<'a>(fields: &Fields<'a>) -> Result<Option<Timestamp<'a>>, Fault> {
    let Some(text) = TIMESTAMP.optional(fields.timestamp)? else { return Ok(None) };
    let wall = timestamp::parse(&text).ok_or_else(|| bad("timestamp", "is no RFC 3339 time"))?;
    Ok(Some(Timestamp { text, wall }))
}

fn read_auth<'a>(fields: &Fields<'a>) -> Result<Option<Auth<'a>>, Fault> {
    let Some(auth) = fields.auth else { return Ok(None) };
    if !auth.is_object() {
        return Err(bad("auth", "is no object"));
    }
    let token = TOKEN.optional(auth.member("token"))?;
    let signature = SIGNATURE.optional(auth.member("signature"))?;
    Ok(Some(Auth { token, signature }))
}

fn refuse<'a>(fields: &Fields<'a>, fault: Fault) -> Refused<'a> {
    Refused {
        error: fault.error,
        kind: fault.kind,
        id: ID.optional(fields.id).ok().flatten(),
        channel: CHANNEL.optional(fields.channel).ok().flatten(),
        action: ACTION.optional(fields.action).ok().flatten(),
    }
}
