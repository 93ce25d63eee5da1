//! What must hold once nothing is under way, and once everything is over.

use hydrogen::base::reason::End;
use hydrogen::base::{Figures, Metric, Reason, metric};

use super::Shadow;
use super::book::{Book, Publish};

impl Shadow {
    /// Nothing is under way: what was asked is answered, what must come has come.
    pub fn check_quiet(&self, link: usize) {
        let book = &self.books[link];
        assert!(!book.is_shut_out, "link {link} was told that it is being closed, and is not");
        let owed: Vec<&String> = book.asked.keys().collect();
        assert!(
            book.owed() == 0,
            "link {link} waits for {owed:?}, {} nameless, {} keepalives, {} statuses, {} echoes, {} pongs",
            book.nameless,
            book.keepalives,
            book.statuses,
            book.echoes.len(),
            book.pings.len()
        );
        self.check_counts(link, book);
        self.check_missing(link, book);
        self.check_retained(link, book);
    }

    /// What was handed to the connection is what its client got, or was told that it was dropped.
    fn check_counts(&self, link: usize, book: &Book) {
        let known = book.events + book.told_dropped;
        if book.conflates() {
            assert!(known <= book.pushed, "link {link}: {known} events, of {} that were sent to it", book.pushed);
        } else {
            assert_eq!(known, book.pushed, "link {link}: events got and told of, against those sent to it");
        }
    }

    fn check_missing(&self, link: usize, book: &Book) {
        let demanded = |publish: &Publish| book.grants.iter().any(|grant| grant.demands(publish));
        let missing: Vec<u64> = self
            .publishes
            .iter()
            .filter(|(number, publish)| !book.received.contains(number) && demanded(publish))
            .map(|(number, _)| *number)
            .collect();
        if !book.conflates() {
            assert!(
                missing.len() as u64 <= book.told_dropped,
                "link {link}: events {missing:?} never came, and it was told of {}",
                book.told_dropped
            );
            return;
        }
        // Conflation may leave out anything but the newest event of a topic.
        for number in missing {
            let publish = &self.publishes[&number];
            let is_newer = |other: &Publish| {
                other.topic == publish.topic
                    && match (&other.id, &publish.id) {
                        (Some(other), Some(own)) => other.0 != own.0 || other.1 > own.1,
                        // An event that nobody was told the place of may be any.
                        (None, _) | (_, None) => !other.is_refused,
                    }
            };
            let is_followed = self.publishes.iter().any(|(other, publish)| *other != number && is_newer(publish));
            assert!(
                is_followed || book.told_dropped > 0,
                "link {link}: event {number} is the newest of {}, and never came",
                publish.topic
            );
        }
    }

    /// Whoever asked for what is retained has got it, where there is no doubt what that was.
    fn check_retained(&self, link: usize, book: &Book) {
        for grant in book.grants.iter().filter(|grant| grant.from_last) {
            let Some(from) = grant.from else { continue };
            let mut retains: Vec<(&u64, &Publish)> = self
                .publishes
                .iter()
                .filter(|(_, publish)| publish.retain && !publish.is_refused && grant.pattern.matches(&publish.topic))
                .collect();
            retains.sort_by_key(|(_, publish)| (publish.topic.clone(), publish.sent));
            for of_topic in retains.chunk_by(|(_, a), (_, b)| a.topic == b.topic) {
                let before: Vec<_> = of_topic.iter().filter(|(_, p)| p.sent <= from).collect();
                let Some((number, last)) = before.last() else { continue };
                let certain = last.done.is_some_and(|done| done < grant.sent)
                    && before.iter().rev().skip(1).all(|(_, p)| p.done.is_some_and(|done| done < last.sent));
                if certain && !last.clears && !last.has_ttl && grant.passes(last) && grant.must_until.is_none() {
                    assert!(
                        book.received.contains(number) || book.told_dropped > 0 || book.conflates(),
                        "link {link}: {} retains event {number}, which never came",
                        last.topic
                    );
                }
            }
        }
    }

    /// Everything is over: each connection ended once, and everything was given back.
    pub fn check_end(&self, figures: &Figures) {
        let accepted = self.books.iter().filter(|book| book.conn.is_some()).count() as u64;
        for (link, book) in self.books.iter().enumerate().filter(|(_, book)| book.conn.is_some()) {
            let Some(reason) = book.end else { panic!("link {link} was accepted and never ended") };
            check_reason(link, book, reason);
        }
        assert_eq!(figures.count(Metric::CONNECTIONS_OPENED), accepted, "sockets that were opened");
        assert_eq!(figures.total(Metric::CONNECTIONS_CLOSED, Reason::ALL.len()), accepted, "connections that ended");
        for reason in Reason::ALL {
            let count = self.books.iter().filter(|book| book.end == Some(*reason)).count() as u64;
            assert_eq!(figures.count(Metric::closed(*reason)), count, "ends by {}", reason.as_str());
        }
        for (state, name) in metric::STATES.iter().enumerate() {
            let count = figures.count(Metric::STATE_ENTERED.at(state)) - figures.count(Metric::STATE_LEFT.at(state));
            let of_end =
                |end| self.books.iter().filter(|book| book.end.is_some_and(|reason| reason.end() == end)).count();
            let expected = match *name {
                "failed" => of_end(End::Failed),
                "rejected" => of_end(End::Rejected),
                "closed" => of_end(End::Closed),
                _ => 0,
            };
            assert_eq!(count, expected as u64, "connections in state {name}");
        }
        for (name, up, down) in [
            ("sessions", Metric::SESSIONS_OPENED, Metric::SESSIONS_CLOSED),
            ("subscriptions", Metric::SUBSCRIPTIONS_MADE, Metric::SUBSCRIPTIONS_ENDED),
            ("outbound bytes", Metric::OUTBOUND_QUEUED, Metric::OUTBOUND_DONE),
            ("hydrogen connections", Metric::DIALECT_OPENED, Metric::DIALECT_CLOSED),
            ("echo connections", Metric::DIALECT_OPENED.at(1), Metric::DIALECT_CLOSED.at(1)),
        ] {
            assert_eq!(figures.count(up), figures.count(down), "{name} that are left");
        }
        assert_eq!(figures.count(Metric::IMPOSSIBLE_TRANSITIONS), 0, "impossible transitions");
        assert!(figures.count(Metric::HANDLER_PANICS) <= self.panics, "handlers that panicked unasked");
    }
}

/// The code that the client saw is that of the reason that was counted.
fn check_reason(link: usize, book: &Book, reason: Reason) {
    let Some(code) = book.close_code else { return };
    if !book.client_closed_first {
        // A peer may reset the connection or leave when the close frame is on its way to it.
        assert_eq!(code, reason.close_code(), "link {link} ended as {}", reason.as_str());
    }
}
