//! The clients: who they are, and what they say when it is their turn.

use hydrogen::base::{ConnId, DialectId};
use hydrogen::dialect::signaling::Proof;
use hydrogen::engine::work::Item;
use serde_json::{Value, json};

use crate::ask::{Ask, PASSWORD, Req, Signal};
use crate::dice::Dice;
use crate::keys::{NO_KEY, UNPAIRED, key, sign};
use crate::life::Conn;
use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::signals::{Relayed, Sent};
use crate::trace::say;
use crate::wire::{self, Encoding, Era};
use crate::world::World;

/// Candidates that are sent at once, now and then.
const BURST: (usize, usize) = (50, 100);

pub struct Client {
    pub who: u8,
    pub conn: Option<ConnId>,
    era: Era,
    encoding: Encoding,
    /// The token with which it takes its place again.
    pub token: Option<usize>,
    /// It says what it speaks when it connects; else its first message tells.
    pub says_so: bool,
    /// It proves its key.
    pub is_prover: bool,
}

impl Client {
    pub fn new(index: usize, plan: &Plan, dice: &mut Dice) -> Client {
        // In some worlds somebody has a text for a key, as older clients may.
        let who = if dice.chance(5) { UNPAIRED } else { plan.first + (index % plan.people) as u8 };
        let era = if dice.chance(50) { Era::Room } else { Era::Network };
        let encoding = dice.pick(&Encoding::ALL);
        let is_prover = plan.has_proofs && dice.chance(plan.provers);
        Client { who, conn: None, era, encoding, token: None, says_so: true, is_prover }
    }
}

/// Messages of one connection that go out together.
#[derive(Default)]
pub struct Turn {
    items: Vec<Item>,
    texts: String,
    bytes: Vec<u8>,
}

impl World {
    pub fn client_acts(&mut self) {
        let c = self.dice.below(self.clients.len());
        match self.clients[c].conn {
            None => self.connect(c),
            Some(conn) => self.speak(conn),
        }
    }

    /// A client connects, and mostly takes up where it was.
    pub fn connect(&mut self, c: usize) {
        self.connects += 1;
        let conn = self.server.place();
        let who = self.clients[c].who;
        let says_so = self.dice.chance(80);
        let has_header = says_so && self.dice.chance(30);
        let is_deaf = !self.is_calm && self.dice.chance(self.plan.deaf);
        let header = has_header.then_some(who);
        // Where a proof is required the lists come behind it.
        let pushes = header.filter(|_| self.policy() != Proof::Required).map(|_| 0);
        let step = self.step;
        let of = Conn { client: c, is_deaf, pushes, has_pushes: true, header, began: step, ..Conn::default() };
        self.server.conns.insert(conn, of);
        let client = &mut self.clients[c];
        (client.conn, client.says_so) = (Some(conn), says_so);
        say!(self, "client {c} (key {who}) connects as {conn}");
        self.let_in(conn, has_header.then(|| key(who)), says_so);
        let token = self.clients[c].token.take();
        let mut turn = Turn::default();
        if !says_so {
            let ask = Ask::Ping { stamp: self.step };
            self.put(conn, ask, &mut turn);
        }
        self.prepare_proof(conn, &mut turn);
        if token.is_some() && self.proves_first(conn) {
            self.clients[c].token = token;
        } else if let Some(token) = token.filter(|_| self.dice.chance(80)) {
            self.put_resume(conn, token, &mut turn);
        } else if self.dice.chance(40) {
            let (room, key, grace) = (self.some_room(), self.some_key(c), self.dice.chance(self.plan.grace));
            self.put(conn, Ask::Connect { room, key, grace }, &mut turn);
        }
        self.hand_turn(conn, turn);
    }

    fn speak(&mut self, conn: ConnId) {
        let count = if self.dice.chance(15) { self.dice.between(2, 4) } else { 1 };
        let mut turn = Turn::default();
        for _ in 0..count {
            self.maybe_prove(conn, &mut turn);
            self.say_one(conn, &mut turn);
        }
        self.hand_turn(conn, turn);
    }

