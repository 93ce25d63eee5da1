//! Credentials: every place, their precedence, and what a refused client is told.

use super::peer::{Reply, get, upgrade, upgrade_of};
use super::scene::{Handed, Key, Scene};
use crate::base::DialectId;
use crate::base::{Metric, Reason};
use crate::engine::conn::State;

fn header(token: &str) -> String {
    upgrade(&format!("Authorization: Key {token}\r\n"))
}

fn refused(scene: &mut Scene, request: String, reason: Reason) -> Reply {
    let id = scene.accept();
    scene.receive(id, request);
    assert_eq!(scene.state(id), State::Verifying, "the answer is not out yet");
    let reply = scene.reply(id);
    scene.expect_end(id, reason);
    assert!(scene.handed().is_empty(), "no worker hears of it");
    reply
}

#[test]
fn a_right_key_is_taken_in_every_place() {
    let good = Key::Good.token();
    for (request, protocol) in [
        (header(&good), "hydrogen"),
        (upgrade(&format!("authorization: kEY   {good}\r\n")), "hydrogen"),
        (upgrade_of("/", &format!("key.{good}, hydrogen-protocol"), ""), "hydrogen-protocol"),
        (upgrade_of("/", "hydrogen", &format!("Sec-WebSocket-Protocol: key.{good}\r\n")), "hydrogen"),
        (upgrade_of(&format!("/any/path?a=b&key={good}"), "other, hydrogen", ""), "hydrogen"),
        (upgrade_of(&format!("/?key={}", good.replace('.', "%2e")), "hydrogen", ""), "hydrogen"),
        // The same key twice is one key.
        (upgrade_of(&format!("/?key={good}"), "hydrogen", &format!("Authorization: Key {good}\r\n")), "hydrogen"),
    ] {
        let mut scene = Scene::new();
        let id = scene.accept();
        scene.receive(id, &request);
        assert_eq!(scene.state(id), State::Established, "{request}");
        let reply = scene.reply(id);
        assert_eq!((reply.status, reply.header("Sec-WebSocket-Protocol")), (101, Some(protocol)), "{request}");
        assert_eq!(reply.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!reply.head.contains(&good), "a credential is never echoed");
        assert_eq!(scene.handed(), [Handed::Open(id, DialectId::Hydrogen, Some("good".into()))]);
        assert_eq!(scene.count(Metric::AUTH_ACCEPTED), 1);
    }
}

#[test]
fn a_wrong_credential_is_refused_though_another_place_holds_a_right_one() {
    let (good, wrong) = (Key::Good.token(), Key::Good.with_wrong_secret());
    for request in [
        upgrade_of(&format!("/?key={good}"), "hydrogen", &format!("Authorization: Key {wrong}\r\n")),
        upgrade_of(&format!("/?key={wrong}"), "hydrogen", &format!("Authorization: Key {good}\r\n")),
        upgrade_of(&format!("/?key={wrong}"), &format!("hydrogen, key.{good}"), ""),
        upgrade_of("/", &format!("hydrogen, key.{wrong}"), &format!("Authorization: Key {good}\r\n")),
        upgrade_of(&format!("/?key={good}&key={wrong}"), "hydrogen", ""),
        upgrade_of(&format!("/?key={good}"), "hydrogen", "Authorization: Basic dTpw\r\n"),
        upgrade_of(&format!("/?key={good}"), "hydrogen", "Authorization: Bearer a.b.c\r\n"),
        upgrade_of(&format!("/?key={good}"), "hydrogen", &format!("Authorization: Key{good}\r\n")),
        upgrade_of(&format!("/?key={good}&key="), "hydrogen", ""),
    ] {
        let reply = refused(&mut Scene::new(), request.clone(), Reason::Unauthenticated);
        assert_eq!(reply.status, 401, "{request}");
    }
}

