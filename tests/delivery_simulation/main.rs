//! Guaranteed delivery in a deterministic world: the workers' shards, the pure store on a disk that
//! fails, clients that lose their connections, and a server that is killed at any step. What is
//! simulated and what is checked stands in `docs/simulation.md`.

mod book;
mod client;
mod dice;
mod ending;
mod hear;
mod keys;
mod mutation;
mod plan;
#[path = "../common/seeds.rs"]
mod seeds;
mod server;
mod storage;
mod trace;
mod wire;
mod world;

use mutation::Mutation;
use seeds::Simulated;
use world::World;

/// Seeds that once failed. They run whatever the environment says.
const REGRESSIONS: &[(u64, &str)] = &[
    (53, "a log that never got to the store was trimmed again and again"),
    (198, "a connection that was given up took its session away from the one that came after it"),
    (843, "a log that a crash had left behind went on after a stop in order, with offsets that were given before"),
    (1376, "a session that was not restored in time answered a command that nobody had sent"),
    (2375, "a pattern that could not be written down cost its subscriber what it had"),
    (4376, "messages behind a resume that was never finished waited for ever"),
    (9764, "who was no member any more, and did not know, acked in vain"),
    (10505, "offsets were given twice, as in 843"),
    (11772, "a session came back without its guaranteed subscription, and said nothing of it"),
    (13167, "a publish that was repeated was answered as synced after a restart, and was not"),
    (15611, "a best-effort event overtook one that waited for its commit"),
    (25106, "offsets that were answered before the store failed were given again"),
    (31772, "an earlier failure of the same subscription took its member out"),
    (112687, "what was fetched to be sent again went before older events that came back meanwhile"),
    (172043, "a session came back with a durable subscription that could then not be written down, and was dropped"),
    (182986, "what was sent for a pattern that was refused was waited for when the pattern was granted later"),
    (228429, "what was sent for a refused pattern was waited for, as in 182986"),
    (274316, "a session came back after its subscription had been ended without it"),
    (337924, "an ack up to an offset was expected to reach the next epoch, too"),
    (340843, "what was sent for a refused pattern was waited for, as in 182986"),
    (360794, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (550264, "what was sent for a refused pattern was waited for, as in 182986"),
    (575504, "who had been shut out gave its session away once more, after the session's time"),
    (582544, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (707839, "what was sent for a pattern that was ended was waited for when another covered its topic later"),
    (758111, "what was sent for a refused pattern was expected first, see 182986"),
    (839186, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (914564, "history did not say that what was before a retained event was gone with a restart"),
    (1001332, "a session was expected after a power cut that had been joined while the store was full"),
    (1006414, "events of a pattern that was taken back were counted as in flight"),
    (1011392, "a session was expected, as in 1001332"),
    (1592147, "a session that had been written down without it was expected to hold what was joined in trouble"),
    (1676580, "a session was expected to hold what was joined in trouble, as in 1592147"),
];

impl Simulated for World {
    type Mutation = Mutation;
    const SOUND: Mutation = Mutation::Nothing;
    const DEFECTS: &'static [Mutation] = Mutation::DEFECTS;

    fn of(seed: u64, mutation: Mutation, keeps: bool, prints: bool) -> World {
        World::new(seed, mutation, keeps, prints)
    }

    fn run(&mut self) {
        World::run(self);
    }

    fn hash(&self) -> u64 {
        self.trace.hash()
    }

    fn place(&self) -> (u64, String) {
        (self.step, self.trace.tail())
    }
}

#[test]
fn every_seed_keeps_the_rules() {
    seeds::every_seed_keeps_the_rules::<World>();
}

#[test]
fn seeds_that_once_failed_keep_the_rules() {
    seeds::seeds_keep_the_rules::<World>(REGRESSIONS);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    seeds::the_same_seed_gives_the_same_trace::<World>();
}

#[test]
fn every_planted_defect_is_found() {
    seeds::every_planted_defect_is_found::<World>();
}
