use super::*;
use proptest::prelude::*;

const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI";

fn good() -> Value {
    serde_json::json!({
        "id": "0123456789abcdef",
        "name": "alice",
        "hash": HASH,
        "permissions": ["connect", "publish:sensors.>"],
        "created": "2026-02-26T18:45:00Z",
        "expires": null,
        "signing": {"hmac_sha256": SECRET},
    })
}

fn file(keys: &[Value]) -> String {
    serde_json::json!({"version": 1, "keys": keys}).to_string()
}

fn with(field: &str, value: Value) -> String {
    let mut record = good();
    record[field] = value;
    file(&[record])
}

#[test]
fn a_file_is_read_as_written() {
    let records = parse(&file(&[good()])).unwrap();
    let [record] = records.as_slice() else { panic!("one record") };
    assert_eq!((record.id.as_str(), &*record.name), ("0123456789abcdef", "alice"));
    assert_eq!(record.hash, SecretHash::of(b"abc"));
    assert!(record.permissions.may_connect() && record.permissions.may_publish("sensors.a"));
    assert_eq!((record.created, record.expires, record.revoked), (Wall(1_772_131_500_000), None, None));
    assert_eq!(record.signing, Some(Signing::hmac_sha256(SECRET).unwrap()));
    assert_eq!(parse("{\"version\":1,\"keys\":[]}"), Ok(vec![]));
}

#[test]
fn what_is_wrong_with_a_field_is_named_with_its_record_and_never_its_value() {
    use serde_json::json;
    for (field, value, part) in [
        ("id", json!("short"), "`id` is no key id"),
        ("id", json!(null), "`id` is missing"),
        ("name", json!("a b"), "character outside"),
        ("name", json!("configured"), "the server's own"),
        ("hash", json!("sha256:12"), "`hash` is not"),
        ("hash", json!("plain-text-secret"), "`hash` is not"),
        ("hash", json!(["plain-text-secret"]), "`hash` is no text"),
        ("permissions", json!("connect"), "`permissions` is no list"),
        ("permissions", json!([1]), "list of texts"),
        ("permissions", json!(["fly"]), "\"fly\": the verbs are"),
        ("created", json!(null), "`created` is missing"),
        ("created", json!(17), "`created` is no RFC 3339 time"),
        ("expires", json!("tomorrow"), "`expires` is no RFC 3339 time"),
        ("revoked", json!(true), "`revoked` is no RFC 3339 time"),
        ("signing", json!(SECRET), "`signing` is an object"),
        ("signing", json!({}), "`signing` is an object"),
        ("signing", json!({"rsa": SECRET}), "`signing` is an object"),
        ("signing", json!({"hmac_sha256": SECRET, "ed25519": SECRET}), "`signing` is an object"),
        ("signing", json!({"hmac_sha256": &SECRET[1..20]}), "32 to 64 bytes"),
        ("signing", json!({"ed25519": &SECRET[1..20]}), "of 32 bytes"),
        ("expire", json!("2026-02-26T18:45:00Z"), "unknown field `expire`"),
    ] {
        let error = parse(&with(field, value)).unwrap_err();
        assert!(error.contains(part) && error.starts_with("key 1 (line 1): "), "{field}: {error}");
        for secret in ["plain-text-secret", SECRET, &SECRET[1..20], &HASH[10..]] {
            assert!(!error.contains(secret), "{error}");
        }
        if !matches!(field, "id" | "expire") {
            assert!(error.contains("0123456789abcdef"), "{error}");
        }
    }
}

#[test]
fn one_damaged_record_is_an_error_of_the_whole_file_with_its_place() {
    let mut second = good();
    second["id"] = "fedcba9876543210".into();
    second["name"] = "bob".into();
    second["permissions"] = serde_json::json!(["subscribe:a"]);
    let text = serde_json::to_string_pretty(&serde_json::json!({"version": 1, "keys": [good(), second]})).unwrap();
    let error = parse(&text).unwrap_err();
    let line: usize = error.split("line ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
    assert!(error.starts_with("key 2 (line ") && error.contains("`fedcba9876543210`, bob: "), "{error}");
    // Keys come sorted in this text, so `keys` is on line 2 and the second object begins there.
    assert_eq!(text.lines().nth(line - 1).unwrap().trim(), "{");
    assert!(line > 10);
}

#[test]
fn a_file_of_another_form_is_refused() {
    let record = good().to_string();
    for (text, part) in [
        (String::new(), "no JSON object"),
        ("[]".into(), "no JSON object"),
        (SECRET.into(), "no JSON object"),
        ("{".into(), "no JSON"),
        ("{\"version\":1,\"keys\":[]} x".into(), "no JSON"),
        ("{\"keys\":[]}".into(), "missing field `version`"),
        ("{\"version\":1}".into(), "missing field `keys`"),
        ("{\"version\":2,\"keys\":[]}".into(), "`version` is not 1"),
        ("{\"version\":\"1\",\"keys\":[]}".into(), "`version` is not 1"),
        (format!("{{\"version\":1,\"keys\":\"{SECRET}\"}}"), "`keys` is no list"),
        (format!("{{\"version\":1,\"keys\":[\"{SECRET}\"]}}"), "key 1 (line 1): it is no JSON object"),
        ("{\"version\":1,\"keys\":[],\"extra\":1}".into(), "unknown field `extra`"),
        (format!("{{\"version\":1,\"keys\":[{record},{record}]}}"), "key 2 (line 1): key 1 has the same `id`"),
        (
            format!("{{\"version\":1,\"keys\":[{}]}}", record.replacen('{', "{\"name\":\"x\",", 1)),
            "duplicate field `name`",
        ),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(part) && !error.contains(SECRET), "{text}: {error}");
    }
}

fn records() -> impl Strategy<Value = Vec<KeyRecord>> {
    let permission = prop_oneof![Just("connect"), Just("admin"), Just("subscribe:a.>"), Just("call:*.status")];
    let time = || prop::option::of((0i64..4_000_000_000_000).prop_map(Wall));
    let signing = prop_oneof![
        Just(None),
        any::<[u8; 32]>().prop_map(|key| Some(Signing::Ed25519(key))),
        prop::collection::vec(any::<u8>(), 32..=64).prop_map(|secret| Some(Signing::HmacSha256(secret.into()))),
    ];
    let fields =
        ("[a-z.@+:-]{1,64}", prop::collection::vec(permission, 0..4), time(), time(), time(), signing, any::<u64>());
    prop::collection::vec(fields, 0..6).prop_map(|all| {
        let records = all.into_iter().enumerate();
        records
            .map(|(index, (name, permissions, created, expires, revoked, signing, seed))| KeyRecord {
                id: format!("{index:016}").parse().unwrap(),
                name: name.into(),
                hash: SecretHash::of(&seed.to_le_bytes()),
                permissions: Permissions::parse(&permissions).unwrap(),
                created: created.unwrap_or_default(),
                expires,
                revoked,
                signing,
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn records_survive_their_text(records in records()) {
        prop_assume!(records.iter().all(|record| Identity::check_name(&record.name).is_ok()));
        prop_assert_eq!(parse(&render(&records)), Ok(records));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error(records in records(), cut in 0.0f64..1.0) {
        let text = render(&records);
        let whole = text.trim_end();
        let cut = (whole.len() as f64 * cut) as usize;
        prop_assert!(parse(&whole[..cut]).is_err());
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        prop_assert!(parse(&text).is_err());
    }
}
