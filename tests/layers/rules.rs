//! The rules that the sources are held to, and the check of a whole tree against them.

use std::collections::{BTreeMap, BTreeSet};

use crate::scan::{Path, Source, scan};

/// Each ring with the rings below it that it may name.
const RINGS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("engine", &["base"]),
    ("dialect", &["base", "engine"]),
    ("sys", &["base", "engine"]),
    ("config", &["base", "engine"]),
    ("server", &["base", "engine", "dialect", "sys", "config"]),
    ("cli", &["base", "engine", "dialect", "sys", "config", "server"]),
    ("capi", &["base", "engine", "dialect", "sys", "config", "server"]),
    ("main", &["base", "engine", "dialect", "sys", "config", "server", "cli"]),
];

/// Rings that are stepped: the same code runs under the server and under the simulator.
const PURE: &[&str] = &["base", "engine", "dialect"];

/// The only ring with `unsafe`.
const UNSAFE: &str = "capi";

/// The folders of this ring do not name each other.
const STRANGERS: &str = "dialect";

/// Crates that reach outside: sockets, threads, the machine, randomness.
const OUTSIDE_CRATES: &[&str] = &[
    "mio",
    "socket2",
    "crossbeam_channel",
    "procfs",
    "if_addrs",
    "signal_hook",
    "sd_notify",
    "rlimit",
    "rustls",
    "rustls_native_certs",
    "simplelog",
    "getrandom",
    "rand",
];

/// Modules of the standard library that reach outside.
const OUTSIDE_STD: &[&str] = &["fs", "thread", "process", "env", "os"];

/// What the pure rings may name of `std::net`: addresses are values.
const ADDRESSES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

/// Pairs of words that read a clock, a random source or a file, wherever they stand in a path.
const OUTSIDE_CALLS: &[(&str, &str)] = &[
    ("Instant", "now"),
    ("SystemTime", "now"),
    ("Timestamp", "now"),
    ("Zoned", "now"),
    ("File", "open"),
    ("File", "create"),
    ("File", "options"),
    ("OpenOptions", "new"),
    ("SystemRandom", "new"),
    ("hash_map", "RandomState"),
    ("RandomState", "new"),
];

/// Lines that a file under `src` may have.
const LINES_MAX: usize = 500;

type Module = Vec<String>;

struct Tree<'a> {
    files: BTreeMap<Module, (&'a str, Source)>,
    /// Names that a module's own `use` brings in, for paths that go through it.
    binds: BTreeMap<(Module, String), Path>,
    /// Modules that are compiled for tests alone.
    tests: BTreeSet<Module>,
}

/// Everything that is wrong with these files (path below `src`, text), one line each.
pub fn violations(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut out = Vec::new();
    let mut tree = Tree { files: BTreeMap::new(), binds: BTreeMap::new(), tests: BTreeSet::new() };
    for (name, text) in files {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            out.push(format!("{name}: {lines} lines, {LINES_MAX} at most"));
        }
        tree.files.insert(module_of(name), (name, scan(text)));
    }
    // A folder without a file of its own is a module all the same.
    for module in tree.files.keys().cloned().collect::<Vec<_>>() {
        for end in 1..module.len() {
            tree.files.entry(module[..end].to_vec()).or_default();
        }
    }
    for (module, (_, source)) in &tree.files {
        for path in source.paths.iter().filter(|path| path.inside.is_empty()) {
            if let Some(name) = &path.binds {
                tree.binds.insert((module.clone(), name.clone()), path.clone());
            }
        }
    }
    tree.tests = tree
        .files
        .iter()
        .flat_map(|(module, (_, source))| source.test_modules.iter().map(|name| child(module, name)))
        .collect();
    let mut edges: BTreeMap<(Module, Module), String> = BTreeMap::new();
    for (module, (name, source)) in &tree.files {
        let Some(ring) = module.first() else { continue };
        let Some((_, below)) = RINGS.iter().find(|(known, _)| known == ring) else {
            out.push(format!("{name}: `{ring}` is no ring; give it a place in the table"));
            continue;
        };
        if ring != UNSAFE {
            out.extend(source.unsafe_lines.iter().map(|line| format!("{name}:{line}: `unsafe` outside {UNSAFE}")));
        }
        let in_tests = tree.is_test(module);
        for path in &source.paths {
            let place = format!("{name}:{}", path.line);
            let written = path.segments.join("::");
            if PURE.contains(&ring.as_str()) && !path.test && !in_tests && reaches_outside(&path.segments) {
                out.push(format!("{place}: `{written}` in the pure ring {ring}"));
            }
            let Some(target) = tree.target(module, path) else { continue };
            let Some(other) = target.first().filter(|other| RINGS.iter().any(|(known, _)| known == other)) else {
                continue;
            };
            if other != ring && !below.contains(&other.as_str()) {
                out.push(format!("{place}: `{written}`: {ring} may not name {other}"));
            } else if other == ring
                && ring == STRANGERS
                && target.len() > 1
                && module.len() > 1
                && target[1] != module[1]
            {
                out.push(format!("{place}: `{written}`: one {STRANGERS} may not name another"));
            }
            let down = path.reexport && target.starts_with(module);
            if let Some(edge) = tree.siblings(module, &target).filter(|_| !down) {
                edges.entry(edge).or_insert(place);
            }
        }
    }
    out.extend(cycles(&edges));
    out
}

