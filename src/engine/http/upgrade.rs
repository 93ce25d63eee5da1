//! The WebSocket handshake's request (RFC 6455 section 4.2.1), checked and taken apart.
//!
//! Subprotocols that carry a credential are kept apart from those that may be echoed, so that no
//! answer can give one away.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use super::extension::{BadExtension, Extension, parse_extensions};
use super::framing::BodyLength;
use super::head::Head;
use super::headers::is_token;
use super::method::{Method, Version};
use super::refusal::Refusal;
use crate::base::Secret;

/// The prefix of a subprotocol that is a credential.
pub const KEY_PROTOCOL: &str = "key.";

/// Subprotocols that one request may offer, credentials included.
pub const PROTOCOLS: usize = 32;

/// A handshake that is as RFC 6455 has it. Nothing is accepted yet.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// `Sec-WebSocket-Accept` of the answer.
    pub accept: String,
    /// Offered subprotocols, in order, without those that carry a credential.
    pub protocols: Vec<String>,
    /// Credentials offered as subprotocols `key.<token>`: the tokens.
    pub keys: Vec<Secret>,
    /// Offered extensions, in order.
    pub extensions: Vec<Extension>,
    /// The page that asks, if a browser does.
    pub origin: Option<String>,
}

/// Whether a request asks for WebSocket, and rightly. `None` if it does not ask.
pub fn check_upgrade(head: &Head) -> Result<Option<Upgrade>, Refusal> {
    let headers = &head.headers;
    if !headers.lists("upgrade", "websocket") {
        return Ok(None);
    }
    // RFC 6455 4.2.1: a GET of HTTP/1.1 or higher.
    if head.method != Method::Get {
        return Err(Refusal::BadUpgrade("a WebSocket handshake is a GET"));
    }
    if head.version != Version::Http11 {
        return Err(Refusal::BadUpgrade("a WebSocket handshake needs HTTP/1.1; a proxy between may speak 1.0"));
    }
    // RFC 9110 7.8: Upgrade counts only if Connection names it; proxies remove both.
    if !headers.lists("connection", "upgrade") {
        return Err(Refusal::BadUpgrade("Connection does not name Upgrade; a proxy between may have removed it"));
    }
    // Bytes after the head are frames; a body there would let two readers disagree on which.
    if !matches!(head.body, BodyLength::None | BodyLength::Exact(0)) {
        return Err(Refusal::BadUpgrade("a WebSocket handshake has no body"));
    }
    // RFC 6455 4.4: 426 and the version that is spoken.
    match headers.once("sec-websocket-version") {
        Ok(Some(b"13")) => {}
        Ok(_) => return Err(Refusal::UpgradeRequired),
        Err(_) => return Err(Refusal::BadUpgrade("Sec-WebSocket-Version is repeated")),
    }
    let key = match headers.once("sec-websocket-key") {
        Ok(Some(key)) if is_nonce(key) => key,
        Ok(Some(_)) => return Err(Refusal::BadUpgrade("Sec-WebSocket-Key is not the base64 of 16 bytes")),
        Ok(None) => return Err(Refusal::BadUpgrade("Sec-WebSocket-Key is missing")),
        Err(_) => return Err(Refusal::BadUpgrade("Sec-WebSocket-Key is repeated")),
    };
    let origin = match headers.once("origin").map(|origin| origin.map(|origin| text(origin).ok())) {
        Ok(None) => None,
        Ok(Some(Some(origin))) => Some(origin),
        Ok(Some(None)) | Err(_) => return Err(Refusal::BadUpgrade("Origin is not valid")),
    };
    let (protocols, keys) = protocols(head)?;
    Ok(Some(Upgrade { accept: derive_accept_key(key), protocols, keys, extensions: extensions(head)?, origin }))
}

/// RFC 6455 4.2.1: a base64 value that decodes to 16 bytes.
fn is_nonce(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// RFC 6455 4.1: tokens, over as many lines as the client likes.
fn protocols(head: &Head) -> Result<(Vec<String>, Vec<Secret>), Refusal> {
    let (mut protocols, mut keys) = (Vec::new(), Vec::new());
    for protocol in head.headers.elements("sec-websocket-protocol") {
        if !is_token(protocol) {
            return Err(Refusal::BadUpgrade("an offered subprotocol is no token"));
        }
        if protocols.len() + keys.len() == PROTOCOLS {
            return Err(Refusal::BadUpgrade("more than 32 subprotocols are offered"));
        }
        let protocol = text(protocol)?;
        match protocol.strip_prefix(KEY_PROTOCOL) {
            Some(key) => keys.push(Secret::new(key)),
            None => protocols.push(protocol),
        }
    }
    Ok((protocols, keys))
}

/// RFC 6455 9.1: over as many lines as the client likes; what breaks the grammar fails the handshake.
fn extensions(head: &Head) -> Result<Vec<Extension>, Refusal> {
    let mut extensions = Vec::new();
    for line in head.headers.all("sec-websocket-extensions") {
        parse_extensions(line, &mut extensions).map_err(|BadExtension(why)| Refusal::BadUpgrade(why))?;
    }
    Ok(extensions)
}

fn text(value: &[u8]) -> Result<String, Refusal> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(Refusal::BadUpgrade("a field of the handshake is not UTF-8")),
    }
}

#[cfg(test)]
mod tests;
