//! The channel from command to answer, with a session and sinks of the tests' own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::*;
use crate::base::{ConnId, Now, WorkerId};
use crate::engine::auth::{Identity, Target};
use crate::engine::channel::{
    CompletionSink, Disconnect, EventSink, Letters, List, Page, Publish, Resume, Since, Subscribe,
};
use crate::engine::topic::Pattern;
use crate::engine::wire::Raw;
use crate::engine::work::{Completion, Emission};

const SOON: Duration = Duration::from_secs(30);

/// The events that an emitter emits.
pub(super) struct Events(Receiver<Emission>);

struct EventsIn(Sender<Emission>);

impl EventSink for EventsIn {
    fn emit(&self, emission: Emission) {
        let _ = self.0.send(emission);
    }
}

impl Events {
    pub(super) fn new(channel: &str) -> (Events, Emitter) {
        let (send, receive) = unbounded();
        (Events(receive), Emitter::new(channel, Arc::new(EventsIn(send))))
    }

    pub(super) fn next(&self) -> (String, Value) {
        let emission = self.0.recv_timeout(SOON).expect("an event");
        (emission.topic.to_string(), serde_json::from_slice(&emission.payload).unwrap())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct AnswersIn(Sender<Completion>);

impl CompletionSink for AnswersIn {
    fn complete(&self, _worker: WorkerId, completion: Completion) {
        let _ = self.0.send(completion);
    }
}

/// A caller that may only be answered later: the channel asks nothing else of its session.
struct Caller {
    sink: Arc<AnswersIn>,
    answers: Receiver<Completion>,
    tickets: u64,
}

impl Caller {
    fn new() -> Caller {
        let (send, answers) = unbounded();
        Caller { sink: Arc::new(AnswersIn(send)), answers, tickets: 0 }
    }

    fn send(&mut self, channel: &NetworkChannel, action: &str, data: &Value) -> Outcome {
        let data = data.to_string();
        channel.call(&Call { channel: "network", action, id: "c-1", data: Raw::trusted(&data) }, self)
    }

    /// Sends a command and waits for its one answer.
    fn ask(&mut self, channel: &NetworkChannel, action: &str, data: &Value) -> Result<Value, Error> {
        match self.send(channel, action, data) {
            Outcome::Later => {
                let answer = self.answers.recv_timeout(SOON).expect("an answer");
                assert_eq!(answer.ticket, self.tickets);
                assert!(self.answers.is_empty(), "one answer a command");
                answer.result.map(|data| serde_json::from_str(&data).unwrap())
            }
            Outcome::Failed(error) => Err(error),
            Outcome::Done(data) => panic!("a worker did the work itself: {data}"),
        }
    }
}

impl Session for Caller {
    fn identity(&self) -> Option<&Arc<Identity>> {
        None
    }
    fn conn(&self) -> ConnId {
        ConnId::from_u64(1)
    }
    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], 9).into()
    }
    fn now(&self) -> Now {
        Now::default()
    }
    fn later(&mut self) -> Responder {
        self.tickets += 1;
        Responder::new(WorkerId(0), self.tickets, self.sink.clone())
    }
    fn authenticate(&mut self, _: &str) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn subscribe(&mut self, _: Subscribe) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn unsubscribe(&mut self, _: &[Pattern]) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn publish(&mut self, _: Publish<'_>) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn unsubscribe_durable(&mut self, _: &str) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn resume(&mut self, _: Resume) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn letters(&mut self, _: Letters) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn history(&mut self, _: &str, _: Since, _: usize) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn presence(&mut self, _: &str, _: Page) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn list(&mut self, _: List, _: Page) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn disconnect(&mut self, _: Disconnect) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn block(&mut self, _: Target, _: Option<u64>, _: Option<&str>) -> Outcome {
        unreachable!("the channel only looks")
    }
    fn unblock(&mut self, _: Target) -> Outcome {
        unreachable!("the channel only looks")
    }
}

fn channel(name_lookup: bool, watch_interval: Option<Duration>) -> NetworkChannel {
    NetworkChannel::new(NetworkSettings { lookup_threads: 1, name_lookup, watch_interval })
}

