//! `hydrogen subscribe`: events as lines, for people and pipes.
//!
//! Whatever is printed is flushed before the next wait: line by line when events are rare, in
//! large pieces when they are not.

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::client::{Backoff, Broken, Client, ConnectArgs, Envelope, Target, no_answer};
use super::exit::{Exit, Stop};
use super::output::{Lines, note};
use super::{interrupt, json};
use crate::base::limits::TOPICS_PER_COMMAND;
use crate::engine::topic::Pattern;

/// For the answer to the subscribe command.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How often a wait between connections looks at Ctrl-C.
const LOOK: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Topics or patterns: `*` stands for one token, a final `>` for one or more
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
    /// Where to start: new events only, or each topic's last one first
    #[arg(long, value_name = "WHERE")]
    from: Option<Start>,
    /// Only events whose data fits: an object of paths with values or conditions
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// While this client is slow, keep only each topic's newest event
    #[arg(long)]
    conflate: bool,
    /// What happens when this client is too slow
    #[arg(long, value_name = "POLICY")]
    overflow: Option<Overflow>,
    /// Whether these events go with those of other subscriptions, or behind them
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Lane>,
    /// End after this many events
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds: with 5 if --count was not reached, else with 0
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: Option<u64>,
    /// What a line holds: the whole envelope, its data, or topic, tab and data
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
    /// Connect again when the connection cannot be made or is lost. What is published in between
    /// is missed
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen subscribe 'sensors.>'
  hydrogen subscribe sensors.kitchen --from last --count 1 --format payload
  hydrogen subscribe 'sensors.*' --filter '{\"temp\":{\"gt\":30}}' --reconnect | tee hot.jsonl
  hydrogen subscribe 'chat.>' --format topic-payload | while IFS=$'\\t' read -r topic data; do ...; done

Quote patterns: the shell has its own use for * and >.";

#[derive(Clone, Copy, ValueEnum)]
enum Start {
    New,
    Last,
}

