//! From JSON to a checked filter in its canonical form.

use std::fmt;

use serde_json::Value;

use super::{Condition, Filter, Relation, Test, compare};
use crate::base::limits::{FILTER_BYTES, FILTER_CONDITIONS, FILTER_PATH_TOKENS, FILTER_VALUES};

/// Why a value is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// No object.
    NotAnObject,
    /// More than [`FILTER_CONDITIONS`] conditions.
    TooManyConditions,
    /// Over [`FILTER_BYTES`] in all.
    TooLarge,
    /// Nothing, or nothing between two dots.
    EmptyToken {
        /// As it was sent, shortened.
        path: String,
    },
    /// More than [`FILTER_PATH_TOKENS`] tokens.
    TooDeep {
        /// As it was sent, shortened.
        path: String,
    },
    /// An object without an operator.
    NoOperator {
        /// As it was sent, shortened.
        path: String,
    },
    /// A name that is no operator.
    UnknownOperator {
        /// As it was sent, shortened.
        path: String,
        /// As it was sent, shortened.
        operator: String,
    },
    /// An operand that the operator does not take.
    BadOperand {
        /// As it was sent, shortened.
        path: String,
        /// The operator.
        operator: &'static str,
        /// What it takes.
        takes: &'static str,
    },
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::NotAnObject => f.write_str("a filter is an object of paths"),
            FilterError::TooManyConditions => write!(f, "a filter has at most {FILTER_CONDITIONS} conditions"),
            FilterError::TooLarge => write!(f, "a filter has at most {FILTER_BYTES} bytes"),
            FilterError::EmptyToken { path } => write!(f, "filter path `{path}`: a token is empty"),
            FilterError::TooDeep { path } => {
                write!(f, "filter path `{path}`: more than {FILTER_PATH_TOKENS} tokens")
            }
            FilterError::NoOperator { path } => write!(f, "filter path `{path}`: an object without an operator"),
            FilterError::UnknownOperator { path, operator } => {
                write!(f, "filter path `{path}`: `{operator}` is none of eq ne lt le gt ge in prefix exists")
            }
            FilterError::BadOperand { path, operator, takes } => {
                write!(f, "filter path `{path}`: `{operator}` takes {takes}")
            }
        }
    }
}

impl std::error::Error for FilterError {}

pub(super) fn parse(filter: &Value) -> Result<Option<Filter>, FilterError> {
    let Value::Object(paths) = filter else { return Err(FilterError::NotAnObject) };
    let mut conditions = Vec::new();
    let mut budget = FILTER_BYTES;
    for (path, wanted) in paths {
        let tokens = parse_path(path)?;
        match wanted {
            Value::Object(operators) => {
                if operators.is_empty() {
                    return Err(FilterError::NoOperator { path: short(path) });
                }
                for (operator, operand) in operators {
                    push(&mut conditions, path, &tokens, parse_test(path, operator, operand)?, &mut budget)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                push(&mut conditions, path, &tokens, Test::Eq(wanted.clone()), &mut budget)?;
            }
        }
    }
    if conditions.is_empty() {
        return Ok(None);
    }
    conditions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let texts: Vec<&str> = conditions.iter().map(|(text, _)| text.as_str()).collect();
    let canonical = texts.join("\n").into();
    Ok(Some(Filter { conditions: conditions.into_iter().map(|(_, condition)| condition).collect(), canonical }))
}

fn push(
    conditions: &mut Vec<(String, Condition)>,
    path: &str,
    tokens: &[Box<str>],
    test: Test,
    budget: &mut usize,
) -> Result<(), FilterError> {
    if conditions.len() == FILTER_CONDITIONS {
        return Err(FilterError::TooManyConditions);
    }
    let text = write_condition(path, &test);
    *budget = budget.checked_sub(text.len()).ok_or(FilterError::TooLarge)?;
    conditions.push((text, Condition { path: tokens.into(), test }));
    Ok(())
}

fn parse_path(path: &str) -> Result<Vec<Box<str>>, FilterError> {
    if path.split('.').any(str::is_empty) {
        return Err(FilterError::EmptyToken { path: short(path) });
    }
    let tokens: Vec<Box<str>> = path.split('.').take(FILTER_PATH_TOKENS + 1).map(Box::from).collect();
    if tokens.len() > FILTER_PATH_TOKENS { Err(FilterError::TooDeep { path: short(path) }) } else { Ok(tokens) }
}

fn parse_test(path: &str, operator: &str, operand: &Value) -> Result<Test, FilterError> {
    let bad = |operator, takes| FilterError::BadOperand { path: short(path), operator, takes };
    let order = |relation: Relation| match operand {
        Value::Number(_) | Value::String(_) => Ok(Test::Order(relation, operand.clone())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(bad(relation.as_str(), "a number or a string"))
        }
    };
    match operator {
        "eq" => Ok(Test::Eq(operand.clone())),
        "ne" => Ok(Test::Ne(operand.clone())),
        "lt" => order(Relation::Lt),
        "le" => order(Relation::Le),
        "gt" => order(Relation::Gt),
        "ge" => order(Relation::Ge),
        "in" => match operand {
            Value::Array(values) if values.len() <= FILTER_VALUES => Ok(Test::In(values.as_slice().into())),
            _ => Err(bad("in", "an array of at most 256 values")),
        },
        "prefix" => operand.as_str().map(|text| Test::Prefix(text.into())).ok_or_else(|| bad("prefix", "a string")),
        "exists" => operand.as_bool().map(Test::Exists).ok_or_else(|| bad("exists", "true or false")),
        _ => Err(FilterError::UnknownOperator { path: short(path), operator: short(operator) }),
    }
}

/// What an error says of a text that a client sent.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// `"path" operator operand`, the same for all conditions that say the same.
fn write_condition(path: &str, test: &Test) -> String {
    let mut out = String::new();
    compare::write_string(path, &mut out);
    out.push(' ');
    out.push_str(test.as_str());
    out.push(' ');
    match test {
        Test::Eq(value) | Test::Ne(value) | Test::Order(_, value) => compare::write_canonical(value, &mut out),
        Test::Prefix(prefix) => compare::write_string(prefix, &mut out),
        Test::Exists(wanted) => out.push_str(if *wanted { "true" } else { "false" }),
        Test::In(values) => {
            let mut texts: Vec<String> = values.iter().map(canonical).collect();
            texts.sort_unstable();
            texts.dedup();
            out.push('[');
            out.push_str(&texts.join(","));
            out.push(']');
        }
    }
    out
}

fn canonical(value: &Value) -> String {
    let mut out = String::new();
    compare::write_canonical(value, &mut out);
    out
}

impl Test {
    fn as_str(&self) -> &'static str {
        match self {
            Test::Eq(_) => "eq",
            Test::Ne(_) => "ne",
            Test::Order(relation, _) => relation.as_str(),
            Test::In(_) => "in",
            Test::Prefix(_) => "prefix",
            Test::Exists(_) => "exists",
        }
    }
}

impl Relation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Relation::Lt => "lt",
            Relation::Le => "le",
            Relation::Gt => "gt",
            Relation::Ge => "ge",
        }
    }
}
