//! Whether a command line makes sense as a whole.

use super::{Args, BACKLOG_MAX, PUBLISHERS_MAX, ProtocolKind, ScenarioKind, TOPICS_EACH_MAX, WINDOW_MAX};
use crate::cli::bench::error::BenchError;
use crate::cli::bench::layout::Layout;
use crate::cli::bench::stamp::Payload;

/// Topics at most; stamps have room for more.
const TOPICS_MAX: usize = 1 << 20;

impl Args {
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
        let most_topics =
            if is_guaranteed { 1 } else { self.connections.saturating_mul(TOPICS_EACH_MAX).min(TOPICS_MAX) };
        for (name, value, least, most) in [
            ("--connections", self.connections, fewest, 1 << 20),
            ("--publishers", self.publishers, 1, PUBLISHERS_MAX),
            ("--pipeline", self.pipeline, 1, WINDOW_MAX),
            ("--backlog", self.backlog, 1, BACKLOG_MAX),
            ("--window", self.window, 1, WINDOW_MAX),
            ("--threads", self.threads, 1, 256),
            ("--connect-batch", self.connect_batch, 1, 1 << 20),
            ("--per-address", self.per_address, 1, 60_000),
            ("--topics", self.topics, 1, most_topics),
            ("--wildcards", self.wildcards, 0, self.connections),
            ("--deaf", self.deaf, 0, self.connections.saturating_sub(1)),
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
        if scenario == ScenarioKind::Signal {
            self.check_rooms()?;
        }
        if self.topics > 1 && protocol == ProtocolKind::Raw {
            return usage("raw has no topics".into());
        }
        if self.deaf > 0 && self.topics > 1 {
            return usage("--deaf takes one topic: nobody would wait for one that only the deaf have".into());
        }
        for (name, is_asked, needed) in [
            ("--wildcards", self.wildcards > 0, scenario == ScenarioKind::Fanout && protocol != ProtocolKind::Raw),
            ("--deaf", self.deaf > 0, scenario == ScenarioKind::Fanout),
            ("--subscribe", self.subscribe, matches!(scenario, ScenarioKind::Idle | ScenarioKind::Connect)),
            ("--publisher-path", self.publisher_path.is_some(), protocol == ProtocolKind::Raw),
            ("--rooms", self.rooms.is_some(), scenario == ScenarioKind::Signal),
        ] {
            if is_asked && !needed {
                return usage(format!("{name} means nothing for {} over {}", scenario.as_str(), protocol.as_str()));
            }
        }
        if self
            .publisher_path
            .as_ref()
            .is_some_and(|path| !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()))
        {
            return usage("--publisher-path begins with / and is of visible ASCII".into());
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

    /// Whether every connection finds its rooms.
    fn check_rooms(&self) -> Result<(), BenchError> {
        let usage = |text: String| Err(BenchError::Usage(text));
        let Some(rooms) = self.rooms else {
            if !self.connections.is_multiple_of(2) {
                return usage("--connections must be even, or --rooms be given: two peers share a room".into());
            }
            return Ok(());
        };
        if self.connections < 2 {
            return usage("--connections must be at least 2: two peers share a room".into());
        }
        let allowed = Layout::rooms_of(self.connections);
        if !allowed.contains(&rooms) {
            let (connections, least, most) = (self.connections, allowed.start(), allowed.end());
            return usage(format!(
                "--rooms must be between {least} and {most} for {connections} connections: each has an owner of its \
                 own, and no guest is in more than two"
            ));
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
            ("fanout -c 3 --topics 4", ""),
            ("fanout -c 1000 --topics 10000 --wildcards 10", ""),
            ("fanout -c 10 --deaf 9 --deflate --body records", ""),
            ("connect --subscribe", ""),
            ("idle --subscribe --topics 100", ""),
            ("fanout --protocol raw --publisher-path /pub/t", ""),
            ("fanout -c 1 --topics 257", "--topics"),
            ("fanout -c 10 --deaf 10", "--deaf"),
            ("fanout -c 10 --topics 2 --deaf 1", "--deaf"),
            ("rpc --wildcards 2", "--wildcards"),
            ("fanout --subscribe", "--subscribe"),
            ("fanout --publisher-path /p", "--publisher-path"),
            ("fanout --protocol raw --publisher-path p", "--publisher-path"),
            ("connect --ca x --insecure", "--insecure"),
            ("signal", ""),
            ("signal -c 3", "must be even"),
            ("signal -c 1 --rooms 1", "--connections"),
            ("signal -c 2 --rooms 1", ""),
            ("signal -c 3 --rooms 2", ""),
            ("signal -c 100 --rooms 50", ""),
            ("signal -c 100 --rooms 66", ""),
            ("signal -c 19800 --rooms 10000", ""),
            ("signal -c 100 --rooms 0", "--rooms must be between 50 and 66"),
            ("signal -c 100 --rooms 49", "--rooms must be between 50 and 66"),
            ("signal -c 100 --rooms 67", "--rooms must be between 50 and 66"),
            ("signal -c 100 --rooms 101", "--rooms must be between 50 and 66"),
            ("signal -c 101 --rooms 50", "--rooms must be between 51 and 67"),
            ("idle --rooms 50", "--rooms means nothing for idle"),
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
