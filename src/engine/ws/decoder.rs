//! Bytes in, messages out, for one connection.
//!
//! Owns the place in the stream and, while a frame or message is partial, its bytes. It refuses
//! whatever breaks RFC 6455 or a limit, as early as the bytes tell. It answers nothing.
//!
//! ```text
//!            header complete              payload bytes
//!   ┌──────┐ ───────────────► ┌─────────┐ ───┐
//!   │ Head │                  │ Payload │    │
//!   └──────┘ ◄─────────────── └─────────┘ ◄──┘
//!       │      frame complete      │
//!       └── close or violation ────┴──► Done: everything else is discarded
//! ```

use super::deflate::{Inflater, Window};
use super::header::{ControlKind, DataKind, Frame, HEADER_BYTES_MAX, Kind, Open, parse};
use super::partial::{Complete, Message, Partial};
use super::{Violation, close, mask};

/// Which end of the connection decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Frames come from a client: masked.
    Server,
    /// Frames come from a server: not masked.
    Client,
}

/// Which end of the connection decodes, and whether compression was agreed: in one byte, since every
/// connection has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    DeflatingServer,
    Client,
    DeflatingClient,
}

impl Side {
    fn parts(self) -> (Role, bool) {
        match self {
            Side::Server => (Role::Server, false),
            Side::DeflatingServer => (Role::Server, true),
            Side::Client => (Role::Client, false),
            Side::DeflatingClient => (Role::Client, true),
        }
    }
}

/// What one connection may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one data frame.
    pub frame_bytes_max: usize,
    /// Payload bytes of one message, over all its frames.
    pub message_bytes_max: usize,
    /// Frames of one message, the last one among them; a message of one frame always passes.
    pub fragments_max: u32,
}

/// What has come. Slices live as long as the call that hands them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping: a pong with the same payload is owed.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A close frame. Nothing comes after it.
    Close {
        /// The code, if one was sent.
        code: Option<u16>,
        /// The reason, empty if none was sent.
        reason: &'a str,
    },
}

/// What the receiver of [`Incoming`] wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More.
    Continue,
    /// Nothing now: the rest of the input stays with the caller.
    Pause,
}

/// What a call brings along.
struct Around<'a> {
    limits: &'a Limits,
    inflater: Option<&'a mut Inflater>,
}

impl Around<'_> {
    /// Hands on a compressed message that is whole.
    fn inflate<S>(
        &mut self,
        kind: DataKind,
        payload: &[u8],
        window: Option<&mut Window>,
        sink: &mut S,
    ) -> Result<Flow, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        let Some(inflater) = &mut self.inflater else { return Ok(Flow::Continue) };
        let message = inflater.message(payload, window, self.limits.message_bytes_max)?;
        Ok(sink(match kind {
            DataKind::Text => Incoming::Text(simdutf8::basic::from_utf8(message).map_err(|_| Violation::InvalidUtf8)?),
            DataKind::Binary => Incoming::Binary(message),
        }))
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Between frames, or amid a header whose bytes so far are in `head`.
    Head,
    /// Amid a frame. Some of its payload is still to come.
    Payload(Frame),
    Done,
}

/// Decodes the frames of one connection.
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    partial: Option<Box<Partial>>,
    head: [u8; HEADER_BYTES_MAX],
    head_len: u8,
    side: Side,
    /// What the peer's compressed messages may refer to, if that was agreed.
    window: Option<Box<Window>>,
}

impl Decoder {
    /// A decoder at the start of a connection. It allocates nothing.
    pub fn new(role: Role) -> Decoder {
        Decoder {
            stage: Stage::Head,
            partial: None,
            head: [0; HEADER_BYTES_MAX],
            head_len: 0,
            side: match role {
                Role::Server => Side::Server,
                Role::Client => Side::Client,
            },
            window: None,
        }
    }

    /// The same, where compression was agreed. `kept_bits` is the window of earlier messages that
    /// the peer may refer to, if it may.
    pub fn with_deflate(role: Role, kept_bits: Option<u8>) -> Decoder {
        let window = kept_bits.map(|bits| Box::new(Window::new(bits)));
        let side = match role {
            Role::Server => Side::DeflatingServer,
            Role::Client => Side::DeflatingClient,
        };
        Decoder { side, window, ..Decoder::new(role) }
    }

