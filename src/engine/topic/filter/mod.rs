//! Filters of subscriptions: conditions on the payload, all of which must hold.
//!
//! A filter is an object of dotted paths into `data`. Each path has a value, which stands for
//! equality, or an object of the operators `eq ne lt le gt ge in prefix exists`. Equality with an
//! object is written with `eq`. A token of a path names an object's key, or an array's place as a
//! decimal number; keys that hold a dot cannot be reached.
//!
//! The rules of comparison:
//! - Numbers compare by their value, integers and fractions exactly: `1` equals `1.0`.
//! - Strings compare by code points. Arrays and objects are only equal or not.
//! - Values of different types are never equal and in no order: of all operators only `ne` holds.
//! - Where the path leads to nothing, `exists:false` and `ne` hold and nothing else does. `null` is
//!   something.
//! - A payload that is no JSON passes no filter.
//!
//! Two filters that say the same in another order or another spelling of a number are equal, so
//! that they are evaluated once. Lifecycle: [`Filter::parse`] at subscribe, then immutable.

mod compare;
mod parse;
mod pool;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde_json::Value;

pub use parse::FilterError;
pub(super) use pool::{FilterId, FilterPool};

use super::payload::Payload;

/// A filter that was checked.
#[derive(Debug)]
pub struct Filter {
    conditions: Box<[Condition]>,
    canonical: Box<str>,
}

#[derive(Debug)]
struct Condition {
    path: Box<[Box<str>]>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Eq(Value),
    Ne(Value),
    Order(Relation, Value),
    In(Box<[Value]>),
    Prefix(Box<str>),
    Exists(bool),
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Lt,
    Le,
    Gt,
    Ge,
}

impl Filter {
    /// Checks a filter. `None` if it has no condition, so that everything passes.
    pub fn parse(filter: &Value) -> Result<Option<Filter>, FilterError> {
        parse::parse(filter)
    }

    /// Whether every condition holds.
    pub fn passes(&self, payload: &mut Payload<'_>) -> bool {
        payload.value().is_some_and(|data| self.passes_value(data))
    }

    /// The same, for a payload that is parsed already.
    pub fn passes_value(&self, data: &Value) -> bool {
        self.conditions.iter().all(|condition| condition.test.holds(find(data, &condition.path)))
    }

    /// The filter as JSON, which [`Filter::parse`] reads.
    pub fn to_value(&self) -> Value {
        let mut paths = serde_json::Map::new();
        for Condition { path, test } in &self.conditions {
            let operators = paths.entry(path.join(".")).or_insert_with(|| Value::Object(Default::default()));
            if let (Value::Object(operators), (operator, operand)) = (operators, test.operator()) {
                operators.insert(operator.to_owned(), operand);
            }
        }
        Value::Object(paths)
    }

    /// One text for all filters that say the same.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Filter {}

impl Ord for Filter {
    fn cmp(&self, other: &Filter) -> Ordering {
        self.canonical.cmp(&other.canonical)
    }
}

impl PartialOrd for Filter {
    fn partial_cmp(&self, other: &Filter) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

fn find<'a>(data: &'a Value, path: &[Box<str>]) -> Option<&'a Value> {
    path.iter().try_fold(data, |at, token| match at {
        Value::Object(fields) => fields.get(&**token),
        Value::Array(items) => items.get(place(token)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// An array's place has one spelling: digits without leading zeros.
fn place(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (token == "0" || !token.starts_with('0')) { token.parse().ok() } else { None }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        let Some(found) = found else {
            return match self {
                Test::Exists(wanted) => !wanted,
                Test::Ne(_) => true,
                Test::Eq(_) | Test::Order(..) | Test::In(_) | Test::Prefix(_) => false,
            };
        };
        match self {
            Test::Eq(value) => compare::equal(found, value),
            Test::Ne(value) => !compare::equal(found, value),
            Test::Order(relation, value) => compare::order(found, value).is_some_and(|order| relation.allows(order)),
            Test::In(values) => values.iter().any(|value| compare::equal(found, value)),
            Test::Prefix(prefix) => found.as_str().is_some_and(|text| text.starts_with(&**prefix)),
            Test::Exists(wanted) => *wanted,
        }
    }
}

impl Test {
    /// The operator and its operand, as they are written.
    fn operator(&self) -> (&'static str, Value) {
        match self {
            Test::Eq(value) => ("eq", value.clone()),
            Test::Ne(value) => ("ne", value.clone()),
            Test::Order(relation, value) => (relation.as_str(), value.clone()),
            Test::In(values) => ("in", Value::Array(values.to_vec())),
            Test::Prefix(prefix) => ("prefix", Value::String(prefix.to_string())),
            Test::Exists(wanted) => ("exists", Value::Bool(*wanted)),
        }
    }
}

impl Relation {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Relation::Lt => order.is_lt(),
            Relation::Le => order.is_le(),
            Relation::Gt => order.is_gt(),
            Relation::Ge => order.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests;
