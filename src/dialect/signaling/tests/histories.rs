//! Random histories: shards and model agree on every word that anybody is told; and with a store
//! that is slow and fails at random, nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{PeerKeys, Signaling, SignalingSettings};
use super::model::{CLIENTS, MEMBERS, Model, ModelRoom};
use super::person::{key, sign};
use super::scene::{Disk, Got, Scene, loose};
use crate::base::ConnId;

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close(usize),
    Create(usize, u8),
    Join(usize, usize, u8, bool),
    Connect(usize, usize, u8),
    Disconnect(usize, Option<usize>),
    Leave(usize, Option<usize>, u8),
    Kick(usize, usize, u8),
    Rename(usize, usize),
    Offer(usize, Option<usize>, u8),
    Prove(usize, u8),
    Restart,
}

fn step() -> impl Strategy<Value = (Step, bool)> {
    let (conn, room, who) = (0usize..6, 0usize..4, 1u8..5);
    let named = proptest::option::of(0usize..4);
    let step = prop_oneof![
        4 => Just(Step::Open),
        2 => conn.clone().prop_map(Step::Close),
        3 => (conn.clone(), who.clone()).prop_map(|(conn, who)| Step::Create(conn, who)),
        8 => (conn.clone(), room.clone(), who.clone(), proptest::bool::weighted(0.9)).prop_map(|(conn, room, who, right)| Step::Join(conn, room, who, right)),
        5 => (conn.clone(), room.clone(), who.clone()).prop_map(|(conn, room, who)| Step::Connect(conn, room, who)),
        2 => (conn.clone(), named.clone()).prop_map(|(conn, room)| Step::Disconnect(conn, room)),
        2 => (conn.clone(), named.clone(), who.clone()).prop_map(|(conn, room, who)| Step::Leave(conn, room, who)),
        2 => (conn.clone(), room.clone(), who.clone()).prop_map(|(conn, room, who)| Step::Kick(conn, room, who)),
        2 => (conn.clone(), room.clone()).prop_map(|(conn, room)| Step::Rename(conn, room)),
        2 => (conn.clone(), who.clone()).prop_map(|(conn, who)| Step::Prove(conn, who)),
        4 => (conn, named, who).prop_map(|(conn, room, who)| Step::Offer(conn, room, who)),
        1 => Just(Step::Restart),
    ];
    (step, proptest::bool::weighted(0.1))
}

/// What a message is about, as the model has it.
fn about(got: &Got) -> String {
    let field = match got.kind.as_str() {
        "Error" => "error",
        "Proved" | "PeerJoined" | "PeerConnected" | "PeerLeft" | "PeerDisconnected" | "Offer" => "public_key",
        _ => "room_id",
    };
    got.payload[field].as_str().unwrap_or_default().to_owned()
}

struct History {
    scene: Scene,
    model: Model,
    /// Nobody learns another's key.
    aliased: bool,
    /// Rooms that ever were.
    rooms: Vec<String>,
}

impl History {
    fn room(&self, number: usize) -> String {
        self.rooms.get(number % self.rooms.len().max(1)).cloned().unwrap_or_else(|| "0123456789abcdef".into())
    }

    fn conn(&self, number: usize) -> Option<ConnId> {
        self.model.conns.keys().nth(number % self.model.conns.len().max(1)).copied()
    }

    /// How somebody is addressed: by its alias, or, of those with the same key, by that.
    fn target(&self, conn: ConnId, room: Option<&str>, who: u8) -> String {
        let is_own = self.model.conns[&conn].key == Some(who);
        match room.filter(|_| self.aliased && !is_own) {
            Some(room) => self.scene.alias(room, &key(who)),
            None => key(who),
        }
    }

    /// The room that an offer names or, where an alias says it, means.
    fn room_of_offer(&self, conn: ConnId, named: Option<String>, who: u8) -> Option<String> {
        let of = &self.model.conns[&conn];
        named.or_else(|| of.rooms.last().filter(|_| self.aliased && of.key != Some(who)).cloned())
    }

