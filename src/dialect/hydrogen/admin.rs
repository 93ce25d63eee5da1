//! What administrators see and do, as far as this shard has a part in it.

use serde_json::json;

use super::gather::Row;
use super::session::Session;
use super::{Hydrogen, Peer};
use crate::base::Reason;
use crate::engine::channel::{Disconnect, List, Page};
use crate::engine::work::{Order, Outbox};

impl Hydrogen {
    /// This shard's rows of a list, one more than the page holds, so that it shows whether there
    /// is a next.
    pub(super) fn rows_here(&self, list: List, page: &Page) -> Vec<Row> {
        let after = page.after.as_deref();
        let sessions = |key: fn(&Session) -> String, json: fn(&Session) -> serde_json::Value| {
            let mut rows: Vec<(String, &Session)> = self
                .sessions
                .iter()
                .map(|session| (key(session), session))
                .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
                .collect();
            rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            rows.truncate(page.limit + 1);
            // Only what the page shows is encoded.
            let rows = rows.into_iter();
            rows.map(|(key, session)| Row { key, json: json(session).to_string().into() }).collect()
        };
        match list {
            List::Sessions => sessions(|session| session.session_id.to_string(), session_json),
            List::Connections => sessions(|session| format!("{:016x}", session.conn.as_u64()), connection_json),
            List::Topics => self
                .topics
                .list(after, page.limit + 1)
                .into_iter()
                .map(|row| {
                    let json = json!({"topic": &*row.name, "epoch": row.epoch.to_string(), "offset": row.offset,
                        "subscriptions": row.subscriptions, "retained": row.is_retained});
                    Row { key: row.name.to_string(), json: json.to_string().into() }
                })
                .collect(),
        }
    }

    /// Closes this shard's connections of which that is true; says how many.
    pub(super) fn disconnect_here(&mut self, whom: &Disconnect, out: &mut Outbox<Peer>) -> u64 {
        let is_meant = |session: &Session| match whom {
            Disconnect::Connection(conn) => session.conn == *conn,
            Disconnect::Identity(name) => session.identity.as_ref().is_some_and(|own| *own.name == **name),
            Disconnect::Address(address) => session.address.ip().to_canonical() == address.to_canonical(),
        };
        let mut count = 0;
        for session in self.sessions.iter().filter(|session| is_meant(session)) {
            let text = "disconnected by an administrator".into();
            out.order(session.conn, Order::Close { conn: session.conn, reason: Reason::Disconnected, text });
            count += 1;
        }
        count
    }

    /// `{"topic":…,"connections":…,"identities":[{identity, connections}],"next":…}`.
    pub(super) fn presence_here(&self, topic: &str, page: &Page) -> Box<str> {
        let mut present = self.topics.presence(topic, page.after.as_deref(), page.limit + 1);
        let more = present.len() > page.limit;
        present.truncate(page.limit);
        let next = present.last().filter(|_| more).map(|(identity, _)| identity.to_string());
        let connections: usize = present.iter().map(|(_, connections)| connections).sum();
        let identities: Vec<serde_json::Value> = present
            .iter()
            .map(|(identity, connections)| json!({"identity": &**identity, "connections": connections}))
            .collect();
        json!({"topic": topic, "connections": connections, "identities": identities, "next": next}).to_string().into()
    }
}

fn session_json(session: &Session) -> serde_json::Value {
    json!({
        "session": session.session_id,
        "identity": session.identity.as_ref().map(|identity| &*identity.name),
        "connection": session.conn.to_string(),
        "opened": session.opened.to_string(),
        "subscriptions": session.subscriptions.keys().map(|pattern| pattern.as_str()).collect::<Vec<_>>(),
    })
}

fn connection_json(session: &Session) -> serde_json::Value {
    json!({
        "connection": session.conn.to_string(),
        "address": session.address.to_string(),
        "protocol": session.protocol.as_deref(),
        "identity": session.identity.as_ref().map(|identity| &*identity.name),
        "session": session.session_id,
        "opened": session.opened.to_string(),
        "subscriptions": session.subscriptions.len(),
        "bad_messages": session.bad_messages,
    })
}
