//! Who a request comes from where proxies stand between: `X-Forwarded-For`, from those alone who are
//! trusted to write it; and whether it is from this machine.
//!
//! Each proxy appends the address that it was asked from, so that only the end of the list is
//! known to be true: whatever stands before an address that is no trusted proxy's was written by
//! whoever is there.

use std::net::{IpAddr, SocketAddr};

use crate::engine::auth::Network;
use crate::engine::http::{Head, Headers};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// What proxies write of where a request came from (RFC 7239, RFC 9110 7.6.3, and what is in use beside them).
const OF_PROXIES: &[&str] = &[
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-for",
    "x-original-host",
    "x-real-ip",
];

/// How the names of others begin that do: `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`.
const FORWARDED: &str = "x-forwarded";

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

/// Whether a request over a connection from `peer` is from this machine, as far as can be told. What a
/// proxy passes on that is here, and says so, is from elsewhere, trusted or not; and so is what asks
/// for this server by a name in the DNS, as who comes to such a proxy does, and a page that had its
/// own name point here.
pub(super) fn is_local(peer: SocketAddr, head: &Head) -> bool {
    let of_proxy = |name: &[u8]| {
        let begins = name.get(..FORWARDED.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED.as_bytes()));
        begins || OF_PROXIES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    peer.ip().to_canonical().is_loopback()
        && head.host.as_deref().is_none_or(is_own_name)
        && !head.headers.iter().any(|(name, _)| of_proxy(name))
}

/// A loopback address, that of all interfaces, or a name of one label, which nobody else can have; with or
/// without a port.
fn is_own_name(host: &str) -> bool {
    if let Some(address) = parse(host.as_bytes()) {
        return address.is_loopback() || address.is_unspecified();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !name.contains('.')
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
        let local = |peer: &str, host: &str, field: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{field}\r\n");
            let head = parse_head(head.as_bytes(), &HeadLimits::default()).unwrap();
            is_local(peer.parse().unwrap(), &head)
        };
        const HERE: &str = "127.0.0.1:5";
        for peer in [HERE, "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert!(local(peer, "a", "") && local(peer, "a", "X-Client-ID: a\r\nX-Forward: a\r\n"), "{peer}");
        }
        for peer in ["192.0.2.1:5", "10.0.0.1:5", "[2001:db8::1]:5", "[::ffff:192.0.2.1]:5", "0.0.0.0:5"] {
            assert!(!local(peer, "localhost", ""), "{peer}");
        }
        for name in ["X-Forwarded-For", "x-forwarded-proto", "X-FORWARDED-Host", "Forwarded", "Via", "X-Real-IP"] {
            assert!(!local(HERE, "a", &format!("{name}: 127.0.0.1\r\n")) && !local(HERE, "a", &format!("{name}:\r\n")));
        }
        for host in [
            "localhost",
            "localhost:80",
            "0.0.0.0:80",
            "[::]:80",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "pi",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(local(HERE, host, ""), "{host}");
        }
        for host in
            ["example.org", "example.org:80", "127.0.0.1.example.org", "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80"]
        {
            assert!(!local(HERE, host, ""), "{host}");
        }
    }
}
