//! hydrogen: a self-hosted realtime server.
//!
//! Clients connect by WebSocket, send commands, publish events, and subscribe to the events of
//! others: hydrogen-protocol, JSON over WebSocket. One daemon serves all of it on one port, with
//! plain HTTP for the status and metrics beside it. This crate is that daemon (`hydrogen serve`),
//! and a library to run the same server inside another program, with channels of its own.
//!
//! # A server inside a program
//!
//! A [`channel::Channel`] answers the commands that are sent to it. It answers at once, or takes
//! a [`channel::Responder`] and answers later from any thread. With its [`channel::Emitter`] it
//! tells subscribers what happened. This one is a printer: `print.line` is answered at once,
//! `print.page` when the page is out, and then the event `print.done` goes to whoever subscribed.
//!
//! ```
//! use std::sync::OnceLock;
//! use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
//!
//! use hydrogen::channel::{Access, Action, Call, Channel, Emitter, Outcome, Responder, Session};
//! use hydrogen::{Code, Config, Error, Server};
//! use serde_json::json;
//!
//! #[derive(Default)]
//! struct Print {
//!     pages: OnceLock<SyncSender<(Page, Responder)>>,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Page {
//!     text: String,
//! }
//!
//! const ACTIONS: &[Action] = &[
//!     Action { name: "line", summary: "prints one line", access: Access::Call },
//!     Action { name: "page", summary: "prints a page, which takes time", access: Access::Call },
//! ];
//!
//! /// Pages that may wait.
//! const WAITING_MAX: usize = 16;
//!
//! impl Channel for Print {
//!     fn actions(&self) -> &[Action] {
//!         ACTIONS
//!     }
//!
//!     fn start(&self, emitter: Emitter) {
//!         let (pages, queue) = sync_channel::<(Page, Responder)>(WAITING_MAX);
//!         std::thread::spawn(move || {
//!             for (page, responder) in queue {
//!                 let done = json!({ "letters": page.text.len() }).to_string();
//!                 responder.done(done.clone());
//!                 // Kept, for those who subscribe later and ask for the last one.
//!                 emitter.emit("done", done, true).expect("a name without spaces is a topic's");
//!             }
//!         });
//!         // It is called once, so nothing is there yet.
//!         let _ = self.pages.set(pages);
//!     }
//!
//!     // On a worker's thread: whatever waits is for another one.
//!     fn call(&self, call: &Call<'_>, session: &mut dyn Session) -> Outcome {
//!         match call.action {
//!             "line" => Outcome::json(&json!({ "printed": true })),
//!             "page" => self.page(call, session).into(),
//!             _ => Error::new(Code::NoHandler, "the printer has no such action").into(),
//!         }
//!     }
//! }
//!
//! impl Print {
//!     fn page(&self, call: &Call<'_>, session: &mut dyn Session) -> Result<Outcome, Error> {
//!         let page: Page = call.parse()?;
//!         let pages = self.pages.get().ok_or_else(|| Error::new(Code::Unavailable, "not started"))?;
//!         match pages.try_send((page, session.later())) {
//!             Ok(()) => {}
//!             Err(TrySendError::Full((_, responder)) | TrySendError::Disconnected((_, responder))) => {
//!                 responder.failed(Error::new(Code::Unavailable, "too many pages wait").retry_after_ms(500));
//!             }
//!         }
//!         Ok(Outcome::Later)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let mut config = Config::default();
//! # config.data_dir = folder.path().join("data");
//! config.web_socket_server.port = 0; // any free one
//! // On the first start, a key for the administrator; it is shown this once.
//! let token = hydrogen::first_key(&config)?;
//!
//! let server = Server::builder(config).channel("print", Print::default()).start()?;
//! println!("listening on {}", server.url());
//! # let (mut client, mut inbox) = (client::connect(&server, &token.unwrap()), Vec::new());
//! # client::send(&mut client, "1", "system", "subscribe", r#"{"topics":["print.done"]}"#);
//! # let subscribed = client::find(&mut client, &mut inbox, |message| message["id"] == "1");
//! # assert_eq!(subscribed["status"], "success", "{subscribed}");
//! # client::send(&mut client, "2", "print", "line", r#""a line""#);
//! # let answer = client::find(&mut client, &mut inbox, |message| message["id"] == "2");
//! # assert_eq!(answer["data"], json!({ "printed": true }), "{answer}");
//! # client::send(&mut client, "3", "print", "page", r#"{"text":"abc"}"#);
//! # let answer = client::find(&mut client, &mut inbox, |message| message["id"] == "3");
//! # assert_eq!(answer["data"], json!({ "letters": 3 }), "{answer}");
//! # let event = client::find(&mut client, &mut inbox, |message| message["action"] == "done");
//! # assert_eq!(event["data"], json!({ "letters": 3 }), "{event}");
//! # client::close(client);
//! // … and once the program ends:
//! server.stop();
//! # Ok(())
//! # }
//! #
//! # mod client {
//! #     use std::net::TcpStream;
//! #     use std::time::Duration;
//! #
//! #     use serde_json::Value;
//! #     use tungstenite::{ClientRequestBuilder, Message, WebSocket, client};
//! #
//! #     pub type Client = WebSocket<TcpStream>;
//! #
//! #     pub fn connect(server: &hydrogen::Server, token: &str) -> Client {
//! #         let stream = TcpStream::connect(server.addresses()[0]).unwrap();
//! #         stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
//! #         let request = ClientRequestBuilder::new(server.url().replacen("http", "ws", 1).parse().unwrap())
//! #             .with_header("Authorization", format!("Key {token}"))
//! #             .with_sub_protocol("hydrogen-protocol");
//! #         client(request, stream).unwrap().0
//! #     }
//! #
//! #     pub fn send(client: &mut Client, id: &str, channel: &str, action: &str, data: &str) {
//! #         let command = format!(
//! #             r#"{{"type":"command","id":"{id}","channel":"{channel}","action":"{action}","data":{data}}}"#
//! #         );
//! #         client.send(Message::text(command)).unwrap();
//! #     }
//! #
//! #     pub fn find(client: &mut Client, inbox: &mut Vec<Value>, wanted: impl Fn(&Value) -> bool) -> Value {
//! #         loop {
//! #             if let Some(found) = inbox.iter().position(&wanted) {
//! #                 return inbox.remove(found);
//! #             }
//! #             if let Message::Text(text) = client.read().unwrap() {
//! #                 inbox.push(serde_json::from_str(&text).unwrap());
//! #             }
//! #         }
//! #     }
//! #
//! #     pub fn close(mut client: Client) {
//! #         client.close(None).unwrap();
//! #         while client.read().is_ok() {}
//! #     }
//! # }
//! ```
//!
//! A client then sends
//! `{"type":"command","id":"1","channel":"print","action":"page","data":{"text":"…"}}`, and is
//! answered once: with what the handler says, with `timeout` if it says nothing in time, with
//! `draining` if the server stops before, or with `internal` and an incident's id, which stands in
//! the log beside the cause, if the handler panics. A panic costs its one command and nothing else.
//!
//! [`Config::default`] is the configuration of an empty file, and [`Config::load`] reads one. The
//! server listens on this machine alone unless it is told otherwise. [`Server::stop`] lets nobody
//! new in, answers what was asked, says goodbye to everybody, and returns when its threads have
//! ended; dropping a [`Server`] does the same.
//!
//! # Rings
//!
//! The modules are rings, and a test holds who may know whom: [`base`] (ids, time, limits,
//! errors), [`engine`] (the connection machine, wire codecs, authentication, topics; it never
//! names a socket, file, thread or clock, so that the simulator runs the same code), [`dialect`]
//! (hydrogen-protocol as behaviour on the engine), [`sys`] (reactors, workers, TLS, files),
//! [`config`], [`server`] (builds everything from a configuration and wires it), and [`cli`] (the
//! commands). A program that embeds the server needs little of them: it is named at the top here.

pub mod base;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod engine;
pub mod server;
pub mod sys;

pub use base::{Code, Error};
pub use config::Config;
pub use engine::channel;
pub use server::{Server, ServerBuilder, StartError, first_key};
