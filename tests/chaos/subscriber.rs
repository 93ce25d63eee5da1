//! A subscriber that acks what it has recorded: at once, late, in lists, up to an offset, or not
//! before it comes again. At times it leaves and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::Subscription;
use crate::check::repeats::ACK_TIMEOUT_MS;
use crate::client::{Client, Gone};
use crate::dice::Dice;
use crate::publisher::number_in;
use crate::trace::{EventId, What};
use crate::world::{MIXED, Phase, SESSION, World};

const WINDOW: u64 = 64;
/// The longest that acks are kept for a list, and the wait between two pings.
const HOLD: Duration = Duration::from_millis(40);

pub struct Subscriber<'a> {
    world: &'a World,
    subscription: Subscription,
    dice: Dice,
    /// The session that is to be resumed, once its subscription was granted.
    session: Option<Value>,
}

/// One connection of it.
struct Talk {
    client: Client,
    connection: u32,
    /// What is delivered and not acked, by topic and epoch.
    open: BTreeMap<(String, Arc<str>), Vec<u64>>,
    held: Vec<EventId>,
    held_since: Instant,
    pings: u64,
    acks_since_ping: usize,
    last_ping: Instant,
    /// `system.session`, as it came.
    session: Option<Value>,
}

impl Talk {
    /// This event needs no ack any more.
    fn settle(&mut self, event: &EventId) {
        for (_, open) in self.open.iter_mut().filter(|((_, epoch), _)| *epoch == event.epoch) {
            open.retain(|offset| *offset != event.offset);
        }
    }

    /// Whether what is unacked of a topic is of one epoch. An ack up to an offset is for the oldest
    /// epoch in flight: its sender may not have seen the next one yet.
    fn is_of_one_epoch(&self, topic: &str) -> bool {
        self.open.iter().filter(|((of, _), open)| of == topic && !open.is_empty()).count() == 1
    }
}

impl<'a> Subscriber<'a> {
    pub fn new(world: &'a World, subscription: Subscription, dice: Dice) -> Subscriber<'a> {
        Subscriber { world, subscription, dice, session: None }
    }

    /// With the session that an earlier one had.
    pub fn with_session(mut self, session: Option<Value>) -> Subscriber<'a> {
        self.session = session;
        self
    }

    /// Reads until it is told to leave. Gives the session that can be resumed.
    pub fn run(mut self) -> Option<Value> {
        while self.world.phase() != Phase::Leave {
            match self.world.connect(self.subscription.who) {
                Ok((client, connection)) => {
                    let now = Instant::now();
                    let talk = Talk {
                        client,
                        connection,
                        open: BTreeMap::new(),
                        held: Vec::new(),
                        held_since: now,
                        pings: 0,
                        acks_since_ping: 0,
                        last_ping: now,
                        session: None,
                    };
                    drop(self.converse(talk));
                }
                Err(Gone) => thread::sleep(Duration::from_millis(3)),
            }
        }
        self.session
    }

    fn note(&self, talk: &Talk, what: What) {
        self.world.note(self.subscription.who, talk.connection, what);
    }

    fn broken(&self, talk: &Talk, text: String) {
        self.world.broken(self.subscription.who, talk.connection, text);
    }

    fn converse(&mut self, mut talk: Talk) -> Result<(), Gone> {
        match self.session.clone() {
            Some(session) => talk.client.command("resume", "resume", &session)?,
            None => self.subscribe(&mut talk)?,
        }
        loop {
            if self.world.phase() == Phase::Leave {
                self.flush(&mut talk)?;
                talk.client.close();
                return Ok(());
            }
            if let Some(message) = talk.client.poll(Duration::from_millis(10))? {
                self.on_message(&mut talk, &message)?;
            }
            if self.world.phase() == Phase::Drain || talk.held_since.elapsed() > HOLD {
                self.flush(&mut talk)?;
            }
            if talk.acks_since_ping > 0 && (talk.acks_since_ping > 10 || talk.last_ping.elapsed() > HOLD) {
                self.ping(&mut talk)?;
            }
            if self.world.phase() == Phase::Publish && self.dice.below(800) == 0 {
                match self.dice.chance(50) {
                    true => talk.client.close(),
                    false => talk.client.abandon(),
                }
                return Ok(());
            }
        }
    }

    fn subscribe(&self, talk: &mut Talk) -> Result<(), Gone> {
        let mut data = json!({"topics": self.subscription.topics, "guarantee": "at_least_once", "window": WINDOW,
            "ack_timeout_ms": ACK_TIMEOUT_MS});
        if self.subscription.who != SESSION {
            data["name"] = json!(self.subscription.who);
        }
        if let Some(kind) = self.subscription.kind {
            data["filter"] = json!({ "kind": kind });
        }
        talk.client.command("subscribe", "subscribe", &data)
    }

    fn on_message(&mut self, talk: &mut Talk, message: &Value) -> Result<(), Gone> {
        match (message["type"].as_str(), message["id"].as_str()) {
            (Some("response"), Some("subscribe")) => return self.on_subscribed(talk, message),
            (Some("response"), Some("resume")) => return self.on_resumed(talk, message),
            (Some("response"), Some(id)) => match id.strip_prefix("p-").and_then(|ping| ping.parse().ok()) {
                Some(ping) => self.note(talk, What::Confirmed { ping }),
                None => self.broken(talk, format!("a response to nothing: {message}")),
            },
            (Some("event"), Some(id)) => match (message["channel"].as_str(), message["action"].as_str()) {
                (Some("system"), Some("session")) => {
                    let data = &message["data"];
                    talk.session = Some(json!({"session": data["session"], "secret": data["secret"]}));
                    self.check_lost(talk, data);
                }
                (Some(channel), Some(action)) if channel != "system" => {
                    let topic = format!("{channel}.{action}");
                    match (EventId::parse(id), number_in(&message["data"])) {
                        (Some(event), Some(number)) => return self.on_event(talk, topic, event, number, message),
                        _ => self.broken(talk, format!("an event that nobody published: {message}")),
                    }
                }
                _ => self.broken(talk, format!("an event that was not asked for: {message}")),
            },
            _ => self.broken(talk, format!("no message of the protocol: {message}")),
        }
        Ok(())
    }

