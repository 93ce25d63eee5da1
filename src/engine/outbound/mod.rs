//! What waits to be written to one connection: three lanes and a limit.
//!
//! Owns the order in which frames leave (control before events before bulk, a begun frame always
//! first) and what happens when the limit is reached. Holds no memory while nothing waits: an idle
//! connection gives its queues to the next that needs some. It
//! refuses to write: the owner of the socket asks for slices and says how much went out.

mod lane;
mod queues;
mod spare;
#[cfg(test)]
mod tests;

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::ws::deflate::{Form, Forms};
use queues::Queues;

pub use spare::Spare;

/// Which queue a frame waits in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Responses, HTTP answers and control frames: before everything else.
    Control,
    /// Events.
    #[default]
    Events,
    /// Events that may wait for the others.
    Bulk,
}

/// What happens to an event that finds the connection's limit reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Overflow {
    /// The connection is closed with 1013.
    #[default]
    Disconnect,
    /// The oldest events of the same policy make room.
    DropOldest,
}

/// How a subscription wants its events treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The lane they wait in.
    pub lane: Lane,
    /// What happens at the limit.
    pub overflow: Overflow,
    /// While the connection is slow, only the newest event of each topic is kept.
    pub conflate: bool,
}

/// An event as it is sent: encoded once, shared by all who get it.
#[derive(Debug)]
pub struct EventFrame {
    /// The whole WebSocket frame.
    pub frame: Bytes,
    /// The topic, for conflation and for the notice of what was dropped.
    pub topic: Arc<str>,
    /// Whether it is dropped before others when there is no room.
    pub low_priority: bool,
    /// The same event with a compressed frame: what waits for a connection holds the bytes that go
    /// to it, and no others.
    compressed: Forms<Arc<EventFrame>>,
}

impl EventFrame {
    /// An event in its plain form.
    pub fn new(frame: Bytes, topic: Arc<str>, low_priority: bool) -> EventFrame {
        EventFrame { frame, topic, low_priority, compressed: Forms::default() }
    }

    /// The same event with a compressed frame. `compress` makes it if nobody else did; `None` if it
    /// would not be smaller.
    pub fn compressed(&self, form: Form, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<&Arc<EventFrame>> {
        self.compressed.of(form, || {
            let frame = compress(&self.frame)?;
            Some(Arc::new(EventFrame::new(frame, self.topic.clone(), self.low_priority)))
        })
    }
}

/// Bounds of the events in one connection's queue.
#[derive(Clone, Copy, Debug)]
pub struct OutboundLimits {
    /// Bytes that may wait.
    pub bytes_max: usize,
    /// Frames that may wait.
    pub frames_max: usize,
}

/// What became of an event that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It waits in the place of an older one of its topic.
    Conflated,
    /// It waits, or not, and older events, or it itself, were dropped: so many in all.
    Dropped(u32),
    /// There is no room, and the policy is to disconnect.
    Overflow,
}

#[derive(Debug)]
enum Payload {
    Frame(Bytes),
    Event(Arc<EventFrame>),
}

#[derive(Debug)]
struct Entry {
    payload: Payload,
    /// The policy allows dropping it.
    droppable: bool,
    /// The policy asks for conflation.
    conflate: bool,
}

impl Entry {
    fn bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::Frame(frame) => frame,
            Payload::Event(event) => &event.frame,
        }
    }
}

/// Events dropped and not yet told to the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many did not fit.
    pub count: u64,
    /// How many gave their place to a newer one of their topic.
    pub conflated: u64,
    /// Of which topics: the first few.
    pub topics: Vec<Arc<str>>,
}

/// The outbound queue of one connection.
#[derive(Debug, Default)]
pub struct Outbound {
    queues: Option<Box<Queues>>,
    /// The last write did not take everything: the peer is slow.
    blocked: bool,
    /// The last frame was pushed.
    ended: bool,
}

/// Events taken for each bulk frame while both wait, so that bulk is never starved.
const EVENTS_PER_BULK: usize = 4;