    /// Takes in bytes, unmasks them in place, and hands what is complete to `sink`: slices of
    /// the input where a whole message is in it.
    ///
    /// Returns how many bytes were taken: all of them, unless `sink` answered [`Flow::Pause`];
    /// the rest is then as it was, and is to be fed again. A violation ends decoding: what is fed
    /// after it, as what is fed after a close frame, is taken and discarded.
    ///
    /// Compressed messages are passed over: [`Decoder::feed_inflating`] takes them.
    pub fn feed<S>(&mut self, input: &mut [u8], limits: &Limits, sink: &mut S) -> Result<usize, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        self.feed_inflating(input, limits, None, sink)
    }

    /// The same, with what inflates compressed messages; without it, they are passed over.
    pub fn feed_inflating<S>(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
        sink: &mut S,
    ) -> Result<usize, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        let taken = self.take(input, &mut Around { limits, inflater }, sink);
        if taken.is_err() {
            self.enter_done();
        }
        taken
    }

    /// Whether a close frame or a violation ended decoding.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Bytes of memory held: for a partial frame or message, and for what the peer may refer to; 0
    /// while there is neither.
    pub fn held_bytes(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.held_bytes());
        partial + self.window.as_ref().map_or(0, |window| window.held_bytes())
    }

    fn take<S>(&mut self, input: &mut [u8], around: &mut Around<'_>, sink: &mut S) -> Result<usize, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        let mut at = 0;
        while at < input.len() {
            let mut frame = match self.stage {
                Stage::Head => match self.take_head(&input[at..], around.limits)? {
                    (taken, Some(frame)) => {
                        at += taken;
                        frame
                    }
                    (taken, None) => return Ok(at + taken),
                },
                Stage::Payload(frame) => frame,
                Stage::Done => return Ok(input.len()),
            };
            let rest = &mut input[at..];
            let here = usize::try_from(frame.left).unwrap_or(usize::MAX).min(rest.len());
            let chunk = &mut rest[..here];
            at += here;
            frame.left -= here as u64;
            frame.mask = mask::apply(chunk, frame.mask);
            self.stage = if frame.left == 0 { Stage::Head } else { Stage::Payload(frame) };
            let flow = match frame.kind {
                Kind::Data(kind) => self.take_data(kind, &frame, chunk, around, sink)?,
                Kind::Control(kind) => self.take_control(kind, &frame, chunk, sink)?,
            };
            if flow == Flow::Pause {
                return Ok(at);
            }
        }
        Ok(at)
    }

    /// Gives the frame once its header is complete, and how many bytes of the input that took.
    fn take_head(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Option<Frame>), Violation> {
        let open = self.open();
        let (role, may_deflate) = self.side.parts();
        let held = usize::from(self.head_len);
        if held == 0
            && let Some((frame, size)) = parse(input, role, open, limits, may_deflate)?
        {
            self.count_fragment(frame.kind);
            return Ok((size, Some(frame)));
        }
        // A header is complete with its longest form at the latest: `held` stays below that.
        let more = input.len().min(HEADER_BYTES_MAX - held);
        self.head[held..held + more].copy_from_slice(&input[..more]);
        let parsed = parse(&self.head[..held + more], role, open, limits, may_deflate)?;
        let Some((frame, size)) = parsed else {
            self.head_len = (held + more) as u8;
            return Ok((more, None));
        };
        self.head_len = 0;
        self.count_fragment(frame.kind);
        Ok((size - held, Some(frame)))
    }

    /// A data frame that starts amid a message is one more fragment of it.
    fn count_fragment(&mut self, kind: Kind) {
        if let (Kind::Data(_), Some(message)) = (kind, self.message()) {
            message.fragments += 1;
        }
    }

    fn take_data<S>(
        &mut self,
        kind: DataKind,
        frame: &Frame,
        chunk: &[u8],
        around: &mut Around<'_>,
        sink: &mut S,
    ) -> Result<Flow, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        let is_last = frame.left == 0 && frame.is_final;
        if is_last && self.partial.is_none() {
            if frame.is_deflated {
                return around.inflate(kind, chunk, self.window.as_deref_mut(), sink);
            }
            return Ok(sink(match kind {
                DataKind::Text => {
                    Incoming::Text(simdutf8::basic::from_utf8(chunk).map_err(|_| Violation::InvalidUtf8)?)
                }
                DataKind::Binary => Incoming::Binary(chunk),
            }));
        }
        // A header alone costs nothing yet.
        if chunk.is_empty() && frame.left > 0 {
            return Ok(Flow::Continue);
        }
        let partial = self.partial.get_or_insert_default();
        let message = partial.message.get_or_insert_with(|| Message::new(kind, frame.is_deflated));
        message.append(chunk, frame, around.limits.message_bytes_max)?;
        if !is_last {
            return Ok(Flow::Continue);
        }
        let flow = match message.complete()? {
            Complete::Plain(incoming) => sink(incoming),
            Complete::Deflated(kind, bytes) => around.inflate(kind, bytes, self.window.as_deref_mut(), sink)?,
        };
        // A control frame ends before a data frame goes on: the message is all that is held.
        self.partial = None;
        Ok(flow)
    }

    fn take_control<S>(
        &mut self,
        kind: ControlKind,
        frame: &Frame,
        chunk: &[u8],
        sink: &mut S,
    ) -> Result<Flow, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        let is_split = self.partial.as_ref().is_some_and(|partial| !partial.control.is_empty());
        if frame.left == 0 && !is_split {
            return self.on_control(kind, chunk, sink);
        }
        if chunk.is_empty() {
            return Ok(Flow::Continue);
        }
        let partial = self.partial.get_or_insert_default();
        partial.control.extend_from_slice(chunk);
        if frame.left > 0 {
            return Ok(Flow::Continue);
        }
        let payload = std::mem::take(&mut partial.control);
        if partial.message.is_none() {
            self.partial = None;
        }
        self.on_control(kind, &payload, sink)
    }

    fn on_control<S>(&mut self, kind: ControlKind, payload: &[u8], sink: &mut S) -> Result<Flow, Violation>
    where
        S: FnMut(Incoming<'_>) -> Flow,
    {
        Ok(sink(match kind {
            ControlKind::Ping => Incoming::Ping(payload),
            ControlKind::Pong => Incoming::Pong(payload),
            ControlKind::Close => {
                let (code, reason) = close::parse(payload)?;
                self.enter_done();
                Incoming::Close { code, reason }
            }
        }))
    }

    fn enter_done(&mut self) {
        self.stage = Stage::Done;
        self.partial = None;
        self.window = None;
    }

    fn message(&mut self) -> Option<&mut Message> {
        self.partial.as_mut().and_then(|partial| partial.message.as_mut())
    }

    fn open(&self) -> Option<Open> {
        self.partial.as_ref().and_then(|partial| partial.message.as_ref()).map(Message::open)
    }
}
