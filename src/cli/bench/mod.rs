//! `hydrogen bench`: loads a server, this one or another, and measures it from outside.
//!
//! Owns its connections, their frames and their clocks, and shares no code with the server's
//! codec. It judges nothing: figures and what they mean are in `docs/performance.md`.

mod args;
mod clock;
mod conn;
mod error;
mod frame;
mod inflate;
mod layout;
mod report;
mod scenario;
mod sequence;
mod session;
mod shared;
mod stamp;
mod stats;
mod table;
mod target;
mod tls;
mod usage;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use args::Args;
use args::ScenarioKind;
pub use error::BenchError;
use report::{Outcome, Report, Snapshot};
use scenario::{Board, Connect, Exchange, Fanout, Guaranteed, Idle, Load, Pace, Progress, Scenario};
use session::{Guarantee, Role, Rooms};
use shared::{Phase, Shared};
use stamp::Payload;
use stats::Tally;
use target::Target;
use usage::{Machine, Reading};
use worker::{Work, Worker, Yield};

/// How often the main thread looks at the workers.
const LOOK: Duration = Duration::from_millis(1);
/// Descriptors beside the connections': polls, timers, `/proc`, the standard streams.
const OTHER_FILES: u64 = 128;

/// Runs it, and prints the result on standard output.
pub fn run(args: Args) -> Result<(), BenchError> {
    let report = measure(&args)?;
    if args.json {
        let line = serde_json::to_string(&report).map_err(|_| BenchError::Bug("a report that is no JSON"))?;
        println!("{line}");
    } else {
        println!("{report}");
    }
    Ok(())
}

/// Runs it.
fn measure(args: &Args) -> Result<Report, BenchError> {
    args.check()?;
    let target = Target::new(args)?;
    let total = args.total();
    allow_files(total as u64 + OTHER_FILES)?;

    let mut run = Run::start(args, target)?;
    let before = run.begun.clone();
    let opening = |shared: &Shared| shared.settled() + shared.failed() < total;
    run.wait_while(opening, "connections were still being opened")?;
    let ready = run.snapshot();
    if run.shared.settled() == 0 {
        let reasons = run.shared.reasons().join("; ");
        return Err(BenchError::Server(format!("no connection could be opened: {reasons}")));
    }

    run.rest(args.settle)?;
    run.shared.enter(Phase::WarmUp);
    run.rest(args.warmup)?;
    run.shared.enter(Phase::Measure);
    let start = run.snapshot();
    run.rest(args.duration)?;
    run.shared.enter(Phase::Drain);
    let end = run.snapshot();
    let patience = Duration::from_secs_f64(args.drain);
    let (mut left, mut moved_at) = (u64::MAX, Instant::now());
    let draining = |shared: &Shared| {
        let before = std::mem::replace(&mut left, shared.outstanding());
        if left != before {
            moved_at = Instant::now();
        }
        !shared.is_drained() && moved_at.elapsed() < patience
    };
    run.wait_while(draining, "messages were still coming in")?;

    let (connected, failed, reasons) = (run.shared.settled(), run.shared.failed(), run.shared.reasons());
    let (tally, refusal) = run.finish()?;
    Ok(Outcome { args, connected, failed, reasons, refusal, before, ready, start, end, tally }.report())
}

