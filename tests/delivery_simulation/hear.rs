//! What clients make of what they are sent.

use hydrogen::base::{ConnId, Reason};
use serde_json::Value;

use crate::client::{Command, Got, Role, Session};
use crate::server::Down;
use crate::trace::say;
use crate::wire::{Sent, id_of, number, string, text_of};
use crate::world::World;

impl World {
    /// One order of one worker is carried out. Returns false if there is none.
    pub fn deliver(&mut self) -> bool {
        let count = self.worker_count;
        let first = self.dice.below(count);
        for worker in (0..count).map(|index| (first + index) % count) {
            if let Some(down) = self.server.workers[worker].orders.pop_front() {
                self.down(down);
                return true;
            }
        }
        false
    }

    fn down(&mut self, down: Down) {
        let (Down::Event(conn, _) | Down::Text(conn, ..) | Down::Settle(conn, _) | Down::Close(conn)) = down;
        let Some(of) = self.server.conns.get_mut(&conn).filter(|of| !of.is_closed) else { return };
        let c = of.client;
        match down {
            Down::Event(_, sent) => self.event(c, conn, sent),
            Down::Text(_, frame, settles) => {
                of.settled += settles;
                let text = text_of(&frame);
                if text.starts_with("{\"type\":\"event\"") {
                    self.own_event(c, conn, text);
                } else {
                    self.response(c, conn, text);
                }
            }
            Down::Settle(_, count) => of.settled += count,
            Down::Close(_) => self.lose(conn, Reason::TakenOver),
        }
    }

    fn event(&mut self, c: usize, conn: ConnId, sent: Sent) {
        let client = &mut self.clients[c];
        if client.conn != Some(conn) {
            return;
        }
        if !sent.ack {
            assert!(client.role == Role::Listener, "client {c} is sent a best-effort event");
            match client.heard.iter_mut().find(|(epoch, _)| *epoch == sent.epoch) {
                Some((_, last)) => {
                    assert!(*last < sent.offset, "client {c} hears {:016x}-{} behind {last}", sent.epoch, sent.offset);
                    *last = sent.offset;
                }
                None => client.heard.push((sent.epoch, sent.offset)),
            }
            return;
        }
        let Some(sub) = client.sub else { return };
        let event = self.book.event_at(sent.epoch, sent.offset).expect("it was committed when it was sent");
        say!(self, "client {c} gets {:016x}-{}", sent.epoch, sent.offset);
        self.book.subs[sub].fate(event).is_received = true;
        let is_left = self.dice.chance(self.plan.lazy);
        let client = &mut self.clients[c];
        client.unacked.retain(|got| got.event != event);
        client.unacked.push(Got { epoch: sent.epoch, offset: sent.offset, topic: sent.topic, event, is_left });
    }

    /// `system.session` and its like.
    fn own_event(&mut self, c: usize, conn: ConnId, text: &str) {
        if string(text, "\"action\":\"") != Some("session") || self.clients[c].conn != Some(conn) {
            return;
        }
        let data = &text[text.find(",\"data\":").unwrap()..];
        let (id, secret) = (string(data, "\"session\":\"").unwrap(), string(data, "\"secret\":\"").unwrap());
        let is_resumed = data.contains("\"resumed\":true");
        let is_asked = self.clients[c].waiting.iter().any(|(_, command)| *command == Command::Resume);
        if is_resumed {
            let was = self.clients[c].claims.take();
            assert!(was == Some(true), "client {c} got a session that it may not have: {text}");
            let session = self.clients[c].session.as_ref().expect("it claimed one");
            assert!(*session.id == *id && *session.secret == *secret, "client {c} got another session: {text}");
            self.lost_topics(c, data);
            self.is_back(c);
            return self.refused_topics(c, data);
        }
        // Asked for with a command, the answer is still to come.
        if is_asked {
            return;
        }
        if self.clients[c].claims.take() == Some(true) {
            self.not_resumed(c, text);
        }
        self.new_session(c, id, secret);
    }

