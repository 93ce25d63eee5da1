//! All clients of a run on threads of their own, and what they are asked to do together.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::repeats::ACK_TIMEOUT_MS;
use crate::check::{Floors, Survey, check, expected, raise, received};
use crate::client::Client;
use crate::dice::Dice;
use crate::program::PATIENCE;
use crate::publisher::{Publisher, number_in};
use crate::subscriber::Subscriber;
use crate::trace::{Entry, EventId, What};
use crate::world::{PUBLISHERS, Phase, SESSION, SUBSCRIPTIONS, TOPICS, World};

/// How long everything rests before it is judged, so that what should not come has time to: longer
/// than an ack that was forgotten is waited for.
pub const LONG_REST: Duration = Duration::from_millis(ACK_TIMEOUT_MS + 500);
/// Where it is enough that what was lost is seen.
pub const SHORT_REST: Duration = Duration::from_millis(300);
/// Events in one page of a history.
const PAGE: usize = 200;

/// The clients. Dropped, they are told to leave, so that a failure does not wait for them.
pub struct Crowd<'scope, 'env> {
    world: &'env World,
    visitor: ScopedJoinHandle<'scope, Option<Value>>,
}

impl<'scope, 'env> Crowd<'scope, 'env> {
    /// Starts them, and waits until every subscription is granted. The session is one that an
    /// earlier crowd had.
    pub fn gather(
        scope: &'scope Scope<'scope, 'env>,
        world: &'env World,
        session: Option<Value>,
        dice: &mut Dice,
    ) -> Crowd<'scope, 'env> {
        world.enter(Phase::Drain);
        let trace = world.look(<[Entry]>::to_vec);
        let before = trace.len();
        let mut visitor = None;
        for subscription in SUBSCRIPTIONS {
            for _ in 0..if subscription.is_group { 2 } else { 1 } {
                let dice = Dice::new(dice.below(usize::MAX) as u64);
                let session = session.clone().filter(|_| subscription.who == SESSION);
                let subscriber = Subscriber::new(world, subscription, dice).with_session(session);
                let thread = scope.spawn(|| subscriber.run());
                if subscription.who == SESSION {
                    visitor = Some(thread);
                }
            }
        }
        let crowd = Crowd { world, visitor: visitor.expect("one subscription is the session") };
        crowd.wait_for("subscriptions", |trace| {
            SUBSCRIPTIONS.iter().all(|subscription| {
                let mut own = trace[before..].iter().filter(|entry| entry.who == subscription.who);
                own.any(|entry| matches!(entry.what, What::Subscribed))
            })
        });
        for who in PUBLISHERS {
            let dice = Dice::new(dice.below(usize::MAX) as u64);
            let publisher = Publisher::new(world, who, dice).take_up(&trace);
            scope.spawn(|| publisher.run());
        }
        crowd
    }

