//! The channel `lab`: handlers that behave in every way a handler can. It holds the right to
//! answer later until the test says how.

use std::sync::{Arc, OnceLock};

use hydrogen::base::{Code, Error};
use hydrogen::engine::channel::{Access, Action, Call, Channel, Emitter, Outcome, Responder, Session};
use parking_lot::Mutex;
use serde_json::json;

use super::log::PURPOSE;

const fn action(name: &'static str, access: Access) -> Action {
    Action { name, summary: "for tests", access }
}

const ACTIONS: &[Action] = &[
    action("echo", Access::Anyone),
    action("who", Access::Anyone),
    action("typed", Access::Anyone),
    action("fail", Access::Anyone),
    action("called", Access::Call),
    action("late", Access::Anyone),
    action("late_and_now", Access::Anyone),
    action("dropped", Access::Anyone),
    action("promised", Access::Anyone),
    action("panic", Access::Anyone),
    action("panic_late", Access::Anyone),
    action("panic_odd", Access::Anyone),
];

/// The channel, and the test's hold on it. Clones are the same channel.
#[derive(Clone, Default)]
pub struct Lab(Arc<Inside>);

#[derive(Default)]
struct Inside {
    emitter: OnceLock<Emitter>,
    held: Mutex<Vec<(String, Responder)>>,
}

#[derive(serde::Deserialize)]
struct Typed {
    number: u32,
}

impl Lab {
    /// Emits an event.
    pub fn emit(&self, action: &str, payload: &str, retain: bool) {
        self.0.emitter.get().unwrap().emit(action, payload.to_owned(), retain).unwrap();
    }

    /// How many commands wait for an answer.
    pub fn waiting(&self) -> usize {
        self.0.held.lock().len()
    }

    /// Takes the rights to answer, with the ids of their commands, in the order they came.
    pub fn take(&self) -> Vec<(String, Responder)> {
        std::mem::take(&mut self.0.held.lock())
    }
}

impl Channel for Lab {
    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    fn start(&self, emitter: Emitter) {
        assert!(self.0.emitter.set(emitter).is_ok(), "started twice");
    }

    fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome {
        match call.action {
            "echo" => Outcome::Done(call.data.as_raw().into()),
            "called" => Outcome::json(&json!("called")),
            "who" => Outcome::json(&json!({
                "identity": session.identity().map(|identity| &*identity.name),
                "address": session.address().ip().to_string(),
                "connection": session.conn().to_string(),
                "id": call.id,
            })),
            "typed" => call.parse::<Typed>().map(|typed| Outcome::json(&json!(typed.number + 1))).into(),
            "fail" => Error::new(Code::Conflict, "no").retry_after_ms(7).details(r#"{"why":"because"}"#).into(),
            "late" => {
                let responder = session.later();
                self.0.held.lock().push((call.id.to_owned(), responder));
                Outcome::Later
            }
            "late_and_now" => {
                let responder = session.later();
                self.0.held.lock().push((call.id.to_owned(), responder));
                Outcome::json(&json!("now"))
            }
            "dropped" => {
                drop(session.later());
                Outcome::Later
            }
            "promised" => Outcome::Later,
            "panic" => panic!("the secret cause {}, {PURPOSE}", call.id),
            "panic_late" => {
                let _responder = session.later();
                panic!("the secret cause {}, {PURPOSE}", call.id)
            }
            "panic_odd" => std::panic::resume_unwind(Box::new(7)),
            other => Error::new(Code::NoHandler, format!("called for {other}, which it does not have")).into(),
        }
    }
}
