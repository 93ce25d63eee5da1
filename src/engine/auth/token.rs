//! Tokens: `hyd1.<id>.<secret>`, a public id to look up by and a secret to compare.
//!
//! The id is 16 characters of lower-case base32, so that it stands in commands and logs without
//! quoting. The secret is 43 characters of base64url: 256 random bits. Both alphabets and the dot
//! are URL and HTTP-token safe, so a token stands as it is in a query or a subprotocol.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "hyd1.";
const ID_CHARS: usize = 16;
const ID_RANDOM: usize = 10;
const SECRET_CHARS: usize = 43;
const SECRET_RANDOM: usize = 32;
/// Without the letters that people take for digits.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The public part of a token: what a key is called in files, logs and commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_CHARS]);

impl KeyId {
    fn from_random(random: &[u8; ID_RANDOM]) -> KeyId {
        let bits = random.iter().fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let mut id = [0; ID_CHARS];
        for (index, place) in id.iter_mut().enumerate() {
            *place = BASE32[(bits >> (5 * (ID_CHARS - 1 - index))) as usize & 31];
        }
        KeyId(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII from the alphabet is ever stored, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<KeyId, ()> {
        let id: [u8; ID_CHARS] = text.as_bytes().try_into().map_err(|_| ())?;
        if id.iter().all(|byte| BASE32.contains(byte)) { Ok(KeyId(id)) } else { Err(()) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A whole token. It has no `Display`, so that it reaches no log by accident.
#[derive(Clone)]
pub struct Token {
    id: KeyId,
    secret: [u8; SECRET_CHARS],
}

impl Token {
    /// Random bytes that [`Token::mint`] takes.
    pub const RANDOM_BYTES: usize = ID_RANDOM + SECRET_RANDOM;

    /// Makes a token from bytes of a cryptographic random source.
    pub fn mint(random: &[u8; Token::RANDOM_BYTES]) -> Token {
        let mut id = [0; ID_RANDOM];
        id.copy_from_slice(&random[..ID_RANDOM]);
        let mut secret = [0; SECRET_CHARS];
        // 32 bytes are 43 characters without padding, so the buffer always fits.
        let _ = URL_SAFE_NO_PAD.encode_slice(&random[ID_RANDOM..], &mut secret);
        Token { id: KeyId::from_random(&id), secret }
    }

    /// Reads a token; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Token> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let id = id.parse().ok()?;
        let secret: [u8; SECRET_CHARS] = secret.as_bytes().try_into().ok()?;
        // One secret has one text: the decoder refuses bits set beyond the last byte.
        let mut bytes = [0; SECRET_RANDOM];
        URL_SAFE_NO_PAD.decode_slice_unchecked(secret, &mut bytes).ok()?;
        Some(Token { id, secret })
    }

    /// The public part.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the server keeps of the secret part.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    /// The whole text, to be shown to its owner once.
    pub fn expose(&self) -> String {
        // Only base64url is ever stored, so the fallback is never taken.
        format!("{PREFIX}{}.{}", self.id, std::str::from_utf8(&self.secret).unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.redacted)", self.id)
    }
}

/// SHA-256 of a secret's text. Comparing takes the same time whatever differs.
///
/// A slow hash protects secrets that can be guessed. A token's secret has 256 random bits: no
/// number of guesses finds it, so a fast hash gives nothing away and costs each connection little.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    const SCHEME: &str = "sha256:";

    /// What a secret is compared with when there is nothing to compare it with. No secret with
    /// this hash is known; whoever uses it still refuses a match.
    pub(super) const DECOY: SecretHash = SecretHash([0; 32]);

    /// Hashes a secret's text.
    pub fn of(secret: &[u8]) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        SecretHash(hash)
    }

    /// `sha256:<hex>`, for the keys file alone.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(Self::SCHEME.len() + 64);
        text.push_str(Self::SCHEME);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// Reads what [`SecretHash::to_text`] wrote.
    pub fn parse(text: &str) -> Option<SecretHash> {
        let hex = text.strip_prefix(Self::SCHEME)?.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(hex.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
        }
        Some(SecretHash(hash))
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_made_of_all_its_random_bytes() {
        let zero = Token::mint(&[0; Token::RANDOM_BYTES]).expose();
        assert_eq!(zero, format!("hyd1.{}.{}", "0".repeat(16), "A".repeat(43)));
        for index in 0..Token::RANDOM_BYTES {
            for bit in [1, 128] {
                let mut random = [0; Token::RANDOM_BYTES];
                random[index] = bit;
                assert_ne!(Token::mint(&random).expose(), zero, "byte {index}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let id = "0123456789abcdef";
        let secret = "A".repeat(43);
        assert!(Token::parse(&format!("hyd1.{id}.{secret}")).is_some());
        for text in [
            String::new(),
            "hyd1.".into(),
            format!("hyd2.{id}.{secret}"),
            format!("HYD1.{id}.{secret}"),
            format!(" hyd1.{id}.{secret}"),
            format!("hyd1.{id}.{secret} "),
            format!("hyd1.{id}{secret}"),
            format!("hyd1.{id}.{secret}="),
            format!("hyd1.{id}.{}", &secret[1..]),
            format!("hyd1.{id}.{}é", &secret[2..]),
            format!("hyd1.{id}.{}+", &secret[1..]),
            format!("hyd1.{id}.{}B", &secret[1..]),
            format!("hyd1.{}.{secret}", &id[1..]),
            format!("hyd1.{}u.{secret}", &id[1..]),
            format!("hyd1.{}é.{secret}", &id[2..]),
        ] {
            assert!(Token::parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn no_secret_is_printed_for_debugging() {
        let token = Token::mint(&[7; Token::RANDOM_BYTES]);
        let secret = token.expose()[22..].to_owned();
        let printed = format!("{token:?} {:?}", token.hash());
        assert!(!printed.contains(&secret) && !printed.contains(&token.hash().to_text()[7..]), "{printed}");
    }

    #[test]
    fn hashes_are_read_from_hex_of_either_case_and_the_right_length() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SecretHash::of(b"abc").to_text(), abc);
        assert_eq!(SecretHash::parse(abc), Some(SecretHash::of(b"abc")));
        assert_eq!(SecretHash::parse(&abc.to_uppercase().replace("SHA", "sha")), Some(SecretHash::of(b"abc")));
        for bad in ["", "sha256:", &abc[1..], &abc[..70], &format!("{abc}0"), &abc.replace('f', "g")] {
            assert_eq!(SecretHash::parse(bad), None, "{bad}");
        }
    }

    fn random() -> impl Strategy<Value = [u8; Token::RANDOM_BYTES]> {
        prop::collection::vec(any::<u8>(), Token::RANDOM_BYTES).prop_map(|bytes| bytes.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn tokens_survive_their_text_and_stand_in_urls_and_http_tokens(random in random()) {
            let token = Token::mint(&random);
            let text = token.expose();
            prop_assert_eq!(text.len(), 65);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
            let back = Token::parse(&text).unwrap();
            prop_assert_eq!(back.id(), token.id());
            prop_assert_eq!(back.hash(), token.hash());
            prop_assert_eq!(SecretHash::parse(&token.hash().to_text()), Some(token.hash()));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*") {
            prop_assert!(Token::parse(&text).is_none());
        }
    }
}
