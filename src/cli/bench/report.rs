//! The result of a run: figures from readings and counts. Its JSON is its fields.

use serde::Serialize;

use super::args::{Args, ScenarioKind};
use super::stats::{Faults, Summary, Tally};
use super::usage::{Machine, Reading};

/// Everything read at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Seconds since the run began.
    pub at_s: f64,
    /// The server.
    pub server: Reading,
    /// This process.
    pub generator: Reading,
    /// All of it.
    pub machine: Machine,
}

/// What a report is made from.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The command line.
    pub args: &'a Args,
    /// Connections that became ready.
    pub connected: usize,
    /// Connections that failed before or after that.
    pub failed: usize,
    /// Some of the reasons.
    pub reasons: Vec<String>,
    /// The first error response's text.
    pub refusal: Option<String>,
    /// Before the first connection.
    pub before: Snapshot,
    /// When all were ready.
    pub ready: Snapshot,
    /// When measuring began, after rest and warm-up.
    pub start: Snapshot,
    /// When measuring ended.
    pub end: Snapshot,
    /// The counts of all threads.
    pub tally: Tally,
}

/// A run's result. `None` stands for what was not measured or has no base.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct Report {
    pub label: String,
    pub scenario: &'static str,
    pub protocol: &'static str,
    pub connections: usize,
    pub rooms: Option<usize>,
    pub pipeline: usize,
    pub size: usize,
    pub window: usize,
    pub rate: Option<f64>,
    pub topics: usize,
    pub wildcards: usize,
    pub deflate: bool,
    pub publishers: usize,
    pub threads: usize,
    pub measured_s: f64,
    pub set_up: SetUp,
    pub messages: u64,
    pub messages_per_s: f64,
    pub server_cpu_us_per_message: Option<f64>,
    pub messages_per_server_cpu_s: Option<f64>,
    pub deliveries: Option<Deliveries>,
    pub deaf: Option<Deaf>,
    pub sent_per_s: f64,
    pub megabytes_per_s: f64,
    pub latency: Option<Summary>,
    pub accepted: Option<Summary>,
    pub complete: Option<Summary>,
    pub faults: Faults,
    pub server: Option<Server>,
    pub generator: Generator,
    pub machine: MachineUse,
    pub reasons: Vec<String>,
    pub refusal: Option<String>,
}

/// What subscribers got, where a message is a publication.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct Deliveries {
    pub count: u64,
    pub per_s: f64,
    pub server_cpu_us: Option<f64>,
}

/// Subscribers that read nothing.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct Deaf {
    pub count: usize,
    pub ended: u64,
}

/// What opening the connections was like.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct SetUp {
    pub connected: usize,
    pub failed: usize,
    pub seconds: f64,
    pub connections_per_s: f64,
    pub connections_per_server_cpu_s: Option<f64>,
    pub handshake: Option<Summary>,
    pub server_rss_kib_per_connection: Option<f64>,
    pub server_anon_kib_per_connection: Option<f64>,
}

/// The server while measuring.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct Server {
    pub threads: usize,
    pub cpu_s: f64,
    pub cpu_user_s: f64,
    pub cpu_system_s: f64,
    pub cpu_pct: f64,
    pub rss_kib: u64,
    pub anon_kib: u64,
    pub peak_rss_kib: u64,
}

/// This process while measuring.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct Generator {
    pub cpu_s: f64,
    pub cpu_pct: f64,
    pub is_bottleneck: bool,
}

/// The machine while measuring; 100 is one CPU for `other_cpu_pct`, all CPUs for the others.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the fields' meaning is a table in docs/performance.md")]
pub struct MachineUse {
    pub other_cpu_pct: f64,
    pub idle_pct: f64,
    pub steal_pct: f64,
}

fn per(amount: f64, base: f64) -> Option<f64> {
    (base > 0.0).then_some(amount / base)
}

