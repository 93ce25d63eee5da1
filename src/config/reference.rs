//! The reference page, made from the keys' declarations.

use std::fmt::Write;

use super::Config;
use super::older::{Fate, OLDER};
use super::reader::{KeyDoc, Reading};

const HEAD: &str = "\
# Configuration

One file, in JSON. Comments (`//` and `/* */`) and a comma after the last item are accepted; nothing else that
JSON does not have. The text is UTF-8, with or without a byte order mark. Every key has a default, so that `{}` is
a whole configuration. `conf/hydrogen.json` is a sample that shows the keys most used.

- **Everything wrong is reported at once**, each with file, line, column and the key's path:
  `conf/hydrogen.json:12:5: WebSocketServer.Prot: unknown key; did you mean \"Port\"?` A key that is unknown, stands
  twice, or has a value of another type or out of its range is an error. So is a file that is empty, cut off or
  larger than 1 MiB.
- **`${env.NAME}`** in a string is replaced by that variable of the environment. A string that is one variable and
  nothing else, `\"${env.PORT}\"`, may also stand for a number, `true` or `false`. A variable that is not set is an
  error. Messages name variables and never show what is in them.
- **Relative paths** count from the directory in which the server was started.
- Durations are whole seconds, or another unit where the key ends in it: `Ms` is milliseconds; sizes are bytes.
- Names that older configurations have are understood, with a warning that tells the new one: see the end.
";

/// The text of `docs/configuration.md`.
pub fn reference() -> String {
    let mut reading = Reading::new(&|_| None);
    reading.read(None, Config::read);
    let mut page = String::from(HEAD);
    page.push_str("\n## Top level\n");
    let is_section = |key: &&KeyDoc| key.value.is_empty();
    let top = reading.keys.iter().filter(|key| !key.path.contains('.') && !is_section(key));
    table(&mut page, "", top);
    for section in reading.keys.iter().filter(is_section) {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n{}\n", section.path.trim_end_matches("[]"), section.doc);
        let prefix = format!("{}.", section.path);
        let is_own = |key: &&KeyDoc| key.path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains(['.', '[']));
        table(&mut page, &prefix, reading.keys.iter().filter(is_own));
    }
    older(&mut page);
    page
}

fn table<'k>(page: &mut String, prefix: &str, keys: impl Iterator<Item = &'k KeyDoc>) {
    page.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
    for KeyDoc { path, value, default, doc } in keys {
        let name = path.strip_prefix(prefix).unwrap_or(path);
        let is_section = value.is_empty();
        let (value, default) =
            if is_section { ("object, as below", "`{}`") } else { (value.as_str(), default.as_str()) };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {value} | {default} | {doc} |");
    }
}

fn older(page: &mut String) {
    page.push_str(
        "\n## Older names\n\nConfigurations of earlier servers have these. Each is a warning. A new name beside its \
         older one is an error.\n\n| older | today |\n|---|---|\n",
    );
    let mut unused = Vec::new();
    for (path, fate) in OLDER {
        let today = match fate {
            Fate::Renamed(new) => format!("`{new}`"),
            Fate::Replaced(new) => format!(
                "`{new}`, unless that is given: `true` is `\"*\"`, `false` is `\"::\"` with `EnableIPv6` and no listener without"
            ),
            Fate::Group => "its other keys are not used".into(),
            Fate::Unused(Some(see)) => format!("not used; see `{see}`"),
            Fate::UnusedObject(see) => format!("an object of this name is not used; see `{see}`"),
            Fate::Unused(None) => {
                unused.push(format!("`{path}`"));
                continue;
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{path}` | {today} |");
    }
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\nAccepted, and not used by this server: {}.", unused.join(", "));
}
