//! Help, versions, and words that make no sense.

use crate::program::run;

const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["check"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "revoke"],
    &["publish"],
    &["subscribe"],
    &["call"],
    &["dead-letters"],
    &["dead-letters", "list"],
    &["dead-letters", "replay"],
    &["dead-letters", "discard"],
    &["status"],
    &["rooms"],
];

#[test]
fn every_command_has_help_with_examples_of_itself() {
    run(&["--help"]).expect(0);
    for command in COMMANDS {
        let ran = run(&[*command, &["--help"]].concat()).expect(0);
        let (_, examples) = ran.out.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command:?}: {}", ran.out));
        assert!(examples.contains(&format!("hydrogen {}", command.join(" "))), "{command:?}: {examples}");
        assert!(ran.out.contains("Usage: hydrogen"), "{command:?}");
        assert!(ran.err.is_empty(), "{command:?}: {}", ran.err);
    }
}

#[test]
fn client_commands_tell_how_to_keep_the_key_from_others() {
    for command in ["publish", "subscribe", "call", "status"] {
        let help = run(&[command, "--help"]).expect(0).out;
        for part in ["HYDROGEN_URL", "HYDROGEN_KEY", "--key-file"] {
            assert!(help.contains(part), "{command}: {part}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    let ran = run(&["--version"]).expect(0);
    assert_eq!(ran.out, format!("hydrogen {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn words_that_make_no_sense_end_with_2_before_anything_is_done() {
    for args in [
        &[][..],
        &["sserve"],
        &["subscribe"],
        &["subscribe", "a..b"],
        &["subscribe", "a.b", "--filter", "[1]"],
        &["subscribe", "a.b", "--format", "xml"],
        &["subscribe", "a.b", "--count", "0"],
        &["subscribe", "a.b", "--from", "yesterday"],
        &["subscribe", "a.b", "--window", "5"],
        &["subscribe", "a.b", "--ack-timeout", "500"],
        &["subscribe", "a.b", "--durable", ""],
        &["subscribe", "a.b", "--durable", "n", "--window", "0"],
        &["publish", "a.b", "1", "--retries", "3"],
        &["dead-letters"],
        &["dead-letters", "replay"],
        &["dead-letters", "discard", "d-1", "--all"],
        &["dead-letters", "discard", "--all"],
        &["dead-letters", "discard", "d-1", "--subscription", "s"],
        &["dead-letters", "discard", ""],
        &["publish", "a.b", "no json"],
        &["publish", "a", "1"],
        &["publish", "a.*", "1"],
        &["publish", "a.b", "1", "--url", "ftp://127.0.0.1/"],
        &["call", "system"],
        &["call", "System.info"],
        &["call", "system.info", "{"],
        &["call", "system.info", "--key", "with blank"],
        &["call", "system.info", "--key", "k", "--key-file", "f"],
        &["call", "system.info", "--key-file", "/no/such/file"],
        &["status", "--ca", "/no/such/file", "--url", "wss://127.0.0.1:1/"],
        &["key", "create", "a"],
        &["key", "list", "--config", "a", "--data-dir", "b"],
    ] {
        let ran = run(args).expect(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}: {ran:?}");
        assert!(!ran.err.contains("with blank"), "{}", ran.err);
    }
}
