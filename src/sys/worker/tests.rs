use std::time::Instant;

use super::lend::Step;
use super::turn::MESSAGES_PER_TURN;
use super::*;
use crate::base::counters::Registry;
use crate::base::{ConnId, DialectId, Mono, Now, ReactorId};
use crate::engine::store::StoreEvent;
use crate::engine::work::{Batch, Completion, Emission, Item, Notice, Order, Outbox};
use crate::sys::mailbox::{ReactorReceiver, ToReactor, ToWorker, is_worker_thread, reactor_mailbox, worker_mailbox};

/// Makes an order of each emission, and counts them.
struct Counting(Arc<AtomicU64>, Option<Mono>);

impl Shard for Counting {
    type Peer = ();

    fn on_emission(&mut self, _: Emission, _: Now, out: &mut Outbox<()>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let conn = ConnId::from_u64(0);
        out.order(conn, Order::Settle { conn, count: 1 });
    }

    /// Settles each message; one of a kilobyte takes its time, one of two wants to be woken.
    fn on_batch(&mut self, batch: &Batch, now: Now, out: &mut Outbox<()>) {
        assert!(is_worker_thread());
        let conn = ConnId::from_u64(0);
        out.order(conn, Order::Settle { conn, count: batch.items.len() as u32 });
        if batch.texts.len() == 1024 {
            std::thread::sleep(Duration::from_millis(5));
        }
        if batch.texts.len() == 2048 {
            self.1 = Some(now.mono);
        }
    }
    fn on_peer(&mut self, _: WorkerId, (): (), _: Now, _: &mut Outbox<()>) {}
    fn on_completion(&mut self, _: Completion, _: Now, _: &mut Outbox<()>) {}
    fn on_store(&mut self, _: &StoreEvent, _: Now, _: &mut Outbox<()>) {}
    fn on_notice(&mut self, _: &Notice, _: Now, _: &mut Outbox<()>) {}
    fn on_stop(&mut self, _: Now, _: &mut Outbox<()>) {}
    fn poll_timeout(&self) -> Option<Mono> {
        self.1
    }
    fn on_timeout(&mut self, _: Now, _: &mut Outbox<()>) {
        self.1 = None;
        self.0.fetch_add(1000, Ordering::Relaxed);
    }
}

struct Scene {
    taken: Arc<AtomicU64>,
    beat: Arc<AtomicU64>,
    reactor: ReactorSender,
    reactor_inbox: ReactorReceiver,
    queue: WorkerSender<()>,
    worker: Worker<Counting>,
    _poll: mio::Poll,
}

