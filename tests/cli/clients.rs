//! Client commands against scripts.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::files::certificate;
use crate::program::{command, finish, run, run_with_input};
use crate::script::{Peer, Server, refuse};

fn at<'a>(server: &'a Server, args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--url", &server.url]].concat()
}

#[test]
fn call_prints_the_data_as_it_came() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        assert_eq!(peer.authorization, "Key hyd1.a.b");
        let (name, command) = peer.command();
        assert_eq!((name.as_str(), &command["data"]), ("lamp.set.on", &json!({"x": 1})));
        assert!(command.get("auth").is_none());
        peer.send(json!({"type": "unheard_of", "id": command["id"]}));
        peer.text("no json");
        peer.ping();
        let id = command["id"].as_str().unwrap();
        peer.text(&format!(r#"{{"type":"response","id":"{id}","status":"success","data":{{"n":  1.50}}}}"#));
        peer.expect_close();
    });
    let mut child = command(&at(&server, &["call", "lamp.set.on", "{\"x\":1}"]));
    let ran = finish(child.env("HYDROGEN_KEY", "hyd1.a.b").spawn().unwrap()).expect(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("{\"n\":  1.50}\n", ""));
    server.end();
}

#[test]
fn an_error_answer_goes_to_standard_error_as_json_with_1() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        assert_eq!(command["data"], json!({}));
        assert_eq!(command["auth"], json!({"token": "k"}));
        peer.fail(&command, "no_handler");
    });
    let ran = run(&at(&server, &["call", "a.b", "--key", "k", "--key-per-message"])).expect(1);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((error["code"].as_str(), ran.out.as_str()), (Some("no_handler"), ""));
    server.end();
}

#[test]
fn ways_not_to_connect_have_their_codes_and_words() {
    let body = r#"{"error":{"code":"unauthenticated","message":"a valid credential is needed"}}"#;
    for (head, body, code, part) in [
        ("401 Unauthorized", body, 4, "401 unauthenticated: a valid credential is needed"),
        ("403 Forbidden", "", 4, "403"),
        ("429 Too Many Requests", "", 4, "429"),
        ("503 Service Unavailable", "later", 3, "503 later"),
        ("404 Not Found", "", 3, "404"),
        ("200 OK", "<html>", 3, "200 <html>"),
    ] {
        let server = Server::play(move |listener| refuse(listener, head, body));
        let ran = run(&at(&server, &["call", "a.b", "--key", "hyd1.secret"])).expect(code);
        assert!(ran.err.contains(part) && !ran.err.contains("secret"), "{}", ran.err);
        server.end();
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/?key=secret", nobody.local_addr().unwrap());
    let silent = run(&["call", "a.b", "--url", &url, "--connect-timeout", "1"]).expect(3);
    assert!(silent.err.contains("in time") && !silent.err.contains("secret"), "{}", silent.err);
    drop(nobody);
    let refused = run(&["call", "a.b", "--url", &url]).expect(3);
    assert!(refused.err.contains("cannot connect") && !refused.err.contains("secret"), "{}", refused.err);
}

#[test]
fn no_answer_is_a_timeout_and_an_early_end_is_a_lost_connection() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.command();
        peer.expect_close();
        let mut peer = Peer::accept(listener);
        peer.command();
        peer.drop_connection();
        let mut peer = Peer::accept(listener);
        peer.command();
        peer.close(4001, "expired");
    });
    let ran = run(&at(&server, &["call", "a.b", "--timeout", "1"])).expect(5);
    assert!(ran.err.contains("no answer within 1 s"), "{}", ran.err);
    run(&at(&server, &["call", "a.b"])).expect(3);
    let ran = run(&at(&server, &["call", "a.b"])).expect(4);
    assert!(ran.err.contains("4001 expired"), "{}", ran.err);
    server.end();
}

#[test]
fn publish_sends_the_payload_and_prints_the_events_id() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let data = peer.answer("system.publish", json!({"event": "e-1", "offset": 1, "receivers": 0}));
        assert_eq!(data, json!({"topic": "a.b", "payload": -1, "retain": true, "ttl_s": 9, "priority": "low"}));
        let data = Peer::accept(listener).answer("system.publish", json!({"event": "e-2"}));
        assert_eq!(data, json!({"topic": "a.b", "payload": "no json"}));
    });
    let args = ["publish", "a.b", "-1", "--retain", "--ttl", "9", "--priority", "low"];
    assert_eq!(run(&at(&server, &args)).expect(0).out, "e-1\n");
    assert_eq!(run(&at(&server, &["publish", "a.b", "--text", "no json"])).expect(0).out, "e-2\n");
    server.end();
}

