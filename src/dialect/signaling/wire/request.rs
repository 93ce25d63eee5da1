//! Requests, as they are asked for in either era.

use super::envelope::Payload;
use super::fields::{Bad, Fields, is_string, on_one_line};
use super::{Era, Kind, Refusal, Signal};
use crate::base::Secret;
use crate::dialect::signaling::limits::{KEY_BYTES, NAME_BYTES, RELAY_BYTES, ROOM_NAME_BYTES};

/// What a client asks.
#[derive(Debug)]
pub(in crate::dialect::signaling) enum Request {
    Create {
        name: Box<str>,
        password: Secret,
        key: Box<str>,
        username: Box<str>,
        grace: bool,
    },
    Join {
        room: Box<str>,
        password: Secret,
        key: Box<str>,
        username: Box<str>,
        grace: bool,
    },
    Connect {
        room: Box<str>,
        key: Box<str>,
        username: Box<str>,
        grace: bool,
    },
    Disconnect {
        room: Box<str>,
    },
    Leave {
        room: Box<str>,
        key: Box<str>,
    },
    Kick {
        room: Box<str>,
        target: Box<str>,
    },
    Rename {
        room: Box<str>,
        name: Box<str>,
    },
    /// Any JSON, or `null`.
    Ping {
        timestamp: Box<str>,
    },
    Rooms {
        key: Box<str>,
    },
    ClientInfo {
        key: Box<str>,
        name: Box<str>,
    },
    Signal(Signal),
    Challenge,
    Prove {
        key: Box<str>,
        signature: Box<str>,
    },
    Resume {
        token: Box<str>,
    },
    Presence {
        room: Box<str>,
    },
    IceServers,
    /// `data` is a JSON string, encoded.
    Relay {
        room: Box<str>,
        target: Box<str>,
        data: Box<str>,
    },
}

/// Reads a request, and says in whose words its answer is to be.
pub(in crate::dialect::signaling) fn parse(
    name: &str,
    payload: &Payload<'_>,
    before: Era,
) -> (Era, Result<(Kind, Request), Refusal>) {
    let Some((kind, era)) = Kind::of(name) else { return (before, Err(Refusal::UnknownType)) };
    // What needs no field has no wrong format.
    match kind {
        Kind::IceServers => return (before, Ok((kind, Request::IceServers))),
        Kind::Challenge => return (before, Ok((kind, Request::Challenge))),
        _ => {}
    }
    let Ok(fields) = Fields::of(payload) else {
        return (era.unwrap_or(before), Err(Refusal::Format(kind)));
    };
    let era = era.unwrap_or_else(|| match (fields.has("network_id"), fields.has("room_id")) {
        (true, false) => Era::Network,
        (false, true) => Era::Room,
        (true, true) | (false, false) => before,
    });
    (era, read(kind, era, &fields).map(|request| (kind, request)).map_err(|Bad| Refusal::Format(kind)))
}

