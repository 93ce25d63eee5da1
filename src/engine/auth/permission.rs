//! What an identity may do: `connect`, `subscribe:<topics>`, `publish:<topics>`,
//! `call:<channel>.<actions>` and `admin`, which implies all others.
//!
//! It decides on patterns alone. Which commands need no permission, and that the topics of the
//! built-in channels are the server's to publish, is decided where commands are handled.

use std::fmt;
use std::str::FromStr;

use super::call::CallPattern;
use crate::base::limits::PERMISSIONS_PER_IDENTITY;
use crate::engine::topic::Pattern;

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// To open a connection.
    Connect,
    /// To subscribe to whatever the pattern covers.
    Subscribe(Pattern),
    /// To publish to topics under the pattern.
    Publish(Pattern),
    /// To call commands under the pattern.
    Call(CallPattern),
    /// Everything.
    Admin,
}

/// Why a text is no permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionError {
    text: Box<str>,
    why: &'static str,
}

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "permission {:?}: {}", self.text, self.why)
    }
}

impl std::error::Error for PermissionError {}

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Permission, PermissionError> {
        let result = match text.split_once(':') {
            None => match text {
                "connect" => Ok(Permission::Connect),
                "admin" => Ok(Permission::Admin),
                "subscribe" | "publish" => Err("it needs a topic pattern, as in subscribe:sensors.>"),
                "call" => Err("it needs a channel and actions, as in call:lamp.*"),
                _ => Err("the verbs are connect, subscribe, publish, call and admin"),
            },
            Some(("subscribe", topics)) => topic_pattern(topics).map(Permission::Subscribe),
            Some(("publish", topics)) => topic_pattern(topics).map(Permission::Publish),
            Some(("call", calls)) => CallPattern::parse(calls).map(Permission::Call),
            Some(("connect" | "admin", _)) => Err("this verb takes no pattern"),
            Some(_) => Err("the verbs are connect, subscribe, publish, call and admin"),
        };
        // A text of any length may come in; what is wrong shows in its beginning.
        result.map_err(|why| PermissionError { text: text.chars().take(80).collect::<String>().into(), why })
    }
}

fn topic_pattern(text: &str) -> Result<Pattern, &'static str> {
    let pattern = Pattern::parse(text).map_err(|error| error.as_str())?;
    if text != ">" && !text.contains('.') {
        return Err("a topic has two tokens at least, so this pattern never matches one");
    }
    Ok(pattern)
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Permission::Connect => f.write_str("connect"),
            Permission::Subscribe(topics) => write!(f, "subscribe:{topics}"),
            Permission::Publish(topics) => write!(f, "publish:{topics}"),
            Permission::Call(calls) => write!(f, "call:{calls}"),
            Permission::Admin => f.write_str("admin"),
        }
    }
}

/// The permissions of one identity. Two sets that were written in another order are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    connect: bool,
    admin: bool,
    subscribe: Vec<Pattern>,
    publish: Vec<Pattern>,
    call: Vec<CallPattern>,
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Permissions {
        let mut set = Permissions::default();
        for permission in all {
            match permission {
                Permission::Connect => set.connect = true,
                Permission::Subscribe(topics) => set.subscribe.push(topics),
                Permission::Publish(topics) => set.publish.push(topics),
                Permission::Call(calls) => set.call.push(calls),
                Permission::Admin => set.admin = true,
            }
        }
        for patterns in [&mut set.subscribe, &mut set.publish] {
            patterns.sort_unstable();
            patterns.dedup();
        }
        set.call.sort_unstable();
        set.call.dedup();
        set
    }
}

impl Permissions {
    /// Reads a list of permissions, at most [`PERMISSIONS_PER_IDENTITY`].
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Permissions, PermissionError> {
        if texts.len() > PERMISSIONS_PER_IDENTITY {
            return Err(PermissionError { text: "…".into(), why: "more than 256 permissions for one identity" });
        }
        texts.iter().map(|text| text.as_ref().parse::<Permission>()).collect()
    }

    /// Whether everything is allowed.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// Whether a connection may be opened.
    pub fn may_connect(&self) -> bool {
        self.admin || self.connect
    }

    /// Whether one permission covers all that the subscription would match.
    pub fn may_subscribe(&self, pattern: &Pattern) -> bool {
        self.admin || self.subscribe.iter().any(|allowed| allowed.covers(pattern))
    }

    /// Whether the topic, which was checked, may be published to.
    pub fn may_publish(&self, topic: &str) -> bool {
        self.admin || self.publish.iter().any(|allowed| allowed.matches(topic))
    }

    /// Whether the command may be called.
    pub fn may_call(&self, channel: &str, action: &str) -> bool {
        self.admin || self.call.iter().any(|allowed| allowed.matches(channel, action))
    }

