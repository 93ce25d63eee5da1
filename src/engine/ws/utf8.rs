//! UTF-8 checked as it arrives: in any pieces, once, and refused at the first byte that rules out
//! every valid text.
//!
//! Owns a carry of at most three bytes, the beginning of a character. It stores no text: complete
//! characters are handed on as they become known.

/// The bytes seen cannot become valid UTF-8, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// The state between two pieces of one text.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    carry: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Checks the next piece and hands the characters that are complete to `out`, in order.
    pub fn feed(&mut self, mut piece: &[u8], out: &mut impl FnMut(&str)) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((&next, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.feed_carried(next, out)?;
        }
        let (body, tail) = piece.split_at(piece.len() - unfinished(piece));
        if !body.is_empty() {
            out(simdutf8::basic::from_utf8(body).map_err(|_| NotUtf8)?);
        }
        if !tail.is_empty() {
            self.start_carry(tail)?;
        }
        Ok(())
    }

    /// Whether the text may end here.
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// How many bytes of an unfinished character are held.
    pub fn carried(&self) -> usize {
        usize::from(self.len)
    }

    fn feed_carried(&mut self, next: u8, out: &mut impl FnMut(&str)) -> Result<(), NotUtf8> {
        let len = usize::from(self.len);
        let mut character = [0; 4];
        character[..len].copy_from_slice(&self.carry[..len]);
        character[len] = next;
        match std::str::from_utf8(&character[..=len]) {
            Ok(text) => {
                out(text);
                self.len = 0;
            }
            Err(_) => self.start_carry(&character[..=len])?,
        }
        Ok(())
    }

    /// `tail` starts a character and does not end it: three bytes at most, or it is refused.
    fn start_carry(&mut self, tail: &[u8]) -> Result<(), NotUtf8> {
        match std::str::from_utf8(tail) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => {
                self.carry[..tail.len()].copy_from_slice(tail);
                self.len = tail.len() as u8;
                Ok(())
            }
            Ok(_) | Err(_) => Err(NotUtf8),
        }
    }
}

/// How many bytes at the end of the piece start a character that needs more bytes.
fn unfinished(piece: &[u8]) -> usize {
    for (back, byte) in piece.iter().rev().take(3).enumerate().map(|(index, byte)| (index + 1, *byte)) {
        let needed = match byte {
            0x00..=0x7F => return 0,
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
        };
        return if needed > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What std says of a beginning: whether some valid text starts with it.
    fn may_become_valid(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
    }

    /// How many bytes pass before the checker refuses, fed in pieces that end at `ends`.
    fn refused_at(bytes: &[u8], ends: &[usize]) -> (Option<usize>, String, bool) {
        let (mut utf8, mut text, mut from) = (Utf8::default(), String::new(), 0);
        for &end in ends.iter().chain([&bytes.len()]) {
            if utf8.feed(&bytes[from..end], &mut |part| text.push_str(part)).is_err() {
                return (Some(end), text, false);
            }
            assert_eq!(text.len() + utf8.carried(), end);
            from = end;
        }
        (None, text, utf8.is_complete())
    }

    fn check(bytes: &[u8], ends: &[usize]) {
        let (refused, text, complete) = refused_at(bytes, ends);
        let expected = ends.iter().copied().chain([bytes.len()]).find(|end| !may_become_valid(&bytes[..*end]));
        assert_eq!(refused, expected, "{bytes:x?} {ends:?}");
        if refused.is_none() {
            assert_eq!(complete, std::str::from_utf8(bytes).is_ok(), "{bytes:x?} {ends:?}");
            assert!(bytes.starts_with(text.as_bytes()));
        }
    }

    #[test]
    fn every_split_of_hard_texts_agrees_with_std() {
        let texts: &[&[u8]] = &[
            b"",
            b"plain",
            "\u{ba}\u{20ac}\u{10348}\u{10ffff}\u{d7ff}\u{e000}".as_bytes(),
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
            b"a\xed\xa0\x80b",
            b"a\xe0\x9f\xbfb",
            b"a\xf0\x8f\xbf\xbfb",
            b"a\xc0\xafb",
            b"a\xc1b",
            b"a\xf5\x80\x80\x80",
            b"a\xff",
            b"\x80",
            b"a\xbf\xbf\xbf\xbf",
            b"\xe2\x82",
            b"\xf0\x90\x8d",
            b"\xe2\x28\xa1",
            b"\xf0\x90\x28\xbc",
        ];
        for bytes in texts {
            let each: Vec<usize> = (1..bytes.len()).collect();
            check(bytes, &each);
            for one in 0..=bytes.len() {
                for two in one..=bytes.len() {
                    check(bytes, &[one, two]);
                }
            }
        }
    }

    #[test]
    fn the_first_impossible_byte_is_refused_at_once() {
        for (bytes, good) in [
            (&b"\xf4\x90\x80\x80"[..], 1),
            (b"\xed\xa0\x80", 1),
            (b"\xe0\x80\x80", 1),
            (b"\xf0\x90\x41", 2),
            (b"\xc0\x80", 0),
            (b"ok\xf8", 2),
        ] {
            assert_eq!(refused_at(bytes, &(1..bytes.len()).collect::<Vec<_>>()).0, Some(good + 1), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_agree_with_std(
            text in "\\PC{0,40}",
            noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut bytes = text.into_bytes();
            for (at, byte) in noise {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.sort_unstable();
            check(&bytes, &ends);
            check(&bytes, &(1..bytes.len()).collect::<Vec<_>>());
        }
    }
}
