//! The command line of `hydrogen bench`, and its check.

use clap::{Args as ClapArgs, ValueEnum};

use super::error::BenchError;
use super::frame::Masking;
use super::stamp::Payload;

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
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolKind {
    /// hydrogen-protocol, with --key (fanout, guaranteed, rpc, idle)
    Hydrogen,
    /// Plain text messages; for fanout the server sends each to all other connections (echo, fanout, idle)
    Raw,
    /// MQTT 3.1.1 over WebSocket or, with --url tcp://…, TCP; QoS 0, and QoS 1 for guaranteed (fanout, guaranteed, idle)
    Mqtt,
    /// The NATS client protocol over TCP: --url tcp://…; JetStream for guaranteed (fanout, guaranteed, idle)
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
        }
    }

    fn can(self, scenario: ScenarioKind) -> bool {
        match scenario {
            ScenarioKind::Echo => self == ProtocolKind::Raw,
            ScenarioKind::Rpc => self == ProtocolKind::Hydrogen,
            ScenarioKind::Fanout | ScenarioKind::Idle => true,
            ScenarioKind::Guaranteed => self != ProtocolKind::Raw,
        }
    }
}

const FIGURES: &str = "\
Examples:
  hydrogen bench fanout -c 500
  hydrogen bench rpc --url ws://127.0.0.1:8080/ -p 16 --server-pid \"$(pidof -s hydrogen)\"
  hydrogen bench idle -c 10000 -d 30 --json
  hydrogen bench fanout --protocol nats --url tcp://127.0.0.1:4222
  hydrogen bench guaranteed --publishers 64 -p 16 -c 1000 -s 256

