//! `${env.NAME}` in string values.

use std::borrow::Cow;

const OPEN: &str = "${env.";

/// Looks a variable up.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Whether the text names a variable.
pub(super) fn is_expandable(text: &str) -> bool {
    text.contains(OPEN)
}

/// Whether the whole text is one variable, which then may stand for a number or a boolean.
pub(super) fn is_one_variable(text: &str) -> bool {
    text.starts_with(OPEN) && text.find('}') == Some(text.len() - 1)
}

/// Replaces every variable once; what comes out of one is not looked into again. All that is
/// wrong is returned together.
pub(super) fn expand<'t>(text: &'t str, env: Env<'_>) -> Result<Cow<'t, str>, Vec<String>> {
    if !is_expandable(text) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        out.push_str(&rest[..at]);
        rest = &rest[at + OPEN.len()..];
        let Some(end) = rest.find('}') else {
            wrong.push("`${env.` without its `}`".into());
            break;
        };
        let name = &rest[..end];
        rest = &rest[end + 1..];
        if !is_name(name) {
            wrong.push("the name in `${env.…}` must be letters, digits and `_`".into());
        } else if let Some(value) = env(name) {
            out.push_str(&value);
        } else {
            wrong.push(format!("the environment variable {name} is not set"));
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(Cow::Owned(out)) } else { Err(wrong) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "LOOP" => Some("${env.LOOP}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once() {
        for (text, expected) in [
            ("plain $ {env}", "plain $ {env}"),
            ("${env.PORT}", "8080"),
            ("a${env.PORT}b${env.PORT}c", "a8080b8080c"),
            ("${env.LOOP}", "${env.LOOP}"),
        ] {
            assert_eq!(expand(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_wrong_is_told_together() {
        let name = "the name in `${env.…}` must be letters, digits and `_`".to_owned();
        let unset = |name| format!("the environment variable {name} is not set");
        assert_eq!(expand("${env.A}${env.B}", &env), Err(vec![unset("A"), unset("B")]));
        assert_eq!(expand("${env.}", &env), Err(vec![name.clone()]));
        assert_eq!(expand("${env.A B}", &env), Err(vec![name]));
        assert_eq!(expand("${env.PORT", &env), Err(vec!["`${env.` without its `}`".into()]));
    }

    #[test]
    fn one_variable_is_told_from_text_around_it() {
        assert!(is_one_variable("${env.PORT}"));
        assert!(!is_one_variable("${env.PORT}0"));
        assert!(!is_one_variable("${env.A}${env.B}"));
        assert!(!is_one_variable("PORT"));
    }
}