fn scene() -> Scene {
    let poll = mio::Poll::new().unwrap();
    let (reactor, reactor_inbox) = reactor_mailbox(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
    let (queue, inbox) = worker_mailbox();
    let (taken, beat) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let worker = Worker::new(Parts {
        id: WorkerId(0),
        shard: Counting(taken.clone(), None),
        inbox: Arc::new(inbox),
        reactors: vec![reactor.clone()],
        workers: vec![queue.clone()],
        controls: Box::new(|_, _| Ok(())),
        store: Box::new(|_| Ok(())),
        counters: Registry::default().register(),
        beat: beat.clone(),
        clock: Clock::default(),
    });
    Scene { taken, beat, reactor, reactor_inbox, queue, worker, _poll: poll }
}

fn emission() -> ToWorker<()> {
    ToWorker::Emission(Emission { topic: "a.b".into(), payload: "1".into(), retain: false })
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn stuck_orders_hold_back_messages_until_the_reactor_has_room() {
    let Scene { taken, beat, reactor, reactor_inbox, queue, worker, _poll } = scene();
    while reactor.try_send(ToReactor::Drain).is_ok() {}
    let all = 4 * MESSAGES_PER_TURN as u64;
    for _ in 0..all {
        queue.send(emission());
    }
    let running = std::thread::spawn(move || worker.run());
    until("many turns pass", || beat.load(Ordering::Relaxed) > 20);
    assert_eq!(taken.load(Ordering::Relaxed), MESSAGES_PER_TURN as u64);
    while reactor_inbox.try_recv().is_some() {}
    until("all are taken", || taken.load(Ordering::Relaxed) == all);
    queue.send(ToWorker::Stop);
    running.join().unwrap();
}

#[test]
fn a_reactor_that_is_gone_does_not_keep_a_worker_from_its_end() {
    let Scene { reactor_inbox, queue, worker, .. } = scene();
    drop(reactor_inbox);
    queue.send(emission());
    let running = std::thread::spawn(move || worker.run());
    queue.send(ToWorker::Stop);
    until("the worker ends", || running.is_finished());
}

#[test]
fn a_nudge_costs_a_sleeping_worker_one_turn() {
    let Scene { beat, queue, worker, reactor_inbox: _inbox, .. } = scene();
    let running = std::thread::spawn(move || worker.run());
    until("it begins", || beat.load(Ordering::Relaxed) > 0);
    let before = beat.load(Ordering::Relaxed);
    until("it takes a turn", || {
        queue.nudge();
        beat.load(Ordering::Relaxed) > before
    });
    queue.send(ToWorker::Stop);
    running.join().unwrap();
}

#[test]
fn what_waits_when_a_worker_is_told_to_stop_is_taken_first() {
    let Scene { taken, queue, worker, reactor_inbox: _inbox, .. } = scene();
    queue.send(ToWorker::Stop);
    let all = 2 * MESSAGES_PER_TURN as u64;
    for _ in 0..all {
        queue.send(emission());
    }
    std::thread::spawn(move || worker.run()).join().unwrap();
    assert_eq!(taken.load(Ordering::Relaxed), all);
}

fn batch(messages: usize, bytes: usize) -> Batch {
    let (conn, dialect) = (ConnId::from_u64(0), DialectId::Hydrogen);
    let items = (0..messages).map(|_| Item::Text { conn, dialect, len: 1 }).collect();
    Batch { items, texts: "x".repeat(bytes), ..Batch::default() }
}

/// Steps the shard on this thread. Returns what it answered, and whether that came at once.
fn borrow(lent: &Arc<dyn Lent>, batch: &Batch, has_room: bool) -> (Step, usize) {
    let mut orders = Vec::new();
    let step = lent.step(batch, ReactorId(0), &|| has_room, &mut orders);
    assert!(!is_worker_thread());
    (step, orders.len())
}

#[test]
fn a_small_batch_is_stepped_by_who_has_it() {
    let scene = scene();
    let lent = scene.worker.lent();
    assert_eq!(borrow(&lent, &batch(8, 100), true), (Step::Taken, 1));
    assert!(scene.reactor_inbox.is_empty());
    assert_eq!(borrow(&lent, &batch(9, 9), true), (Step::Busy, 0), "many messages");
    assert_eq!(borrow(&lent, &batch(1, 20_000), true), (Step::Busy, 0), "a large one");
}

#[test]
fn what_waits_comes_first() {
    let scene = scene();
    let lent = scene.worker.lent();
    assert_eq!(borrow(&lent, &batch(1, 1), false), (Step::Taken, 0));
    assert!(matches!(scene.reactor_inbox.try_recv(), Some(ToReactor::Orders(orders)) if orders.len() == 1));
    assert!(scene.queue.try_send(emission()).is_ok());
    assert_eq!(borrow(&lent, &batch(1, 1), true), (Step::Busy, 0), "a message waits");
    let core = scene.worker.core.lock();
    assert_eq!(borrow(&lent, &batch(1, 1), true), (Step::Busy, 0), "its thread is at work");
    drop(core);
    let lent = super::tests::scene().worker.lent();
    assert_eq!(borrow(&lent, &batch(1, 1), true), (Step::Taken, 1));
}

#[test]
fn after_a_long_step_the_reactor_is_left_alone_for_a_while() {
    let lent = scene().worker.lent();
    assert_eq!(borrow(&lent, &batch(1, 1024), true), (Step::Taken, 1));
    assert_eq!(borrow(&lent, &batch(1, 1), true), (Step::Busy, 0));
    until("it is lent again", || borrow(&lent, &batch(1, 1), true).0 == Step::Taken);
}

#[test]
fn a_deadline_that_comes_of_a_borrowed_step_is_met_by_the_sleeping_thread() {
    let Scene { taken, beat, queue, worker, reactor_inbox: _inbox, _poll, .. } = scene();
    let lent = worker.lent();
    let running = std::thread::spawn(move || worker.run());
    until("it begins", || beat.load(Ordering::Relaxed) > 0);
    until("it sleeps, and is lent", || borrow(&lent, &batch(1, 2048), true).0 == Step::Taken);
    until("the deadline is met", || taken.load(Ordering::Relaxed) == 1000);
    queue.send(ToWorker::Stop);
    running.join().unwrap();
    assert_eq!(borrow(&lent, &batch(1, 1), true), (Step::Busy, 0), "it has ended");
}
