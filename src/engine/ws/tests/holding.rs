//! What a decoder holds: nothing when idle, and never much more than has come.

use proptest::prelude::*;

use super::*;

/// The fixed part of what is held: the box with its two buffers, and their smallest sizes.
const HELD_FIXED: usize = 256;

fn quiet(_: Incoming<'_>) -> Flow {
    Flow::Continue
}

#[test]
fn a_decoder_is_small() {
    println!("a decoder takes {} bytes", size_of::<Decoder>());
    assert!(size_of::<Decoder>() <= 48);
}

#[test]
fn whole_messages_are_slices_of_the_input() {
    for (opcode, length) in [(TEXT, 5), (BINARY, 1000), (PING, 125), (CLOSE, 0)] {
        let mut input = frame(opcode, true, &vec![b'x'; length]);
        let range = input.as_ptr_range();
        let mut decoder = Decoder::new(Role::Server);
        let mut came = 0;
        // Half a header first: the payload is still whole in the second piece.
        let (head, rest) = input.split_at_mut(3);
        for piece in [head, rest] {
            decoder
                .feed(piece, &LIMITS, &mut |incoming| {
                    came += 1;
                    if let Incoming::Text(_) | Incoming::Binary(_) | Incoming::Ping(_) = incoming {
                        let payload = match incoming {
                            Incoming::Text(text) => text.as_bytes(),
                            Incoming::Binary(bytes) | Incoming::Ping(bytes) | Incoming::Pong(bytes) => bytes,
                            Incoming::Close { .. } => &[],
                        };
                        assert_eq!(payload.len(), length);
                        assert!(range.contains(&payload.as_ptr()));
                    }
                    Flow::Continue
                })
                .unwrap();
            assert_eq!(decoder.held_bytes(), 0);
        }
        assert_eq!(came, 1);
    }
}

#[test]
fn buffers_grow_with_what_comes_and_are_given_back() {
    for opcode in [TEXT, BINARY] {
        let stream = [frame(opcode, false, &[b'x'; 100_000]), frame(CONTINUATION, true, &[b'x'; 70_000])].concat();
        let (mut decoder, mut received, mut came) = (Decoder::new(Role::Server), 0, 0);
        for piece in stream.chunks(977) {
            let mut piece = piece.to_vec();
            received += piece.len();
            let taken = decoder.feed(&mut piece, &LIMITS, &mut |_| {
                came += 1;
                Flow::Continue
            });
            assert_eq!(taken, Ok(piece.len()));
            assert!(decoder.held_bytes() <= 2 * received + HELD_FIXED, "{} of {received}", decoder.held_bytes());
            assert!(decoder.held_bytes() <= LIMITS.message_bytes_max + HELD_FIXED);
        }
        assert_eq!((came, decoder.held_bytes()), (1, 0));
    }
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut decoder = Decoder::new(Role::Server);
    let mut head = frame(BINARY, true, &[0; 100_000]);
    head.truncate(14);
    assert_eq!(decoder.feed(&mut head, &LIMITS, &mut quiet), Ok(14));
    assert_eq!(decoder.held_bytes(), 0);
    assert_eq!(decoder.feed(&mut [1], &LIMITS, &mut quiet), Ok(1));
    assert!(decoder.held_bytes() <= HELD_FIXED);
}

#[test]
fn a_split_control_frame_amid_a_message_is_given_back_alone() {
    let mut decoder = Decoder::new(Role::Server);
    assert_eq!(feed(&mut decoder, &frame(TEXT, false, b"a"), &mut Vec::new(), Flow::Continue), Ok(()));
    let message = decoder.held_bytes();
    let ping = frame(PING, true, &[1; 125]);
    let mut got = Vec::new();
    assert_eq!(feed(&mut decoder, &ping[..50], &mut got, Flow::Continue), Ok(()));
    assert!(decoder.held_bytes() > message);
    assert_eq!(feed(&mut decoder, &ping[50..], &mut got, Flow::Continue), Ok(()));
    assert_eq!((got, decoder.held_bytes()), (vec![Got::Ping(vec![1; 125])], message));
}

/// Frames that are nearly right, so that random streams come far.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop_oneof![20 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x80, 0x00, 0x89]), 1 => any::<u8>()];
    let length = prop_oneof![20 => 0u8..=60, 1 => Just(126), 1 => Just(127), 1 => any::<u8>()];
    let one = (first, length, prop::collection::vec(0u8..=127, 66)).prop_map(|(first, length, rest)| {
        let mut bytes = vec![first, length | 0x80, 0, 0, 0, 0];
        bytes.extend_from_slice(&rest[..usize::from(length).min(66)]);
        bytes
    });
    prop::collection::vec(one, 0..12).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_panic_and_cost_no_more_than_they_are(
        bytes in prop_oneof![nearly_frames(), prop::collection::vec(any::<u8>(), 0..300)],
        size in 1usize..80,
        role in prop::sample::select(vec![Role::Server, Role::Client]),
    ) {
        let (mut decoder, mut received, mut delivered) = (Decoder::new(role), 0, 0);
        for piece in bytes.chunks(size) {
            received += piece.len();
            let taken = decoder.feed(&mut piece.to_vec(), &LIMITS, &mut |incoming| {
                delivered += match incoming {
                    Incoming::Text(text) => text.len(),
                    Incoming::Binary(bytes) | Incoming::Ping(bytes) | Incoming::Pong(bytes) => bytes.len(),
                    Incoming::Close { reason, .. } => reason.len(),
                };
                Flow::Continue
            });
            prop_assert!(taken.is_err() || taken == Ok(piece.len()));
            prop_assert!(decoder.held_bytes() <= 2 * received + HELD_FIXED);
            prop_assert!(delivered <= received);
            prop_assert!(!decoder.is_done() || decoder.held_bytes() == 0);
        }
    }
}
