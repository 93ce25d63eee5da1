//! The command line of `hydrogen bench`.

mod check;

use clap::{Args as ClapArgs, ValueEnum};

use super::frame::Masking;
use super::layout::Layout;

/// Topics of one subscriber at most: hydrogen takes no more in one command.
pub const TOPICS_EACH_MAX: usize = 256;
/// Publications in flight at most. Slots for them are kept for twice as many.
pub const WINDOW_MAX: usize = 4096;
/// Publishers at most. Every subscriber keeps account of each.
pub const PUBLISHERS_MAX: usize = 1024;
/// Publications that subscribers may lag behind at most.
pub const BACKLOG_MAX: usize = 1 << 20;

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioKind {
    /// Each connection keeps -p messages of -s bytes in flight; the server sends them back
    Echo,
    /// The same with hydrogen's system.ping command and its response
    Rpc,
    /// One publisher and -c subscribers; counts lost, duplicate and overtaken deliveries
    Fanout,
    /// --publishers keep -p publications each waiting for the server's answer; -c subscribers acknowledge
    Guaranteed,
    /// -c connections are opened and held; pings show that they live
    Idle,
    /// -c connections at a time are opened, got ready and closed, again and again
    Connect,
    /// Half as many rooms as -c connections, or --rooms, two peers in each; its owner keeps -p offers in flight, each
    /// is answered
    Signal,
}

/// What payloads are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Body {
    /// One sentence, again and again
    Text,
    /// JSON objects with names, numbers and truth values: what compression is made for
    Records,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolKind {
    /// hydrogen-protocol, with --key (fanout, guaranteed, rpc, idle, connect)
    Hydrogen,
    /// Plain text messages; for fanout the server sends each to all other connections (echo, fanout, idle, connect)
    Raw,
    /// MQTT 3.1.1 over WebSocket or, with --url tcp://…, TCP; QoS 0, and QoS 1 for guaranteed (fanout, guaranteed, idle, connect)
    Mqtt,
    /// Signaling, as of GoVPN's rooms (signal)
    Signaling,
    /// The NATS client protocol over TCP: --url tcp://…; JetStream for guaranteed (fanout, guaranteed, idle, connect)
    Nats,
}

/// How hydrogen's subscribers acknowledge what one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AckBy {
    /// The ids of all events, in lists
    Ids,
    /// The last offset, which stands for all before it
    Through,
}

impl ScenarioKind {
    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            ScenarioKind::Echo => "echo",
            ScenarioKind::Rpc => "rpc",
            ScenarioKind::Fanout => "fanout",
            ScenarioKind::Guaranteed => "guaranteed",
            ScenarioKind::Idle => "idle",
            ScenarioKind::Connect => "connect",
            ScenarioKind::Signal => "signal",
        }
    }
}

impl ProtocolKind {
    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            ProtocolKind::Hydrogen => "hydrogen",
            ProtocolKind::Raw => "raw",
            ProtocolKind::Mqtt => "mqtt",
            ProtocolKind::Nats => "nats",
            ProtocolKind::Signaling => "signaling",
        }
    }

    /// What stands between a topic's levels.
    pub fn separator(self) -> char {
        match self {
            ProtocolKind::Hydrogen | ProtocolKind::Raw | ProtocolKind::Nats | ProtocolKind::Signaling => '.',
            ProtocolKind::Mqtt => '/',
        }
    }

    /// What stands for any one level in a pattern.
    pub fn any_level(self) -> char {
        match self {
            ProtocolKind::Hydrogen | ProtocolKind::Raw | ProtocolKind::Nats | ProtocolKind::Signaling => '*',
            ProtocolKind::Mqtt => '+',
        }
    }

    fn can(self, scenario: ScenarioKind) -> bool {
        match scenario {
            ScenarioKind::Echo => self == ProtocolKind::Raw,
            ScenarioKind::Rpc => self == ProtocolKind::Hydrogen,
            ScenarioKind::Fanout | ScenarioKind::Idle | ScenarioKind::Connect => self != ProtocolKind::Signaling,
            ScenarioKind::Guaranteed => !matches!(self, ProtocolKind::Raw | ProtocolKind::Signaling),
            ScenarioKind::Signal => self == ProtocolKind::Signaling,
        }
    }
}

