//! The clients: who they are, and what they say when it is their turn.

use std::fmt::Write;

use hydrogen::base::{ConnId, DialectId, Mono, Reason, Secret};
use hydrogen::engine::http::ResumeClaim;
use hydrogen::engine::topic::Epoch;
use hydrogen::engine::work::{Item, Opening};

use crate::book::{Ack, Pat, Place, Publish, Sub};
use crate::keys::{keys, name};
use crate::mutation::Mutation;
use crate::trace::say;
use crate::wire::{PATTERNS, TOPICS};
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Publisher,
    /// A named subscription.
    Durable,
    /// Unnamed guaranteed subscriptions, and a session that is resumed.
    Session,
    /// Best-effort subscriptions.
    Listener,
    Admin,
}

/// A command on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Publish(usize),
    /// Patterns of the client's subscription from here on.
    Subscribe(usize, usize),
    Listen,
    Unsubscribe,
    Resume,
    History(usize, u64),
    Letters,
    LettersChange,
}

/// A session that may be taken up again.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: Box<str>,
    pub secret: Box<str>,
    /// It is on the disk: a guaranteed subscription of it was answered.
    pub is_stored: bool,
    /// When its connection was lost, or the server began; of no meaning while it has one.
    pub lost: Mono,
    /// It need not be there any more.
    pub may_be_gone: bool,
}

/// An event that came and is not acked.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    pub epoch: u64,
    pub offset: u64,
    pub topic: usize,
    pub event: u32,
    /// Nobody acks it in time.
    pub is_left: bool,
}

pub struct Client {
    pub who: usize,
    pub role: Role,
    pub name: Option<Box<str>>,
    pub conn: Option<ConnId>,
    pub session: Option<Session>,
    /// Its connection has the session.
    pub has_session: bool,
    /// The session that this connection asked for, and whether with the right secret.
    pub claims: Option<bool>,
    pub sub: Option<usize>,
    /// It need not subscribe on this connection any more.
    pub is_subscribed: bool,
    pub waiting: Vec<(u32, Command)>,
    pub unacked: Vec<Got>,
    pub publishes: Vec<usize>,
    /// Best-effort events that came last, by topic and epoch.
    pub heard: Vec<(u64, u64)>,
}

