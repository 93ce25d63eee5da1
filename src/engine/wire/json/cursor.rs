//! A place in a text, and the tokens that can be read there (RFC 8259 sections 2, 3, 6 and 7).

use super::escape::{EscapeFault, read_escape};
use super::fault::{FaultKind, JsonFault};
use super::plain::plain_len;

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { bytes: text.as_bytes(), at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn fault(&self, what: &'static str) -> JsonFault {
        // A text that stops short is told as such, whatever was looked for.
        let what = if self.at < self.bytes.len() { what } else { "the text ends too early" };
        JsonFault { kind: FaultKind::Syntax(what), at: self.at }
    }

    /// Passes white space, and then `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    // RFC 8259 section 2: white space is these four, and no other.
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes a string, from its opening quote; says whether it has escapes.
    pub(super) fn string(&mut self) -> Result<bool, JsonFault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_len(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                // RFC 8259 section 7: control characters must be escaped.
                Some(_) | None => return Err(self.fault("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        match read_escape(&self.bytes[self.at + 1..]) {
            Ok((_, len)) => {
                self.at += 1 + len;
                Ok(())
            }
            Err(EscapeFault::LoneSurrogate) => Err(JsonFault { kind: FaultKind::LoneSurrogate, at: self.at }),
            Err(EscapeFault::Unknown) => Err(self.fault("an escape that JSON does not have")),
        }
    }

    /// Passes a number, from its sign or first digit.
    pub(super) fn number(&mut self) -> Result<(), JsonFault> {
        self.at += usize::from(self.peek() == Some(b'-'));
        // RFC 8259 section 6: no leading zeros. A digit after a leading zero is found by what
        // follows the value.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a number without the digit that belongs here")) } else { Ok(()) }
    }

    /// Passes `true`, `false` or `null`.
    pub(super) fn literal(&mut self, literal: &'static [u8]) -> Result<(), JsonFault> {
        if !self.bytes[self.at..].starts_with(literal) {
            return Err(self.fault("a word that JSON does not have"));
        }
        self.at += literal.len();
        Ok(())
    }
}
