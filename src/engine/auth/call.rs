//! Patterns over `<channel>.<action>`: which commands a permission or a setting speaks of.

use std::fmt;

use crate::engine::topic::Pattern;

/// A pattern over the tokens of `<channel>.<action>`, with the wildcards of topic patterns.
///
/// As with topics, a wildcard in the first token never stands for a built-in channel: `>` covers
/// every application's channel, and `system.>` has to be written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallPattern(Pattern);

impl CallPattern {
    /// Checks and keeps a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<CallPattern, &'static str> {
        let pattern = Pattern::parse(text).map_err(|error| error.as_str())?;
        if text != ">" && !text.contains('.') {
            return Err("it names a channel and no action: append .> for all of them");
        }
        Ok(CallPattern(pattern))
    }

    /// Whether the command falls under this pattern. Both names were checked by the wire codec.
    pub fn matches(&self, channel: &str, action: &str) -> bool {
        self.0.matches_tokens(std::iter::once(channel).chain(action.split('.')))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for CallPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_match_as_documented() {
        for (text, channel, action, expected) in [
            ("print.*", "print", "add", true),
            ("print.*", "print", "job.cancel", false),
            ("print.>", "print", "job.cancel", true),
            ("print.job.*", "print", "job.cancel", true),
            ("print.add", "print", "add", true),
            ("print.add", "printer", "add", false),
            ("*.status", "lamp", "status", true),
            ("*.status", "system", "status", false),
            ("system.*", "system", "status", true),
            (">", "lamp", "on", true),
            (">", "print", "add", false),
        ] {
            assert_eq!(
                CallPattern::parse(text).unwrap().matches(channel, action),
                expected,
                "{text} {channel} {action}"
            );
        }
    }

    #[test]
    fn a_pattern_that_can_never_match_is_refused() {
        for text in ["", "print", "*", "print.", "print.a b", "print.>.x"] {
            assert!(CallPattern::parse(text).is_err(), "{text}");
        }
        assert!(CallPattern::parse("print").unwrap_err().contains(".>"));
    }

    proptest! {
        #[test]
        fn matching_is_that_of_topics_on_the_joined_name(
            pattern in "(a|b|system|\\*)(\\.(a|b|\\*)){1,2}(\\.>)?",
            channel in "(a|b|system)",
            action in "(a|b)(\\.(a|b)){0,2}",
        ) {
            let topic = format!("{channel}.{action}");
            prop_assert_eq!(
                CallPattern::parse(&pattern).unwrap().matches(&channel, &action),
                Pattern::parse(&pattern).unwrap().matches(&topic)
            );
        }
    }
}