    fn say_one(&mut self, conn: ConnId, turn: &mut Turn) {
        let c = self.server.conns[&conn].client;
        if self.server.conns[&conn].views.is_empty() && self.dice.chance(80) {
            let ask = self.some_entry(c);
            return self.put(conn, ask, turn);
        }
        let grace = self.dice.chance(self.plan.grace);
        let ask = match self.dice.below(100) {
            0..8 => {
                let is_right = self.dice.chance(95);
                Ask::Create { key: self.some_key(c), name: self.new_name(), is_right, grace }
            }
            8..26 => {
                let (room, is_right) = (self.some_room(), self.dice.chance(85));
                Ask::Join { room, key: self.some_key(c), name: self.new_name(), is_right, grace }
            }
            26..36 => Ask::Connect { room: self.some_room(), key: self.some_key(c), grace },
            36..41 => Ask::Disconnect { room: self.maybe_room(conn) },
            41..45 => {
                let key = self.dice.chance(50).then(|| self.some_key(c));
                Ask::Leave { room: self.maybe_room(conn), key }
            }
            45..49 => self.some_kick(conn),
            49..52 => Ask::Rename { room: self.own_room(conn), name: self.new_name() },
            52..76 => return self.put_signals(conn, turn),
            76..80 => return self.put_relay(conn, turn),
            80..85 => Ask::Presence { room: self.own_room(conn) },
            85..88 => Ask::Rooms { key: self.some_key(c) },
            88..90 => Ask::Info { key: self.some_key(c), name: self.new_name() },
            90..92 => Ask::Ping { stamp: self.step },
            92..93 => Ask::IceServers,
            93..96 if !self.tokens.is_empty() => {
                let token = self.dice.below(self.tokens.len());
                return self.put_resume(conn, token, turn);
            }
            96..97 => Ask::Unknown,
            97..98 => {
                let kinds = ["JoinRoom", "ConnectNetwork", "Kick", "GetUserRooms", "Resume", "Relay", "Offer"];
                Ask::Malformed(self.dice.pick(&kinds))
            }
            98 => return self.put_noise(conn, turn),
            _ => Ask::Presence { room: self.own_room(conn) },
        };
        self.put(conn, ask, turn);
    }

    /// Who is in no room makes one, or comes into one.
    fn some_entry(&mut self, c: usize) -> Ask {
        let (who, grace) = (self.some_key(c), self.dice.chance(self.plan.grace));
        let is_owner = self.journal.there().any(|(_, record)| record.owner == who);
        let room = self.some_room();
        let is_member = self.journal.now(&room).is_some_and(|record| record.member(who).is_some());
        let name = self.new_name();
        match self.dice.below(10) {
            0..4 if !is_owner && who != NO_KEY => Ask::Create { key: who, name, is_right: true, grace },
            0..7 if is_member => Ask::Connect { room, key: who, grace },
            _ => Ask::Join { room, key: who, name, is_right: self.dice.chance(90), grace },
        }
    }

    fn words_of(&mut self, conn: ConnId) -> Era {
        let era = self.clients[self.server.conns[&conn].client].era;
        if self.dice.chance(10) { era.pick(Era::Network, Era::Room) } else { era }
    }

    fn put_signals(&mut self, conn: ConnId, turn: &mut Turn) {
        let (era, target) = (self.words_of(conn), self.some_target(conn));
        let room = self.maybe_room(conn);
        let is_burst = self.dice.chance(4);
        let count = if is_burst { self.dice.between(BURST.0, BURST.1) } else { 1 };
        let has_id = self.dice.chance(70);
        for _ in 0..count {
            let kind = match self.dice.below(10) {
                _ if is_burst => Signal::Candidate,
                0..4 => Signal::Candidate,
                4..8 => Signal::Offer,
                _ => Signal::Answer,
            };
            let number = self.signals.len();
            let signal = Sent::new(conn, kind, era, target, room.clone(), self.step);
            let (name, words) = (signal.name(), signal.words(number));
            self.signals.push(signal);
            self.put_words(conn, Ask::Signal(number), era, (name, words), has_id, turn);
        }
    }

    fn put_relay(&mut self, conn: ConnId, turn: &mut Turn) {
        let era = self.words_of(conn);
        let target = if self.dice.chance(50) { Some(self.some_target(conn)) } else { None };
        let room = self.maybe_room(conn);
        let number = self.relays.len();
        let relay = Relayed::new(conn, target, room);
        let words = relay.words(number, era);
        self.relays.push(relay);
        let has_id = self.dice.chance(50);
        self.put_words(conn, Ask::Relay(number), era, ("Relay", words), has_id, turn);
    }

