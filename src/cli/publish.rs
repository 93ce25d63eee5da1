//! `hydrogen publish`: one event, or each line of standard input, with a bounded number of
//! publishes that wait for their answers.

mod input;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::client::{Answer, Client, ConnectArgs, Envelope, Target, no_answer};
use super::exit::{Exit, Stop};
use super::interrupt;
use super::json;
use super::output::{Lines, note};
use crate::engine::topic::is_topic;
use input::Input;

/// How long standard input may be silent before the connection is looked after: pings must be
/// answered, and a lost connection noticed.
const SILENCE: Duration = Duration::from_millis(250);

/// The same while answers are due: neither a line nor an answer may wait for the other.
const GLANCE: Duration = Duration::from_millis(5);

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topic, as sensors.kitchen
    topic: String,
    /// The event's data, one JSON value. "-", or nothing with a pipe: each line of standard input
    #[arg(allow_hyphen_values = true)]
    payload: Option<String>,
    /// Send the payload as a JSON string, whatever it is
    #[arg(long)]
    text: bool,
    /// Keep the event for subscribers that come later
    #[arg(long)]
    retain: bool,
    /// Seconds after which the event is no longer delivered
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    ttl: Option<u64>,
    /// What goes first when a subscriber is slow: low is dropped first
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Priority>,
    /// With standard input: publishes that wait for their answers at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    in_flight: u16,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen publish sensors.kitchen '{\"temp\":21.5}' --retain
  hydrogen publish chat.lobby --text 'Hello, all'
  printf '1\\n2\\n3\\n' | hydrogen publish demo.count
  tail -f app.log | hydrogen publish logs.app --text -

Prints the id of each event. After the first error no further line is read; what is under way is
waited for.";

#[derive(Clone, Copy, ValueEnum)]
enum Priority {
    Low,
    Normal,
}

impl Priority {
    fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
        }
    }
}

/// What is checked before anything is done.
struct Plan {
    /// `None`: the lines of standard input.
    payload: Option<String>,
    form: Form,
    in_flight: usize,
    timeout: Duration,
    target: Target,
}

/// What all events of one run have in common.
struct Form {
    is_text: bool,
    /// `{"topic":…` up to the payload.
    head: String,
    /// The fields after the payload, and the end.
    tail: String,
}

impl Form {
    /// The command's data; `None` for a line that holds nothing to send.
    fn data(&self, line: &str) -> Result<Option<String>, serde_json::Error> {
        let string;
        let payload = if self.is_text {
            string = json::string(line);
            &string
        } else if line.trim().is_empty() {
            return Ok(None);
        } else {
            json::value(line)?
        };
        Ok(Some(format!("{}{payload}{}", self.head, self.tail)))
    }
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = build(args)?;
    match &plan.payload {
        Some(data) => publish_one(data, &plan),
        None => publish_lines(&plan),
    }
}

fn build(args: Args) -> Result<Plan, Stop> {
    is_topic(&args.topic).map_err(|why| Stop::usage(format_args!("{:?} is no topic: {why}", args.topic)))?;
    let mut tail = String::new();
    if args.retain {
        tail.push_str(",\"retain\":true");
    }
    if let Some(ttl) = args.ttl {
        tail.push_str(&format!(",\"ttl_s\":{ttl}"));
    }
    if let Some(priority) = args.priority {
        tail.push_str(&format!(",\"priority\":\"{}\"", priority.as_str()));
    }
    tail.push('}');
    let form = Form { is_text: args.text, head: format!("{{\"topic\":\"{}\",\"payload\":", args.topic), tail };
    let payload = match args.payload.as_deref() {
        Some("-") => None,
        Some(payload) => {
            let no_json = |error| format!("the payload is no JSON: {error}; --text sends it as a string");
            let data = form.data(payload).map_err(|error| Stop::usage(no_json(error)))?;
            Some(data.ok_or_else(|| Stop::usage("the payload is empty; --text sends an empty string"))?)
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Stop::usage("no payload; \"-\" reads lines from the terminal"));
        }
        None => None,
    };
    Ok(Plan {
        payload,
        form,
        in_flight: args.in_flight.into(),
        timeout: Duration::from_secs(args.timeout),
        target: args.connect.build_here()?,
    })
}

fn publish_one(data: &str, plan: &Plan) -> Result<(), Stop> {
    let mut client = Client::connect(&plan.target)?;
    let answer = client.call("system", "publish", data, plan.timeout);
    client.close();
    let mut out = Lines::new();
    out.line(&[&event_id(&answer?.map_err(Stop::answered)?)])?;
    out.flush()
}

fn publish_lines(plan: &Plan) -> Result<(), Stop> {
    interrupt::watch()?;
    let client = Client::connect(&plan.target)?;
    let mut run = Run { client, plan, waiting: VecDeque::new(), out: Lines::new(), failed: None };
    let result = run.go(&mut Input::start(plan.in_flight));
    if let (Err(_), Some(first)) = (&result, run.waiting.front()) {
        note(format_args!("hydrogen: no answer for line {} and those after it", first.line));
    }
    run.client.close();
    result.and(run.failed.map_or(Ok(()), Err))
}

