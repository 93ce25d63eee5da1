//! Refusals: each has its reason.

use hydrogen::base::ConnId;
use hydrogen::dialect::signaling::Proof;

use std::collections::BTreeSet;

use crate::ask::{Ask, Req, Target};
use crate::keys::NO_KEY;
use crate::proofs::Shown;
use crate::trace::say;
use crate::world::World;

impl World {
    /// A request is refused: the text must be true.
    pub fn refused(&mut self, conn: ConnId, n: usize, ask: &Ask, text: &str) {
        let sent = self.requests[n].sent;
        let waited = self.now.mono.since(self.requests[n].sent_at);
        let of = self.conn(conn);
        of.resuming -= u32::from(matches!(ask, Ask::Resume { .. }));
        let of = &self.server.conns[&conn];
        let journal = &self.journal;
        // Requests name rooms and keys in fields of the same meaning.
        let (room, key) = match ask {
            Ask::Join { room, key, .. } | Ask::Connect { room, key, .. } => (Some(room), Some(*key)),
            Ask::Leave { room, key } => (room.as_ref(), key.or(of.pinned)),
            Ask::Kick { room, .. } | Ask::Rename { room, .. } | Ask::Presence { room } => (Some(room), None),
            Ask::Disconnect { room } => (room.as_ref(), None),
            Ask::Create { key, .. } | Ask::Rooms { key } | Ask::Info { key, .. } => (None, Some(*key)),
            Ask::Prove(shown) => (None, Some(shown.key)),
            Ask::Challenge => (None, None),
            Ask::Signal(number) => (self.signals[*number].room.as_ref(), None),
            Ask::Relay(number) => (self.relays[*number].room.as_ref(), None),
            Ask::Ping { .. } | Ask::IceServers | Ask::Resume { .. } | Ask::Unknown | Ask::Malformed(_) => (None, None),
        };
        let was_no_room = || room.is_none_or(|room| journal.ever(room, sent, |it| it.is_none()));
        let is_strange = || key.is_some_and(|key| of.pinned.is_some_and(|pinned| pinned != key));
        let is_no_owner = || {
            let is_owner = |it: Option<&crate::journal::Record>| it.is_some_and(|it| Some(it.owner) == of.pinned);
            !room.is_some_and(|room| journal.always(room, sent, is_owner))
        };
        let was_full = || room.is_some_and(|room| self.full.get(&**room).is_some_and(|at| *at >= sent));
        let has_failed = self.last_failure > self.began;
        let is_true = match text {
            "Rate limit exceeded. Please try again later." => {
                matches!(ask, Ask::Create { .. } | Ask::Join { .. }) && self.plan.may_throttle()
            }
            "Public key does not match this connection" => is_strange(),
            "Public key is in use by another connection" => {
                let has_say =
                    matches!(ask, Ask::Leave { .. } | Ask::Kick { .. } | Ask::Rename { .. } | Ask::Info { .. });
                has_say && !of.is_proved && self.has_twin(conn, room.map(String::as_str), key.or(of.pinned), sent)
            }
            "Password does not match required pattern" | "PIN does not match required pattern" => {
                matches!(ask, Ask::Create { is_right: false, .. })
            }
            "Maximum room limit reached" | "Maximum network limit reached" => {
                matches!(ask, Ask::Create { .. }) && self.plan.settings.rooms_max == 2
            }
            "Invalid public key format" => {
                matches!(
                    ask,
                    Ask::Create { key: NO_KEY, .. }
                        | Ask::Join { key: NO_KEY, .. }
                        | Ask::Prove(Shown { key: NO_KEY, .. })
                )
            }
            "Proof of possession required" => self.is_proof_missing(conn, ask, sent),
            "Proof of possession failed" => {
                matches!(ask, Ask::Prove(shown) if !self.is_proof(conn, shown)) && self.policy() != Proof::Off
            }
            "Proof of possession is not enabled" => {
                matches!(ask, Ask::Challenge | Ask::Prove(_)) && self.policy() == Proof::Off
            }
            "Error updating user in database" | "Error updating computer in database" => {
                let is_proof = matches!(ask, Ask::Prove(shown) if self.is_proof(conn, shown));
                is_proof && (self.last_failure >= sent || waited.as_secs() >= 2)
            }
            "Error creating room in database" | "Error creating network in database" => {
                matches!(ask, Ask::Create { .. }) && has_failed
            }
            "Error adding user to room" | "Error adding computer to network" => {
                // Who has proved its key and connects has that written down.
                let is_entry =
                    matches!(ask, Ask::Join { .. }) || matches!(ask, Ask::Connect { .. }) && of.may_be_proved;
                is_entry && self.last_failure >= sent
            }
            "Error removing user from room" | "Error removing computer from network" => {
                matches!(ask, Ask::Leave { .. } | Ask::Kick { .. }) && self.last_failure >= sent
            }
            "Failed to delete room from database" | "Failed to delete network from database" => {
                matches!(ask, Ask::Leave { .. }) && self.last_failure >= sent
            }
            "Error updating room name in database" | "Error updating network name in database" => {
                matches!(ask, Ask::Rename { .. }) && self.last_failure >= sent
            }
            "Failed to update client name: the store did not take it" => {
                matches!(ask, Ask::Info { .. }) && (self.last_failure >= sent || waited.as_secs() >= 2)
            }
            "Error fetching user rooms" | "Error fetching computer networks" => {
                matches!(ask, Ask::Rooms { .. }) && waited.as_secs() >= 2
            }
            "Room does not exist" | "Network does not exist" => {
                let fits =
                    matches!(ask, Ask::Join { .. } | Ask::Connect { .. } | Ask::Kick { .. } | Ask::Rename { .. });
                fits && was_no_room()
            }
            "Room not found" | "Network not found" => {
                matches!(ask, Ask::Leave { .. } | Ask::Disconnect { .. }) && was_no_room()
            }
            "Incorrect password" | "Incorrect PIN" => matches!(ask, Ask::Join { is_right: false, .. }),
            "Public key is required" => matches!(ask, Ask::Leave { .. }) && key.is_none(),
            "Room is full" | "Network is full" | "Failed to assign IP address" => {
                matches!(ask, Ask::Join { .. } | Ask::Connect { .. }) && was_full()
            }
            "You must join this room first" | "You must join this network first" => {
                let is_none = |it: Option<&crate::journal::Record>| {
                    it.is_none_or(|it| key.is_none_or(|key| it.member(key).is_none()))
                };
                matches!(ask, Ask::Connect { .. }) && room.is_some_and(|room| journal.ever(room, sent, is_none))
            }
            "Too many rooms on this connection" | "Too many networks on this connection" => {
                of.views.len() >= self.plan.settings.rooms_per_connection_max
            }
            "Not connected to any room" | "Not connected to any network" | "Sender not in any network" => {
                of.views.is_empty()
            }
            "Not connected to this room" | "Not connected to this network" => {
                room.is_none_or(|room| of.views.get(room).is_none_or(|view| view.since >= sent))
            }
            "Only room owner can kick users" | "Only network owner can kick computers" => {
                matches!(ask, Ask::Kick { .. }) && is_no_owner()
            }
            "Only room owner can rename the room" | "Only network owner can rename the network" => {
                matches!(ask, Ask::Rename { .. }) && is_no_owner()
            }
            "Target client not found" => self.is_target_missing(conn, ask, sent),
            "Sender public key not found" => of.pinned.is_none(),
            "Relay is not enabled" => matches!(ask, Ask::Relay(_)) && self.plan.settings.relay.room_bytes.is_none(),
            "Relay quota exceeded" => {
                matches!(ask, Ask::Relay(_)) && self.plan.settings.relay.room_bytes.is_some_and(|bytes| bytes < 10_000)
            }
            "Resume token is not valid" => self.is_token_bad(conn, ask, sent),
            "Unknown message type" => matches!(ask, Ask::Unknown),
            text => match text
                .strip_prefix("This public key has already created ")
                .and_then(|rest| rest.split_once(": "))
            {
                Some((_, id)) => {
                    journal.ever(id, sent, |it| it.is_some_and(|it| Some(it.owner) == key))
                        && matches!(ask, Ask::Create { .. })
                }
                None if text.starts_with("Invalid ") && text.ends_with(" format") => matches!(ask, Ask::Malformed(_)),
                None => text.starts_with("Target client ") && self.is_target_missing(conn, ask, sent),
            },
        };
        let what = match ask {
            Ask::Signal(number) => format!("{:?}", self.signals[*number].target),
            Ask::Relay(number) => format!("{:?}", self.relays[*number].target),
            _ => String::new(),
        };
        assert!(is_true, "{ask:?} {what} of {conn} is refused: {text}");
        self.requests[n].is_given_up = matches!(ask, Ask::Prove(_)) && text.starts_with("Error updating");
        if let (Ask::Join { room, .. }, "Incorrect password" | "Incorrect PIN") = (ask, text) {
            self.guessed(room.clone());
        }
        if let Ask::Signal(number) = ask {
            self.signals[*number].is_refused = true;
        }
        if let Ask::Relay(number) = ask {
            self.relays[*number].is_refused = true;
        }
    }

