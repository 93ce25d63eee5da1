//! Whole runs against servers in this process: threads that echo, broadcast, lose or stay silent.

mod guaranteed;
mod peers;
mod signaling;
mod tls;

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

use super::report::Report;
use super::{Args, BenchError, measure};

#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Echo,
    /// Echoes each message twice.
    EchoTwice,
    /// Agrees to compression, and compresses what it echoes.
    EchoDeflated,
    /// Sends to all others, but never the message that is the fifth of its publisher.
    BroadcastLosing5th,
    Broadcast,
    /// Responds to commands, and hands publications to the topic's subscribers.
    Hydrogen,
    Refuse,
    Silent,
}

/// A connection, and the topic that it subscribed to.
type Peer = (TcpStream, String);

/// Serves until the test's process ends, a thread for each connection.
fn serve(behaviour: Behaviour) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let all: Arc<Mutex<Vec<Peer>>> = Arc::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = all.clone();
            thread::spawn(move || serve_one(stream, behaviour, &all));
        }
    });
    url
}

const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const UPGRADED_DEFLATE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn read_request(stream: &mut impl Read) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(())
}

fn serve_one(mut stream: TcpStream, behaviour: Behaviour, all: &Mutex<Vec<Peer>>) -> Option<()> {
    read_request(&mut stream)?;
    let response: &[u8] = match behaviour {
        Behaviour::Silent => b"",
        Behaviour::EchoDeflated => UPGRADED_DEFLATE,
        Behaviour::Refuse => b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        _ => UPGRADED,
    };
    // Registered before the client can believe itself connected.
    let me = stream.try_clone().ok()?;
    let my_port = me.peer_addr().ok()?;
    all.lock().push((me, String::new()));
    stream.write_all(response).ok()?;
    for count in 1.. {
        let frame = read_frame(&mut stream)?;
        match behaviour {
            Behaviour::Echo => stream.write_all(&frame).ok()?,
            Behaviour::EchoTwice => stream.write_all(&[&frame[..], &frame[..]].concat()).ok()?,
            Behaviour::EchoDeflated => stream.write_all(&deflated(&frame)).ok()?,
            Behaviour::BroadcastLosing5th if count == 5 => {}
            Behaviour::Broadcast | Behaviour::BroadcastLosing5th => {
                for (other, _) in all.lock().iter_mut() {
                    if other.peer_addr().is_ok_and(|peer| peer != my_port) {
                        other.write_all(&frame).ok()?;
                    }
                }
            }
            Behaviour::Hydrogen => obey(&frame, &mut stream, &mut all.lock())?,
            Behaviour::Refuse | Behaviour::Silent => return None,
        }
    }
    Some(())
}