/// The order in which waiting frames leave.
fn order(waiting: [usize; 3]) -> impl Iterator<Item = Lane> {
    let [control, mut events, mut bulk] = waiting;
    let mut run = 0;
    let rest = std::iter::from_fn(move || {
        if events > 0 && (run < EVENTS_PER_BULK || bulk == 0) {
            events -= 1;
            run += 1;
            return Some(Lane::Events);
        }
        run = 0;
        bulk = bulk.checked_sub(1)?;
        Some(Lane::Bulk)
    });
    std::iter::repeat_n(Lane::Control, control).chain(rest)
}

impl Outbound {
    /// Queues a control frame, a response or an answer. Returns false if more than `bytes_max` of
    /// them would wait. They have no limit of their own besides, since whoever asks may have only so
    /// much under way, and is not read from while it does not read.
    #[must_use]
    pub fn push_control(&mut self, frame: Bytes, bytes_max: usize) -> bool {
        if self.ended {
            return true;
        }
        let queues = self.queues.get_or_insert_default();
        let waiting = queues.lanes[Lane::Control as usize].bytes();
        if waiting > 0 && waiting + frame.len() > bytes_max {
            return false;
        }
        queues.push(Lane::Control, Entry { payload: Payload::Frame(frame), droppable: false, conflate: false });
        true
    }

    /// Queues what nobody asked for among the answers, where it keeps its place in their order.
    /// Nobody is held back by it as who asks is by answers: it has the limits of events. Returns
    /// false if there is no room.
    #[must_use]
    pub fn push_notice(&mut self, frame: Bytes, limits: &OutboundLimits) -> bool {
        let (bytes, frames) = (self.control_bytes(), self.control_frames());
        if !self.ended && frames > 0 && (bytes + frame.len() > limits.bytes_max || frames >= limits.frames_max) {
            return false;
        }
        self.push_control(frame, usize::MAX)
    }

    /// Queues the frame after which nothing leaves, behind all that waits and whatever the limit.
    /// What is pushed after it is ignored.
    pub fn push_last(&mut self, frame: Bytes) {
        if self.ended {
            return;
        }
        self.ended = true;
        let queues = self.queues.get_or_insert_default();
        queues.bytes += frame.len();
        queues.frames += 1;
        queues.last = Some(frame);
    }

    /// Queues an event as its subscription's policy says.
    pub fn push_event(&mut self, event: &Arc<EventFrame>, policy: Policy, limits: &OutboundLimits) -> Pushed {
        if self.ended {
            return Pushed::Dropped(1);
        }
        let queues = self.queues.get_or_insert_default();
        let lane = policy.lane;
        let droppable = policy.overflow == Overflow::DropOldest;
        let mut entry = Entry { payload: Payload::Event(event.clone()), droppable, conflate: policy.conflate };
        let size = event.frame.len();
        let mut count = 0;
        if policy.conflate
            && self.blocked
            && let Some(older) = queues.lanes[lane as usize].newest_bytes(&event.topic)
        {
            // It may grow as far as there is room without the older one.
            let grows = size.saturating_sub(older);
            if grows == 0 || queues.has_bytes(grows, limits) {
                match queues.lanes[lane as usize].replace(entry) {
                    Ok(change) => {
                        queues.bytes = queues.bytes + change.added - change.removed;
                        queues.dropped.conflated += 1;
                        queues.dropped.name(&event.topic);
                        return Pushed::Conflated;
                    }
                    Err(back) => entry = back,
                }
            } else if let Some(gone) = queues.lanes[lane as usize].take_newest(&event.topic) {
                // In the older one's place it would break the limit: that one is dropped, and
                // this one finds room like any other.
                queues.bytes -= older;
                queues.frames -= 1;
                queues.dropped.add(&gone);
                count = 1;
            }
        }
        if queues.has_room(size, limits) {
            queues.push(lane, entry);
            return if count == 0 { Pushed::Queued } else { Pushed::Dropped(count) };
        }
        queues.make_room(size, limits, &mut count);
        let fits = queues.has_room(size, limits);
        // An event larger than the whole limit still goes out when nothing else waits.
        if fits || queues.frames == 0 {
            queues.push(lane, entry);
        } else if droppable || policy.conflate {
            queues.dropped.add(&entry);
            count += 1;
        } else {
            return Pushed::Overflow;
        }
        if count == 0 { Pushed::Queued } else { Pushed::Dropped(count) }
    }

