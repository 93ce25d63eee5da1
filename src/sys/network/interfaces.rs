//! The machine's network interfaces: what the kernel says of them under `/sys/class/net`, and their
//! addresses. What cannot be read is absent; an interface that goes away while it is read is left out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::Family;

/// Interfaces that one snapshot holds.
const INTERFACES: usize = 1024;
/// Addresses of one interface that a snapshot holds.
const ADDRESSES_PER_INTERFACE: usize = 64;

const SYS_CLASS_NET: &str = "/sys/class/net";

/// `IFF_UP` of `<net/if.h>`.
const FLAG_UP: u32 = 0x1;
/// `IFF_LOOPBACK` of `<net/if.h>`.
const FLAG_LOOPBACK: u32 = 0x8;

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The bits of its network.
    pub prefix: u8,
    /// Its kind.
    pub family: Family,
}

impl Address {
    /// An address and the bits of its network.
    pub fn new(address: IpAddr, prefix: u8) -> Address {
        Address { address, prefix, family: Family::of(address) }
    }
}

/// What the watcher compares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The kernel's number for it.
    pub index: Option<u32>,
    /// Whether it is switched on and its link is there.
    pub up: bool,
    /// Whether it reaches this machine alone.
    pub loopback: bool,
    /// Its addresses, in order.
    pub addresses: Vec<Address>,
}

/// Everything that the command `interfaces` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Name, state and addresses.
    #[serde(flatten)]
    pub link: Link,
    /// The hardware address.
    pub mac: Option<String>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// What went through it.
    #[serde(flatten)]
    pub counters: Counters,
}

/// What went through an interface since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: Option<u64>,
    /// Bytes sent.
    pub tx_bytes: Option<u64>,
    /// Packets received.
    pub rx_packets: Option<u64>,
    /// Packets sent.
    pub tx_packets: Option<u64>,
    /// Packets that were received damaged.
    pub rx_errors: Option<u64>,
    /// Packets that could not be sent.
    pub tx_errors: Option<u64>,
}

/// The interfaces with their counters, by name.
pub fn read_interfaces() -> io::Result<Vec<Interface>> {
    let with_details = |link: Link| {
        let folder = Path::new(SYS_CLASS_NET).join(&link.name);
        let mac = read_text(&folder, "address").as_deref().and_then(mac_of);
        let counters = Counters {
            rx_bytes: read_value(&folder, "statistics/rx_bytes"),
            tx_bytes: read_value(&folder, "statistics/tx_bytes"),
            rx_packets: read_value(&folder, "statistics/rx_packets"),
            tx_packets: read_value(&folder, "statistics/tx_packets"),
            rx_errors: read_value(&folder, "statistics/rx_errors"),
            tx_errors: read_value(&folder, "statistics/tx_errors"),
        };
        Interface { mac, mtu: read_value(&folder, "mtu"), counters, link }
    };
    Ok(read_links()?.into_iter().map(with_details).collect())
}

/// The interfaces, by name.
pub fn read_links() -> io::Result<Vec<Link>> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    // Without sysfs, the addresses alone tell what there is.
    if let Ok(entries) = fs::read_dir(SYS_CLASS_NET) {
        for entry in entries.flatten().take(INTERFACES) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if let Some(link) = read_link(&entry.path(), &name) {
                links.insert(name, link);
            }
        }
    }
    let has_sysfs = !links.is_empty();
    for found in if_addrs::get_if_addrs()? {
        // An older way to give an interface a second address names it `eth0:1`.
        let name = found.name.split_once(':').map_or(&*found.name, |(name, _)| name);
        if !has_sysfs && !links.contains_key(name) && links.len() < INTERFACES {
            let (up, loopback) = (found.is_oper_up(), found.is_loopback());
            links.insert(name.into(), Link { name: name.into(), index: found.index, up, loopback, addresses: vec![] });
        }
        let Some(link) = links.get_mut(name) else { continue };
        if link.addresses.len() < ADDRESSES_PER_INTERFACE {
            let prefix = match &found.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            link.addresses.push(Address::new(found.ip(), prefix));
        }
    }
    Ok(links
        .into_values()
        .map(|mut link| {
            link.addresses.sort();
            link.addresses.dedup();
            link
        })
        .collect())
}

