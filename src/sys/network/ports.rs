//! Whether a port can be listened on: found out by binding it, and giving it up at once.
//!
//! It never listens, so that no stranger can connect meanwhile. The answer is true for the moment
//! alone: somebody else may take the port before the caller does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use serde::Serialize;
use socket2::{Domain, Socket, Type};

use super::Protocol;

/// Ports that one command tries.
pub(super) const PORTS_TRIED: usize = 1024;

/// What came of trying to bind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It can be bound.
    Free,
    /// Another socket has it.
    InUse,
    /// The server's user may not bind it.
    Forbidden,
    /// The address is none of this machine's.
    NoSuchAddress,
    /// The machine does not speak this kind of address.
    UnsupportedFamily,
}

impl Verdict {
    /// Whether other ports of the same address may fare better.
    fn is_about_the_port(self) -> bool {
        match self {
            Verdict::Free | Verdict::InUse | Verdict::Forbidden => true,
            Verdict::NoSuchAddress | Verdict::UnsupportedFamily => false,
        }
    }
}

/// The first free port of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The port, if there is one.
    pub port: Option<u16>,
    /// What came of the last port that was tried.
    pub verdict: Verdict,
    /// How many were tried.
    pub tried: usize,
}

/// Looks for the first free port, up to a bound of tries.
pub fn first_free(ports: RangeInclusive<u16>, address: Option<IpAddr>, protocol: Protocol) -> io::Result<Found> {
    let mut found = Found { port: None, verdict: Verdict::InUse, tried: 0 };
    for port in ports.take(PORTS_TRIED) {
        found.verdict = try_port(port, address, protocol)?;
        found.tried += 1;
        if found.verdict == Verdict::Free {
            found.port = Some(port);
            break;
        }
        if !found.verdict.is_about_the_port() {
            break;
        }
    }
    Ok(found)
}

/// Tries one port on one address; without one, on all IPv4 and all IPv6 addresses.
pub fn try_port(port: u16, address: Option<IpAddr>, protocol: Protocol) -> io::Result<Verdict> {
    if let Some(address) = address {
        return try_bind(SocketAddr::new(address, port), protocol);
    }
    match try_bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), protocol)? {
        // A machine may speak one of the two alone.
        Verdict::Free => match try_bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), protocol)? {
            Verdict::NoSuchAddress | Verdict::UnsupportedFamily => Ok(Verdict::Free),
            verdict => Ok(verdict),
        },
        Verdict::NoSuchAddress | Verdict::UnsupportedFamily => {
            try_bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), protocol)
        }
        verdict => Ok(verdict),
    }
}

fn try_bind(address: SocketAddr, protocol: Protocol) -> io::Result<Verdict> {
    match bind(address, protocol) {
        Ok(()) => Ok(Verdict::Free),
        Err(error) => verdict_of(&error).ok_or(error),
    }
}

fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<()> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if protocol == Protocol::Tcp {
        // As servers do: closed connections that linger do not hold the port.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// `None` if the error says nothing about the address.
fn verdict_of(error: &io::Error) -> Option<Verdict> {
    match error.kind() {
        io::ErrorKind::AddrInUse => Some(Verdict::InUse),
        io::ErrorKind::PermissionDenied => Some(Verdict::Forbidden),
        io::ErrorKind::AddrNotAvailable => Some(Verdict::NoSuchAddress),
        // EINVAL: a link-local address, which needs an interface beside it.
        io::ErrorKind::InvalidInput => Some(Verdict::NoSuchAddress),
        _ if is_unsupported_family(error) => Some(Verdict::UnsupportedFamily),
        _ => None,
    }
}

fn is_unsupported_family(error: &io::Error) -> bool {
    let unsupported = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::PROTONOSUPPORT];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    const LOCAL: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn a_port_is_free_again_when_its_listener_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(try_port(port, LOCAL, Protocol::Tcp).unwrap(), Verdict::InUse);
        assert_eq!(try_port(port, None, Protocol::Tcp).unwrap(), Verdict::InUse);
        drop(listener);
        assert_eq!(try_port(port, LOCAL, Protocol::Tcp).unwrap(), Verdict::Free);
    }

    #[test]
    fn the_protocols_have_ports_of_their_own() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(try_port(port, LOCAL, Protocol::Udp).unwrap(), Verdict::InUse);
        let found = first_free(port..=port, LOCAL, Protocol::Udp).unwrap();
        assert_eq!(found, Found { port: None, verdict: Verdict::InUse, tried: 1 });
    }

    #[test]
    fn a_range_skips_ports_in_use() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let last = port.saturating_add(64);
        let found = first_free(port..=last, LOCAL, Protocol::Tcp).unwrap();
        assert!(found.tried >= 2 && found.port.is_some_and(|free| free > port), "{found:?}");
        assert_eq!(found.verdict, Verdict::Free);
    }

    #[test]
    fn an_address_of_another_machine_ends_the_search_at_once() {
        // RFC 5737: 192.0.2.0/24 is for documentation, and nobody's.
        let found = first_free(2000..=65535, Some([192, 0, 2, 1].into()), Protocol::Tcp).unwrap();
        assert_eq!(found, Found { port: None, verdict: Verdict::NoSuchAddress, tried: 1 });
    }

    #[test]
    fn errors_that_are_not_about_the_address_are_no_verdict() {
        for (kind, verdict) in [
            (io::ErrorKind::AddrInUse, Some(Verdict::InUse)),
            (io::ErrorKind::PermissionDenied, Some(Verdict::Forbidden)),
            (io::ErrorKind::AddrNotAvailable, Some(Verdict::NoSuchAddress)),
            (io::ErrorKind::OutOfMemory, None),
        ] {
            assert_eq!(verdict_of(&kind.into()), verdict);
        }
        let unsupported = io::Error::from_raw_os_error(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
        assert_eq!(verdict_of(&unsupported), Some(Verdict::UnsupportedFamily));
        let no_descriptors = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert_eq!(verdict_of(&no_descriptors), None);
    }
}
