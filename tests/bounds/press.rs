//! A publisher that keeps some guaranteed publishes unanswered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::program::PATIENCE;
use crate::scene::Scene;

/// Publishes that may be unanswered.
const PIPELINE: u64 = 256;

pub struct Press {
    client: Client,
    sent: u64,
    answered: u64,
}

impl Press {
    pub fn new(scene: &Scene) -> Press {
        Press { client: Client::connect(scene.home.address, &scene.token).unwrap(), sent: 0, answered: 0 }
    }

    /// Publishes; waits for answers if too many are missing.
    pub fn publish(&mut self, topic: &str, payload: &Value) {
        if self.sent - self.answered >= PIPELINE {
            self.wait_for(PIPELINE / 2);
        }
        self.sent += 1;
        let data = json!({"topic": topic, "guarantee": "at_least_once", "payload": payload});
        let id = format!("n-{}", self.sent);
        let message = json!({"type": "command", "id": id, "channel": "system", "action": "publish", "data": data});
        self.client.queue(&message).unwrap();
    }

    /// Sends what is published at once, and hears the answers up to this time.
    pub fn rest_until(&mut self, until: Instant) {
        self.client.flush().unwrap();
        while let Some(wait) = until.checked_duration_since(Instant::now()) {
            self.hear(wait);
        }
    }

    /// Waits until everything is answered.
    pub fn settle(&mut self) {
        self.wait_for(0);
    }

    fn wait_for(&mut self, unanswered: u64) {
        self.client.flush().unwrap();
        while self.sent - self.answered > unanswered {
            assert!(self.hear(PATIENCE), "no answer to a publish");
        }
    }

    fn hear(&mut self, wait: Duration) -> bool {
        let Some(message) = self.client.poll(wait).unwrap() else { return false };
        if message["type"] == "response" {
            assert_eq!(message["status"], "success", "{message}");
            assert_eq!(message["data"]["level"], "disk", "{message}");
            self.answered += 1;
        }
        true
    }
}
