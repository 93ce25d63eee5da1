//! `connect`: connections that are ready are closed, and others opened in their place.

use super::{Conns, Scenario};
use crate::cli::bench::conn::Conn;
use crate::cli::bench::session::Heard;
use crate::cli::bench::shared::Phase;
use crate::cli::bench::stats::Tally;

/// One thread's part. The thread itself closes and opens.
#[derive(Debug, Default)]
pub struct Connect {
    tally: Tally,
}

impl Scenario for Connect {
    fn renews(&self) -> bool {
        true
    }

    fn on_settled(&mut self, conn: &Conn, phase: Phase, now: u64) {
        if phase == Phase::Measure {
            self.tally.messages += 1;
            self.tally.sent += 1;
            self.tally.latency.record_ns(now.saturating_sub(conn.started_ns));
        }
    }

    fn start(&mut self, _conns: &mut Conns, _now: u64) {}

    fn on_heard(&mut self, _conn: &mut Conn, _heard: Heard, _phase: Phase, _now: u64) {
        self.tally.faults.unexpected += 1;
    }

    fn outstanding(&self) -> u64 {
        0
    }

    fn finish(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }
}
