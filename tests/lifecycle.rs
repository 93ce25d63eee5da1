//! The life of a connection, on paper and in fact: `docs/lifecycle.md` says what the table says,
//! and every state meets every input as the reviewed snapshot has it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hydrogen::base::reason::End;
use hydrogen::base::{ConnId, Counters, Metric, Mono, Now, ReactorId, Reason, Wall};
use hydrogen::engine::auth::{Throttle, ThrottlePolicy};
use hydrogen::engine::conn::state::{TRANSITIONS, diagram_text, matrix_text};
use hydrogen::engine::conn::{Event, Origins, Settings, SocketFault, State, TrustedProxies};
use hydrogen::engine::endpoint::Endpoint;
use hydrogen::engine::http::{Answer, HeadLimits};
use hydrogen::engine::outbound::{EventFrame, OutboundLimits};
use hydrogen::engine::topic::{Target, TargetFlags};
use hydrogen::engine::work::Order;
use hydrogen::engine::ws::{self, Control, Data, OpCode, client};

/// Compares a file with what it should say, or with `HYDROGEN_BLESS=1` writes it.
fn hold(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("HYDROGEN_BLESS").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is out of date: HYDROGEN_BLESS=1 cargo test rewrites it\n{expected}");
}

/// Puts `text` between the markers of a section.
fn fill(page: &str, section: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- generated: {section} -->\n"), format!("<!-- end: {section} -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{text}{end}{after}")
}

fn reasons_text() -> String {
    let mut out = String::from("| reason | terminal state | close code |\n|---|---|---|\n");
    for reason in Reason::ALL {
        let end = match reason.end() {
            End::Failed => State::Failed,
            End::Rejected => State::Rejected,
            End::Closed => State::Closed,
        };
        let code = reason.close_code().map_or("·".to_string(), |code| code.to_string());
        writeln!(out, "| `{}` | {} | {code} |", reason.as_str(), end.as_str()).unwrap();
    }
    out
}

#[test]
fn the_page_is_what_the_table_says() {
    let path = "docs/lifecycle.md";
    let mut page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    page = fill(&page, "diagram", &format!("```mermaid\n{}```\n", diagram_text()));
    page = fill(&page, "table", &matrix_text());
    page = fill(&page, "reasons", &reasons_text());
    hold(path, &page);
}