/// A publish that waits for its answer.
struct Waiting {
    id: String,
    line: u64,
    since: Instant,
}

struct Run<'a> {
    client: Client,
    plan: &'a Plan,
    waiting: VecDeque<Waiting>,
    out: Lines,
    /// The first error; nothing is sent after it.
    failed: Option<Stop>,
}

impl Run<'_> {
    fn go(&mut self, input: &mut Input) -> Result<(), Stop> {
        while self.failed.is_none() && !input.is_at_end() {
            self.send_lines(input)?;
            if self.waiting.len() >= self.plan.in_flight {
                self.wait_for_answer()?;
            } else {
                self.take_answers()?;
                self.out.flush()?;
                input.wait(if self.waiting.is_empty() { SILENCE } else { GLANCE });
            }
        }
        while !self.waiting.is_empty() {
            self.wait_for_answer()?;
        }
        self.out.flush()
    }

    fn fail(&mut self, stop: Stop) {
        self.failed.get_or_insert(stop);
    }

    /// Sends the lines that are here, as far as the window is open.
    fn send_lines(&mut self, input: &mut Input) -> Result<(), Stop> {
        let mut sent = false;
        while self.failed.is_none() && self.waiting.len() < self.plan.in_flight {
            let Some((line, text)) = input.next_line() else { break };
            let data = text.map_err(|why| format!("line {line}: {why}")).and_then(|text| {
                let no_json = |error| format!("line {line} is no JSON: {error}; --text sends it as a string");
                self.plan.form.data(&text).map_err(no_json)
            });
            match data {
                Ok(Some(data)) => {
                    let id = self.client.queue("system", "publish", &data)?;
                    self.waiting.push_back(Waiting { id, line, since: Instant::now() });
                    sent = true;
                }
                Ok(None) => {}
                Err(why) => self.fail(Stop::usage(why)),
            }
        }
        if sent { Ok(self.client.flush()?) } else { Ok(()) }
    }

    /// Takes all answers that are here. The oldest publish must not be overdue.
    fn take_answers(&mut self) -> Result<(), Stop> {
        while let Some(text) = self.client.receive_now()? {
            self.take(&text)?;
        }
        match self.waiting.front() {
            Some(oldest) if oldest.since.elapsed() >= self.plan.timeout => Err(no_answer(self.plan.timeout)),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for one message at least, and takes all that are here.
    fn wait_for_answer(&mut self) -> Result<(), Stop> {
        let message = match self.client.receive_now()? {
            None => {
                // What was printed is seen before the wait.
                self.out.flush()?;
                let deadline = self.waiting.front().map(|oldest| oldest.since + self.plan.timeout);
                self.client.receive_until(deadline)?
            }
            message => message,
        };
        if let Some(text) = message {
            self.take(&text)?;
        }
        self.take_answers()
    }

    fn take(&mut self, text: &str) -> Result<(), Stop> {
        let Some(envelope) = Envelope::parse(text) else { return Ok(()) };
        let mut found = None;
        let waiting = &self.waiting;
        let answer = envelope.answer_to(|id| {
            // Answers come nearly in order, so it is among the first.
            found = waiting.iter().position(|waiting| waiting.id == id);
            found.is_some()
        });
        let (Some(answer), Some(of)) = (answer, found.and_then(|at| self.waiting.remove(at))) else {
            return Ok(());
        };
        self.answered(answer, of.line)
    }

    fn answered(&mut self, answer: Answer, line: u64) -> Result<(), Stop> {
        match answer {
            Ok(data) => self.out.line(&[&event_id(&data)]),
            Err(error) => {
                note(format_args!("hydrogen: line {line} was refused:\n{error}"));
                self.fail(Stop::silent(Exit::Answered));
                Ok(())
            }
        }
    }
}

/// The event's id out of the answer's data; the whole data if it has none.
fn event_id(data: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(data).ok();
    let id = value.as_ref().and_then(|value| value.get("event")).and_then(serde_json::Value::as_str);
    id.unwrap_or(data).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_data_as_json_or_as_text() {
        let form = |is_text| Form { is_text, head: "{\"payload\":".into(), tail: ",\"retain\":true}".into() };
        let data = |is_text: bool, line: &str| form(is_text).data(line).ok().flatten();
        assert_eq!(data(false, " {\"a\": 1}").as_deref(), Some("{\"payload\":{\"a\": 1},\"retain\":true}"));
        assert_eq!(data(true, "a\"b").as_deref(), Some("{\"payload\":\"a\\\"b\",\"retain\":true}"));
        assert_eq!(data(true, "").as_deref(), Some("{\"payload\":\"\",\"retain\":true}"));
        assert!(form(false).data("  ").unwrap().is_none());
        assert!(form(false).data("hello").is_err());
    }

    #[test]
    fn the_id_stands_in_the_answer() {
        assert_eq!(event_id(r#"{"event":"e-1","offset":1,"receivers":0}"#), "e-1");
        assert_eq!(event_id("null"), "null");
    }
}
