//! What a client says: commands of every kind, messages that are none, and breaches of the rules.

use std::sync::Arc;

use hydrogen::engine::topic::{Filter, Pattern};
use hydrogen::engine::ws::{Control, Data, OpCode};
use serde_json::{Value, json};

use crate::client::{Client, Kind};
use crate::floor::Floor;
use crate::keys::Keys;
use crate::shadow::{Ask, AskKind, Grant, Publish};

const TOPICS: &[&str] = &["t.a", "t.b", "t.c.d", "t.c.e", "u.x", "u.y.z"];
const PATTERNS: &[&str] =
    &["t.a", "t.b", "t.c.d", "u.x", "u.y.z", "app.tick", "t.*", "t.>", ">", "t.c.*", "*.*", "u.>", "*.c.>"];
/// Messages without an answer yet, beyond which a client waits.
const OWED: usize = 24;

impl Client {
    /// Says something, if there is something to say.
    pub fn speak(&mut self, keys: &Keys, floor: &mut Floor<'_>) {
        if self.is_asking() && floor.dice.chance(floor.plan.rude) && floor.dice.chance(20) {
            floor.say(format!("link {} gives up", self.link));
            if floor.dice.chance(50) {
                return self.leave(floor);
            }
            floor.links[self.link].reset();
            self.is_gone = true;
        }
        if !self.may_speak() || floor.shadow.books[self.link].owed() > OWED {
            return;
        }
        if floor.dice.chance(floor.plan.rude) && floor.dice.chance(20) {
            return self.misbehave(floor);
        }
        if self.kind == Kind::Echo {
            let text = format!("echo {}", floor.dice.below(1000));
            floor.shadow.books[self.link].echoes.push_back(text.clone());
            return self.text(&text, floor);
        }
        if self.in_band && floor.shadow.books[self.link].name.is_none() && floor.dice.chance(70) {
            return self.authenticate(keys, floor);
        }
        match floor.dice.below(100) {
            0..36 => self.publish(floor),
            36..52 => self.subscribe(floor),
            52..57 => self.unsubscribe(floor),
            57..64 => self.echo("system", "ping", floor),
            64..69 => self.echo("app", "now", floor),
            69..76 => {
                let data = json!({"late": floor.dice.below(1000)});
                self.command("app", "later", &data, AskKind::Later(data.clone()), floor);
            }
            76..79 => self.secure(keys, floor),
            79..82 => self.presence(floor),
            82..86 => self.older(floor),
            86..92 => self.oddity(floor),
            92..95 => self.ping(floor),
            95..98 => self.ask_about(floor),
            98 if floor.dice.chance(20) => self.close(floor),
            _ if self.key == Some(2) => self.administer(keys, floor),
            _ => self.text(r#"{"type":"ack","id":"0000000000000000-1"}"#, floor),
        }
    }

    fn command(&mut self, channel: &str, action: &str, data: &Value, kind: AskKind, floor: &mut Floor<'_>) {
        self.number += 1;
        let id = format!("{}-{}", self.link, self.number);
        let text = json!({"type": "command", "id": id, "channel": channel, "action": action, "data": data}).to_string();
        self.enter(&id, channel, action, kind, floor);
        floor.say(format!("  {}", &text[..text.len().min(400)]));
        self.text(&text, floor);
    }

    fn enter(&mut self, id: &str, channel: &str, action: &str, kind: AskKind, floor: &mut Floor<'_>) {
        floor.say(format!("link {} asks {id} {channel}.{action}", self.link));
        let book = &mut floor.shadow.books[self.link];
        if matches!(kind, AskKind::Echo(_)) {
            book.in_order.push_back(id.into());
        }
        book.asked.insert(id.into(), Ask { kind, channel: channel.into(), action: action.into() });
    }

    fn echo(&mut self, channel: &str, action: &str, floor: &mut Floor<'_>) {
        let data = json!({"echo": floor.dice.below(1000)});
        self.command(channel, action, &data, AskKind::Echo(data.clone()), floor);
    }

    fn authenticate(&mut self, keys: &Keys, floor: &mut Floor<'_>) {
        let (token, name) = match self.key {
            Some(key) if floor.dice.chance(90) => (keys.0[key].token.expose(), Some(keys.0[key].name)),
            _ => ("nobody's".to_owned(), None),
        };
        self.command("system", "authenticate", &json!({ "token": token }), AskKind::Authenticate(name), floor);
    }

    fn publish(&mut self, floor: &mut Floor<'_>) {
        let topic = floor.dice.pick(TOPICS);
        let retain = floor.dice.chance(20);
        let ttl = (retain && floor.dice.chance(30)).then(|| floor.dice.between(1, 20));
        let clears = retain && floor.dice.chance(15);
        let (low, k) = (floor.dice.chance(20), floor.dice.below(5));
        let pad = "x".repeat(if floor.dice.chance(20) { floor.dice.below(600) } else { floor.dice.below(30) });
        let mut payload = Value::Null;
        let number = floor.shadow.new_publish(|number, sent| {
            if !clears {
                payload = json!({"n": number, "k": k, "pad": pad});
            }
            Publish {
                topic: topic.into(),
                payload: payload.clone(),
                retain,
                has_ttl: ttl.is_some(),
                clears,
                sent,
                done: None,
                id: None,
                is_refused: false,
            }
        });
        let mut data = json!({"topic": topic, "payload": payload, "retain": retain});
        if let Some(ttl) = ttl {
            data["ttl_s"] = json!(ttl);
        }
        if low {
            data["priority"] = json!("low");
        }
        self.command("system", "publish", &data, AskKind::Publish(number), floor);
    }

    fn subscribe(&mut self, floor: &mut Floor<'_>) {
        let mut patterns: Vec<&str> = (0..floor.dice.between(1, 2)).map(|_| floor.dice.pick(PATTERNS)).collect();
        patterns.dedup();
        let filter = match floor.dice.below(8) {
            0 => Some(json!({"k": 1})),
            1 => Some(json!({"k": {"lt": 3}})),
            2 => Some(json!({"k": {"in": [0, 2, 4]}})),
            _ => None,
        };
        let (conflate, from_last) = (floor.dice.chance(15), floor.dice.chance(30));
        let (drops, is_bulk) = (floor.dice.chance(40), floor.dice.chance(20));
        let mut data = json!({ "topics": patterns });
        if let Some(filter) = &filter {
            data["filter"] = filter.clone();
        }
        for (is_set, field, value) in [
            (conflate, "conflate", json!(true)),
            (from_last, "from", json!("last")),
            (drops, "overflow", json!("drop_oldest")),
            (is_bulk, "priority", json!("bulk")),
        ] {
            if is_set {
                data[field] = value;
            }
        }
        let sent = floor.shadow.step;
        let filter = filter.and_then(|filter| Filter::parse(&filter).unwrap()).map(Arc::new);
        let grants = &mut floor.shadow.books[self.link].grants;
        let mut made = Vec::new();
        for pattern in patterns {
            let pattern = Pattern::parse(pattern).unwrap();
            for earlier in grants.iter_mut().filter(|grant| grant.pattern == pattern) {
                earlier.must_until.get_or_insert(sent);
            }
            made.push(grants.len());
            grants.push(Grant {
                pattern,
                filter: filter.clone(),
                conflate,
                is_bulk,
                from_last,
                sent,
                from: None,
                must_until: None,
                told_over: None,
                over: None,
                replayed: Default::default(),
            });
        }
        self.command("system", "subscribe", &data, AskKind::Subscribe(made), floor);
    }

    fn unsubscribe(&mut self, floor: &mut Floor<'_>) {
        let pattern = floor.dice.pick(PATTERNS);
        let sent = floor.shadow.step;
        let grants = &mut floor.shadow.books[self.link].grants;
        let mut ended = Vec::new();
        for (index, grant) in grants.iter_mut().enumerate().filter(|(_, grant)| grant.pattern.as_str() == pattern) {
            grant.must_until.get_or_insert(sent);
            ended.push(index);
        }
        let kind = AskKind::Unsubscribe(ended);
        self.command("system", "unsubscribe", &json!({"topics": [pattern]}), kind, floor);
    }

    /// A command that must be signed, mostly by those who can.
    fn secure(&mut self, keys: &Keys, floor: &mut Floor<'_>) {
        let Some(key) = self.key.map(|key| &keys.0[key]) else { return };
        let data = json!({"secure": floor.dice.below(1000)});
        let timestamp = floor.now.wall.to_string();
        self.number += 1;
        let id = format!("{}-{}", self.link, self.number);
        let mut message = json!({"type": "command", "id": id, "timestamp": timestamp, "channel": "app",
            "action": "secure", "data": data});
        let signature = key.sign(&id, &timestamp, "app", "secure", &data.to_string());
        let kind = match signature {
            Some(signature) => {
                message["auth"] = json!({ "signature": signature });
                AskKind::Later(data)
            }
            None => AskKind::Fails("bad_signature"),
        };
        self.enter(&id, "app", "secure", kind, floor);
        self.text(&message.to_string(), floor);
    }

    fn presence(&mut self, floor: &mut Floor<'_>) {
        let topic = floor.dice.pick(TOPICS);
        let book = &floor.shadow.books[self.link];
        let holds = |grant: &Grant| grant.from.is_some() && grant.must_until.is_none() && grant.pattern.matches(topic);
        let held = book.grants.iter().enumerate().filter(|(_, grant)| holds(grant)).map(|(index, _)| index).collect();
        let kind = AskKind::Presence { topic: topic.into(), held };
        self.command("system", "presence", &json!({ "topic": topic }), kind, floor);
    }

    fn older(&mut self, floor: &mut Floor<'_>) {
        if floor.shadow.has_rate {
            // A refusal of these names nothing that it could be known by.
            return;
        }
        let book = &mut floor.shadow.books[self.link];
        if floor.dice.chance(50) {
            book.keepalives += 1;
            self.text(r#"{"type":"keepalive"}"#, floor);
        } else if book.name.is_some() {
            book.statuses += 1;
            self.text(r#"{"type":"status"}"#, floor);
        }
    }

    /// Commands that fail, and messages that are none.
    fn oddity(&mut self, floor: &mut Floor<'_>) {
        let data = json!({"odd": true});
        match floor.dice.below(8) {
            0 => self.command("app", "fails", &data, AskKind::Fails("conflict"), floor),
            1 => {
                floor.shadow.panics += 1;
                self.command("app", "panics", &data, AskKind::Fails("internal"), floor);
            }
            2 => {
                floor.shadow.panics += 1;
                self.command("app", "panics_late", &data, AskKind::Fails("internal"), floor);
            }
            3 => self.command("app", "promises", &data, AskKind::Fails("internal"), floor),
            4 => self.command("app", "no_such", &data, AskKind::Fails("no_handler"), floor),
            5 => self.nameless(r#"{"type":"dance"}"#, floor),
            6 => self.nameless("{\"type\":", floor),
            _ => self.nameless(r#"{"type":"command","channel":"system","action":"ping"}"#, floor),
        }
    }

    fn nameless(&mut self, text: &str, floor: &mut Floor<'_>) {
        floor.shadow.books[self.link].nameless += 1;
        self.text(text, floor);
    }

    fn ask_about(&mut self, floor: &mut Floor<'_>) {
        let topic = floor.dice.pick(TOPICS);
        let (action, data) = match floor.dice.below(6) {
            0 => ("history", json!({ "topic": topic })),
            1 => ("info", json!({})),
            2 => ("status", json!({})),
            3 => ("sessions", json!({"limit": 2})),
            4 => ("connections", json!({})),
            _ => ("topics", json!({})),
        };
        self.command("system", action, &data, AskKind::Any(&["forbidden", "internal"]), floor);
    }

    fn administer(&mut self, keys: &Keys, floor: &mut Floor<'_>) {
        let name = floor.dice.pick(&[0, 1, 3, 4]);
        let name = keys.0[name].name;
        let (action, data) = match floor.dice.below(4) {
            0 => ("disconnect", json!({ "identity": name })),
            1 => ("block", json!({"identity": name, "duration_s": floor.dice.between(1, 30)})),
            2 => ("block", json!({"address": "10.0.0.3", "duration_s": 5})),
            _ => ("unblock", json!({ "identity": name })),
        };
        self.command("system", action, &data, AskKind::Any(&["not_found", "forbidden"]), floor);
    }

    /// What no client should do.
    fn misbehave(&mut self, floor: &mut Floor<'_>) {
        let what = floor.dice.below(9);
        floor.say(format!("link {} misbehaves: {what}", self.link));
        match what {
            0 => {
                floor.links[self.link].reset();
                self.is_gone = true;
                return;
            }
            1 => return self.leave(floor),
            2 => {
                // It ends its half, and goes on reading.
                let rest = self.outbox.len();
                self.write(rest, floor);
                floor.links[self.link].up.end();
            }
            3 => {
                self.is_silent = true;
                return;
            }
            4 if self.kind == Kind::Hydrogen => {
                floor.shadow.books[self.link].nameless += 1;
                return self.frame(OpCode::Data(Data::Binary), true, b"binary", floor);
            }
            5 => self.outbox.extend([0x81, 0x01, b'x']),
            6 => self.frame(OpCode::Data(Data::Text), true, &[0xff, 0xfe], floor),
            7 => self.frame(OpCode::Data(Data::Text), true, &[b' '; 3000], floor),
            _ => self.frame(OpCode::Control(Control::Ping), false, b"", floor),
        }
        self.is_rude = true;
    }
}
