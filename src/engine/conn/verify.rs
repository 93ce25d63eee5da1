//! The Verifying state: one request is judged, cheap checks first, the credential last.

use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::{Chosen, Origins};
use super::{Connection, Cx, Settings};
use crate::base::{DialectId, Metric};
use crate::engine::auth::{Identity, Permissions};
use crate::engine::http::{
    Head, Presented, Refusal, ResumeClaim, Upgrade, check_upgrade, presented, resume_claim, write_switching,
};
use crate::engine::ws::deflate::{self, Agreed};

impl Connection {
    /// A wrong credential came in band: the address is held to account as for one in a handshake.
    pub fn on_credential_refused(&mut self, cx: &mut Cx<'_>) {
        cx.throttle.on_failure(self.address.ip(), cx.now.mono);
    }
}

/// What a request turned out to be.
pub(super) enum Verdict {
    /// A plain request, and who asks where a good credential was shown.
    Plain(Option<Arc<Identity>>),
    /// A handshake that is accepted.
    WebSocket(Box<Admission>),
}

/// An accepted handshake.
pub(super) struct Admission {
    pub answer: Vec<u8>,
    pub dialect: DialectId,
    pub identity: Option<Arc<Identity>>,
    pub protocol: Option<Arc<str>>,
    pub client_id: Option<Box<str>>,
    pub resume: Option<Box<ResumeClaim>>,
    pub deflate: Option<Agreed>,
}

/// When clients that meet a full or stopping server are asked to come back, in milliseconds.
pub(super) const RETRY_MS: u64 = 5_000;

pub(super) fn judge(head: &Head, address: SocketAddr, cx: &mut Cx<'_>) -> Result<Verdict, Refusal> {
    check_block(address, None, cx)?;
    let Some(upgrade) = check_upgrade(head)? else {
        if cx.settings.is_endpoint(&head.path) {
            return Err(Refusal::UpgradeRequired);
        }
        return Ok(Verdict::Plain(plain_identity(head, address, cx)?));
    };
    if cx.gauge.draining {
        return Err(Refusal::Draining(RETRY_MS));
    }
    let is_named = head.headers.first(CLIENT_ID).is_some();
    let chosen = cx.settings.choose_dialect(&upgrade.protocols, &head.path, is_named).ok_or(Refusal::NotFound)?;
    check_origin(&upgrade, head, cx.settings)?;
    if cx.gauge.websockets + cx.gauge.elsewhere >= cx.settings.connections_max {
        return Err(Refusal::ServerFull(RETRY_MS));
    }
    let shown = presented(head, Some(&upgrade), cx.settings.query_key);
    let dialect = dialect_of(&chosen, &shown, cx.settings);
    let identity = match dialect {
        // An echo holds no state and reveals nothing: it asks for no credential.
        DialectId::Echo => Some(Arc::new(anonymous())),
        DialectId::Signaling => Some(signaling_identity(shown, address, cx)?),
        DialectId::Hydrogen => websocket_identity(shown, address, cx)?,
    };
    if let Some(identity) = &identity {
        if !identity.permissions.may_connect() {
            return Err(Refusal::Forbidden);
        }
        check_block(address, Some(identity), cx)?;
    }
    let deflate = cx.settings.deflate.as_ref().and_then(|settings| deflate::choose(settings, &upgrade.extensions));
    let mut answer = Vec::with_capacity(192);
    let protocol = chosen.protocol;
    write_switching(&upgrade, protocol.as_deref(), deflate.map(|agreed| agreed.to_string()).as_deref(), &mut answer);
    let resume = resume_claim(head, cx.settings.query_key).map(Box::new);
    let client_id = client_id(head);
    Ok(Verdict::WebSocket(Box::new(Admission { answer, dialect, identity, protocol, client_id, resume, deflate })))
}

/// The field in which clients of signaling name themselves.
const CLIENT_ID: &str = "x-client-id";
/// Bytes of such a name.
const CLIENT_ID_BYTES: usize = 128;

fn client_id(head: &Head) -> Option<Box<str>> {
    let name = head.headers.once(CLIENT_ID).ok().flatten().filter(|name| name.len() <= CLIENT_ID_BYTES)?;
    std::str::from_utf8(name).ok().map(Into::into)
}

/// Whoever did not say what it speaks, and would not be let in as a client of hydrogen-protocol, can
/// only mean signaling.
fn dialect_of(chosen: &Chosen, shown: &Presented, settings: &Settings) -> DialectId {
    let is_refused = matches!(shown, Presented::None) && settings.auth_required && !settings.in_band_auth;
    let takes_anyone = settings.signaling.as_ref().is_some_and(|door| !door.needs_key);
    if chosen.is_undecided && is_refused && takes_anyone { DialectId::Signaling } else { chosen.dialect }
}

