//! The machine's listening sockets, from the kernel's tables under `/proc/net`.
//!
//! The tables hold every connection of the machine. So a row is looked at no further than its state
//! unless it listens, and a row that makes no sense costs itself alone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::Protocol;

/// Sockets that one answer lists.
pub(super) const SOCKETS: usize = 4096;
/// Bytes of one table that are read: about 400,000 rows. Listening sockets come first.
const TABLE_BYTES: u64 = 64 * 1024 * 1024;

/// One socket that waits for connections or datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Listening {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens; `0.0.0.0` or `::` for everywhere.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whose it is.
    pub uid: u32,
    /// Its number, as in `socket:[…]` of a process's descriptors.
    pub inode: Option<u64>,
}

/// The sockets of all tables that there are, and whether some did not fit.
pub fn read_listening() -> io::Result<(Vec<Listening>, bool)> {
    let tables = [
        ("/proc/net/tcp", Protocol::Tcp),
        ("/proc/net/tcp6", Protocol::Tcp),
        ("/proc/net/udp", Protocol::Udp),
        ("/proc/net/udp6", Protocol::Udp),
    ];
    let mut sockets = Vec::new();
    let mut failure = None;
    let mut is_any_read = false;
    for (path, protocol) in tables {
        match File::open(path).and_then(|file| parse(BufReader::new(file.take(TABLE_BYTES)), protocol, &mut sockets)) {
            Ok(()) => is_any_read = true,
            // A kernel without IPv6 has no tables for it.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(error) = failure
        && !is_any_read
    {
        return Err(error);
    }
    sockets.sort();
    let truncated = sockets.len() > SOCKETS;
    sockets.truncate(SOCKETS);
    Ok((sockets, truncated))
}

/// Appends the listening sockets of one table, up to one more than are listed.
fn parse(mut table: impl BufRead, protocol: Protocol, sockets: &mut Vec<Listening>) -> io::Result<()> {
    let mut line = String::new();
    while sockets.len() <= SOCKETS {
        line.clear();
        if table.read_line(&mut line)? == 0 {
            break;
        }
        sockets.extend(parse_row(&line, protocol));
    }
    Ok(())
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn parse_row(line: &str, protocol: Protocol) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    // TCP_LISTEN; and for UDP, TCP_CLOSE, which there means bound and not connected.
    let listens = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    if state != listens {
        return None;
    }
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1).and_then(|inode| inode.parse().ok()).filter(|inode| *inode != 0);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (port != 0).then_some(Listening { protocol, address: parse_address(address)?, port, uid, inode })
}

/// An address as the kernel prints it: words of 32 bits in this machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (place, at) in bytes.chunks_exact_mut(4).zip((0..32).step_by(8)) {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn parsed(text: &str, protocol: Protocol) -> Vec<String> {
        let mut sockets = Vec::new();
        parse(text.as_bytes(), protocol, &mut sockets).unwrap();
        let text = |s: &Listening| format!("{} {} uid={} inode={:?}", s.address, s.port, s.uid, s.inode);
        sockets.iter().map(text).collect()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn listening_rows_are_found_among_others() {
        let tcp = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 108 1 00000000e3af9e53 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   2: 0100007F:A098 0100007F:59E5 06 00000000:00000000 03:0000051A 00000000     0        0 0 3 00000000bbd2f8b5
   3: 0200000A:01BB 0100007F:59E5 01 00000000:00000000 03:0000051A 00000000     0        0 9 3 00000000bbd2f8b5
";
        assert_eq!(
            parsed(tcp, Protocol::Tcp),
            ["0.0.0.0 2024 uid=0 inode=Some(108)", "127.0.0.1 8080 uid=1000 inode=Some(4711)"]
        );
        let tcp6 = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:0019 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 8 1 0 100 0 0 10 0
   2: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 0 1 0 100 0 0 10 0
";
        assert_eq!(
            parsed(tcp6, Protocol::Tcp),
            [":: 22 uid=0 inode=Some(7)", "::1 25 uid=33 inode=Some(8)", "2001:db8::1 80 uid=33 inode=None"]
        );
        let udp = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  226: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 17000 2 0000000000000000 0
  227: 0100007F:14EA 0100007F:0035 01 00000000:00000000 00:00000000 00000000   108        0 17001 2 0000000000000000 0
  228: 00000000:0000 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 17002 2 0000000000000000 0
";
        assert_eq!(parsed(udp, Protocol::Udp), ["0.0.0.0 5353 uid=108 inode=Some(17000)"]);
    }

    #[test]
    fn rows_that_make_no_sense_are_passed_over() {
        for row in [
            "",
            "\n",
            "0:",
            "0: 00000000:07E8",
            "0: 00000000:07E8 00000000:0000 0A",
            "0: 0000000007E8 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 00000000:XXXX 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0000:07E8 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: ÄÄÄÄ:07E8 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 00000000:07E8 00000000:0000 0A 0:0 0:0 0 root 0 1",
        ] {
            assert_eq!(parse_row(row, Protocol::Tcp), None, "{row:?}");
        }
        // An older kernel's row may end early: the inode is what can be missing.
        let row = "0: 00000000:07E8 00000000:0000 0A 0:0 0:0 0 0 0";
        assert_eq!(parse_row(row, Protocol::Tcp).map(|socket| (socket.port, socket.inode)), Some((2024, None)));
    }

    #[test]
    fn sockets_of_this_process_are_listed() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (sockets, _) = read_listening().unwrap();
        for (protocol, at) in [(Protocol::Tcp, tcp.local_addr()), (Protocol::Udp, udp.local_addr())] {
            let at = at.unwrap();
            let is_it = |socket: &&Listening| (socket.protocol, socket.port) == (protocol, at.port());
            let socket = sockets.iter().find(is_it).unwrap_or_else(|| panic!("{protocol:?} {at} in {sockets:?}"));
            assert_eq!(socket.address, at.ip());
            assert!(socket.inode.is_some());
        }
    }
}