What the figures mean (more in docs/performance.md):
  server CPU     user and system time of --server-pid by messages: the main figure, since it
                 depends little on how busy the machine is
  messages/s     echoes, responses, deliveries or pongs received while measuring; for guaranteed,
                 publications answered
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
    /// The server: ws://HOST:PORT/PATH, or tcp://HOST:PORT for nats and mqtt
    #[arg(long, env = "HYDROGEN_URL", default_value = "ws://127.0.0.1:8080/")]
    pub url: String,
    /// What is spoken; raw for echo, else hydrogen
    #[arg(long, value_enum)]
    pub protocol: Option<ProtocolKind>,
    /// Key for hydrogen's Authorization header. Other users of this machine can see it here
    #[arg(long, env = "HYDROGEN_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Further header line of the upgrade, "Name: value"; may be repeated
    #[arg(long)]
    pub header: Vec<String>,
    /// The server's processes, comma-separated: for CPU time and memory
    #[arg(long, value_delimiter = ',')]
    pub server_pid: Vec<i32>,

    /// Connections; for fanout and guaranteed the subscribers, for guaranteed also 0
    #[arg(short, long, default_value_t = 100)]
    pub connections: usize,
    /// Messages in flight on each connection (echo, rpc), unanswered for each publisher (guaranteed)
    #[arg(short, long, default_value_t = 1)]
    pub pipeline: usize,
    /// Bytes of a payload, without the protocol's envelope
    #[arg(short, long, default_value_t = 128)]
    pub size: usize,
    /// Publications in flight: the next is sent when all subscribers have the oldest (fanout)
    #[arg(short, long, default_value_t = 1)]
    pub window: usize,
    /// Publications per second instead of a window; latency counts from when one was due (fanout)
    #[arg(short, long)]
    pub rate: Option<f64>,
    /// Topics that the subscribers are spread over; publications take turns (fanout)
    #[arg(long, default_value_t = 1)]
    pub topics: usize,
    /// Topic; with --topics a number is appended (fanout)
    #[arg(long, default_value = "bench.t")]
    pub topic: String,
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
            ScenarioKind::Rpc | ScenarioKind::Fanout | ScenarioKind::Guaranteed | ScenarioKind::Idle => {
                ProtocolKind::Hydrogen
            }
        })
    }

    /// Connections that publish, in this scenario.
    pub fn publishing(&self) -> usize {
        match self.scenario {
            ScenarioKind::Fanout => 1,
            ScenarioKind::Guaranteed => self.publishers,
            ScenarioKind::Echo | ScenarioKind::Rpc | ScenarioKind::Idle => 0,
        }
    }

    /// All connections, the publishers too.
    pub fn total(&self) -> usize {
        self.connections + self.publishing()
    }

    /// Whether the arguments make sense together.
    pub fn check(&self) -> Result<(), BenchError> {
        let usage = |text: String| Err(BenchError::Usage(text));
        let (protocol, scenario) = (self.protocol(), self.scenario);
        if !protocol.can(scenario) {
            return usage(format!("{} has no {}", protocol.as_str(), scenario.as_str()));
        }
        let is_guaranteed = scenario == ScenarioKind::Guaranteed;
        // A guaranteed publication needs nobody who receives it.
        let fewest = usize::from(!is_guaranteed);
        for (name, value, least, most) in [
            ("--connections", self.connections, fewest, 1 << 20),
            ("--publishers", self.publishers, 1, PUBLISHERS_MAX),
            ("--pipeline", self.pipeline, 1, WINDOW_MAX),
            ("--backlog", self.backlog, 1, BACKLOG_MAX),
            ("--window", self.window, 1, WINDOW_MAX),
            ("--threads", self.threads, 1, 256),
            ("--connect-batch", self.connect_batch, 1, 1 << 20),
            ("--per-address", self.per_address, 1, 60_000),
            ("--topics", self.topics, 1, if is_guaranteed { 1 } else { self.connections.min(WINDOW_MAX) }),
        ] {
            if !(least..=most).contains(&value) {
                return usage(format!("{name} must be between {least} and {most}"));
            }
        }
        if !(Payload::MIN..=16 << 20).contains(&self.size) {
            return usage(format!("--size must be between {} and 16 MiB", Payload::MIN));
        }
        for (name, seconds) in [
            ("--warmup", self.warmup),
            ("--duration", self.duration),
            ("--settle", self.settle),
            ("--drain", self.drain),
            ("--max-time", self.max_time),
        ] {
            if !(0.0..=86_400.0).contains(&seconds) {
                return usage(format!("{name} must be between 0 and 86400 seconds"));
            }
        }
        for (name, rate) in [("--rate", self.rate.unwrap_or(1.0)), ("--ping-rate", self.ping_rate)] {
            if !(0.0..=1e7).contains(&rate) || (name == "--rate" && rate < 0.01) {
                return usage(format!("{name} is out of range"));
            }
        }
        if self.topics > 1 && protocol == ProtocolKind::Raw {
            return usage("raw has no topics".into());
        }
        if self.topic.is_empty() || !self.topic.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
            return usage("--topic must be of visible ASCII without quotes and backslashes".into());
        }
        let mut lines = self.header.iter().chain(&self.key);
        if lines.any(|line| line.contains(['\r', '\n'])) {
            return usage("a header line must not hold a line break".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn check(line: &str) -> Result<(), String> {
        let words = ["bench", "--url", "ws://127.0.0.1:1/"].into_iter().chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.check().map_err(|error| error.to_string())
    }

    #[test]
    fn senseless_arguments_are_refused_with_their_name() {
        for (line, word) in [
            ("echo", ""),
            ("rpc", ""),
            ("fanout --protocol nats --topics 5", ""),
            ("idle -c 100000", ""),
            ("fanout --rate 20", ""),
            ("guaranteed -c 0 --publishers 64 -p 16", ""),
            ("guaranteed --protocol nats --ack-by through", ""),
            ("echo --protocol mqtt", "mqtt has no echo"),
            ("guaranteed --protocol raw", "raw has no guaranteed"),
            ("guaranteed --topics 2", "--topics"),
            ("guaranteed --publishers 0", "--publishers"),
            ("guaranteed --backlog 0", "--backlog"),
            ("rpc --protocol raw", "raw has no rpc"),
            ("fanout --protocol raw --topics 2", "topics"),
            ("fanout -c 3 --topics 4", "--topics"),
            ("fanout --window 0", "--window"),
            ("fanout --window 5000", "--window"),
            ("fanout --rate 0", "--rate"),
            ("echo -c 0", "--connections"),
            ("echo -s 10", "--size"),
            ("echo -d NaN", "--duration"),
            ("fanout --topic a\"b", "--topic"),
        ] {
            match check(line) {
                Ok(()) => assert_eq!(word, "", "{line}"),
                Err(message) => assert!(!word.is_empty() && message.contains(word), "{line}: {message}"),
            }
        }
    }
}
