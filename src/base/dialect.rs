//! The dialects by name: what a connection speaks once it is a WebSocket.

/// What a connection speaks once it is a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DialectId {
    /// Commands, events, responses and acks.
    Hydrogen,
    /// Everything comes back: for conformance suites, and for operators who test a proxy.
    Echo,
    /// Rooms in which WebRTC peers find each other.
    Signaling,
}

impl DialectId {
    /// All of them, in order.
    pub const ALL: &'static [DialectId] = &[DialectId::Hydrogen, DialectId::Echo, DialectId::Signaling];

    /// The name in metrics and in `system.info`.
    pub fn as_str(self) -> &'static str {
        super::metric::DIALECTS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_labels_are_the_dialects_in_order() {
        let names: Vec<&str> = DialectId::ALL.iter().map(|dialect| dialect.as_str()).collect();
        assert_eq!(names, super::super::metric::DIALECTS);
    }
}
