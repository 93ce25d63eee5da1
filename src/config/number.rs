//! Keys whose values are booleans, numbers and durations.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jsonc_parser::ast::Value;

use super::env::is_one_variable;
use super::problem::shown;
use super::reader::{Found, Reader};

/// The default of a number: fixed, or found from something else and described.
pub(super) struct Fallback {
    value: u64,
    described: Option<&'static str>,
}

impl From<u64> for Fallback {
    fn from(value: u64) -> Fallback {
        Fallback { value, described: None }
    }
}

impl From<(u64, &'static str)> for Fallback {
    fn from((value, described): (u64, &'static str)) -> Fallback {
        Fallback { value, described: Some(described) }
    }
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Things,
    Bytes,
    Seconds,
    Milliseconds,
}

impl<'a> Reader<'_, 'a> {
    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str, default: bool, doc: &'static str) -> bool {
        self.declare(name, "`true` or `false`".into(), format!("`{default}`"), doc);
        self.find(name).and_then(|found| self.flag_of(&found)).unwrap_or(default)
    }

    /// A flag that only older configurations have.
    pub(super) fn older_flag(&mut self, name: &'static str) -> Option<bool> {
        let found = self.find(name)?;
        self.flag_of(&found)
    }

    fn flag_of(&mut self, found: &Found<'a>) -> Option<bool> {
        match found.value {
            Value::BooleanLit(it) => Some(it.value),
            Value::StringLit(it) if is_one_variable(&it.value) => {
                let text = self.expanded(found, &it.value)?;
                match text.trim() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => {
                        self.wrong(found, format!("expected true or false in {}", it.value));
                        None
                    }
                }
            }
            _ => {
                self.wrong_type(found, "true or false");
                None
            }
        }
    }

    /// A number of things.
    pub(super) fn count(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: impl Into<Fallback>,
        doc: &'static str,
    ) -> usize {
        to_usize(self.number(name, range, default.into(), Unit::Things, doc))
    }

    /// A number of bytes.
    pub(super) fn bytes(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: impl Into<Fallback>,
        doc: &'static str,
    ) -> usize {
        to_usize(self.number(name, range, default.into(), Unit::Bytes, doc))
    }

    /// A number of bytes on disk, which may be more than memory can have.
    pub(super) fn bytes_on_disk(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: impl Into<Fallback>,
        doc: &'static str,
    ) -> u64 {
        self.number(name, range, default.into(), Unit::Bytes, doc)
    }

    /// A number of bytes on disk, if it is given; `otherwise` says what holds if not.
    pub(super) fn given_bytes_on_disk(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        otherwise: &'static str,
        doc: &'static str,
    ) -> Option<u64> {
        self.given_number(name, range, otherwise, Unit::Bytes, doc)
    }

    /// A number of things, if it is given; `otherwise` says what holds if not.
    pub(super) fn given_count(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        otherwise: &'static str,
        doc: &'static str,
    ) -> Option<u64> {
        self.given_number(name, range, otherwise, Unit::Things, doc)
    }

    /// A duration in whole seconds, if it is given; `otherwise` says what holds if not.
    pub(super) fn given_seconds(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        otherwise: &'static str,
        doc: &'static str,
    ) -> Option<Duration> {
        self.given_number(name, range, otherwise, Unit::Seconds, doc).map(Duration::from_secs)
    }

    /// A duration in milliseconds. The key's name ends in `Ms`.
    pub(super) fn millis(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: impl Into<Fallback>,
        doc: &'static str,
    ) -> Duration {
        Duration::from_millis(self.number(name, range, default.into(), Unit::Milliseconds, doc))
    }

    /// A duration in whole seconds.
    pub(super) fn seconds(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
        doc: &'static str,
    ) -> Duration {
        Duration::from_secs(self.number(name, range, default.into(), Unit::Seconds, doc))
    }

    /// A duration in whole seconds, of which 0 means never.
    pub(super) fn seconds_or_off(
        &mut self,
        name: &'static str,
        max: u64,
        default: u64,
        doc: &'static str,
    ) -> Option<Duration> {
        Some(self.seconds(name, 0..=max, default, doc)).filter(|duration| !duration.is_zero())
    }

    /// A number of things, of which 0 means no bound.
    pub(super) fn count_or_off(
        &mut self,
        name: &'static str,
        max: u32,
        default: u32,
        doc: &'static str,
    ) -> Option<u32> {
        let number = self.number(name, 0..=max.into(), u64::from(default).into(), Unit::Things, doc);
        u32::try_from(number).ok().filter(|number| *number > 0)
    }

    fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: Fallback,
        unit: Unit,
        doc: &'static str,
    ) -> u64 {
        let text = match default.described {
            Some(text) => text.to_owned(),
            None => format!("`{}`{}", default.value, Amount(default.value, unit)),
        };
        self.declare(name, allowed(&range, unit), text, doc);
        self.find(name).and_then(|found| self.number_of(&found, &range, unit)).unwrap_or(default.value)
    }

    fn given_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        otherwise: &'static str,
        unit: Unit,
        doc: &'static str,
    ) -> Option<u64> {
        self.declare(name, allowed(&range, unit), otherwise.into(), doc);
        let found = self.find(name)?;
        self.number_of(&found, &range, unit)
    }

    fn number_of(&mut self, found: &Found<'a>, range: &RangeInclusive<u64>, unit: Unit) -> Option<u64> {
        let number = self.whole(found)?;
        let fitting = u64::try_from(number).ok().filter(|number| range.contains(number));
        if fitting.is_none() {
            let (shown, low, high, unit) = (written(found.value), range.start(), range.end(), suffix(unit));
            self.wrong(found, format!("{shown} is out of range: {low} to {high}{unit}"));
        }
        fitting
    }

    /// A whole number of any size; one past the type's range is its end.
    fn whole(&mut self, found: &Found<'a>) -> Option<i128> {
        match found.value {
            Value::NumberLit(it) => {
                let number = parse_whole(it.value);
                if number.is_none() {
                    self.wrong(found, format!("expected a whole number, found {}", shown(it.value)));
                }
                number
            }
            Value::StringLit(it) if is_one_variable(&it.value) => {
                let text = self.expanded(found, &it.value)?;
                let number = parse_whole(text.trim());
                if number.is_none() {
                    self.wrong(found, format!("expected a whole number in {}", it.value));
                }
                number
            }
            _ => {
                self.wrong_type(found, "a whole number");
                None
            }
        }
    }
}