    fn on_subscribed(&mut self, talk: &Talk, message: &Value) -> Result<(), Gone> {
        let topics = message["data"]["topics"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let is_granted = topics.len() == self.subscription.topics.len()
            && topics.iter().all(|topic| topic["granted"] == true && topic["guarantee"] == "at_least_once");
        if message["status"] == "success" && is_granted {
            self.note(talk, What::Subscribed);
            if self.subscription.who == SESSION {
                self.session = talk.session.clone();
            }
        } else if message["error"]["retryable"] == true {
            return Err(Gone);
        } else {
            self.broken(talk, format!("not subscribed: {message}"));
        }
        Ok(())
    }

    fn on_resumed(&mut self, talk: &mut Talk, message: &Value) -> Result<(), Gone> {
        if message["status"] == "success" {
            let data = &message["data"];
            if data["session"].is_string() && data["secret"].is_string() {
                self.session = Some(json!({"session": data["session"], "secret": data["secret"]}));
            }
            self.check_lost(talk, data);
            self.note(talk, What::Subscribed);
            return Ok(());
        }
        if message["error"]["retryable"] == true {
            return Err(Gone);
        }
        self.broken(talk, format!("the session was not resumed: {message}"));
        self.session = None;
        self.subscribe(talk)
    }

    fn check_lost(&self, talk: &Talk, data: &Value) {
        if data["lost"].as_array().is_some_and(|lost| !lost.is_empty()) {
            self.broken(talk, format!("history was lost: {data}"));
        }
    }

    fn on_event(
        &mut self,
        talk: &mut Talk,
        topic: String,
        event: EventId,
        number: u64,
        message: &Value,
    ) -> Result<(), Gone> {
        let attempt = message["attempt"].as_u64().unwrap_or(1);
        if topic != MIXED && message["offset"].as_u64() != Some(event.offset) {
            self.broken(talk, format!("an event without its offset: {message}"));
        }
        let delivered = What::Delivered {
            event: event.clone(),
            topic: topic.clone(),
            number,
            attempt,
            prev: message["prev"].as_u64(),
        };
        self.note(talk, delivered);
        if message["ack"] != true {
            if topic != MIXED {
                self.broken(talk, format!("no ack is asked for: {message}"));
            }
            return Ok(());
        }
        talk.open.entry((topic.clone(), event.epoch.clone())).or_default().push(event.offset);
        let is_first = attempt < 2 && self.world.phase() == Phase::Publish;
        match self.dice.below(100) {
            0..4 if is_first => Ok(()),
            4..24 if is_first => {
                if talk.held.is_empty() {
                    talk.held_since = Instant::now();
                }
                talk.held.push(event);
                Ok(())
            }
            24..30 if is_first && !self.subscription.is_group && talk.is_of_one_epoch(&topic) => {
                self.ack_through(talk, &topic, event)
            }
            30 if is_first && self.subscription.who == "ledger" => {
                self.note(talk, What::Rejected { event: event.clone() });
                talk.acks_since_ping += 1;
                talk.settle(&event);
                let id = event.to_string();
                talk.client.send(&json!({"type": "ack", "id": id, "status": "reject", "reason": "not to my taste"}))
            }
            _ => {
                let id = event.to_string();
                self.ack(talk, vec![event], json!({"type": "ack", "id": id}))
            }
        }
    }

    fn ack(&self, talk: &mut Talk, events: Vec<EventId>, message: Value) -> Result<(), Gone> {
        talk.acks_since_ping += events.len();
        events.iter().for_each(|event| talk.settle(event));
        self.note(talk, What::Acked { events });
        talk.client.send(&message)
    }

    /// Everything of a topic that came on this connection, up to this event.
    fn ack_through(&self, talk: &mut Talk, topic: &str, event: EventId) -> Result<(), Gone> {
        let open = talk.open.entry((topic.to_owned(), event.epoch.clone())).or_default();
        let through = open.iter().copied().filter(|offset| *offset <= event.offset);
        let events = through.map(|offset| EventId { epoch: event.epoch.clone(), offset }).collect();
        self.ack(talk, events, json!({"type": "ack", "topic": topic, "through": event.offset}))
    }

    fn flush(&self, talk: &mut Talk) -> Result<(), Gone> {
        talk.held_since = Instant::now();
        let events = std::mem::take(&mut talk.held);
        if events.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = events.iter().map(EventId::to_string).collect();
        self.ack(talk, events, json!({"type": "ack", "ids": ids}))
    }

    fn ping(&self, talk: &mut Talk) -> Result<(), Gone> {
        (talk.acks_since_ping, talk.last_ping) = (0, Instant::now());
        talk.pings += 1;
        self.note(talk, What::Pinged { ping: talk.pings });
        talk.client.command(&format!("p-{}", talk.pings), "ping", &json!({}))
    }
}
