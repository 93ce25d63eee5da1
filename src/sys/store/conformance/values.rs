//! Small values.

use super::*;

pub fn values_are_set_replaced_and_taken_away(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    for table in Table::ALL {
        store.commit(&[put(table, "k", table.as_str()), put(table, "", "empty key"), put(table, "empty", "")]);
    }
    for round in 0..2 {
        for table in Table::ALL {
            assert_eq!(store.backend.get(table, "k").unwrap(), Some(Bytes::from(table.as_str())));
            assert_eq!(store.backend.get(table, "").unwrap(), Some(Bytes::from("empty key")));
            assert_eq!(store.backend.get(table, "empty").unwrap(), Some(Bytes::new()));
            assert_eq!(store.backend.get(table, "none").unwrap(), None);
        }
        if round == 0 {
            store = store.killed();
        }
    }
    store.commit(&[put(Table::Meta, "k", "2"), put(Table::Meta, "k", "3"), delete(Table::Cursors, "k")]);
    store.commit(&[delete(Table::Cursors, "k"), delete(Table::Blocks, "none")]);
    let mut store = store.closed();
    assert_eq!(store.backend.get(Table::Meta, "k").unwrap(), Some(Bytes::from("3")));
    assert_eq!(store.backend.get(Table::Cursors, "k").unwrap(), None);
    assert_eq!(store.backend.get(Table::Sessions, "k").unwrap(), Some(Bytes::from("sessions")));
}

pub fn values_are_scanned_in_order_behind_a_key_under_a_prefix(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    let group: Vec<Write> =
        ["b", "a/2", "a/10", "a", "a/é", "a0", "", "c\u{10ffff}"].map(|key| put(Table::Sessions, key, key)).into();
    store.commit(&group);
    store.commit(&[put(Table::Retained, "a/0", "elsewhere"), put(Table::DeadLetters, "a/3", "elsewhere")]);
    for (prefix, after, limit, expected) in [
        ("", None, 9, &["", "a", "a/10", "a/2", "a/é", "a0", "b", "c\u{10ffff}"][..]),
        ("", Some(""), 2, &["a", "a/10"]),
        ("a/", None, 9, &["a/10", "a/2", "a/é"]),
        ("a/", None, 2, &["a/10", "a/2"]),
        ("a/", Some("a/10"), 9, &["a/2", "a/é"]),
        ("a/", Some("a/11"), 9, &["a/2", "a/é"]),
        ("a/", Some("a"), 9, &["a/10", "a/2", "a/é"]),
        ("a/", Some("b"), 9, &[]),
        ("a/", Some("a/é"), 9, &[]),
        ("c\u{10ffff}", None, 9, &["c\u{10ffff}"]),
        ("d", None, 9, &[]),
        ("", None, 0, &[]),
    ] {
        let found = store.backend.scan(Table::Sessions, prefix, after, limit).unwrap();
        let keys: Vec<&str> = found.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, expected, "{prefix:?} {after:?} {limit}");
        assert!(found.iter().all(|(key, value)| key.as_bytes() == value));
    }
    assert_eq!(store.keys(Table::Retained), ["a/0".into()]);
}
