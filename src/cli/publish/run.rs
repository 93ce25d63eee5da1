//! Publishes that are under way: sent, answered, and with a guarantee published again.
//!
//! What is published again keeps its id, so that the server stores it once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Plan;
use super::input::Input;
use crate::cli::client::{Answer, Backoff, Broken, Client, Envelope, Ids, Retry};
use crate::cli::exit::{Exit, Stop};
use crate::cli::output::{Lines, note};

/// How long standard input may be silent before the connection is looked after: pings must be
/// answered, and a lost connection noticed.
const SILENCE: Duration = Duration::from_millis(250);

/// The same while answers are due: neither a line nor an answer may wait for the other.
const GLANCE: Duration = Duration::from_millis(5);

/// A publish that waits for its answer.
struct Waiting {
    id: String,
    /// The line of standard input, if it is from there.
    line: Option<u64>,
    data: String,
    /// When it was sent last.
    since: Instant,
    /// When it is to be sent again.
    due: Option<Instant>,
    /// How often it was refused.
    refusals: u32,
    backoff: Backoff,
}

pub(super) struct Run<'a> {
    client: Client,
    ids: Ids,
    plan: &'a Plan,
    waiting: VecDeque<Waiting>,
    /// Whether one of them is to be sent again. No new one is sent meanwhile.
    has_due: bool,
    out: Lines,
    /// The first error; nothing new is sent after it.
    failed: Option<Stop>,
    connecting: Connecting,
}

