//! The queues between the threads of a server, and the registry of their counters.

use std::io;

use super::shard::Peer;
use crate::base::counters::Registry;
use crate::config::Config;
use crate::sys::mailbox::{
    ReactorReceiver, ReactorSender, WorkerReceiver, WorkerSender, reactor_mailbox, worker_mailbox,
};
use crate::sys::reactor;

/// The queues of all threads, made before any of them runs.
pub(super) struct Wiring {
    pub registry: Registry,
    pub reactors: Vec<ReactorSender>,
    pub reactor_inboxes: Vec<(mio::Poll, ReactorReceiver)>,
    pub workers: Vec<WorkerSender<Peer>>,
    pub worker_inboxes: Vec<WorkerReceiver<Peer>>,
}

impl Wiring {
    pub(super) fn new(config: &Config) -> io::Result<Wiring> {
        let mut wiring = Wiring {
            registry: Registry::default(),
            reactors: Vec::new(),
            reactor_inboxes: Vec::new(),
            workers: Vec::new(),
            worker_inboxes: Vec::new(),
        };
        for _ in 0..config.web_socket_server.io_threads.max(1) {
            let poll = mio::Poll::new()?;
            let waker = mio::Waker::new(poll.registry(), reactor::WAKE)?;
            let (send, receive) = reactor_mailbox(waker);
            wiring.reactors.push(send);
            wiring.reactor_inboxes.push((poll, receive));
        }
        for _ in 0..config.web_socket_server.thread_pool_size.max(1) {
            let (send, receive) = worker_mailbox();
            wiring.workers.push(send);
            wiring.worker_inboxes.push(receive);
        }
        Ok(wiring)
    }
}
