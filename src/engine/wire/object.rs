//! Views over JSON text that was already checked: nothing is copied, nothing is built.
//!
//! Only strings with escapes allocate. Text that was never checked is no danger, only nonsense:
//! a view then ends early or finds nothing.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::json::escape::unescape_into;
use super::json::plain::plain_len;

/// The text of one JSON value. Two are equal when they are written alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl<'a> Raw<'a> {
    /// A view of a text that a [`Scanner`](super::Scanner) passed. An empty one reads as `null`.
    pub fn trusted(text: &'a str) -> Raw<'a> {
        Raw(text.trim_matches(is_space))
    }

    /// A view of a text without space around it.
    pub(super) fn exact(text: &'a str) -> Raw<'a> {
        Raw(text)
    }

    /// The value exactly as it was sent.
    pub fn as_raw(self) -> &'a str {
        self.0
    }

    /// What kind of value it is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// A string's content; borrowed unless it has escapes.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        self.inside().map(unescape)
    }

    /// Whether it is this string.
    pub fn is_str(self, text: &str) -> bool {
        self.inside().is_some_and(|inside| stands_for(inside, text))
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A number written as an integer, from 0 to 2^64 - 1.
    pub fn as_u64(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// A number written as an integer, of 64 bits with sign.
    pub fn as_i64(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Any number that a double can come near to: 1e999 is none.
    pub fn as_f64(self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.0.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// An object's members in the order they were sent; none if it is no object.
    pub fn members(self) -> Members<'a> {
        Members { rest: self.0.strip_prefix('{').map_or("", skip_space) }
    }

    /// An array's elements; none if it is no array.
    pub fn elements(self) -> Elements<'a> {
        Elements { rest: self.0.strip_prefix('[').map_or("", skip_space) }
    }

    /// The member with this key.
    pub fn member(self, key: &str) -> Option<Raw<'a>> {
        let mut members = self.members();
        while let Some((inside, value)) = members.next_raw() {
            if stands_for(inside, key) {
                return Some(value);
            }
        }
        None
    }

    /// The value at a dotted path, such as `a.b.c`. A number stands for an array's element, from
    /// 0. Keys with a dot in them cannot be named.
    pub fn path(self, dotted: &str) -> Option<Raw<'a>> {
        dotted.split('.').try_fold(self, |value, token| match value.kind() {
            Kind::Object => value.member(token),
            Kind::Array => value.elements().nth(index(token)?),
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => None,
        })
    }

    fn inside(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }
}

/// An object's members: key and value.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    /// From a key on, or from the closing brace on.
    rest: &'a str,
}

impl<'a> Members<'a> {
    /// The next member, with the inside of its key's string.
    fn next_raw(&mut self) -> Option<(&'a str, Raw<'a>)> {
        let (key, rest) = split_value(self.rest)?;
        let (value, rest) = split_value(skip_space(skip_space(rest).strip_prefix(':')?))?;
        self.rest = after_comma(rest);
        Some((Raw(key).inside()?, Raw(value)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_raw().map(|(inside, value)| (unescape(inside), value))
    }
}

/// An array's elements.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    /// From an element on, or from the closing bracket on.
    rest: &'a str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let (value, rest) = split_value(self.rest)?;
        self.rest = after_comma(rest);
        Some(Raw(value))
    }
}

fn unescape(inside: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    unescape_into(inside, &mut text);
    Cow::Owned(text)
}

fn stands_for(inside: &str, text: &str) -> bool {
    match inside.len().cmp(&text.len()) {
        // An escape is longer than what it stands for, so nothing shorter fits, and what is as long
        // fits only without one: `\\` is written like two backslashes and means one.
        Ordering::Less => false,
        Ordering::Equal => inside == text && memchr::memchr(b'\\', inside.as_bytes()).is_none(),
        Ordering::Greater => unescape(inside) == text,
    }
}

/// RFC 6901 section 4: an index has no leading zero.
fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    token.parse().ok().filter(|_| canonical)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

fn after_comma(rest: &str) -> &str {
    skip_space(rest).strip_prefix(',').map_or("", skip_space)
}

/// The value at the start of a text, and what comes after it; none before a closing bracket and at
/// the end.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let len = match bytes.first()? {
        b'"' => string_len(bytes),
        b'{' | b'[' => container_len(bytes),
        _ => {
            let is_end = |byte: &u8| matches!(byte, b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
            bytes.iter().position(is_end).unwrap_or(bytes.len())
        }
    };
    if len == 0 { None } else { Some(text.split_at(len)) }
}

/// Bytes of the string at the start, with its quotes.
fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        at += plain_len(&bytes[at..]);
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            // What a backslash escapes is ASCII in checked text; in other text the end may fall
            // inside a character, so the whole text is taken.
            Some(b'\\') if bytes.get(at + 1).is_some_and(u8::is_ascii) => at += 2,
            Some(b'\\') | None => return bytes.len(),
            Some(_) => at += 1,
        }
    }
}

/// Bytes of the object or array at the start, with its brackets.
fn container_len(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_len(&bytes[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}
