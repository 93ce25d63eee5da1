//! How far a consumer has come, as it is kept in the store.

use serde::{Deserialize, Serialize};

use crate::engine::store::Seq;

/// How far a consumer has come: everything up to `at` was taken, and is done unless it is listed.
///
/// What is done is the complement, so that its size is bounded by the window, however long one
/// event stays unacked. Compact as JSON: `{"at":71,"open":[[64,130,2,1]]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    at: u64,
    /// Number, weight, deliveries and timeouts of each event that is not done, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<(u64, usize, u32, u32)>,
}

impl Cursor {
    pub(super) fn new(at: Seq) -> Cursor {
        Cursor { at: at.0, open: Vec::new() }
    }

    pub(super) fn push(&mut self, seq: Seq, weight: usize, deliveries: u32, timeouts: u32) {
        self.open.push((seq.0, weight, deliveries, timeouts));
    }

    /// Everything up to this number was taken.
    pub fn at(&self) -> Seq {
        Seq(self.at)
    }

    /// Everything up to this number is done.
    pub fn floor(&self) -> Seq {
        let first = self.open.first().map_or(u64::MAX, |open| open.0.saturating_sub(1));
        Seq(self.at.min(first))
    }

    /// Number, weight, deliveries and timeouts of what is not done, in order.
    pub(super) fn open(&self) -> impl Iterator<Item = (Seq, usize, u32, u32)> + '_ {
        self.open.iter().map(|&(seq, weight, deliveries, timeouts)| (Seq(seq), weight, deliveries, timeouts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compact_json_and_comes_back() {
        let mut cursor = Cursor::new(Seq(71));
        assert_eq!(serde_json::to_string(&cursor).unwrap(), r#"{"at":71}"#);
        assert_eq!(cursor.floor(), Seq(71));
        cursor.push(Seq(64), 130, 2, 1);
        let text = serde_json::to_string(&cursor).unwrap();
        assert_eq!(text, r#"{"at":71,"open":[[64,130,2,1]]}"#);
        assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
        assert_eq!(cursor.floor(), Seq(63));
    }
}