fn read(kind: Kind, era: Era, fields: &Fields<'_>) -> Result<Request, Bad> {
    let room = || fields.text(era.id(), usize::MAX);
    let key = || fields.text("public_key", KEY_BYTES);
    let grace = fields.is_set("grace");
    if matches!(kind, Kind::Disconnect | Kind::Kick | Kind::Rename) {
        // It does not count there, and is of its type all the same.
        fields.check("public_key", is_string)?;
    }
    Ok(match kind {
        Kind::Create => Request::Create {
            name: fields.text(era.name(), ROOM_NAME_BYTES)?,
            password: password(era, fields)?,
            key: key()?,
            username: username(era, fields)?,
            grace,
        },
        Kind::Join => Request::Join {
            room: room()?,
            password: password(era, fields)?,
            key: key()?,
            username: username(era, fields)?,
            grace,
        },
        Kind::Connect => Request::Connect { room: room()?, key: key()?, username: username(era, fields)?, grace },
        Kind::Disconnect => Request::Disconnect { room: room()? },
        Kind::Leave => Request::Leave { room: room()?, key: key()? },
        Kind::Kick => Request::Kick { room: room()?, target: target(fields)? },
        Kind::Rename => Request::Rename { room: room()?, name: fields.text(era.name(), ROOM_NAME_BYTES)? },
        Kind::Ping => {
            let timestamp = fields.raw("timestamp").map_or("null", serde_json::value::RawValue::get);
            Request::Ping { timestamp: on_one_line(timestamp).into() }
        }
        Kind::Rooms => Request::Rooms { key: key()? },
        Kind::ClientInfo => Request::ClientInfo { key: key()?, name: fields.text("client_name", NAME_BYTES)? },
        Kind::Signal(kind) => Request::Signal(Signal::read(kind, era, fields)?),
        Kind::Prove => Request::Prove { key: key()?, signature: fields.text("signature", KEY_BYTES)? },
        Kind::Resume => Request::Resume { token: fields.text("resume_token", KEY_BYTES)? },
        Kind::Presence => Request::Presence { room: room()? },
        Kind::IceServers => Request::IceServers,
        Kind::Challenge => Request::Challenge,
        Kind::Relay => {
            let data = fields.raw("data").ok_or(Bad)?.get();
            if !data.starts_with('"') || data.len() > RELAY_BYTES {
                return Err(Bad);
            }
            Request::Relay { room: room()?, target: target(fields)?, data: data.into() }
        }
    })
}

/// The later era's own word first; its document still says the other.
fn password(era: Era, fields: &Fields<'_>) -> Result<Secret, Bad> {
    let name = era.pick("password", if fields.has("pin") { "pin" } else { "password" });
    fields.text(name, NAME_BYTES).map(Secret::new)
}

/// The later era writes it in two ways.
fn username(era: Era, fields: &Fields<'_>) -> Result<Box<str>, Bad> {
    let name = era.pick("username", if fields.has("computer_name") { "computer_name" } else { "computername" });
    fields.text(name, NAME_BYTES)
}

