//! Shares as text, as the older status object has them.

/// A share in percent, with one digit after the point, as text.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    format!("{:.1}", share * 100.0)
}
