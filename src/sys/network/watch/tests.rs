use std::collections::VecDeque;

use super::*;
use crate::sys::network::tests::Events;

/// `name#index[+|-] address/prefix …`, one interface an item; `+` is up.
fn links(texts: &[&str]) -> Vec<Link> {
    let link = |text: &&str| {
        let mut words = text.split(' ');
        let head = words.next().unwrap();
        let (name, rest) = head.split_once('#').unwrap();
        let (index, up) = rest.split_at(rest.len() - 1);
        let address = |word: &str| {
            let (address, prefix) = word.split_once('/').unwrap();
            Address::new(address.parse().unwrap(), prefix.parse().unwrap())
        };
        let addresses = words.map(address).collect();
        Link { name: name.into(), index: index.parse().ok(), up: up == "+", loopback: false, addresses }
    };
    texts.iter().map(link).collect()
}

fn told(changes: &[Change]) -> Vec<String> {
    let text = |change: &Change| {
        let address = change.address.map_or(String::new(), |at| format!(" {}/{}", at.address, at.prefix));
        format!("{} {:?}{address}", change.interface, change.change)
    };
    changes.iter().map(text).collect()
}

#[test]
fn each_difference_is_one_change_in_order() {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &[], &[]),
        (&["lo#1+ 127.0.0.1/8"], &["lo#1+ 127.0.0.1/8"], &[]),
        (&[], &["eth0#2-"], &["eth0 Added"]),
        (
            &[],
            &["eth0#2+ 10.0.0.2/24 fe80::1/64"],
            &["eth0 Added", "eth0 AddressAdded 10.0.0.2/24", "eth0 AddressAdded fe80::1/64"],
        ),
        (&["eth0#2+ 10.0.0.2/24"], &[], &["eth0 AddressRemoved 10.0.0.2/24", "eth0 Removed"]),
        (&["eth0#2-"], &["eth0#2+"], &["eth0 Up"]),
        (
            &["eth0#2+ 10.0.0.2/24"],
            &["eth0#2- 10.0.0.3/24"],
            &["eth0 Down", "eth0 AddressRemoved 10.0.0.2/24", "eth0 AddressAdded 10.0.0.3/24"],
        ),
        (
            &["eth0#2+ 10.0.0.2/24"],
            &["eth0#2+ 10.0.0.2/16"],
            &["eth0 AddressRemoved 10.0.0.2/24", "eth0 AddressAdded 10.0.0.2/16"],
        ),
        (&["eth0#2+"], &["eth0#7+"], &["eth0 Removed", "eth0 Added"]),
        (&["a#1+", "c#3+", "e#5+"], &["b#2+", "c#3-", "d#4+", "e#5+"], &["a Removed", "b Added", "c Down", "d Added"]),
        (&["a#1+", "b#2+"], &["b#2+"], &["a Removed"]),
        (&["a#1+"], &["a#1+", "b#2+"], &["b Added"]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(told(&changes(&links(before), &links(after))), *expected, "{before:?} -> {after:?}");
    }
}

#[test]
fn a_change_is_one_flat_object() {
    let changes = changes(&[], &links(&["eth0#2+ 10.0.0.2/24"]));
    assert_eq!(
        serde_json::to_value(changes).unwrap(),
        serde_json::json!([
            {"interface": "eth0", "index": 2, "change": "added", "up": true},
            {"interface": "eth0", "index": 2, "change": "address_added", "up": true,
                "address": "10.0.0.2", "prefix": 24, "family": "ipv4"},
        ])
    );
}

#[test]
fn the_watcher_tells_changes_and_sits_out_failures() {
    let mut snapshots = VecDeque::from([
        Ok(links(&["eth0#2+"])),
        Err(io::Error::other("no luck")),
        Ok(links(&["eth0#2+"])),
        Ok(links(&["eth0#2-"])),
    ]);
    let source = move || snapshots.pop_front().unwrap_or_else(|| Ok(links(&["eth0#2-"])));
    let (events, emitter) = Events::new("network");
    let watcher = Watcher::of(Box::new(source), Duration::from_millis(1), emitter).unwrap();
    let (topic, payload) = events.next();
    assert_eq!(topic, "network.interface_changed");
    assert_eq!(payload, serde_json::json!({"interface": "eth0", "index": 2, "change": "down", "up": false}));
    watcher.stop();
    assert!(events.is_empty(), "one change is one event");
}

#[test]
fn the_watcher_stops_without_waiting_for_its_interval() {
    let (events, emitter) = Events::new("network");
    let started = Instant::now();
    Watcher::start(Duration::from_secs(3600), emitter).unwrap().stop();
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(events.is_empty(), "the first snapshot is no change");
}