    /// What a message is about, with the key that an alias stands for; a key that is another's stays unknown.
    fn about(&self, conn: ConnId, got: &Got) -> String {
        let about = about(got);
        if !self.aliased || got.payload["public_key"].is_null() || matches!(got.kind.as_str(), "RoomCreated" | "Proved")
        {
            return about;
        }
        let own = self.model.conns[&conn].key.unwrap_or_default();
        let room = got.payload["room_id"].as_str().unwrap();
        let is_it = |who: &u8| about == if *who == own { key(own) } else { self.scene.alias(room, &key(*who)) };
        (1..5).find(is_it).map_or_else(|| format!("{about} is nobody's alias"), key)
    }

    /// One step, in both; then all that anybody was told is compared.
    fn step(&mut self, step: &Step, fails: bool) -> Result<(), TestCaseError> {
        self.scene.disk = if fails { Disk::Failing } else { Disk::Good };
        match step {
            Step::Open if self.model.conns.len() < 6 => {
                let conn = self.scene.open();
                self.model.conns.insert(conn, Default::default());
            }
            Step::Open => {}
            Step::Restart => {
                self.scene.disk = Disk::Good;
                self.scene.restart();
                self.model.restart();
            }
            Step::Close(number) => {
                if let Some(conn) = self.conn(*number) {
                    self.scene.close(conn);
                    self.model.close(conn);
                }
            }
            Step::Create(number, ..)
            | Step::Join(number, ..)
            | Step::Connect(number, ..)
            | Step::Disconnect(number, ..)
            | Step::Leave(number, ..)
            | Step::Kick(number, ..)
            | Step::Rename(number, ..)
            | Step::Offer(number, ..)
            | Step::Prove(number, ..) => {
                if let Some(conn) = self.conn(*number) {
                    self.request(conn, step, fails);
                }
            }
        }
        self.compare(step)?;
        for conn in std::mem::take(&mut self.model.kicked) {
            prop_assert!(self.scene.closed.contains_key(&conn), "{} was kicked", conn);
            if self.model.conns.contains_key(&conn) {
                self.scene.close(conn);
                self.model.close(conn);
                self.compare(step)?;
            }
        }
        Ok(())
    }

