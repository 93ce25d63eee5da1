//! `TrustedProxies`: who says truly whom it asks for.

use super::reader::Reader;
use super::text::open;
use crate::engine::auth::Network;

/// More proxies than one server has in front of it; a longer list is a mistake.
const PROXIES: usize = 64;

pub(super) fn read(r: &mut Reader<'_, '_>) -> Vec<Network> {
    r.list(
        "TrustedProxies",
        (&[], PROXIES),
        &open("an IP address or network like \"10.0.0.0/8\""),
        "Proxies in front of this server. What they write in `X-Forwarded-For` is believed, so that each client counts \
         by its own address. From anybody else it is not looked at.",
        |text| text.parse().map_err(|reason: &str| reason.to_owned()),
    )
}
