//! The shadow model: what every client said and was told, and what follows from the protocol.
//!
//! It knows nothing of how the server does it. Time is counted in steps of the world. Where the
//! server is free, since two messages were under way at once, the model is free as well: what
//! *must* come is told apart from what *may* come. A breach is a panic that names it.

mod book;
mod events;
mod finale;
mod responses;

pub use book::{Ask, AskKind, Book, Grant, Publish};

use std::collections::BTreeMap;

use hydrogen::base::{ConnId, Reason};
use hydrogen::engine::auth::Permissions;
use hydrogen::engine::work::Emission;

/// All that is known of one run.
#[derive(Default)]
pub struct Shadow {
    pub step: u64,
    /// One for each link, by number.
    pub books: Vec<Book>,
    /// Events by the number in their payload.
    pub publishes: BTreeMap<u64, Publish>,
    /// What each identity may do, and from which step on.
    pub rights: BTreeMap<&'static str, Vec<(u64, Permissions)>>,
    /// Bytes of the largest frame that a worker ever sent.
    pub largest_frame: usize,
    /// Commands whose handler panicked.
    pub panics: u64,
    /// Errors that clients were told, by code.
    pub codes: BTreeMap<String, u64>,
    pub stops: bool,
    pub has_rate: bool,
    by_conn: BTreeMap<ConnId, usize>,
    next_publish: u64,
}

impl Shadow {
    /// The number of a link's book.
    pub fn open_book(&mut self, book: Book) -> usize {
        self.books.push(book);
        self.books.len() - 1
    }

    pub fn on_accepted(&mut self, link: usize, conn: ConnId) {
        assert!(self.books[link].conn.replace(conn).is_none(), "link {link} was accepted twice");
        assert!(self.by_conn.insert(conn, link).is_none(), "{conn} was there before");
    }

    pub fn on_finished(&mut self, link: usize, reason: Reason) {
        let book = &mut self.books[link];
        assert!(book.end.is_none(), "link {link} ended as {:?}, and again as {reason:?}", book.end);
        book.end = Some(reason);
    }

    /// An event was handed to an open connection.
    pub fn on_pushed(&mut self, conn: ConnId) {
        if let Some(link) = self.by_conn.get(&conn) {
            self.books[*link].pushed += 1;
        }
    }

    pub fn on_frame(&mut self, bytes: usize) {
        self.largest_frame = self.largest_frame.max(bytes);
    }

    /// A new event's number.
    pub fn new_publish(&mut self, publish: impl FnOnce(u64, u64) -> Publish) -> u64 {
        self.next_publish += 1;
        let publish = publish(self.next_publish, self.step);
        self.publishes.insert(self.next_publish, publish);
        self.next_publish
    }

    /// A channel's event was taken by the worker of its topic.
    pub fn on_emitted(&mut self, emission: &Emission) {
        let number = number_of(&serde_json::from_slice(&emission.payload).unwrap());
        // The client knows publishes by number; emissions are entered under theirs when they are made.
        let publish = self.publishes.get_mut(&number).unwrap();
        publish.done.get_or_insert(self.step);
    }

    /// An identity's rights changed.
    pub fn on_rights(&mut self, name: &'static str, permissions: Permissions, is_revoked: bool) {
        let step = self.step;
        for book in self.books.iter_mut().filter(|book| book.claims == Some(name)) {
            for grant in &mut book.grants {
                if is_revoked || !permissions.may_subscribe(&grant.pattern) {
                    grant.must_until.get_or_insert(step);
                }
            }
        }
        self.rights.entry(name).or_default().push((step, permissions));
    }

    /// Every message between workers has arrived: what ended before is over everywhere.
    pub fn on_settled(&mut self) {
        let step = self.step;
        for grant in self.books.iter_mut().filter(|book| book.has_ending).flat_map(|book| &mut book.grants) {
            if grant.told_over.is_some() {
                grant.over.get_or_insert(step);
            }
        }
        self.books.iter_mut().for_each(|book| book.has_ending = false);
    }

    /// Whether the identity may subscribe to this at some time between two steps.
    fn might_subscribe(&self, name: &str, pattern: &hydrogen::engine::topic::Pattern, from: u64) -> bool {
        let Some(rights) = self.rights.get(name) else { return true };
        let begin = rights.partition_point(|(step, _)| *step <= from).saturating_sub(1);
        // A change takes its time to reach a worker, so that the one before counts as well.
        rights[begin.saturating_sub(1)..].iter().any(|(_, rights)| rights.may_subscribe(pattern))
    }
}

fn number_of(payload: &serde_json::Value) -> u64 {
    payload["n"].as_u64().unwrap_or_else(|| panic!("an event that nobody published: {payload}"))
}
