//! Connections one after the other, and what comes over them: events to be printed and then
//! acknowledged, answers, and news of the session.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Format, Plan};
use crate::base::limits::IDS_PER_ACK;
use crate::cli::client::{Backoff, Broken, Client, Envelope, no_answer, printable};
use crate::cli::exit::{Exit, Stop};
use crate::cli::json;
use crate::cli::output::{Lines, note};

/// For the answer to the commands at the beginning.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Topics that are named when their history was cut.
const NAMED: usize = 16;

pub(super) struct Listener<'a> {
    plan: &'a Plan,
    out: Lines,
    printed: u64,
    until: Option<Instant>,
    backoff: Backoff,
    /// Events that are printed, and not yet acknowledged.
    to_ack: Vec<String>,
    /// What the next connection resumes, where the plan wants that.
    session: Option<Session>,
}

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    id: String,
    secret: String,
}

/// What the server says of a session, in its event and in the answer to `resume`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SessionNews {
    session: String,
    secret: String,
    lost: Vec<String>,
}

/// The command at the beginning of a connection whose answer is waited for.
struct Opening {
    step: Step,
    id: String,
    due: Instant,
    /// The session that this connection got by itself.
    offered: Option<Session>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Resume,
    Subscribe,
    /// Nothing is waited for any more.
    Done,
}