    /// A password was wrong: so many guesses are borne, and no more.
    fn guessed(&mut self, room: String) {
        let Some(limit) = self.plan.settings.passwords else { return };
        let (count, first) = self.wrong.entry(room.clone()).or_insert((0, self.now.mono));
        *count += 1;
        // The first was looked at before it was answered.
        let since = self.now.mono.since(*first) + std::time::Duration::from_secs(60);
        let most = u64::from(limit.failures) * (1 + since.as_secs() / limit.period.as_secs()) + 1;
        let count = *count;
        say!(self, "{count} wrong passwords for {room}");
        assert!(count <= most, "{count} wrong passwords for {room} in {since:?}, of {most}");
    }

    fn is_target_missing(&self, conn: ConnId, ask: &Ask, sent: u64) -> bool {
        match ask {
            Ask::Kick { room, target: target @ (Target::Key(_) | Target::Alias(..)) } => {
                let Some(key) = self.meant(*target, room, self.server.conns[&conn].pinned) else { return true };
                let is_none = |it: Option<&crate::journal::Record>| {
                    it.is_none_or(|it| it.member(key).is_none() || it.owner == key)
                };
                self.journal.ever(room, sent, is_none)
            }
            Ask::Kick { room, target: Target::Peer(peer) } => {
                let key = self.keys.get(peer).copied();
                let is_owner = |it: Option<&crate::journal::Record>| it.is_some_and(|it| Some(it.owner) == key);
                let is_own = self.peers.get(&conn) == Some(peer);
                is_own || !self.was_there(room, *peer, sent) || self.journal.ever(room, sent, is_owner)
            }
            Ask::Signal(number) => {
                let signal = &self.signals[*number];
                self.is_peer_missing(conn, signal.target, signal.room.as_deref(), sent)
            }
            Ask::Relay(number) => {
                let relay = &self.relays[*number];
                // Without a room the current one is meant, whoever is elsewhere.
                let is_missing = |target| self.is_peer_missing(conn, target, relay.room.as_deref(), sent);
                let is_lost = |target| matches!(target, Target::Peer(peer) if self.was_lost(peer));
                relay.target.is_some_and(|target| relay.room.is_none() || is_missing(target) || is_lost(target))
            }
            _ => false,
        }
    }

