//! JSON with comments and trailing commas, as a tree with places. No other looseness: what this
//! takes, every tool that reads commented JSON takes too.

use std::collections::BTreeMap;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, ParseOptions, Scanner, ScannerOptions, parse_to_ast};

use super::problem::{Findings, place, shown};

/// Objects and lists inside each other. The keys need four.
const DEPTH: usize = 32;

const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Why a text is no object in JSON, and at which byte.
pub(super) type SyntaxError = (usize, String);

/// Parses the text, which must be one object.
pub(super) fn parse(text: &str) -> Result<Object<'_>, SyntaxError> {
    check_tokens(text)?;
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).map_err(|error| explain(&error))?;
    match parsed.value {
        Some(Value::Object(object)) => Ok(object),
        Some(other) => Err((start(&other), format!("expected an object in braces, found {}", kind(&other)))),
        None => Err((0, "the file is empty; an empty configuration is {}".into())),
    }
}

/// What the parser lets pass: line breaks in strings, which come from a forgotten quote and make
/// every later message misleading; and depth, which would cost stack.
fn check_tokens(text: &str) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(
        text,
        &ScannerOptions {
            allow_single_quoted_strings: OPTIONS.allow_single_quoted_strings,
            allow_hexadecimal_numbers: OPTIONS.allow_hexadecimal_numbers,
            allow_unary_plus_numbers: OPTIONS.allow_unary_plus_numbers,
            allow_bare_decimal_point_numbers: OPTIONS.allow_bare_decimal_point_numbers,
            allow_non_finite_numbers: OPTIONS.allow_non_finite_numbers,
            allow_extended_string_escapes: OPTIONS.allow_extended_string_escapes,
        },
    );
    let mut depth = 0usize;
    while let Some(token) = scanner.scan().map_err(|error| explain(&error))? {
        let at = scanner.token_start();
        match token {
            Token::OpenBrace | Token::OpenBracket => {
                depth += 1;
                if depth > DEPTH {
                    return Err((at, format!("nested deeper than {DEPTH}")));
                }
            }
            Token::CloseBrace | Token::CloseBracket => depth = depth.saturating_sub(1),
            // RFC 8259, section 7: control characters in strings are escaped.
            Token::String(_) => match text.as_bytes()[at..scanner.token_end()].iter().find(|b| **b < 0x20) {
                Some(b'\n' | b'\r') => {
                    return Err((at, "this string runs over the line's end; is its quote missing?".into()));
                }
                Some(_) => return Err((at, "a control character in this string; write it as \\t or \\u0000".into())),
                None => {}
            },
            Token::Comma
            | Token::Colon
            | Token::Word(_)
            | Token::Boolean(_)
            | Token::Number(_)
            | Token::Null
            | Token::CommentLine(_)
            | Token::CommentBlock(_) => {}
        }
    }
    Ok(())
}

fn explain(error: &ParseError) -> SyntaxError {
    let message = match error.kind() {
        ParseErrorKind::UnterminatedObject => "this object is never closed; is the file cut off?".into(),
        ParseErrorKind::UnterminatedArray => "this list is never closed; is the file cut off?".into(),
        other => {
            let text = other.to_string();
            let mut rest = text.chars();
            rest.next().map_or_else(String::new, |first| first.to_lowercase().chain(rest).collect())
        }
    };
    (error.range().start, message)
}

/// Reports every key that stands twice in one object, with both places.
pub(super) fn check_duplicates(text: &str, object: &Object<'_>, path: &str, errors: &mut Findings) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for property in &object.properties {
        let (name, at) = (property.name.as_str(), property.range.start);
        let path = join(path, name);
        match first.get(name) {
            Some(_) if errors.is_full() => errors.push(at, "", ""),
            Some(earlier) => {
                let (line, column) = place(text, *earlier);
                errors.push(at, path.as_str(), format!("duplicate key; it stands at {line}:{column} too"));
            }
            None => {
                first.insert(name, at);
            }
        }
        check_duplicates_in(text, &property.value, &path, errors);
    }
}

fn check_duplicates_in(text: &str, value: &Value<'_>, path: &str, errors: &mut Findings) {
    match value {
        Value::Object(object) => check_duplicates(text, object, path, errors),
        Value::Array(list) => {
            for (index, item) in list.elements.iter().enumerate() {
                check_duplicates_in(text, item, &format!("{path}[{index}]"), errors);
            }
        }
        Value::StringLit(_) | Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
    }
}

/// The path of a key inside the object at `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { shown(name) } else { format!("{path}.{}", shown(name)) }
}

/// The byte at which a value starts.
pub(super) fn start(value: &Value<'_>) -> usize {
    match value {
        Value::StringLit(it) => it.range.start,
        Value::NumberLit(it) => it.range.start,
        Value::BooleanLit(it) => it.range.start,
        Value::Object(it) => it.range.start,
        Value::Array(it) => it.range.start,
        Value::NullKeyword(it) => it.range.start,
    }
}

/// A value's type, for a person.
pub(super) fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(it) if it.value => "true",
        Value::BooleanLit(_) => "false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}
