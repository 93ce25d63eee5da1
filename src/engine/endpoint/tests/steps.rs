//! What may happen to an endpoint, at random.

use proptest::prelude::*;

/// What a peer sends next.
#[derive(Clone, Debug)]
pub enum Say {
    Handshake,
    WrongKey,
    Plain,
    LastPlain,
    Post(u8),
    /// The next number of this peer, as a message padded to a size.
    Message(u16),
    Binary(u16),
    Ping(u8),
    Pong,
    Close,
    Violation(u8),
    Garbage(Vec<u8>),
}

/// What happens next; the number picks a connection.
#[derive(Clone, Debug)]
pub enum Step {
    Accept,
    Say(u8, Say),
    /// So many bytes of what the peer said arrive.
    Read(u8, u16),
    EndStream(u8),
    Reset(u8),
    /// The socket takes so many bytes.
    Write(u8, u16),
    Ready(u8),
    Respond(u8, u16),
    Settle(u8),
    Answer(u8, u16),
    Broadcast(u8, u16, bool, bool),
    OrderClose(u8, u8),
    Pass(u16),
    Stall(u8, bool),
    Drain,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        6 => Just(Say::Handshake),
        1 => Just(Say::WrongKey),
        2 => Just(Say::Plain),
        1 => Just(Say::LastPlain),
        1 => (0u8..110).prop_map(Say::Post),
        12 => (8u16..1100).prop_map(Say::Message),
        2 => (0u16..900).prop_map(Say::Binary),
        3 => (0u8..126).prop_map(Say::Ping),
        1 => Just(Say::Pong),
        1 => Just(Say::Close),
        1 => (0u8..5).prop_map(Say::Violation),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Say::Garbage),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Accept),
        14 => (any::<u8>(), say()).prop_map(|(who, what)| Step::Say(who, what)),
        14 => (any::<u8>(), 1u16..3000).prop_map(|(who, count)| Step::Read(who, count)),
        6 => (any::<u8>(), 1u16..20).prop_map(|(who, count)| Step::Read(who, count)),
        1 => any::<u8>().prop_map(Step::EndStream),
        1 => any::<u8>().prop_map(Step::Reset),
        10 => (any::<u8>(), 0u16..2000).prop_map(|(who, count)| Step::Write(who, count)),
        5 => any::<u8>().prop_map(Step::Ready),
        8 => (any::<u8>(), 0u16..600).prop_map(|(who, size)| Step::Respond(who, size)),
        4 => any::<u8>().prop_map(Step::Settle),
        5 => (any::<u8>(), 0u16..3000).prop_map(|(who, size)| Step::Answer(who, size)),
        6 => (any::<u8>(), 0u16..900, any::<bool>(), any::<bool>())
            .prop_map(|(topic, size, drop, conflate)| Step::Broadcast(topic, size, drop, conflate)),
        1 => any::<(u8, u8)>().prop_map(|(who, reason)| Step::OrderClose(who, reason)),
        4 => (1u16..40_000).prop_map(Step::Pass),
        2 => (0u8..2, any::<bool>()).prop_map(|(worker, full)| Step::Stall(worker, full)),
        1 => (0u8..8).prop_map(|dice| if dice == 0 { Step::Drain } else { Step::Accept }),
    ]
}