    fn request(&mut self, conn: ConnId, step: &Step, fails: bool) {
        let room = |number: &usize| self.room(*number);
        let named = |number: &Option<usize>| number.as_ref().map(room);
        let (kind, payload): (&str, Value) = match step {
            Step::Create(_, who) => {
                ("CreateRoom", json!({"room_name": "r", "password": "1234", "public_key": key(*who)}))
            }
            Step::Join(_, id, who, is_right) => {
                let password = if *is_right { "1234" } else { "4321" };
                ("JoinRoom", json!({"room_id": room(id), "password": password, "public_key": key(*who)}))
            }
            Step::Connect(_, id, who) => ("ConnectRoom", json!({"room_id": room(id), "public_key": key(*who)})),
            Step::Disconnect(_, id) => ("DisconnectRoom", json!({"room_id": named(id)})),
            Step::Leave(_, id, who) => ("LeaveRoom", json!({"room_id": named(id), "public_key": key(*who)})),
            Step::Kick(_, id, who) => {
                ("Kick", json!({"room_id": room(id), "target_id": self.target(conn, Some(&room(id)), *who)}))
            }
            Step::Rename(_, id) => ("Rename", json!({"room_id": room(id), "room_name": "n"})),
            Step::Offer(_, id, who) => {
                let target = self.target(conn, self.room_of_offer(conn, named(id), *who).as_deref(), *who);
                ("Offer", json!({"room_id": named(id), "destination_id": target, "offer": "o"}))
            }
            Step::Prove(_, who) => {
                let nonce = self.scene.nonce(conn);
                ("Prove", json!({"public_key": key(*who), "signature": sign(*who, &nonce)}))
            }
            Step::Open | Step::Close(_) | Step::Restart => return,
        };
        self.scene.send(conn, "id", kind, &payload);
        let made = self.scene.inbox.get(&conn).and_then(|inbox| inbox.back()).filter(|got| got.kind == "RoomCreated");
        let made = made.map(about);
        let meant = match step {
            Step::Offer(_, id, who) => self.room_of_offer(conn, id.as_ref().map(|id| self.room(*id)), *who),
            _ => None,
        };
        let mut model = std::mem::take(&mut self.model);
        let room = |number: &usize| self.room(*number);
        let named = |number: &Option<usize>| number.as_ref().map(room);
        let done = match step {
            Step::Create(_, who) => model.create(conn, *who, fails, made.as_deref()),
            Step::Join(_, id, who, is_right) => model.join(conn, &room(id), *who, *is_right, fails),
            Step::Connect(_, id, who) => model.connect(conn, &room(id), *who, fails),
            Step::Disconnect(_, id) => model.disconnect(conn, named(id).as_deref()),
            Step::Leave(_, id, who) => model.leave(conn, named(id).as_deref(), *who, fails),
            Step::Kick(_, id, who) => model.kick(conn, &room(id), *who, fails),
            Step::Rename(_, id) => model.rename(conn, &room(id), fails),
            Step::Offer(_, _, who) => model.offer(conn, meant.as_deref(), *who),
            Step::Prove(_, who) => model.prove(conn, *who, fails),
            Step::Open | Step::Close(_) | Step::Restart => Ok(()),
        };
        model.answer(conn, done);
        self.model = model;
        self.rooms.extend(made);
    }

    fn compare(&mut self, step: &Step) -> Result<(), TestCaseError> {
        for conn in self.model.conns.keys().copied().collect::<Vec<_>>() {
            let told = self.scene.read(conn);
            let mut told: Vec<_> = told.iter().map(|got| (got.kind.clone(), self.about(conn, got))).collect();
            let mut expected = self.model.told.remove(&conn).unwrap_or_default();
            let has_order = match step {
                Step::Prove(..) => false,
                Step::Close(_) => self.scene.shards.len() == 1,
                _ => true,
            };
            if !has_order {
                // Rooms have no order among themselves.
                told.sort();
                expected.sort();
            }
            prop_assert_eq!(told, expected, "{} after {:?}", conn, step);
            prop_assert_eq!(self.scene.unsettled.get(&conn).copied().unwrap_or(0), 0, "{:?}", step);
        }
        for room in self.model.rooms.values() {
            prop_assert!(room.live.len() <= CLIENTS && room.members.len() <= MEMBERS);
        }
        let live: usize = self.scene.shards.iter().map(Signaling::live).sum();
        prop_assert_eq!(live, self.model.rooms.values().map(|room| room.live.len()).sum::<usize>());
        Ok(())
    }

    /// After everybody closed nothing is live; the records give the same rooms and memberships.
    fn end(mut self) -> Result<(), TestCaseError> {
        self.scene.disk = Disk::Good;
        for conn in self.model.conns.keys().copied().collect::<Vec<_>>() {
            self.scene.close(conn);
        }
        prop_assert_eq!(self.scene.shards.iter().map(Signaling::live).sum::<usize>(), 0);
        self.scene.start(2);
        for who in 1..5 {
            let conn = self.scene.open();
            let list = self.scene.ask(conn, "GetUserRooms", &json!({"public_key": key(who)})).payload;
            let listed: BTreeSet<String> = list["rooms"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["room_id"].as_str().unwrap().to_owned())
                .collect();
            // Of those that were proved who only states the key is not told.
            let is_told = |room: &ModelRoom| room.members.contains(&who) && !room.proved.contains(&who);
            let of_model = self.model.rooms.iter().filter(|(_, room)| is_told(room));
            prop_assert_eq!(listed, of_model.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>());
        }
        Ok(())
    }
}

