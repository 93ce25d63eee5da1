use super::*;

fn token(seed: u8) -> Token {
    let mut random = [seed; Token::RANDOM_BYTES];
    random[41] = seed.wrapping_mul(3);
    Token::mint(&random)
}

fn record(token: &Token) -> KeyRecord {
    KeyRecord {
        id: token.id(),
        name: "alice".into(),
        hash: token.hash(),
        permissions: Permissions::parse(&["connect"]).unwrap(),
        created: Wall(0),
        expires: None,
        revoked: None,
        signing: None,
    }
}

fn ring(records: Vec<KeyRecord>) -> KeyRing {
    KeyRing::new(records, None).unwrap()
}

fn shared(key: &str) -> SharedKey {
    SharedKey::parse(key, Permissions::parse(&["connect", "call:>"]).unwrap()).unwrap()
}

const NOW: Wall = Wall(1_000);

#[test]
fn a_token_leads_to_its_own_identity() {
    let (one, two) = (token(1), token(2));
    let ring = ring(vec![record(&one), KeyRecord { name: "bob".into(), ..record(&two) }]);
    assert_eq!(&*ring.authenticate(&one.expose(), NOW).unwrap().name, "alice");
    let bob = ring.authenticate(&two.expose(), NOW).unwrap();
    assert_eq!((&*bob.name, bob.key_id()), ("bob", Some(two.id())));
    assert_eq!(ring.len(), 2);
}

#[test]
fn a_token_with_any_character_changed_is_refused() {
    let (good, other) = (token(1), token(2));
    let ring = KeyRing::new(vec![record(&good), record(&other)], Some(&shared("a-shared-key-of-some-length"))).unwrap();
    let text = good.expose();
    for index in 0..text.len() {
        for replacement in "aAzZ019._-~=".chars() {
            let mut tampered: Vec<char> = text.chars().collect();
            if tampered[index] != replacement {
                tampered[index] = replacement;
                let tampered: String = tampered.into_iter().collect();
                assert_eq!(ring.authenticate(&tampered, NOW), Err(Refused::Unknown), "at {index}");
            }
        }
        let mut shorter = text.clone();
        shorter.remove(index);
        assert_eq!(ring.authenticate(&shorter, NOW), Err(Refused::Unknown), "without {index}");
    }
}

#[test]
fn the_id_of_one_key_with_the_secret_of_another_is_refused() {
    let (one, two) = (token(1), token(2));
    let ring = ring(vec![record(&one), record(&two)]);
    let mixed = format!("{}{}", &one.expose()[..22], &two.expose()[22..]);
    assert!(Token::parse(&mixed).is_some());
    assert_eq!(ring.authenticate(&mixed, NOW), Err(Refused::Unknown));
}

#[test]
fn wrong_unknown_revoked_and_malformed_are_refused_with_the_same_words() {
    let (good, revoked) = (token(1), token(2));
    let ring = ring(vec![record(&good), KeyRecord { revoked: Some(Wall(1)), ..record(&revoked) }]);
    let wrong = format!("{}{}", &good.expose()[..22], "A".repeat(43));
    let unknown = token(9).expose();
    let long = "x".repeat(100_000);
    for text in [&wrong, &unknown, &revoked.expose(), "", "x", "hyd1.", &long] {
        let refused = ring.authenticate(text, NOW).unwrap_err();
        assert_eq!(refused.error(), Error::new(Code::Unauthenticated, "the credential is not valid"));
    }
}

#[test]
fn expiry_is_told_only_to_the_holder_of_the_secret_and_a_revoked_key_stays_unknown() {
    let key = token(1);
    let expired = KeyRecord { expires: Some(NOW), ..record(&key) };
    let wrong = format!("{}{}", &key.expose()[..22], "A".repeat(43));
    let ring_of = |record: &KeyRecord| ring(vec![record.clone()]);
    assert_eq!(ring_of(&expired).authenticate(&key.expose(), NOW), Err(Refused::Expired));
    assert_eq!(ring_of(&expired).authenticate(&wrong, NOW), Err(Refused::Unknown));
    assert!(ring_of(&expired).authenticate(&key.expose(), Wall(NOW.0 - 1)).is_ok());
    let both = KeyRecord { revoked: Some(Wall(1)), ..expired };
    assert_eq!(ring_of(&both).authenticate(&key.expose(), NOW), Err(Refused::Unknown));
    assert_eq!(Refused::Expired.error().code, Code::Expired);
}

