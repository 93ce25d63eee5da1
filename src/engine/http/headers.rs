//! The header fields of one head: an owned list with look-up by name, and the small grammar that
//! all fields share (tokens, comma lists).
//!
//! Names and values are as they came; the parser has checked them before they get here.

use std::ops::Range;

/// A head's fields, in the order they came. One copy of the head's text, and two ranges per field.
#[derive(Clone, Default)]
pub struct Headers {
    text: Box<[u8]>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// A field that may stand only once stood more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl Headers {
    /// Keeps fields that were parsed out of `text`; each is a name and a value inside it.
    pub(super) fn new(text: &[u8], fields: &[httparse::Header<'_>]) -> Headers {
        let range = |part: &[u8]| {
            let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            start..start + part.len()
        };
        let fields = fields.iter().map(|field| (range(field.name.as_bytes()), range(field.value))).collect();
        Headers { text: text.into(), fields }
    }

    /// How many fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (self.part(name), self.part(value)))
    }

    /// The values of every line of this name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The first value of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The only value of this name.
    pub fn once(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// The elements of a comma list over all lines of this name.
    // RFC 9110 5.6.1.2: empty elements are parsed and ignored.
    pub fn elements<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(|value| value.split(|b| *b == b',')).map(trim).filter(|element| !element.is_empty())
    }

    /// Whether a comma list names this token, in any case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// A `tchar` of RFC 9110 5.6.2.
pub(super) fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A `token` of RFC 9110 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_tchar(*b))
}

/// A byte that may stand in a field's value: visible ASCII, space, tab, obs-text.
pub(super) fn is_value_byte(b: u8) -> bool {
    matches!(b, b'\t' | b' '..=b'~' | 0x80..)
}

/// Without optional white space (spaces and tabs, nothing else) at both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &[u8]) -> Headers {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let httparse::Status::Complete((_, fields)) = httparse::parse_headers(text, &mut fields).unwrap() else {
            panic!("incomplete")
        };
        Headers::new(text, fields)
    }

    #[test]
    fn names_are_found_in_any_case_and_lists_span_lines() {
        let headers = headers(b"Connection: keep-alive,, Upgrade \r\nX: 1\r\nconnection:\tFoo\r\nEmpty:\r\n\r\n");
        assert_eq!(headers.len(), 4);
        assert!(!headers.is_empty());
        assert_eq!(headers.first("CONNECTION"), Some(&b"keep-alive,, Upgrade"[..]));
        assert_eq!(headers.text("x"), Some("1"));
        assert_eq!(headers.first("empty"), Some(&b""[..]));
        assert_eq!(headers.first("y"), None);
        let elements: Vec<_> = headers.elements("connection").collect();
        assert_eq!(elements, [&b"keep-alive"[..], b"Upgrade", b"Foo"]);
        assert!(headers.lists("Connection", "upgrade") && headers.lists("Connection", "foo"));
        assert!(!headers.lists("Connection", "up"));
        assert_eq!(headers.once("x"), Ok(Some(&b"1"[..])));
        assert_eq!(headers.once("y"), Ok(None));
        assert_eq!(headers.once("connection"), Err(Repeated));
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \x0bchunked"), b"\x0bchunked");
        assert_eq!(trim(b" \t "), b"");
    }
}