impl<'a> Run<'a> {
    /// Connects.
    pub(super) fn start(plan: &'a Plan) -> Result<Run<'a>, Stop> {
        let mut connecting = Connecting { tries: 0, backoff: Backoff::default() };
        Ok(Run {
            client: connecting.connect(plan)?,
            ids: Ids::new(),
            plan,
            waiting: VecDeque::new(),
            has_due: false,
            out: Lines::new(),
            failed: None,
            connecting,
        })
    }

    /// Publishes one event.
    pub(super) fn publish(mut self, data: &str) -> Result<(), Stop> {
        let sent = self.send(None, data.to_owned()).and_then(|()| self.client.flush());
        self.end(sent, Run::finish)
    }

    /// Publishes each line.
    pub(super) fn publish_lines(self, input: &mut Input) -> Result<(), Stop> {
        self.end(Ok(()), |run| run.pass_lines(input).and_then(|()| run.finish()))
    }

    /// Works, over as many connections as it takes.
    fn end(
        mut self,
        mut result: Result<(), Broken>,
        mut work: impl FnMut(&mut Run<'a>) -> Result<(), Broken>,
    ) -> Result<(), Stop> {
        let result = loop {
            match result.and_then(|()| work(&mut self)) {
                Ok(()) => break Ok(()),
                Err(broken) => match self.recover(broken) {
                    Ok(()) => result = Ok(()),
                    Err(stop) => break Err(stop),
                },
            }
        };
        // What was published is known, whatever came then.
        let result = result.and(self.out.flush());
        let first = self.waiting.iter().filter_map(|waiting| waiting.line).min();
        if let (Err(_), Some(line)) = (&result, first) {
            note(format_args!("hydrogen: no answer for line {line} and those after it"));
        }
        self.client.close();
        result.and(self.failed.map_or(Ok(()), Err))
    }

    fn pass_lines(&mut self, input: &mut Input) -> Result<(), Broken> {
        while self.failed.is_none() && !input.is_at_end() {
            self.send_due()?;
            self.send_lines(input)?;
            if self.has_due || self.waiting.len() >= self.plan.in_flight {
                self.wait_for_answer()?;
            } else {
                self.take_answers()?;
                self.out.flush()?;
                input.wait(if self.waiting.is_empty() { SILENCE } else { GLANCE });
            }
        }
        Ok(())
    }

    /// Waits for all answers.
    fn finish(&mut self) -> Result<(), Broken> {
        while !self.waiting.is_empty() {
            self.send_due()?;
            self.wait_for_answer()?;
        }
        Ok(())
    }

    fn fail(&mut self, stop: Stop) {
        self.failed.get_or_insert(stop);
    }

    /// Sends the lines that are here, as far as the window is open.
    fn send_lines(&mut self, input: &mut Input) -> Result<(), Broken> {
        let mut sent = false;
        while self.failed.is_none() && !self.has_due && self.waiting.len() < self.plan.in_flight {
            let Some((line, text)) = input.next_line() else { break };
            let data = text.map_err(|why| format!("line {line}: {why}")).and_then(|text| {
                let no_json = |error| format!("line {line} is no JSON: {error}; --text sends it as a string");
                self.plan.form.data(&text).map_err(no_json)
            });
            match data {
                Ok(Some(data)) => {
                    self.send(Some(line), data)?;
                    sent = true;
                }
                Ok(None) => {}
                Err(why) => self.fail(Stop::usage(why)),
            }
        }
        if sent { self.client.flush() } else { Ok(()) }
    }

    /// Queues a new publish. It waits from now on, also if the connection is lost.
    fn send(&mut self, line: Option<u64>, data: String) -> Result<(), Broken> {
        let waiting = Waiting {
            id: self.ids.next(),
            line,
            data,
            since: Instant::now(),
            due: None,
            refusals: 0,
            backoff: Backoff::default(),
        };
        let queued = self.client.queue_as(&waiting.id, "system", "publish", &waiting.data);
        self.waiting.push_back(waiting);
        queued
    }

    /// Sends again what is due.
    fn send_due(&mut self) -> Result<(), Broken> {
        if !self.has_due {
            return Ok(());
        }
        let now = Instant::now();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.due.is_some_and(|due| due <= now)) {
            self.client.queue_as(&waiting.id, "system", "publish", &waiting.data)?;
            (waiting.since, waiting.due) = (now, None);
        }
        self.has_due = self.waiting.iter().any(|waiting| waiting.due.is_some());
        self.client.flush()
    }

    /// Gets a new connection, if there is to be one, and has everything sent again.
    fn recover(&mut self, broken: Broken) -> Result<(), Stop> {
        self.out.flush()?;
        self.client.leave();
        self.connecting.rest(broken, self.plan)?;
        self.client = self.connecting.connect(self.plan)?;
        let now = Instant::now();
        for waiting in &mut self.waiting {
            waiting.due = Some(now);
        }
        self.has_due = !self.waiting.is_empty();
        Ok(())
    }

    /// Takes all answers that are here. No publish must be overdue.
    fn take_answers(&mut self) -> Result<(), Broken> {
        while let Some(text) = self.client.receive_now()? {
            self.take(&text)?;
            // How a connection ends of which nothing is wanted any more is of no matter.
            if self.waiting.is_empty() {
                return Ok(());
            }
        }
        match self.oldest() {
            Some(oldest) if oldest.elapsed() >= self.plan.timeout => Err(Broken::unanswered(self.plan.timeout)),
            Some(_) | None => Ok(()),
        }
    }

    /// When the publish was sent that waits for its answer longest.
    fn oldest(&self) -> Option<Instant> {
        self.waiting.iter().filter(|waiting| waiting.due.is_none()).map(|waiting| waiting.since).min()
    }

    /// Waits for one message at least, or until something is due, and takes all that are here.
    fn wait_for_answer(&mut self) -> Result<(), Broken> {
        let message = match self.client.receive_now()? {
            None => {
                // What was printed is seen before the wait.
                self.out.flush()?;
                let deadline = self.oldest().map(|oldest| oldest + self.plan.timeout);
                let due = self.waiting.iter().filter_map(|waiting| waiting.due).min();
                self.client.receive_until([deadline, due].into_iter().flatten().min())?
            }
            message => message,
        };
        if let Some(text) = message {
            self.take(&text)?;
        }
        if self.waiting.is_empty() { Ok(()) } else { self.take_answers() }
    }

    fn take(&mut self, text: &str) -> Result<(), Broken> {
        let Some(envelope) = Envelope::parse(text) else { return Ok(()) };
        let mut found = None;
        let waiting = &self.waiting;
        let answer = envelope.answer_to(|id| {
            // Answers come nearly in order, so it is among the first.
            found = waiting.iter().position(|waiting| waiting.id == id);
            found.is_some()
        });
        let (Some(answer), Some(at)) = (answer, found) else { return Ok(()) };
        match answer {
            Err(error) if self.is_repeated(at, &error) => Ok(()),
            answer => match self.waiting.remove(at) {
                Some(of) => Ok(self.answered(answer, of.line)?),
                None => Ok(()),
            },
        }
    }

    /// Whether a refused publish is sent again: then it is due some time from now.
    fn is_repeated(&mut self, at: usize, error: &str) -> bool {
        let Some(waiting) = self.waiting.get_mut(at).filter(|waiting| waiting.refusals < self.plan.retries) else {
            return false;
        };
        let Some(wait) = waiting.backoff.next(Retry::of_error(error)) else { return false };
        waiting.refusals += 1;
        waiting.due = Some(Instant::now() + wait);
        // Once for all that are refused at a time.
        if !self.has_due {
            note(format_args!("{error}\nhydrogen: publishing again in {:.1} s", wait.as_secs_f64()));
        }
        self.has_due = true;
        true
    }

    fn answered(&mut self, answer: Answer, line: Option<u64>) -> Result<(), Stop> {
        match (answer, line) {
            (Ok(data), _) => {
                self.connecting.reset();
                self.out.line(&[&event_id(&data)])
            }
            (Err(error), None) => {
                self.fail(Stop::answered(error));
                Ok(())
            }
            (Err(error), Some(line)) => {
                note(format_args!("hydrogen: line {line} was refused:\n{error}"));
                self.fail(Stop::silent(Exit::Answered));
                Ok(())
            }
        }
    }
}

/// Connections that failed or were lost, since the last event that was published.
struct Connecting {
    tries: u32,
    backoff: Backoff,
}

impl Connecting {
    fn connect(&mut self, plan: &Plan) -> Result<Client, Stop> {
        loop {
            match Client::connect(&plan.target) {
                Ok(client) => return Ok(client),
                Err(broken) => self.rest(broken, plan)?,
            }
        }
    }

    /// Waits before the next connection, unless this was the last.
    fn rest(&mut self, broken: Broken, plan: &Plan) -> Result<(), Stop> {
        if self.tries >= plan.retries {
            return Err(broken.stop);
        }
        self.tries += 1;
        self.backoff.rest(broken, None)
    }

    fn reset(&mut self) {
        self.tries = 0;
        self.backoff.reset();
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
    fn the_id_stands_in_the_answer() {
        assert_eq!(event_id(r#"{"event":"e-1","offset":1,"receivers":0}"#), "e-1");
        assert_eq!(event_id("null"), "null");
    }
}
