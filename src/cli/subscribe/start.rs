//! `--from`: where a subscription starts.

use crate::base::Wall;
use crate::cli::json;

/// As the subscribe command has it: a JSON string or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start(pub(super) String);

/// Reads the word of the command line.
pub(super) fn parse(text: &str) -> Result<Start, String> {
    if matches!(text, "new" | "last" | "all") {
        return Ok(Start(json::string(text)));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(offset) = text.parse::<u64>()
    {
        return Ok(Start(offset.to_string()));
    }
    match Wall::parse(text) {
        Some(time) => Ok(Start(json::string(&time.to_string()))),
        None => Err("it is new, last, all, an offset like 4711, or a time like 2026-02-26T18:45:00Z".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_offsets_and_times_are_told_apart() {
        for (text, expected) in [
            ("new", "\"new\""),
            ("last", "\"last\""),
            ("all", "\"all\""),
            ("0", "0"),
            ("004711", "4711"),
            ("2026-02-26T18:45:00Z", "\"2026-02-26T18:45:00.000Z\""),
            ("2026-02-26T19:45:00.5+01:00", "\"2026-02-26T18:45:00.500Z\""),
        ] {
            assert_eq!(parse(text), Ok(Start(expected.into())), "{text}");
        }
        for text in ["", "old", "-1", "+1", "1.5", "99999999999999999999", "2026-02-26", "18:45"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
