//! Escapes inside JSON strings (RFC 8259 section 7).

/// Why an escape cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EscapeFault {
    /// Not one of the escapes of the grammar.
    Unknown,
    /// Half of a surrogate pair.
    LoneSurrogate,
}

/// Reads one escape from the bytes after its backslash: the character, and the bytes it takes.
pub(super) fn read_escape(after: &[u8]) -> Result<(char, usize), EscapeFault> {
    let character = match after.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode(&after[1..]).map(|(character, len)| (character, 1 + len)),
        Some(_) | None => return Err(EscapeFault::Unknown),
    };
    Ok((character, 1))
}

fn read_unicode(digits: &[u8]) -> Result<(char, usize), EscapeFault> {
    let first = hex4(digits).ok_or(EscapeFault::Unknown)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 4));
    }
    // RFC 8259 section 7: a character outside the basic plane is a pair, the high half first.
    let rest = digits[4..].strip_prefix(b"\\u").filter(|_| first < 0xDC00).ok_or(EscapeFault::LoneSurrogate)?;
    let second = hex4(rest).ok_or(EscapeFault::Unknown)?;
    if !(0xDC00..0xE000).contains(&second) {
        return Err(EscapeFault::LoneSurrogate);
    }
    let scalar = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    char::from_u32(scalar).map(|character| (character, 10)).ok_or(EscapeFault::LoneSurrogate)
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends what the inside of a JSON string stands for. A bad escape, which checked text does not
/// have, is left out.
pub(in crate::engine::wire) fn unescape_into(inside: &str, out: &mut String) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let len = match read_escape(after.as_bytes()) {
            Ok((character, len)) => {
                out.push(character);
                len
            }
            Err(_) => 0,
        };
        rest = &after[len..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_their_characters() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\u20AC", "Aé€"),
            (r"x\uD834\uDD1Ey", "x𝄞y"),
            (r"\u0000", "\0"),
            (r"\uDBFF\uDFFF", "\u{10FFFF}"),
        ] {
            let mut out = String::new();
            unescape_into(text, &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn bad_escapes_are_told_apart() {
        for (text, fault) in [
            ("", EscapeFault::Unknown),
            ("x", EscapeFault::Unknown),
            ("'", EscapeFault::Unknown),
            ("U0041", EscapeFault::Unknown),
            ("u", EscapeFault::Unknown),
            ("u004", EscapeFault::Unknown),
            ("u+041", EscapeFault::Unknown),
            ("u00é", EscapeFault::Unknown),
            (r"uD834\u12G4", EscapeFault::Unknown),
            ("uD834", EscapeFault::LoneSurrogate),
            ("uDD1E", EscapeFault::LoneSurrogate),
            (r"uDD1E\uD834", EscapeFault::LoneSurrogate),
            (r"uD834\n", EscapeFault::LoneSurrogate),
            (r"uD834\uD834", EscapeFault::LoneSurrogate),
            (r"uD834\u0041", EscapeFault::LoneSurrogate),
        ] {
            assert_eq!(read_escape(text.as_bytes()), Err(fault), "{text}");
        }
    }
}
