//! Events: each comes to whom it may come, once, in order, and as it was published.

use std::collections::BTreeSet;

use serde_json::Value;

use super::book::assign_replay;
use super::{Shadow, number_of};

impl Shadow {
    /// A client got an event.
    pub fn on_event(&mut self, link: usize, event: &Value) {
        let (channel, action) = (event["channel"].as_str().unwrap(), event["action"].as_str().unwrap());
        let (epoch, offset) = event["id"].as_str().unwrap().rsplit_once('-').unwrap();
        let offset: u64 = offset.parse().unwrap();
        assert!(event["timestamp"].is_string(), "an event without a time: {event}");
        if channel == "system" {
            return self.on_own_event(link, action, offset, &event["data"]);
        }
        let topic = format!("{channel}.{action}");
        if event["data"].is_null() {
            // It let go of what was retained, and carries no number to know it by.
            self.books[link].events += 1;
            return;
        }
        let number = number_of(&event["data"]);
        let publish = self.publishes.get_mut(&number).unwrap_or_else(|| panic!("nobody published {event}"));
        assert_eq!((&publish.topic, &publish.payload), (&topic, &event["data"]), "event {number} was changed");
        assert!(!publish.is_refused, "event {number} was refused, and delivered");
        let known = publish.id.get_or_insert_with(|| (epoch.to_owned(), offset));
        assert_eq!((&*known.0, known.1), (epoch, offset), "event {number} has two ids");
        let publish = &self.publishes[&number];
        let book = &mut self.books[link];
        book.events += 1;

        let mixes = book.mixes_lanes(&topic);
        let seen = book.seen.entry(topic.clone()).or_default();
        let is_next = if seen.epoch == epoch { offset > seen.offset } else { !seen.epochs.contains(epoch) };
        let is_new = book.received.insert(number);
        let is_allowed = book.grants.iter().any(|grant| grant.allows(publish));
        if is_new && is_allowed && (is_next || mixes) {
            if is_next {
                seen.epochs.insert(epoch.to_owned());
                (seen.epoch, seen.offset) = (epoch.to_owned(), offset);
            }
            return;
        }
        // Anything else is what the topic retains, once for each subscription that asked for it.
        if !assign_replay(&mut book.grants, &self.publishes, number, &mut BTreeSet::new()) {
            panic!(
                "link {link}: event {number} of {topic} ({epoch}-{offset}) is {}",
                match (is_new, is_allowed) {
                    (false, _) => "there twice",
                    (true, false) => "nothing that it subscribed to",
                    (true, true) => "out of order",
                }
            )
        }
        if is_next {
            seen.epochs.insert(epoch.to_owned());
            (seen.epoch, seen.offset) = (epoch.to_owned(), offset);
        }
    }

    /// An event for this session alone: gapless, since nothing drops them.
    fn on_own_event(&mut self, link: usize, action: &str, offset: u64, data: &Value) {
        let step = self.step;
        let book = &mut self.books[link];
        book.own_events += 1;
        assert_eq!(offset, book.own_events, "link {link}: its own events have a gap before system.{action}");
        match action {
            "session" => {
                book.sessions += 1;
                assert_eq!(book.sessions, 1, "link {link}: a second system.session");
                assert_eq!(data["identity"].as_str(), book.claims, "link {link}: it is somebody else");
            }
            "dropped" => {
                let count = data["dropped"].as_u64().unwrap();
                assert!(count + data["conflated"].as_u64().unwrap() > 0, "link {link}: told of nothing dropped");
                book.told_dropped += count;
            }
            "unsubscribed" => {
                for topic in data["topics"].as_array().unwrap() {
                    let own =
                        book.grants.iter_mut().filter(|grant| *grant.pattern.as_str() == *topic.as_str().unwrap());
                    // One that is not answered yet may be another, made with other rights. The rights may
                    // have been lost long before this came.
                    for grant in own {
                        grant.must_until.get_or_insert(grant.sent);
                        if grant.from.is_some() {
                            grant.told_over.get_or_insert(step);
                            book.has_ending = true;
                        }
                    }
                }
            }
            other => panic!("link {link}: an unknown event system.{other}"),
        }
    }
}
