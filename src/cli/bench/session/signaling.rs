//! Signaling: two connections share a room, and pass each other offers and answers.
//!
//! Connections go by pairs: an even number opens the room, the odd one behind it joins. Envelopes are
//! written with their payload as an object, so that they come back like that, and a stamp in them is found
//! without decoding.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use parking_lot::Mutex;

use super::{Ear, Heard};
use crate::cli::bench::frame::{self, Outbox};
use crate::cli::bench::stamp::Payload;

/// What is offered in the upgrade.
pub const SUBPROTOCOL: &str = "signaling";

/// The rooms of a run, by pair.
#[derive(Debug)]
pub struct Rooms(Mutex<Vec<Option<Arc<str>>>>);

impl Rooms {
    /// For so many pairs; none is open.
    pub fn new(pairs: usize) -> Rooms {
        Rooms(Mutex::new(vec![None; pairs]))
    }

    fn put(&self, pair: usize, id: Arc<str>) {
        if let Some(place) = self.0.lock().get_mut(pair) {
            *place = Some(id);
        }
    }

    fn of(&self, pair: usize) -> Option<Arc<str>> {
        self.0.lock().get(pair).cloned().flatten()
    }
}

/// One connection's state.
#[derive(Debug)]
pub struct Signaling {
    rooms: Arc<Rooms>,
    number: usize,
    /// Its own key, and its peer's.
    keys: [String; 2],
    /// Where it is, once it is ready.
    room: Option<Arc<str>>,
}

impl Signaling {
    /// Before the upgrade. `number` is the connection's number within the run.
    pub fn new(rooms: Arc<Rooms>, run: u16, number: usize) -> Signaling {
        Signaling { rooms, number, keys: [key(run, number), key(run, number ^ 1)], room: None }
    }

    fn is_owner(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// Opens the room, or joins it.
    pub fn open(&self, out: &mut Outbox) {
        let own = self.keys[0].as_bytes();
        if self.is_owner() {
            const HEAD: &[u8] = br#"{"message_id":"1","type":"CreateRoom","payload":{"room_name":"bench","password":"0000","public_key":""#;
            out.frame(frame::TEXT, &[HEAD, own, br#""}}"#]);
        } else if let Some(room) = self.rooms.of(self.number / 2) {
            const HEAD: &[u8] = br#"{"message_id":"1","type":"JoinRoom","payload":{"password":"0000","room_id":""#;
            out.frame(frame::TEXT, &[HEAD, room.as_bytes(), br#"","public_key":""#, own, br#""}}"#]);
        } else {
            // The room is still being opened: its answer is the time to look again.
            out.frame(frame::TEXT, &[br#"{"message_id":"1","type":"Ping","payload":{"action":"ping"}}"#]);
        }
    }

    /// A text message came.
    pub fn on_message(&mut self, message: &[u8], out: &mut Outbox, ear: &mut Ear) {
        let is = |kind: &[u8]| memmem::find(message, kind).is_some();
        if let Some(stamp) = ear.stamps.find(message) {
            ear.heard.push(Heard::Message(stamp));
        } else if is(br#""type":"Error""#) {
            ear.refused(None, message);
        } else if self.room.is_none() && (is(br#""type":"RoomCreated""#) || is(br#""type":"RoomJoined""#)) {
            let Some(room) = room_of(message) else { return ear.refused(None, message) };
            if self.is_owner() {
                self.rooms.put(self.number / 2, room.clone());
            }
            self.room = Some(room);
            ear.heard.push(Heard::Settled);
        } else if self.room.is_none() && is(br#""type":"Ping""#) {
            self.open(out);
        }
    }

    /// An offer, or an answer, to the peer.
    pub fn signal(&self, payload: &[u8], out: &mut Outbox) {
        let Some(room) = &self.room else { return };
        let (kind, field): (&[u8], &[u8]) = if self.is_owner() { (b"Offer", b"offer") } else { (b"Answer", b"answer") };
        let [own, peer] = &self.keys;
        out.frame(
            frame::TEXT,
            &[
                br#"{"message_id":"","type":""#,
                kind,
                br#"","payload":{"room_id":""#,
                room.as_bytes(),
                br#"","public_key":""#,
                own.as_bytes(),
                br#"","destination_id":""#,
                peer.as_bytes(),
                br#"",""#,
                field,
                br#"":""#,
                Payload::text_of(payload),
                br#""}}"#,
            ],
        );
    }
}

/// The key of a connection: no other of the run has it.
fn key(run: u16, number: usize) -> String {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&run.to_be_bytes());
    bytes[2..10].copy_from_slice(&(number as u64).to_be_bytes());
    STANDARD.encode(bytes)
}

fn room_of(message: &[u8]) -> Option<Arc<str>> {
    const FIELD: &[u8] = br#""room_id":""#;
    let from = memmem::find(message, FIELD)? + FIELD.len();
    let length = memchr::memchr(b'"', &message[from..])?;
    std::str::from_utf8(&message[from..from + length]).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;

    #[test]
    fn the_joiner_looks_again_until_the_room_is_open() {
        let rooms = Arc::new(Rooms::new(1));
        let (mut owner, mut joiner) = (Signaling::new(rooms.clone(), 7, 0), Signaling::new(rooms, 7, 1));
        let mut ear = Ear::default();
        let sent = |out: &mut Outbox| {
            let text = String::from_utf8_lossy(out.pending()).into_owned();
            out.advance(text.len());
            text
        };
        // Without a mask to speak of, what is sent can be read.
        let mut out = Outbox::new(Masking::Zero, 1);
        joiner.open(&mut out);
        assert!(sent(&mut out).contains("Ping"));
        owner.open(&mut out);
        assert!(sent(&mut out).contains(&key(7, 0)));
        owner.on_message(
            br#"{"message_id":"1","type":"RoomCreated","payload":{"room_id":"ab12"}}"#,
            &mut out,
            &mut ear,
        );
        joiner.on_message(br#"{"message_id":"1","type":"Ping","payload":{}}"#, &mut out, &mut ear);
        let join = sent(&mut out);
        assert!(join.contains("JoinRoom") && join.contains(r#""room_id":"ab12""#), "{join}");
        joiner.on_message(
            br#"{"message_id":"1","type":"RoomJoined","payload":{"room_id":"ab12"}}"#,
            &mut out,
            &mut ear,
        );
        assert_eq!(ear.heard, [Heard::Settled, Heard::Settled]);
    }
}
