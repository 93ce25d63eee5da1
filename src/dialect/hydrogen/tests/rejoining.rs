//! Who loses the connection while a durable subscription is being written down, and resumes.

use super::*;
use crate::engine::store::{Answer, Op, Request, StoreError, StoreEvent, StoreFault, Table, Write};

/// The subscription's write, which the store has not answered yet.
fn write_of(requests: Vec<Request>) -> u64 {
    let is_it = |request: &Request| matches!(&request.op, Op::Write(Write::Put { table: Table::Subscriptions, .. }));
    let mut writes = requests.into_iter().filter(is_it);
    let (first, second) = (writes.next(), writes.next());
    assert!(second.is_none(), "it is written once");
    first.expect("it is written").ticket
}

impl Scene {
    /// The data of the one message with this action since the last call.
    fn told(&mut self, action: &str) -> Option<Value> {
        let told = |order: &Order| {
            let Order::Send { frame, .. } = order else { return None };
            let text = String::from_utf8_lossy(frame);
            let value: Value = serde_json::from_str(&text[text.find("{\"").unwrap()..]).unwrap();
            (value["action"] == action).then(|| value["data"].clone())
        };
        self.orders().iter().find_map(told)
    }

    /// What the worker has to say to itself.
    fn peers(&mut self) {
        while !self.out.peers.is_empty() {
            for (to, message) in std::mem::take(&mut self.out.peers) {
                self.shard.on_peer(to, message, self.now, &mut self.out);
            }
        }
    }
}

#[test]
fn a_session_gets_a_subscription_back_when_it_is_written_down_and_not_before() {
    let full = || Err(StoreError::new(StoreFault::Full, "full"));
    for (result, durable, refused) in [(Ok(Answer::Done), json!(["n"]), json!([])), (full(), json!([]), json!(["a.b"]))]
    {
        let mut scene = Scene::new(None);
        Arc::get_mut(&mut scene.shard.settings).unwrap().session_ttl = Duration::from_secs(60);
        let identity = scene.identity(1);
        scene.open(0, Some(identity.clone()), 0);
        scene.command(0, "system.subscribe", json!({"topics": ["a.b"], "name": "n"}));
        let session = scene.told("session").unwrap();
        let write = write_of(std::mem::take(&mut scene.out.store));
        scene.shard.on_closed(conn(0), scene.now, &mut scene.out);

        scene.open(1, Some(identity), 0);
        scene.command(1, "system.resume", json!({"session": session["session"], "secret": session["secret"]}));
        scene.peers();
        assert_eq!(scene.told("resume"), None, "it is not known yet");
        scene.shard.on_store(&StoreEvent::Done { ticket: write, result }, scene.now, &mut scene.out);
        scene.peers();
        let resumed = scene.told("resume").unwrap();
        assert_eq!((&resumed["durable"], &resumed["refused"]), (&durable, &refused));
    }
}