#[test]
fn a_bound_port_is_listed_and_not_available() {
    let (channel, mut caller) = (channel(true, None), Caller::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();

    let data = caller.ask(&channel, "listening", &Value::Null).unwrap();
    assert_eq!(data["truncated"], false);
    let is_it = |socket: &&Value| socket["port"] == port && socket["protocol"] == "tcp";
    let socket = data["sockets"].as_array().unwrap().iter().find(is_it).expect("the socket");
    assert_eq!(socket["address"], "127.0.0.1");
    assert!(socket["uid"].is_u64() && socket["inode"].is_u64(), "{socket}");

    let data = caller.ask(&channel, "port_available", &json!({"port": port, "address": "127.0.0.1"})).unwrap();
    assert_eq!(data, json!({"available": false, "port": port, "reason": "in_use"}));
    let range = json!({"from": port, "to": port, "address": "127.0.0.1"});
    let data = caller.ask(&channel, "port_available", &range).unwrap();
    assert_eq!(data, json!({"available": false, "port": null, "reason": "in_use", "tried": 1}));

    drop(listener);
    let data = caller.ask(&channel, "port_available", &range).unwrap();
    assert_eq!(data, json!({"available": true, "port": port, "reason": "free", "tried": 1}));
}

#[test]
fn interfaces_include_loopback() {
    let (channel, mut caller) = (channel(true, None), Caller::new());
    let data = caller.ask(&channel, "interfaces", &Value::Null).unwrap();
    let interfaces = data["interfaces"].as_array().unwrap();
    let lo = interfaces.iter().find(|interface| interface["loopback"] == true).expect("loopback");
    let address = json!({"address": "127.0.0.1", "prefix": 8, "family": "ipv4"});
    assert!(lo["addresses"].as_array().unwrap().contains(&address), "{lo}");
}

#[test]
fn names_are_looked_up_where_that_is_allowed() {
    let mut caller = Caller::new();
    let data = json!({"name": "localhost", "family": "ipv4"});
    let answer = caller.ask(&channel(true, None), "lookup", &data).unwrap();
    assert_eq!((&answer["name"], &answer["addresses"]), (&json!("localhost"), &json!(["127.0.0.1"])));
    assert!(answer["took_ms"].is_u64());
    assert_eq!(caller.ask(&channel(false, None), "lookup", &data).unwrap_err().code, Code::Unsupported);
}

#[test]
fn bad_data_is_answered_at_once() {
    let (channel, mut caller) = (channel(true, None), Caller::new());
    for (action, data) in [("lookup", json!({"name": "a b"})), ("port_available", json!({}))] {
        assert_eq!(caller.ask(&channel, action, &data).unwrap_err().code, Code::BadData, "{action}");
    }
    assert_eq!(caller.tickets, 0);
}

#[test]
fn every_action_that_is_announced_is_handled() {
    let (channel, mut caller) = (channel(true, None), Caller::new());
    for action in channel.actions() {
        assert!(crate::engine::wire::is_action(action.name));
        let answer = caller.ask(&channel, action.name, &json!({"name": "localhost", "port": 65535}));
        assert!(answer.is_ok(), "{}: {answer:?}", action.name);
    }
}

#[test]
fn every_command_is_answered_also_when_the_channel_stops() {
    let (channel, mut caller) = (channel(true, None), Caller::new());
    let mut refused = 0;
    for _ in 0..2000 {
        match caller.send(&channel, "listening", &Value::Null) {
            Outcome::Later => {}
            Outcome::Failed(error) => {
                assert_eq!((error.code, error.retry_after_ms), (Code::Unavailable, Some(RETRY_AFTER_MS)));
                refused += 1;
            }
            Outcome::Done(data) => panic!("{data}"),
        }
    }
    channel.stop();
    let answers: Vec<Completion> = caller.answers.try_iter().collect();
    assert_eq!(answers.len() + refused, 2000);
    let is_expected =
        |answer: &Completion| answer.result.as_ref().err().is_none_or(|error| error.code == Code::Draining);
    assert!(answers.iter().all(is_expected));
    assert_eq!(caller.ask(&channel, "listening", &Value::Null).unwrap_err().code, Code::Draining);
}

#[test]
fn the_watcher_runs_from_start_to_stop() {
    let channel = channel(false, Some(Duration::from_secs(3600)));
    let (_events, emitter) = Events::new("network");
    channel.start(emitter.clone());
    assert!(matches!(*channel.watching.lock(), Watching::Now(_)));
    channel.stop();
    assert!(matches!(*channel.watching.lock(), Watching::Over));
    channel.start(emitter);
    assert!(matches!(*channel.watching.lock(), Watching::Over), "a stopped channel stays stopped");
}