    fn new_session(&mut self, c: usize, id: &str, secret: &str) {
        // A sub that was begun on this very connection is the new session's own.
        let old = self.clients[c].session.take();
        if old.is_some() {
            self.leave_session(c);
        }
        self.clients[c].session = Some(Session {
            id: id.into(),
            secret: secret.into(),
            is_stored: false,
            lost: self.now.mono,
            may_be_gone: false,
        });
        self.clients[c].has_session = true;
        let conn = self.clients[c].conn.expect("who hears is there");
        self.bind(c, conn);
    }

    /// A session was not given back: there must be a reason.
    fn not_resumed(&mut self, c: usize, text: &str) {
        let client = &self.clients[c];
        let Some(session) = &client.session else { return };
        let settings = &self.plan.settings;
        let is_late = self.now.mono >= session.lost.after(settings.session_ttl);
        let is_crowded = settings.sessions_max < 100;
        let is_damaged = client.sub.is_some_and(|sub| self.book.subs[sub].is_over);
        let is_damaged = is_damaged || self.book.lost_sessions.contains(&session.id);
        let is_busy = text.contains("\"conflict\"") || text.contains("\"timeout\"");
        let may = session.may_be_gone || is_late || is_crowded || is_damaged || is_busy;
        assert!(may, "client {c} does not get its session {} back: {text}", session.id);
    }

    /// What is said to be lost was: it was trimmed, or damaged, or its time was over.
    fn lost_topics(&mut self, c: usize, data: &str) {
        let Some(list) = data.find("\"lost\":[").map(|at| &data[at + 8..]) else { return };
        let list = &list[..list.find(']').unwrap()];
        for topic in list.split(',').filter(|topic| !topic.is_empty()) {
            let topic = topic.trim_matches('"');
            let place = crate::wire::TOPICS.iter().position(|of| *of == topic).expect("a topic of this world");
            let is_cut = |event: &crate::book::Event| event.topic == place && event.gone != crate::book::Gone::No;
            assert!(self.book.events.iter().any(is_cut), "client {c} is told that it lost events of {topic}");
        }
    }

    /// Whoever resumed a session is a member of its subscription again.
    pub fn resumed(&mut self, c: usize, conn: ConnId) {
        let Some(sub) = self.clients[c].sub else { return };
        let is_answered = self.book.subs[sub].pats.iter().any(|pat| pat.answered > 0 && pat.ended == 0);
        if self.clients[c].conn == Some(conn) {
            self.server.conns.get_mut(&conn).expect("it is answered").is_joined = is_answered;
        }
    }

    fn is_back(&mut self, c: usize) {
        say!(self, "client {c} has its session back");
        let client = &mut self.clients[c];
        let stored = client.session.as_ref().is_some_and(|session| session.is_stored);
        let answered =
            client.sub.is_some_and(|sub| self.book.subs[sub].pats.iter().all(|pat| pat.answered > 0 || pat.ended > 0));
        client.is_subscribed = answered && stored;
        // It may have lost it again already.
        client.has_session = client.conn.is_some_and(|conn| !self.server.conns[&conn].is_over);
    }

