//! Connections, as the world sees them: how they begin and end, and what the server knows of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hydrogen::base::{ConnId, Mono, Reason};

use crate::trace::say;
use crate::view::View;
use crate::world::World;

/// Messages that may wait for somebody who does not read.
const UNREAD: u32 = 12;

/// A connection.
#[derive(Default)]
pub struct Conn {
    pub client: usize,
    /// The key that it is bound to.
    pub pinned: Option<u8>,
    /// The server is done with it, or its client is.
    pub is_over: bool,
    /// Both ends are gone.
    pub is_closed: bool,
    /// Its worker knows that.
    pub is_known_gone: bool,
    /// When its worker heard of it.
    pub gone_at: Mono,
    pub gone_in: u64,
    pub was_kicked: bool,
    /// Its client does not read what comes.
    pub is_deaf: bool,
    pub unread: u32,
    /// Messages that its worker took, and those that it settled.
    pub taken: u32,
    pub settled: u32,
    /// Requests that are answered one after another.
    pub serial: VecDeque<usize>,
    /// Requests that are answered in any order.
    pub loose: Vec<usize>,
    /// Messages without an id that may get an error.
    pub blank: u32,
    /// Rooms in which it is, and what it knows of them.
    pub views: BTreeMap<String, View>,
    /// Encodings in which it has written.
    pub encodings: u8,
    /// The last message, of those that come in two in the later era.
    pub last: Option<(&'static str, u64, String)>,
    /// What it is told because of its header: `UserRooms`, `ClientIPInfo`, `ComputerNetworks`.
    pub pushes: Option<u8>,
    /// It must be told that; else nobody knows whether it is.
    pub has_pushes: bool,
    /// The key in its header.
    pub header: Option<u8>,
    /// The step in which it connected.
    pub began: u64,
    /// What it is to sign, once it was told.
    pub nonce: Option<String>,
    /// It was told that its key is proved; or it may be, since a lost one had shown it.
    pub is_proved: bool,
    pub may_be_proved: bool,
    /// The keys that stood in what it said.
    pub said: BTreeSet<u8>,
    pub farewells: u32,
    /// Lost connections' places that it asks for.
    pub resuming: u32,
    /// It has one.
    pub has_resumed: bool,
    /// It has had an answer with a token, so that its place is kept.
    pub has_grace: bool,
}

impl World {
    /// Connections that are open, in order.
    pub fn open_conns(&self) -> Vec<ConnId> {
        self.server.conns.iter().filter(|(_, conn)| !conn.is_closed).map(|(id, _)| *id).collect()
    }

    /// A connection is gone. Its worker hears of it.
    pub fn lose(&mut self, conn: ConnId, reason: Reason) {
        let Some(of) = self.server.conns.get_mut(&conn).filter(|of| !of.is_closed) else { return };
        say!(self, "{conn} is lost: {}", reason.as_str());
        (of.is_closed, of.is_over) = (true, true);
        let client = &mut self.clients[of.client];
        if client.conn == Some(conn) {
            client.conn = None;
        }
        self.let_out(conn, reason);
    }

    /// The server closes it: soon its reactor says that it is gone.
    pub fn closed_by_server(&mut self, conn: ConnId, reason: Reason) {
        let Some(of) = self.server.conns.get_mut(&conn) else { return };
        assert!(!of.is_known_gone, "{conn} is closed, and its worker knew that it was gone");
        match reason {
            Reason::ServerClosed => assert!(of.was_kicked, "{conn} is closed, and nobody kicked it"),
            Reason::TakenOver => assert!(of.has_grace, "{conn} has no place that could be taken"),
            Reason::InvalidUtf8 => {}
            other => panic!("{conn} is closed: {}", other.as_str()),
        }
        of.is_over = true;
        self.closing.push((conn, reason));
    }

    /// Connections that the server gave up end, sooner or later.
    pub fn end_one(&mut self) -> bool {
        if self.closing.is_empty() {
            return false;
        }
        let at = self.dice.below(self.closing.len());
        let (conn, reason) = self.closing.swap_remove(at);
        self.lose(conn, reason);
        true
    }

    /// A worker takes the end of a connection.
    pub fn heard_of_end(&mut self, conn: ConnId) {
        let (now, step) = (self.now.mono, self.step);
        let Some(of) = self.server.conns.get_mut(&conn) else { return };
        (of.is_known_gone, of.gone_at, of.gone_in) = (true, now, step);
        self.server.free(conn);
    }

    /// The server is gone, and every connection with it.
    pub fn lost_all(&mut self) {
        self.check_order();
        self.histories.clear();
        self.server.conns.clear();
        self.closing.clear();
        self.requests.clear();
        self.signals.clear();
        self.passed.clear();
        self.relays.clear();
        self.tokens.clear();
        self.present.clear();
        self.wrong.clear();
        self.full.clear();
        self.mails.clear();
        self.peers.clear();
        self.ids.clear();
        self.out.clear();
        self.went.clear();
        self.gone.clear();
        self.members.clear();
        self.missed.clear();
        self.activity.clear();
        self.began = self.step;
        for client in &mut self.clients {
            client.conn = None;
            client.token = None;
        }
    }

    /// Everybody heard that the server stops.
    pub fn check_farewell(&self) {
        for (id, conn) in &self.server.conns {
            if !conn.is_over && conn.opened(self) {
                assert!(conn.farewells == 1, "{id} is told {} times that the server stops", conn.farewells);
            }
        }
    }

    /// Somebody who reads nothing is closed when too much waits for it.
    pub fn unread(&mut self, conn: ConnId) {
        let Some(of) = self.server.conns.get_mut(&conn).filter(|of| of.is_deaf) else { return };
        of.unread += 1;
        if of.unread == UNREAD {
            self.closing.push((conn, Reason::SlowConsumer));
        }
    }
}

impl Conn {
    /// Its worker knows it as one that speaks signaling.
    fn opened(&self, world: &World) -> bool {
        self.taken > 0 || world.clients[self.client].says_so
    }

    pub fn is_in(&self, room: &str) -> bool {
        self.views.contains_key(room)
    }
}
