//! The status as a table. It knows the form of the figures and not their names, so that it shows
//! whatever the server tells: a heading for each object, and a row for each value in it.

use serde_json::{Map, Value};

use crate::cli::client::fit_for_terminal;

/// A status object as text, without a line feed at its end.
pub(super) fn render(status: &Value) -> String {
    let Value::Object(sections) = status else { return plain(status) };
    let mut rows = Vec::new();
    for (name, value) in sections {
        if !matches!(value, Value::Object(_)) {
            rows.push(Row::of(name, value));
        }
    }
    for (name, value) in sections {
        if let Value::Object(section) = value {
            rows.push(Row::Heading(name.clone()));
            add(&mut rows, "", section, 0);
        }
    }
    let name_len = |row: &Row| match row {
        Row::Heading(_) => 0,
        Row::Value(name, _) => name.chars().count(),
    };
    let width = rows.iter().map(name_len).max().unwrap_or_default();
    let line = |row: &Row| match row {
        Row::Heading(name) => format!("\n{}", printable(name)),
        Row::Value(name, value) => format!("  {:width$}  {}", printable(name), printable(value)),
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n").trim_start_matches('\n').to_owned()
}

enum Row {
    Heading(String),
    Value(String, String),
}

impl Row {
    fn of(name: &str, value: &Value) -> Row {
        let shown = match value.as_u64() {
            Some(seconds) if name.ends_with("uptime_s") => time(seconds),
            Some(_) | None => plain(value),
        };
        Row::Value(name.into(), shown)
    }
}

fn add(rows: &mut Vec<Row>, path: &str, object: &Map<String, Value>, depth: usize) {
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(inner) => add(rows, &path, inner, depth + 1),
            // Within a list of like figures, nothing is no news.
            Value::Number(number) if depth > 0 && number.as_f64() == Some(0.0) => {}
            value => rows.push(Row::of(&path, value)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Whole, unlike what a client is told of an error.
fn printable(text: &str) -> String {
    text.chars().map(fit_for_terminal).collect()
}

/// `3d 4h 5m 6s`, from the largest unit that is not zero.
fn time(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    parts[first..].iter().map(|(number, unit)| format!("{number}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sections_have_headings_and_nested_figures_have_paths() {
        let status = json!({
            "at": "now",
            "server": {"name": "h\u{1b}1", "uptime_s": 93_784, "draining": false},
            "errors": {"total": 0, "by_code": {"bad_json": 0, "timeout": 3}},
            "dialects": {"names": ["a", "b"], "none": null},
        });
        let expected = "  at               now\n\
             \ndialects\n  names            a, b\n  none             -\n\
             \nerrors\n  by_code.timeout  3\n  total            0\n\
             \nserver\n  draining         no\n  name             h 1\n  uptime_s         1d 2h 3m 4s";
        assert_eq!(render(&status), expected);
    }

    #[test]
    fn times_start_with_the_largest_unit() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3600, "1h 0m 0s"), (86_400, "1d 0h 0m 0s")] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn what_is_no_object_is_shown_as_it_is() {
        assert_eq!(render(&json!("up")), "up");
        assert_eq!(render(&json!({})), "");
    }
}
