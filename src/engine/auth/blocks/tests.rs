use super::*;
use crate::engine::auth::Permissions;
use proptest::prelude::*;

const NOW: Wall = Wall(1_000);

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(target: Target) -> Block {
    Block { target, until: None, reason: "noise".into() }
}

fn list(networks: &[&str]) -> BlockList {
    networks
        .iter()
        .fold(BlockList::default(), |list, text| list.with(block(Target::network(text).unwrap()), NOW).unwrap())
}

fn is_blocked(list: &BlockList, text: &str) -> bool {
    list.is_blocked(Some(addr(text)), None, NOW).is_some()
}

#[test]
fn networks_hold_their_addresses_and_no_others() {
    for (network, address, expected) in [
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.128/25", "192.0.2.127", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "203.0.113.9", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("192.0.2.0/24", "::ffff:192.0.2.9", true),
        ("::ffff:192.0.2.0/120", "192.0.2.9", true),
        ("::ffff:192.0.2.9", "192.0.2.9", true),
    ] {
        assert_eq!(is_blocked(&list(&[network]), address), expected, "{network} {address}");
    }
}

#[test]
fn networks_are_read_strictly_and_written_shortly() {
    for text in [
        "",
        "/",
        "/8",
        "a",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/+8",
        "192.0.2.0/a",
        "192.0.2.0/24/1",
        "192.0.2.1/24",
        "2001:db8::/129",
        "2001:db8::/999",
        "192.0.2",
        "192.0.2.0/256",
    ] {
        assert!(Target::network(text).is_err(), "{text}");
    }
    for (text, written) in
        [("192.0.2.7/32", "192.0.2.7"), ("192.0.2.0/24", "192.0.2.0/24"), ("2001:db8:0:0::/64", "2001:db8::/64")]
    {
        assert_eq!(Target::network(text).unwrap().to_string(), written);
    }
    assert!(Target::identity("").is_err());
    assert!(Target::identity(&"n".repeat(257)).is_err());
}

#[test]
fn identities_are_blocked_by_name_wherever_they_come_from() {
    let list = BlockList::default().with(block(Target::identity("mallory").unwrap()), NOW).unwrap();
    let of = |name: &str| Identity::outside(name, Permissions::default(), None);
    let found = list.is_blocked(Some(addr("192.0.2.1")), Some(&of("mallory")), NOW).unwrap();
    assert_eq!((&*found.reason, found.target.to_string()), ("noise", "mallory".into()));
    assert!(list.is_blocked(None, Some(&of("mallory")), NOW).is_some());
    assert!(list.is_blocked(Some(addr("192.0.2.1")), Some(&of("alice")), NOW).is_none());
    assert!(list.is_blocked(None, None, NOW).is_none());
}

#[test]
fn a_block_ends_with_its_time_and_a_wider_one_still_holds() {
    let target = Target::network("192.0.2.0/24").unwrap();
    let timed = Block { until: Some(Wall(2_000)), ..block(target) };
    let list = BlockList::default().with(timed, NOW).unwrap();
    assert_eq!(list.is_blocked(Some(addr("192.0.2.1")), None, NOW).unwrap().retry_after_ms(NOW), Some(1_000));
    assert!(list.is_blocked(Some(addr("192.0.2.1")), None, Wall(2_000)).is_none());
    let list = list.with(block(Target::network("192.0.0.0/16").unwrap()), NOW).unwrap();
    let held = list.is_blocked(Some(addr("192.0.2.1")), None, Wall(2_000)).unwrap();
    assert_eq!((held.target.to_string(), held.retry_after_ms(NOW)), ("192.0.0.0/16".into(), None));
    let later = list.with(block(Target::identity("a").unwrap()), Wall(2_000)).unwrap();
    assert_eq!(later.len(), 2, "the block that is over was left out");
}

#[test]
fn a_change_leaves_the_old_list_as_it_was() {
    let old = list(&["192.0.2.0/24", "2001:db8::/32"]);
    let target = Target::network("192.0.2.0/24").unwrap();
    let new = old.without(&target).unwrap();
    assert!(is_blocked(&old, "192.0.2.1") && !is_blocked(&new, "192.0.2.1") && is_blocked(&new, "2001:db8::1"));
    assert_eq!(new.without(&target), None);
    let again = old.with(Block { reason: "other".into(), ..block(target) }, NOW).unwrap();
    assert_eq!((again.len(), again.iter().any(|block| &*block.reason == "other")), (2, true));
}

#[test]
fn the_list_and_its_reasons_are_bounded() {
    let mut full = BlockList::default();
    for index in 0..BLOCKS {
        let name: Box<str> = format!("n{index}").into();
        full.identities.insert(name.clone(), block(Target::Identity(name)));
    }
    assert!(full.with(block(Target::network("192.0.2.1").unwrap()), NOW).is_err());
    assert!(full.with(block(Target::identity("n0").unwrap()), NOW).is_ok(), "a replacement needs no room");
    let long = Block { reason: "r".repeat(257).into(), ..block(Target::identity("a").unwrap()) };
    assert!(BlockList::default().with(long, NOW).is_err());
    assert!(BlockList::default().is_empty());
}

proptest! {
    /// The model compares bit by bit with every network.
    #[test]
    fn lookups_are_those_of_a_walk_over_all_networks(
        networks in prop::collection::vec((any::<u32>(), 0u8..=32), 0..12),
        near in any::<u32>(),
        flips in 0u32..32,
    ) {
        let mut list = BlockList::default();
        let mut addrs = vec![near];
        for (bits, prefix) in &networks {
            let network = Network::new(Ipv4Addr::from(*bits).into(), *prefix).unwrap();
            list = list.with(block(Target::Network(network)), NOW).unwrap();
            addrs.push(bits ^ (1 << flips));
            addrs.push(*bits);
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }
        for addr in addrs {
            let expected = networks.iter().any(|(bits, prefix)| (0..*prefix).all(|at| (bits ^ addr) >> (31 - at) & 1 == 0));
            prop_assert_eq!(list.is_blocked(Some(Ipv4Addr::from(addr).into()), None, NOW).is_some(), expected);
        }
    }
}
