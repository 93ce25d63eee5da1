//! The valid name that somebody may have meant.

/// Longer words are no slip of a valid name, and would cost time to compare.
const WORD_BYTES: usize = 64;

/// The nearest of `names`, if it is near: a third of the letters may differ, case does not count.
pub(super) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if word.is_empty() || word.len() > WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    let bound = (word.chars().count() / 3).max(1);
    names
        .map(|name| (strsim::osa_distance(&word, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["Port", "Protocols", "IdleTimeout", "PingInterval"];
        for (word, expected) in [
            ("Prot", Some("Port")),
            ("port", Some("Port")),
            ("Protocol", Some("Protocols")),
            ("IdelTimeuot", Some("IdleTimeout")),
            ("ping_interval", Some("PingInterval")),
            ("Banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names.into_iter()), expected, "{word}");
        }
        assert_eq!(nearest(&"Port".repeat(1000), names.into_iter()), None);
    }
}
