//! Keys whose values are texts, names out of a few, and lists of texts.

use std::borrow::Cow;

use jsonc_parser::ast::Value;

use super::env::{expand, is_expandable};
use super::nearest::nearest;
use super::problem::shown;
use super::reader::{Found, Reader};
use super::syntax::start;

/// What a text must be. `is_secret` keeps it out of messages.
pub(super) struct Text {
    /// `an IP address`, to stand after "expected".
    pub(super) expected: &'static str,
    /// Whether the value may not be shown.
    pub(super) is_secret: bool,
}

/// A text that may be shown.
pub(super) const fn open(expected: &'static str) -> Text {
    Text { expected, is_secret: false }
}

impl<'a> Reader<'_, 'a> {
    /// A text that `parse` turns into a value, or refuses with a reason, which may be empty.
    pub(super) fn text<T>(
        &mut self,
        name: &'static str,
        default: (&'static str, T),
        text: &Text,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.declare(name, text.expected.into(), format!("`\"{}\"`", default.0), doc);
        let Some(found) = self.find(name) else { return default.1 };
        self.text_of(&found, text, parse).unwrap_or(default.1)
    }

    /// The same, without a default: nothing given, and an empty text, are `None`.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        text: &Text,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.declare(name, format!("{}, or `\"\"`", text.expected), "`\"\"`".into(), doc);
        let found = self.find(name)?;
        let parse = |value: &str| if value.is_empty() { Ok(None) } else { parse(value).map(Some) };
        self.text_of(&found, text, parse).flatten()
    }

    /// A text that an object must have; `None` if what is wrong with it was reported.
    pub(super) fn needed<T>(
        &mut self,
        name: &'static str,
        text: &Text,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.declare(name, text.expected.into(), "needed".into(), doc);
        let found = self.find_needed(name)?;
        self.text_of(&found, text, parse)
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        names: &[(&'static str, T)],
        default: (&'static str, T),
        doc: &'static str,
    ) -> T {
        self.declare(name, listed(names, "`"), format!("`\"{}\"`", default.0), doc);
        let Some(found) = self.find(name) else { return default.1 };
        self.choice_of(&found, names).unwrap_or(default.1)
    }

    pub(super) fn choice_of<T: Copy>(&mut self, found: &Found<'a>, names: &[(&'static str, T)]) -> Option<T> {
        let expected = listed(names, "");
        let (value, may_show) = self.string(found, &expected)?;
        if let Some((_, choice)) = names.iter().find(|(name, _)| *name == value) {
            return Some(*choice);
        }
        let seen = if may_show { format!(", found \"{}\"", shown(&value)) } else { String::new() };
        let meant = nearest(&value, names.iter().map(|(name, _)| *name));
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"));
        self.wrong(found, format!("expected {expected}{seen}{meant}"));
        None
    }

    /// A list of texts. Under an older name a single text is a list of one.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        (default, max): (&[&str], usize),
        text: &Text,
        doc: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let quoted: Vec<String> = default.iter().map(|item| format!("\"{item}\"")).collect();
        self.declare(
            name,
            format!("list of up to {max}, each {}", text.expected),
            format!("`[{}]`", quoted.join(", ")),
            doc,
        );
        let fallback = || default.iter().filter_map(|item| parse(item).ok()).collect();
        let Some(found) = self.find(name) else { return fallback() };
        self.list_of(&found, max, text, &parse).unwrap_or_else(fallback)
    }

    /// The items, if all are as they should be.
    fn list_of<T>(
        &mut self,
        found: &Found<'a>,
        max: usize,
        text: &Text,
        parse: &impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = match found.value {
            Value::Array(list) => &list.elements,
            Value::StringLit(_) if found.is_older => return Some(vec![self.text_of(found, text, parse)?]),
            _ => {
                self.wrong_type(found, "a list of strings");
                return None;
            }
        };
        if items.len() > max {
            self.wrong(found, format!("{} items, where {max} are allowed", items.len()));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            let item = Found { value, path: format!("{}[{index}]", found.path), is_older: false };
            values.extend(self.text_of(&item, text, parse));
        }
        Some(values).filter(|values| values.len() == items.len())
    }

    fn text_of<T>(&mut self, found: &Found<'a>, text: &Text, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (value, may_show) = self.string(found, "a string")?;
        let reason = match parse(&value) {
            Ok(value) => return Some(value),
            Err(reason) => reason,
        };
        let mut message = format!("expected {}", text.expected);
        if may_show && !text.is_secret {
            message.push_str(&format!(", found \"{}\"", shown(&value)));
        }
        if !reason.is_empty() {
            message.push_str(": ");
            message.push_str(&reason);
        }
        self.wrong(found, message);
        None
    }

    /// A string with its variables replaced, and whether it may be shown: what comes from the
    /// environment may be a secret.
    fn string(&mut self, found: &Found<'a>, expected: &str) -> Option<(Cow<'a, str>, bool)> {
        match found.value {
            Value::StringLit(it) => Some((self.expanded(found, &it.value)?, !is_expandable(&it.value))),
            _ => {
                self.wrong_type(found, expected);
                None
            }
        }
    }

    /// A string with its variables replaced.
    pub(super) fn expanded(&mut self, found: &Found<'a>, text: &'a str) -> Option<Cow<'a, str>> {
        match expand(text, self.reading.env) {
            Ok(text) => Some(text),
            Err(wrong) => {
                for message in wrong {
                    self.reading.errors.push(start(found.value), found.path.as_str(), message);
                }
                None
            }
        }
    }
}

/// `"a", "b" or "c"`, each between `mark`s.
fn listed<T>(names: &[(&'static str, T)], mark: &str) -> String {
    let mut out = String::new();
    for (index, (name, _)) in names.iter().enumerate() {
        let joint = match index {
            0 => "",
            _ if index + 1 == names.len() => " or ",
            _ => ", ",
        };
        out.push_str(&format!("{joint}{mark}\"{name}\"{mark}"));
    }
    out
}
