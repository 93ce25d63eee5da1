//! A small store, and a server started on copies of it in each of which one byte is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hydrogen::config::Config;
use hydrogen::server::Server;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::client::{Client, Gone};
use crate::crowd::history;
use crate::dice::Dice;
use crate::program::{Home, PATIENCE, fetch};
use crate::publisher::{number_in, payload};
use crate::seed;
use crate::trace::EventId;

/// How long bytes are damaged, unless all are.
const TIME: Duration = Duration::from_secs(25);
/// Servers at a time.
const PARALLEL: usize = 2;
const TOPICS: [&str; 2] = ["orders.north", "orders.south"];
/// One of them has a large payload.
const NUMBERS: std::ops::RangeInclusive<u64> = 21..=50;
const ACKED: usize = 10;
/// After this time without an event no more is expected.
const QUIET: Duration = Duration::from_millis(400);
const FAILURES_MAX: usize = 10;

/// A store as a server left it.
struct Store {
    name: &'static str,
    data: PathBuf,
    token: String,
    /// What was published: the topic and the event of each number.
    published: BTreeMap<u64, (&'static str, EventId)>,
    /// Numbers that the durable subscription has not acked.
    waiting: BTreeSet<u64>,
    files: Vec<(PathBuf, usize)>,
}

/// One wrong byte.
#[derive(Clone, Debug)]
struct Flaw {
    file: PathBuf,
    offset: usize,
    mask: u8,
}

/// What a server showed: events by topic, and what the durable subscription got.
struct Seen {
    history: Vec<(&'static str, EventId, u64)>,
    delivered: Vec<(String, EventId, u64)>,
    damaged: u64,
}

impl Store {
    fn make(name: &'static str, folder: &Path, is_killed: bool, dice: &mut Dice) -> Store {
        let home = Home::new(&folder.join(name), dice);
        let token = home.key("root", "admin");
        let mut program = home.start(&[]);
        let mut client = Client::connect(home.address, &token).unwrap();
        subscribe(&mut client).unwrap();
        let (mut published, mut events) = (BTreeMap::new(), Vec::new());
        for number in NUMBERS {
            let topic = dice.pick(&TOPICS);
            let data = json!({"topic": topic, "guarantee": "at_least_once", "payload": payload(number)});
            let answer = client.call("publish", &data, |other| events.push(other)).unwrap();
            let event = answer["data"]["event"].as_str().and_then(EventId::parse);
            published.insert(number, (topic, event.unwrap_or_else(|| panic!("not published: {answer}"))));
        }
        let mut waiting: BTreeSet<u64> = NUMBERS.collect();
        let acked: Vec<u64> = NUMBERS.take(ACKED).collect();
        let ids: Vec<String> = acked.iter().map(|number| published[number].1.to_string()).collect();
        while events.iter().filter(|event| event["data"]["number"].is_u64()).count() < published.len() {
            events.extend(client.poll(PATIENCE).unwrap());
        }
        client.send(&json!({"type": "ack", "ids": ids})).unwrap();
        waiting.retain(|number| !acked.contains(number));
        client.call("ping", &json!({}), drop).unwrap();
        match is_killed {
            true => program.kill(),
            false => {
                client.close();
                program.stop();
            }
        }
        let mut files = Vec::new();
        find_files(&home.store(), &home.data(), &mut files);
        assert!(!files.is_empty(), "there is no store in {}", home.store().display());
        Store { name, data: home.data(), token, published, waiting, files }
    }

    fn bytes(&self) -> usize {
        self.files.iter().map(|(_, len)| len).sum()
    }

    /// The place in the files, as if they were one behind the other.
    fn flaw(&self, mut at: usize, mask: u8) -> Flaw {
        for (file, len) in &self.files {
            if at < *len {
                return Flaw { file: file.clone(), offset: at, mask };
            }
            at -= len;
        }
        unreachable!("it is below the sum")
    }

