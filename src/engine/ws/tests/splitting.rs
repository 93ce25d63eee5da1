//! The same stream gives the same messages however it is cut.

use proptest::prelude::*;

use super::*;
use crate::engine::ws::encoder;

/// A valid message or control frame, and at which bytes the message is cut into frames.
#[derive(Clone, Debug)]
enum Sent {
    Message { is_text: bool, payload: Vec<u8>, cuts: Vec<usize>, amid: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        8 => "\\PC{0,60}".prop_map(String::into_bytes),
        2 => "[a-z€𐍈]{120,130}".prop_map(String::into_bytes),
        1 => Just(vec![b'x'; 65_536]),
    ];
    let control = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        4 => (any::<bool>(), payload, prop::collection::vec(any::<prop::sample::Index>(), 0..4), control()).prop_map(
            |(is_text, payload, cuts, amid)| {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
                cuts.sort_unstable();
                Sent::Message { is_text, payload, cuts, amid }
            }
        ),
        1 => control().prop_map(Sent::Ping),
        1 => control().prop_map(Sent::Pong),
    ]
}

/// The stream of frames, with a ping before each continuation, and what it should give.
fn stream(all: &[Sent]) -> (Vec<u8>, Vec<Got>) {
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Sent::Message { is_text, payload, cuts, amid } => {
                let mut from = 0;
                for (index, &end) in cuts.iter().chain([&payload.len()]).enumerate() {
                    let opcode = match (index, is_text) {
                        (0, true) => TEXT,
                        (0, false) => BINARY,
                        _ => {
                            stream.extend(frame(PING, true, amid));
                            expected.push(Got::Ping(amid.clone()));
                            CONTINUATION
                        }
                    };
                    stream.extend(frame(opcode, index == cuts.len(), &payload[from..end]));
                    from = end;
                }
                expected.push(if *is_text {
                    Got::Text(String::from_utf8(payload.clone()).unwrap())
                } else {
                    Got::Binary(payload.clone())
                });
            }
            Sent::Ping(payload) => {
                stream.extend(frame(PING, true, payload));
                expected.push(Got::Ping(payload.clone()));
            }
            Sent::Pong(payload) => {
                stream.extend(frame(PONG, true, payload));
                expected.push(Got::Pong(payload.clone()));
            }
        }
    }
    stream.extend(frame(CLOSE, true, &[&4000u16.to_be_bytes(), "€".as_bytes()].concat()));
    expected.push(Got::Close(Some(4000), "€".into()));
    (stream, expected)
}

#[test]
fn every_single_cut_gives_the_same_messages() {
    let all = [
        Sent::Message { is_text: true, payload: "a€𐍈".into(), cuts: vec![2, 6], amid: b"ping".into() },
        Sent::Pong(vec![]),
        Sent::Message { is_text: false, payload: vec![0xFF; 130], cuts: vec![], amid: vec![] },
        Sent::Message { is_text: true, payload: vec![], cuts: vec![0], amid: vec![9; 125] },
        Sent::Message { is_text: true, payload: b"whole".into(), cuts: vec![], amid: vec![] },
    ];
    let (stream, expected) = stream(&all);
    for cut in 0..=stream.len() {
        for flow in [Flow::Continue, Flow::Pause] {
            assert_eq!(decode(Role::Server, &stream, &[cut], flow), (expected.clone(), None), "cut at {cut}");
        }
    }
    let each: Vec<usize> = (1..stream.len()).collect();
    assert_eq!(decode(Role::Server, &stream, &each, Flow::Continue), (expected, None));
}

#[test]
fn what_the_encoder_writes_the_decoder_reads() {
    for length in [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537] {
        let payload = vec![b'x'; length];
        let text = Got::Text(String::from_utf8(payload.clone()).unwrap());
        for (server, client, expected) in [
            (encoder::text(&payload), frame(TEXT, true, &payload), text),
            (encoder::binary(&payload), frame(BINARY, true, &payload), Got::Binary(payload.clone())),
        ] {
            for ends in [&[][..], &[1], &[2], &[3, 5], &[9, 10, 13]] {
                let ends: Vec<usize> = ends.iter().copied().filter(|end| *end < server.len()).collect();
                let got = decode(Role::Client, &server, &ends, Flow::Continue);
                assert_eq!(got, (vec![expected.clone()], None), "{length} {ends:?}");
                let got = decode(Role::Server, &client, &ends, Flow::Continue);
                assert_eq!(got, (vec![expected.clone()], None), "{length} {ends:?}");
            }
        }
    }
    let all = [encoder::ping(b"p"), encoder::pong(&[1; 125]), encoder::close(Some((1013, "later")))].concat();
    let expected = vec![Got::Ping(b"p".into()), Got::Pong(vec![1; 125]), Got::Close(Some(1013), "later".into())];
    assert_eq!(decode(Role::Client, &all, &[], Flow::Continue), (expected, None));
    let expected = vec![Got::Close(None, String::new())];
    assert_eq!(decode(Role::Client, &encoder::close(None), &[], Flow::Continue), (expected, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_cuts_and_pauses_give_the_same_messages(
        all in prop::collection::vec(sent(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        pauses in any::<bool>(),
    ) {
        let (stream, expected) = stream(&all);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.sort_unstable();
        let flow = if pauses { Flow::Pause } else { Flow::Continue };
        prop_assert_eq!(decode(Role::Server, &stream, &ends, flow), (expected, None));
    }
}