    /// Waits until the trace says so, something is broken, or patience ends. What is missing then
    /// is told by the checks.
    fn wait_for(&self, what: &str, is_so: impl Fn(&[Entry]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.world.is_broken() && !self.world.look(&is_so) {
            if Instant::now() > deadline {
                println!("{what}: not within {PATIENCE:?}");
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has everything sent be answered and everything answered arrive, and asks the server for
    /// what it shows.
    pub fn drain(&self, rest: Duration) -> Survey {
        self.world.enter(Phase::Drain);
        self.wait_for("everything answered and arrived", |trace| {
            self.world.unanswered.load(Ordering::SeqCst) == 0
                && SUBSCRIPTIONS.iter().all(|subscription| {
                    let received = received(subscription.who, trace);
                    expected(subscription, trace).keys().all(|number| received.contains(number))
                })
        });
        thread::sleep(rest);
        survey(self.world)
    }

    /// Sends everybody away. Gives the session that can be resumed.
    pub fn leave(self) -> Option<Value> {
        self.world.enter(Phase::Leave);
        let Crowd { visitor, .. } = self;
        visitor.join().unwrap()
    }
}

/// Sends everybody away when it is dropped, in whichever way.
pub struct Dismiss<'a>(pub &'a World);

impl Drop for Dismiss<'_> {
    fn drop(&mut self) {
        self.0.enter(Phase::Leave);
    }
}

/// Drains, and judges; what was judged is forgotten. Gives what does not hold.
pub fn judge(crowd: &Crowd<'_, '_>, world: &World, floors: &mut Floors, rest: Duration) -> Vec<String> {
    let survey = crowd.drain(rest);
    world.look(|trace| {
        let mut faults = check(&SUBSCRIPTIONS, trace, &survey, floors);
        // A run in which nothing happens shows nothing.
        if !trace.iter().any(|entry| matches!(entry.what, What::Answered { .. })) {
            faults.push("not one publish was answered".to_owned());
        }
        raise(floors, trace, &survey);
        faults
    })
}

/// Keeps what a failure needs, and says where.
pub fn report(title: &str, faults: &[String], world: &World, folder: &Path) -> String {
    let trace = folder.join("trace");
    let lines = world.look(|trace| trace.iter().map(|entry| format!("{entry:?}\n")).collect::<String>());
    std::fs::write(&trace, lines).unwrap();
    let shown = faults.iter().take(40).map(|fault| format!("  {fault}\n")).collect::<String>();
    format!("{title}: {} faults\n{shown}kept: {}", faults.len(), folder.display())
}

/// Asks an administrator's way for every topic's history and the dead letters.
pub fn survey(world: &World) -> Survey {
    let mut survey = Survey::default();
    let Ok(mut client) = Client::connect(world.address, &world.root) else {
        world.broken("root", 0, "no connection to look at the store".to_owned());
        return survey;
    };
    for topic in TOPICS {
        match history(&mut client, topic) {
            Ok(events) => drop(survey.history.insert(topic.to_owned(), events)),
            Err(text) => world.broken("root", 0, text),
        }
    }
    let mut after = Value::Null;
    loop {
        let data = if after.is_null() { json!({"limit": 1000}) } else { json!({"limit": 1000, "after": after}) };
        let answer = match client.call("dead_letters", &data, drop) {
            Ok(answer) if answer["status"] == "success" => answer,
            other => {
                world.broken("root", 0, format!("no dead letters: {other:?}"));
                break;
            }
        };
        for item in answer["data"]["items"].as_array().into_iter().flatten() {
            // Wherever the event stands in an item.
            let ids = [&item["event"], &item["id"], &item["event"]["id"]];
            survey.dead.extend(ids.into_iter().filter_map(Value::as_str).filter_map(EventId::parse));
        }
        after = answer["data"]["next"].clone();
        if after.is_null() {
            break;
        }
    }
    client.close();
    survey
}

/// A topic's whole history; what is not as it was published is an error.
pub fn history(client: &mut Client, topic: &str) -> Result<Vec<(EventId, u64)>, String> {
    let mut found: Vec<(EventId, u64)> = Vec::new();
    let mut since = 0;
    loop {
        let data = json!({"topic": topic, "since": since, "limit": PAGE});
        let answer = client.call("history", &data, drop).map_err(|gone| format!("{topic}: {gone:?}"))?;
        let events = answer["data"]["events"].as_array().ok_or_else(|| format!("{topic}: no history: {answer}"))?;
        for event in events {
            let id = event["id"].as_str().and_then(EventId::parse);
            let is_topic =
                format!("{}.{}", event["channel"].as_str().unwrap_or(""), event["action"].as_str().unwrap_or(""))
                    == topic;
            match (id, number_in(&event["data"])) {
                (Some(id), Some(number)) if is_topic => found.push((id, number)),
                _ => return Err(format!("the history of {topic} shows what nobody published: {event}")),
            }
        }
        match found.last() {
            Some((last, _)) if !events.is_empty() && last.offset > since => since = last.offset,
            _ => return Ok(found),
        }
    }
}