/// Whom it is about or for, by whichever name is there.
fn target(fields: &Fields<'_>) -> Result<Box<str>, Bad> {
    let names = ["target_id", "destination_id", "target_public_key"];
    let name = names.into_iter().find(|name| fields.has(name)).unwrap_or("target_id");
    fields.text(name, KEY_BYTES)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn refused(name: &str, payload: &str) -> Option<String> {
        let payload = Payload::Json(Cow::Owned(payload.to_owned()));
        let (era, parsed) = parse(name, &payload, Era::Room);
        parsed.err().map(|refusal| refusal.text(era).into_owned())
    }

    #[test]
    fn every_type_has_its_own_format_error() {
        for (name, field, text) in [
            ("CreateRoom", "room_name", "Invalid create room request format"),
            ("JoinRoom", "room_id", "Invalid join room request format"),
            ("ConnectRoom", "room_id", "Invalid connect room request format"),
            ("DisconnectRoom", "room_id", "Invalid disconnect room request format"),
            ("LeaveRoom", "room_id", "Invalid leave room request format"),
            ("Kick", "target_id", "Invalid kick request format"),
            ("Rename", "room_name", "Invalid rename request format"),
            ("GetUserRooms", "public_key", "Invalid get user rooms request format"),
            ("CreateNetwork", "pin", "Invalid create network request format"),
            ("JoinNetwork", "network_id", "Invalid join network request format"),
            ("ConnectNetwork", "network_id", "Invalid connect network request format"),
            ("DisconnectNetwork", "network_id", "Invalid disconnect network request format"),
            ("LeaveNetwork", "network_id", "Invalid leave network request format"),
            ("GetComputerNetworks", "public_key", "Invalid get computer networks request format"),
            ("UpdateClientInfo", "client_name", "Invalid update client info request format"),
            ("SdpOffer", "target_public_key", "Invalid SDP offer format"),
            ("SdpAnswer", "target_public_key", "Invalid SDP answer format"),
            ("IceCandidate", "target_public_key", "Invalid ICE candidate format"),
            ("Offer", "destination_id", "Invalid offer format"),
            ("Answer", "destination_id", "Invalid answer format"),
            ("Candidate", "destination_id", "Invalid candidate format"),
        ] {
            let (_, missing) = parse(name, &Payload::Missing, Era::Room);
            assert!(missing.is_err(), "{name}");
            for payload in [format!("{{\"{field}\":7}}"), format!("{{\"{field}\":[]}}"), "[]".into(), "x".into()] {
                assert_eq!(refused(name, &payload).as_deref(), Some(text), "{name} {payload}");
            }
            for payload in ["{}", "null", "{\"other\":7}", &format!("{{\"{field}\":null}}")] {
                assert_eq!(refused(name, payload), None, "{name} {payload}");
            }
        }
        assert_eq!(refused("Ping", "[]").as_deref(), Some("Invalid ping format"));
        assert_eq!(refused("createRoom", "{}").as_deref(), Some("Unknown message type"));
    }

    #[test]
    fn what_a_signal_carries_is_of_its_type() {
        for (name, field, good, bad) in [
            ("Offer", "offer", &["\"v=0\"", "{\"type\":\"offer\"}", "null"][..], &["7", "[1]", "true"][..]),
            ("Answer", "answer", &["\"v=0\"", "{}", "null"], &["7", "[1]", "false"]),
            ("Candidate", "candidate", &["\"\"", "{}", "null"], &["7", "[]"]),
            ("SdpOffer", "sdp", &["\"v=0\"", "null"], &["7", "{}", "[1]"]),
            ("SdpAnswer", "sdp", &["\"v=0\"", "null"], &["7", "{}", "[1]"]),
            ("IceCandidate", "candidate", &["\"\"", "null"], &["7", "{}"]),
            ("IceCandidate", "sdp_mid", &["\"0\"", "null"], &["7", "{}"]),
            ("IceCandidate", "sdp_m_line_index", &["0", "-1", "null"], &["\"x\"", "0.5", "[0]"]),
            ("Offer", "public_key", &["\"k\"", "null"], &["7"]),
            ("SdpOffer", "sender_public_key", &["\"k\"", "null"], &["7"]),
            ("Kick", "public_key", &["\"k\"", "null"], &["7"]),
            ("Rename", "public_key", &["\"k\"", "null"], &["7"]),
            ("DisconnectRoom", "public_key", &["\"k\"", "null"], &["7"]),
            ("Ping", "public_key", &["\"k\"", "7"], &[]),
        ] {
            for (value, is_good) in good.iter().map(|it| (it, true)).chain(bad.iter().map(|it| (it, false))) {
                let payload = format!("{{\"{field}\":{value}}}");
                assert_eq!(refused(name, &payload).is_none(), is_good, "{name} {payload}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_of_a_wrong_format() {
        for (name, field, most) in [
            ("CreateRoom", "room_name", 255),
            ("JoinRoom", "username", 255),
            ("JoinRoom", "public_key", 128),
            ("Offer", "offer", SDP - 2),
            ("SdpAnswer", "sdp", SDP - 2),
            ("Candidate", "candidate", 4094),
        ] {
            for (length, good) in [(most, true), (most + 1, false)] {
                let payload = format!("{{\"{field}\":\"{}\"}}", "x".repeat(length));
                assert_eq!(refused(name, &payload).is_none(), good, "{name} {field} {length}");
            }
        }
        let deep = format!("{{\"offer\":{}{}}}", "[".repeat(40), "]".repeat(40));
        assert_eq!(refused("Offer", &deep).as_deref(), Some("Invalid offer format"));
    }

    const SDP: usize = 48 * 1024;

    #[test]
    fn the_field_that_names_the_room_tells_the_era() {
        for (payload, era) in
            [("{\"network_id\":\"a\"}", Era::Network), ("{\"room_id\":\"a\"}", Era::Room), ("{}", Era::Network)]
        {
            let payload = Payload::Json(Cow::Borrowed(payload));
            assert_eq!(parse("Kick", &payload, Era::Network).0, era);
        }
    }
}