#[test]
fn lines_are_published_in_order_with_a_bounded_number_under_way() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let mut ids = std::collections::BTreeSet::new();
        for round in 0..5 {
            // Four come without an answer, and the fifth only after one.
            let commands: Vec<Value> = (0..4).map(|_| peer.command().1).collect();
            peer.ping();
            peer.pong();
            for (index, command) in commands.iter().enumerate() {
                assert_eq!(command["data"]["payload"], json!({"n": 4 * round + index}));
                ids.insert(command["id"].as_str().unwrap().to_owned());
                peer.succeed(command, json!({"event": format!("e-{}", 4 * round + index)}));
            }
        }
        assert_eq!(ids.len(), 20);
        peer.expect_close();
    });
    let input: String = (0..20).map(|n| format!("{{\"n\":{n}}}\n\n")).collect();
    let ran = run_with_input(&at(&server, &["publish", "a.b", "--in-flight", "4"]), &input).expect(0);
    let expected: Vec<String> = (0..20).map(|n| format!("e-{n}")).collect();
    assert_eq!(ran.lines(), expected);
    server.end();
}

#[test]
fn the_first_error_ends_the_input_and_what_is_under_way_is_waited_for() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (one, two) = (peer.command().1, peer.command().1);
        peer.fail(&one, "storage_full");
        peer.succeed(&two, json!({"event": "e-2"}));
        peer.expect_close();
        let mut peer = Peer::accept(listener);
        peer.answer("system.publish", json!({"event": "e-1"}));
        peer.expect_close();
    });
    let args = at(&server, &["publish", "a.b", "-", "--in-flight", "2"]);
    let ran = run_with_input(&args, "1\n2\n3\n").expect(1);
    assert_eq!(ran.out, "e-2\n");
    assert!(ran.err.contains("line 1 ") && ran.err.contains("storage_full"), "{}", ran.err);
    let ran = run_with_input(&args, "1\nno json\n3\n").expect(2);
    assert!(ran.out == "e-1\n" && ran.err.contains("line 2 is no JSON"), "{ran:?}");
    server.end();
}

#[test]
fn subscribe_prints_an_event_a_line_and_only_what_was_asked_for() {
    let server = Server::play(|listener| {
        for _ in 0..3 {
            let mut peer = Peer::accept(listener);
            let (name, command) = peer.command();
            let expected = json!({"topics": ["a.*", "c.>"], "from": "last", "filter": {"t": {"gt": 1}}, "conflate": true, "priority": "bulk",
                "overflow": "drop_oldest"});
            assert_eq!((name.as_str(), &command["data"]), ("system.subscribe", &expected));
            // A retained event may come before the answer.
            peer.text("{\"type\":\"event\",\"id\":\"e-1\",\"channel\":\"a\",\"action\":\"b\",\n\"data\":{\"t\": 2}}");
            peer.succeed(&command, json!({}));
            peer.event("system.status_update", json!(1));
            peer.event("other.topic", json!(2));
            peer.event("c.d.e", json!("x\ty"));
            peer.event("c.d.f", json!("one too many"));
            peer.expect_close();
        }
    });
    let args = [
        "subscribe",
        "a.*",
        "c.>",
        "--from",
        "last",
        "--filter",
        "{\"t\":{\"gt\":1}}",
        "--conflate",
        "--priority",
        "bulk",
    ];
    let args = [&args[..], &["--overflow", "drop_oldest", "--count", "2"]].concat();
    let with = |format: &str| run(&at(&server, &[&args[..], &["--format", format]].concat())).expect(0).out;
    assert_eq!(with("payload"), "{\"t\": 2}\n\"x\\ty\"\n");
    assert_eq!(with("topic-payload"), "a.b\t{\"t\": 2}\nc.d.e\t\"x\\ty\"\n");
    let json = with("json");
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["data"], &lines[1]["action"]), (&json!({"t": 2}), &json!("d.e")));
    server.end();
}

