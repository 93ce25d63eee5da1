//! What counts as one asker, where requests are counted by address.

use std::net::IpAddr;

/// An IPv4 address, or the /64 that a single IPv6 host has anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(u64);

impl Prefix {
    /// Of an address. A mapped IPv4 address counts as IPv4.
    pub fn of(address: IpAddr) -> Prefix {
        match address.to_canonical() {
            // No unicast /64 is ff00::/8, so this range is free for IPv4.
            IpAddr::V4(v4) => Prefix(0xff00 << 48 | u64::from(u32::from(v4))),
            IpAddr::V6(v6) => Prefix((u128::from(v6) >> 64) as u64),
        }
    }

    /// As bytes, to be hashed.
    pub fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}
