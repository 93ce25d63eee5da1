//! The field `Sec-WebSocket-Extensions` (RFC 6455 section 9.1): offers with their parameters.

use super::headers::{is_tchar, is_token};

/// Extensions that one request may offer.
pub const EXTENSIONS: usize = 16;

/// Parameters of one extension.
pub const PARAMETERS: usize = 16;

/// One offered extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Names and values of its parameters, in order. A quoted value stands here without its quotes.
    pub params: Vec<(String, Option<String>)>,
}

/// The field breaks its grammar, or holds too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadExtension(pub &'static str);

const GRAMMAR: BadExtension = BadExtension("Sec-WebSocket-Extensions is no list of extensions");

/// Reads one line of the field, and appends what it offers.
pub fn parse_extensions(line: &[u8], out: &mut Vec<Extension>) -> Result<(), BadExtension> {
    let mut rest = Rest(line);
    loop {
        // RFC 9110 5.6.1.2: empty elements are parsed and ignored.
        while rest.takes(b',') {}
        if rest.skip_space().is_empty() {
            return Ok(());
        }
        if out.len() == EXTENSIONS {
            return Err(BadExtension("more than 16 extensions are offered"));
        }
        let mut extension = Extension { name: rest.token()?, params: Vec::new() };
        while rest.takes(b';') {
            if extension.params.len() == PARAMETERS {
                return Err(BadExtension("an extension with more than 16 parameters is offered"));
            }
            let name = rest.token()?;
            let value = if rest.takes(b'=') { Some(rest.value()?) } else { None };
            extension.params.push((name, value));
        }
        out.push(extension);
        if !rest.skip_space().is_empty() && !rest.0.starts_with(b",") {
            return Err(GRAMMAR);
        }
    }
}

/// What is left of a line.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip_space(&mut self) -> &[u8] {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0
    }

    /// Takes this byte and the space before it, if it comes next.
    fn takes(&mut self, wanted: u8) -> bool {
        match self.skip_space() {
            [first, ..] if *first == wanted => {
                self.0 = &self.0[1..];
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<String, BadExtension> {
        self.skip_space();
        let end = self.0.iter().position(|byte| !is_tchar(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        text(token)
    }

    fn value(&mut self) -> Result<String, BadExtension> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = Vec::new();
        loop {
            let (byte, rest) = match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    // RFC 6455 9.1: a quoted value is a token once its quotes are gone.
                    return text(&value);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(GRAMMAR),
            };
            value.push(byte);
            self.0 = rest;
        }
    }
}

fn text(token: &[u8]) -> Result<String, BadExtension> {
    if !is_token(token) {
        return Err(GRAMMAR);
    }
    // A token is ASCII.
    Ok(String::from_utf8_lossy(token).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Vec<Extension>, BadExtension> {
        let mut out = Vec::new();
        parse_extensions(line.as_bytes(), &mut out).map(|()| out)
    }

    fn written(extensions: &[Extension]) -> String {
        let one = |extension: &Extension| {
            let params = extension.params.iter().map(|(name, value)| match value {
                Some(value) => format!(";{name}={value}"),
                None => format!(";{name}"),
            });
            format!("{}{}", extension.name, params.collect::<String>())
        };
        extensions.iter().map(one).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn offers_are_read_with_their_parameters() {
        for (line, wanted) in [
            ("", ""),
            (" , ,", ""),
            ("a", "a"),
            ("a,b", "a,b"),
            (",a ,, b,", "a,b"),
            ("a;x", "a;x"),
            ("a ; x\t; y = 1 ,b", "a;x;y=1,b"),
            ("a; x=\"12\"; y = \"1\\5\"", "a;x=12;y=15"),
            ("permessage-deflate; client_max_window_bits, foo", "permessage-deflate;client_max_window_bits,foo"),
        ] {
            assert_eq!(parse(line).map(|found| written(&found)).as_deref(), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for line in [
            ";",
            "a;",
            "a;;b",
            "a;,b",
            "a b",
            "a=1",
            "a;x=",
            "a;=1",
            "a;x=\"",
            "a;x=\"1",
            "a;x=\"1\\\"",
            "a;x=\"\"",
            "a;x=\"1,2\"",
            "a;x=\"1 2\"",
            "a;x=1 2",
            "a;x=\"1\"2",
            "a;x==1",
            "\"a\"",
            "a/b",
            "caf\u{e9}",
        ] {
            assert_eq!(parse(line), Err(GRAMMAR), "{line}");
        }
    }

    #[test]
    fn offers_and_parameters_are_bounded() {
        assert_eq!(parse(&vec!["a"; EXTENSIONS].join(",")).map(|found| found.len()), Ok(EXTENSIONS));
        assert!(parse(&vec!["a"; EXTENSIONS + 1].join(",")).is_err());
        assert!(parse(&format!("a{}", ";x=1".repeat(PARAMETERS))).is_ok());
        assert!(parse(&format!("a{}", ";x=1".repeat(PARAMETERS + 1))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            offers in prop::collection::vec(("[a-z-]{1,6}", prop::collection::vec(("[a-z_]{1,5}", prop::option::of("[0-9a-z]{1,3}")), 0..4)), 0..5)
        ) {
            let offers: Vec<Extension> = offers.into_iter().map(|(name, params)| Extension { name, params }).collect();
            prop_assert_eq!(parse(&written(&offers)), Ok(offers));
        }

        #[test]
        fn any_bytes_are_read_or_refused(line in prop::collection::vec(prop::sample::select(&b"ab1;,=\"\\ \t/\xff"[..]), 0..24)) {
            let _ = parse_extensions(&line, &mut Vec::new());
        }
    }
}