    fn response(&mut self, c: usize, conn: ConnId, text: &str) {
        if self.clients[c].conn != Some(conn) {
            return;
        }
        let id = string(text, "\"id\":\"").expect("a response has an id");
        let id: u32 = id[1..].parse().expect("an id of ours");
        let client = &mut self.clients[c];
        let place = client.waiting.iter().position(|(waits, _)| *waits == id);
        let place = place.unwrap_or_else(|| panic!("client {c} is answered without or beyond a question: {text}"));
        let (_, command) = client.waiting.remove(place);
        let is_done = text.contains("\"status\":\"success\"");
        self.trace.mix(u64::from(id) << 1 | u64::from(is_done));
        self.responses += 1;
        match command {
            Command::Publish(n) => {
                if is_done {
                    client.publishes.retain(|open| *open != n);
                } else {
                    self.book.publishes[n].has_failed = true;
                }
            }
            Command::Subscribe(sub, place) => {
                let client = &mut self.clients[c];
                if client.sub != Some(sub) {
                    return;
                }
                if is_done {
                    let pat = &mut self.book.subs[sub].pats[place];
                    if pat.answered == 0 {
                        pat.answered = self.step;
                        if pat.is_repeated {
                            pat.holds_from = self.now.mono;
                        }
                    }
                    client.is_subscribed = true;
                    if let Some(session) = &mut client.session {
                        // What is there is joined without the store while that is in trouble.
                        session.is_stored |= client.role != Role::Durable || self.book.sessions.contains(&session.id);
                    }
                }
            }
            Command::Listen => client.is_subscribed = is_done,
            Command::Unsubscribe if client.sub.is_none() || !is_done => self.lose(conn, Reason::PeerEof),
            Command::Unsubscribe | Command::LettersChange => {}
            Command::Resume => self.resume_answered(c, is_done, text),
            Command::History(topic, since) if is_done => self.history(topic, since, text),
            Command::History(..) => {}
            Command::Letters if is_done => {
                let value: Value = serde_json::from_str(text).unwrap();
                for letter in value["data"]["items"].as_array().unwrap() {
                    let n = letter["payload"]["n"].as_u64().unwrap() as usize;
                    let (epoch, offset) = id_of(letter["event"].as_str().unwrap()).unwrap();
                    self.book.seen(epoch, offset, n);
                }
            }
            Command::Letters => {}
        }
    }

    fn resume_answered(&mut self, c: usize, is_done: bool, text: &str) {
        self.clients[c].claims = None;
        if !is_done {
            self.not_resumed(c, text);
            // It goes on with the session that it has.
            self.clients[c].session = None;
            self.leave_session(c);
            let conn = self.clients[c].conn.expect("who hears is there");
            return self.lose(conn, Reason::PeerEof);
        }
        let value: Value = serde_json::from_str(text).unwrap();
        let data = &value["data"];
        self.lost_topics(c, &text[text.find(",\"data\":").unwrap()..]);
        if let (Some(sub), Role::Session) = (self.clients[c].sub, self.clients[c].role) {
            let topics: Vec<&str> = data["topics"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let is_missing = |pat: &crate::book::Pat| {
                let pattern = crate::wire::PATTERNS[pat.pattern];
                pat.answered > 0 && pat.ended == 0 && !topics.contains(&pattern)
            };
            if self.book.subs[sub].pats.iter().any(is_missing) {
                return self.refused(c, text);
            }
        }
        self.is_back(c);
        self.refused_topics(c, text);
    }

    /// A subscription that was answered for is refused only if its session was over.
    fn refused_topics(&mut self, c: usize, text: &str) {
        if text.contains("\"refused\":[]") {
            return;
        }
        self.refused(c, text);
    }

    /// Its session is back, and its subscription is not. It begins anew.
    fn refused(&mut self, c: usize, text: &str) {
        let sub = self.clients[c].sub.filter(|_| self.clients[c].role == Role::Session);
        if sub.is_some_and(|sub| self.book.subs[sub].pats.iter().any(|pat| pat.answered > 0 && pat.ended == 0)) {
            self.not_resumed(c, text);
        }
        self.clients[c].session = None;
        self.leave_session(c);
        let conn = self.clients[c].conn.expect("who hears is there");
        self.lose(conn, Reason::PeerEof);
    }

    /// History is in order, has no gap that it does not tell of, and the payloads that were published.
    fn history(&mut self, topic: usize, since: u64, text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        let data = &value["data"];
        let mut last = since;
        for event in data["events"].as_array().unwrap() {
            let (epoch, offset) = id_of(event["id"].as_str().unwrap()).unwrap();
            self.book.seen(epoch, offset, event["data"]["n"].as_u64().unwrap() as usize);
            let is_whole = data["missing"] == true || offset == last + 1;
            assert!(is_whole, "history of {} has a gap before {offset}: {text}", crate::wire::TOPICS[topic]);
            assert!(offset > last || data["missing"] == true, "history goes back: {text}");
            last = offset;
        }
        let _ = number(text, "\"last\":");
    }
}