/// Connections and rooms know the same of each other.
fn check_agreement(scene: &Scene) -> Result<(), TestCaseError> {
    let mut by_conn = BTreeSet::new();
    let mut by_room = BTreeSet::new();
    for shard in &scene.shards {
        prop_assert_eq!(shard.store_requests(), 0);
        prop_assert!(shard.handing.is_empty() && shard.gathers.is_empty());
        prop_assert_eq!(shard.away, shard.conns.values().filter(|conn| conn.away_until.is_some()).count());
        prop_assert_eq!(shard.tokens.len(), shard.conns.values().filter(|conn| conn.token.is_some()).count());
        for (conn, connection) in &shard.conns {
            prop_assert!(connection.busy.is_none() && connection.held.is_empty());
            by_conn.extend(connection.rooms.iter().map(|room| (*conn, room.clone(), connection.away_until.is_some())));
        }
        let mut owners = BTreeSet::new();
        for room in shard.rooms.iter() {
            prop_assert!(room.change.is_none() && room.mail.len() == 0);
            prop_assert!(owners.insert(room.record.owner.clone()), "one room by key");
            prop_assert!(room.live.len() <= CLIENTS);
            by_room.extend(room.live.iter().map(|live| (live.conn, room.record.id.clone(), live.is_away)));
            let addresses: BTreeSet<u8> = room.record.members.iter().map(|member| member.address).collect();
            prop_assert_eq!(addresses.len(), room.record.members.len());
            prop_assert!(room.live.iter().all(|live| room.record.member(&live.key).is_some()));
            prop_assert!(scene.written.contains_key(&room.record.id));
        }
    }
    prop_assert_eq!(by_conn, by_room);
    Ok(())
}

#[derive(Clone, Debug)]
enum Chaos {
    Step(Step),
    /// The slow store writes, or fails.
    Write(bool),
    Resume(usize),
    Wait(u64),
}