impl<'a> Listener<'a> {
    pub(super) fn new(plan: &'a Plan) -> Listener<'a> {
        let until = plan.timeout.map(|timeout| Instant::now() + timeout);
        Listener {
            plan,
            out: Lines::new(),
            printed: 0,
            until,
            backoff: Backoff::default(),
            to_ack: Vec::new(),
            session: None,
        }
    }

    /// Listens until the plan is fulfilled, or a connection's end is the last.
    pub(super) fn run(&mut self) -> Result<(), Stop> {
        loop {
            match self.connect_and_listen() {
                Ok(()) => return Ok(()),
                Err(broken) if self.plan.reconnect => {
                    self.out.flush()?;
                    self.backoff.rest(broken, self.until)?;
                }
                Err(broken) => {
                    self.out.flush()?;
                    return Err(broken.stop);
                }
            }
            if self.is_time_up() {
                return self.time_is_up();
            }
        }
    }

    /// One connection, from beginning to end.
    fn connect_and_listen(&mut self) -> Result<(), Broken> {
        let mut client = Client::connect(&self.plan.target)?;
        let result = self.listen(&mut client);
        // Also after Ctrl-C: what was printed need not come again.
        let settled = self.settle(&mut client);
        // What could not be acknowledged comes again, and is acknowledged then.
        self.to_ack.clear();
        client.close();
        result.and(settled)
    }

    fn listen(&mut self, client: &mut Client) -> Result<(), Broken> {
        let mut opening = self.open(client)?;
        loop {
            let message = match client.receive_now()? {
                Some(message) => Some(message),
                None => {
                    self.settle(client)?;
                    let answer_due = (opening.step != Step::Done).then_some(opening.due);
                    client.receive_until([answer_due, self.until].into_iter().flatten().min())?
                }
            };
            if let Some(text) = message {
                self.take(&text, client, &mut opening)?;
            }
            if self.to_ack.len() >= IDS_PER_ACK {
                self.settle(client)?;
            }
            if self.plan.count.is_some_and(|count| self.printed >= count) {
                return Ok(());
            }
            if self.is_time_up() {
                self.settle(client)?;
                return Ok(self.time_is_up()?);
            }
            if opening.step != Step::Done && opening.due <= Instant::now() {
                return Err(no_answer(ANSWER_PATIENCE).into());
            }
        }
    }

    /// Resumes the session that was lost, or subscribes.
    fn open(&self, client: &mut Client) -> Result<Opening, Broken> {
        let (step, id) = match &self.session {
            Some(Session { id, secret }) => {
                let data = format!("{{\"session\":{},\"secret\":{}}}", json::string(id), json::string(secret));
                (Step::Resume, client.queue("system", "resume", &data)?)
            }
            None => (Step::Subscribe, client.queue("system", "subscribe", &self.plan.data)?),
        };
        client.flush()?;
        Ok(Opening { step, id, due: Instant::now() + ANSWER_PATIENCE, offered: None })
    }

    /// Hands on what was printed, and then acknowledges it: output that nobody got is not.
    fn settle(&mut self, client: &mut Client) -> Result<(), Broken> {
        self.out.flush()?;
        if !self.to_ack.is_empty() {
            client.acknowledge(&self.to_ack)?;
            self.to_ack.clear();
        }
        Ok(())
    }

    /// An event, the answer to a command, or something that is ignored.
    fn take(&mut self, text: &str, client: &mut Client, opening: &mut Opening) -> Result<(), Broken> {
        let Some(envelope) = Envelope::parse(text) else { return Ok(()) };
        if let Some((topic, data)) = envelope.event() {
            let ack = envelope.wanted_ack();
            if topic == "system.session" {
                self.hear_of_session(data, opening);
            }
            // Events about the session come to everyone; only what was asked for is printed. A
            // durable subscription may have been made with other patterns: its events want acks.
            if ack.is_some() || self.plan.patterns.iter().any(|pattern| pattern.matches(&topic)) {
                self.printed += 1;
                print(&mut self.out, self.plan.format, text, &topic, data)?;
                self.to_ack.extend(ack.map(str::to_owned));
            }
            return Ok(());
        }
        let Some(answer) = envelope.answer_to(|of| opening.step != Step::Done && of == opening.id) else {
            return Ok(());
        };
        match (opening.step, answer) {
            (Step::Resume, Ok(data)) => {
                let news: SessionNews = serde_json::from_str(&data).unwrap_or_default();
                note_lost(&news.lost);
                self.session = session_of(news).or(self.session.take());
            }
            (Step::Resume, Err(error)) => {
                note(format_args!("hydrogen: the session is not resumed, so events may be missing:\n{error}"));
                self.session = None;
                let offered = opening.offered.take();
                *opening = self.open(client)?;
                self.session = offered;
                return Ok(());
            }
            (Step::Subscribe, Err(error)) => return Err(Broken::answered(error)),
            (Step::Subscribe | Step::Done, Ok(_)) | (Step::Done, Err(_)) => {}
        }
        opening.step = Step::Done;
        self.backoff.reset();
        Ok(())
    }

    fn hear_of_session(&mut self, data: &str, opening: &mut Opening) {
        let news: SessionNews = serde_json::from_str(data).unwrap_or_default();
        note_lost(&news.lost);
        if !self.plan.resumes {
            return;
        }
        match opening.step {
            Step::Resume => opening.offered = session_of(news),
            Step::Subscribe => self.session = session_of(news),
            // After a resumption the event tells of the session that was resumed.
            Step::Done => self.session = session_of(news).or(self.session.take()),
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
}

fn session_of(news: SessionNews) -> Option<Session> {
    let is_whole = !news.session.is_empty() && !news.secret.is_empty();
    is_whole.then_some(Session { id: news.session, secret: news.secret })
}

fn note_lost(topics: &[String]) {
    if !topics.is_empty() {
        let named: Vec<String> = topics.iter().take(NAMED).map(|topic| printable(topic)).collect();
        let more = if topics.len() > NAMED { " and others" } else { "" };
        note(format_args!("hydrogen: events are missing, for their history was cut: {}{more}", named.join(" ")));
    }
}

fn print(out: &mut Lines, format: Format, envelope: &str, topic: &str, data: &str) -> Result<(), Stop> {
    match format {
        Format::Json => out.line(&[&json::on_one_line(envelope)]),
        Format::Payload => out.line(&[&json::on_one_line(data)]),
        Format::TopicPayload => out.line(&[topic, "\t", &json::on_one_line(data)]),
    }
}