fn everything_but_admin() -> Permissions {
    // The texts are constants, and each is a permission.
    Permissions::parse(&["connect", "subscribe:>", "publish:>", "call:>", "subscribe:system.>", "call:network.>"])
        .unwrap_or_default()
}

/// A block that does not end is looked at again in an hour.
const BLOCK_RETRY_MS: u64 = 3_600_000;

fn check_block(address: SocketAddr, identity: Option<&Identity>, cx: &Cx<'_>) -> Result<(), Refusal> {
    match cx.access.blocks.is_blocked(Some(address.ip()), identity, cx.now.wall) {
        Some(block) => {
            cx.counters.inc(Metric::BLOCKED);
            Err(Refusal::Blocked(block.retry_after_ms(cx.now.wall).unwrap_or(BLOCK_RETRY_MS)))
        }
        None => Ok(()),
    }
}

/// Who connects without a credential, where none is required: everything but administration.
fn anonymous() -> Identity {
    Identity::outside(Identity::ANONYMOUS_NAME, everything_but_admin(), None)
}

/// Signaling may do without a credential, but not with a wrong one.
fn signaling_identity(shown: Presented, address: SocketAddr, cx: &mut Cx<'_>) -> Result<Arc<Identity>, Refusal> {
    let needs_key = cx.settings.signaling.as_ref().is_some_and(|door| door.needs_key);
    match shown {
        Presented::None if !needs_key => Ok(Arc::new(anonymous())),
        shown @ (Presented::None | Presented::Key(_) | Presented::Bearer(_) | Presented::Unreadable) => {
            authenticate(shown, address, cx)
        }
    }
}

fn websocket_identity(
    shown: Presented,
    address: SocketAddr,
    cx: &mut Cx<'_>,
) -> Result<Option<Arc<Identity>>, Refusal> {
    if let Presented::None = shown {
        if !cx.settings.auth_required {
            return Ok(Some(Arc::new(anonymous())));
        }
        if cx.settings.in_band_auth {
            // Who guesses in band comes back without a credential.
            check_throttle(address, cx)?;
            return Ok(None);
        }
    }
    authenticate(shown, address, cx).map(Some)
}

/// A plain request may do without a credential, but not with a wrong one.
fn plain_identity(head: &Head, address: SocketAddr, cx: &mut Cx<'_>) -> Result<Option<Arc<Identity>>, Refusal> {
    match presented(head, None, cx.settings.query_key) {
        Presented::None => Ok(None),
        shown @ (Presented::Key(_) | Presented::Bearer(_) | Presented::Unreadable) => {
            authenticate(shown, address, cx).map(Some)
        }
    }
}

fn check_throttle(address: SocketAddr, cx: &Cx<'_>) -> Result<(), Refusal> {
    match cx.throttle.is_throttled(address.ip(), cx.now.mono) {
        Some(ms) => {
            cx.counters.inc(Metric::RATE_LIMITED);
            Err(Refusal::RateLimited(ms))
        }
        None => Ok(()),
    }
}

fn authenticate(shown: Presented, address: SocketAddr, cx: &mut Cx<'_>) -> Result<Arc<Identity>, Refusal> {
    check_throttle(address, cx)?;
    let accepted = match &shown {
        Presented::Key(key) => cx.access.keys.authenticate(key.expose(), cx.now.wall).ok(),
        // No issuer of signed web tokens is configured.
        Presented::Bearer(_) | Presented::Unreadable | Presented::None => None,
    };
    match accepted {
        Some(identity) => {
            cx.counters.inc(Metric::AUTH_ACCEPTED);
            Ok(identity)
        }
        None => {
            cx.counters.inc(Metric::AUTH_REFUSED);
            // Nothing was guessed where nothing was shown.
            if !matches!(shown, Presented::None) {
                cx.throttle.on_failure(address.ip(), cx.now.mono);
            }
            Err(Refusal::Unauthenticated)
        }
    }
}

fn check_origin(upgrade: &Upgrade, head: &Head, settings: &Settings) -> Result<(), Refusal> {
    let Some(origin) = &upgrade.origin else { return Ok(()) };
    let allowed = match &settings.origins {
        Origins::Any => true,
        Origins::Listed(origins) => origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        Origins::SameHost => origin
            .split_once("://")
            .is_some_and(|(_, own)| head.host.as_deref().is_some_and(|host| own.eq_ignore_ascii_case(host))),
    };
    if allowed { Ok(()) } else { Err(Refusal::Origin) }
}