#[test]
fn the_shared_key_is_compared_whole() {
    let ring = KeyRing::new(vec![record(&token(1))], Some(&shared("a-shared-key-of-some-length"))).unwrap();
    let identity = ring.authenticate("a-shared-key-of-some-length", NOW).unwrap();
    assert_eq!((&*identity.name, identity.source), ("configured", Source::SharedKey));
    assert!(identity.permissions.may_call("lamp", "on"));
    for text in ["a-shared-key-of-some-lengt", "a-shared-key-of-some-length ", "A-shared-key-of-some-length"] {
        assert_eq!(ring.authenticate(text, NOW), Err(Refused::Unknown));
    }
    assert!(ring.authenticate(&token(1).expose(), NOW).is_ok());
}

#[test]
fn an_empty_ring_lets_nobody_in() {
    let ring = KeyRing::default();
    assert!(ring.is_empty());
    assert_eq!(ring.authenticate("", NOW), Err(Refused::Unknown));
    assert_eq!(ring.authenticate(&token(1).expose(), NOW), Err(Refused::Unknown));
}

#[test]
fn two_records_with_one_id_are_an_error() {
    let key = token(1);
    let error = KeyRing::new(vec![record(&key), record(&key)], None).unwrap_err();
    assert!(error.contains(key.id().as_str()));
}

#[test]
fn after_a_reload_each_identity_learns_what_became_of_it() {
    let key = token(1);
    let before = record(&key);
    let identity = ring(vec![before.clone()]).authenticate(&key.expose(), NOW).unwrap();
    let kind = |records: Vec<KeyRecord>| match ring(records).current(&identity, NOW) {
        Current::Same => "same",
        Current::Changed(_) => "changed",
        Current::Expired => "expired",
        Current::Revoked => "revoked",
    };
    let permissions = Permissions::parse(&["admin"]).unwrap();
    assert_eq!(kind(vec![before.clone()]), "same");
    assert_eq!(kind(vec![KeyRecord { created: Wall(5), ..before.clone() }]), "same");
    assert_eq!(kind(vec![KeyRecord { permissions, ..before.clone() }]), "changed");
    assert_eq!(kind(vec![KeyRecord { expires: Some(Wall(5_000)), ..before.clone() }]), "changed");
    assert_eq!(kind(vec![KeyRecord { name: "bob".into(), ..before.clone() }]), "changed");
    assert_eq!(kind(vec![KeyRecord { expires: Some(NOW), ..before.clone() }]), "expired");
    assert_eq!(kind(vec![KeyRecord { revoked: Some(NOW), ..before.clone() }]), "revoked");
    assert_eq!(kind(vec![KeyRecord { hash: token(2).hash(), ..before }]), "revoked");
    assert_eq!(kind(vec![]), "revoked");
}

#[test]
fn what_changed_is_the_new_identity_and_then_stays_the_same() {
    let key = token(1);
    let identity = ring(vec![record(&key)]).authenticate(&key.expose(), NOW).unwrap();
    let permissions = Permissions::parse(&["connect", "publish:a.>"]).unwrap();
    let reloaded = ring(vec![KeyRecord { permissions, ..record(&key) }]);
    let Current::Changed(changed) = reloaded.current(&identity, NOW) else { panic!("not changed") };
    assert!(changed.permissions.may_publish("a.b"));
    assert!(matches!(reloaded.current(&changed, NOW), Current::Same));
}

#[test]
fn holders_of_a_replaced_shared_key_are_out_and_outsiders_only_expire() {
    let with = |key| KeyRing::new(vec![], Some(&shared(key))).unwrap();
    let identity = with("the-first-shared-key").authenticate("the-first-shared-key", NOW).unwrap();
    assert!(matches!(with("the-first-shared-key").current(&identity, NOW), Current::Same));
    assert!(matches!(with("the-second-shared-key").current(&identity, NOW), Current::Revoked));
    assert!(matches!(KeyRing::default().current(&identity, NOW), Current::Revoked));
    let outside = Arc::new(Identity::outside("carol", Permissions::default(), Some(Wall(2_000))));
    assert!(matches!(KeyRing::default().current(&outside, NOW), Current::Same));
    assert!(matches!(KeyRing::default().current(&outside, Wall(2_000)), Current::Expired));
}

#[test]
fn nothing_secret_is_printed_for_debugging() {
    let key = token(1);
    let ring = KeyRing::new(vec![record(&key)], Some(&shared("a-shared-key-of-some-length"))).unwrap();
    let printed = format!("{ring:?}");
    assert!(!printed.contains(&key.expose()[22..]) && !printed.contains(&key.hash().to_text()[7..]), "{printed}");
    assert!(!printed.contains("a-shared-key"), "{printed}");
}