/// `None` if it is no interface, or is one no more.
fn read_link(folder: &Path, name: &str) -> Option<Link> {
    let flags = flags_of(&read_text(folder, "flags")?)?;
    let state = read_text(folder, "operstate").unwrap_or_default();
    Some(Link {
        name: name.into(),
        index: read_value(folder, "ifindex"),
        up: is_up(flags, &state),
        loopback: flags & FLAG_LOOPBACK != 0,
        addresses: Vec::new(),
    })
}

fn read_text(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

fn read_value<T: FromStr>(folder: &Path, file: &str) -> Option<T> {
    read_text(folder, file)?.trim_end().parse().ok()
}

/// The flags as sysfs writes them: `0x1003`.
fn flags_of(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_end().strip_prefix("0x")?, 16).ok()
}

/// Switched on, and not without a link. Drivers that cannot tell say `unknown`, as loopback does.
fn is_up(flags: u32, state: &str) -> bool {
    flags & FLAG_UP != 0 && !matches!(state.trim_end(), "down" | "lowerlayerdown" | "notpresent" | "dormant")
}

/// The hardware address, unless it is empty or all zero, which means that there is none.
fn mac_of(text: &str) -> Option<String> {
    let mac = text.trim_end();
    mac.bytes().any(|byte| !matches!(byte, b'0' | b':')).then(|| mac.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_comes_from_the_flags_and_the_link() {
        for (flags, state, up, loopback) in [
            ("0x9\n", "unknown\n", true, true),
            ("0x1003\n", "up\n", true, false),
            ("0x1003\n", "down\n", false, false),
            ("0x1003\n", "lowerlayerdown\n", false, false),
            ("0x82\n", "down\n", false, false),
            ("0x1002", "", false, false),
            ("0x1003", "", true, false),
        ] {
            let flags = flags_of(flags).unwrap();
            assert_eq!((is_up(flags, state), flags & FLAG_LOOPBACK != 0), (up, loopback), "{flags:x} {state}");
        }
        for bad in ["", "1003", "0x", "0xzz"] {
            assert_eq!(flags_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_hardware_address_of_zeros_is_none() {
        assert_eq!(mac_of("02:42:ac:11:00:02\n"), Some("02:42:ac:11:00:02".into()));
        assert_eq!(mac_of("00:00:00:00:00:00\n"), None);
        assert_eq!(mac_of("\n"), None);
    }

    #[test]
    fn this_machine_has_a_loopback_interface_with_its_address() {
        let interfaces = read_interfaces().unwrap();
        let lo = interfaces.iter().find(|interface| interface.link.loopback).expect("a loopback interface");
        assert!(lo.link.up && lo.link.index.is_some() && lo.mac.is_none(), "{lo:?}");
        assert!(lo.link.addresses.contains(&Address::new([127, 0, 0, 1].into(), 8)), "{lo:?}");
        let names: Vec<_> = interfaces.iter().map(|interface| &interface.link.name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn an_interface_is_one_flat_object() {
        let link = Link {
            name: "eth0".into(),
            index: Some(2),
            up: true,
            loopback: false,
            addresses: vec![Address::new([10, 0, 0, 2].into(), 24)],
        };
        let counters = Counters { rx_bytes: Some(1), tx_bytes: Some(2), ..Counters::default() };
        let interface = Interface { link, mac: None, mtu: Some(1500), counters };
        assert_eq!(
            serde_json::to_value(interface).unwrap(),
            serde_json::json!({"name": "eth0", "index": 2, "up": true, "loopback": false, "mac": null, "mtu": 1500,
                "addresses": [{"address": "10.0.0.2", "prefix": 24, "family": "ipv4"}],
                "rx_bytes": 1, "tx_bytes": 2, "rx_packets": null, "tx_packets": null,
                "rx_errors": null, "tx_errors": null})
        );
    }
}
