//! Whom an administrator keeps out: identities by name, and addresses by network.
//!
//! A list is an immutable snapshot; a change makes a new one. It refuses to grow beyond its
//! bound, and says nothing about who may change it or where it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::identity::Identity;
use crate::base::Wall;
use crate::base::limits::{BLOCK_REASON_BYTES, BLOCKS, NAME_BYTES};

/// A network: an address whose bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    is_v4: bool,
    prefix: u8,
    bits: u128,
}

impl Network {
    /// The network of this length around an address; `None` if the length is too great.
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Network> {
        let (is_v4, bits, width) = match addr {
            IpAddr::V4(v4) => (true, u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (false, u128::from(v6), 128),
        };
        let host_bits = width - u32::from(prefix.min(width as u8));
        let bits = bits.checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0);
        (u32::from(prefix) <= width).then_some(Network { is_v4, prefix, bits })
    }

    fn host(addr: IpAddr) -> Network {
        match addr.to_canonical() {
            IpAddr::V4(v4) => Network { is_v4: true, prefix: 32, bits: u128::from(u32::from(v4)) },
            IpAddr::V6(v6) => Network { is_v4: false, prefix: 128, bits: u128::from(v6) },
        }
    }

    /// Whether an address is of this network. A mapped IPv4 address counts as IPv4.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let host = Network::host(addr);
        host.is_v4 == self.is_v4 && Network::new(host.addr(), self.prefix).as_ref() == Some(self)
    }

    fn addr(&self) -> IpAddr {
        if self.is_v4 { Ipv4Addr::from(self.bits as u32).into() } else { Ipv6Addr::from(self.bits).into() }
    }
}

/// An address, or a network as `address/prefix` (RFC 4632). Bits beyond the prefix are an error:
/// the writer had another network in mind.
impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Network, &'static str> {
        let Some((addr, prefix)) = text.split_once('/') else {
            return text.parse().map(Network::host).map_err(|_| "it is no IP address");
        };
        let addr: IpAddr = addr.parse().map_err(|_| "it is no IP address")?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("the prefix length is no number");
        }
        let network = prefix.parse().ok().and_then(|prefix| Network::new(addr, prefix));
        let network = network.ok_or("the prefix is longer than the address")?;
        if network.addr() != addr {
            return Err("the address has bits beyond the prefix");
        }
        // Connections from mapped addresses count as IPv4, so a mapped network has to as well.
        match addr {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && network.prefix >= 96 => {
                Ok(Network { is_v4: true, prefix: network.prefix - 96, bits: network.bits & 0xffff_ffff })
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(network),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_v4, self.prefix) {
            (true, 32) | (false, 128) => write!(f, "{}", self.addr()),
            (true | false, prefix) => write!(f, "{}/{prefix}", self.addr()),
        }
    }
}

/// What a block is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Everyone with this identity's name.
    Identity(Box<str>),
    /// Everyone from this network.
    Network(Network),
}

impl Target {
    /// A block on an identity. The name is not checked against keys: it may come from elsewhere.
    pub fn identity(name: &str) -> Result<Target, &'static str> {
        if name.is_empty() || name.len() > NAME_BYTES * 4 {
            return Err("an identity's name has 1 to 256 bytes");
        }
        Ok(Target::Identity(name.into()))
    }

    /// A block on an address or a network.
    pub fn network(text: &str) -> Result<Target, &'static str> {
        text.parse().map(Target::Network)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Identity(name) => f.write_str(name),
            Target::Network(network) => network.fmt(f),
        }
    }
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whom it keeps out.
    pub target: Target,
    /// When it ends; `None` is never.
    pub until: Option<Wall>,
    /// Why, for administrators.
    pub reason: Box<str>,
}

impl Block {
    /// Whether it no longer holds.
    pub fn is_over(&self, now: Wall) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// How long it still holds, in milliseconds; `None` if it does not end.
    pub fn retry_after_ms(&self, now: Wall) -> Option<u64> {
        self.until.map(|until| u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0).max(1))
    }
}

/// All blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    identities: BTreeMap<Box<str>, Block>,
    networks: BTreeMap<Network, Block>,
    /// Each (family, length) that occurs: a lookup asks once for each of these, not for each block.
    prefixes: BTreeSet<(bool, u8)>,
}

impl BlockList {
    /// The list with one block more; one on the same target is replaced, and those that are over
    /// at `now` are left out.
    pub fn with(&self, block: Block, now: Wall) -> Result<BlockList, &'static str> {
        if block.reason.len() > BLOCK_REASON_BYTES {
            return Err("the reason is longer than 256 bytes");
        }
        let mut list = self.clone();
        list.identities.retain(|_, block| !block.is_over(now));
        list.networks.retain(|_, block| !block.is_over(now));
        match &block.target {
            Target::Identity(name) => list.identities.insert(name.clone(), block),
            Target::Network(network) => list.networks.insert(*network, block),
        };
        if list.len() > BLOCKS {
            return Err("there are too many blocks: block networks in place of addresses");
        }
        Ok(list.indexed())
    }

    /// The list without the block on this very target; `None` if there is none.
    pub fn without(&self, target: &Target) -> Option<BlockList> {
        let mut list = self.clone();
        match target {
            Target::Identity(name) => list.identities.remove(name)?,
            Target::Network(network) => list.networks.remove(network)?,
        };
        Some(list.indexed())
    }

    fn indexed(mut self) -> BlockList {
        self.prefixes = self.networks.keys().map(|network| (network.is_v4, network.prefix)).collect();
        self
    }

    /// The block that keeps this peer out, if any does. Before the credential is known, there is
    /// no identity to ask for.
    pub fn is_blocked(&self, addr: Option<IpAddr>, identity: Option<&Identity>, now: Wall) -> Option<&Block> {
        let by_name = identity.and_then(|identity| self.identities.get(&*identity.name));
        by_name.filter(|block| !block.is_over(now)).or_else(|| self.is_address_blocked(addr?, now))
    }

    fn is_address_blocked(&self, addr: IpAddr, now: Wall) -> Option<&Block> {
        let host = Network::host(addr);
        let lengths = self.prefixes.iter().filter(|(is_v4, _)| *is_v4 == host.is_v4);
        lengths
            .filter_map(|(_, prefix)| self.networks.get(&Network::new(host.addr(), *prefix)?))
            .find(|block| !block.is_over(now))
    }

    /// All blocks, identities first, each kind in order.
    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.identities.values().chain(self.networks.values())
    }

    /// Number of blocks, those that are over included.
    pub fn len(&self) -> usize {
        self.identities.len() + self.networks.len()
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