#[test]
fn whatever_is_wrong_with_a_key_the_words_are_the_same() {
    let mut bodies = Vec::new();
    for request in [
        header(&Key::Unknown.token()),
        header(&Key::Good.with_wrong_secret()),
        header(&Key::Revoked.token()),
        header(&Key::Expired.token()),
        header("nonsense"),
        upgrade(""),
        upgrade_of(&format!("/?monkey={}", Key::Good.token()), "hydrogen", ""),
    ] {
        let mut scene = Scene::new();
        let reply = refused(&mut scene, request, Reason::Unauthenticated);
        assert_eq!((reply.status, &*reply.code()), (401, "unauthenticated"));
        assert_eq!(reply.header("WWW-Authenticate"), Some("Key realm=\"hydrogen\""));
        assert_eq!(reply.header("Connection"), Some("close"));
        assert_eq!(scene.count(Metric::AUTH_REFUSED), 1);
        bodies.push(reply.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

#[test]
fn the_query_is_looked_at_only_where_the_configuration_allows_it() {
    let request = upgrade_of(&format!("/?key={}", Key::Good.token()), "hydrogen", "");
    refused(&mut Scene::with(|settings| settings.query_key = false), request, Reason::Unauthenticated);
}

#[test]
fn an_identity_that_may_not_connect_is_forbidden() {
    let reply = refused(&mut Scene::new(), header(&Key::MayNotConnect.token()), Reason::Forbidden);
    assert_eq!((reply.status, &*reply.code()), (403, "forbidden"));
}

#[test]
fn without_a_credential_the_configuration_decides() {
    for (auth_required, in_band_auth, expected) in [
        (true, false, None),
        (true, true, Some(None)),
        (false, false, Some(Some("anonymous".to_string()))),
        (false, true, Some(Some("anonymous".to_string()))),
    ] {
        let mut scene = Scene::with(|settings| {
            settings.auth_required = auth_required;
            settings.in_band_auth = in_band_auth;
        });
        let id = scene.accept();
        scene.receive(id, upgrade(""));
        match expected {
            Some(name) => assert_eq!(scene.handed(), [Handed::Open(id, DialectId::Hydrogen, name)]),
            None => assert_eq!(scene.reply(id).status, 401),
        }
        // A wrong one is refused all the same.
        refused_with_wrong_key(&mut Scene::with(|settings| {
            settings.auth_required = auth_required;
            settings.in_band_auth = in_band_auth;
        }));
    }
}

fn refused_with_wrong_key(scene: &mut Scene) {
    assert_eq!(refused(scene, header(&Key::Unknown.token()), Reason::Unauthenticated).status, 401);
}

#[test]
fn a_plain_request_may_do_without_a_credential_but_not_with_a_wrong_one() {
    let mut scene = Scene::new();
    let id = scene.accept();
    let with_key =
        |token: String| get("/status").replace("\r\n\r\n", &format!("\r\nAuthorization: Key {token}\r\n\r\n"));
    for (request, name) in [(get("/status"), None), (with_key(Key::Good.token()), Some("good"))] {
        scene.receive(id, request);
        let asked = scene.endpoint.requests().pop().unwrap();
        assert_eq!(asked.identity.as_ref().map(|identity| &*identity.name), name);
        scene.answer(id, "fine");
        assert_eq!(scene.reply(id).status, 200);
    }
    scene.receive(id, with_key(Key::Unknown.token()));
    assert_eq!(scene.reply(id).status, 401);
    scene.expect_end(id, Reason::Unauthenticated);
}

#[test]
fn after_too_many_wrong_keys_an_address_waits_even_with_a_right_one() {
    let mut scene = Scene::new();
    for _ in 0..21 {
        refused_with_wrong_key(&mut scene);
    }
    let reply = refused(&mut scene, header(&Key::Good.token()), Reason::RateLimited);
    assert_eq!((reply.status, &*reply.code(), reply.header("Retry-After")), (429, "rate_limited", Some("1")));
    scene.address = "192.0.2.8:4711".parse().unwrap();
    scene.established();
}
