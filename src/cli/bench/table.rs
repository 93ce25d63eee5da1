//! A report as a table for people.

use std::fmt::{self, Write as _};

use super::args::ScenarioKind;
use super::report::Report;
use super::stats::Summary;

/// Part of a CPU that others may take before a table warns.
const OTHERS_PCT: f64 = 15.0;

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn latency(summary: &Summary) -> String {
    format!(
        "p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} µs",
        summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us
    )
}

/// The table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut row = |name: &str, value: String| writeln!(text, "  {name:<16} {value}");
        let set_up = &self.set_up;
        row(
            "connections",
            format!(
                "{} in {:.2} s, {:.0}/s; {} failed",
                set_up.connected, set_up.seconds, set_up.connections_per_s, set_up.failed
            ),
        )?;
        if let Some(rooms) = self.rooms {
            row("rooms", format!("{rooms}, two peers in each"))?;
        }
        if self.scenario == ScenarioKind::Idle.as_str() {
            if let Some(handshake) = &set_up.handshake {
                row("handshake", latency(handshake))?;
            }
            row(
                "server memory",
                format!(
                    "{} KiB a connection, {} KiB of it its own",
                    optional(set_up.server_rss_kib_per_connection, 2),
                    optional(set_up.server_anon_kib_per_connection, 2)
                ),
            )?;
        }
        row(
            "server CPU",
            format!(
                "{} µs a message; {} messages a CPU second",
                optional(self.server_cpu_us_per_message, 2),
                optional(self.messages_per_server_cpu_s, 0)
            ),
        )?;
        row(
            "messages",
            format!("{:.0}/s for {:.0} sent/s, {:.1} MB/s", self.messages_per_s, self.sent_per_s, self.megabytes_per_s),
        )?;
        if let Some(deliveries) = &self.deliveries {
            let cost = optional(deliveries.server_cpu_us, 2);
            row("deliveries", format!("{:.0}/s; {cost} µs of server CPU each", deliveries.per_s))?;
        }
        if let (Some(deaf), Some(server)) = (&self.deaf, &self.server) {
            row(
                "deaf",
                format!(
                    "{}, {} ended by the server; {} KiB resident, {} at most",
                    deaf.count, deaf.ended, server.rss_kib, server.peak_rss_kib
                ),
            )?;
        }
        for (name, summary) in
            [("latency", &self.latency), ("to the last", &self.complete), ("accepted", &self.accepted)]
        {
            if let Some(summary) = summary {
                row(name, latency(summary))?;
            }
        }
        let faults = &self.faults;
        row(
            "faults",
            if faults.is_none() {
                "none".to_owned()
            } else {
                format!(
                    "lost {}, duplicate {}, out of order {}, unexpected {}, stalls {}, throttled {}",
                    faults.lost,
                    faults.duplicates,
                    faults.out_of_order,
                    faults.unexpected,
                    faults.stalls,
                    faults.throttled
                )
            },
        )?;
        let server_pct = self.server.as_ref().map(|server| server.cpu_pct);
        row(
            "CPU use",
            format!(
                "server {} %, generator {:.0} %, other processes {:.0} % (100 is one CPU)",
                optional(server_pct, 0),
                self.generator.cpu_pct,
                self.machine.other_cpu_pct
            ),
        )?;
        if self.generator.is_bottleneck {
            row("note", "the generator is the bottleneck: messages/s is a lower bound; try --threads".to_owned())?;
        }
        if self.machine.other_cpu_pct > OTHERS_PCT {
            row("note", "other processes were busy: distrust messages/s and latency".to_owned())?;
        }
        for reason in &self.reasons {
            row("failed", reason.clone())?;
        }
        if let Some(refusal) = &self.refusal {
            row("refused", refusal.clone())?;
        }
        let mut title = format!("{} {} -c {} -s {}", self.scenario, self.protocol, self.connections, self.size);
        if self.deliveries.is_some() {
            let _ = write!(title, " --publishers {} -p {}", self.publishers, self.pipeline);
        }
        write!(f, "{} {}\n{}", title, self.label, text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::bench::report::tests::example;

    #[test]
    fn the_table_warns_of_what_spoils_the_figures() {
        let text = example("echo --server-pid 1", 1_000_000_000, 1_990_000_000).to_string();
        assert!(text.contains("1.00 µs a message"), "{text}");
        assert!(text.contains("bottleneck") && text.contains("distrust"), "{text}");
        assert!(text.contains("faults           none"), "{text}");
    }

    #[test]
    fn guaranteed_shows_publications_and_deliveries() {
        let text = example("guaranteed --server-pid 1 --publishers 4 -p 16", 1_000_000_000, 1_000).to_string();
        assert!(text.starts_with("guaranteed hydrogen -c 100 -s 128 --publishers 4 -p 16 "), "{text}");
        assert!(text.contains("deliveries       250000/s; 2.00 µs"), "{text}");
        assert!(text.contains("1.00 µs a message"), "{text}");
    }

    #[test]
    fn idle_shows_memory_and_nothing_unmeasured_is_made_up() {
        let text = example("idle", 0, 0).to_string();
        assert!(text.contains("- KiB a connection"), "{text}");
        assert!(text.contains("- µs a message"), "{text}");
    }
}