/// A short frame with its payload compressed; a close frame as it is.
fn deflated(frame: &[u8]) -> Vec<u8> {
    if frame[0] == 0x88 {
        return frame.to_vec();
    }
    let start = if frame[1] == 126 { 4 } else { 2 };
    let mut out = Vec::with_capacity(frame.len() + 1024);
    let mut compressor = flate2::Compress::new(flate2::Compression::fast(), false);
    compressor.compress_vec(&frame[start..], &mut out, flate2::FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    [&[0xc1, 126], &(out.len() as u16).to_be_bytes()[..], &out].concat()
}

fn text_frame(text: &str) -> Vec<u8> {
    [&[0x81, 126], &(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// Does what a command says: ping, subscribe or publish.
fn obey(frame: &[u8], stream: &mut TcpStream, peers: &mut [Peer]) -> Option<()> {
    let start = if frame[1] == 126 { 4 } else { 2 };
    let command: Value = serde_json::from_slice(&frame[start..]).ok()?;
    let (data, mine) = (&command["data"], stream.peer_addr().ok()?);
    match command["action"].as_str()? {
        "subscribe" => {
            let (_, topic) = peers.iter_mut().find(|(peer, _)| peer.peer_addr().is_ok_and(|it| it == mine))?;
            *topic = data["topics"][0].as_str()?.to_owned();
        }
        "publish" => {
            let event = json!({"type": "event", "data": data["payload"]}).to_string();
            for (peer, _) in peers.iter_mut().filter(|(_, topic)| data["topic"] == topic.as_str()) {
                peer.write_all(&text_frame(&event)).ok()?;
            }
        }
        _ => {}
    }
    let response = json!({"type": "response", "id": command["id"], "status": "success", "data": data});
    stream.write_all(&text_frame(&response.to_string())).ok()
}

/// A client's frame, as a server sends it on; a ping becomes its pong.
fn read_frame(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[1] & 0x80, 0x80, "clients mask");
    if head[0] == 0x89 {
        head[0] = 0x8a;
    }
    head[1] &= 0x7f;
    let mut extended = vec![0; if head[1] == 126 { 2 } else { 0 }];
    stream.read_exact(&mut extended).ok()?;
    let len = match extended[..] {
        [high, low] => usize::from(high) << 8 | usize::from(low),
        _ => usize::from(head[1]),
    };
    let mut key = [0; 4];
    stream.read_exact(&mut key).ok()?;
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).ok()?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
    Some([&head[..], &extended, &payload].concat())
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn bench(behaviour: Behaviour, line: &str) -> Result<Report, BenchError> {
    let protocol = if behaviour == Behaviour::Hydrogen { "hydrogen" } else { "raw" };
    bench_at(&serve(behaviour), &format!("{line} --protocol {protocol}"))
}

fn bench_at(url: &str, line: &str) -> Result<Report, BenchError> {
    let duration = if line.contains("-d ") { "" } else { "-d 0.3" };
    let fixed = format!("--settle 0.05 --warmup 0.05 --max-time 20 {duration}");
    let line = format!("bench {line} --url {url} {fixed}");
    measure(&Line::parse_from(line.split_whitespace()).args)
}

#[test]
fn an_echo_is_counted_whole_and_without_fault() {
    for more in ["-s 64", "-s 4000 -p 3 --masking random", "--threads 2 -p 5"] {
        let report = bench(Behaviour::Echo, &format!("echo -c 4 {more}")).unwrap_or_else(|e| panic!("{more}: {e}"));
        assert!(report.faults.is_none(), "{more}: {report}");
        assert_eq!((report.set_up.connected, report.set_up.failed), (4, 0));
        assert!(report.messages > 10, "{more}: {report}");
        assert_eq!(report.latency.unwrap().count, report.messages);
        assert!(report.server.is_none() && report.server_cpu_us_per_message.is_none());
    }
}

#[test]
fn echoes_that_come_twice_are_duplicates() {
    let report = bench(Behaviour::EchoTwice, "echo -c 2").unwrap();
    assert!(report.faults.duplicates > 10, "{report}");
    assert_eq!((report.faults.lost, report.faults.unexpected), (0, 0), "{report}");
}

#[test]
fn a_fan_out_reaches_every_subscriber() {
    for more in ["--window 1", "--window 16", "--rate 200", "--window 4 --threads 2"] {
        let report =
            bench(Behaviour::Broadcast, &format!("fanout -c 5 {more}")).unwrap_or_else(|e| panic!("{more}: {e}"));
        assert!(report.faults.is_none(), "{more}: {report}");
        assert_eq!(report.set_up.connected, 6);
        assert!(report.messages > 50, "{more}: {report}");
        assert!(report.complete.is_some());
        if report.rate.is_some() {
            assert!((report.sent_per_s - 200.0).abs() < 80.0, "{report}");
        }
    }
}

#[test]
fn what_a_server_loses_is_lost_to_each_subscriber() {
    let report = bench(Behaviour::BroadcastLosing5th, "fanout -c 3 --window 8 -d 1.5").unwrap();
    assert_eq!((report.faults.lost, report.faults.duplicates), (3, 0), "{report}");
    assert!(report.faults.stalls >= 1, "{report}");
}

#[test]
fn commands_get_their_responses() {
    let report = bench(Behaviour::Hydrogen, "rpc -c 3 -p 2").unwrap();
    assert!(report.faults.is_none(), "{report}");
    assert!(report.messages > 10, "{report}");
}

#[test]
fn events_reach_the_subscribers_of_their_topic_alone() {
    for threads in [1, 2] {
        let line = format!("fanout -c 6 --topics 3 --window 6 --threads {threads}");
        let report = bench(Behaviour::Hydrogen, &line).unwrap();
        assert!(report.faults.is_none(), "{report}");
        let per_publication = report.messages_per_s / report.sent_per_s;
        assert!((1.5..2.5).contains(&per_publication), "{report}");
        assert!(report.accepted.is_some(), "each publication is responded to");
    }
}

#[test]
fn topics_are_shared_out_and_one_in_so_many_has_a_pattern() {
    let plan = |line: &str| {
        let words = format!("bench fanout --url ws://127.0.0.1:1/ {line}");
        let args = Line::parse_from(words.split_whitespace()).args;
        args.check().unwrap();
        let roles = super::Crew::new(&args).plan(&args, 0).into_iter().rev().map(|(_, role)| match role {
            super::Role::Subscriber(topics) => topics.join(" "),
            super::Role::Publisher | super::Role::Client => "-".to_owned(),
        });
        roles.collect::<Vec<_>>()
    };
    assert_eq!(plan("-c 2"), ["-", "bench.t", "bench.t"]);
    assert_eq!(plan("-c 3 --topics 2"), ["-", "bench.t0", "bench.t1", "bench.t0"]);
    assert_eq!(plan("-c 2 --topics 5"), ["-", "bench.t0 bench.t2 bench.t4", "bench.t1 bench.t3"]);
    assert_eq!(plan("-c 2 --topics 4 --wildcards 2"), ["-", "bench.t0.*", "bench.t1.0 bench.t1.1"]);
    assert_eq!(plan("-c 1 --topics 2 --wildcards 1 --protocol mqtt")[1], "bench.t0/+");
}

#[test]
fn the_deaf_are_not_waited_for() {
    let report = bench(Behaviour::Broadcast, "fanout -c 5 --deaf 2 --rate 100 --threads 2 -d 1").unwrap();
    assert!(report.faults.is_none(), "{report}");
    let deaf = report.deaf.as_ref().unwrap();
    assert_eq!((report.set_up.connected, deaf.count, deaf.ended), (6, 2, 0), "{report}");
    let per_publication = report.messages_per_s / report.sent_per_s;
    assert!((2.0..4.0).contains(&per_publication), "{report}");
}

#[test]
fn connections_are_opened_and_closed_again_and_again() {
    for threads in [1, 2] {
        let report = bench(Behaviour::Echo, &format!("connect -c 4 --threads {threads}")).unwrap();
        assert!(report.faults.is_none(), "{report}");
        assert_eq!((report.set_up.connected, report.set_up.failed), (4, 0), "{report}");
        assert!(report.messages > 8, "{report}");
        assert_eq!(report.latency.unwrap().count, report.messages);
    }
}

#[test]
fn compressed_echoes_are_understood_and_a_server_without_is_refused() {
    let report = bench(Behaviour::EchoDeflated, "echo -c 2 -s 1000 --body records --deflate").unwrap();
    assert!(report.faults.is_none() && report.messages > 10, "{report}");
    let bytes = report.megabytes_per_s * 1e6 / report.messages_per_s;
    assert!(bytes < 900.0, "they count as they came: {report}");
    let Err(BenchError::Server(text)) = bench(Behaviour::Echo, "echo --deflate") else { panic!("it was not refused") };
    assert!(text.contains("permessage-deflate"), "{text}");
}

#[test]
fn idle_connections_answer_pings() {
    // Each is asked once in 0.6 s, so that a busy machine is not taken for a server that throttles.
    let report = bench(Behaviour::Echo, "idle -c 60 --ping-rate 100").unwrap();
    assert!(report.faults.is_none(), "{report}");
    assert!((10..60).contains(&report.messages), "{report}");
    assert!(report.set_up.handshake.is_some());
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let Err(BenchError::Server(text)) = bench(Behaviour::Refuse, "echo -c 2") else { panic!("it was not refused") };
    assert!(text.contains("401 Unauthorized"), "{text}");
}

#[test]
fn a_silent_server_ends_at_max_time() {
    let started = Instant::now();
    let url = serve(Behaviour::Silent);
    let line = format!("bench echo --url {url} --max-time 0.3");
    let result = measure(&Line::parse_from(line.split_whitespace()).args);
    assert!(matches!(result, Err(BenchError::OutOfTime(_))));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = format!("bench echo -c 1 --url ws://{free}/ --max-time 5");
    let Err(BenchError::Server(text)) = measure(&Line::parse_from(line.split_whitespace()).args) else {
        panic!("nobody listens there")
    };
    assert!(text.contains("connect"), "{text}");
}
