//! Where connections go, from which address, and with which request they ask for the upgrade.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};

use super::args::{Args, ProtocolKind};
use super::error::BenchError;
use super::inflate;
use super::session::{Role, Session, Transport};
use super::tls;
use super::wire::Wire;

/// RFC 6455, 1.3: the sample nonce and its answer. All connections send the same one, since
/// nothing between a load generator and its server could be fooled by it.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What must stand in the response.
pub const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The server, as all threads see it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Whether compressed messages are asked for.
    pub wants_deflate: bool,
    /// The upgrade's request; `None` for a transport without frames.
    request: Option<Vec<u8>>,
    /// The publisher's, where it is another one.
    publisher_request: Option<Vec<u8>>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    per_address: usize,
}

impl Target {
    /// From `--url` and what else shapes the request.
    pub fn new(args: &Args) -> Result<Target, BenchError> {
        let protocol = args.protocol();
        let (scheme, rest) = args.url.split_once("://").unwrap_or(("", &args.url));
        let wanted: &[&str] = match protocol {
            ProtocolKind::Hydrogen | ProtocolKind::Raw | ProtocolKind::Signaling => &["ws", "wss"],
            ProtocolKind::Mqtt => &["ws", "wss", "tcp"],
            ProtocolKind::Nats => &["tcp"],
        };
        if !wanted.contains(&scheme) {
            let wanted = wanted.join(":// or ");
            return Err(BenchError::Usage(format!("--url for {} begins with {wanted}://", protocol.as_str())));
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let address = authority
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(|| BenchError::Usage(format!("--url: {authority} is no HOST:PORT that can be found")))?;
        if args.deflate && scheme == "tcp" {
            return Err(BenchError::Usage("--deflate compresses WebSocket messages: it needs ws:// or wss://".into()));
        }
        let tls = match scheme {
            "wss" => Some((tls::config(args)?, server_name(authority)?)),
            _ => None,
        };
        let upgrade = |path: &str| (scheme != "tcp").then(|| request(args, authority, path).into_bytes());
        Ok(Target {
            address,
            wants_deflate: args.deflate,
            request: upgrade(path),
            publisher_request: args.publisher_path.as_deref().and_then(upgrade),
            tls,
            per_address: args.per_address,
        })
    }

    /// The upgrade's request of a connection; `None` for a transport without frames.
    pub fn request_of(&self, role: &Role) -> Option<&[u8]> {
        let own = self.publisher_request.as_deref().filter(|_| *role == Role::Publisher);
        own.or(self.request.as_deref())
    }

    /// Whether messages go in WebSocket frames.
    pub fn is_framed(&self) -> bool {
        self.request.is_some()
    }

    /// What carries its connections.
    pub fn transport(&self) -> Transport {
        if self.is_framed() { Transport::WebSocket } else { Transport::Tcp }
    }

    /// Connection `number`'s source, if the system's choice would run out of ports. Each loopback
    /// address has ports of its own.
    fn source(&self, number: usize) -> Option<SocketAddr> {
        let block = u32::try_from(number / self.per_address).ok()?;
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && block > 0 => {
                let source = u32::from(Ipv4Addr::LOCALHOST).checked_add(block)?;
                Some(SocketAddr::new(Ipv4Addr::from(source).into(), 0))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// Begins connection `number`; it is open when it becomes writable without an error.
    pub fn connect(&self, number: usize) -> io::Result<Wire> {
        let socket = self.connect_socket(number)?;
        let Some((config, name)) = &self.tls else { return Ok(Wire::new(socket, None)) };
        let mut tls = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
        // What waits is bounded where it is made, for plain connections too.
        tls.set_buffer_limit(None);
        Ok(Wire::new(socket, Some(tls)))
    }

    fn connect_socket(&self, number: usize) -> io::Result<TcpStream> {
        let Some(source) = self.source(number) else {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            return Ok(stream);
        };
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&source.into())?;
        match socket.connect(&self.address.into()) {
            Ok(()) => {}
            Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}

fn server_name(authority: &str) -> Result<ServerName<'static>, BenchError> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| BenchError::Usage(format!("--url: {host} is no name that a certificate could bear")))
}

fn request(args: &Args, authority: &str, path: &str) -> String {
    let protocol = args.protocol();
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n"
    );
    let mut line = |name: &str, value: &str| request.extend([name, ": ", value, "\r\n"]);
    if let Some(subprotocol) = Session::subprotocol(protocol) {
        line("Sec-WebSocket-Protocol", subprotocol);
    }
    if let (ProtocolKind::Hydrogen, Some(key)) = (protocol, args.key.as_ref().filter(|key| !key.is_empty())) {
        line("Authorization", &format!("Key {key}"));
    }
    if args.deflate {
        line("Sec-WebSocket-Extensions", inflate::OFFER);
    }
    for header in &args.header {
        request.extend([header, "\r\n"]);
    }
    request + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn target(line: &str) -> Result<Target, BenchError> {
        Target::new(&Line::parse_from(["bench"].into_iter().chain(line.split_whitespace())).args)
    }

    #[test]
    fn the_request_carries_subprotocol_and_key() {
        let target = target("rpc --url ws://127.0.0.1:80/x?y --key abc --header A:b").unwrap();
        let request = String::from_utf8(target.request_of(&Role::Client).unwrap().to_vec()).unwrap();
        assert!(request.starts_with("GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"), "{request}");
        assert!(
            request.contains("\r\nSec-WebSocket-Protocol: hydrogen-protocol\r\nAuthorization: Key abc\r\nA:b\r\n\r\n")
        );
    }

    #[test]
    fn the_publisher_may_have_a_path_of_its_own_and_all_offer_compression() {
        let line = "fanout --protocol raw --url ws://127.0.0.1:80/sub/t --publisher-path /pub/t --deflate";
        let target = target(line).unwrap();
        for (role, start) in [(Role::Publisher, "GET /pub/t "), (Role::Client, "GET /sub/t ")] {
            let request = String::from_utf8(target.request_of(&role).unwrap().to_vec()).unwrap();
            assert!(request.starts_with(start), "{request}");
            assert!(request.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; client_no"), "{request}");
        }
    }

    #[test]
    fn wss_needs_a_name_and_certificates_that_can_be_read() {
        assert!(target("idle --url wss://127.0.0.1:80 --insecure").unwrap().tls.is_some());
        assert!(target("idle --url wss://[::1]:80/x --insecure").unwrap().tls.is_some());
        assert!(target("idle --url wss://127.0.0.1:80 --ca /nowhere").is_err());
        assert!(target("idle --protocol nats --url wss://127.0.0.1:80 --insecure").is_err());
        assert!(target("fanout --protocol mqtt --url tcp://127.0.0.1:80 --deflate").is_err());
    }

    #[test]
    fn the_scheme_must_fit_the_protocol() {
        assert!(
            target("fanout --protocol nats --url tcp://127.0.0.1:4222").unwrap().request_of(&Role::Client).is_none()
        );
        assert!(target("fanout --protocol nats --url ws://127.0.0.1:4222").is_err());
        assert_eq!(target("fanout --protocol mqtt --url tcp://127.0.0.1:80").unwrap().transport(), Transport::Tcp);
        assert_eq!(target("idle --protocol mqtt --url ws://127.0.0.1:80").unwrap().transport(), Transport::WebSocket);
        assert!(target("echo --url tcp://127.0.0.1:80").is_err());
        assert!(target("echo --url 127.0.0.1:80").is_err());
        assert!(target("echo --url ws://nowhere").is_err());
    }

    #[test]
    fn further_loopback_addresses_are_taken_past_the_bound() {
        let target = target("idle --url ws://127.0.0.1:80 --per-address 100").unwrap();
        assert_eq!(target.source(99), None);
        assert_eq!(target.source(100).unwrap().ip().to_string(), "127.0.0.2");
        assert_eq!(target.source(250).unwrap().ip().to_string(), "127.0.0.3");
    }
}
