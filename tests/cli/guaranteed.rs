//! Guaranteed delivery from the command line: acks, and repetitions.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use crate::program::{command, finish, run, run_with_input};
use crate::script::{Peer, Server, refuse};

fn at<'a>(server: &'a Server, args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--url", &server.url]].concat()
}

#[test]
fn options_become_fields_of_the_subscription() {
    let cases = [
        (&["--guaranteed"][..], json!({"guarantee": "at_least_once"})),
        (
            &["--durable", "bill\"ing", "--from", "all", "--window", "7", "--ack-timeout", "250"],
            json!({"guarantee": "at_least_once", "name": "bill\"ing", "from": "all", "window": 7, "ack_timeout_ms": 250}),
        ),
        (&["--guaranteed", "--durable", "n"], json!({"guarantee": "at_least_once", "name": "n"})),
        (&["--from", "4711"], json!({"from": 4711})),
        (&["--from", "2026-02-26T18:45:00Z"], json!({"from": "2026-02-26T18:45:00.000Z"})),
    ];
    for (args, mut expected) in cases {
        let server = Server::play(move |listener| {
            let mut peer = Peer::accept(listener);
            expected["topics"] = json!(["a.b"]);
            assert_eq!(peer.answer("system.subscribe", json!({})), expected);
            peer.wanting("e-1", "a.b", json!(1));
            peer.acks(1);
            peer.expect_close();
        });
        run(&at(&server, &[&["subscribe", "a.b", "--count", "1"], args].concat())).expect(0);
        server.end();
    }
}

#[test]
fn events_are_acknowledged_once_they_are_printed_and_no_others_are() {
    let (printed, was_printed) = mpsc::channel();
    let server = Server::play(move |listener| {
        let mut peer = Peer::accept(listener);
        assert_eq!(peer.authorization, "Key k");
        peer.answer("system.subscribe", json!({}));
        peer.wanting("e-1", "a.b", json!(1));
        assert_eq!(peer.ack(), ["e-1"]);
        was_printed.recv_timeout(Duration::from_secs(20)).unwrap();
        peer.event("a.b", json!("best effort"));
        // Also what a durable subscription has of other patterns.
        peer.wanting("e-2", "c.d", json!(2));
        peer.event("e.f", json!("not asked for"));
        peer.wanting("e-3", "a.b", json!(3));
        assert_eq!(peer.acks(2), ["e-2", "e-3"]);
        peer.expect_close();
    });
    let args = ["subscribe", "a.b", "--durable", "n", "--count", "4", "--format", "payload", "--key", "k"];
    let mut child = command(&at(&server, &args)).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "1\n");
    printed.send(()).unwrap();
    let rest: Vec<String> = out.lines().map(Result::unwrap).collect();
    assert_eq!(rest, ["\"best effort\"", "2", "3"]);
    finish(child).expect(0);
    server.end();
}

#[test]
fn a_burst_is_acknowledged_in_few_messages_and_what_is_over_the_count_is_not() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        for n in 0..2500 {
            peer.wanting(&format!("e-{n}"), "a.b", json!(n));
        }
        peer.succeed(&command, json!({}));
        let expected: Vec<String> = (0..2000).map(|n| format!("e-{n}")).collect();
        assert_eq!(peer.acks(2000), expected);
        peer.expect_close();
    });
    let ran = run(&at(&server, &["subscribe", "a.b", "--guaranteed", "--count", "2000"])).expect(0);
    assert_eq!(ran.lines().len(), 2000);
    server.end();
}

#[test]
fn what_nobody_read_is_not_acknowledged() {
    let (gone, is_gone) = mpsc::channel();
    let server = Server::play(move |listener| {
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        peer.wanting("e-1", "a.b", json!(1));
        assert_eq!(peer.ack(), ["e-1"]);
        // The reader goes after the first line; then there is no ack, but the end.
        is_gone.recv_timeout(Duration::from_secs(20)).unwrap();
        peer.wanting("e-2", "a.b", json!(2));
        peer.expect_close_without_ack();
    });
    let mut child =
        command(&at(&server, &["subscribe", "a.b", "--durable", "n"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    gone.send(()).unwrap();
    finish(child).expect(0);
    server.end();
}

#[test]
fn ctrl_c_leaves_nothing_printed_unacknowledged() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        peer.wanting("e-1", "a.b", json!(1));
        assert_eq!(peer.ack(), ["e-1"]);
        peer.expect_close();
    });
    let mut child = command(&at(&server, &["subscribe", "a.b", "--durable", "n"])).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    finish(child).expect(130);
    server.end();
}

#[test]
fn a_durable_subscription_is_made_again_by_its_name() {
    let server = Server::play(|listener| {
        for n in 1..=2 {
            let mut peer = Peer::accept(listener);
            peer.event("system.session", json!({"session": "s", "secret": "t"}));
            let data = peer.answer("system.subscribe", json!({}));
            assert_eq!(data["name"], "n");
            peer.wanting(&format!("e-{n}"), "a.b", json!(n));
            assert_eq!(peer.ack(), [format!("e-{n}")]);
            if n == 1 {
                peer.close(1001, "draining; reconnect_after_ms=10");
            }
        }
    });
    let args = ["subscribe", "a.b", "--durable", "n", "--reconnect", "--count", "2", "--format", "payload"];
    assert_eq!(run(&at(&server, &args)).expect(0).out, "1\n2\n");
    server.end();
}