/// Digits with an optional minus; more digits than the type has give its end.
fn parse_whole(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if digits.len() < text.len() { i128::MIN } else { i128::MAX }))
}

/// A number as written; one from the environment is named, not shown.
fn written(value: &Value<'_>) -> String {
    match value {
        Value::NumberLit(it) => shown(it.value),
        Value::StringLit(it) => format!("the value of {}", shown(&it.value)),
        Value::BooleanLit(_) | Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => "the value".into(),
    }
}

/// `1 to 65536 bytes (64 KiB)`
fn allowed(range: &RangeInclusive<u64>, unit: Unit) -> String {
    let (low, high) = (range.start(), *range.end());
    format!("{low} to {high}{}{}", suffix(unit), Amount(high, unit))
}

fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::Things => "",
        Unit::Bytes => " bytes",
        Unit::Seconds => " s",
        Unit::Milliseconds => " ms",
    }
}

/// ` (64 KiB)` after a number of bytes that is a round one.
struct Amount(u64, Unit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 != Unit::Bytes {
            return Ok(());
        }
        for (shift, name) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >> shift > 0 && self.0.trailing_zeros() >= shift {
                return write!(f, " ({} {name})", self.0 >> shift);
            }
        }
        Ok(())
    }
}

/// Ranges fit every platform's `usize` where that much memory can be addressed at all.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
