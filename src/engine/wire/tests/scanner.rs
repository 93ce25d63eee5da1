//! The scanner against serde_json and against its own stricter rules.

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::object_text;
use crate::base::limits::JSON_KEYS_KEPT;
use crate::engine::wire::{FaultKind, JsonFault, Scanner};

const DEPTH: usize = 4;

/// An object's members in order, as serde_json reads them, with the values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// The grammar by serde_json, the rest by the protocol's rules. Values are read as raw text, since
/// serde_json refuses large exponents and great depth on its own account otherwise.
fn is_accepted(text: &str, depth_max: usize) -> bool {
    let whole = serde_json::from_str::<&RawValue>(text);
    whole.is_ok_and(|whole| whole.get().starts_with('{') && holds(whole.get(), depth_max))
}

fn holds(text: &str, depth_left: usize) -> bool {
    match text.as_bytes()[0] {
        b'{' if depth_left > 0 => serde_json::from_str::<Members>(text).is_ok_and(|members| {
            let keys: BTreeSet<&str> = members.0.iter().map(|(key, _)| key.as_str()).collect();
            keys.len() == members.0.len() && members.0.iter().all(|(_, value)| holds(value.get(), depth_left - 1))
        }),
        b'[' if depth_left > 0 => serde_json::from_str::<Vec<&RawValue>>(text)
            .is_ok_and(|elements| elements.iter().all(|element| holds(element.get(), depth_left - 1))),
        b'{' | b'[' => false,
        // A string with half of a surrogate pair is refused when it is read.
        b'"' => serde_json::from_str::<String>(text).is_ok(),
        _ => true,
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Insert(&'static str),
    Replace(&'static str),
    Delete(usize),
    Truncate,
    Repeat(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop::sample::select(
        &[
            "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u", "u", "0", "1", "9", "e", "E", "+", "-", ".", " ", "\n",
            "\t", "\u{1}", "\0", "é", "𝄞", "d", "D", "\\uD834", "\\uDD1E", "true", "nul", "/", "'", "\u{feff}",
            "\"a\":1,",
        ][..],
    );
    prop_oneof![
        3 => piece.clone().prop_map(Mutation::Insert),
        3 => piece.prop_map(Mutation::Replace),
        2 => (1usize..4).prop_map(Mutation::Delete),
        1 => Just(Mutation::Truncate),
        2 => (1usize..20).prop_map(Mutation::Repeat),
    ]
}

fn mutate(text: &str, mutation: &Mutation, place: prop::sample::Index) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = place.index(characters.len() + 1);
    let within = |len: usize| at..(at + len).min(characters.len());
    match mutation {
        Mutation::Insert(piece) => drop(characters.splice(at..at, piece.chars())),
        Mutation::Replace(piece) => drop(characters.splice(within(1), piece.chars())),
        Mutation::Delete(len) => drop(characters.drain(within(*len))),
        Mutation::Truncate => characters.truncate(at),
        Mutation::Repeat(len) => {
            let again = characters[within(*len)].to_vec();
            drop(characters.splice(at..at, again));
        }
    }
    characters.into_iter().collect()
}

fn object_of(keys: impl Iterator<Item = String>) -> String {
    let members: Vec<String> = keys.map(|key| format!("\"{key}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn generated_texts_are_judged_as_the_oracle_judges(text in object_text()) {
        prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "the text is no JSON: {}", text);
        let scanned = Scanner::default().scan(&text, DEPTH);
        prop_assert_eq!(scanned.is_ok(), is_accepted(&text, DEPTH), "{} {:?}", text, scanned);
        if let Err(JsonFault { kind, .. }) = scanned {
            prop_assert!(!matches!(kind, FaultKind::Syntax(_) | FaultKind::NotObject), "{} {:?}", text, kind);
        }
    }

    #[test]
    fn mutated_texts_are_judged_as_the_oracle_judges(
        text in object_text(),
        mutations in prop::collection::vec((mutation(), any::<prop::sample::Index>()), 1..4),
    ) {
        let mut scanner = Scanner::default();
        let mut mutated = text;
        for (mutation, place) in mutations {
            mutated = mutate(&mutated, &mutation, place);
            let scanned = scanner.scan(&mutated, DEPTH);
            prop_assert_eq!(scanned.is_ok(), is_accepted(&mutated, DEPTH), "{} {:?}", mutated, scanned);
        }
    }

    #[test]
    fn any_characters_are_scanned_without_a_panic(text in any::<String>()) {
        let scanned = Scanner::default().scan_value(&text, DEPTH);
        if let Err(fault) = scanned {
            prop_assert!(fault.at <= text.len() && text.is_char_boundary(fault.at));
        }
    }

    #[test]
    fn members_are_handed_out_as_serde_json_reads_them(text in object_text()) {
        let mut seen = Vec::new();
        let scanned =
            Scanner::default().scan_members(&text, DEPTH, |key, value| seen.push((key.to_owned(), value.as_raw())));
        if let Ok(Members(members)) = serde_json::from_str::<Members>(&text) {
            let members: Vec<(String, &str)> = members.into_iter().map(|(key, value)| (key, value.get())).collect();
            // Before a fault, the members up to it.
            let expected = if scanned.is_ok() { &members[..] } else { &members[..seen.len()] };
            prop_assert_eq!(&seen[..], expected);
        }
    }

    #[test]
    fn a_repeated_key_is_found_wherever_it_stands(
        count in prop_oneof![2usize..20, 100usize..300],
        earlier in any::<prop::sample::Index>(),
        later in any::<prop::sample::Index>(),
        escaped in any::<bool>(),
    ) {
        let (a, b) = (earlier.index(count), later.index(count));
        let name = |index: usize| format!("key number {index}, long enough to be hashed by blocks");
        let twice = (0..count).map(|index| if index != b { name(index) } else {
            let name = name(a);
            if escaped { name.replacen('k', "\\u006b", 1) } else { name }
        });
        let text = object_of(twice);
        let expected = (a == b).then_some(()).ok_or(FaultKind::DuplicateKey);
        for text in [text.clone(), format!("{{\"data\":[1,{text}]}}")] {
            let scanned = Scanner::default().scan(&text, DEPTH).map_err(|fault| fault.kind);
            prop_assert_eq!(scanned, expected, "{}", text);
        }
    }
}

#[test]
fn keys_are_compared_by_what_they_stand_for() {
    for (text, at) in [
        (r#"{"a":0,"a":0}"#, 8),
        (r#"{"a":0,"\u0061":0}"#, 8),
        (r#"{"\u0061":0,"a":0}"#, 13),
        (r#"{"\u0061":0,"\u0061":0}"#, 13),
        (r#"{"𝄞":0,"\uD834\uDD1E":0}"#, 11),
        (r#"{"":0,"":0}"#, 7),
        (r#"{"x":{"a":0},"y":[{"b":0,"c":{"b":0},"b":0}]}"#, 38),
    ] {
        let fault = Scanner::default().scan(text, DEPTH).unwrap_err();
        assert_eq!(fault, JsonFault { kind: FaultKind::DuplicateKey, at }, "{text}");
    }
    for text in [r#"{"a":{"a":{"\u0061":0}}}"#, r#"{"\\u0061":0,"a":0}"#, r#"{"x":[{"a":0},{"a":0}],"a":0}"#] {
        assert_eq!(Scanner::default().scan(text, DEPTH), Ok(()), "{text}");
    }
}

#[test]
fn depth_is_counted_from_the_object_itself() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    for depth_max in [1, 2, 64] {
        assert_eq!(Scanner::default().scan(&nested(depth_max).replace(":}", ":0}"), depth_max), Ok(()));
        let fault = Scanner::default().scan(&nested(depth_max + 1), depth_max).unwrap_err();
        assert_eq!(fault, JsonFault { kind: FaultKind::TooDeep, at: 5 + depth_max - 1 });
    }
    assert_eq!(Scanner::default().scan_value("1", 0), Ok(()));
    assert_eq!(Scanner::default().scan("{}", 0).unwrap_err().kind, FaultKind::TooDeep);
    let wide = format!("{{\"a\":[{}[]]}}", "[[]],{},".repeat(1000));
    assert_eq!(Scanner::default().scan(&wide, 4), Ok(()));
}

#[test]
fn nesting_beyond_any_stack_is_scanned() {
    const DEEP: usize = 1_000_000;
    let mut scanner = Scanner::default();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}0{}", open.repeat(DEEP), close.repeat(DEEP));
        assert_eq!(scanner.scan_value(&text, DEEP), Ok(()));
        assert_eq!(scanner.scan_value(&text, 64).unwrap_err().kind, FaultKind::TooDeep);
        let open_only = open.repeat(DEEP);
        let fault = scanner.scan_value(&open_only, DEEP).unwrap_err();
        assert_eq!(fault.at, open_only.len());
    }
}

#[test]
fn memory_of_a_large_message_is_given_back() {
    let mut scanner = Scanner::default();
    // Enough keys that some of their hashes meet.
    let large = object_of((0..200_000).map(|index| format!("\\u006b{index}")));
    assert_eq!(scanner.scan(&large, DEPTH), Ok(()));
    assert!(scanner.capacity() <= JSON_KEYS_KEPT);
    assert_eq!(scanner.scan(&format!("{{\"a\":{large}"), DEPTH).unwrap_err().at, large.len() + 5);
    assert!(scanner.capacity() <= JSON_KEYS_KEPT);
}

#[test]
fn a_scanner_forgets_a_text_that_failed() {
    let mut scanner = Scanner::default();
    for broken in ["{\"a\":{\"b\":[{\"\\u0063\":", "{\"a\":1,\"a\":1}", "{\"a\":[[[[[[", "{\"a\":1,\"b\":{\"a\":1"] {
        assert!(scanner.scan(broken, DEPTH).is_err(), "{broken}");
        assert_eq!(scanner.scan("{\"a\":{\"b\":1},\"c\":1}", DEPTH), Ok(()), "after {broken}");
    }
}
