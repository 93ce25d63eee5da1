//! The credential that a request presents: found and made readable, not judged.
//!
//! Three places, in this order: `Authorization`, an offered subprotocol `key.<token>`, and the
//! query's `key`. All of them are read. One that cannot be read spoils the request even if another
//! place holds a right one, and so do two that differ: at most one of them can be right, and a
//! wrong credential is never passed over.

use super::head::Head;
use super::upgrade::Upgrade;
use crate::base::Secret;

/// Bytes of a key, in whatever place. A JWT is bounded by the head alone.
pub const KEY_BYTES: usize = 255;

/// Bytes of a query in which a key is still looked for.
pub const QUERY_BYTES: usize = 8 * 1024;

/// What a request presents.
#[derive(Clone, Debug)]
pub enum Presented {
    /// Nothing.
    None,
    /// A key.
    Key(Secret),
    /// A bearer token: a JWT.
    Bearer(Secret),
    /// Something of an unknown scheme, malformed, or several that differ. To be refused.
    Unreadable,
}

impl Presented {
    /// Both of them: the same thing twice is one, two different things are refused.
    fn and(self, other: Presented) -> Presented {
        match (self, other) {
            (Presented::None, one) | (one, Presented::None) => one,
            (Presented::Key(one), Presented::Key(two)) if one == two => Presented::Key(one),
            (Presented::Key(_) | Presented::Bearer(_) | Presented::Unreadable, _) => Presented::Unreadable,
        }
    }

    fn key(text: &str) -> Presented {
        if is_readable(text) && text.len() <= KEY_BYTES {
            Presented::Key(Secret::new(text))
        } else {
            Presented::Unreadable
        }
    }
}

/// Reads all places of a head; the query only where it is allowed to hold a key.
pub fn presented(head: &Head, upgrade: Option<&Upgrade>, query_allowed: bool) -> Presented {
    let mut found = authorization(head);
    for key in upgrade.into_iter().flat_map(|upgrade| &upgrade.keys) {
        found = found.and(Presented::key(key.expose()));
    }
    match &head.query {
        Some(query) if query_allowed => found.and(in_query(query)),
        Some(_) | None => found,
    }
}

/// RFC 9110 11.6.2: one `Authorization`: a scheme in any case, spaces, and what goes with it.
fn authorization(head: &Head) -> Presented {
    let value = match head.headers.once("authorization") {
        Ok(None) => return Presented::None,
        Ok(Some(value)) => value,
        Err(_) => return Presented::Unreadable,
    };
    let Some((scheme, token)) = std::str::from_utf8(value).ok().and_then(|value| value.split_once(' ')) else {
        return Presented::Unreadable;
    };
    let token = token.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("key") {
        Presented::key(token)
    } else if scheme.eq_ignore_ascii_case("bearer") && is_readable(token) {
        Presented::Bearer(Secret::new(token))
    } else {
        Presented::Unreadable
    }
}

/// Credentials are visible ASCII without spaces.
fn is_readable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

/// The name stands at the query's start or just after `&`, and is not decoded.
fn in_query(query: &str) -> Presented {
    let mut found = Presented::None;
    for value in query.split('&').filter_map(|pair| pair.strip_prefix("key=")) {
        found = found.and(match percent_decoded(value) {
            Some(key) if query.len() < QUERY_BYTES => Presented::key(&key),
            Some(_) | None => Presented::Unreadable,
        });
    }
    found
}

/// `%XX` is decoded; `+` is itself.
pub(super) fn percent_decoded(value: &str) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high)? * 16 + hex(*low)?, tail),
            (b'%', _) => return None,
            (byte, tail) => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
