//! What a connection that is idle holds: its records, and all of its heap.

use allocation_counter::measure;
use hydrogen::dialect::hydrogen::Hydrogen;
use hydrogen::engine::conn::Connection;
use hydrogen::engine::endpoint::Endpoint;
use hydrogen::engine::topic::Topics;
use hydrogen::sys::reactor::Reactor;

use crate::driver::Driver;
use crate::figures::hold;

/// Tables double when they are full: with this many connections they are.
const CONNECTIONS: usize = 4096;

#[test]
fn the_records_of_a_connection_stay_small() {
    hold(&[
        ("size.connection", size_of::<Connection>() as f64),
        ("size.slot", Endpoint::SLOT_BYTES as f64),
        ("size.socket", Reactor::<()>::SOCKET_BYTES as f64),
        ("size.session", Hydrogen::SESSION_BYTES as f64),
        ("size.subscription", Topics::SUBSCRIPTION_BYTES as f64),
    ]);
}

#[test]
fn an_idle_connection_holds_little() {
    let with_a_session = held(|driver| {
        for _ in 0..CONNECTIONS {
            driver.connect();
        }
    });
    let on_one_topic = held(|driver| drop(driver.subscribers(CONNECTIONS, |_| r#"{"topics":["a.b"]}"#.into())));
    let own = |index| format!("{{\"topics\":[\"rooms.r{index}.temperature\"]}}");
    let on_its_own_topic = held(|driver| drop(driver.subscribers(CONNECTIONS, own)));
    hold(&[
        ("held_bytes.session", with_a_session),
        ("held_bytes.subscribed", on_one_topic),
        ("held_bytes.subscribed_alone", on_its_own_topic),
    ]);
}

/// Bytes of the heap that each connection holds after this.
fn held(act: impl FnOnce(&mut Driver)) -> f64 {
    let mut driver = Driver::new();
    // The first one brings what is there once.
    driver.connect();
    measure(|| act(&mut driver)).bytes_current as f64 / CONNECTIONS as f64
}