impl Start {
    fn as_str(self) -> &'static str {
        match self {
            Start::New => "new",
            Start::Last => "last",
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Overflow {
    Disconnect,
    DropOldest,
}

impl Overflow {
    fn as_str(self) -> &'static str {
        match self {
            Overflow::Disconnect => "disconnect",
            Overflow::DropOldest => "drop_oldest",
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Lane {
    Normal,
    Bulk,
}

impl Lane {
    fn as_str(self) -> &'static str {
        match self {
            Lane::Normal => "normal",
            Lane::Bulk => "bulk",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Payload,
    TopicPayload,
}

/// What is checked before anything is done.
struct Plan {
    patterns: Vec<Pattern>,
    /// The data of the subscribe command.
    data: String,
    format: Format,
    count: Option<u64>,
    timeout: Option<Duration>,
    reconnect: bool,
    target: Target,
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = build(args)?;
    interrupt::watch()?;
    let until = plan.timeout.map(|timeout| Instant::now() + timeout);
    let mut listener = Listener { plan: &plan, out: Lines::new(), printed: 0, until, backoff: Backoff::default() };
    loop {
        match listener.connect_and_listen() {
            Ok(()) => return Ok(()),
            Err(broken) => listener.rest(broken)?,
        }
        if listener.is_time_up() {
            return listener.time_is_up();
        }
    }
}

fn build(args: Args) -> Result<Plan, Stop> {
    if args.patterns.len() > TOPICS_PER_COMMAND {
        return Err(Stop::usage(format_args!("more than {TOPICS_PER_COMMAND} patterns")));
    }
    let parse = |text: &String| {
        Pattern::parse(text).map_err(|why| Stop::usage(format_args!("{text:?} is no topic or pattern: {why}")))
    };
    let patterns: Vec<Pattern> = args.patterns.iter().map(parse).collect::<Result<_, _>>()?;
    let mut data = format!("{{\"topics\":{}", serde_json::Value::from(args.patterns));
    if let Some(from) = args.from {
        data.push_str(&format!(",\"from\":\"{}\"", from.as_str()));
    }
    if let Some(filter) = &args.filter {
        let filter = json::object(filter).map_err(|why| Stop::usage(format_args!("--filter: {why}")))?;
        data.push_str(&format!(",\"filter\":{filter}"));
    }
    if args.conflate {
        data.push_str(",\"conflate\":true");
    }
    if let Some(overflow) = args.overflow {
        data.push_str(&format!(",\"overflow\":\"{}\"", overflow.as_str()));
    }
    if let Some(lane) = args.priority {
        data.push_str(&format!(",\"priority\":\"{}\"", lane.as_str()));
    }
    data.push('}');
    Ok(Plan {
        patterns,
        data,
        format: args.format,
        count: args.count,
        timeout: args.timeout.map(Duration::from_secs),
        reconnect: args.reconnect,
        target: args.connect.build_here()?,
    })
}

struct Listener<'a> {
    plan: &'a Plan,
    out: Lines,
    printed: u64,
    until: Option<Instant>,
    backoff: Backoff,
}

impl Listener<'_> {
    /// One connection, from beginning to end.
    fn connect_and_listen(&mut self) -> Result<(), Broken> {
        let mut client = Client::connect(&self.plan.target)?;
        let result = self.listen(&mut client);
        client.close();
        result
    }

    fn listen(&mut self, client: &mut Client) -> Result<(), Broken> {
        let id = client.queue("system", "subscribe", &self.plan.data)?;
        client.flush()?;
        let mut answer_due = Some(Instant::now() + ANSWER_PATIENCE);
        loop {
            let message = match client.receive_now()? {
                Some(message) => Some(message),
                None => {
                    self.out.flush()?;
                    client.receive_until([answer_due, self.until].into_iter().flatten().min())?
                }
            };
            if let Some(text) = message {
                self.take(&text, &id, &mut answer_due)?;
            }
            if self.plan.count.is_some_and(|count| self.printed >= count) {
                return Ok(self.out.flush()?);
            }
            if self.is_time_up() {
                return Ok(self.time_is_up()?);
            }
            if answer_due.is_some_and(|due| due <= Instant::now()) {
                return Err(no_answer(ANSWER_PATIENCE).into());
            }
        }
    }

    /// An event, the answer to the subscribe command, or something that is ignored.
    fn take(&mut self, text: &str, id: &str, answer_due: &mut Option<Instant>) -> Result<(), Stop> {
        let Some(envelope) = Envelope::parse(text) else { return Ok(()) };
        if let Some((topic, data)) = envelope.event() {
            // Events about the session come to everyone; only what was asked for is printed.
            return if self.plan.patterns.iter().any(|pattern| pattern.matches(&topic)) {
                self.printed += 1;
                print(&mut self.out, self.plan.format, text, &topic, data)
            } else {
                Ok(())
            };
        }
        match envelope.answer_to(|of| of == id) {
            Some(Ok(_)) => {
                *answer_due = None;
                self.backoff.reset();
                Ok(())
            }
            Some(Err(error)) => Err(Stop::answered(error)),
            None => Ok(()),
        }
    }

    fn is_time_up(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    fn time_is_up(&mut self) -> Result<(), Stop> {
        self.out.flush()?;
        match self.plan.count {
            Some(count) => {
                let printed = self.printed;
                Err(Stop::new(Exit::Timeout, format_args!("{printed} of {count} events within the timeout")))
            }
            None => Ok(()),
        }
    }

    /// Waits before the next connection, if there is to be one.
    fn rest(&mut self, broken: Broken) -> Result<(), Stop> {
        self.out.flush()?;
        let mut random = [0; 4];
        // Without a random source the waits are the shortest of their range.
        let _ = SystemRandom::new().fill(&mut random);
        let wait = self.backoff.wait(broken.retry, u32::from_le_bytes(random)).filter(|_| self.plan.reconnect);
        let Some(wait) = wait else { return Err(broken.stop) };
        let message = broken.stop.message.unwrap_or_default();
        note(format_args!("{message}; connecting again in {:.1} s", wait.as_secs_f64()));
        let end = Instant::now() + wait;
        while Instant::now() < end && !self.is_time_up() {
            if interrupt::is_asked() {
                return Err(Stop::silent(Exit::Interrupted));
            }
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

fn print(out: &mut Lines, format: Format, envelope: &str, topic: &str, data: &str) -> Result<(), Stop> {
    match format {
        Format::Json => out.line(&[&json::on_one_line(envelope)]),
        Format::Payload => out.line(&[&json::on_one_line(data)]),
        Format::TopicPayload => out.line(&[topic, "\t", &json::on_one_line(data)]),
    }
}
