//! Responses: each command gets one, of the kind that it must be.

use serde_json::Value;

use super::Shadow;
use super::book::{Ask, AskKind};

/// Errors that any command may meet, whatever its handler does.
const ALWAYS: &[&str] = &["expired"];

/// What a session is told that has lost its right to be there, until it is closed.
const SHUT_OUT: &str = "the connection is being closed";

impl Shadow {
    /// A client got a response.
    pub fn on_response(&mut self, link: usize, response: &Value) {
        assert!(response["timestamp"].is_string(), "a response without a time: {response}");
        let id = response["id"].as_str().unwrap();
        let error = match response["status"].as_str() {
            Some("success") => None,
            Some("error") => Some(response["error"]["code"].as_str().unwrap()),
            _ => panic!("a response of no status: {response}"),
        };
        self.books[link].responses += 1;
        if let Some(code) = error {
            *self.codes.entry(code.to_owned()).or_default() += 1;
        }
        let Some(ask) = self.books[link].asked.remove(id) else {
            // Bad messages, and commands without an id, are answered under an id of the server's.
            let book = &mut self.books[link];
            if error.is_some() && response["error"]["message"] == SHUT_OUT {
                book.is_shut_out = true;
                // Nothing was looked into, so that older clients' messages are refused like any other.
                let owed = [&mut book.nameless, &mut book.keepalives, &mut book.statuses];
                let waits = owed.into_iter().find(|waits| **waits > 0);
                *waits.unwrap_or_else(|| panic!("link {link}: a response to nothing: {response}")) -= 1;
                return;
            }
            if book.statuses > 0 && response["action"] == "status" {
                // An older client's status that failed: it had no id to be answered by.
                book.statuses -= 1;
                return;
            }
            assert!(book.nameless > 0, "link {link}: a response to nothing: {response}");
            book.nameless -= 1;
            assert_ne!(error, Some("internal"), "link {link}: {response}");
            return;
        };
        if error != Some("too_deep") {
            assert_eq!(response["channel"].as_str(), Some(&*ask.channel), "link {link}: {response}");
            assert_eq!(response["action"].as_str(), Some(&*ask.action), "link {link}: {response}");
        }
        if self.books[link].in_order.contains(&id.to_owned()) {
            let first = self.books[link].in_order.pop_front();
            assert_eq!(first.as_deref(), Some(id), "link {link}: a response overtook another");
        }
        self.check(link, &ask, error, response);
    }

    fn is_expected(&self, link: usize, ask: &Ask, code: &str) -> bool {
        if ALWAYS.contains(&code) || (code == "rate_limited" && self.has_rate) {
            return true;
        }
        // Without a credential nothing but a few commands is answered otherwise.
        if code == "unauthenticated" && self.books[link].name.is_none() {
            return true;
        }
        // Answers that take more than one thread may come too late for a clock that jumps.
        let late = ["timeout", "draining"];
        match &ask.kind {
            AskKind::Echo(_) => code == "forbidden" && ask.channel == "app",
            AskKind::Later(_) => {
                late.contains(&code) || ["forbidden", "internal", "bad_signature", "replayed"].contains(&code)
            }
            AskKind::Publish(_) | AskKind::Presence { .. } => late.contains(&code) || code == "forbidden",
            AskKind::Subscribe(_) => late.contains(&code) || ["forbidden", "too_large"].contains(&code),
            AskKind::Unsubscribe(_) => false,
            AskKind::Any(codes) => late.contains(&code) || codes.contains(&code),
            AskKind::Authenticate(_) => ["unauthenticated", "forbidden", "blocked", "conflict"].contains(&code),
            AskKind::Fails(only) => code == *only || code == "forbidden",
        }
    }

