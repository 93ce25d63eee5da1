//! Where to listen: `Enabled`, `Port`, `Interface`, `EnableIPv6`, and the older `EnableIPv4`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::WebSocketServer;
use super::reader::Reader;
use super::text::open;

const ALL_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ALL_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const LOOPBACK_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

pub(super) struct Listen {
    pub(super) enabled: bool,
    pub(super) port: u16,
    pub(super) interface: IpAddr,
    pub(super) enable_ipv6: bool,
}

impl WebSocketServer {
    /// The addresses to listen on: one or two. With port 0 the second takes the port that the
    /// first was given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let second = beside(self.interface).filter(|_| self.enable_ipv6);
        std::iter::once(self.interface).chain(second).map(|ip| SocketAddr::new(ip, self.port)).collect()
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.addresses().iter().all(|address| address.ip().is_loopback())
    }
}

/// The IPv6 address that goes with an IPv4 one.
pub(super) fn beside(interface: IpAddr) -> Option<IpAddr> {
    match interface {
        LOOPBACK_V4 => Some(LOOPBACK_V6),
        ALL_V4 => Some(ALL_V6),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

pub(super) fn read(r: &mut Reader<'_, '_>) -> Listen {
    let enabled = r.flag("Enabled", true, "Whether to listen at all.");
    let port = r.count(
        "Port",
        0..=65_535,
        8080,
        "The port, for WebSocket and plain HTTP. 0: any free one, which the log names.",
    );
    let interface = r.text(
        "Interface",
        ("127.0.0.1", LOOPBACK_V4),
        &open("an IP address, or \"*\" for all IPv4 addresses"),
        "The address to listen on. The default is reachable from this machine only.",
        parse_interface,
    );
    let enable_ipv6 =
        r.flag("EnableIPv6", false, "Whether to listen on IPv6 too: on `::1` beside `127.0.0.1`, on `::` beside `*`.");
    let mut listen = Listen { enabled, port: u16::try_from(port).unwrap_or(u16::MAX), interface, enable_ipv6 };
    if let Some(enable_ipv4) = r.older_flag("EnableIPv4") {
        apply_enable_ipv4(&mut listen, enable_ipv4, r.is_given("Interface"), r.is_given("Enabled"));
    }
    if enable_ipv6 && listen.interface.is_ipv4() && beside(listen.interface).is_none() {
        r.warn("EnableIPv6", "without effect: no IPv6 address goes with this Interface");
    }
    listen
}

/// `EnableIPv4` meant every IPv4 address, or none; without either family there was no listener.
fn apply_enable_ipv4(listen: &mut Listen, enable_ipv4: bool, interface_given: bool, enabled_given: bool) {
    match (enable_ipv4, listen.enable_ipv6) {
        (true, _) if !interface_given => listen.interface = ALL_V4,
        (false, true) if !interface_given => listen.interface = ALL_V6,
        (false, false) if !enabled_given => listen.enabled = false,
        (true | false, _) => {}
    }
}

fn parse_interface(text: &str) -> Result<IpAddr, String> {
    match text {
        "*" => Ok(ALL_V4),
        "localhost" => Ok(LOOPBACK_V4),
        _ => text.parse().map_err(|_| String::new()),
    }
}
