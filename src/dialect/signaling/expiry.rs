//! What time brings: rooms that nothing happens in go, and figures are told.

use std::time::Duration;

use super::Signaling;
use super::alias::Aliases;
use super::figures::{MemberFigures, MemberState, RoomFigures, RoomRow};
use super::limits::{EXPIRY_BUDGET, ROW_MEMBERS, ROWS};
use super::room::{Change, Room};
use super::timers::Timer;
use crate::base::{Now, Wall};

/// From the start to the first look: a server that is often restarted looks too.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Between two steps of one look.
const STEP: Duration = Duration::from_millis(100);
/// Between two tellings of figures.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

impl Signaling {
    pub(super) fn on_time(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.mono) {
            // What time alone changes is to be told too.
            if !matches!(timer, Timer::Figures | Timer::Announce) {
                self.owe_figures(now);
            }
            match timer {
                Timer::Announce => self.count_rooms(),
                Timer::Grace(conn) => self.drop_conn(conn),
                Timer::Gather(ask) => self.give_up_gather(ask, now),
                Timer::Candidates(room) => self.release_late(&room, now),
                Timer::Save(room) => self.save(&room, now),
                Timer::Expiry => self.expire(now),
                Timer::Figures => {
                    self.tells_figures = false;
                    let figures = self.figures();
                    self.reports.rooms(self.fx.worker, figures);
                }
            }
        }
    }

    /// Figures are told once a second at most, after something happened.
    pub(super) fn owe_figures(&mut self, now: Now) {
        if !std::mem::replace(&mut self.tells_figures, true) {
            self.timers.set(now.mono.after(FIGURES_INTERVAL), Timer::Figures);
        }
    }

    fn expire(&mut self, now: Now) {
        let Some(after) = self.settings.expiry.after else { return };
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let (old, more) = self.rooms.take_old(Wall(now.wall.0.saturating_sub(millis)), EXPIRY_BUDGET);
        for id in old {
            if self.rooms.get(&id).is_some_and(|room| room.change.is_none()) {
                self.begin(&id, Change::Delete { caller: None });
            }
        }
        self.last_cleanup = Some(now.wall);
        let next = if more { STEP } else { self.settings.expiry.interval.max(STEP) };
        self.timers.set(now.mono.after(next), Timer::Expiry);
        self.owe_figures(now);
    }

    fn figures(&self) -> RoomFigures {
        let mut figures = RoomFigures {
            rooms: self.rooms.len(),
            members: self.rooms.members,
            connections: self.conns.len() - self.away,
            away: self.away,
            last_cleanup: self.last_cleanup,
            ..RoomFigures::default()
        };
        for connection in self.conns.values() {
            figures.connections_in_rooms +=
                usize::from(connection.away_until.is_none() && !connection.rooms.is_empty());
            figures.queued_signals += connection.queue.len();
        }
        let mut members = 0;
        for room in self.rooms.iter() {
            figures.active_rooms += usize::from(!room.live.is_empty());
            figures.held_candidates += room.held.values().map(|held| held.signals.len()).sum::<usize>();
            if figures.rows.len() < ROWS {
                let row = row(room, ROW_MEMBERS - members, &self.aliases);
                members += row.members.len();
                figures.rows.push(row);
            }
        }
        figures
    }
}

/// Whoever reads it is told no more of keys than members are.
fn row(room: &Room, members_max: usize, aliases: &Aliases) -> RoomRow {
    let state = |key: &str| {
        let mut of_key = room.live.iter().filter(|live| *live.key == *key);
        match of_key.clone().any(|live| !live.is_away) {
            true => MemberState::Online,
            false if of_key.next().is_some() => MemberState::Away,
            false => MemberState::Offline,
        }
    };
    let shown = |key: &str| aliases.shown(&room.record.id, key).into();
    let members = room.record.members.iter().take(members_max).map(|member| MemberFigures {
        public_key: shown(&member.key),
        name: member.name.as_ref().into(),
        state: state(&member.key),
    });
    RoomRow {
        id: room.record.id.as_ref().into(),
        name: room.record.name.as_ref().into(),
        owner: shown(&room.record.owner),
        created: room.record.created,
        last_active: room.record.last_active,
        members: members.collect(),
    }
}
