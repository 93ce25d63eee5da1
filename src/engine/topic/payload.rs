//! An event's payload, parsed when the first filter looks into it and at most once.

use serde_json::Value;

/// A payload on its way through the filters.
#[derive(Debug)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    parsed: Parsed,
}

#[derive(Debug)]
enum Parsed {
    NotYet,
    NoJson,
    Json(Value),
}

impl<'a> Payload<'a> {
    /// The event's `data`, as it was sent.
    pub fn new(bytes: &'a [u8]) -> Payload<'a> {
        Payload { bytes, parsed: Parsed::NotYet }
    }

    /// Its JSON; `None` if it is none.
    pub fn value(&mut self) -> Option<&Value> {
        if matches!(self.parsed, Parsed::NotYet) {
            self.parsed = serde_json::from_slice(self.bytes).map_or(Parsed::NoJson, Parsed::Json);
        }
        match &self.parsed {
            Parsed::Json(value) => Some(value),
            Parsed::NotYet | Parsed::NoJson => None,
        }
    }

    /// As it was sent.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether a filter had it parsed.
    pub fn is_parsed(&self) -> bool {
        !matches!(self.parsed, Parsed::NotYet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_parsed_on_demand_only() {
        let mut payload = Payload::new(b"{\"a\":1}");
        assert!(!payload.is_parsed());
        assert_eq!(payload.value(), Some(&serde_json::json!({"a": 1})));
        assert!(payload.is_parsed());
        let mut bad = Payload::new(b"{");
        assert_eq!(bad.value(), None);
        assert!(bad.is_parsed());
    }
}