#[test]
fn the_matrix_agrees_with_the_list_in_every_state_and_event() {
    for state in State::ALL {
        for event in Event::ALL {
            let declared: Vec<State> =
                TRANSITIONS.iter().filter(|(from, on, _)| from == state && on == event).map(|(_, _, to)| *to).collect();
            assert!(declared.len() <= 1, "{state:?} {event:?} leads to two states");
            assert_eq!(state.next(*event), declared.first().copied(), "{state:?} {event:?}");
        }
    }
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(70);
const CLOSE: Duration = Duration::from_secs(5);

const REQUEST: &str = "GET /status HTTP/1.1\r\nHost: here\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: hydrogen\r\n\r\n";

struct Stage {
    endpoint: Endpoint,
    counters: Arc<Counters>,
    now: Now,
}

impl Stage {
    fn new() -> Stage {
        let settings = Settings {
            handshake_timeout: HANDSHAKE,
            keep_alive_timeout: KEEP_ALIVE,
            ping_interval: PING,
            idle_timeout: IDLE,
            close_timeout: CLOSE,
            connections_max: 4,
            workers: 1,
            protocols: vec!["hydrogen".into()],
            echo: false,
            signaling: None,
            auth_required: false,
            query_key: true,
            in_band_auth: false,
            origins: Origins::Any,
            proxies: TrustedProxies::default(),
            head: HeadLimits::default(),
            body_bytes_max: 100,
            frames: ws::Limits { frame_bytes_max: 1000, message_bytes_max: 1000, fragments_max: 4 },
            deflate: None,
            in_flight_max: 4,
            outbound: OutboundLimits { bytes_max: 4000, frames_max: 50 },
            outbound_total_max: 1_000_000,
            reconnect_spread: Duration::ZERO,
        };
        let counters = Arc::new(Counters::default());
        let throttle = Throttle::new(ThrottlePolicy::default());
        let endpoint = Endpoint::new(ReactorId(0), Arc::new(settings), Arc::default(), counters.clone(), throttle);
        Stage { endpoint, counters, now: Now { mono: Mono(1), wall: Wall(1_772_131_500_000) } }
    }

    fn receive(&mut self, id: ConnId, bytes: impl AsRef<[u8]>) {
        self.endpoint.on_received(id, &mut bytes.as_ref().to_vec(), self.now);
    }

    fn order(&mut self, order: Order) {
        self.endpoint.on_orders([order], self.now);
    }

    fn close(&mut self, id: ConnId) {
        self.order(Order::Close { conn: id, reason: Reason::ServerClosed, text: Cow::Borrowed("") });
    }

    fn answer(&mut self, id: ConnId) {
        self.order(Order::Answer { conn: id, answer: Answer::text(200, "fine") });
    }

    fn pass(&mut self, wait: Duration) {
        self.now.mono = self.now.mono.after(wait);
        self.endpoint.on_time(self.now);
    }

    fn write(&mut self, id: ConnId) {
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = self.endpoint.gather(id, &mut slices);
            let count = slices[..filled].iter().map(|slice| slice.len()).sum();
            if count == 0 {
                return;
            }
            self.endpoint.on_sent(id, count, false, self.now);
        }
    }

    /// Drives a new connection to a state. Its output is out, so it waits for what comes.
    fn reach(&mut self, state: State) -> ConnId {
        let id = self.endpoint.on_accept("192.0.2.7:4711".parse().unwrap(), self.now).unwrap();
        match state {
            State::Connecting => {}
            State::Verifying => self.receive(id, REQUEST),
            State::Established | State::Connected | State::Heartbeat | State::Closing | State::Closed => {
                self.receive(id, UPGRADE);
                self.write(id);
                if state != State::Established {
                    self.order(Order::Ready { conn: id });
                }
                match state {
                    State::Heartbeat => self.pass(PING),
                    State::Closing => self.close(id),
                    State::Closed => self.endpoint.on_eof(id, self.now),
                    _ => {}
                }
            }
            State::Failed => self.endpoint.on_eof(id, self.now),
            State::Rejected => self.receive(id, UPGRADE.replace("hydrogen", "unknown")),
            State::Inactive => unreachable!("it is left as it is entered"),
        }
        self.write(id);
        assert_eq!(self.endpoint.connection(id).unwrap().state(), state);
        id
    }
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    client::masked_frame(opcode, true, payload, [1, 2, 3, 4], &mut out);
    out
}

type Act = fn(&mut Stage, ConnId);

