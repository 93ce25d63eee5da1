//! Topic names and the patterns of subscriptions and permissions.
//!
//! Tokens joined by dots. In a pattern `*` stands for one token and a final `>` for one or more.
//! A wildcard in the first token never stands for a built-in channel (`system`, `network`,
//! `print`, `file`): whoever wants the server's own topics names their channel.

use std::fmt;

use crate::base::limits::{TOPIC_BYTES, TOPIC_TOKENS};

/// Channels whose topics are the server's alone to publish.
pub const BUILT_IN_CHANNELS: &[&str] = &["system", "network", "print", "file"];

/// Whether the topic or pattern starts with a built-in channel's name.
pub fn is_built_in(topic: &str) -> bool {
    BUILT_IN_CHANNELS.contains(&first_token(topic))
}

fn first_token(topic: &str) -> &str {
    topic.split('.').next().unwrap_or(topic)
}

/// A pattern that was checked. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(std::sync::Arc<str>);

/// Why a text is no topic or pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing, or nothing between two dots.
    EmptyToken,
    /// Longer than [`TOPIC_BYTES`].
    TooLong,
    /// More than [`TOPIC_TOKENS`] tokens.
    TooManyTokens,
    /// A character outside `A-Z a-z 0-9 _ - :` and, in patterns, whole-token `*` and `>`.
    BadCharacter,
    /// `>` before the last token.
    TailNotLast,
    /// A topic of one token.
    OneToken,
}

impl PatternError {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            PatternError::EmptyToken => "a token is empty",
            PatternError::TooLong => "longer than 256 bytes",
            PatternError::TooManyTokens => "more than 32 tokens",
            PatternError::BadCharacter => "a character outside A-Z a-z 0-9 _ - :",
            PatternError::TailNotLast => "`>` stands only as the last token",
            PatternError::OneToken => "a topic has two tokens at least",
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks a topic's name: two tokens or more, no wildcard.
pub fn is_topic(topic: &str) -> Result<(), PatternError> {
    let tokens = check(topic, false)?;
    if tokens < 2 { Err(PatternError::OneToken) } else { Ok(()) }
}

/// Returns the number of tokens.
fn check(text: &str, wildcards: bool) -> Result<usize, PatternError> {
    if text.len() > TOPIC_BYTES {
        return Err(PatternError::TooLong);
    }
    let mut count = 0;
    let mut tail = false;
    for token in text.split('.') {
        count += 1;
        if tail {
            return Err(PatternError::TailNotLast);
        }
        match token {
            "" => return Err(PatternError::EmptyToken),
            "*" if wildcards => {}
            ">" if wildcards => tail = true,
            _ if token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':')) => {}
            _ => return Err(PatternError::BadCharacter),
        }
    }
    if count > TOPIC_TOKENS { Err(PatternError::TooManyTokens) } else { Ok(count) }
}

impl Pattern {
    /// Checks and keeps a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        check(text, true)?;
        Ok(Pattern(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether it names one topic only.
    pub fn is_exact(&self) -> bool {
        !self.tokens().any(|token| token == "*" || token == ">")
    }

    /// Whether the topic falls under this pattern. `topic` is a checked topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.matches_tokens(topic.split('.'))
    }

    /// The same for a name that comes in tokens, checked.
    pub fn matches_tokens<'a>(&self, mut rest: impl Iterator<Item = &'a str>) -> bool {
        for (index, token) in self.tokens().enumerate() {
            let Some(name) = rest.next() else { return false };
            match token {
                "*" | ">" if index == 0 && BUILT_IN_CHANNELS.contains(&name) => return false,
                ">" => return true,
                "*" => {}
                _ if token == name => {}
                _ => return false,
            }
        }
        rest.next().is_none()
    }

    /// Whether every topic under `other` falls under this pattern: what a permission must do for
    /// a subscription.
    pub fn covers(&self, other: &Pattern) -> bool {
        let mut theirs = other.tokens();
        for (index, token) in self.tokens().enumerate() {
            let Some(name) = theirs.next() else { return false };
            match token {
                "*" | ">" if index == 0 && BUILT_IN_CHANNELS.contains(&name) => return false,
                ">" => return true,
                "*" if name == ">" => return false,
                "*" => {}
                _ if token == name => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn wildcards_match_as_documented() {
        for (text, topic, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c.d", true),
            ("a.b.>", "a.b", false),
            (">", "a.b", true),
            (">", "system.status_update", false),
            ("*.status_update", "system.status_update", false),
            ("system.>", "system.status_update", true),
        ] {
            assert_eq!(pattern(text).matches(topic), expected, "{text} {topic}");
        }
    }

    #[test]
    fn bad_names_are_told_apart() {
        assert_eq!(Pattern::parse(""), Err(PatternError::EmptyToken));
        assert_eq!(Pattern::parse("a..b"), Err(PatternError::EmptyToken));
        assert_eq!(Pattern::parse("a.>.b"), Err(PatternError::TailNotLast));
        assert_eq!(Pattern::parse("a.b*"), Err(PatternError::BadCharacter));
        assert_eq!(Pattern::parse("a.b c"), Err(PatternError::BadCharacter));
        assert_eq!(Pattern::parse(&"a".repeat(257)), Err(PatternError::TooLong));
        assert_eq!(Pattern::parse(&vec!["a"; 33].join(".")), Err(PatternError::TooManyTokens));
        assert_eq!(is_topic("a"), Err(PatternError::OneToken));
        assert_eq!(is_topic("a.*"), Err(PatternError::BadCharacter));
        assert_eq!(is_topic("a.b"), Ok(()));
    }

    fn tokens(wild: bool) -> impl Strategy<Value = String> {
        let token = if wild { "(a|b|system|\\*)" } else { "(a|b|system)" };
        (prop::collection::vec(token, 2..4), any::<bool>()).prop_map(move |(mut tokens, tail)| {
            if wild && tail {
                tokens.push(">".into());
            }
            tokens.join(".")
        })
    }

    proptest! {
        #[test]
        fn what_covers_matches_all_that_the_covered_matches(a in tokens(true), b in tokens(true), topic in tokens(false)) {
            let (a, b) = (pattern(&a), pattern(&b));
            if a.covers(&b) && b.matches(&topic) {
                prop_assert!(a.matches(&topic));
            }
        }

        #[test]
        fn an_exact_pattern_is_covered_just_when_it_is_matched(a in tokens(true), topic in tokens(false)) {
            prop_assert_eq!(pattern(&a).covers(&pattern(&topic)), pattern(&a).matches(&topic));
        }
    }
}
