//! One client beside the crowd: it publishes in every way, has a durable subscription on one
//! connection through all trouble, and asks how the server is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::program::{PATIENCE, fetch};

/// Best-effort answers take no longer, whatever the disk does.
const QUICK: Duration = Duration::from_millis(200);

/// A topic of the durable subscription, one of a best-effort one, one that keeps history and has both.
const WATCHED: &str = "watched.topic";
const NEWS: &str = "news.now";
const LOGGED: &str = "logged.news";

pub struct Observer {
    address: SocketAddr,
    publisher: Client,
    subscriber: Client,
    next: u64,
    /// Numbers answered on the watched topic, with their events.
    answered: BTreeMap<u64, String>,
    /// Numbers that came: the event, and how often.
    came: BTreeMap<u64, (String, u32)>,
    last: Option<(String, u64)>,
}

impl Observer {
    /// The sections of the configuration that it counts on.
    pub fn rules() -> Value {
        json!({"Topics": {"Rules": [{"Topics": "logged.>", "History": true}]}})
    }

    pub fn new(address: SocketAddr, token: &str) -> Observer {
        let publisher = Client::connect(address, token).unwrap();
        let mut subscriber = Client::connect(address, token).unwrap();
        let durable = json!({"topics": [WATCHED], "guarantee": "at_least_once", "name": "observer"});
        for data in [durable, json!({"topics": [NEWS, LOGGED]})] {
            let answer = subscriber.call("subscribe", &data, drop).unwrap();
            assert_eq!(answer["status"], "success", "{answer}");
        }
        let (answered, came) = (BTreeMap::new(), BTreeMap::new());
        Observer { address, publisher, subscriber, next: 1, answered, came, last: None }
    }

    /// A guaranteed publish: its event, or the error.
    pub fn publish(&mut self) -> Result<String, Value> {
        let number = self.next;
        self.next += 1;
        let data = json!({"topic": WATCHED, "guarantee": "at_least_once", "payload": {"number": number}});
        let answer = self.publisher.call("publish", &data, drop).expect("the publisher's connection holds");
        if answer["status"] != "success" {
            return Err(answer["error"].clone());
        }
        assert_eq!(answer["data"]["level"], "disk", "{answer}");
        let event = answer["data"]["event"].as_str().unwrap().to_owned();
        self.answered.insert(number, event.clone());
        Ok(event)
    }

    /// A guaranteed publish that must be refused for now, with one of these codes.
    pub fn is_refused(&mut self, codes: &[&str]) {
        let error = self.publish().expect_err("nothing is on the disk");
        let code = error["code"].as_str().unwrap_or_default();
        assert!(codes.contains(&code) && error["retryable"] == true, "{error}, not one of {codes:?}");
        assert!(error["retry_after_ms"].is_u64(), "{error}");
    }

    /// The end of a durable subscription is written down, or refused for now: in a full store it
    /// takes away, and is done.
    pub fn unsubscribes_or_is_refused(&mut self, codes: &[&str]) {
        let answer = self.publisher.call("unsubscribe", &json!({"name": "nobody"}), drop).unwrap();
        let error = &answer["error"];
        if codes.contains(&"storage_full") {
            assert_eq!(answer["status"], "success", "{answer}");
        } else {
            let code = error["code"].as_str().unwrap_or_default();
            assert!(codes.contains(&code) && error["retryable"] == true, "{answer}");
        }
    }

    /// Best-effort publishes are answered and arrive, quickly.
    pub fn best_effort_goes_on(&mut self) {
        let mut took = Vec::new();
        for topic in [NEWS, LOGGED].repeat(10) {
            let number = self.next;
            self.next += 1;
            let begin = Instant::now();
            let data = json!({"topic": topic, "payload": {"number": number}});
            let answer = self.publisher.call("publish", &data, drop).expect("the publisher's connection holds");
            assert_eq!(answer["status"], "success", "{answer}");
            loop {
                let message = self.subscriber.poll(PATIENCE).unwrap().expect("a best-effort event comes");
                if message["type"] == "event" && message["data"]["number"] == number {
                    break;
                }
                self.note(&message);
            }
            took.push(begin.elapsed());
        }
        took.sort_unstable();
        // One may have met a machine that is busy elsewhere.
        assert!(took[took.len() - 2] < QUICK, "{took:?}");
    }