const FIGURES: &str = "\
Examples:
  hydrogen bench fanout -c 500
  hydrogen bench rpc --url ws://127.0.0.1:8080/ -p 16 --server-pid \"$(pidof -s hydrogen)\"
  hydrogen bench idle -c 10000 -d 30 --json
  hydrogen bench idle -c 10000 --subscribe --url wss://127.0.0.1:8443/ --insecure
  hydrogen bench fanout --protocol nats --url tcp://127.0.0.1:4222
  hydrogen bench guaranteed --publishers 64 -p 16 -c 1000 -s 256

What the figures mean (more in docs/performance.md):
  server CPU     user and system time of --server-pid by messages: the main figure, since it
                 depends little on how busy the machine is
  messages/s     echoes, responses, deliveries or pongs received while measuring; for guaranteed,
                 publications answered; for connect, connections opened
  latency        from sending, or with --rate from when it was due, to receipt
  to the last    from publishing to receipt by the last subscriber
  accepted       from publishing to the server's response to the publisher
  deliveries     what the subscribers got and acknowledged (guaranteed)
  faults         lost, duplicate and overtaken messages over the whole run, warm-up included;
                 unexpected: errors; stalls: nothing came for a while; throttled: due, not sent
  other          what all other processes took; distrust messages/s and latency if it is much
Exit codes: 0 measured, 1 server unusable, 2 bad arguments, 3 --max-time, 70 a defect, 71 system.";

/// Loads a server and measures it.
#[derive(ClapArgs, Clone, Debug)]
#[command(after_help = FIGURES)]
pub struct Args {
    /// What is done to the server
    #[arg(value_enum)]
    pub scenario: ScenarioKind,
    /// The server: ws://HOST:PORT/PATH or wss://…, or tcp://HOST:PORT for nats and mqtt
    #[arg(long, env = "HYDROGEN_URL", default_value = "ws://127.0.0.1:8080/")]
    pub url: String,
    /// What is spoken; raw for echo, else hydrogen
    #[arg(long, value_enum)]
    pub protocol: Option<ProtocolKind>,
    /// Key for hydrogen's Authorization header. Other users of this machine can see it here
    #[arg(long, env = "HYDROGEN_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Certificates, in PEM, that wss:// trusts instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<std::path::PathBuf>,
    /// wss:// takes any certificate. For servers that were made for the measurement
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Ask for permessage-deflate without context takeover; a server that does not agree is refused
    #[arg(long)]
    pub deflate: bool,
    /// The publisher's path, where it is not the one of --url (raw)
    #[arg(long, value_name = "PATH")]
    pub publisher_path: Option<String>,
    /// Further header line of the upgrade, "Name: value"; may be repeated
    #[arg(long)]
    pub header: Vec<String>,
    /// The server's processes, comma-separated: for CPU time and memory
    #[arg(long, value_delimiter = ',')]
    pub server_pid: Vec<i32>,

    /// Connections; for fanout and guaranteed the subscribers, for guaranteed also 0; for connect those at a time
    #[arg(short, long, default_value_t = 100)]
    pub connections: usize,
    /// Messages in flight on each connection (echo, rpc), unanswered for each publisher (guaranteed)
    #[arg(short, long, default_value_t = 1)]
    pub pipeline: usize,
    /// Bytes of a payload, without the protocol's envelope
    #[arg(short, long, default_value_t = 128)]
    pub size: usize,
    /// What payloads are made of
    #[arg(long, value_enum, default_value = "text")]
    pub body: Body,
    /// Publications in flight: the next is sent when all subscribers have the oldest (fanout)
    #[arg(short, long, default_value_t = 1)]
    pub window: usize,
    /// Publications per second instead of a window; latency counts from when one was due (fanout)
    #[arg(short, long)]
    pub rate: Option<f64>,
    /// Rooms, if they are to be more than half the connections: some guests are then in two (signal)
    #[arg(long)]
    pub rooms: Option<usize>,
    /// Topics that the subscribers are spread over, or share out among them if there are more; publications take
    /// turns (fanout). Those that --subscribe spreads connections over (idle, connect)
    #[arg(long, default_value_t = 1)]
    pub topics: usize,
    /// Topic; with --topics a number is appended
    #[arg(long, default_value = "bench.t")]
    pub topic: String,
    /// One subscriber in so many has one pattern instead of its topics; 0: none (fanout)
    #[arg(long, default_value_t = 0)]
    pub wildcards: usize,
    /// So many of the subscribers read nothing once they have subscribed (fanout)
    #[arg(long, default_value_t = 0)]
    pub deaf: usize,
    /// Each connection subscribes to a topic (idle, connect)
    #[arg(long)]
    pub subscribe: bool,
    /// Connections that publish (guaranteed)
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Publications that subscribers lag behind at most, on average; publishers pause then (guaranteed)
    #[arg(long, default_value_t = 1024)]
    pub backlog: usize,
    /// How hydrogen's subscribers acknowledge what one read brought (guaranteed)
    #[arg(long, value_enum, default_value = "ids")]
    pub ack_by: AckBy,
    /// Pings per second over all connections; 0 for none (idle)
    #[arg(long, default_value_t = 1000.0)]
    pub ping_rate: f64,

