//! Holds the arrows between the rings: who may name whom, what the pure rings never name, where `unsafe` may stand, and
//! how long a file may get. The rules are in `rules.rs`; each is shown to bite on a planted violation.

mod rules;
mod scan;

use std::collections::BTreeMap;
use std::path::Path;

use rules::violations;

fn sources(folder: &Path, prefix: &str, out: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), &format!("{name}/"), out);
        } else if name.ends_with(".rs") {
            out.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_sources_keep_the_rules() {
    let mut files = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 10, "only {} files found", files.len());
    let found = violations(&files);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn tree(files: &[(&str, &str)]) -> Vec<String> {
    violations(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
}

#[test]
fn what_is_allowed_passes() {
    let found = tree(&[
        ("lib.rs", "pub mod base; pub mod engine; pub mod sys; pub mod cli;"),
        ("main.rs", "use hydrogen::cli; fn main() { cli::run() }"),
        ("base/mod.rs", "pub mod time; pub mod error; pub use time::Now; pub use error::Error;"),
        ("base/time.rs", "use std::net::{IpAddr, SocketAddr}; pub struct Now;"),
        ("base/error.rs", "use crate::base::Now; pub struct Error;"),
        ("engine/mod.rs", "//! Never `std::fs`.\nuse crate::base::{Error, Now as Time};"),
        (
            "engine/topic.rs",
            "fn a() { let s = \"crate::sys::Poll\"; let r = r#\"std::fs\"#; let c = '\"'; } // mio::Poll",
        ),
        ("engine/clock.rs", "#[cfg(test)] mod tests { use std::thread; fn f() { std::time::Instant::now(); } }"),
        ("engine/wire/mod.rs", "mod read; #[cfg(test)] mod tests;"),
        ("engine/wire/read.rs", "use super::tests; fn f<'a>(x: &'a str) -> &'a str { x }"),
        ("engine/wire/tests.rs", "use std::fs; use super::read;"),
        ("sys/mod.rs", "use crate::{base::Now, engine::wire::{self, read}}; use mio::Poll;"),
        ("sys/a.rs", "use super::b::B; pub struct A; #[cfg(test)] mod tests;"),
        ("sys/a/tests.rs", "use super::A;"),
        ("sys/b.rs", "use super::a::A; pub struct B;"),
        ("cli/mod.rs", "use crate::sys; use std::fs::File; pub fn run() {}"),
    ]);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn each_planted_violation_is_found() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("engine/a.rs", "use crate::sys::Poll;"), ("sys/mod.rs", "")],
            "engine/a.rs:1: `crate::sys::Poll`: engine may not name sys",
        ),
        (
            &[("engine/a.rs", "\n\nfn f() { crate::server::start(); }"), ("server/mod.rs", "")],
            "engine/a.rs:3: `crate::server::start`: engine may not name server",
        ),
        (
            &[("sys/mod.rs", "use crate::{\n base::Now,\n config::{Listen, Limits}};"), ("config/mod.rs", "")],
            "sys/mod.rs:3: `crate::config::Listen`: sys may not name config",
        ),
        (
            &[("base/a.rs", "fn f(x: &super::super::engine::Topic) {}"), ("engine/mod.rs", "")],
            "base/a.rs:1: `super::super::engine::Topic`: base may not name engine",
        ),
        (
            &[("dialect/relay/mod.rs", "use super::hub::Service;"), ("dialect/hub/mod.rs", "")],
            "dialect/relay/mod.rs:1: `super::hub::Service`: one dialect may not name another",
        ),
        (
            &[("dialect/relay/a.rs", "#[cfg(test)] mod tests { use crate::sys::Poll; }"), ("sys/mod.rs", "")],
            "dialect/relay/a.rs:1: `crate::sys::Poll`: dialect may not name sys",
        ),
        (
            &[("engine/a/mod.rs", "use crate::engine::b::X;"), ("engine/b/mod.rs", "pub struct X; use super::a::Y;")],
            "cycle between engine::a, engine::b:\n    engine::a -> engine::b at engine/a/mod.rs:1\n    engine::b -> engine::a at engine/b/mod.rs:1",
        ),
        (
            &[
                ("base/mod.rs", "pub mod time; pub mod error; pub use error::Error;"),
                ("base/time/mod.rs", "use crate::base::Error; pub struct Now;"),
                ("base/error.rs", "mod code; use super::time::Now; pub struct Error;"),
                ("base/error/code.rs", ""),
            ],
            "cycle between base::error, base::time:",
        ),
        (
            &[
                ("sys/mod.rs", ""),
                ("sys/net/mod.rs", ""),
                ("sys/net/tls/mod.rs", "use crate::sys::net::tcp::a::X;"),
                ("sys/net/tls/a.rs", ""),
                ("sys/net/tcp/mod.rs", ""),
                ("sys/net/tcp/a.rs", "use crate::sys::net::tls;"),
            ],
            "cycle between sys::net::tcp, sys::net::tls:",
        ),
        (&[("engine/a.rs", "use mio::Poll;")], "engine/a.rs:1: `mio::Poll` in the pure ring engine"),
        (&[("engine/a.rs", "use std::{fmt, fs};")], "engine/a.rs:1: `std::fs` in the pure ring engine"),
        (&[("base/a.rs", "use std::net::{IpAddr, TcpStream};")], "`std::net::TcpStream` in the pure ring base"),
        (&[("engine/a.rs", "fn f() { std::thread::spawn(|| ()); }")], "`std::thread::spawn` in the pure ring engine"),
        (
            &[("engine/a.rs", "use std::time::Instant; fn f() { Instant::now(); }")],
            "`Instant::now` in the pure ring engine",
        ),
        (&[("dialect/a.rs", "fn f() { std::time::SystemTime::now(); }")], "SystemTime::now` in the pure ring dialect"),
        (&[("engine/a.rs", "fn f() { rand::rng(); }")], "`rand::rng` in the pure ring engine"),
        (&[("engine/a.rs", "fn f() { getrandom::fill(&mut [0]); }")], "`getrandom::fill` in the pure ring engine"),
        (&[("engine/a.rs", "fn f() { File::open(x); }")], "`File::open` in the pure ring engine"),
        (&[("sys/a.rs", "#[cfg(test)] mod t { fn f() { unsafe { g() } } }")], "sys/a.rs:1: `unsafe` outside capi"),
        (&[("extra/mod.rs", "")], "`extra` is no ring"),
    ];
    for (files, expected) in cases {
        let found = tree(files);
        assert!(found.iter().any(|line| line.contains(expected)), "{files:?}: expected {expected}, found {found:#?}");
    }
    let long = "\n".repeat(501);
    assert_eq!(tree(&[("sys/a.rs", &long)]), ["sys/a.rs: 501 lines, 500 at most"]);
}

#[test]
fn code_after_a_test_module_is_no_test() {
    let found = tree(&[(
        "engine/a.rs",
        "#[cfg(test)]\nmod tests { fn f() { { } } }\nuse std::fs;\n#[cfg(test)]\nuse std::env;",
    )]);
    assert_eq!(found, ["engine/a.rs:3: `std::fs` in the pure ring engine"]);
}