/// `a/b.rs` and `a/b/mod.rs` are both module `a::b`.
fn module_of(name: &str) -> Module {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_string).collect() }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_string()]).collect()
}

fn reaches_outside(segments: &[String]) -> bool {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words[..] {
        ["std", "net", ref rest @ ..] => !rest.first().is_some_and(|word| ADDRESSES.contains(word)),
        ["std", second, ..] if OUTSIDE_STD.contains(&second) => true,
        [first, _, ..] if OUTSIDE_CRATES.contains(&first) => true,
        _ => words.windows(2).any(|pair| OUTSIDE_CALLS.contains(&(pair[0], pair[1]))),
    }
}

impl Tree<'_> {
    /// The module of this crate that a path leads to; none for what lies outside.
    fn target(&self, module: &Module, path: &Path) -> Option<Module> {
        let mut base = if module == &["main"] && path.segments[0] != "self" { Vec::new() } else { module.clone() };
        base.extend(path.inside.iter().cloned());
        let mut rest = &path.segments[..];
        match rest[0].as_str() {
            "crate" => (base, rest) = (Vec::new(), &rest[1..]),
            "hydrogen" if module == &["main"] => rest = &rest[1..],
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            name if self.files.contains_key(&child(&base, name)) => {}
            _ => return None,
        }
        Some(self.walk(base, rest, 8))
    }

    /// Follows names from a module, through what it imports, to the file that owns the last of them. `hops` bounds
    /// imports that name each other.
    fn walk(&self, mut at: Module, names: &[String], hops: usize) -> Module {
        // Inline modules belong to their file.
        while !at.is_empty() && !self.files.contains_key(&at) {
            at.pop();
        }
        let Some((name, rest)) = names.split_first() else { return at };
        if self.files.contains_key(&child(&at, name)) {
            return self.walk(child(&at, name), rest, hops);
        }
        if let Some(import) = self.binds.get(&(at.clone(), name.clone())).filter(|_| hops > 0)
            && let Some(first) = import.segments.first()
        {
            let mut names = import.segments.clone();
            names.extend(rest.iter().cloned());
            let (base, skip) = match first.as_str() {
                "crate" => (Vec::new(), 1),
                "self" => (at.clone(), 1),
                "super" => (at[..at.len().saturating_sub(1)].to_vec(), 1),
                inner if self.files.contains_key(&child(&at, inner)) => (at.clone(), 0),
                _ => return at,
            };
            return self.walk(base, &names[skip..], hops - 1);
        }
        at
    }

    /// The two folders in which the modules' ways part; none if one lies within the other, or if one is a file of the
    /// folder that they share.
    fn siblings(&self, from: &Module, to: &Module) -> Option<(Module, Module)> {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if shared == 0 || shared >= from.len() || shared >= to.len() {
            return None;
        }
        let (a, b) = (from[..=shared].to_vec(), to[..=shared].to_vec());
        (self.is_folder(&a) && self.is_folder(&b)).then_some((a, b))
    }

    /// Whether a module is more than one file; its tests do not count.
    fn is_folder(&self, module: &Module) -> bool {
        self.files.iter().any(|(other, (name, _))| {
            let is_inside = other.len() > module.len() && other.starts_with(module) && !self.is_test(other);
            is_inside || (other == module && name.ends_with("/mod.rs"))
        })
    }

    /// Whether a module is compiled for tests alone.
    fn is_test(&self, module: &[String]) -> bool {
        (0..module.len()).any(|end| self.tests.contains(&module[..=end]))
    }
}

/// One line for each group of modules that lead back to themselves.
fn cycles(edges: &BTreeMap<(Module, Module), String>) -> Vec<String> {
    let nodes: BTreeSet<&Module> = edges.keys().flat_map(|(a, b)| [a, b]).collect();
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = open.pop() {
            for (_, to) in edges.keys().filter(|(a, _)| *a == next) {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = nodes.iter().map(|node| (*node, reach(node))).collect();
    let mut out = BTreeSet::new();
    for (node, seen) in reached.iter().filter(|(node, seen)| seen.contains(**node)) {
        let ring: Vec<&Module> = seen.iter().filter(|other| reached[other].contains(*node)).collect();
        let names: Vec<String> = ring.iter().map(|module| module.join("::")).collect();
        let places: Vec<String> = edges
            .iter()
            .filter(|((a, b), _)| ring.contains(&a) && ring.contains(&b))
            .map(|((a, b), place)| format!("\n    {} -> {} at {place}", a.join("::"), b.join("::")))
            .collect();
        out.insert(format!("cycle between {}:{}", names.join(", "), places.concat()));
    }
    out.into_iter().collect()
}
