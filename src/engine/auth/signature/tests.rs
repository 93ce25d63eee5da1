use super::*;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const NOW: Wall = Wall(1_772_131_500_000);
const SKEW: Duration = Duration::from_secs(30);
/// The seed and public key of RFC 8032, section 7.1, test 1.
const SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5,
    0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
const PUBLIC_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// Made with other software over the text of `message()`: OpenSSL, and an HMAC of 0, 1, … 31.
const ED25519: &str = "JlUHxUV35BgLWdlS0kIZ88qUpGgEorwI7hGqZevqkIWGILkNWZUIo21nbGk1m8pb3tPp0d-dWUZpGuiMCbN_AQ==";
const HMAC: &str = "1tZ3LM80bjvtGIVB5SVqT-DGpCFrZcWQkStrHR-HEns=";

fn message() -> Signed<'static> {
    Signed {
        kind: "command",
        id: "c-17",
        timestamp: Some("2026-02-26T18:45:00.000Z"),
        channel: "print",
        action: "job.cancel",
        data: "{\"job\": 7, \"name\":\"é\"}".as_bytes(),
    }
}

fn both() -> [(Signing, &'static str); 2] {
    let secret: Vec<u8> = (0..32).collect();
    [(Signing::ed25519(PUBLIC_KEY).unwrap(), ED25519), (Signing::HmacSha256(secret.into()), HMAC)]
}

fn code(result: Result<Wall, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

#[test]
fn the_signed_text_is_as_documented() {
    let text = message().text().unwrap();
    let expected =
        "hydrogen-v1\ncommand\nc-17\n2026-02-26T18:45:00.000Z\nprint\njob.cancel\n{\"job\": 7, \"name\":\"é\"}";
    assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    assert_eq!(Signed { timestamp: None, ..message() }.text(), None);
}

#[test]
fn signatures_of_other_software_fit_with_and_without_padding() {
    for (signing, signature) in both() {
        for signature in [signature, signature.trim_end_matches('=')] {
            assert_eq!(message().verify(Some(signature), Some(&signing), NOW, SKEW), Ok(NOW), "{signing:?}");
        }
    }
}

#[test]
fn a_change_of_any_part_is_a_bad_signature() {
    let signed = message();
    for (signing, signature) in both() {
        for changed in [
            Signed { kind: "ack", ..signed },
            Signed { id: "c-18", ..signed },
            Signed { timestamp: Some("2026-02-26T18:45:00.001Z"), ..signed },
            // The same moment in other words: what counts is what was sent.
            Signed { timestamp: Some("2026-02-26T18:45:00Z"), ..signed },
            Signed { channel: "file", ..signed },
            Signed { action: "job.add", ..signed },
            Signed { data: b"{\"job\":7}", ..signed },
            Signed { data: b"", ..signed },
        ] {
            let result = changed.verify(Some(signature), Some(&signing), NOW, SKEW);
            assert_eq!(code(result), Some(Code::BadSignature), "{changed:?}");
        }
        assert!(signed.verify(Some(signature), Some(&signing), NOW, SKEW).is_ok());
    }
}

#[test]
fn a_signature_with_any_character_changed_is_refused() {
    for (signing, signature) in both() {
        let signature = signature.trim_end_matches('=');
        for index in 0..signature.len() {
            let mut tampered = signature.to_owned().into_bytes();
            tampered[index] = if tampered[index] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(tampered).unwrap();
            let result = message().verify(Some(&tampered), Some(&signing), NOW, SKEW);
            assert_eq!(code(result), Some(Code::BadSignature), "at {index}");
        }
        for wrong in ["", "=", "A", "no base64!", "AAAA", &signature[1..], &"A".repeat(100_000)] {
            assert_eq!(code(message().verify(Some(wrong), Some(&signing), NOW, SKEW)), Some(Code::BadSignature));
        }
    }
}

#[test]
fn one_kind_of_signature_does_not_pass_for_the_other() {
    let [(ed25519, ed25519_signature), (hmac, hmac_signature)] = both();
    assert!(message().verify(Some(hmac_signature), Some(&ed25519), NOW, SKEW).is_err());
    assert!(message().verify(Some(ed25519_signature), Some(&hmac), NOW, SKEW).is_err());
    // An HMAC under the public key is what a confused server would take.
    let text = message().text().unwrap();
    let Signing::Ed25519(key) = &ed25519 else { unreachable!() };
    let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &text);
    let forged = URL_SAFE_NO_PAD.encode(forged.as_ref());
    assert!(message().verify(Some(&forged), Some(&ed25519), NOW, SKEW).is_err());
}

#[test]
fn what_is_missing_is_named() {
    let [(signing, signature), _] = both();
    let message_of = |result: Result<Wall, Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.code, Code::BadSignature);
        error.message
    };
    assert!(message_of(message().verify(None, Some(&signing), NOW, SKEW)).contains("auth.signature"));
    assert!(message_of(message().verify(Some(signature), None, NOW, SKEW)).contains("no signing key"));
    for (timestamp, part) in [(None, "needs `timestamp`"), (Some("yesterday"), "RFC 3339")] {
        let message = Signed { timestamp, ..message() };
        assert!(message_of(message.verify(Some(signature), Some(&signing), NOW, SKEW)).contains(part));
    }
    let split = Signed { id: "c\n17", ..message() };
    assert!(message_of(split.verify(Some(signature), Some(&signing), NOW, SKEW)).contains("line feed"));
}

