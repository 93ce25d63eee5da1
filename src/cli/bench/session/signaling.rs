//! Signaling: two connections share a room, and pass each other offers and answers.
//!
//! Who opens which room and who joins it is [`Layout`]'s; a guest of two rooms joins one after the other. Envelopes
//! are written with their payload as an object, so that they come back like that, and a stamp in them is found
//! without decoding. A peer is named as the server names it when it tells of it: that may be an alias.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use parking_lot::Mutex;

use super::{Ear, Heard};
use crate::cli::bench::frame::{self, Outbox};
use crate::cli::bench::layout::{Layout, Seat};
use crate::cli::bench::stamp::Payload;

/// What is offered in the upgrade.
pub const SUBPROTOCOL: &str = "signaling";

/// The rooms of a run.
#[derive(Debug)]
pub struct Rooms {
    layout: Layout,
    /// Their ids, by number.
    ids: Mutex<Vec<Option<Arc<str>>>>,
}

impl Rooms {
    /// None is open.
    pub fn new(layout: Layout) -> Rooms {
        Rooms { layout, ids: Mutex::new(vec![None; layout.rooms()]) }
    }

    /// Who is in which.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    fn put(&self, room: usize, id: Arc<str>) {
        if let Some(place) = self.ids.lock().get_mut(room) {
            *place = Some(id);
        }
    }

    fn of(&self, room: usize) -> Option<Arc<str>> {
        self.ids.lock().get(room).cloned().flatten()
    }
}

/// One connection's state.
#[derive(Debug)]
pub struct Signaling {
    rooms: Arc<Rooms>,
    key: String,
    place: Place,
    /// A guest's other room.
    second: Option<Box<Place>>,
}

/// A connection's place in one room.
#[derive(Debug)]
struct Place {
    seat: Seat,
    /// The room's id, once it is there.
    room: Option<Arc<str>>,
    /// What the server calls the peer, once it is there.
    peer: Option<Box<str>>,
    /// Payloads that wait for it: no more than may be under way.
    early: Vec<Box<[u8]>>,
}

impl Signaling {
    /// Before the upgrade. `number` is the connection's number within the run.
    pub fn new(rooms: Arc<Rooms>, run: u16, number: usize) -> Signaling {
        let (first, second) = rooms.layout().seats(number);
        let place = |seat: Seat| Place { seat, room: None, peer: None, early: Vec::new() };
        let second = second.map(|seat| Box::new(place(seat)));
        Signaling { rooms, key: key(run, number), place: place(first), second }
    }

    /// Where it is to be next, and is not yet.
    fn vacant(&mut self) -> Option<&mut Place> {
        let places = std::iter::once(&mut self.place).chain(self.second.as_deref_mut());
        places.into_iter().find(|place| place.room.is_none())
    }

