//! A client of one durable subscription.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::scene::Scene;

pub struct Durable {
    client: Client,
}

pub struct Event {
    pub id: String,
    pub data: Value,
}

impl Durable {
    /// Subscribes under a name, anew or again.
    pub fn join(scene: &Scene, name: &str, topic: &str, window: u64, ack_timeout_ms: u64) -> Durable {
        let mut client = Client::connect(scene.home.address, &scene.token).unwrap();
        let data = json!({"topics": [topic], "guarantee": "at_least_once", "name": name, "window": window,
            "ack_timeout_ms": ack_timeout_ms});
        // Events come behind the answer: before it there is only the session.
        let other = |message: Value| assert_eq!(message["action"], "session", "{message}");
        let answer = client.call("subscribe", &data, other).unwrap();
        assert_eq!(answer["data"]["topics"][0]["granted"], true, "{answer}");
        assert_eq!(answer["data"]["topics"][0]["window"], window, "{answer}");
        Durable { client }
    }

    /// The next event, if one comes within this time.
    pub fn next(&mut self, wait: Duration) -> Option<Event> {
        loop {
            let message = self.client.poll(wait).unwrap()?;
            if message["channel"] != "system" {
                assert_eq!(message["ack"], true, "{message}");
                let id = message["id"].as_str().unwrap().to_owned();
                return Some(Event { id, data: message["data"].clone() });
            }
        }
    }

    pub fn ack(&mut self, ids: &[String]) {
        self.client.send(&json!({"type": "ack", "ids": ids})).unwrap();
    }

    /// Ends the subscription.
    pub fn end(mut self, name: &str) {
        let answer = self.client.call("unsubscribe", &json!({"name": name}), drop).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        self.client.close();
    }

    /// Goes away; the subscription stays.
    pub fn leave(self) {
        self.client.close();
    }
}