    fn check(&mut self, link: usize, ask: &Ask, error: Option<&str>, response: &Value) {
        if error.is_some() && response["error"]["message"] == SHUT_OUT {
            self.books[link].is_shut_out = true;
        } else if let Some(code) = error {
            assert!(self.is_expected(link, ask, code), "link {link}: an error out of place: {response}");
        }
        let step = self.step;
        let data = &response["data"];
        match &ask.kind {
            AskKind::Echo(sent) | AskKind::Later(sent) if error.is_none() => {
                let mut data = data.clone();
                if ask.action == "ping" {
                    assert!(data["server_time"].is_string(), "{response}");
                    data.as_object_mut().unwrap().remove("server_time");
                }
                assert_eq!(data, *sent, "link {link}: another command's answer");
            }
            AskKind::Unsubscribe(grants) if error.is_none() => {
                let book = &mut self.books[link];
                for index in grants {
                    book.grants[*index].told_over.get_or_insert(step);
                }
                book.has_ending = true;
            }
            AskKind::Echo(_) | AskKind::Later(_) | AskKind::Any(_) | AskKind::Unsubscribe(_) => {}
            AskKind::Fails(_) => assert!(error.is_some(), "link {link}: a success out of place: {response}"),
            AskKind::Authenticate(name) => {
                if error.is_none() {
                    assert!(name.is_some(), "link {link}: a wrong token was good: {response}");
                    self.books[link].name = *name;
                }
            }
            AskKind::Publish(number) => self.on_published(link, *number, error, data),
            AskKind::Subscribe(grants) => self.on_subscribed(link, grants, error, data),
            AskKind::Presence { topic, held } => {
                let book = &self.books[link];
                // Since then the rights may have changed.
                let holds = held.iter().any(|index| book.grants[*index].must_until.is_none());
                if error.is_none() && holds {
                    let name = book.name.unwrap();
                    let there = data["identities"].as_array().unwrap().iter().any(|row| row["identity"] == name);
                    assert!(there, "link {link}: it is subscribed to {topic} and not present: {response}");
                }
            }
        }
    }

    fn on_published(&mut self, link: usize, number: u64, error: Option<&str>, data: &Value) {
        let step = self.step;
        let publish = self.publishes.get_mut(&number).unwrap();
        match error {
            None => {
                let (epoch, offset) = data["event"].as_str().unwrap().rsplit_once('-').unwrap();
                let id = (epoch.to_owned(), offset.parse().unwrap());
                assert_eq!(data["offset"].as_u64(), Some(id.1), "{data}");
                let known = publish.id.get_or_insert_with(|| id.clone());
                assert_eq!(*known, id, "link {link}: event {number} has two ids");
                publish.done.get_or_insert(step);
                let topic = publish.topic.clone();
                // One client's events of a topic are published in the order in which it sent them.
                let last = self.books[link].seen.entry(format!("own {topic}")).or_default();
                assert!(last.epoch != id.0 || last.offset < id.1, "link {link}: event {number} overtook another");
                (last.epoch, last.offset) = id;
            }
            // Nobody knows whether the event went out before the time was over.
            Some("timeout" | "draining") => {}
            Some(_) => {
                assert!(publish.id.is_none(), "event {number} was refused, and delivered");
                publish.is_refused = true;
            }
        }
    }

    fn on_subscribed(&mut self, link: usize, grants: &[usize], error: Option<&str>, data: &Value) {
        let step = self.step;
        let certain = !matches!(error, Some("timeout" | "draining"));
        for (place, index) in grants.iter().enumerate() {
            let granted = error.is_none() && {
                let row = &data["topics"][place];
                assert_eq!(row["topic"].as_str(), Some(self.books[link].grants[*index].pattern.as_str()));
                row["granted"].as_bool().unwrap()
            };
            let grant = &self.books[link].grants[*index];
            let (pattern, sent) = (grant.pattern.clone(), grant.sent);
            if granted && let Some(name) = self.books[link].name {
                assert!(self.might_subscribe(name, &pattern, sent), "link {link}: {pattern:?} was granted to {name}");
            }
            let book = &mut self.books[link];
            if granted {
                book.grants[*index].from = Some(step);
                // It took the place of the one before.
                for earlier in book.grants[..*index].iter_mut().filter(|earlier| earlier.pattern == pattern) {
                    earlier.told_over.get_or_insert(step);
                }
            } else if certain {
                book.grants[*index].told_over.get_or_insert(step);
                book.grants[*index].must_until.get_or_insert(step);
            }
            book.has_ending = true;
        }
    }

    /// An older client's message was answered.
    pub fn on_older(&mut self, link: usize, message: &Value) {
        let book = &mut self.books[link];
        let waits = if message["type"] == "keepalive_ok" { &mut book.keepalives } else { &mut book.statuses };
        assert!(*waits > 0, "link {link}: an answer to nothing: {message}");
        *waits -= 1;
    }
}