    /// Opens the room, or joins the first of those that it is not in yet.
    pub fn open(&mut self, out: &mut Outbox) {
        let Some(seat) = self.vacant().map(|place| place.seat) else { return };
        let own = self.key.as_bytes();
        if seat.is_owner {
            const HEAD: &[u8] = br#"{"message_id":"1","type":"CreateRoom","payload":{"room_name":"bench","password":"0000","public_key":""#;
            out.frame(frame::TEXT, &[HEAD, own, br#""}}"#]);
        } else if let Some(room) = self.rooms.of(seat.room) {
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
        } else if is(br#""type":"PeerJoined""#) {
            self.on_peer(message, out);
        } else if let Some(place) = self.vacant() {
            if is(br#""type":"RoomCreated""#) || is(br#""type":"RoomJoined""#) {
                let Some(room) = field(message, br#""room_id":""#).map(Arc::<str>::from) else {
                    return ear.refused(None, message);
                };
                let seat = place.seat;
                place.room = Some(room.clone());
                if seat.is_owner {
                    self.rooms.put(seat.room, room);
                }
                match self.vacant() {
                    Some(_) => self.open(out),
                    None => ear.heard.push(Heard::Settled),
                }
            } else if is(br#""type":"Ping""#) {
                self.open(out);
            }
        }
    }

    /// The peer of a room is there, and what waited for it goes.
    fn on_peer(&mut self, message: &[u8], out: &mut Outbox) {
        let (room, peer) = (field(message, br#""room_id":""#), field(message, br#""public_key":""#));
        let mut places = std::iter::once(&mut self.place).chain(self.second.as_deref_mut());
        let Some(place) = places.find(|place| place.room.as_deref() == room && room.is_some()) else { return };
        place.peer = peer.map(Into::into);
        let (early, lane) = (std::mem::take(&mut place.early), place.seat.lane());
        for payload in early {
            self.signal(&payload, lane, out);
        }
    }

    /// An offer, or an answer, to the peer of the room that the lane belongs to.
    pub fn signal(&mut self, payload: &[u8], lane: u32, out: &mut Outbox) {
        let place = match &mut self.second {
            Some(second) if second.seat.lane() == lane => second,
            Some(_) | None => &mut self.place,
        };
        let Some(room) = &place.room else { return };
        let Some(peer) = &place.peer else { return place.early.push(payload.into()) };
        let (kind, field): (&[u8], &[u8]) =
            if place.seat.is_owner { (b"Offer", b"offer") } else { (b"Answer", b"answer") };
        out.frame(
            frame::TEXT,
            &[
                br#"{"message_id":"","type":""#,
                kind,
                br#"","payload":{"room_id":""#,
                room.as_bytes(),
                br#"","public_key":""#,
                self.key.as_bytes(),
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

/// The text behind this beginning of a field.
fn field<'m>(message: &'m [u8], beginning: &[u8]) -> Option<&'m str> {
    let from = memmem::find(message, beginning)? + beginning.len();
    let length = memchr::memchr(b'"', &message[from..])?;
    std::str::from_utf8(&message[from..from + length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::frame::Masking;
    use crate::cli::bench::stamp::Stamp;

    /// What was written since the last look: without a mask to speak of, it can be read.
    fn sent(out: &mut Outbox) -> String {
        let text = String::from_utf8_lossy(out.pending()).into_owned();
        out.advance(out.pending().len());
        text
    }

    fn answer(kind: &str, room: &str) -> Vec<u8> {
        format!(r#"{{"message_id":"1","type":"{kind}","payload":{{"room_id":"{room}"}}}}"#).into_bytes()
    }

    #[test]
    fn the_joiner_looks_again_until_the_room_is_open() {
        let rooms = Arc::new(Rooms::new(Layout::new(2, 1)));
        let (mut owner, mut joiner) = (Signaling::new(rooms.clone(), 7, 0), Signaling::new(rooms, 7, 1));
        let mut ear = Ear::default();
        let mut out = Outbox::new(Masking::Zero, 1);
        joiner.open(&mut out);
        assert!(sent(&mut out).contains("Ping"));
        owner.open(&mut out);
        assert!(sent(&mut out).contains(&key(7, 0)));
        owner.on_message(&answer("RoomCreated", "ab12"), &mut out, &mut ear);
        joiner.on_message(&answer("Ping", ""), &mut out, &mut ear);
        let join = sent(&mut out);
        assert!(join.contains("JoinRoom") && join.contains(r#""room_id":"ab12""#), "{join}");
        joiner.on_message(&answer("RoomJoined", "ab12"), &mut out, &mut ear);
        assert_eq!(ear.heard, [Heard::Settled, Heard::Settled]);
    }

    #[test]
    fn a_guest_of_two_rooms_is_ready_in_both_and_signals_by_lane() {
        let rooms = Arc::new(Rooms::new(Layout::new(3, 2)));
        let [mut left, mut right, mut guest] = [0, 1, 2].map(|number| Signaling::new(rooms.clone(), 7, number));
        let mut ear = Ear::default();
        let mut out = Outbox::new(Masking::Zero, 1);
        left.on_message(&answer("RoomCreated", "left"), &mut out, &mut ear);
        assert_eq!(std::mem::take(&mut ear.heard), [Heard::Settled]);
        guest.open(&mut out);
        assert!(sent(&mut out).contains(r#""room_id":"left""#));
        guest.on_message(&answer("RoomJoined", "left"), &mut out, &mut ear);
        assert!(ear.heard.is_empty(), "one room is not all");
        assert!(sent(&mut out).contains("Ping"), "the other is not open yet");
        right.on_message(&answer("RoomCreated", "right"), &mut out, &mut ear);
        guest.on_message(&answer("Ping", ""), &mut out, &mut ear);
        let join = sent(&mut out);
        assert!(join.contains("JoinRoom") && join.contains(r#""room_id":"right""#), "{join}");
        ear.heard.clear();
        guest.on_message(&answer("RoomJoined", "right"), &mut out, &mut ear);
        assert_eq!(ear.heard, [Heard::Settled]);

        let payload = Payload::new(Payload::MIN).stamped(Stamp::default()).to_vec();
        let joined = |room: &str, peer: &str| {
            let payload = format!(r#"{{"public_key":"{peer}","room_id":"{room}"}}"#);
            format!(r#"{{"message_id":"","type":"PeerJoined","payload":{payload}}}"#).into_bytes()
        };
        guest.on_message(&joined("right", "the right one"), &mut out, &mut ear);
        guest.on_message(&joined("left", "the left one"), &mut out, &mut ear);
        right.signal(&payload, 2, &mut out);
        assert!(sent(&mut out).is_empty(), "nobody is there yet");
        right.on_message(&joined("right", "the guest"), &mut out, &mut ear);
        let text = sent(&mut out);
        assert!(text.contains("Offer") && text.contains(r#""destination_id":"the guest""#), "{text}");
        for (is_guest, lane, room, kind, peer) in [
            (true, 1, "left", "Answer", "the left one"),
            (true, 3, "right", "Answer", "the right one"),
            (false, 2, "right", "Offer", "the guest"),
        ] {
            let session = if is_guest { &mut guest } else { &mut right };
            session.signal(&payload, lane, &mut out);
            let text = sent(&mut out);
            assert!(text.contains(&format!(r#""room_id":"{room}""#)) && text.contains(kind), "{text}");
            assert!(text.contains(&format!(r#""destination_id":"{peer}""#)), "{text}");
        }
    }
}
