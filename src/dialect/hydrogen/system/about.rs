//! `authenticate` and `ping`.

use super::bad;
use crate::engine::channel::{Call, Outcome, Session};

pub(super) fn authenticate(call: &Call<'_>, session: &mut dyn Session) -> Outcome {
    match call.data.member("token").and_then(|token| token.as_str()) {
        Some(token) => session.authenticate(&token),
        None => bad("data.token: a string is needed").into(),
    }
}

/// The same data, and `server_time`: spliced in front of the closing brace, so that what was sent
/// comes back byte for byte.
pub(super) fn ping(call: &Call<'_>, session: &mut dyn Session) -> Outcome {
    let time = session.now().wall;
    if call.data.is_null() {
        return Outcome::Done(format!("{{\"server_time\":\"{time}\"}}").into());
    }
    if !call.data.is_object() {
        return bad("data: an object is needed").into();
    }
    let object = call.data.as_raw().trim_end();
    let Some(inner) = object.strip_suffix('}') else { return bad("data: an object is needed").into() };
    // A member of that name is the server's: what the client sent under it would stand twice.
    if call.data.member("server_time").is_some() {
        return bad("data.server_time: this name is the server's").into();
    }
    let comma = if call.data.members().next().is_some() { "," } else { "" };
    Outcome::Done(format!("{inner}{comma}\"server_time\":\"{time}\"}}").into())
}
