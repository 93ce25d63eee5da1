//! What was agreed with one client.

use std::fmt;

use super::form::Form;

/// Which messages are compressed: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Responses and the server's own notices.
    pub const RESPONSES: Kinds = Kinds(1);
    /// Events of subscriptions with priority `normal`.
    pub const EVENTS: Kinds = Kinds(2);
    /// Events of subscriptions with priority `bulk`.
    pub const BULK: Kinds = Kinds(4);
    /// All of them.
    pub const ALL: Kinds = Kinds(7);

    /// These and those.
    #[must_use]
    pub fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether all of those are among these.
    pub fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What was agreed with one client, and which of its messages are compressed.
///
/// It displays itself as the answer's `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The form in which compressed messages go to it.
    pub form: Form,
    /// The window that the answer names.
    pub(super) server_window_bits: Option<u8>,
    /// How much of what it said is kept, in bits of a window; `None` if it compresses each message
    /// by itself.
    pub kept_bits: Option<u8>,
    /// Whether the answer names what is kept.
    pub(super) names_client_window: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 7692 7.1.1.1: the server promises to begin each message with an empty history, asked or not.
        write!(f, "{}; server_no_context_takeover", super::NAME)?;
        if self.kept_bits.is_none() {
            // RFC 7692 7.1.1.2: an answer may ask this of any client.
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.kept_bits.filter(|_| self.names_client_window) {
            write!(f, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}