    /// A connection of the peer is closed: its place may be kept, but nothing that is relayed waits for it.
    fn was_lost(&self, peer: u64) -> bool {
        let mut conns = self.peers.iter().filter(|(_, own)| **own == peer).map(|(conn, _)| conn);
        conns.any(|conn| self.server.conns.get(conn).is_none_or(|conn| conn.is_closed))
    }

    /// In none of the sender's rooms both were there all the time.
    fn is_peer_missing(&self, conn: ConnId, target: Target, room: Option<&str>, sent: u64) -> bool {
        let (Target::Peer(peer), Some(own)) = (target, self.peers.get(&conn)) else { return true };
        let views = &self.server.conns[&conn].views;
        let mut rooms = views.iter().filter(|(id, view)| room.is_none_or(|room| **id == *room) && view.since < sent);
        peer == *own || !rooms.any(|(id, _)| self.was_there(id, peer, sent) && self.was_there(id, *own, sent))
    }

    /// Another connection with the key was in the room at some time since; without a room in any.
    fn has_twin(&self, conn: ConnId, room: Option<&str>, key: Option<u8>, since: u64) -> bool {
        // It may have taken another's place right after it was refused.
        let own = self.own_peers(conn, self.step);
        let went = [&self.out, &self.went].into_iter().flatten().filter(|(_, at)| **at >= since);
        let mut places = self.present.keys().chain(went.map(|(place, _)| place));
        let is_it = |its: &str| room.is_none_or(|room| its == room);
        places.any(|(its, peer)| is_it(its) && self.keys.get(peer).copied() == key && !own.contains(peer))
            || self.requests.iter().any(|other| {
                // It may have come and gone within one step.
                let comes = match &other.ask {
                    Ask::Join { room: its, key: of, .. } | Ask::Connect { room: its, key: of, .. } => {
                        is_it(its) && Some(*of) == key
                    }
                    Ask::Create { key: of, .. } => Some(*of) == key,
                    _ => false,
                };
                comes && other.conn != conn && other.answered.is_none_or(|at| at >= since)
            })
    }

