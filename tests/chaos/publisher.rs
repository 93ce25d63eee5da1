//! A publisher. Each publish has an id of its own, and is sent again under it until it is
//! answered; at times once more after that.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::kind_of;
use crate::client::{Client, Gone};
use crate::dice::Dice;
use crate::trace::{Entry, EventId, What};
use crate::world::{MIXED, Phase, TOPICS, World};

const WINDOW: usize = 8;
/// Wait before what the server could not do is sent again.
const AGAIN: Duration = Duration::from_millis(20);

pub struct Publisher<'a> {
    world: &'a World,
    who: &'static str,
    dice: Dice,
    pending: BTreeMap<u64, Pending>,
    next: Instant,
}

#[derive(Clone, Copy)]
struct Pending {
    topic: &'static str,
    guaranteed: bool,
    /// Whether it has been answered before.
    is_repeat: bool,
    /// When to send it again, if the server could not do it.
    again: Option<Instant>,
}

impl<'a> Publisher<'a> {
    pub fn new(world: &'a World, who: &'static str, dice: Dice) -> Publisher<'a> {
        Publisher { world, who, dice, pending: BTreeMap::new(), next: Instant::now() }
    }

    /// Takes up what a trace has left unanswered.
    pub fn take_up(mut self, trace: &[Entry]) -> Publisher<'a> {
        for entry in trace.iter().filter(|entry| entry.who == self.who) {
            match entry.what {
                What::Sent { number, topic, guaranteed: true } => {
                    self.pending.insert(number, Pending { topic, guaranteed: true, is_repeat: false, again: None });
                }
                What::Answered { number, .. } => drop(self.pending.remove(&number)),
                _ => {}
            }
        }
        self.world.unanswered.fetch_add(self.pending.len(), Ordering::SeqCst);
        self
    }

    /// Publishes until it is told to leave.
    pub fn run(mut self) {
        while self.world.phase() != Phase::Leave {
            match self.world.connect(self.who) {
                Ok((client, connection)) => drop(self.converse(client, connection)),
                Err(Gone) => thread::sleep(Duration::from_millis(3)),
            }
            // What is not guaranteed is not repeated.
            self.forget(|pending| !pending.guaranteed);
        }
        self.forget(|_| true);
    }

    fn forget(&mut self, which: impl Fn(&Pending) -> bool) {
        let before = self.pending.len();
        self.pending.retain(|_, pending| !which(pending));
        self.world.unanswered.fetch_sub(before - self.pending.len(), Ordering::SeqCst);
    }

    fn converse(&mut self, mut client: Client, connection: u32) -> Result<(), Gone> {
        for (number, pending) in &mut self.pending {
            pending.again = None;
            send(&mut client, *number, pending)?;
        }
        loop {
            match self.world.phase() {
                Phase::Leave => {
                    client.close();
                    return Ok(());
                }
                Phase::Publish if self.pending.len() < WINDOW && Instant::now() >= self.next => {
                    self.publish(&mut client, connection)?;
                }
                Phase::Publish | Phase::Drain => {}
            }
            for (number, pending) in &mut self.pending {
                if pending.again.is_some_and(|again| again <= Instant::now()) {
                    pending.again = None;
                    send(&mut client, *number, pending)?;
                }
            }
            if let Some(message) = client.poll(Duration::from_millis(2))? {
                self.on_message(&message, connection);
            }
            if self.dice.below(2000) == 0 {
                client.abandon();
                return Ok(());
            }
        }
    }

    fn publish(&mut self, client: &mut Client, connection: u32) -> Result<(), Gone> {
        self.next = Instant::now() + Duration::from_micros(self.dice.below(5000) as u64);
        for _ in 0..self.dice.between(1, WINDOW - self.pending.len()) {
            let (number, topic) = (self.world.next_number(), self.dice.pick(&TOPICS));
            let guaranteed = topic != MIXED || self.dice.chance(50);
            let pending = Pending { topic, guaranteed, is_repeat: false, again: None };
            self.pending.insert(number, pending);
            self.world.unanswered.fetch_add(1, Ordering::SeqCst);
            self.world.note(self.who, connection, What::Sent { number, topic, guaranteed });
            send(client, number, &pending)?;
        }
        Ok(())
    }

    fn on_message(&mut self, message: &Value, connection: u32) {
        let number = message["id"].as_str().and_then(|id| id.strip_prefix("n-")?.parse().ok());
        let Some((number, pending)) = number.and_then(|number| Some((number, *self.pending.get(&number)?))) else {
            if message["type"] == "response" {
                self.world.broken(self.who, connection, format!("a response to nothing: {message}"));
            }
            return;
        };
        if message["status"] != "success" {
            if message["error"]["retryable"] == true {
                let again = Some(Instant::now() + AGAIN);
                self.pending.insert(number, Pending { again, ..pending });
                return;
            }
            self.world.broken(self.who, connection, format!("a publish to {} was refused: {message}", pending.topic));
        } else {
            let data = &message["data"];
            match data["event"].as_str().and_then(EventId::parse) {
                Some(event) if data["offset"].as_u64() == Some(event.offset) => {
                    let level = data["level"].as_str().map(str::to_owned);
                    self.world.note(self.who, connection, What::Answered { number, event, level });
                    if pending.guaranteed && !pending.is_repeat && self.dice.chance(4) {
                        let again = Some(Instant::now());
                        self.pending.insert(number, Pending { is_repeat: true, again, ..pending });
                        return;
                    }
                }
                _ => self.world.broken(self.who, connection, format!("an answer without its event: {message}")),
            }
        }
        self.pending.remove(&number);
        self.world.unanswered.fetch_sub(1, Ordering::SeqCst);
    }
}

fn send(client: &mut Client, number: u64, pending: &Pending) -> Result<(), Gone> {
    let guarantee = if pending.guaranteed { "at_least_once" } else { "at_most_once" };
    let data = json!({"topic": pending.topic, "guarantee": guarantee, "payload": payload(number)});
    client.command(&format!("n-{number}"), "publish", &data)
}

/// The payload of a number; some are larger than a page of the store may be.
pub fn payload(number: u64) -> Value {
    let size = if number.is_multiple_of(50) { 9000 } else { number as usize % 40 };
    let pad = (0..size).map(|at| char::from(b'a' + ((number as usize + at) % 26) as u8)).collect::<String>();
    json!({"number": number, "kind": kind_of(number), "pad": pad})
}

/// The number in a payload, if every byte of it is as it was published.
pub fn number_in(data: &Value) -> Option<u64> {
    let number = data["number"].as_u64()?;
    (*data == payload(number)).then_some(number)
}
