//! The store, wired: opened before the workers, run on a thread of its own, closed after them.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::base::WorkerId;
use crate::dialect::hydrogen::{Peer, ShardImage};
use crate::engine::store::{Backend, Op, Request, StoreEvent, To, Told, Writer, answer};
use crate::sys::mailbox::{ToWorker, WorkerSender};
use crate::sys::store::memory::{MemoryBackend, MemoryDisk};

pub(super) struct Opened {
    pub backend: Box<dyn Backend>,
    pub image: Arc<ShardImage>,
}

pub(super) fn open() -> Opened {
    let disk = MemoryDisk::new();
    let opened = MemoryBackend::open(&disk, crate::base::Wall(0), Duration::from_secs(120), 1000);
    let mut backend: Box<dyn Backend> = Box::new(opened.backend);
    let image = ShardImage::load(opened.image, &mut *backend).unwrap_or_default();
    Opened { backend, image: Arc::new(image) }
}

pub(super) fn channel() -> (Sender<Vec<Request>>, Receiver<Vec<Request>>) {
    bounded(1024)
}

pub(super) fn run(
    mut backend: Box<dyn Backend>,
    image: &ShardImage,
    queue: &Receiver<Vec<Request>>,
    workers: &[WorkerSender<Peer>],
) {
    let mut writer = Writer::new(image.store.last);
    let mut told = Told::new();
    while let Ok(first) = queue.recv() {
        for request in first.into_iter().chain(queue.try_iter().flatten()) {
            if matches!(request.op, Op::Write(_)) {
                writer.push(request, &mut told);
            } else {
                while writer.is_due() {
                    writer.commit(&mut *backend, &mut told);
                }
                let (worker, event) = answer(&mut *backend, request);
                told.one(worker, event);
            }
        }
        while writer.is_due() {
            writer.commit(&mut *backend, &mut told);
        }
        let mut by_worker: Vec<Vec<StoreEvent>> = workers.iter().map(|_| Vec::new()).collect();
        for (to, event) in told.drain() {
            match to {
                To::All => by_worker.iter_mut().for_each(|events| events.push(event.clone())),
                To::One(WorkerId(worker)) => by_worker[usize::from(worker)].push(event),
            }
        }
        for (worker, events) in workers.iter().zip(by_worker) {
            if !events.is_empty() {
                worker.send(ToWorker::Store(events));
            }
        }
    }
}