#[test]
fn an_event_is_seen_while_the_subscription_goes_on_and_ctrl_c_ends_it() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        peer.event("a.b", json!(1));
        peer.expect_close();
    });
    let mut child = command(&at(&server, &["subscribe", "a.b", "--format", "payload"])).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "1\n");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    finish(child).expect(130);
    server.end();
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        // One after the other, until the client has had enough.
        while peer.event_is_taken("a.b", json!(1)) {}
    });
    let mut child = command(&at(&server, &["subscribe", "a.b"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let ran = finish(child).expect(0);
    assert_eq!(ran.err, "");
    server.end();
}

#[test]
fn a_refused_subscription_and_a_timeout_have_their_codes() {
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        let (_, command) = peer.command();
        peer.fail(&command, "forbidden");
        for _ in 0..2 {
            let mut peer = Peer::accept(listener);
            peer.answer("system.subscribe", json!({}));
            peer.event("a.b", json!(1));
            peer.expect_close();
        }
    });
    let ran = run(&at(&server, &["subscribe", "a.b", "--reconnect"])).expect(1);
    assert!(ran.err.contains("forbidden"), "{}", ran.err);
    let ran = run(&at(&server, &["subscribe", "a.b", "--timeout", "1", "--count", "2"])).expect(5);
    assert!(ran.lines().len() == 1 && ran.err.contains("1 of 2"), "{ran:?}");
    assert_eq!(run(&at(&server, &["subscribe", "a.b", "--timeout", "1"])).expect(0).lines().len(), 1);
    server.end();
}

#[test]
fn a_lost_subscription_comes_back_if_it_may_and_not_after_a_final_end() {
    let server = Server::play(|listener| {
        refuse(
            listener,
            "503 Service Unavailable",
            r#"{"error":{"code":"draining","message":"m","retry_after_ms":50}}"#,
        );
        for reason in ["draining; reconnect_after_ms=40", "draining; reconnect_after_ms=0"] {
            let mut peer = Peer::accept(listener);
            peer.answer("system.subscribe", json!({}));
            peer.event("a.b", json!(1));
            peer.close(1001, reason);
        }
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        peer.drop_connection();
        refuse(listener, "401 Unauthorized", "");
    });
    let ran = run(&at(&server, &["subscribe", "a.b", "--reconnect", "--format", "payload"])).expect(4);
    assert_eq!(ran.out, "1\n1\n");
    assert_eq!(ran.err.matches("connecting again in").count(), 4, "{}", ran.err);
    assert!(ran.err.contains("connecting again in 0.0 s"), "{}", ran.err);
    server.end();
    let server = Server::play(|listener| {
        let mut peer = Peer::accept(listener);
        peer.answer("system.subscribe", json!({}));
        peer.close(1001, "draining; reconnect_after_ms=0");
    });
    run(&at(&server, &["subscribe", "a.b"])).expect(3);
    server.end();
}

#[test]
fn the_status_is_a_table_or_json_once_or_again() {
    let status = || json!({"server": {"name": "h", "uptime_s": 61}, "errors": {"by_code": {"bad_json": 0}}});
    let server = Server::play(move |listener| {
        for _ in 0..2 {
            Peer::accept(listener).answer("system.status", status());
        }
        let mut peer = Peer::accept(listener);
        peer.answer("system.status", status());
        peer.answer("system.status", status());
        peer.close(1001, "draining");
    });
    let table = run(&at(&server, &["status"])).expect(0).out;
    let table: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table, [vec!["errors"], vec![], vec!["server"], vec!["name", "h"], vec!["uptime_s", "1m", "1s"]]);
    let json: Value = serde_json::from_str(&run(&at(&server, &["status", "--json"])).expect(0).out).unwrap();
    assert_eq!(json, status());
    let ran = run(&at(&server, &["status", "--json", "--watch=1"])).expect(3);
    assert_eq!(ran.lines().len(), 2, "{ran:?}");
    server.end();
}

#[test]
fn a_server_of_another_protocol_is_told_from_one_of_ours() {
    let server = Server::play(|listener| {
        let (stream, _) = listener.accept().unwrap();
        drop(tungstenite::accept(stream));
    });
    let ran = run(&at(&server, &["call", "a.b"])).expect(3);
    assert!(ran.err.contains("does not speak hydrogen-protocol"), "{}", ran.err);
    server.end();
}

#[test]
fn tls_trusts_the_certificate_that_it_is_told_to_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate_file, key) = certificate(dir.path(), "one");
    let (other, _) = certificate(dir.path(), "other");
    let config = hydrogen::sys::tls::server_config(&certificate_file, &key).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut last = None;
        for _ in 0..2 {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            last = Peer::accept_on(rustls::StreamOwned::new(tls, tcp)).ok();
        }
        let mut peer = last.expect("the second client trusts the certificate");
        peer.answer("a.b", json!("over tls"));
        peer.expect_close();
    });
    let call = |ca: &std::path::Path| run(&["call", "a.b", "--url", &url, "--ca", ca.to_str().unwrap()]);
    let ran = call(&other).expect(3);
    assert!(ran.err.contains("no TLS with"), "{}", ran.err);
    assert_eq!(call(&certificate_file).expect(0).out, "\"over tls\"\n");
    server.join().unwrap();
}
