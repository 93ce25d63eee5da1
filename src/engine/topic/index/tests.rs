use super::*;
use proptest::prelude::*;

fn conn() -> ConnId {
    ConnId::from_u64(1)
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn matching(index: &Index, topic: &str) -> Vec<u32> {
    let mut out = vec![SubId(99)];
    index.matching(topic, &mut out);
    out.iter().map(|sub| sub.0).collect()
}

#[test]
fn subscriptions_come_in_the_order_they_were_made() {
    let mut index = Index::new(0);
    for (sub, text) in [(5, "a.>"), (0, "a.b"), (3, "*.b"), (1, "a.b"), (2, "a.c"), (4, ">")] {
        index.insert(SubId(sub), &pattern(text), conn());
    }
    assert_eq!(matching(&index, "a.b"), [5, 0, 3, 1, 4]);
    index.remove(SubId(0), conn());
    index.insert(SubId(0), &pattern("a.*"), conn());
    assert_eq!(matching(&index, "a.b"), [5, 3, 1, 4, 0]);
}

#[test]
fn a_first_wildcard_never_stands_for_a_built_in_channel() {
    let mut index = Index::new(0);
    for (sub, text) in [(0, ">"), (1, "*.x"), (2, "system.*"), (3, "system.>"), (4, "*.>")] {
        index.insert(SubId(sub), &pattern(text), conn());
    }
    assert_eq!(matching(&index, "system.x"), [2, 3]);
    assert_eq!(matching(&index, "systems.x"), [0, 1, 4]);
}

#[test]
fn the_first_and_the_last_of_a_pattern_are_told() {
    let mut index = Index::new(0);
    assert!(index.insert(SubId(0), &pattern("a.*"), conn()));
    assert!(!index.insert(SubId(1), &pattern("a.*"), conn()));
    let shape = index.shape();
    assert!(!index.remove(SubId(0), conn()));
    assert_eq!(index.shape(), shape);
    assert!(index.remove(SubId(1), conn()));
    assert!(index.shape() > shape);
    assert!(!index.remove(SubId(1), conn()));
}

#[test]
fn exact_patterns_leave_the_set_of_wildcards_alone() {
    let mut index = Index::new(0);
    index.insert(SubId(0), &pattern("a.b"), conn());
    index.remove(SubId(0), conn());
    assert_eq!(index.shape(), 0);
}

fn tokens(wild: bool) -> impl Strategy<Value = String> {
    let token = if wild { "(a|b|c|print|\\*)" } else { "(a|b|c|print)" };
    (prop::collection::vec(token, 1..4), prop::bool::weighted(0.3)).prop_map(move |(mut tokens, tail)| {
        if wild && tail {
            tokens.push(">".into());
        }
        tokens.join(".")
    })
}

proptest! {
    #[test]
    fn it_finds_what_the_naive_matcher_finds_and_leaves_nothing_behind(
        steps in prop::collection::vec((tokens(true), 0u32..12, tokens(false)), 1..60)
    ) {
        let mut index = Index::new(7);
        let mut naive: Vec<(u32, Pattern)> = Vec::new();
        for (text, sub, topic) in steps {
            match naive.iter().position(|(held, _)| *held == sub) {
                Some(at) => {
                    let (_, held) = naive.remove(at);
                    let last = !naive.iter().any(|(_, other)| *other == held);
                    prop_assert_eq!(index.remove(SubId(sub), conn()), last);
                }
                None => {
                    let first = !naive.iter().any(|(_, other)| other.as_str() == text);
                    prop_assert_eq!(index.insert(SubId(sub), &pattern(&text), conn()), first);
                    naive.push((sub, pattern(&text)));
                }
            }
            let expected: Vec<u32> =
                naive.iter().filter(|(_, held)| held.matches(&topic)).map(|(sub, _)| *sub).collect();
            prop_assert_eq!(matching(&index, &topic), expected, "{}", topic);
        }
        for (sub, _) in naive {
            index.remove(SubId(sub), conn());
        }
        prop_assert_eq!((index.nodes.len(), index.literals.len(), index.tokens.len()), (1, 0, 0));
    }
}