/// Raises the limit on open files as far as needed and allowed.
fn allow_files(needed: u64) -> Result<(), BenchError> {
    let (soft, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    if soft >= needed {
        return Ok(());
    }
    // Only a privileged process may raise the hard limit.
    if rlimit::setrlimit(rlimit::Resource::NOFILE, needed, hard.max(needed)).is_err() {
        let usage = format!("{needed} open files are needed and {hard} allowed (ulimit -Hn)");
        rlimit::setrlimit(rlimit::Resource::NOFILE, needed, hard).map_err(|_| BenchError::Usage(usage))?;
    }
    Ok(())
}

type Handle = JoinHandle<std::io::Result<Yield>>;

fn joined(worker: Handle) -> Result<Yield, BenchError> {
    Ok(worker.join().map_err(|_| BenchError::Bug("a worker panicked"))??)
}

/// The workers, and what the main thread knows of them. Dropping it ends them.
struct Run {
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    begun_at: Instant,
    deadline: Instant,
    server_pids: Vec<i32>,
    begun: Snapshot,
}

impl Run {
    fn start(args: &Args, target: Target) -> Result<Run, BenchError> {
        let begun_at = Instant::now();
        let shared = Arc::new(Shared::new(args.threads));
        let mut run = Run {
            shared: shared.clone(),
            workers: Vec::new(),
            begun_at,
            deadline: begun_at + Duration::from_secs_f64(args.max_time),
            server_pids: args.server_pid.clone(),
            begun: snapshot(begun_at, &args.server_pid),
        };
        let crew = Crew::new(args);
        let target = Arc::new(target);
        // All are made before one runs: a failure then leaves no thread behind.
        let mut workers = Vec::with_capacity(args.threads);
        for index in 0..args.threads {
            let work = Work {
                index,
                target: target.clone(),
                protocol: args.protocol(),
                guarantee: crew.guarantee(args),
                rooms: crew.rooms.clone(),
                masking: args.masking,
                run: crew.run,
                plan: crew.plan(args, index),
                batch: args.connect_batch.div_ceil(args.threads),
                deaf_from: if args.deaf > 0 { args.total() - args.deaf } else { usize::MAX },
                spare: (args.total() + index, args.threads),
            };
            workers.push(Worker::new(work, shared.clone(), crew.scenario(args))?);
        }
        if let ([publishing, _, ..], ScenarioKind::Fanout) = (&workers[..], args.scenario) {
            // It is set once, here.
            let _ = crew.board.waker.set(publishing.waker()?);
        }
        for worker in workers {
            run.workers.push(thread::Builder::new().name("bench".into()).spawn(move || worker.run())?);
        }
        Ok(run)
    }

    fn snapshot(&self) -> Snapshot {
        snapshot(self.begun_at, &self.server_pids)
    }

    fn wait_while(&mut self, mut condition: impl FnMut(&Shared) -> bool, stage: &str) -> Result<(), BenchError> {
        while condition(&self.shared) {
            self.look(stage)?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn rest(&mut self, seconds: f64) -> Result<(), BenchError> {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.look("the measurement was under way")?;
            thread::sleep(left.min(20 * LOOK));
        }
        Ok(())
    }

    /// Time must not be up, and no worker may have ended.
    fn look(&mut self, stage: &str) -> Result<(), BenchError> {
        if Instant::now() >= self.deadline {
            let (settled, failed) = (self.shared.settled(), self.shared.failed());
            return Err(BenchError::OutOfTime(format!("{stage}; {settled} were opened, {failed} failed")));
        }
        match self.workers.iter().position(JoinHandle::is_finished) {
            None => Ok(()),
            Some(index) => {
                joined(self.workers.swap_remove(index))?;
                Err(BenchError::Bug("a worker ended too early"))
            }
        }
    }

    fn finish(mut self) -> Result<(Tally, Option<String>), BenchError> {
        self.shared.enter(Phase::Done);
        let (mut tally, mut refusal) = (Tally::default(), None);
        for worker in self.workers.drain(..) {
            let done = joined(worker)?;
            tally.merge(&done.tally);
            refusal = refusal.or(done.refusal);
        }
        Ok((tally, refusal))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.enter(Phase::Done);
        for worker in self.workers.drain(..) {
            // Its result is of no use to anyone any more.
            let _ = worker.join();
        }
    }
}

fn snapshot(begun_at: Instant, server_pids: &[i32]) -> Snapshot {
    Snapshot {
        at_s: begun_at.elapsed().as_secs_f64(),
        server: Reading::of(server_pids),
        generator: Reading::of(&[std::process::id() as i32]),
        machine: Machine::read(),
    }
}

/// What all workers of a run are made from.
struct Crew {
    run: u16,
    topics: Arc<[Arc<str>]>,
    board: Arc<Board>,
    progress: Arc<Progress>,
    rooms: Arc<Rooms>,
}

impl Crew {
    fn new(args: &Args) -> Crew {
        let (topic, stride) = (args.topic.as_str(), args.stride());
        let topics = match args.topics {
            1 => vec![Arc::from(topic)],
            // Levels, so that one pattern covers the topics of one subscriber and no others.
            count if args.wildcards > 0 => {
                let name = |lane| format!("{topic}{}{}{}", lane % stride, args.protocol().separator(), lane / stride);
                (0..count).map(|lane| Arc::from(name(lane))).collect()
            }
            count => (0..count).map(|lane| Arc::from(format!("{topic}{lane}"))).collect(),
        };
        // Differs from run to run on one machine, which is all that is asked of it.
        let run = (std::process::id() ^ clock::now_ns() as u32) as u16;
        let board = Arc::new(Board::new(topics.len()));
        Crew {
            run,
            board,
            progress: Arc::new(Progress::new(args.publishers)),
            topics: topics.into(),
            rooms: Arc::new(Rooms::new(args.layout())),
        }
    }

    fn guarantee(&self, args: &Args) -> Option<Guarantee> {
        let is_guaranteed = args.scenario == ScenarioKind::Guaranteed;
        is_guaranteed.then(|| Guarantee { topic: self.topics[0].clone(), ack_by: args.ack_by })
    }

    /// A worker's connections, the last first. The publishers have the lowest numbers.
    fn plan(&self, args: &Args, worker: usize) -> Vec<(usize, Role)> {
        let role = |number| match (args.scenario, number) {
            (ScenarioKind::Fanout, 0) => Role::Publisher,
            (ScenarioKind::Fanout, _) => self.subscriber(args, number),
            (ScenarioKind::Guaranteed, number) if number < args.publishers => Role::Publisher,
            (ScenarioKind::Guaranteed, _) => Role::subscriber(self.topics[0].clone()),
            (ScenarioKind::Idle | ScenarioKind::Connect, _) if args.subscribe => {
                Role::subscriber(self.topics[number % self.topics.len()].clone())
            }
            (
                ScenarioKind::Echo
                | ScenarioKind::Rpc
                | ScenarioKind::Idle
                | ScenarioKind::Connect
                | ScenarioKind::Signal,
                _,
            ) => Role::Client,
        };
        if args.scenario == ScenarioKind::Signal {
            let numbers = self.rooms.layout().numbers(worker, args.threads);
            return numbers.map(|number| (number, Role::Client)).rev().collect();
        }
        (worker..args.total()).step_by(args.threads).map(|number| (number, role(number))).rev().collect()
    }

    /// By topics, or by the pattern that covers them; one topic alone is its own pattern.
    fn subscriber(&self, args: &Args, number: usize) -> Role {
        let stride = args.stride();
        if args.wildcards > 0 && self.topics.len() > 1 && (number - 1).is_multiple_of(args.wildcards) {
            let protocol = args.protocol();
            let level = (number - 1) % stride;
            let pattern = format!("{}{level}{}{}", args.topic, protocol.separator(), protocol.any_level());
            return Role::subscriber(pattern.into());
        }
        let lanes = Fanout::lanes_of(number, self.topics.len(), stride);
        Role::Subscriber(lanes.map(|lane| self.topics[lane].clone()).collect())
    }

    fn scenario(&self, args: &Args) -> Box<dyn Scenario> {
        let payload = Payload::of(args.body, args.size);
        match args.scenario {
            ScenarioKind::Echo | ScenarioKind::Rpc => Box::new(Exchange::new(self.run, args.pipeline, payload)),
            ScenarioKind::Idle => Box::new(Idle::new(self.run, args.ping_rate / args.threads as f64)),
            ScenarioKind::Connect => Box::new(Connect::default()),
            ScenarioKind::Signal => Box::new(Exchange::in_rooms(self.run, args.pipeline, payload, self.rooms.layout())),
            ScenarioKind::Fanout => {
                let pace = args.rate.map_or(Pace::Window(args.window), Pace::Rate);
                Box::new(Fanout::new(self.run, pace, payload, self.topics.clone(), args.stride(), self.board.clone()))
            }
            ScenarioKind::Guaranteed => {
                let load = Load { pipeline: args.pipeline, backlog: args.backlog };
                Box::new(Guaranteed::new(self.run, load, payload, self.topics[0].clone(), self.progress.clone()))
            }
        }
    }
}
