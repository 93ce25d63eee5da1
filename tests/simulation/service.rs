//! What the service threads do: late answers, plain requests, the access snapshot, and telling
//! all threads of it.

use hydrogen::base::{Code, Error};
use hydrogen::engine::http::Answer;
use hydrogen::engine::store::{self, StoreEvent};
use hydrogen::engine::topic::owner;
use hydrogen::engine::work::{Completion, Control, Emission, Notice, Order};
use serde_json::json;

use crate::queues::{ToReactor, ToWorker};
use crate::shadow::Publish;
use crate::world::{Told, World};

impl World {
    /// One thing that a service thread does. Returns whether there was anything.
    pub fn service(&mut self) -> bool {
        if !self.told.is_empty() {
            return self.tell();
        }
        let worked = match self.dice.below(if self.is_calm { 4 } else { 6 }) {
            0 => self.answer_request(),
            1 => self.deliver_completion(),
            2 => self.control(),
            3 => self.use_responder(),
            4 => self.emit(),
            _ => self.plan.access_changes && self.dice.chance(20) && self.change_access(),
        };
        worked || self.deliver_completion() || self.store()
    }

    /// The store has done what a worker asked first.
    fn store(&mut self) -> bool {
        let Some((worker, ticket)) = self.desk.stored.pop_front() else { return false };
        let message = ToWorker::Store(StoreEvent::Done { ticket, result: Ok(store::Answer::Done) });
        let fits = self.queues.send_worker(usize::from(worker.0), message).is_ok();
        if !fits {
            self.desk.stored.push_front((worker, ticket));
        }
        fits
    }

    /// Service work that waits for nothing but its turn.
    pub fn serve_all(&mut self) -> bool {
        let mut worked = false;
        while (!self.told.is_empty() && self.tell())
            || self.answer_request()
            || self.deliver_completion()
            || self.use_responder()
            || self.store()
            || (self.told.is_empty() && self.control())
        {
            worked = true;
        }
        worked
    }

    /// The next message of the keeper or the stop, if its receiver has room.
    fn tell(&mut self) -> bool {
        let back = match self.told.pop_front() {
            Some(Told::Reactor(reactor, message)) => {
                self.queues.send_reactor(reactor, message).err().map(|back| Told::Reactor(reactor, back))
            }
            Some(Told::Worker(worker, message)) => {
                self.queues.send_worker(worker, message).err().map(|back| Told::Worker(worker, back))
            }
            None => return false,
        };
        let fits = back.is_none();
        if let Some(back) = back {
            self.told.push_front(back);
        }
        fits
    }

    fn answer_request(&mut self) -> bool {
        let Some(request) = self.desk.requests.pop_front() else { return false };
        let order = Order::Answer { conn: request.conn, answer: Answer::text(200, "fine") };
        let reactor = usize::from(request.conn.reactor().0);
        if self.queues.send_reactor(reactor, ToReactor::Orders(vec![order])).is_err() {
            self.desk.requests.push_front(request);
            return false;
        }
        true
    }

    fn deliver_completion(&mut self) -> bool {
        let Some((worker, completion)) = self.held.completions.lock().pop_front() else { return false };
        match self.queues.send_worker(usize::from(worker.0), ToWorker::Completion(completion)) {
            Ok(()) => true,
            Err(ToWorker::Completion(back)) => {
                self.held.completions.lock().push_front((worker, back));
                false
            }
            Err(_) => false,
        }
    }

    /// A handler answers late, or gives up its right, or never answers at all.
    fn use_responder(&mut self) -> bool {
        let count = self.held.responders.lock().len();
        if count == 0 {
            return false;
        }
        let place = self.dice.below(count);
        let Some((responder, data)) = self.held.responders.lock().remove(place) else { return false };
        match self.dice.below(10) {
            0 => drop(responder),
            1 if !self.is_calm => self.held.forgotten.lock().push(responder),
            _ => responder.done(data),
        }
        true
    }

    /// The channel `app` has an event of its own.
    fn emit(&mut self) -> bool {
        let mut payload = json!(null);
        let k = self.dice.below(5);
        let before = self.shadow.publishes.len();
        self.shadow.new_publish(|number, sent| {
            payload = json!({"n": number, "k": k});
            Publish {
                topic: "app.tick".into(),
                payload: payload.clone(),
                retain: false,
                has_ttl: false,
                clears: false,
                sent,
                done: None,
                id: None,
                is_refused: false,
            }
        });
        let emission = Emission { topic: "app.tick".into(), payload: payload.to_string().into(), retain: false };
        let worker = usize::from(owner("app.tick", self.plan.workers).0);
        if self.queues.send_worker(worker, ToWorker::Emission(emission)).is_err() {
            // A full queue loses the events of a channel, as the real one does.
            self.say(format!("an event is lost, after {before}"));
        }
        true
    }

    fn change_access(&mut self) -> bool {
        let index = self.keys.change(&mut self.dice);
        let key = &self.keys.0[index];
        let (name, permissions, is_revoked) = (key.name, key.permissions(), key.is_revoked);
        self.trace.line(self.step, format!("the rights of {name} change: {:?}, {is_revoked}", key.permissions));
        self.shadow.on_rights(name, permissions, is_revoked);
        self.swap();
        true
    }

    fn control(&mut self) -> bool {
        let Some((worker, control)) = self.desk.controls.pop_front() else { return false };
        let (ticket, result) = match control {
            Control::Block { block, ticket } => match self.blocks.with(block, self.now.wall) {
                Ok(list) => {
                    self.blocks = list;
                    (ticket, Ok("{}".into()))
                }
                Err(why) => (ticket, Err(Error::new(Code::BadData, why))),
            },
            Control::Unblock { target, ticket } => match self.blocks.without(&target) {
                Some(list) => {
                    self.blocks = list;
                    (ticket, Ok("{}".into()))
                }
                None => (ticket, Err(Error::new(Code::NotFound, "nothing is blocked"))),
            },
        };
        self.swap();
        self.held.completions.lock().push_back((worker, Completion { ticket, result }));
        true
    }

    /// Every thread is told of a new access snapshot.
    fn swap(&mut self) {
        self.access_version += 1;
        let access = self.keys.snapshot(self.access_version, self.blocks.clone());
        for reactor in 0..self.plan.reactors {
            self.told.push_back(Told::Reactor(reactor, ToReactor::Access(access.clone())));
        }
        for worker in 0..self.plan.workers {
            self.told.push_back(Told::Worker(worker, ToWorker::Notice(Notice::Access(access.clone()))));
        }
    }
}