    /// Fills `slices` with what leaves next, and returns how many were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(queues) = &self.queues else { return 0 };
        let mut filled = 0;
        if let Some((entry, sent)) = &queues.current {
            if slices.is_empty() {
                return 0;
            }
            slices[0] = IoSlice::new(&entry.bytes()[*sent..]);
            filled = 1;
        }
        let mut next = [0usize; 3];
        for lane in order(queues.waiting()) {
            if filled == slices.len() {
                break;
            }
            let index = next[lane as usize];
            next[lane as usize] += 1;
            slices[filled] = IoSlice::new(queues.lanes[lane as usize].at(index).bytes());
            filled += 1;
        }
        if let Some(last) = &queues.last
            && filled < slices.len()
        {
            slices[filled] = IoSlice::new(last);
            filled += 1;
        }
        filled
    }

    /// Takes note that `count` of the gathered bytes went out, and whether the socket took less
    /// than it was offered.
    pub fn on_sent(&mut self, mut count: usize, blocked: bool) {
        self.blocked = blocked;
        let Some(queues) = &mut self.queues else { return };
        queues.bytes -= count;
        if let Some((entry, sent)) = &mut queues.current {
            let rest = entry.bytes().len() - *sent;
            if count < rest {
                *sent += count;
                return;
            }
            count -= rest;
            queues.current = None;
            queues.frames -= 1;
        }
        let waiting = queues.waiting();
        for lane in order(waiting) {
            if count == 0 {
                break;
            }
            let entry = queues.lanes[lane as usize].pop().expect("order() counts what waits");
            let size = entry.bytes().len();
            if count < size {
                queues.current = Some((entry, count));
                return;
            }
            count -= size;
            queues.frames -= 1;
        }
        if count > 0
            && let Some(frame) = queues.last.take()
        {
            // The lanes are empty, or the count would have been used up.
            if count < frame.len() {
                let entry = Entry { payload: Payload::Frame(frame), droppable: false, conflate: false };
                queues.current = Some((entry, count));
                return;
            }
            queues.frames -= 1;
        }
    }

    /// What was dropped and not told, once the peer has caught up: less than a quarter of the
    /// limit waits.
    pub fn take_dropped(&mut self, limits: &OutboundLimits) -> Option<Dropped> {
        let queues = self.queues.as_mut()?;
        if queues.dropped.is_empty() || !queues.has_bytes(limits.bytes_max - limits.bytes_max / 4, limits) {
            return None;
        }
        Some(std::mem::take(&mut queues.dropped))
    }

    /// Takes room for what is about to be pushed from those that need none at present.
    pub fn furnish(&mut self, spare: &mut Spare) {
        if self.queues.is_none() {
            self.queues = spare.take();
        }
    }

    /// Gives its room away if nothing waits. To be called after each step, or it is held for nothing.
    pub fn release(&mut self, spare: &mut Spare) {
        if self.queues.as_ref().is_some_and(|queues| queues.frames == 0 && queues.dropped.is_empty())
            && let Some(queues) = self.queues.take()
        {
            spare.give(queues);
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.bytes)
    }

    /// Bytes of memory that it holds: none while nothing waits.
    pub fn held_bytes(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| size_of::<Queues>() + queues.bytes)
    }

    /// Frames that wait.
    pub fn frames(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.frames)
    }

    /// Bytes of control frames, responses and answers that wait.
    pub fn control_bytes(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.lanes[Lane::Control as usize].bytes())
    }

    /// Control frames that wait.
    pub fn control_frames(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.lanes[Lane::Control as usize].len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames() == 0
    }

    /// Whether the last write did not take everything.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether nothing waits, the last write took everything, and more may come.
    pub fn is_idle(&self) -> bool {
        self.queues.is_none() && !self.blocked && !self.ended
    }

    /// Forgets all events that wait, but for a frame that is partly out; says how many.
    pub fn discard_events(&mut self) -> usize {
        let Some(queues) = &mut self.queues else { return 0 };
        let mut discarded = 0;
        for lane in [Lane::Events, Lane::Bulk] {
            while let Some(entry) = queues.lanes[lane as usize].pop() {
                queues.bytes -= entry.bytes().len();
                queues.frames -= 1;
                discarded += 1;
            }
        }
        discarded
    }
}