    /// Starts a server on a copy with this flaw, and tells what is wrong with what it shows.
    fn try_out(&self, flaw: Option<&Flaw>) -> Result<(), String> {
        let folder = tempfile::Builder::new().prefix("hydrogen-damage-").tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&self.data, &data);
        if let Some(flaw) = flaw {
            let file = data.join(&flaw.file);
            let mut bytes = fs::read(&file).unwrap();
            bytes[flaw.offset] ^= flaw.mask;
            fs::write(file, bytes).unwrap();
        }
        let mut config = Config { data_dir: data, ..Config::default() };
        (config.web_socket_server.port, config.web_socket_server.thread_pool_size) = (0, 1);
        (config.monitoring.status_interval, config.monitoring.network_interval) = (None, None);
        let server = Server::builder(config).start().map_err(|error| format!("it does not start: {error}"))?;
        let seen = self.look(&server);
        let is_running = server.is_running();
        server.stop();
        if !is_running {
            return Err("a thread of the server was lost".to_owned());
        }
        self.judge(&seen?)
    }

    fn look(&self, server: &Server) -> Result<Seen, String> {
        let address = server.addresses()[0];
        let begin = Instant::now();
        while !fetch(address, "/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if begin.elapsed() > PATIENCE {
                return Err("it is not ready".to_owned());
            }
            thread::sleep(Duration::from_millis(2));
        }
        let lost = |Gone| "the connection was lost".to_owned();
        let mut client = Client::connect(address, &self.token).map_err(lost)?;
        let mut shown = Vec::new();
        for topic in TOPICS {
            shown.extend(history(&mut client, topic)?.into_iter().map(|(event, number)| (topic, event, number)));
        }
        let mut messages = subscribe(&mut client).map_err(lost)?;
        let mut delivered = Vec::new();
        let mut got = BTreeSet::new();
        let mut last = Instant::now();
        while !got.is_superset(&self.waiting) && last.elapsed() < QUIET {
            let next = match messages.pop() {
                Some(message) => Some(message),
                None => client.poll(QUIET / 8).map_err(lost)?,
            };
            let Some(message) = next.filter(|message| message["type"] == "event" && message["channel"] != "system")
            else {
                continue;
            };
            let event = message["id"].as_str().and_then(EventId::parse);
            let (Some(event), Some(number)) = (event, number_in(&message["data"])) else {
                return Err(format!("it delivers what nobody published: {message}"));
            };
            let name = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
            delivered.push((format!("{}.{}", name("channel"), name("action")), event, number));
            got.insert(number);
            last = Instant::now();
        }
        client.close();
        Ok(Seen { history: shown, delivered, damaged: damaged(&fetch(address, "/metrics").unwrap_or_default()) })
    }

    fn judge(&self, seen: &Seen) -> Result<(), String> {
        let shown = seen.history.iter().map(|(topic, event, number)| (*topic, event, *number));
        let delivered = seen.delivered.iter().map(|(topic, event, number)| (topic.as_str(), event, *number));
        for (topic, event, number) in shown.chain(delivered) {
            match self.published.get(&number) {
                Some((wanted, id)) if *wanted == topic && id == event => {}
                known => return Err(format!("{topic} {event} is number {number}, which was {known:?}")),
            }
        }
        let shown: BTreeSet<u64> = seen.history.iter().map(|(_, _, number)| *number).collect();
        let got: BTreeSet<u64> = seen.delivered.iter().map(|(_, _, number)| *number).collect();
        let unseen: Vec<&u64> = self.published.keys().filter(|number| !shown.contains(number)).collect();
        let missed: Vec<&u64> = self.waiting.iter().filter(|number| !got.contains(number)).collect();
        match (unseen.is_empty() && missed.is_empty(), seen.damaged) {
            (false, 0) => Err(format!(
                "nothing is said to be damaged, and {unseen:?} are not in the history, {missed:?} were not delivered"
            )),
            _ => Ok(()),
        }
    }
}

/// Subscribes durably; gives the events that came before the answer.
fn subscribe(client: &mut Client) -> Result<Vec<Value>, Gone> {
    let data = json!({"topics": ["orders.*"], "guarantee": "at_least_once", "name": "ledger"});
    let mut events = Vec::new();
    let answer = client.call("subscribe", &data, |other| events.push(other))?;
    assert_eq!(answer["status"], "success", "{answer}");
    Ok(events)
}

/// The sum over the family `hydrogen_store_damaged_total`.
fn damaged(metrics: &str) -> u64 {
    let of_family = metrics.lines().filter_map(|line| line.strip_prefix("hydrogen_store_damaged_total"));
    let values = of_family.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().unwrap() as u64).sum()
}