/// Everything that can be done to a connection from outside.
const INPUTS: &[(&str, Act)] = &[
    ("a plain request", |stage, id| stage.receive(id, REQUEST)),
    ("half a request", |stage, id| stage.receive(id, &REQUEST[..9])),
    ("a handshake", |stage, id| stage.receive(id, UPGRADE)),
    ("a handshake for no dialect", |stage, id| stage.receive(id, UPGRADE.replace("hydrogen", "unknown"))),
    ("no HTTP", |stage, id| stage.receive(id, "\x16\x03\x01")),
    ("a message", |stage, id| stage.receive(id, frame(OpCode::Data(Data::Text), b"x"))),
    ("a ping", |stage, id| stage.receive(id, frame(OpCode::Control(Control::Ping), b"x"))),
    ("a close frame", |stage, id| stage.receive(id, frame(OpCode::Control(Control::Close), &[3, 232]))),
    ("an unmasked frame", |stage, id| stage.receive(id, [0x81, 0x01, b'x'])),
    ("no bytes", |stage, id| stage.receive(id, "")),
    ("end of stream", |stage, id| stage.endpoint.on_eof(id, stage.now)),
    ("a reset", |stage, id| stage.endpoint.on_socket_error(id, SocketFault::Reset, stage.now)),
    ("a TLS fault", |stage, id| stage.endpoint.on_socket_error(id, SocketFault::Tls, stage.now)),
    ("order: ready", |stage, id| stage.order(Order::Ready { conn: id })),
    ("order: send", |stage, id| {
        let (frame, received_at) = (ws::encoder::text(b"x"), stage.now.mono);
        stage.order(Order::Send { conn: id, frame, settles: 0, received_at });
    }),
    ("order: settle", |stage, id| stage.order(Order::Settle { conn: id, count: 0 })),
    ("order: broadcast", |stage, id| {
        let event = EventFrame::new(ws::encoder::text(b"x"), "a.b".into(), false);
        let targets = Arc::new([Target { conn: id, flags: TargetFlags::default() }]);
        stage.order(Order::Broadcast { event: Arc::new(event), targets, published_at: stage.now.mono });
    }),
    ("order: close", |stage, id| stage.close(id)),
    ("order: answer", |stage, id| stage.answer(id)),
    ("handshake timeout", |stage, _| stage.pass(HANDSHAKE)),
    ("close timeout", |stage, _| stage.pass(CLOSE)),
    ("ping interval", |stage, _| stage.pass(PING)),
    ("idle timeout", |stage, _| {
        stage.pass(PING);
        stage.pass(IDLE - PING);
    }),
    ("drain", |stage, _| stage.endpoint.on_drain(stage.now)),
];

const STATES: [State; 9] = [
    State::Connecting,
    State::Verifying,
    State::Established,
    State::Connected,
    State::Heartbeat,
    State::Closing,
    State::Failed,
    State::Rejected,
    State::Closed,
];

#[test]
fn every_state_meets_every_input_as_reviewed() {
    let mut out = String::from(
        "Every state and every input: the state after it, once what it queued is written, and the\n\
         reason where the end is decided. `·` is no change.\n\n| input |",
    );
    for state in STATES {
        write!(out, " {} |", state.as_str()).unwrap();
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(STATES.len()));
    out.push('\n');
    for (name, act) in INPUTS {
        write!(out, "| {name} |").unwrap();
        for state in STATES {
            let mut stage = Stage::new();
            let id = stage.reach(state);
            let before = stage.endpoint.connection(id).unwrap().reason();
            act(&mut stage, id);
            stage.write(id);
            let conn = stage.endpoint.connection(id).unwrap();
            assert_eq!(stage.counters.value(Metric::IMPOSSIBLE_TRANSITIONS), 0, "{state:?}: {name}");
            match (conn.state() == state, conn.reason() == before, conn.reason()) {
                (true, true, _) => out.push_str(" · |"),
                (_, _, Some(reason)) => write!(out, " {}: `{}` |", conn.state().as_str(), reason.as_str()).unwrap(),
                (_, _, None) => write!(out, " {} |", conn.state().as_str()).unwrap(),
            }
            check_end(&mut stage, id);
        }
        out.push('\n');
    }
    hold("tests/snapshots/states.md", &out);
}

/// However it went, a lost socket ends it, once, and everything is given back.
fn check_end(stage: &mut Stage, id: ConnId) {
    stage.endpoint.on_socket_error(id, SocketFault::Reset, stage.now);
    let finished = stage.endpoint.poll_finished(stage.now).expect("it is over");
    assert_eq!((finished.conn, stage.endpoint.len(), stage.endpoint.outbound_bytes()), (id, 0, 0));
    assert!(stage.endpoint.poll_finished(stage.now).is_none());
    let closed: u64 = Reason::ALL.iter().map(|reason| stage.counters.value(Metric::closed(*reason))).sum();
    assert_eq!((closed, stage.counters.value(Metric::closed(finished.reason))), (1, 1));
}