impl Client {
    pub fn new(who: usize, role: Role, name: Option<Box<str>>) -> Client {
        Client {
            who,
            role,
            name,
            conn: None,
            session: None,
            has_session: false,
            claims: None,
            sub: None,
            is_subscribed: false,
            waiting: Vec::new(),
            unacked: Vec::new(),
            publishes: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn waits_for(&self, is_it: impl Fn(Command) -> bool) -> bool {
        self.waiting.iter().any(|(_, command)| is_it(*command))
    }
}

impl World {
    /// One client does something.
    pub fn client_acts(&mut self) {
        let c = self.dice.below(self.clients.len());
        if self.clients[c].conn.is_none() {
            return self.connect(c);
        }
        if self.clients[c].waiting.len() > 6 {
            return;
        }
        match self.clients[c].role {
            Role::Publisher => self.publisher_acts(c),
            Role::Durable | Role::Session => self.subscriber_acts(c),
            Role::Listener => {
                if !self.clients[c].is_subscribed && !self.clients[c].waits_for(|command| command == Command::Listen) {
                    let pattern = PATTERNS[self.dice.below(PATTERNS.len())];
                    self.command(c, Command::Listen, "subscribe", &format!("{{\"topics\":[\"{pattern}\"]}}"));
                } else {
                    self.ask_history(c);
                }
            }
            Role::Admin => self.admin_acts(c),
        }
    }

    pub fn connect(&mut self, c: usize) {
        let reactor = self.dice.below(self.plan.reactors) as u8;
        let conn = self.server.open(reactor, c);
        let client = &mut self.clients[c];
        client.conn = Some(conn);
        client.is_subscribed = false;
        client.claims = None;
        client.has_session = false;
        client.unacked.clear();
        client.heard.clear();
        let mut claim = None;
        let mut asks = false;
        if let Some(session) = &client.session {
            let is_calm = self.is_calm;
            match self.dice.below(20) {
                0 if !is_calm && client.role == Role::Session => self.leave_session(c),
                1 if !is_calm => {
                    client.claims = Some(false);
                    let secret = if self.saboteur.kind == Mutation::AnySecret { &*session.secret } else { "wrong" };
                    claim = Some(ResumeClaim { session: session.id.clone(), secret: Secret::new(secret) });
                }
                2..8 => asks = true,
                _ => {
                    client.claims = Some(true);
                    claim = Some(ResumeClaim { session: session.id.clone(), secret: Secret::new(&*session.secret) });
                }
            }
        }
        if claim.is_some() || asks {
            self.server.conns.get_mut(&conn).expect("it was just opened").sub = self.clients[c].sub;
        }
        let who = self.clients[c].who;
        say!(self, "client {c} ({}) connects as {conn}; resumes: {claim:?}", name(who));
        let opening = Opening {
            conn,
            dialect: DialectId::Hydrogen,
            identity: Some(keys().identities[who].clone()),
            address: std::net::SocketAddr::from(([10, 0, 0, 1], 1024)),
            protocol: None,
            client_id: None,
            access_version: 0,
            resume: claim.map(Box::new),
        };
        self.hand_in(conn, vec![Item::Open(Box::new(opening))], String::new(), None);
        if asks {
            self.ask_resume(c);
        }
    }

    fn ask_resume(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let Some(session) = &client.session else { return };
        client.claims = Some(true);
        let mut data = format!("{{\"session\":\"{}\",\"secret\":\"{}\"", session.id, session.secret);
        if let Some(sub) = client.sub.filter(|_| self.dice.chance(30)) {
            // What came last of a topic, if everything before it came, too.
            let topic = self.dice.below(TOPICS.len());
            let fates = &self.book.subs[sub].fates;
            let of_topic = |index: &usize| self.book.events[*index].topic == topic;
            let sent = (0..fates.len()).filter(of_topic).filter(|index| fates[*index].life > 0);
            let sent: Vec<usize> = sent.collect();
            let is_one = sent.windows(2).all(|pair| self.book.events[pair[0]].epoch == self.book.events[pair[1]].epoch);
            let last = sent.iter().copied().take_while(|index| fates[*index].is_received).last();
            if let Some(last) = last.filter(|_| is_one) {
                let (place, text) = Place::of(self.book.events[last].epoch, self.book.events[last].offset);
                if place.epoch.is_none() {
                    self.book.subs[sub].vague.push((topic, place.offset));
                }
                let _ = write!(data, ",\"seen\":{{\"{}\":{text}}}", TOPICS[topic]);
                for index in sent.into_iter().filter(|index| *index <= last) {
                    self.book.subs[sub].fate(index as u32).is_claimed = true;
                }
            }
        }
        data.push('}');
        self.command(c, Command::Resume, "resume", &data);
    }

    /// The client's session is left to itself, and its subscription with it.
    pub fn leave_session(&mut self, c: usize) {
        let client = &mut self.clients[c];
        client.session = None;
        if client.role == Role::Session
            && let Some(sub) = client.sub.take()
        {
            self.book.subs[sub].is_over = true;
        }
    }

    /// The connection is lost: what is on its way in either direction may be lost with it.
    pub fn lose(&mut self, conn: ConnId, reason: Reason) {
        let Some(of) = self.server.conns.get_mut(&conn).filter(|of| !of.is_closed) else { return };
        of.is_closed = true;
        let c = of.client;
        if self.dice.chance(50) {
            self.drop_texts(conn);
        }
        say!(self, "client {c} loses {conn}");
        self.hand_in(conn, vec![Item::Closed { conn, reason }], String::new(), None);
        self.server.free(conn);
        let client = &mut self.clients[c];
        if client.conn == Some(conn) {
            client.conn = None;
            self.disconnected(c);
        }
    }

    /// What a client forgets and keeps without a connection.
    pub fn disconnected(&mut self, c: usize) {
        let now = self.now.mono;
        let client = &mut self.clients[c];
        client.waiting.clear();
        client.unacked.clear();
        client.is_subscribed = false;
        match &mut client.session {
            Some(session) if client.has_session => session.lost = now,
            Some(_) => {}
            // It never learned how to come back.
            None => self.leave_session(c),
        }
    }

    /// Messages that the server has not taken yet are lost, from some place on.
    fn drop_texts(&mut self, conn: ConnId) {
        let worker = usize::from(hydrogen::engine::work::worker_of(conn, self.worker_count).0);
        let sender = self.worker_count + 1 + usize::from(conn.reactor().0);
        self.server.workers[worker].inbox[sender].retain(|message| match message {
            crate::server::Message::Batch(batch, _) => {
                !matches!(batch.items[0], Item::Text { conn: of, .. } if of == conn)
            }
            _ => true,
        });
    }

    fn publisher_acts(&mut self, c: usize) {
        if self.dice.chance(25) {
            let open = self.clients[c].publishes.clone();
            if !open.is_empty() {
                let n = self.dice.pick(&open);
                let is_waited_for = self.clients[c].waits_for(|command| command == Command::Publish(n));
                if !is_waited_for || self.dice.chance(10) {
                    return self.send_publish(c, n);
                }
            }
        }
        if self.dice.chance(5) {
            return self.ask_history(c);
        }
        let n = self.book.publishes.len();
        if n >= 60 {
            return;
        }
        let ttl = self.dice.chance(10).then(|| self.dice.between(1, 5) as u64);
        self.book.publishes.push(Publish {
            topic: self.dice.below(TOPICS.len()),
            k: self.dice.below(2),
            guaranteed: self.dice.chance(75),
            ttl,
            retain: self.dice.chance(5),
            step: self.step,
            answer: None,
            is_synced: false,
            has_failed: false,
            stored: Vec::new(),
        });
        self.clients[c].publishes.push(n);
        self.send_publish(c, n);
    }

    pub fn send_publish(&mut self, c: usize, n: usize) {
        let publish = &self.book.publishes[n];
        let mut data = String::with_capacity(96);
        let _ = write!(data, "{{\"topic\":\"{}\",\"payload\":{{\"n\":{n},\"k\":{}}}", TOPICS[publish.topic], publish.k);
        if publish.guaranteed {
            data.push_str(",\"guarantee\":\"at_least_once\"");
        }
        if let Some(ttl) = publish.ttl {
            let _ = write!(data, ",\"ttl_s\":{ttl}");
        }
        if publish.retain {
            data.push_str(",\"retain\":true");
        }
        data.push('}');
        self.command(c, Command::Publish(n), "publish", &data);
    }

    pub fn subscriber_acts(&mut self, c: usize) {
        let client = &self.clients[c];
        let is_busy = client.waits_for(|command| matches!(command, Command::Subscribe(..) | Command::Unsubscribe));
        // What the session is must be known first.
        if client.claims.is_some() {
            return;
        }
        if !client.is_subscribed && !is_busy && client.session.is_some() | self.dice.chance(50) {
            return self.subscribe(c);
        }
        if !client.unacked.is_empty() && self.dice.chance(80) {
            return self.ack_some(c);
        }
        match self.dice.below(40) {
            0 if !is_busy && !self.is_calm && client.is_subscribed => self.unsubscribe(c),
            1 if !is_busy && !self.is_calm && client.role == Role::Session => {
                self.clients[c].is_subscribed = false;
            }
            2 => self.ack_nonsense(c),
            3 => self.ask_history(c),
            // Another connection takes the session over, while this one still has it.
            4 if !self.is_calm && client.session.is_some() && client.is_subscribed && client.role == Role::Session => {
                say!(self, "client {c} takes its session over");
                let now = self.now.mono;
                let client = &mut self.clients[c];
                client.waiting.clear();
                if let Some(session) = &mut client.session {
                    session.lost = now;
                }
                self.connect(c);
            }
            _ => {}
        }
    }

    /// Asks for what the subscription is to have: again all of it, if this is another connection.
    pub fn subscribe(&mut self, c: usize) {
        let client = &self.clients[c];
        let is_durable = client.role == Role::Durable;
        let sub = match client.sub {
            Some(sub) => sub,
            None => self.new_sub(c),
        };
        let heard = self.server.workers.iter().map(|worker| worker.heard).min().unwrap_or(0);
        let of = &mut self.book.subs[sub];
        let has_all = of.pats.iter().all(|pat| pat.answered > 0 || pat.ended > 0);
        if of.pats.is_empty() || (has_all && !is_durable && of.pats.len() < 4) {
            let pattern = self.dice.below(PATTERNS.len());
            if of.pats.iter().any(|pat| pat.pattern == pattern) {
                return;
            }
            let is_all = of.pats.is_empty() && self.dice.chance(25);
            let filter = self.dice.chance(20).then(|| self.dice.below(2));
            of.pats.push(Pat {
                pattern,
                filter,
                is_all,
                asked: self.step,
                heard,
                answered: 0,
                holds_from: self.now.mono,
                is_repeated: false,
                ended: 0,
            });
        }
        let open = |pat: &Pat| pat.ended == 0 && (is_durable || pat.answered == 0);
        let Some(place) = of.pats.iter().position(open) else {
            self.clients[c].is_subscribed = true;
            return;
        };
        let pat = &mut of.pats[place];
        pat.is_repeated |= pat.asked < self.step && pat.answered == 0;
        let pat = &of.pats[place];
        let mut data = String::with_capacity(128);
        let _ = write!(
            data,
            "{{\"topics\":[\"{}\"],\"guarantee\":\"at_least_once\",\"ack_timeout_ms\":{}",
            PATTERNS[pat.pattern], self.plan.ack_ms
        );
        let wide = if self.saboteur.kind == Mutation::WideWindow { 9 } else { 0 };
        let _ = write!(data, ",\"window\":{}", of.window + wide);
        if let Some(name) = &self.clients[c].name {
            let _ = write!(data, ",\"name\":\"{name}\"");
        }
        if let Some(filter) = pat.filter {
            let _ = write!(data, ",\"filter\":{{\"k\":{filter}}}");
        }
        if pat.is_all {
            data.push_str(",\"from\":\"all\"");
        }
        data.push('}');
        let conn = self.clients[c].conn.expect("who speaks is there");
        self.server.conns.get_mut(&conn).expect("who speaks is there").sub = Some(sub);
        self.command(c, Command::Subscribe(sub, place), "subscribe", &data);
    }

    fn new_sub(&mut self, c: usize) -> usize {
        let client = &self.clients[c];
        let key: Option<Box<str>> = match &client.name {
            Some(of) => Some(format!("d/{of}/{}", name(client.who)).into()),
            None => {
                let session = client.conn.and_then(|conn| self.server.conns[&conn].session.as_deref());
                session.map(|session| format!("s/{session}").into())
            }
        };
        if let Some(sub) = key.as_ref().and_then(|key| self.book.keys.get(key)) {
            // The other of its group has made it.
            self.book.subs[*sub].is_group = true;
            self.clients[c].sub = Some(*sub);
            return *sub;
        }
        let sub = self.book.subs.len();
        let most = self.plan.settings.delivery.window_max;
        let window = self.dice.pick(&[1, 2, 3, 8]).min(most);
        if let Some(key) = &key {
            self.book.keys.insert(key.clone(), sub);
        }
        self.book.subs.push(Sub { key, window, ..Sub::default() });
        self.clients[c].sub = Some(sub);
        sub
    }

    /// The session of a client's connection is known: its subscription has a name.
    pub fn bind(&mut self, c: usize, conn: ConnId) {
        if self.clients[c].role != Role::Session || self.clients[c].conn != Some(conn) {
            return;
        }
        let Some(sub) = self.clients[c].sub else { return };
        let session = self.server.conns[&conn].session.as_deref();
        if let (None, Some(session)) = (&self.book.subs[sub].key, session) {
            let key: Box<str> = format!("s/{session}").into();
            self.book.subs[sub].key = Some(key.clone());
            self.book.keys.insert(key, sub);
        }
    }

    fn unsubscribe(&mut self, c: usize) {
        let Some(sub) = self.clients[c].sub else { return };
        let step = self.step;
        let of = &mut self.book.subs[sub];
        if let Some(name) = self.clients[c].name.clone() {
            if of.is_group {
                return;
            }
            of.is_over = true;
            self.names += 1;
            let fresh: Box<str> = format!("n{}", self.names).into();
            for client in self.clients.iter_mut().filter(|client| client.name.as_ref() == Some(&name)) {
                client.name = Some(fresh.clone());
                client.sub = None;
                client.is_subscribed = false;
                client.unacked.clear();
            }
            // Its session may have it still, if that is lost with the server.
            self.clients[c].session = None;
            return self.command(c, Command::Unsubscribe, "unsubscribe", &format!("{{\"name\":\"{name}\"}}"));
        }
        let open = of.pats.iter().position(|pat| pat.answered > 0 && pat.ended == 0);
        let Some(place) = open else { return };
        of.pats[place].ended = step;
        let is_last = of.pats.iter().all(|pat| pat.ended > 0);
        let pattern = PATTERNS[of.pats[place].pattern];
        if is_last {
            of.is_over = true;
            self.clients[c].sub = None;
            self.clients[c].is_subscribed = false;
            self.clients[c].unacked.clear();
            // Another one of this session would have the same name.
            self.clients[c].session = None;
        }
        self.command(c, Command::Unsubscribe, "unsubscribe", &format!("{{\"topics\":[\"{pattern}\"]}}"));
        if is_last {
            let conn = self.clients[c].conn.expect("who speaks is there");
            self.lose(conn, Reason::PeerEof);
        }
    }

    fn ack_some(&mut self, c: usize) {
        let is_calm = self.is_calm;
        let client = &mut self.clients[c];
        let sub = client.sub.expect("who is sent events is subscribed");
        let open: Vec<usize> =
            (0..client.unacked.len()).filter(|place| is_calm || !client.unacked[*place].is_left).collect();
        if open.is_empty() {
            return;
        }
        let place = open[self.dice.below(open.len())];
        let got = client.unacked[place];
        let id = |got: &Got| format!("{}-{}", Epoch::new(got.epoch), got.offset);
        let mut ack = Ack {
            sub,
            conn: client.conn.expect("who acks is there"),
            events: vec![got.event],
            through: None,
            is_reject: false,
            counts: false,
        };
        let text = match self.dice.below(if is_calm { 60 } else { 100 }) {
            _ if self.dice.chance(self.plan.rejects) && !is_calm => {
                ack.is_reject = true;
                client.unacked.remove(place);
                format!("{{\"type\":\"ack\",\"id\":\"{}\",\"status\":\"reject\",\"reason\":\"no\"}}", id(&got))
            }
            0..40 => {
                // Some ack twice.
                if self.dice.chance(90) {
                    client.unacked.remove(place);
                }
                if self.saboteur.kind == Mutation::AckTooMuch {
                    let topic = TOPICS[got.topic];
                    let through = got.offset + 1;
                    format!("{{\"type\":\"ack\",\"topic\":\"{topic}\",\"through\":{through}}}")
                } else {
                    format!("{{\"type\":\"ack\",\"id\":\"{}\"}}", id(&got))
                }
            }
            40..70 => {
                ack.events = open.iter().map(|place| client.unacked[*place].event).collect();
                let ids: Vec<String> =
                    open.iter().map(|place| format!("\"{}\"", id(&client.unacked[*place]))).collect();
                client.unacked.retain(|got| !is_calm && got.is_left);
                format!("{{\"type\":\"ack\",\"ids\":[{}]}}", ids.join(","))
            }
            _ => {
                // Of one epoch, and only if nothing before it is left out on purpose.
                let same = |other: &Got| other.topic == got.topic;
                let is_one = client.unacked.iter().filter(|other| same(other)).all(|other| other.epoch == got.epoch);
                if !is_one {
                    return;
                }
                ack.events.clear();
                let (place, text) = Place::of(got.epoch, got.offset);
                ack.through = Some((got.topic, place));
                client.unacked.retain(|other| !same(other) || other.offset > got.offset);
                format!("{{\"type\":\"ack\",\"topic\":\"{}\",\"through\":{text}}}", TOPICS[got.topic])
            }
        };
        let ack_number = self.book.acks.len();
        self.book.acks.push(ack);
        self.speak(c, text, Some(ack_number));
    }

    /// Acks of what is not there are ignored.
    fn ack_nonsense(&mut self, c: usize) {
        let text = match self.dice.below(3) {
            0 => "{\"type\":\"ack\",\"id\":\"00000000000000aa-1\"}",
            1 => "{\"type\":\"ack\",\"id\":\"nonsense\"}",
            _ => "{\"type\":\"ack\",\"topic\":\"no.topic\",\"through\":5}",
        };
        self.speak(c, text.to_owned(), None);
    }

    fn ask_history(&mut self, c: usize) {
        let topic = self.dice.below(TOPICS.len());
        let since = self.dice.below(6) as u64;
        let data = format!("{{\"topic\":\"{}\",\"since\":{since},\"limit\":5}}", TOPICS[topic]);
        self.command(c, Command::History(topic, since), "history", &data);
    }

    fn admin_acts(&mut self, c: usize) {
        match self.dice.below(10) {
            0..4 => self.command(c, Command::Letters, "dead_letters", "{}"),
            4..8 => self.command(c, Command::LettersChange, "dead_letters.replay", "{\"all\":true}"),
            8 => self.command(c, Command::LettersChange, "dead_letters.discard", "{\"all\":true}"),
            _ => self.ask_history(c),
        }
    }

    pub fn command(&mut self, c: usize, command: Command, action: &str, data: &str) {
        let (kind, number) = match command {
            Command::Publish(n) => ('p', n as u32),
            _ => {
                self.commands += 1;
                ('c', self.commands)
            }
        };
        let number = if kind == 'p' { number } else { number + (1 << 24) };
        let mut text = String::with_capacity(data.len() + 96);
        let _ = write!(
            text,
            "{{\"type\":\"command\",\"id\":\"{kind}{number}\",\"channel\":\"system\",\"action\":\"{action}\",\"data\":{data}}}"
        );
        self.clients[c].waiting.push((number, command));
        self.speak(c, text, None);
    }

    fn speak(&mut self, c: usize, text: String, ack: Option<usize>) {
        let conn = self.clients[c].conn.expect("who speaks is there");
        say!(self, "client {c} says {text}");
        let item = Item::Text { conn, dialect: DialectId::Hydrogen, len: text.len() as u32 };
        self.hand_in(conn, vec![item], text, ack);
    }
}
