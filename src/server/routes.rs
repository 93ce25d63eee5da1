//! The plain HTTP routes, and the service thread that answers them and the status command.

mod rooms;

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Receiver;

use super::delivery::StatusJob;
use super::status::StatusSource;
use crate::base::Counters;
use crate::config::PublicStatus;
use crate::engine::http::{Answer, Method, Refusal};
use crate::engine::work::{Order, Request};
use crate::sys::clock::Clock;
use crate::sys::mailbox::Reactors;

/// The page at `/`.
const PAGE: &str = include_str!("../web/index.html");

/// The content type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the service thread works with.
pub(super) struct Service {
    pub jobs: Receiver<StatusJob>,
    pub status: Arc<StatusSource>,
    /// Who is shown the status without a credential.
    pub public: PublicStatus,
    pub reactors: Reactors,
    pub clock: Clock,
    pub counters: Arc<Counters>,
}

/// Answers jobs until every sender is gone.
pub(super) fn serve(service: &Service) {
    let Service { jobs, status, public, reactors, clock, counters } = service;
    while let Ok(job) = jobs.recv() {
        match job {
            StatusJob::Http(request) => {
                let answer = match answer(&request, status, *public, *clock) {
                    Ok(answer) => answer,
                    Err(refusal) => {
                        counters.inc(refusal.metric());
                        Answer::refusal(&refusal)
                    }
                };
                if let Some(reactor) = reactors.of(request.conn) {
                    reactor.send_order(Order::Answer { conn: request.conn, answer });
                }
            }
            StatusJob::Report { older, responder } => {
                let now = clock.now();
                let report = if older { status.older(now) } else { status.status(now) };
                responder.done(report.to_string());
            }
        }
    }
}

fn answer(request: &Request, status: &StatusSource, public: PublicStatus, clock: Clock) -> Result<Answer, Refusal> {
    if let Some(answer) = rooms::answer(request, status, public, clock)? {
        return Ok(answer);
    }
    let known = ["/", "/health", "/ready", "/metrics", "/api/status"];
    let path = request.head.path.as_str();
    if !known.contains(&path) {
        return Err(Refusal::NotFound);
    }
    check_method(request)?;
    if matches!(path, "/metrics" | "/api/status") {
        check_status(request, public)?;
    }
    Ok(match path {
        "/" => Answer::html(200, Bytes::from_static(PAGE.as_bytes())),
        "/health" => Answer::json(200, Bytes::from_static(b"{\"status\":\"ok\"}")),
        "/ready" => match status.not_ready() {
            None => Answer::json(200, Bytes::from_static(b"{\"ready\":true}")),
            Some(reason) => Answer::json(503, format!("{{\"ready\":false,\"reason\":\"{reason}\"}}")),
        },
        "/metrics" => Answer::new(200, METRICS_TYPE, status.metrics(clock.now())),
        _ => Answer::json(200, status.status(clock.now()).to_string()),
    })
}

fn check_method(request: &Request) -> Result<(), Refusal> {
    match request.head.method {
        Method::Get | Method::Head => Ok(()),
        Method::Post
        | Method::Put
        | Method::Delete
        | Method::Options
        | Method::Patch
        | Method::Connect
        | Method::Trace
        | Method::Other => Err(Refusal::Method("GET, HEAD")),
    }
}

/// The status is for those to whom it is public, and for who may ask for it.
fn check_status(request: &Request, public: PublicStatus) -> Result<(), Refusal> {
    match public {
        PublicStatus::All => Ok(()),
        PublicStatus::Local if request.is_local => Ok(()),
        PublicStatus::Local | PublicStatus::None => check_right(request),
    }
}

/// What shows how the server is doing is for who may ask for its status.
fn check_right(request: &Request) -> Result<(), Refusal> {
    match &request.identity {
        None => Err(Refusal::Unauthenticated),
        Some(identity) if !identity.permissions.may_call("system", "status") => Err(Refusal::Forbidden),
        Some(_) => Ok(()),
    }
}