    /// Seconds of load before measuring
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Seconds of measuring; for idle, how long connections are held
    #[arg(short, long, default_value_t = 5.0)]
    pub duration: f64,
    /// Seconds of rest between opening the connections and the load
    #[arg(long, default_value_t = 0.3)]
    pub settle: f64,
    /// After the last message was sent, what is in flight is waited for until nothing has come for so many seconds
    #[arg(long, default_value_t = 3.0)]
    pub drain: f64,
    /// Seconds after which the run ends, whatever has or has not happened
    #[arg(long, default_value_t = 120.0)]
    pub max_time: f64,

    /// Threads, each with its share of the connections
    #[arg(short, long, default_value_t = 1)]
    pub threads: usize,
    /// Connections being set up at one time, over all threads
    #[arg(long, default_value_t = 128)]
    pub connect_batch: usize,
    /// Connections from one loopback address; more come from 127.0.0.2 and so on
    #[arg(long, default_value_t = 20_000)]
    pub per_address: usize,
    /// How frames are masked
    #[arg(long, value_enum, default_value = "zero")]
    pub masking: Masking,

    /// One line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Repeated in the result
    #[arg(long, default_value = "")]
    pub label: String,
}

impl Args {
    /// What is spoken, by the scenario if nothing was said.
    pub fn protocol(&self) -> ProtocolKind {
        self.protocol.unwrap_or(match self.scenario {
            ScenarioKind::Echo => ProtocolKind::Raw,
            ScenarioKind::Signal => ProtocolKind::Signaling,
            ScenarioKind::Rpc
            | ScenarioKind::Fanout
            | ScenarioKind::Guaranteed
            | ScenarioKind::Idle
            | ScenarioKind::Connect => ProtocolKind::Hydrogen,
        })
    }

    /// Who is in which room; there are none but for `signal`.
    pub fn layout(&self) -> Layout {
        match self.scenario {
            ScenarioKind::Signal => Layout::new(self.connections, self.rooms.unwrap_or(self.connections / 2)),
            ScenarioKind::Echo
            | ScenarioKind::Rpc
            | ScenarioKind::Fanout
            | ScenarioKind::Guaranteed
            | ScenarioKind::Idle
            | ScenarioKind::Connect => Layout::default(),
        }
    }

    /// Connections that publish, in this scenario.
    pub fn publishing(&self) -> usize {
        match self.scenario {
            ScenarioKind::Fanout => 1,
            ScenarioKind::Guaranteed => self.publishers,
            ScenarioKind::Echo
            | ScenarioKind::Rpc
            | ScenarioKind::Idle
            | ScenarioKind::Connect
            | ScenarioKind::Signal => 0,
        }
    }

    /// All connections, the publishers too.
    pub fn total(&self) -> usize {
        self.connections + self.publishing()
    }

    /// How far apart the topics of one subscriber are. A subscriber has one topic, unless there are more topics
    /// than subscribers.
    pub fn stride(&self) -> usize {
        self.topics.min(self.connections)
    }
}