#[test]
fn the_timestamp_is_good_up_to_the_skew_on_either_side() {
    let [(signing, signature), _] = both();
    for (now, expected) in [
        (NOW.0 - 30_001, Some(Code::Replayed)),
        (NOW.0 - 30_000, None),
        (NOW.0 + 30_000, None),
        (NOW.0 + 30_001, Some(Code::Replayed)),
        (i64::MIN, Some(Code::Replayed)),
        (i64::MAX, Some(Code::Replayed)),
    ] {
        assert_eq!(code(message().verify(Some(signature), Some(&signing), Wall(now), SKEW)), expected, "{now}");
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused_and_secrets_are_not_printed() {
    let of = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![7; bytes]);
    for bytes in [0, 31, 33, 64] {
        assert!(Signing::ed25519(&of(bytes)).is_err(), "{bytes}");
    }
    for (bytes, expected) in [(0, false), (31, false), (32, true), (64, true), (65, false), (10_000, false)] {
        assert_eq!(Signing::hmac_sha256(&of(bytes)).is_ok(), expected, "{bytes}");
    }
    let signing = Signing::hmac_sha256(&of(32)).unwrap();
    assert!(!format!("{signing:?}").contains(&signing.expose().1));
    assert_eq!(Signing::ed25519(PUBLIC_KEY).unwrap().expose(), ("ed25519", PUBLIC_KEY.to_owned()));
}

proptest! {
    #[test]
    fn whatever_is_signed_with_the_right_key_fits_and_with_another_does_not(
        id in "[^\n]{1,40}",
        data in prop::collection::vec(any::<u8>(), 0..200),
        seed in any::<[u8; 32]>(),
        other in any::<[u8; 32]>(),
    ) {
        prop_assume!(seed != other);
        let message = Signed { id: &id, data: &data, ..message() };
        let text = message.text().unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = |pair: &Ed25519KeyPair| Signing::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        let wrong = Ed25519KeyPair::from_seed_unchecked(&other).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(&text));
        prop_assert!(message.verify(Some(&signature), Some(&public(&pair)), NOW, SKEW).is_ok());
        prop_assert!(message.verify(Some(&signature), Some(&public(&wrong)), NOW, SKEW).is_err());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &seed), &text);
        let tag = URL_SAFE_NO_PAD.encode(tag);
        prop_assert!(message.verify(Some(&tag), Some(&Signing::HmacSha256(seed.into())), NOW, SKEW).is_ok());
        prop_assert!(message.verify(Some(&tag), Some(&Signing::HmacSha256(other.into())), NOW, SKEW).is_err());
    }
}

#[test]
fn the_registered_key_is_the_one_of_the_standard() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(pair.public_key()), PUBLIC_KEY);
}