    fn note(&mut self, message: &Value) {
        if message["type"] != "event" || message["channel"] != "watched" {
            return;
        }
        let (id, number) = (message["id"].as_str().unwrap().to_owned(), message["data"]["number"].as_u64().unwrap());
        let entry = self.came.entry(number).or_insert((id.clone(), 0));
        assert_eq!(entry.0, id, "number {number} is two events");
        entry.1 += 1;
        let (epoch, offset) = id.split_once('-').unwrap();
        let offset: u64 = offset.parse().unwrap();
        if let Some((of, before)) = &self.last {
            assert!(of != epoch || *before + 1 == offset, "{id} behind {of}-{before}");
        }
        self.last = Some((epoch.to_owned(), offset));
        self.subscriber.send(&json!({"type": "ack", "id": id})).unwrap();
    }

    /// Everything that was answered came, once, on the one connection; nothing else did.
    pub fn all_came_once(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answered.keys().all(|number| self.came.contains_key(number)) {
            assert!(Instant::now() < deadline, "answered {:?}, came {:?}", self.answered, self.came);
            if let Some(message) =
                self.subscriber.poll(Duration::from_millis(50)).expect("the subscriber's session holds")
            {
                self.note(&message);
            }
        }
        while let Some(message) = self.subscriber.poll(Duration::from_millis(200)).unwrap() {
            self.note(&message);
        }
        for (number, (event, times)) in &self.came {
            assert_eq!(self.answered.get(number), Some(event), "number {number} came, and was not answered");
            assert_eq!(*times, 1, "number {number}");
        }
    }

    /// Another connection on the same subscriptions, to a server that was started again.
    pub fn come_back(self, address: SocketAddr, token: &str) -> Observer {
        let fresh = Observer::new(address, token);
        Observer { next: self.next, answered: self.answered, came: self.came, ..fresh }
    }

    /// What `/ready` and the metrics say: nothing, or the reason.
    pub fn readiness(&self) -> Option<String> {
        let answer = fetch(self.address, "/ready").expect("the server answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        match head.split(' ').nth(1).unwrap() {
            "200" => None,
            "503" => Some(body["reason"].as_str().unwrap().to_owned()),
            other => panic!("/ready says {other}"),
        }
    }

    pub fn is_well_in_metrics(&self) -> bool {
        let metrics = fetch(self.address, "/metrics").expect("the server answers");
        let value = metrics.lines().find_map(|line| line.strip_prefix("hydrogen_store_well ")).expect("the gauge");
        value == "1"
    }

    /// Waits until `/ready` says so.
    pub fn wait_ready(&self, wanted: Option<&str>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.readiness();
            if found.as_deref() == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "/ready says {found:?}, not {wanted:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The server is well again: everything says so, and publishes are taken.
    pub fn is_well_again(&mut self) {
        self.wait_ready(None);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.publish() {
            assert!(error["retryable"] == true && Instant::now() < deadline, "{error}");
            thread::sleep(Duration::from_millis(20));
        }
        assert!(self.is_well_in_metrics());
    }

    pub fn close(self) {
        self.publisher.close();
        self.subscriber.close();
    }

    /// Sends a guaranteed publish, and waits for nothing. Gives its number.
    pub fn send(&mut self, client: &mut Client) -> u64 {
        let number = self.next;
        self.next += 1;
        let data = json!({"topic": WATCHED, "guarantee": "at_least_once", "payload": {"number": number}});
        client.command(&format!("n-{number}"), "publish", &data).unwrap();
        number
    }

    /// A publish of [`Observer::send`] was answered.
    pub fn was_answered(&mut self, number: u64, answer: &Value) {
        assert_eq!((&answer["id"], &answer["status"]), (&json!(format!("n-{number}")), &json!("success")), "{answer}");
        self.answered.insert(number, answer["data"]["event"].as_str().unwrap().to_owned());
    }
}
