//! The shim, before anything is concluded from it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use super::shim::Shim;
use crate::powercut::shim::compile;

/// What the probe's file holds in the end.
fn probe(arguments: &[&str]) -> Option<(std::process::ExitStatus, Vec<u8>, u32)> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let shim = Shim::build(&folder)?;
    let (program, watched) = (folder.join("probe"), folder.join("watched"));
    compile("trouble/probe.c", &program, &[]).then_some(())?;
    fs::create_dir(&watched).unwrap();
    let mut command = Command::new(program);
    let output = command.arg(&watched).args(arguments).envs(shim.variables(&watched)).output().unwrap();
    println!("{output:?}");
    Some((output.status, fs::read(watched.join("file")).unwrap(), shim.failed()))
}

#[test]
fn the_shim_fails_as_it_is_ordered() {
    let Some((status, bytes, failed)) = probe(&[]) else { return };
    assert!(status.success(), "{status}");
    assert_eq!((&bytes[..6], &bytes[4096..4100], failed), (&b"PASSED"[..], &b"lost"[..], 7));
}

#[test]
fn after_a_power_cut_there_is_what_was_really_synced() {
    let Some((status, bytes, _)) = probe(&["cut"]) else { return };
    assert_eq!(status.signal(), Some(9), "{status}");
    // The sync after the one that failed passed over what that one had left.
    assert_eq!((&bytes[..6], &bytes[4096..4100]), (&b"synced"[..], &b"anew"[..]));
    assert!(bytes[8192..].iter().all(|byte| *byte == 0), "what no sync has covered is not there");
}