    /// All of them, in the order of the verbs and then of the patterns.
    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        let connect = self.connect.then_some(Permission::Connect).into_iter();
        let admin = self.admin.then_some(Permission::Admin).into_iter();
        connect
            .chain(self.subscribe.iter().cloned().map(Permission::Subscribe))
            .chain(self.publish.iter().cloned().map(Permission::Publish))
            .chain(self.call.iter().cloned().map(Permission::Call))
            .chain(admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(texts: &[&str]) -> Permissions {
        Permissions::parse(texts).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn each_verb_allows_its_own_and_nothing_else() {
        // connect, subscribe a.b, publish a.b, call a.b, admin
        for (texts, expected) in [
            (&[][..], [false, false, false, false, false]),
            (&["connect"], [true, false, false, false, false]),
            (&["subscribe:a.*"], [false, true, false, false, false]),
            (&["publish:a.*"], [false, false, true, false, false]),
            (&["call:a.*"], [false, false, false, true, false]),
            (&["admin"], [true, true, true, true, true]),
            (&["connect", "publish:a.b", "call:>"], [true, false, true, true, false]),
        ] {
            let set = set(texts);
            let found = [
                set.may_connect(),
                set.may_subscribe(&pattern("a.b")),
                set.may_publish("a.b"),
                set.may_call("a", "b"),
                set.is_admin(),
            ];
            assert_eq!(found, expected, "{texts:?}");
        }
    }

    #[test]
    fn built_in_channels_are_reached_by_name_or_by_admin_only() {
        let wide = set(&["subscribe:>", "publish:>", "call:>"]);
        assert!(
            !wide.may_subscribe(&pattern("system.>")) && !wide.may_publish("print.a") && !wide.may_call("file", "a")
        );
        let named = set(&["subscribe:system.>", "call:file.*"]);
        assert!(named.may_subscribe(&pattern("system.status_update")) && named.may_call("file", "a"));
        assert!(set(&["admin"]).may_subscribe(&pattern("system.>")));
    }

    #[test]
    fn a_subscription_must_be_covered_by_a_single_permission() {
        let set = set(&["subscribe:a.b", "subscribe:a.c.>"]);
        for (asked, expected) in [("a.b", true), ("a.*", false), ("a.>", false), ("a.c.*", true), ("a.c.>", true)] {
            assert_eq!(set.may_subscribe(&pattern(asked)), expected, "{asked}");
        }
    }

    #[test]
    fn a_wrong_permission_is_explained() {
        for (text, part) in [
            ("", "the verbs are"),
            ("Connect", "the verbs are"),
            ("read:a.b", "the verbs are"),
            ("subscribe", "needs a topic pattern"),
            ("call", "needs a channel"),
            ("connect:a", "takes no pattern"),
            ("subscribe:", "a token is empty"),
            ("subscribe:a", "two tokens"),
            ("publish:a.b,a.c", "a character outside"),
            ("call:print", "no action"),
            ("subscribe:a.>.b", "only as the last"),
        ] {
            let message = text.parse::<Permission>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let many = vec!["connect"; PERMISSIONS_PER_IDENTITY + 1];
        assert!(Permissions::parse(&many).unwrap_err().to_string().contains("256"));
        let long = "x".repeat(100_000).parse::<Permission>().unwrap_err().to_string();
        assert!(long.len() < 300);
    }

    fn tokens() -> impl Strategy<Value = String> {
        ("(a|b|system|\\*)(\\.(a|b|\\*)){1,2}", prop::option::of(Just(".>")))
            .prop_map(|(head, tail)| head + tail.unwrap_or_default())
    }

    fn permission() -> impl Strategy<Value = String> {
        prop_oneof![
            1 => Just("connect".to_owned()),
            1 => Just("admin".to_owned()),
            6 => ("(subscribe|publish|call)", tokens()).prop_map(|(verb, pattern)| format!("{verb}:{pattern}")),
        ]
    }

    proptest! {
        /// The model walks the written list and knows nothing of the sorted set.
        #[test]
        fn decisions_are_those_of_a_walk_over_the_list(
            texts in prop::collection::vec(permission(), 0..6),
            topic in "(a|b|system)(\\.(a|b)){1,3}",
        ) {
            let set = Permissions::parse(&texts).unwrap();
            let admin = texts.iter().any(|text| text == "admin");
            let by = |verb: &str| admin || texts.iter().any(|text| {
                text.strip_prefix(verb).is_some_and(|rest| pattern(rest).matches(&topic))
            });
            let (channel, action) = topic.split_once('.').unwrap();
            prop_assert_eq!(set.may_connect(), admin || texts.iter().any(|text| text == "connect"));
            prop_assert_eq!(set.may_subscribe(&pattern(&topic)), by("subscribe:"));
            prop_assert_eq!(set.may_publish(&topic), by("publish:"));
            prop_assert_eq!(set.may_call(channel, action), by("call:"));
        }

        #[test]
        fn a_set_survives_its_text_and_the_order_of_writing(texts in prop::collection::vec(permission(), 0..8)) {
            let set = Permissions::parse(&texts).unwrap();
            let mut written: Vec<String> = set.iter().map(|permission| permission.to_string()).collect();
            prop_assert!(texts.iter().all(|text| written.contains(text)));
            written.reverse();
            prop_assert_eq!(Permissions::parse(&written).unwrap(), set);
        }
    }
}
