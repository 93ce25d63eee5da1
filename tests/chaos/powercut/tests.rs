//! The shim and the disk, before anything is concluded from them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::disk::{self, Content, Disk, Luck};
use super::log::{self, Act, Record};
use super::shim::{self, Shim};
use crate::dice::Dice;
use crate::program::Home;

fn played(acts: Vec<Act>) -> Disk {
    let log: Vec<Record> = acts.into_iter().map(|act| Record { at_ns: 0, act }).collect();
    Disk::play(&log, log.len())
}

fn open(path: &str, inode: u64) -> Act {
    Act::Open { path: path.into(), inode, truncates: false }
}

fn write(inode: u64, offset: usize, data: &[u8]) -> Act {
    Act::Write { inode, offset, data: data.to_vec() }
}

fn file(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn only_what_was_synced_is_sure_to_be_there() {
    let disk = played(vec![
        open("a", 1),
        write(1, 0, b"old"),
        write(1, 3, b"!"),
        // The second write came while the sync was under way.
        Act::Sync { inode: 1, from: 2 },
        write(1, 0, b"new"),
        open("b", 2),
        write(2, 0, b"b"),
    ]);
    let mut dice = Dice::new(1);
    assert_eq!(disk.cut(Luck::Nothing, &mut dice), Content::from([("a".into(), file(b"old"))]));
    let all = Content::from([("a".into(), file(b"new!")), ("b".into(), file(b"b"))]);
    assert_eq!(disk.cut(Luck::Everything, &mut dice), all);
}

#[test]
fn chance_loses_tears_and_keeps_what_was_not_synced_and_nothing_else() {
    let old = vec![b'o'; 4 * 512];
    let new = vec![b'n'; 4 * 512];
    let disk = played(vec![open("a", 1), write(1, 0, &old), Act::Sync { inode: 1, from: 2 }, write(1, 0, &new)]);
    let (mut whole, mut torn, mut lost) = (0, 0, 0);
    for seed in 0..300 {
        let content = disk.cut(Luck::Some, &mut Dice::new(seed));
        let bytes = content["a"].as_ref().unwrap();
        assert_eq!(bytes.len(), old.len());
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is written whole or not at all");
        }
        match bytes.iter().filter(|byte| **byte == b'n').count() {
            0 => lost += 1,
            2048 => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(whole > 30 && torn > 30 && lost > 30, "{whole} whole, {torn} torn, {lost} lost");
}

#[test]
fn names_change_in_their_order() {
    let acts = vec![
        open("a", 1),
        Act::Sync { inode: 1, from: 1 },
        open("b", 2),
        Act::Rename { from: "b".into(), to: "a".into() },
        Act::Remove { path: "a".into() },
    ];
    let disk = played(acts.clone());
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..100 {
        found.insert(disk.cut(Luck::Some, &mut Dice::new(seed)).into_keys().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["", "a", "a b"]);
    let mut synced = acts;
    synced.push(Act::SyncFolder { from: 4 });
    let disk = played(synced);
    assert_eq!(disk.cut(Luck::Nothing, &mut Dice::new(1)).len(), 1, "the rename lasts, the removal does not");
}

#[test]
fn truncating_and_folders_are_played() {
    let disk = played(vec![
        Act::MakeFolder { path: "f".into() },
        open("f/a", 1),
        write(1, 4, b"xy"),
        Act::Truncate { inode: 1, len: 5 },
        Act::SyncAll { from: 4 },
        Act::Rename { from: "f".into(), to: "g".into() },
        Act::Open { path: "g/a".into(), inode: 9, truncates: true },
    ]);
    let mut dice = Dice::new(1);
    let kept = Content::from([("f".into(), None), ("f/a".into(), file(b"\0\0\0\0x"))]);
    assert_eq!(disk.cut(Luck::Nothing, &mut dice), kept);
    let all = Content::from([("g".into(), None), ("g/a".into(), file(b""))]);
    assert_eq!(disk.cut(Luck::Everything, &mut dice), all);
}

/// Runs the probe under the shim; gives how it ended and what was logged.
fn probe(folder: &Path, arguments: &[&str]) -> Option<(Output, Vec<Record>)> {
    let folder = &folder.canonicalize().unwrap();
    let (program, log, watched) = (folder.join("probe"), folder.join("log"), folder.join("watched"));
    let shim = Shim::build(folder)?;
    shim::compile("powercut/probe.c", &program, &[]).then_some(())?;
    fs::create_dir(&watched).unwrap();
    let mut command = Command::new(program);
    command.arg(&watched).args(arguments).envs(shim.variables(&watched, &log));
    Some((command.output().unwrap(), log::read(&log)))
}

#[test]
fn the_shim_sees_everything_that_a_program_does_and_forgets_what_it_did_not_sync() {
    let folder = tempfile::tempdir().unwrap();
    let Some((output, log)) = probe(folder.path(), &[]) else { return };
    assert!(output.status.success(), "{output:?}");
    let disk = Disk::play(&log, log.len());
    let mut dice = Dice::new(1);
    let there = disk::read(&folder.path().join("watched"));
    assert_eq!(there["sub/all"], file(b"X1abcd6789\0\0abcddu"));
    assert_eq!(there.len(), 5, "{:?}", there.keys());
    assert_eq!(disk.cut(Luck::Everything, &mut dice), there, "the log tells all");
    let kept = Content::from([
        ("kept".into(), file(b"synced")),
        ("forgotten".into(), file(b"")),
        ("sub".into(), None),
        ("sub/all".into(), file(b"X1abcd6789\0\0abcddu")),
        ("new".into(), file(b"onetwo")),
    ]);
    assert_eq!(disk.cut(Luck::Nothing, &mut dice), kept, "what was not synced is forgotten");
}

#[test]
fn what_the_shim_cannot_follow_aborts_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let Some((output, _)) = probe(folder.path(), &["map"]) else { return };
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a written mapping cannot be followed"), "{said}");
}

#[test]
fn a_key_that_was_made_survives_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let Some(shim) = Shim::build(&path) else { return };
    let home = Home::new(&path, &mut Dice::new(1));
    let (data, log) = (home.data(), path.join("powercut.log"));
    for name in ["one", "two"] {
        let mut command = home.command(&["key", "create", name, "--permit", "connect"]);
        let made = command.envs(shim.variables(&data, &log)).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let records = log::read(&log);
        assert!(records.iter().any(|record| matches!(record.act, Act::Write { .. })), "{records:?}");
        let disk = Disk::play(&records, records.len());
        let there = disk::read(&data);
        let mut dice = Dice::new(1);
        assert_eq!(disk::differences(&disk.cut(Luck::Everything, &mut dice), &there), [] as [String; 0]);
        let kept = disk.cut(Luck::Nothing, &mut dice);
        assert_eq!(kept["keys.json"], there["keys.json"], "the whole key file is on the disk");
        // The next one has a log, and record numbers, of its own.
        fs::remove_file(&log).unwrap();
        fs::remove_dir_all(&data).unwrap();
    }
}
