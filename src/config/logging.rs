//! Section `Logging`: the log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use log::LevelFilter;

use super::reader::{self, Found, Reader};
use super::syntax::join;
use super::text::open;

const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// What is logged where no module says otherwise.
    pub level: LevelFilter,
    /// Levels of single modules, by the start of their names.
    pub modules: BTreeMap<String, LevelFilter>,
    /// The file; `None` is standard error.
    pub file: Option<PathBuf>,
    /// Lines that may wait to be written.
    pub queue_lines: usize,
}

impl Logging {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Logging {
        Logging {
            level: r.choice(
                "Level",
                LEVELS,
                ("info", LevelFilter::Info),
                "What is logged: this level and those before it.",
            ),
            modules: modules(r),
            file: r.optional(
                "File",
                &open("a path"),
                "The log file; lines are added to it. Empty: standard error.",
                reader::path,
            ),
            queue_lines: r.count(
                "QueueLines",
                64..=1_048_576,
                8192,
                "Lines that may wait to be written. When the disk or terminal stalls, further lines are counted and \
                 left out, and the server goes on.",
            ),
        }
    }
}

fn modules(r: &mut Reader<'_, '_>) -> BTreeMap<String, LevelFilter> {
    r.declare(
        "Modules",
        "object of levels by module".into(),
        "`{}`".into(),
        "Levels of single modules: `{ \"hydrogen::engine\": \"debug\" }` holds for all within it.",
    );
    let mut modules = BTreeMap::new();
    let Some(object) = r.object("Modules") else { return modules };
    for property in &object.properties {
        let name = property.name.as_str();
        let found = Found { value: &property.value, path: join(&r.path_of("Modules"), name), is_older: false };
        if let Some(level) = r.choice_of(&found, LEVELS) {
            modules.insert(name.to_owned(), level);
        }
    }
    modules
}
