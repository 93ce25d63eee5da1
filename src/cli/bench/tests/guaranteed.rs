//! `guaranteed` against a server in this process that holds deliveries back until others are
//! acknowledged, so that nothing arrives unless acknowledgments do their work.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// Deliveries to one subscriber that are not acknowledged.
const IN_FLIGHT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hub {
    Good,
    /// Answers the fifth publication and delivers it to nobody.
    Loses5th,
    /// Has no guarantee to offer.
    Unsupported,
}

#[derive(Default)]
struct State {
    published: u64,
    subscribers: BTreeMap<u16, Subscriber>,
}

struct Subscriber {
    stream: TcpStream,
    waiting: VecDeque<(u64, String)>,
    unacknowledged: Vec<u64>,
}

impl Subscriber {
    fn deliver(&mut self) -> Option<()> {
        while self.unacknowledged.len() < IN_FLIGHT {
            let Some((offset, event)) = self.waiting.pop_front() else { break };
            self.unacknowledged.push(offset);
            self.stream.write_all(&text_frame(&event)).ok()?;
        }
        Some(())
    }

    fn acknowledge(&mut self, ack: &Value) -> Option<()> {
        if let Some(through) = ack["through"].as_u64() {
            assert_eq!(ack["topic"], "bench.t");
            self.unacknowledged.retain(|offset| *offset > through);
        }
        for id in ack["ids"].as_array().into_iter().flatten() {
            self.unacknowledged.retain(|offset| *id != format!("epoch-{offset}"));
        }
        self.deliver()
    }
}

fn serve_hub(hub: Hub) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let state: Arc<Mutex<State>> = Arc::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            thread::spawn(move || serve_client(stream, hub, &state));
        }
    });
    url
}

fn serve_client(mut stream: TcpStream, hub: Hub, state: &Mutex<State>) -> Option<()> {
    read_request(&mut stream)?;
    stream.write_all(UPGRADED).ok()?;
    let port = stream.peer_addr().ok()?.port();
    loop {
        let frame = read_frame(&mut stream)?;
        let start = if frame[1] == 126 { 4 } else { 2 };
        let message: Value = serde_json::from_slice(&frame[start..]).ok()?;
        let mut state = state.lock();
        if message["type"] == "ack" {
            state.subscribers.get_mut(&port)?.acknowledge(&message)?;
            continue;
        }
        let data = &message["data"];
        assert_eq!(data["guarantee"], "at_least_once");
        let status = if hub == Hub::Unsupported { "error" } else { "success" };
        let response = json!({"type": "response", "id": message["id"], "status": status}).to_string();
        stream.write_all(&text_frame(&response)).ok()?;
        match message["action"].as_str()? {
            "subscribe" => {
                let (waiting, unacknowledged) = (VecDeque::new(), Vec::new());
                let stream = stream.try_clone().ok()?;
                state.subscribers.insert(port, Subscriber { stream, waiting, unacknowledged });
            }
            "publish" => {
                state.published += 1;
                let offset = state.published;
                if hub == Hub::Loses5th && offset == 5 {
                    continue;
                }
                let id = format!("epoch-{offset}");
                let event = json!({"type": "event", "id": id, "offset": offset, "ack": true, "data": data["payload"]});
                for subscriber in state.subscribers.values_mut() {
                    subscriber.waiting.push_back((offset, event.to_string()));
                    subscriber.deliver()?;
                }
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn every_publication_is_answered_delivered_and_acknowledged() {
    for more in [
        "-c 0",
        "-c 1",
        "-c 3 -p 16 --ack-by through",
        "-c 3 -p 4 --publishers 5 --backlog 7",
        "-c 4 -p 8 --publishers 3 --threads 2",
    ] {
        let report =
            bench_at(&serve_hub(Hub::Good), &format!("guaranteed {more}")).unwrap_or_else(|e| panic!("{more}: {e}"));
        assert!(report.faults.is_none(), "{more}: {report}");
        assert_eq!(report.set_up.connected, report.connections + report.publishers, "{more}");
        assert!(report.messages > 10, "{more}: {report}");
        assert_eq!(report.accepted.unwrap().count, report.messages, "{more}");
        let deliveries = report.deliveries.as_ref().unwrap().count;
        if report.connections == 0 {
            assert_eq!(deliveries, 0, "{more}");
        } else {
            assert!(deliveries > 10, "{more}: {report}");
            assert_eq!(report.latency.unwrap().count, deliveries, "{more}");
        }
    }
}

#[test]
fn an_answered_publication_that_nobody_gets_is_lost_to_each() {
    let report = bench_at(&serve_hub(Hub::Loses5th), "guaranteed -c 3 -p 2 --drain 0.5").unwrap();
    assert_eq!((report.faults.lost, report.faults.duplicates), (3, 0), "{report}");
    assert!(report.messages > 10, "{report}");
}

#[test]
fn a_server_without_guarantees_measures_nothing() {
    let report = bench_at(&serve_hub(Hub::Unsupported), "guaranteed -c 0").unwrap();
    assert_eq!((report.messages, report.faults.lost), (0, 0), "{report}");
    assert!(report.faults.unexpected > 0 && report.refusal.unwrap().contains("error"));
    let Err(BenchError::Server(text)) = bench_at(&serve_hub(Hub::Unsupported), "guaranteed -c 1 --publishers 1")
        .and_then(|report| {
            if report.set_up.failed > 0 { Err(BenchError::Server(report.reasons.join(";"))) } else { Ok(report) }
        })
    else {
        panic!("the subscription was not refused")
    };
    assert!(text.contains("error"), "{text}");
}
