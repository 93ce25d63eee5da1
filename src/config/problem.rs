//! What is wrong in a configuration, and where: collected while reading, turned into lines and
//! columns once at the end.

use std::fmt;

/// Problems kept of one kind. A file of nonsense gets this many, and a line that counts the rest.
const KEPT: usize = 1000;

/// One thing that is wrong with a configuration, or, among the warnings, to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// From 1; 0 if it concerns no place in the file.
    pub line: usize,
    /// In characters, from 1; 0 if it concerns no place in the file.
    pub column: usize,
    /// The key's path, `WebSocketServer.Port`; empty if it concerns no key.
    pub path: String,
    /// What is wrong, for a person. Holds no secret and no value from the environment.
    pub message: String,
}

/// `conf/hydrogen.json:12:5: WebSocketServer.Prot: unknown key; did you mean "Port"?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// Problems of one kind, by their place in the text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    left_out: usize,
}

#[derive(Debug)]
struct Finding {
    offset: usize,
    path: String,
    message: String,
}

impl Findings {
    /// Adds one. `offset` counts bytes of the text.
    pub(super) fn push(&mut self, offset: usize, path: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.found.push(Finding { offset, path: path.into(), message: message.into() });
        } else {
            self.left_out += 1;
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether one of them is about this key, or an item of it.
    pub(super) fn concern(&self, path: &str) -> bool {
        let is_about = |found: &Finding| {
            found.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        self.found.iter().any(is_about)
    }

    /// Whether further ones are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= KEPT
    }

    /// In the order of the text.
    pub(super) fn into_problems(mut self, text: &str, file: &str) -> Vec<Problem> {
        self.found.sort_by_key(|finding| finding.offset);
        let mut problems = Vec::with_capacity(self.found.len() + 1);
        for Finding { offset, path, message } in self.found {
            let (line, column) = place(text, offset);
            problems.push(Problem { file: file.into(), line, column, path, message });
        }
        if self.left_out > 0 {
            let message = format!("and {} more", self.left_out);
            problems.push(Problem { file: file.into(), line: 0, column: 0, path: String::new(), message });
        }
        problems
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    // Continuation bytes of UTF-8 are 10xxxxxx.
    let column = before[line_start..].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
    (line, column)
}

/// A text of the file as it may stand in a message: escaped, and cut if long.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 64;
    let mut out: String = text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "ab\nü\u{20ac}x\r\ny";
        for (offset, expected) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (8, (2, 3)), (11, (3, 1))] {
            assert_eq!(place(text, offset), expected, "{offset}");
        }
        assert_eq!(place(text, 99), (3, 2));
    }

    #[test]
    fn problems_come_in_the_order_of_the_text_and_are_bounded() {
        let mut findings = Findings::default();
        for offset in (0..KEPT + 5).rev() {
            findings.push(offset, "K", "wrong");
        }
        let problems = findings.into_problems(&"x".repeat(2 * KEPT), "f");
        assert_eq!(problems.len(), KEPT + 1);
        assert!(problems[..KEPT].is_sorted_by_key(|problem| problem.column));
        assert_eq!(problems[KEPT].to_string(), "f: and 5 more");
    }

    #[test]
    fn shown_text_is_escaped_and_cut() {
        assert_eq!(shown("a\n\"b"), "a\\n\\\"b");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
