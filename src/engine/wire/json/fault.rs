//! Why a text is refused before anything is read from it.

use std::fmt;

use crate::base::{Code, Error};

/// A text that is no JSON object, and where that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonFault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The byte where it shows, from 0.
    pub at: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Against the grammar of RFC 8259; says what stands or is missing there.
    Syntax(&'static str),
    /// An object has a key twice.
    DuplicateKey,
    /// An escape names half of a surrogate pair, so the string is no Unicode text.
    LoneSurrogate,
    /// Nested deeper than the limit.
    TooDeep,
    /// JSON perhaps, but no object.
    NotObject,
    /// 4 GiB or more: its places do not fit the scanner's notes.
    TooLong,
}

impl FaultKind {
    /// The protocol's code for it.
    pub fn code(self) -> Code {
        match self {
            FaultKind::Syntax(_) | FaultKind::DuplicateKey | FaultKind::LoneSurrogate | FaultKind::NotObject => {
                Code::BadJson
            }
            FaultKind::TooDeep => Code::TooDeep,
            FaultKind::TooLong => Code::TooLarge,
        }
    }

    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Syntax(what) => what,
            FaultKind::DuplicateKey => "an object has this key twice",
            FaultKind::LoneSurrogate => "an escape names half of a surrogate pair",
            FaultKind::TooDeep => "nested deeper than the limit",
            FaultKind::NotObject => "not a JSON object",
            FaultKind::TooLong => "longer than a message can be",
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.kind.as_str(), self.at)
    }
}

impl std::error::Error for JsonFault {}

/// The error that a client sees; its details hold the byte.
impl From<JsonFault> for Error {
    fn from(fault: JsonFault) -> Error {
        Error::new(fault.kind.code(), fault.to_string()).details(format!("{{\"byte\":{}}}", fault.at))
    }
}
