//! `hydrogen rooms` against a server that answers plain HTTP.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::program::run;
use crate::script::Server;

/// A server that answers these requests in order: what each must begin with, the status line, the body.
fn answers(script: Vec<(&'static str, &'static str, String)>) -> Server {
    Server::play(move |listener| {
        for (expected, status, body) in script {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                let len = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..len]);
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with(expected) && request.contains("Authorization: Key k\r\n"), "{request}");
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    })
}

#[test]
fn rooms_and_the_members_of_one_are_shown() {
    let room = json!({"id": "00ff", "name": "a b", "owner": "K=", "created": "c", "last_active": "l",
        "members": [{"public_key": "K=", "name": "Owner", "state": "online"},
            {"public_key": "P=", "name": "", "state": "away"}]});
    let list = json!({"total": 1001, "rooms": [room]}).to_string();
    let server = answers(vec![
        ("GET /api/rooms HTTP/1.1\r\n", "200 OK", list.clone()),
        ("GET /api/rooms?room=00ff HTTP/1.1\r\n", "200 OK", list.clone()),
        ("GET /api/rooms HTTP/1.1\r\n", "200 OK", list.clone()),
    ]);
    let at = |args: &[&str]| run(&[&["rooms", "--key", "k", "--url", &server.url], args].concat());
    let ran = at(&[]).expect(0);
    assert_eq!(ran.lines(), ["ROOM  NAME  ONLINE  LAST ACTIVE  OWNER", "00ff  a b   1/2     l            K="]);
    assert!(ran.err.contains("1 of 1001 rooms are listed"), "{}", ran.err);
    assert_eq!(at(&["00ff"]).expect(0).lines(), ["KEY  NAME   STATE", "K=   Owner  online", "P=          away"]);
    let told: Value = serde_json::from_str(&at(&["--json"]).expect(0).out).unwrap();
    assert_eq!(told.to_string(), list);
    server.end();
}

#[test]
fn ways_not_to_see_rooms_have_their_codes() {
    let refusal = json!({"error": {"code": "forbidden", "message": "no"}}).to_string();
    let server = answers(vec![
        ("GET /api/rooms HTTP/1.1\r\n", "404 Not Found", String::new()),
        ("GET /api/rooms?room=beef HTTP/1.1\r\n", "404 Not Found", String::new()),
        ("GET /api/rooms HTTP/1.1\r\n", "403 Forbidden", refusal),
        ("GET /api/rooms HTTP/1.1\r\n", "200 OK", "{\"total\":1}".into()),
    ]);
    let at = |args: &[&str]| run(&[&["rooms", "--key", "k", "--url", &server.url], args].concat());
    for (args, code, part) in [
        (&[][..], 1, "serves no rooms"),
        (&["beef"], 1, "lists no room beef"),
        (&[], 4, "403 forbidden: no"),
        (&[], 3, "not to be read"),
        (&["a/b"], 2, "letters and digits"),
    ] {
        let ran = at(args).expect(code);
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    server.end();
}