    /// What a connection was known by before a step.
    fn own_peers(&self, conn: ConnId, step: u64) -> BTreeSet<u64> {
        let all = self.ids.range((conn, 0)..=(conn, u64::MAX));
        all.filter(|(_, since)| **since < step).map(|((_, peer), _)| *peer).collect()
    }

    /// Whether the key is proved, or nobody else was in the room with it, all the time and before the connection
    /// itself: what cannot be undone is for who came first.
    pub fn may_come_first(&self, request: &Req, room: &str, key: u8) -> bool {
        if self.server.conns[&request.conn].may_be_proved {
            return true;
        }
        let own = self.own_peers(request.conn, u64::MAX);
        let since = |peer: u64| self.present.get(&(Box::from(room), peer)).copied();
        let went = |peer: &u64| self.went.get(&(Box::from(room), *peer)).is_some_and(|at| *at >= request.sent);
        if own.iter().any(went) {
            return true;
        }
        let came = own.iter().filter_map(|peer| since(*peer)).min().unwrap_or(u64::MAX);
        // Who went and came again within one step was seen all the time, and is behind the others.
        let again = |peer: u64| self.out.get(&(Box::from(room), peer)).copied().unwrap_or(0);
        let mut twins = self.keys.iter().filter(|(peer, its)| **its == key && !own.contains(peer));
        !twins.any(|(peer, _)| {
            let is_first = since(*peer).is_some_and(|first| first.max(again(*peer)) < came);
            // A place that is kept has no say.
            is_first && self.was_there(room, *peer, request.sent) && !self.was_lost(*peer)
        })
    }

    /// A token that must be good is not refused.
    fn is_token_bad(&self, conn: ConnId, ask: &Ask, sent: u64) -> bool {
        let Ask::Resume { token, text } = ask else { return false };
        let token = &self.tokens[*token];
        let (own, before) = (&self.server.conns[&conn], &self.server.conns[&token.conn]);
        // A place is kept in the rooms in which it was when it was lost.
        let lost = if before.is_known_gone { sent.min(before.gone_in) } else { sent };
        let is_kept = match self.peers.get(&token.conn) {
            Some(peer) => {
                self.present.iter().any(|((room, other), since)| other == peer && *since < lost && before.is_in(room))
            }
            None => false,
        };
        let grace = self.plan.settings.grace;
        let is_late = before.is_known_gone && self.now.mono.since(before.gone_at) >= grace;
        token.text != *text
            || token.tries > 1
            || !is_kept
            || is_late
            || token.conn == conn
            || !own.views.is_empty()
            || own.pinned.is_some_and(|pinned| before.pinned != Some(pinned))
            || before.was_kicked
            || self.is_stopping
    }
}