fn chaos() -> impl Strategy<Value = Chaos> {
    prop_oneof![
        12 => step().prop_map(|(step, _)| Chaos::Step(step)),
        4 => proptest::bool::weighted(0.8).prop_map(Chaos::Write),
        2 => (0usize..6).prop_map(Chaos::Resume),
        1 => (1u64..40).prop_map(Chaos::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn everybody_is_told_what_the_model_says(
        steps in proptest::collection::vec(step(), 1..60), workers in 1usize..4, aliased in any::<bool>(),
    ) {
        let peer_keys = if aliased { PeerKeys::Alias } else { PeerKeys::Real };
        let settings = SignalingSettings { clients_max: CLIENTS, members_max: MEMBERS, peer_keys, ..loose() };
        let scene = Scene::new(workers, settings);
        let mut history = History { scene, model: Model::default(), aliased, rooms: Vec::new() };
        for (step, fails) in &steps {
            history.step(step, *fails)?;
        }
        history.end()?;
    }

    #[test]
    fn nothing_is_left_behind_however_slow_the_store(steps in proptest::collection::vec(chaos(), 1..80), workers in 1usize..4) {
        let settings = SignalingSettings { clients_max: CLIENTS, members_max: MEMBERS, ..loose() };
        let mut scene = Scene::new(workers, settings);
        scene.disk = Disk::Slow;
        let (mut conns, mut tokens, mut rooms) = (Vec::new(), Vec::new(), Vec::<String>::new());
        for step in &steps {
            let room = |number: usize| rooms.get(number % rooms.len().max(1)).cloned().unwrap_or_default();
            let conn = |number: usize| conns.get(number % conns.len().max(1)).copied();
            let (number, kind, payload) = match step {
                Chaos::Step(Step::Open) => { conns.push(scene.open()); continue }
                Chaos::Step(Step::Restart) => continue,
                Chaos::Step(Step::Close(number)) => {
                    if let Some(gone) = conn(*number) {
                        conns.retain(|own| *own != gone);
                        scene.close(gone);
                    }
                    continue;
                }
                Chaos::Write(is_good) => { scene.write(*is_good); continue }
                Chaos::Wait(s) => { scene.pass(Duration::from_secs(*s)); continue }
                Chaos::Resume(number) => (*number, "Resume", json!({"resume_token": tokens.get(*number)})),
                Chaos::Step(Step::Create(number, who)) => (*number, "CreateRoom",
                    json!({"room_name": "r", "password": "1234", "public_key": key(*who), "grace": true})),
                Chaos::Step(Step::Join(number, id, who, grace)) => (*number, "JoinRoom",
                    json!({"room_id": room(*id), "password": "1234", "public_key": key(*who), "grace": grace})),
                Chaos::Step(Step::Connect(number, id, who)) => (*number, "ConnectRoom",
                    json!({"room_id": room(*id), "public_key": key(*who), "grace": true})),
                Chaos::Step(Step::Disconnect(number, _)) => (*number, "DisconnectRoom", json!({})),
                Chaos::Step(Step::Leave(number, id, who)) => (*number, "LeaveRoom",
                    json!({"room_id": id.map(room), "public_key": key(*who)})),
                Chaos::Step(Step::Kick(number, id, who)) => (*number, "Kick",
                    json!({"room_id": room(*id), "target_id": key(*who)})),
                Chaos::Step(Step::Rename(number, id)) => (*number, "UpdateClientInfo",
                    json!({"public_key": key(1 + *id as u8), "client_name": id.to_string()})),
                Chaos::Step(Step::Prove(number, who)) => {
                    let Some(conn) = conn(*number) else { continue };
                    scene.send(conn, "id", "GetChallenge", &json!({}));
                    let nonces = scene.inbox.get(&conn).into_iter().flatten().rev().filter_map(|got| got.payload["nonce"].as_str());
                    let signature = nonces.map(|nonce| sign(*who, nonce)).next().unwrap_or_default();
                    (*number, "Prove", json!({"public_key": key(*who), "signature": signature}))
                }
                Chaos::Step(Step::Offer(number, _, who)) => (*number, "Candidate",
                    json!({"destination_id": key(*who), "candidate": "c"})),
            };
            let Some(sender) = conn(number) else { continue };
            scene.send(sender, "id", kind, &payload);
            // Who was closed by the server is gone.
            conns.retain(|own| !scene.closed.contains_key(own) || { scene.close(*own); false });
            for own in conns.clone() {
                for got in scene.read(own) {
                    tokens.extend(got.payload["resume_token"].as_str().map(ToOwned::to_owned));
                    if got.kind == "RoomCreated" {
                        rooms.push(got.payload["room_id"].as_str().unwrap().to_owned());
                    }
                }
            }
            let kept = tokens.len().saturating_sub(6);
            tokens.drain(..kept);
        }
        for _ in 0..200 {
            scene.write(true);
        }
        conns.retain(|own| !scene.closed.contains_key(own) || { scene.close(*own); false });
        for _ in 0..200 {
            scene.write(true);
        }
        check_agreement(&scene)?;
        for conn in &conns {
            prop_assert_eq!(scene.unsettled.get(conn).copied().unwrap_or(0), 0);
        }
        for conn in conns {
            scene.close(conn);
        }
        scene.disk = Disk::Good;
        scene.write(true);
        scene.pass(Duration::from_secs(100));
        check_agreement(&scene)?;
        prop_assert_eq!(scene.shards.iter().map(Signaling::live).sum::<usize>(), 0);
        prop_assert!(scene.shards.iter().all(|shard| shard.conns.is_empty()));
        let written = scene.written.clone();
        scene.restart();
        check_agreement(&scene)?;
        prop_assert_eq!(scene.shards.iter().map(|shard| shard.rooms.len()).sum::<usize>(), written.len());
    }
}