#[test]
fn an_unnamed_subscription_comes_back_with_its_session() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.event("system.session", json!({"session": "s-1", "secret": "t-1"}));
        peer.answer("system.subscribe", json!({}));
        peer.wanting("e-1", "a.b", json!(1));
        assert_eq!(peer.ack(), ["e-1"]);
        peer.close(1001, "draining; reconnect_after_ms=10");

        let mut peer = Peer::accept(listener);
        peer.event("system.session", json!({"session": "s-2", "secret": "t-2"}));
        let data = peer.answer("system.resume", json!({"lost": ["a.c"]}));
        assert_eq!(data, json!({"session": "s-1", "secret": "t-1"}));
        peer.wanting("e-2", "a.b", json!(2));
        assert_eq!(peer.ack(), ["e-2"]);
        peer.close(1001, "draining; reconnect_after_ms=10");

        // The session is gone this time: it begins anew.
        let mut peer = Peer::accept(listener);
        peer.event("system.session", json!({"session": "s-3", "secret": "t-3"}));
        let (name, command) = peer.command();
        assert_eq!((name.as_str(), &command["data"]["session"]), ("system.resume", &json!("s-1")));
        peer.fail(&command, "not_found");
        assert_eq!(peer.answer("system.subscribe", json!({}))["guarantee"], "at_least_once");
        peer.close(1001, "draining; reconnect_after_ms=10");

        let mut peer = Peer::accept(listener);
        assert_eq!(peer.answer("system.resume", json!({})), json!({"session": "s-3", "secret": "t-3"}));
        peer.wanting("e-3", "a.b", json!(3));
        peer.acks(1);
        peer.expect_close();
    });
    let args = ["subscribe", "a.b", "--guaranteed", "--reconnect", "--count", "3", "--format", "payload"];
    let ran = run(&at(&server, &args)).expect(0);
    assert_eq!(ran.out, "1\n2\n3\n");
    assert!(ran.err.contains("history was cut: a.c") && ran.err.contains("not resumed"), "{}", ran.err);
    server.end();
}

#[test]
fn a_publish_that_was_refused_for_now_is_repeated_with_its_id() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (name, first) = peer.command();
        assert_eq!(name, "system.publish");
        assert_eq!(first["data"], json!({"topic": "a.b", "payload": 1, "guarantee": "at_least_once"}));
        peer.refuse_for_now(&first, "storage_full");
        let (_, second) = peer.command();
        assert_eq!(first, second);
        peer.refuse_for_now(&second, "unavailable");
        let (_, third) = peer.command();
        assert_eq!(first, third);
        peer.succeed(&third, json!({"event": "e-1"}));
        peer.expect_close();
    });
    let ran = run(&at(&server, &["publish", "a.b", "1", "--guaranteed"])).expect(0);
    assert_eq!(ran.out, "e-1\n");
    assert_eq!(ran.err.matches("publishing again in").count(), 2, "{}", ran.err);
    server.end();
}

#[test]
fn repetitions_have_an_end_and_final_errors_have_none() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        for _ in 0..3 {
            let (_, command) = peer.command();
            peer.refuse_for_now(&command, "storage_full");
        }
        peer.expect_close();
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        peer.fail(&command, "forbidden");
        peer.expect_close();
        // Without a guarantee nothing is repeated.
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        peer.refuse_for_now(&command, "unavailable");
        peer.expect_close();
        Peer::accept(listener).drop_connection();
        for _ in 0..2 {
            refuse(listener, "503 Service Unavailable", r#"{"error":{"code":"draining","retry_after_ms":1}}"#);
        }
    });
    let guaranteed = ["publish", "a.b", "1", "--guaranteed", "--retries", "2"];
    let ran = run(&at(&server, &guaranteed)).expect(1);
    assert!(ran.out.is_empty() && ran.err.contains("storage_full"), "{ran:?}");
    assert!(run(&at(&server, &guaranteed)).expect(1).err.contains("forbidden"));
    assert!(run(&at(&server, &["publish", "a.b", "1"])).expect(1).err.contains("unavailable"));
    run(&at(&server, &["publish", "a.b", "1"])).expect(3);
    run(&at(&server, &["publish", "a.b", "1", "--guaranteed", "--retries", "1"])).expect(3);
    server.end();
}

#[test]
fn lines_without_an_answer_are_published_again_over_the_next_connection() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (_, one) = peer.command();
        let (_, two) = peer.command();
        let (_, three) = peer.command();
        peer.succeed(&two, json!({"event": "e-2"}));
        peer.close(1001, "draining; reconnect_after_ms=10");
        refuse(listener, "503 Service Unavailable", r#"{"error":{"code":"draining","retry_after_ms":10}}"#);
        let mut peer = Peer::accept(listener);
        for (command, event) in [(one, "e-1"), (three, "e-3")] {
            let (_, again) = peer.command();
            assert_eq!(again, command);
            peer.succeed(&again, json!({"event": event}));
        }
        peer.expect_close();
    });
    let args = at(&server, &["publish", "a.b", "-", "--guaranteed", "--in-flight", "3"]);
    let ran = run_with_input(&args, "1\n2\n3\n").expect(0);
    assert_eq!(ran.lines(), ["e-2", "e-1", "e-3"]);
    server.end();
}

#[test]
fn no_answer_in_time_is_repeated_over_another_connection() {
    let server = Server::play(|listener| {
        let mut silent = Peer::accept(listener);
        let (_, first) = silent.command();
        let mut peer = Peer::accept(listener);
        let (_, again) = peer.command();
        assert_eq!(first, again);
        peer.succeed(&again, json!({"event": "e-1"}));
        peer.expect_close();
    });
    let ran = run(&at(&server, &["publish", "a.b", "1", "--guaranteed", "--timeout", "1"])).expect(0);
    assert_eq!(ran.out, "e-1\n");
    server.end();
}
