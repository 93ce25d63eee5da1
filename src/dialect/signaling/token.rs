//! Tokens with which a lost connection's place is taken again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::base::WorkerId;

/// A token: where to ask, which one, and 128 bits that show the right to it.
#[derive(Clone)]
pub(super) struct Token {
    pub worker: WorkerId,
    pub id: u64,
    secret: [u8; 16],
}

impl Token {
    pub(super) fn new(worker: WorkerId, id: u64, secret: [u8; 16]) -> Token {
        Token { worker, id, secret }
    }

    pub(super) fn text(&self) -> String {
        let mut bytes = [0; 26];
        bytes[..2].copy_from_slice(&self.worker.0.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.id.to_be_bytes());
        bytes[10..].copy_from_slice(&self.secret);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn parse(text: &str, workers: usize) -> Option<Token> {
        let bytes: [u8; 26] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let worker = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut id = [0; 8];
        id.copy_from_slice(&bytes[2..10]);
        let mut secret = [0; 16];
        secret.copy_from_slice(&bytes[10..]);
        let token = Token { worker: WorkerId(worker), id: u64::from_be_bytes(id), secret };
        (usize::from(worker) < workers).then_some(token)
    }

    /// Takes equally long wherever the secrets differ.
    pub(super) fn fits(&self, other: &Token) -> bool {
        self.secret.ct_eq(&other.secret).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let token = Token::new(WorkerId(3), 77, [9; 16]);
        let read = Token::parse(&token.text(), 4).unwrap();
        assert!(read.fits(&token) && read.id == 77 && read.worker == WorkerId(3));
        assert!(!read.fits(&Token::new(WorkerId(3), 77, [8; 16])));
        assert!(Token::parse(&token.text(), 3).is_none());
        for text in ["", "AA", "!", &token.text()[1..]] {
            assert!(Token::parse(text, 9).is_none(), "{text}");
        }
    }

    #[test]
    fn those_on_the_page_are_tokens() {
        let page = include_str!("../../../docs/signaling.md");
        let shown = page.split("\"resume_token\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(
            shown.map(|text| Token::parse(text, 2).map(|token| token.text() == text)).collect::<Vec<_>>(),
            [Some(true); 2]
        );
    }
}
