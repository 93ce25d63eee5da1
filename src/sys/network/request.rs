//! What the commands are asked for, checked: from a command's data to a task for a service thread.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::lookup::why_no_name;
use super::{Family, Protocol};
use crate::base::{Code, Error};
use crate::engine::channel::Call;

/// One command, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Interfaces,
    Listening,
    Port { port: u16, address: Option<IpAddr>, protocol: Protocol },
    Range { ports: RangeInclusive<u16>, address: Option<IpAddr>, protocol: Protocol },
    Lookup { name: Box<str>, family: Option<Family> },
}

impl Task {
    /// The task of a command.
    pub(super) fn of(call: &Call<'_>) -> Result<Task, Error> {
        match call.action {
            "interfaces" => Ok(Task::Interfaces),
            "listening" => Ok(Task::Listening),
            "port_available" => call.parse::<PortData>()?.check(),
            "lookup" => call.parse::<LookupData>()?.check(),
            _ => Err(Error::new(Code::NoHandler, "the network channel has no such action")),
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `port`, or with `from` and `to`")]
struct PortData {
    port: Option<u16>,
    from: Option<u16>,
    to: Option<u16>,
    address: Option<IpAddr>,
    #[serde(default)]
    protocol: Protocol,
}

impl PortData {
    fn check(self) -> Result<Task, Error> {
        let (address, protocol) = (self.address, self.protocol);
        match (self.port, self.from, self.to) {
            (Some(0), _, _) | (_, Some(0), _) => Err(bad_data("ports begin at 1")),
            (Some(port), None, None) => Ok(Task::Port { port, address, protocol }),
            (None, Some(from), Some(to)) if from > to => Err(bad_data("`from` is greater than `to`")),
            (None, Some(from), Some(to)) => Ok(Task::Range { ports: from..=to, address, protocol }),
            _ => Err(bad_data("give `port`, or `from` and `to`")),
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `name`")]
struct LookupData {
    name: Box<str>,
    family: Option<Family>,
}

impl LookupData {
    fn check(self) -> Result<Task, Error> {
        match why_no_name(&self.name) {
            Some(why) => Err(Error::new(Code::BadData, format!("data: `name` is no host name: {why}"))),
            None => Ok(Task::Lookup { name: self.name, family: self.family }),
        }
    }
}

fn bad_data(text: &str) -> Error {
    Error::new(Code::BadData, format!("data: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wire::Raw;

    fn task(action: &str, data: &str) -> Result<Task, Error> {
        Task::of(&Call { channel: "network", action, id: "1", data: Raw::trusted(data) })
    }

    #[test]
    fn data_becomes_a_task() {
        let local = Some([127, 0, 0, 1].into());
        for (action, data, expected) in [
            ("interfaces", "null", Task::Interfaces),
            ("interfaces", "[1]", Task::Interfaces),
            ("listening", "{}", Task::Listening),
            ("port_available", r#"{"port":80}"#, Task::Port { port: 80, address: None, protocol: Protocol::Tcp }),
            (
                "port_available",
                r#"{"port":53,"protocol":"udp","address":"127.0.0.1","other":1}"#,
                Task::Port { port: 53, address: local, protocol: Protocol::Udp },
            ),
            (
                "port_available",
                r#"{"from":1,"to":65535}"#,
                Task::Range { ports: 1..=65535, address: None, protocol: Protocol::Tcp },
            ),
            ("lookup", r#"{"name":"a.b"}"#, Task::Lookup { name: "a.b".into(), family: None }),
            (
                "lookup",
                r#"{"name":"a","family":"ipv6"}"#,
                Task::Lookup { name: "a".into(), family: Some(Family::Ipv6) },
            ),
        ] {
            assert_eq!(task(action, data), Ok(expected), "{action} {data}");
        }
    }

    #[test]
    fn bad_data_is_refused_in_clear_words() {
        for (action, data, words) in [
            ("port_available", "null", "an object with `port`"),
            ("port_available", "{}", "give `port`, or `from` and `to`"),
            ("port_available", r#"{"port":0}"#, "ports begin at 1"),
            ("port_available", r#"{"from":0,"to":9}"#, "ports begin at 1"),
            ("port_available", r#"{"port":65536}"#, "65536"),
            ("port_available", r#"{"port":"80"}"#, "string"),
            ("port_available", r#"{"port":1,"from":1,"to":2}"#, "give `port`, or"),
            ("port_available", r#"{"from":1}"#, "give `port`, or"),
            ("port_available", r#"{"from":2,"to":1}"#, "`from` is greater"),
            ("port_available", r#"{"port":1,"address":"localhost"}"#, "invalid IP address"),
            ("port_available", r#"{"port":1,"protocol":"sctp"}"#, "sctp"),
            ("lookup", "{}", "missing field `name`"),
            ("lookup", "7", "an object with `name`"),
            ("lookup", r#"{"name":"a b"}"#, "no host name"),
            ("lookup", r#"{"name":"a","family":"ipx"}"#, "ipx"),
        ] {
            let error = task(action, data).unwrap_err();
            assert_eq!(error.code, Code::BadData, "{data}");
            assert!(error.message.starts_with("data: ") && error.message.contains(words), "{data}: {error}");
        }
        assert_eq!(task("other", "{}").unwrap_err().code, Code::NoHandler);
    }
}
