//! Reads Rust source text just far enough to know which paths it names, and where.
//!
//! It knows comments, literals, use trees, inline modules and `#[cfg(test)]`. It expands no macros and resolves
//! no types.

/// A path as it is written, with use trees expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
    /// Inline modules around it, outermost first.
    pub inside: Vec<String>,
    /// Whether it stands under `#[cfg(test)]`.
    pub test: bool,
    /// Whether it is a `pub use`.
    pub reexport: bool,
    /// The name that a `use` brings in.
    pub binds: Option<String>,
}

/// What one file says.
#[derive(Debug, Default)]
pub struct Source {
    pub paths: Vec<Path>,
    /// `mod name;` under `#[cfg(test)]`.
    pub test_modules: Vec<String>,
    /// Lines with the keyword `unsafe`.
    pub unsafe_lines: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Ident(String),
    PathSep,
    Punct(char),
}

fn is_ident_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut out) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => i = after_string(&chars, i),
            '\'' => {
                // A lifetime has no closing quote right after its first character.
                if at(i + 1) == '\\' {
                    i += 3;
                    while i < chars.len() && at(i) != '\'' {
                        i += 1;
                    }
                    i += 1;
                } else if at(i + 2) == '\'' {
                    i += 3;
                } else {
                    i += 1;
                }
            }
            c if is_ident_start(c) => {
                while is_ident(at(i)) {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                match (word.as_str(), at(i)) {
                    ("r" | "br" | "cr", '"' | '#') => match after_raw(&chars, i) {
                        Some(end) => i = end,
                        None => i += 1,
                    },
                    ("b" | "c", '"') => i = after_string(&chars, i),
                    ("b", '\'') => {}
                    _ => out.push((Token::Ident(word), line)),
                }
            }
            c if c.is_ascii_digit() => {
                while is_ident(at(i)) {
                    i += 1;
                }
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                out.push((Token::PathSep, line));
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    out.push((Token::Punct(c), line));
                }
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// The place after a string literal whose opening quote stands at `i`.
fn after_string(chars: &[char], mut i: usize) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The place after a raw string whose hashes or quote start at `i`; none for a raw identifier.
fn after_raw(chars: &[char], mut i: usize) -> Option<usize> {
    let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
    i += hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    i += 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(i)
}

struct Scope {
    module: Option<String>,
    test: bool,
}

/// Reads one file.
pub fn scan(text: &str) -> Source {
    let tokens = tokens(text);
    let ident = |i: usize| match tokens.get(i) {
        Some((Token::Ident(word), _)) => Some(word.as_str()),
        _ => None,
    };
    let is = |i: usize, c: char| tokens.get(i).is_some_and(|(token, _)| *token == Token::Punct(c));
    let mut source = Source::default();
    let mut scopes: Vec<Scope> = Vec::new();
    let (mut next_is_test, mut next_module, mut nesting) = (false, None, 0i32);
    let mut i = 0;
    while let Some((token, line)) = tokens.get(i) {
        let test = next_is_test || scopes.iter().any(|scope| scope.test);
        let inside = || scopes.iter().filter_map(|scope| scope.module.clone()).collect::<Vec<_>>();
        match token {
            Token::Punct('#') if is(i + 1, '[') || is(i + 2, '[') => {
                let mut words = Vec::new();
                let mut depth = 0;
                while i < tokens.len() {
                    match &tokens[i].0 {
                        Token::Punct('[') => depth += 1,
                        Token::Punct(']') => depth -= 1,
                        Token::Ident(word) => words.push(word.as_str()),
                        _ => {}
                    }
                    if depth == 0 && is(i, ']') {
                        break;
                    }
                    i += 1;
                }
                next_is_test |= matches!(words[..], ["cfg", "test"] | ["cfg", "all", "test", ..]);
            }
            Token::Ident(word) if word == "use" && !matches!(tokens.get(i + 1), Some((Token::Punct('<'), _))) => {
                let reexport = i > 0 && (ident(i - 1) == Some("pub") || is(i - 1, ')'));
                let mut found = Vec::new();
                i = use_tree(&tokens, i + 1, &mut Vec::new(), &mut found);
                for (segments, line, binds) in found {
                    source.paths.push(Path { segments, line, inside: inside(), test, reexport, binds });
                }
                next_is_test = false;
            }
            Token::Ident(word) if word == "mod" && ident(i + 1).is_some() => {
                let name = ident(i + 1).unwrap_or_default().to_string();
                if is(i + 2, ';') && test {
                    source.test_modules.push(name);
                } else if is(i + 2, '{') {
                    next_module = Some(name);
                }
                i += 1;
            }
            Token::Ident(word) => {
                if word == "unsafe" {
                    source.unsafe_lines.push(*line);
                }
                let joined = i > 0 && (tokens[i - 1].0 == Token::PathSep || is(i - 1, '.'));
                let mut segments = vec![word.clone()];
                while !joined && tokens.get(i + 1).is_some_and(|(token, _)| *token == Token::PathSep) {
                    let Some(word) = ident(i + 2) else { break };
                    segments.push(word.to_string());
                    i += 2;
                }
                if segments.len() > 1 {
                    let path = Path { segments, line: *line, inside: inside(), test, reexport: false, binds: None };
                    source.paths.push(path);
                }
            }
            Token::Punct('{') => {
                scopes.push(Scope { module: next_module.take(), test: next_is_test });
                next_is_test = false;
            }
            Token::Punct('}') => {
                scopes.pop();
            }
            Token::Punct('(' | '[') => nesting += 1,
            Token::Punct(')' | ']') => nesting -= 1,
            Token::Punct(';') if nesting == 0 => next_is_test = false,
            Token::Punct(_) | Token::PathSep => {}
        }
        i += 1;
    }
    source
}

type Use = (Vec<String>, usize, Option<String>);

/// Expands one use tree from token `i` on; gives the place of the token that ended it.
fn use_tree(tokens: &[(Token, usize)], mut i: usize, prefix: &mut Vec<String>, found: &mut Vec<Use>) -> usize {
    let kept = prefix.len();
    let (mut line, mut alias, mut open) = (tokens.get(i).map_or(0, |t| t.1), None, true);
    let mut finish = |prefix: &mut Vec<String>, line, alias: Option<String>, open: bool| {
        if open && prefix.len() > kept {
            // `self` at the end of a path names the module before it.
            if prefix.last().is_some_and(|word| word == "self") && prefix.len() > 1 {
                prefix.pop();
            }
            let binds = alias.or_else(|| prefix.last().cloned());
            found.push((prefix.clone(), line, binds));
        }
        prefix.truncate(kept);
    };
    while let Some((token, at)) = tokens.get(i) {
        match token {
            Token::Ident(word) if word == "as" => {
                if let Some((Token::Ident(name), _)) = tokens.get(i + 1) {
                    alias = Some(name.clone());
                }
                i += 1;
            }
            Token::Ident(word) => {
                line = *at;
                prefix.push(word.clone());
            }
            Token::Punct('*') => prefix.push("*".into()),
            Token::PathSep => {}
            Token::Punct('{') => {
                let mut nested = Vec::new();
                loop {
                    i = use_tree(tokens, i + 1, prefix, &mut nested);
                    if !matches!(tokens.get(i), Some((Token::Punct(','), _))) {
                        break;
                    }
                }
                prefix.truncate(kept);
                for each in nested {
                    prefix.clone_from(&each.0);
                    finish(prefix, each.1, each.2, true);
                }
                open = false;
            }
            Token::Punct(',' | '}' | ';') => {
                finish(prefix, line, alias.take(), open);
                return i;
            }
            Token::Punct(_) => {}
        }
        i += 1;
    }
    i
}
