//! `Signaling.IceServers`: what clients are told of servers that help them to find a path.

use std::time::Duration;

use crate::base::Secret;
use crate::config::reader::Reader;
use crate::config::text::{Text, open};

/// Addresses of one kind.
const URLS: usize = 16;

const DAY_S: u64 = 86_400;

const SECRET: Text =
    Text { expected: "a secret of 8 to 255 printable ASCII characters without spaces", is_secret: true };

/// What clients are told of STUN and TURN servers.
#[derive(Clone, Debug, PartialEq)]
pub struct IceServers {
    /// STUN servers.
    pub stun: Vec<String>,
    /// TURN servers, if there are any.
    pub turn: Option<Turn>,
}

/// TURN servers, and what is shared with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Where they are.
    pub urls: Vec<String>,
    /// What credentials are made with.
    pub secret: Secret,
    /// How long a credential is good.
    pub lifetime: Duration,
}

impl IceServers {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> IceServers {
        IceServers {
            stun: r.list(
                "Stun",
                (&[], URLS),
                &open("a URL like \"stun:stun.example.org:3478\""),
                "STUN servers, which tell a peer its public address.",
                |text| parse_url(text, &["stun:", "stuns:"]),
            ),
            turn: r.section(
                "Turn",
                "TURN servers, which pass data on. Members of rooms get credentials that end by themselves, as coturn \
                 checks them with `use-auth-secret`.",
                read_turn,
            ),
        }
    }
}

fn read_turn(r: &mut Reader<'_, '_>) -> Option<Turn> {
    let urls = r.list(
        "Urls",
        (&[], URLS),
        &open("a URL like \"turn:turn.example.org:3478?transport=udp\""),
        "Where they are.",
        |text| parse_url(text, &["turn:", "turns:"]),
    );
    let secret = r.optional(
        "Secret",
        &SECRET,
        "What is shared with them: coturn's `static-auth-secret`. Best given as `\"${env.TURN_SECRET}\"`.",
        |text| match text.len() {
            8..=255 if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Secret::new(text)),
            _ => Err(String::new()),
        },
    );
    let lifetime = r.seconds("LifetimeSeconds", 60..=7 * DAY_S, 3600, "How long a credential is good.");
    match (urls.is_empty(), secret) {
        (false, Some(secret)) => Some(Turn { urls, secret, lifetime }),
        (false, None) => {
            if !r.is_wrong("Secret") {
                r.error_at("Secret", "Urls", "needed with Urls: credentials are made with it");
            }
            None
        }
        (true, Some(_) | None) => None,
    }
}

/// RFC 7064 and RFC 7065: a scheme, a host, and what follows.
fn parse_url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_url = host.is_some_and(|host| {
        (1..=255).contains(&host.len())
            && !host.starts_with('/')
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]?=".contains(&b))
    });
    if is_url { Ok(text.to_owned()) } else { Err(String::new()) }
}
