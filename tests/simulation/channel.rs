//! The channel `app`, the status reports, and the ways back to the workers: everything that
//! answers late leaves its responder here, and the world decides when, and whether, it is used.

use std::collections::VecDeque;
use std::sync::Arc;

use hydrogen::base::{Code, Error, WorkerId};
use hydrogen::dialect::hydrogen::Reports;
use hydrogen::engine::channel::{Access, Action, Call, Channel, CompletionSink, Outcome, Responder, Session};
use hydrogen::engine::work::Completion;
use parking_lot::Mutex;

/// What the panicking handler says; the test's panic hook knows it and stays silent.
pub const PANIC: &str = "this handler panics when it is asked to";

/// What waits for the world.
#[derive(Default)]
pub struct Held {
    /// Rights to answer, each with the answer.
    pub responders: Mutex<VecDeque<(Responder, String)>>,
    /// Those that are never used.
    pub forgotten: Mutex<Vec<Responder>>,
    /// Answers on their way to the workers.
    pub completions: Mutex<VecDeque<(WorkerId, Completion)>>,
}

impl CompletionSink for Held {
    fn complete(&self, worker: WorkerId, completion: Completion) {
        self.completions.lock().push_back((worker, completion));
    }
}

impl Reports for Held {
    fn status(&self, older: bool, responder: Responder) {
        let report = if older { r#"{"system":{"name":"older"}}"# } else { r#"{"running":true}"# };
        self.responders.lock().push_back((responder, report.into()));
    }
}

/// The channel `app`.
pub struct App(pub Arc<Held>);

const fn action(name: &'static str, access: Access) -> Action {
    Action { name, summary: "simulated", access }
}

const ACTIONS: &[Action] = &[
    action("now", Access::Call),
    action("later", Access::Call),
    action("fails", Access::Call),
    action("panics", Access::Call),
    action("panics_late", Access::Call),
    action("promises", Access::Call),
    action("secure", Access::Call),
];

impl Channel for App {
    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome {
        match call.action {
            "now" | "secure" => Outcome::Done(call.data.as_raw().into()),
            "later" => {
                self.0.responders.lock().push_back((session.later(), call.data.as_raw().to_owned()));
                Outcome::Later
            }
            "panics" => panic!("{PANIC}"),
            "panics_late" => {
                let _responder = session.later();
                panic!("{PANIC}");
            }
            // It promises an answer, and takes no responder.
            "promises" => Outcome::Later,
            _ => Error::new(Code::Conflict, "it fails when it is asked to").into(),
        }
    }
}
