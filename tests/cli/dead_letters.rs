//! `hydrogen dead-letters` against scripts.

use serde_json::{Value, json};

use crate::program::run;
use crate::script::{Peer, Server};

fn at<'a>(server: &'a Server, args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--url", &server.url]].concat()
}

fn letter(n: u32) -> Value {
    json!({"id": format!("d-{n}"), "topic": "a.b", "event": format!("e-{n}"), "offset": n, "reason": "attempts",
        "published": "2026-02-26T18:45:00.000Z", "died": "2026-02-26T18:50:00.000Z", "subscription": "billing",
        "identity": "shop", "attempts": [{"at": "2026-02-26T18:45:00.000Z", "outcome": "timeout", "connection": "c-1"}],
        "payload": {"n": n}})
}

#[test]
fn dead_letters_are_listed_page_by_page() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let data = peer.answer("system.dead_letters", json!({"items": [letter(1), letter(2)], "next": "d-2"}));
        assert_eq!(
            data,
            json!({"limit": 3, "subscription": "billing", "identity": "shop", "topic": "a.b", "after": "d-0"})
        );
        let data = peer.answer("system.dead_letters", json!({"items": [letter(3)], "next": "d-3"}));
        assert_eq!((&data["after"], &data["limit"]), (&json!("d-2"), &json!(1)));
        peer.expect_close();
        for _ in 0..2 {
            let mut peer = Peer::accept(listener);
            let data = peer.answer("system.dead_letters", json!({"items": [letter(1)], "next": null}));
            assert_eq!(data, json!({"limit": 100}));
            peer.expect_close();
        }
    });
    let args = ["dead-letters", "list", "--subscription", "billing", "--identity", "shop", "--topic", "a.b"];
    let ran = run(&at(&server, &[&args[..], &["--after", "d-0", "--limit", "3"]].concat())).expect(0);
    let lines = ran.lines();
    let words: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(words, ["d-3", "2026-02-26T18:50:00.000Z", "a.b", "billing", "shop", "1", "attempts"]);
    assert!(lines.len() == 4 && ran.err.contains("there are more"), "{ran:?}");
    let ran = run(&at(&server, &["dead-letters", "list", "--json"])).expect(0);
    assert_eq!(serde_json::from_str::<Value>(ran.lines()[0]).unwrap(), letter(1));
    assert!(ran.lines().len() == 1 && ran.err.is_empty(), "{ran:?}");
    assert_eq!(run(&at(&server, &["dead-letters", "list"])).expect(0).lines().len(), 2);
    server.end();
}

#[test]
fn dead_letters_are_replayed_and_discarded_by_id_or_all() {
    let server = Server::play(|listener| {
        for (name, answer, expected) in [
            ("system.dead_letters.replay", json!({"replayed": 2}), json!({"ids": ["d-1", "d-2"]})),
            ("system.dead_letters.replay", json!({"replayed": 9}), json!({"all": true, "subscription": "billing"})),
            ("system.dead_letters.discard", json!({"discarded": 1}), json!({"ids": ["d-1", "d-2"]})),
            ("system.dead_letters.discard", json!({"discarded": 0}), json!({"all": true})),
        ] {
            let mut peer = Peer::accept(listener);
            assert_eq!(peer.answer(name, answer), expected);
            peer.expect_close();
        }
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        peer.fail(&command, "forbidden");
        peer.expect_close();
    });
    let run = |args: &[&str]| run(&at(&server, &[&["dead-letters"], args].concat()));
    let ran = run(&["replay", "d-1", "d-2"]).expect(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("2 replayed\n", ""));
    assert_eq!(run(&["replay", "--all", "--subscription", "billing", "--yes"]).expect(0).out, "9 replayed\n");
    let ran = run(&["discard", "d-1", "d-2"]).expect(0);
    assert!(ran.out == "1 discarded\n" && ran.err.contains("1 of 2 are not there"), "{ran:?}");
    assert_eq!(run(&["discard", "--all", "--yes"]).expect(0).out, "0 discarded\n");
    let ran = run(&["discard", "d-1"]).expect(1);
    assert!(ran.out.is_empty() && ran.err.contains("forbidden"), "{ran:?}");
    server.end();
}