impl Outcome<'_> {
    /// Works out the figures.
    pub fn report(self) -> Report {
        let (args, tally) = (self.args, &self.tally);
        let (start, end) = (&self.start, &self.end);
        let wall_s = (end.at_s - start.at_s).max(1e-9);
        let has_server = !args.server_pid.is_empty();
        let messages = tally.messages as f64;

        let server = end.server.cpu_since(&start.server);
        let generator = end.generator.cpu_since(&start.generator);
        let busy_s = end.machine.busy_s - start.machine.busy_s;
        let idle_s = end.machine.idle_s - start.machine.idle_s;
        let steal_s = end.machine.steal_s - start.machine.steal_s;
        let all_s = (busy_s + idle_s + steal_s).max(1e-9);
        let (server_pct, generator_pct) = (100.0 * server.total_s / wall_s, 100.0 * generator.total_s / wall_s);

        Report {
            label: args.label.clone(),
            scenario: args.scenario.as_str(),
            protocol: args.protocol().as_str(),
            connections: args.connections,
            rooms: (args.scenario == ScenarioKind::Signal).then(|| args.layout().rooms()),
            pipeline: args.pipeline,
            size: args.size,
            window: args.window,
            rate: args.rate,
            topics: args.topics,
            wildcards: args.wildcards,
            deflate: args.deflate,
            publishers: args.publishing(),
            threads: args.threads,
            measured_s: wall_s,
            set_up: self.set_up(has_server),
            messages: tally.messages,
            messages_per_s: messages / wall_s,
            server_cpu_us_per_message: per(server.total_s * 1e6, messages).filter(|_| has_server),
            messages_per_server_cpu_s: per(messages, server.total_s).filter(|_| has_server),
            deliveries: (args.scenario == ScenarioKind::Guaranteed).then(|| Deliveries {
                count: tally.deliveries,
                per_s: tally.deliveries as f64 / wall_s,
                server_cpu_us: per(server.total_s * 1e6, tally.deliveries as f64).filter(|_| has_server),
            }),
            deaf: (args.deaf > 0).then_some(Deaf { count: args.deaf, ended: tally.deaf_ended }),
            sent_per_s: tally.sent as f64 / wall_s,
            megabytes_per_s: tally.bytes as f64 / wall_s / 1e6,
            latency: tally.latency.summary(),
            accepted: tally.accepted.summary(),
            complete: tally.complete.summary(),
            faults: tally.faults,
            server: has_server.then_some(Server {
                threads: end.server.threads(),
                cpu_s: server.total_s,
                cpu_user_s: server.user_s,
                cpu_system_s: server.system_s,
                cpu_pct: server_pct,
                rss_kib: end.server.rss_kib,
                anon_kib: end.server.anon_kib,
                peak_rss_kib: end.server.peak_rss_kib,
            }),
            generator: Generator {
                cpu_s: generator.total_s,
                cpu_pct: generator_pct,
                // All its threads are used up, and the server still has time.
                is_bottleneck: generator_pct > 92.0 * args.threads as f64 && server_pct < 90.0,
            },
            machine: MachineUse {
                other_cpu_pct: 100.0 * (busy_s - server.total_s - generator.total_s).max(0.0) / wall_s,
                idle_pct: 100.0 * idle_s / all_s,
                steal_pct: 100.0 * steal_s / all_s,
            },
            reasons: self.reasons,
            refusal: self.refusal,
        }
    }

    fn set_up(&self, has_server: bool) -> SetUp {
        let seconds = (self.ready.at_s - self.before.at_s).max(1e-9);
        let connected = self.connected as f64;
        let cpu_s = self.ready.server.cpu_since(&self.before.server).total_s;
        let growth = |after: u64, before: u64| per(after as f64 - before as f64, connected).filter(|_| has_server);
        SetUp {
            connected: self.connected,
            failed: self.failed,
            seconds,
            connections_per_s: connected / seconds,
            connections_per_server_cpu_s: per(connected, cpu_s).filter(|_| has_server),
            handshake: self.tally.handshake.summary(),
            server_rss_kib_per_connection: growth(self.start.server.rss_kib, self.before.server.rss_kib),
            server_anon_kib_per_connection: growth(self.start.server.anon_kib, self.before.server.anon_kib),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn snapshot(at_s: f64, server: (u64, u64), generator_ns: u64, busy_s: f64) -> Snapshot {
        Snapshot {
            at_s,
            server: Reading::fixed(server.0, server.1),
            generator: Reading::fixed(generator_ns, 0),
            machine: Machine { busy_s, idle_s: 8.0 * at_s - busy_s, steal_s: 0.0 },
        }
    }

    /// Two seconds of measuring with 1,000,000 messages, 100 connections, a server of 4,000 KiB.
    pub fn example(line: &str, server_ns: u64, generator_ns: u64) -> Report {
        let words = ["bench", "--url", "ws://127.0.0.1:1/"].into_iter().chain(line.split_whitespace());
        let args = Line::parse_from(words).args;
        let mut tally =
            Tally { messages: 1_000_000, deliveries: 500_000, bytes: 4_000_000, sent: 1_000, ..Tally::default() };
        tally.latency.record_ns(50_000);
        Outcome {
            args: &args,
            connected: 100,
            failed: 0,
            reasons: Vec::new(),
            refusal: None,
            before: snapshot(0.0, (0, 4_000), 0, 0.0),
            ready: snapshot(0.5, (50_000_000, 4_400), 0, 0.1),
            start: snapshot(1.0, (100_000_000, 4_500), 100_000_000, 1.0),
            end: snapshot(3.0, (100_000_000 + server_ns, 4_600), 100_000_000 + generator_ns, 6.0),
            tally,
        }
        .report()
    }

    fn about(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-6)
    }

    #[test]
    fn costs_are_server_time_by_messages() {
        let report = example("echo --server-pid 1", 1_500_000_000, 500_000_000);
        assert!(about(report.server_cpu_us_per_message, 1.5), "{report:?}");
        assert!(about(report.messages_per_server_cpu_s, 1e6 / 1.5));
        assert!(about(Some(report.messages_per_s), 500_000.0));
        assert!(about(Some(report.megabytes_per_s), 2.0));
        assert!(about(Some(report.machine.other_cpu_pct), 150.0));
        assert!(about(report.set_up.server_rss_kib_per_connection, 5.0));
        assert!(about(Some(report.set_up.connections_per_s), 200.0));
        assert!(about(report.set_up.connections_per_server_cpu_s, 2000.0));
    }

    #[test]
    fn guaranteed_deliveries_have_a_cost_of_their_own() {
        let report = example("guaranteed --server-pid 1", 1_500_000_000, 500_000_000);
        assert!(about(report.server_cpu_us_per_message, 1.5));
        let deliveries = report.deliveries.unwrap();
        assert_eq!(deliveries.count, 500_000);
        assert!(about(Some(deliveries.per_s), 250_000.0) && about(deliveries.server_cpu_us, 3.0), "{deliveries:?}");
        assert!(example("fanout", 1, 1).deliveries.is_none());
    }

    #[test]
    fn without_a_process_nothing_is_said_about_the_server() {
        let report = example("echo", 1_500_000_000, 500_000_000);
        assert!(report.server.is_none() && report.server_cpu_us_per_message.is_none());
        assert!(report.set_up.server_rss_kib_per_connection.is_none());
    }

    #[test]
    fn the_generator_is_the_bottleneck_when_it_is_used_up_and_the_server_is_not() {
        for (line, server_ns, generator_ns, expected) in [
            ("echo --server-pid 1", 1_000_000_000, 1_990_000_000, true),
            ("echo --server-pid 1", 1_990_000_000, 1_990_000_000, false),
            ("echo --server-pid 1", 1_000_000_000, 1_000_000_000, false),
            ("echo --server-pid 1 --threads 2", 1_000_000_000, 1_990_000_000, false),
        ] {
            assert_eq!(example(line, server_ns, generator_ns).generator.is_bottleneck, expected, "{line}");
        }
    }
}
