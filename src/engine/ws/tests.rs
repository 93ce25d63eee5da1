//! The decoder's tests: what it delivers, what it refuses and when, and what it holds.

mod deflated;
mod holding;
mod refusing;
mod splitting;

use super::{Control, Data, Decoder, Flow, Incoming, Limits, OpCode, Role, Violation, client};

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUATION: OpCode = OpCode::Data(Data::Continue);
const CLOSE: OpCode = OpCode::Control(Control::Close);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);

const LIMITS: Limits = Limits { frame_bytes_max: 100_000, message_bytes_max: 200_000, fragments_max: 4 };

/// [`Incoming`] that outlives the call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Incoming<'_>> for Got {
    fn from(incoming: Incoming<'_>) -> Got {
        match incoming {
            Incoming::Text(text) => Got::Text(text.into()),
            Incoming::Binary(bytes) => Got::Binary(bytes.into()),
            Incoming::Ping(payload) => Got::Ping(payload.into()),
            Incoming::Pong(payload) => Got::Pong(payload.into()),
            Incoming::Close { code, reason } => Got::Close(code, reason.into()),
        }
    }
}

/// One masked frame. The mask follows from the payload's length, so that runs repeat.
fn frame(opcode: OpCode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    client::masked_frame(opcode, fin, payload, [0x11, 0x82, 0xF3, payload.len() as u8 | 1], &mut out);
    out
}

/// Feeds all of the input, however often the sink pauses.
fn feed(decoder: &mut Decoder, bytes: &[u8], got: &mut Vec<Got>, flow: Flow) -> Result<(), Violation> {
    let mut input = bytes.to_vec();
    let mut from = 0;
    while from < input.len() {
        let before = got.len();
        from += decoder.feed(&mut input[from..], &LIMITS, &mut |incoming| {
            got.push(incoming.into());
            flow
        })?;
        match flow {
            Flow::Continue => assert_eq!(from, input.len()),
            Flow::Pause => {
                assert!(got.len() - before <= 1, "more came after a pause");
                assert_eq!(&input[from..], &bytes[from..], "the rest was touched");
            }
        }
    }
    Ok(())
}

/// Decodes a stream that comes in pieces which end at `ends`.
fn decode(role: Role, stream: &[u8], ends: &[usize], flow: Flow) -> (Vec<Got>, Option<(usize, Violation)>) {
    let (mut decoder, mut got, mut from) = (Decoder::new(role), Vec::new(), 0);
    for &end in ends.iter().chain([&stream.len()]) {
        if let Err(violation) = feed(&mut decoder, &stream[from..end], &mut got, flow) {
            assert!(decoder.is_done());
            assert_eq!(decoder.held_bytes(), 0);
            return (got, Some((end, violation)));
        }
        from = end;
    }
    (got, None)
}