fn find_files(folder: &Path, root: &Path, found: &mut Vec<(PathBuf, usize)>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find_files(&path, root, found);
        } else {
            let len = fs::metadata(&path).unwrap().len() as usize;
            found.push((path.strip_prefix(root).unwrap().to_owned(), len));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn every_byte_flipped_is_found_or_does_no_harm() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let is_all = std::env::var_os("HYDROGEN_DAMAGE_ALL").is_some();
    let folder = tempfile::Builder::new().prefix("hydrogen-damage-").tempdir().unwrap();
    let stores = [("killed", true), ("stopped", false)]
        .map(|(name, is_killed)| Store::make(name, folder.path(), is_killed, &mut dice));
    for store in &stores {
        store.try_out(None).unwrap_or_else(|fault| panic!("{}, undamaged: {fault}", store.name));
    }
    let total: usize = stores.iter().map(|store| 2 * store.bytes()).sum();
    let (next, done, failures) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let dice = Mutex::new(dice);
    let deadline = Instant::now() + TIME;
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::SeqCst);
            if failures.lock().len() >= FAILURES_MAX || (is_all && index >= total) {
                return;
            }
            if !is_all && Instant::now() > deadline {
                return;
            }
            let (mut at, bit) = {
                let mut dice = dice.lock();
                (if is_all { index } else { dice.below(total) }, dice.below(8))
            };
            let mask = if at.is_multiple_of(2) { 0xff } else { 1 << bit };
            at /= 2;
            let (store, at) =
                if at < stores[0].bytes() { (&stores[0], at) } else { (&stores[1], at - stores[0].bytes()) };
            let flaw = store.flaw(at, mask);
            if let Err(fault) = store.try_out(Some(&flaw)) {
                let fault: String = fault.chars().take(300).collect();
                failures.lock().push(format!("{}: {flaw:?}: {fault}", store.name));
            }
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| (0..PARALLEL).for_each(|_| drop(scope.spawn(work))));
    let (done, failures) = (done.into_inner(), failures.into_inner());
    println!("{done} of {total} flaws tried");
    if !failures.is_empty() {
        let kept = folder.keep();
        panic!(
            "seed {seed}: {} failures\n{}\nthe stores are kept: {}",
            failures.len(),
            failures.join("\n"),
            kept.display()
        );
    }
    assert!(done >= 20, "only {done} in {TIME:?}");
}

#[test]
fn damage_is_read_from_the_metrics() {
    assert_eq!(damaged("hydrogen_store_damaged_total 3\n"), 3);
    let text = "# TYPE hydrogen_store_damaged_total counter\n\
        hydrogen_store_damaged_total{kind=\"events\"} 2\nhydrogen_store_damaged_total{kind=\"file\"} 1\n\
        hydrogen_store_damaged_total_more 7\n";
    assert_eq!(damaged(text), 3);
    assert_eq!(damaged("hydrogen_uptime_seconds 7\n"), 0);
}

/// The checks of this page, on what a server might show.
#[test]
fn what_is_wrong_or_silently_missing_is_found() {
    let event = |offset| EventId { epoch: "e".into(), offset };
    let store = Store {
        name: "planted",
        data: PathBuf::new(),
        token: String::new(),
        published: BTreeMap::from([(1, (TOPICS[0], event(1))), (2, (TOPICS[0], event(2)))]),
        waiting: BTreeSet::from([2]),
        files: vec![("a".into(), 3), ("b".into(), 4)],
    };
    let seen = |history: &[u64], delivered: &[u64], damaged| Seen {
        history: history.iter().map(|number| (TOPICS[0], event(*number), *number)).collect(),
        delivered: delivered.iter().map(|number| (TOPICS[0].to_owned(), event(*number), *number)).collect(),
        damaged,
    };
    assert_eq!(store.judge(&seen(&[1, 2], &[2], 0)), Ok(()));
    assert_eq!(store.judge(&seen(&[1, 2], &[1, 2], 0)), Ok(()), "a lost cursor is a repeat");
    assert_eq!(store.judge(&seen(&[2], &[2], 1)), Ok(()), "it is said");
    assert!(store.judge(&seen(&[2], &[2], 0)).unwrap_err().contains("[1] are not in the history"));
    assert!(store.judge(&seen(&[1, 2], &[], 0)).unwrap_err().contains("[2] were not delivered"));
    let mut wrong = seen(&[1, 2], &[2], 1);
    wrong.history[0].2 = 2;
    assert!(store.judge(&wrong).unwrap_err().contains("is number 2"));
    let flaw = store.flaw(4, 0xff);
    assert_eq!((flaw.file, flaw.offset), (PathBuf::from("b"), 1));
}
