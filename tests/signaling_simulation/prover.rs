//! Clients that prove their keys: when they connect, later, in between, and wrongly.

use hydrogen::base::ConnId;
use hydrogen::dialect::signaling::Proof;

use crate::ask::Ask;
use crate::client::Turn;
use crate::keys::UNPAIRED;
use crate::proofs::Shown;
use crate::world::{Token, World};

impl World {
    /// Who connects asks for what it is to sign.
    pub fn prepare_proof(&mut self, conn: ConnId, turn: &mut Turn) {
        let is_prover = self.clients[self.server.conns[&conn].client].is_prover;
        if is_prover && self.policy() != Proof::Off && self.dice.chance(70) {
            self.put(conn, Ask::Challenge, turn);
        }
    }

    /// Some prove their key before they take up where they were.
    pub fn proves_first(&mut self, conn: ConnId) -> bool {
        let is_prover = self.clients[self.server.conns[&conn].client].is_prover;
        is_prover && self.policy() != Proof::Off && self.dice.chance(30)
    }

    /// Who has proved its key takes up where it was, or where another with the key was that had not.
    fn take_up(&mut self, conn: ConnId, turn: &mut Turn) {
        let of = &self.server.conns[&conn];
        if !of.is_proved || !of.views.is_empty() || !self.dice.chance(60) {
            return;
        }
        let client = of.client;
        let own = self.clients[client].token.filter(|token| self.tokens[*token].conn != conn);
        let is_others = |token: &Token| {
            let other = &self.server.conns[&token.conn];
            token.conn != conn && !token.is_used && other.pinned == of.pinned && !other.is_proved
        };
        if let Some(token) = own.or_else(|| self.tokens.iter().position(is_others)) {
            self.clients[client].token = None;
            self.put_resume(conn, token, turn);
        }
    }

    /// Who is to prove its key goes on with that, mostly; and some do what they need not.
    pub fn maybe_prove(&mut self, conn: ConnId, turn: &mut Turn) {
        self.take_up(conn, turn);
        let of = &self.server.conns[&conn];
        let owes = self.clients[of.client].is_prover && !of.is_proved && self.policy() != Proof::Off;
        let percent = if owes { 40 } else { 3 };
        if !self.plan.has_proofs || !self.dice.chance(percent) {
            return;
        }
        match self.server.conns[&conn].nonce.clone() {
            Some(nonce) if self.dice.chance(90) => {
                let shown = self.some_proof(conn, nonce);
                self.put(conn, Ask::Prove(shown), turn);
            }
            None if self.dice.chance(10) => {
                let shown = self.some_proof(conn, "q83vASNFZ4mrze8BI0VniQ".to_owned());
                self.put(conn, Ask::Prove(shown), turn);
            }
            Some(_) | None => self.put(conn, Ask::Challenge, turn),
        }
    }

    fn some_proof(&mut self, conn: ConnId, nonce: String) -> Shown {
        let who = self.clients[self.server.conns[&conn].client].who;
        // Who has no pair of keys borrows another's.
        let signer = if who < UNPAIRED { who } else { self.plan.first };
        let other = self.plan.first + self.dice.below(self.plan.people) as u8;
        let right = Shown { key: who, signer, nonce, is_spoilt: false };
        match self.dice.below(100) {
            0..5 => Shown { is_spoilt: true, ..right },
            5..10 => {
                let nonces: Vec<String> = self.server.conns.values().filter_map(|of| of.nonce.clone()).collect();
                let other = self.dice.below(nonces.len());
                Shown { nonce: nonces.get(other).cloned().unwrap_or_default(), ..right }
            }
            10..15 => Shown { signer: other, ..right },
            15..19 => Shown { key: other, signer: other, ..right },
            _ => right,
        }
    }

    /// At the end all that can prove their keys do so.
    pub fn all_prove(&mut self) {
        for conn in self.open_conns() {
            let of = &self.server.conns[&conn];
            let client = &self.clients[of.client];
            let key = of.pinned.unwrap_or(client.who);
            if let Some(nonce) = of.nonce.clone().filter(|_| client.is_prover && !of.is_proved && key < UNPAIRED) {
                self.ask(conn, Ask::Prove(Shown { key, signer: key, nonce, is_spoilt: false }));
            }
        }
    }

    /// After a restart strangers try the keys that were proved before.
    pub fn try_proved_keys(&mut self) {
        let proved: Vec<(String, u8)> = self
            .journal
            .there()
            .flat_map(|(room, record)| record.members.iter().map(move |member| (room.to_owned(), member)))
            .filter(|(_, member)| member.is_proved)
            .map(|(room, member)| (room, member.key))
            .collect();
        for conn in self.open_conns() {
            let of = &self.server.conns[&conn];
            let fits = |key: u8| of.pinned.is_none_or(|pinned| pinned == key) && !of.may_be_proved;
            let own: Vec<(String, u8)> = proved.iter().filter(|(_, key)| fits(*key)).cloned().collect();
            if !own.is_empty() {
                let (room, key) = own[self.dice.below(own.len())].clone();
                self.ask(conn, Ask::Connect { room, key, grace: false });
            }
        }
    }
}
