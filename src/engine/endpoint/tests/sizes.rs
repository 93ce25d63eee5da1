//! What a connection costs while nothing happens: 100,000 of them are idle most of the time.

use super::peer::text;
use super::scene::Scene;
use crate::engine::conn::Connection;
use crate::engine::endpoint::table::Slot;

#[test]
fn a_connection_is_small() {
    let (connection, slot) = (size_of::<Connection>(), size_of::<Slot>());
    println!("Connection {connection} bytes, Slot {slot} bytes");
    assert!(connection <= 200, "{connection}");
    // With its own eight bytes the allocator makes 224 of it, as it does of 208.
    assert!(slot <= 216, "{slot}");
}

#[test]
fn an_idle_connection_holds_nothing_on_the_heap() {
    let mut scene = Scene::new();
    let id = scene.connected();
    for _ in 0..3 {
        let message = text(&"x".repeat(900));
        let (begin, end) = message.split_at(500);
        scene.receive(id, begin);
        assert!(scene.endpoint.connection(id).unwrap().held_bytes() > 0);
        scene.receive(id, end);
        scene.respond(id, "done");
        assert!(scene.endpoint.connection(id).unwrap().held_bytes() > 0);
        scene.sent(id);
        assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
    }
}

#[test]
fn wake_ups_do_not_pile_up() {
    let mut scene = Scene::new();
    let id = scene.accept();
    for _ in 0..1000 {
        scene.receive(id, super::peer::get("/a"));
        scene.answer(id, "a");
        scene.sent(id);
        scene.jump(std::time::Duration::from_millis(1));
    }
    assert!(scene.endpoint.wakes.len() <= 3, "{}", scene.endpoint.wakes.len());
}