    /// A token that was given, or one that is a little other.
    pub fn put_resume(&mut self, conn: ConnId, token: usize, turn: &mut Turn) {
        let mut text = self.tokens[token].text.clone();
        self.tokens[token].tries += 1;
        if self.dice.chance(10) {
            let last = text.len() - 2;
            let other = if text.as_bytes()[last] == b'A' { "B" } else { "A" };
            text.replace_range(last..=last, other);
        }
        self.conn(conn).resuming += 1;
        self.put(conn, Ask::Resume { token, text }, turn);
    }

    /// What is no message at all.
    fn put_noise(&mut self, conn: ConnId, turn: &mut Turn) {
        self.conn(conn).blank += 1;
        let text = self.dice.pick(&["", "x", "[]", "{\"message_id\":7}", "{\"type\":\"Ping\",\"payload\":\"x\"}"]);
        self.add(conn, text, turn);
    }

    pub fn ask(&mut self, conn: ConnId, ask: Ask) {
        let mut turn = Turn::default();
        self.put(conn, ask, &mut turn);
        self.hand_turn(conn, turn);
    }

    pub fn put(&mut self, conn: ConnId, ask: Ask, turn: &mut Turn) {
        let era = self.words_of(conn);
        let mut words = ask.words(era);
        if let Ask::Prove(shown) = &ask {
            self.shows(conn, shown);
        }
        self.bend(conn, &ask, era, &mut words.1);
        self.put_words(conn, ask, era, words, true, turn);
    }

    /// Planted defects: the server hears another thing than was said.
    fn bend(&mut self, conn: ConnId, ask: &Ask, era: Era, payload: &mut Value) {
        match ask {
            Ask::Connect { room, .. } if self.saboteur.strikes(Mutation::AnyOwner, 30) => {
                if let Some(owner) = self.journal.now(room).map(|record| record.owner) {
                    payload["public_key"] = key(owner).into();
                }
            }
            Ask::Join { .. } if self.saboteur.strikes(Mutation::AnyPassword, 100) => {
                payload[era.pick("password", "pin")] = PASSWORD.into();
            }
            Ask::Resume { token, .. } if self.saboteur.strikes(Mutation::AnyToken, 100) => {
                payload["resume_token"] = json!(self.tokens[*token].text);
            }
            Ask::Prove(shown) if shown.key != NO_KEY && self.saboteur.strikes(Mutation::AnyProof, 100) => {
                if let Some(nonce) = &self.server.conns[&conn].nonce {
                    payload["signature"] = sign(shown.key, nonce).into();
                }
            }
            _ => {}
        }
    }

    fn put_words(
        &mut self,
        conn: ConnId,
        ask: Ask,
        era: Era,
        (kind, payload): (&'static str, Value),
        has_id: bool,
        turn: &mut Turn,
    ) {
        self.note_said(conn, &payload);
        let id = if has_id { format!("q{}", self.requests.len()) } else { String::new() };
        let is_serial = ask.is_serial();
        if has_id {
            let number = self.requests.len();
            let (sent, sent_at) = (self.step, self.now.mono);
            self.requests.push(Req { conn, era, ask, sent, sent_at, answered: None, is_given_up: false });
            // Data that is relayed is answered only if it is refused.
            let is_answered = !matches!(self.requests[number].ask, Ask::Relay(_));
            let of = self.conn(conn);
            match is_serial {
                true => of.serial.push_back(number),
                false if is_answered => of.loose.push(number),
                false => {}
            }
        } else {
            self.conn(conn).blank += 1;
        }
        let own = self.clients[self.server.conns[&conn].client].encoding;
        let encoding = if self.dice.chance(15) { self.dice.pick(&Encoding::ALL) } else { own };
        self.conn(conn).encodings |= encoding.bit();
        let text = wire::request(&id, kind, &payload, encoding);
        self.add(conn, &text, turn);
    }

    fn add(&mut self, conn: ConnId, text: &str, turn: &mut Turn) {
        let dialect = if self.clients[self.server.conns[&conn].client].says_so {
            DialectId::Signaling
        } else {
            DialectId::Hydrogen
        };
        let len = text.len() as u32;
        if self.dice.chance(15) {
            turn.bytes.extend_from_slice(text.as_bytes());
            turn.items.push(Item::Binary { conn, dialect, len });
        } else {
            turn.texts.push_str(text);
            turn.items.push(Item::Text { conn, dialect, len });
        }
    }

    fn hand_turn(&mut self, conn: ConnId, turn: Turn) {
        if !turn.items.is_empty() {
            self.hand_in(conn, turn.items, turn.texts, turn.bytes);
        }
    }
}
