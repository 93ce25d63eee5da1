//! The server stops: connections are told, by their dialect where it has words for it, and cut off
//! at last.

use super::Endpoint;
use crate::base::{ConnId, DialectId, Now, WorkerId};
use crate::engine::conn::Connection;
use crate::engine::work::worker_of;

impl Endpoint {
    /// The server is stopping: everybody is told, and nobody new is let in.
    pub fn on_drain(&mut self, now: Now) {
        self.around.gauge.draining = true;
        for id in self.table.ids() {
            // Signaling tells its connections in its own words; these are closed behind them.
            if !self.awaits_farewell(id) {
                self.with(id, now, |conn, cx| conn.on_drain(cx));
            }
        }
    }

    /// A worker has told its signaling connections that the server stops. It may hear of the stop
    /// before this reactor does.
    pub(super) fn on_farewell(&mut self, worker: WorkerId, now: Now) {
        let waiting: Vec<ConnId> = self.table.ids().into_iter().filter(|id| self.awaits_farewell(*id)).collect();
        if let Some(is_said) = self.farewells.get_mut(usize::from(worker.0)) {
            *is_said = true;
        }
        if self.around.gauge.draining {
            for id in waiting {
                if !self.awaits_farewell(id) {
                    self.with(id, now, |conn, cx| conn.on_drain(cx));
                }
            }
        }
    }

    fn awaits_farewell(&self, id: ConnId) -> bool {
        let is_signaling = self.table.get(id).and_then(Connection::dialect) == Some(DialectId::Signaling);
        let worker = usize::from(worker_of(id, self.farewells.len()).0);
        is_signaling && self.farewells.get(worker) == Some(&false)
    }

    /// The server stops now: whoever is left is cut off.
    pub fn on_cut(&mut self, now: Now) {
        for id in self.table.ids() {
            self.with(id, now, |conn, cx| conn.on_cut(cx));
        }
    }
}
