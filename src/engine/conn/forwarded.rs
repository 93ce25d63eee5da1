//! Who a request comes from where proxies stand between: `X-Forwarded-For`, from those alone who are
//! trusted to write it; and whether it is from this machine.
//!
//! Each proxy appends the address that it was asked from, so that only the end of the list is
//! known to be true: whatever stands before an address that is no trusted proxy's was written by
//! whoever is there.

use std::net::{IpAddr, SocketAddr};

use crate::engine::auth::Network;
use crate::engine::http::Headers;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// What proxies write of where a request came from (RFC 7239, RFC 9110 7.6.3, and what was there before them).
const OF_PROXIES: &[&str] = &[FORWARDED_FOR, "forwarded", "via", "x-real-ip"];

/// The proxies whose word is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// These, and no others.
    pub fn new(networks: Vec<Network>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Where a request comes from, that came over a connection from `peer`. It has the port of that
    /// connection, which keeps apart those who share an address.
    pub fn client(&self, peer: SocketAddr, headers: &Headers) -> SocketAddr {
        let mut nearest = peer.ip();
        if !self.trusts(nearest) {
            return peer;
        }
        let hops: Vec<&[u8]> = headers.elements(FORWARDED_FOR).collect();
        for hop in hops.iter().rev() {
            // One that cannot be read hides all that are before it.
            let Some(address) = parse(hop) else { break };
            nearest = address;
            if !self.trusts(nearest) {
                break;
            }
        }
        SocketAddr::new(nearest, peer.port())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Whether a request over a connection from `peer` is from this machine, as far as can be told: what a
/// proxy passes on that is here, and says so, is from elsewhere, trusted or not.
pub(super) fn is_local(peer: SocketAddr, headers: &Headers) -> bool {
    peer.ip().to_canonical().is_loopback() && OF_PROXIES.iter().all(|name| headers.first(name).is_none())
}

/// An address; some proxies write its port too.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::http::{HeadLimits, parse_head};

    fn client(trusted: &[&str], peer: &str, fields: &[&str]) -> String {
        let proxies = TrustedProxies::new(trusted.iter().map(|text| text.parse().unwrap()).collect());
        let fields: String = fields.iter().map(|value| format!("X-Forwarded-For: {value}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = parse_head(head.as_bytes(), &HeadLimits::default()).unwrap();
        proxies.client(peer.parse().unwrap(), &head.headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_s_word_is_taken() {
        const PROXY: &str = "127.0.0.1:5";
        let local: &[&str] = &["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"];
        for (trusted, peer, fields, expected) in [
            (&[] as &[&str], PROXY, &["192.0.2.1"] as &[&str], PROXY),
            (local, "192.0.2.9:5", &["192.0.2.1"], "192.0.2.9:5"),
            (local, PROXY, &[], PROXY),
            (local, PROXY, &["192.0.2.1"], "192.0.2.1:5"),
            (local, "[::ffff:127.0.0.1]:5", &["192.0.2.1"], "192.0.2.1:5"),
            // What the client wrote itself stands in front.
            (local, PROXY, &["198.51.100.1, 192.0.2.1"], "192.0.2.1:5"),
            (local, PROXY, &["198.51.100.1", "192.0.2.1"], "192.0.2.1:5"),
            (local, PROXY, &["198.51.100.1, 192.0.2.1, 10.1.2.3"], "192.0.2.1:5"),
            // Everybody in the list is trusted: the first is as far as it can be followed.
            (local, PROXY, &["10.0.0.7, 10.0.0.8"], "10.0.0.7:5"),
            (local, PROXY, &["192.0.2.1:8443"], "192.0.2.1:5"),
            (local, PROXY, &["[2001:db9::1]:8443"], "[2001:db9::1]:5"),
            (local, PROXY, &["[2001:db9::1]"], "[2001:db9::1]:5"),
            (local, PROXY, &["2001:db9::1"], "[2001:db9::1]:5"),
            (local, PROXY, &["::ffff:192.0.2.1"], "192.0.2.1:5"),
            (local, PROXY, &["192.0.2.1, unknown"], PROXY),
            (local, PROXY, &["192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1:5"),
            (local, PROXY, &["", " , "], PROXY),
            (local, "[2001:db8::5]:5", &["192.0.2.1"], "192.0.2.1:5"),
        ] {
            assert_eq!(client(trusted, peer, fields), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn what_came_over_a_proxy_is_not_from_here() {
        let local = |peer: &str, field: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
            let head = parse_head(head.as_bytes(), &HeadLimits::default()).unwrap();
            is_local(peer.parse().unwrap(), &head.headers)
        };
        for peer in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert!(local(peer, "") && local(peer, "X-Client-ID: a\r\n"), "{peer}");
        }
        for peer in ["192.0.2.1:5", "10.0.0.1:5", "[2001:db8::1]:5", "[::ffff:192.0.2.1]:5", "0.0.0.0:5"] {
            assert!(!local(peer, ""), "{peer}");
        }
        for field in
            ["X-Forwarded-For: 127.0.0.1", "x-forwarded-for:", "Forwarded: for=_a", "Via: 1.1 a", "X-Real-IP: ::1"]
        {
            assert!(!local("127.0.0.1:5", &format!("{field}\r\n")), "{field}");
        }
    }
}
