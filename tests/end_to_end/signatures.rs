//! Signed commands: what is sensitive needs a signature, and each is good once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hydrogen::engine::topic::Pattern;
use ring::hmac;
use serde_json::Value;

use crate::harness::{Client, Scene, Stage, Variant, scenarios, wall};

scenarios! {
    a_signed_command_is_obeyed_once_on_whichever_connection
    what_follows_a_signed_command_keeps_its_order
    what_is_not_signed_well_is_refused
}

const DATA: &str = r#"{ "topic":"signed.a",  "payload": [1, 2.50, "ü"] }"#;

struct Signer {
    token: String,
    key: hmac::Key,
}

impl Signer {
    fn new(stage: &Stage, name: &str) -> Signer {
        let (token, secret) = stage.key_that_signs(name, &["connect", "publish:>"]);
        let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
        Signer { token, key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// A signed publish. What is signed is changed by `sign`, what is sent is not.
    fn publish(&self, id: &str, time: &str, sign: impl Fn(String) -> String) -> String {
        let signed = sign(format!("hydrogen-v1\ncommand\n{id}\n{time}\nsystem\npublish\n{DATA}"));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, signed.as_bytes()));
        format!(
            r#"{{"type":"command","id":"{id}","timestamp":"{time}","channel":"system","action":"publish","data":{DATA},"auth":{{"signature":"{signature}"}}}}"#
        )
    }
}

fn start(variant: Variant) -> (Scene, [Signer; 3]) {
    let mut stage = Stage::new(variant);
    stage.config.security.sensitive_actions = vec![Pattern::parse("system.publish").unwrap()];
    stage.config.security.signature_skew = Duration::from_secs(60);
    let signers = ["ann", "bob", "cat"].map(|name| Signer::new(&stage, name));
    (stage.start(), signers)
}

/// A time that holds, and is after the server's start: what was signed in the millisecond of the
/// start, or before, may have been seen by an earlier run.
fn now() -> String {
    wall(Duration::from_millis(50)).to_string()
}

fn outcome(response: &Value) -> &str {
    response["error"]["code"].as_str().or_else(|| response["status"].as_str()).unwrap()
}

/// Connections of one identity are on different workers, and only one worker keeps its window.
fn a_signed_command_is_obeyed_once_on_whichever_connection(variant: Variant) {
    let (scene, signers) = start(variant);
    for signer in &signers {
        let mut clients: Vec<Client> = (0..6).map(|_| scene.client(&signer.token)).collect();
        for round in 0..3 {
            let id = format!("once-{round}");
            let text = signer.publish(&id, &now(), |text| text);
            for client in &mut clients {
                client.texts([text.clone(), text.clone()]);
            }
            let mut outcomes: Vec<String> = Vec::new();
            for client in &mut clients {
                for _ in 0..2 {
                    outcomes.push(outcome(&client.response(&id)).to_owned());
                }
            }
            outcomes.sort_unstable();
            assert_eq!(outcomes.pop().as_deref(), Some("success"));
            assert!(outcomes.iter().all(|outcome| outcome == "replayed"), "{outcomes:?}");
        }
    }
    assert_eq!(scene.figure("/delivery/published"), 9);
    assert_eq!(scene.figure("/errors/authentication/replayed"), 9 * 11);
}

fn what_follows_a_signed_command_keeps_its_order(variant: Variant) {
    let (scene, signers) = start(variant);
    for signer in &signers {
        for _ in 0..3 {
            let mut client = scene.client(&signer.token);
            let connection = client.session["session"].as_str().unwrap().to_owned();
            let texts: Vec<String> = (0..30)
                .map(|n| {
                    if n % 3 == 0 {
                        signer.publish(&format!("{connection}-{n}"), &now(), |text| text)
                    } else {
                        format!(r#"{{"type":"command","id":"{connection}-{n}","channel":"lab","action":"echo"}}"#)
                    }
                })
                .collect();
            client.texts(texts);
            let mut echoed = Vec::new();
            let mut published = Vec::new();
            for _ in 0..30 {
                let response = client.next().unwrap();
                assert_eq!(outcome(&response), "success", "{response}");
                let n: u32 = response["id"].as_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap();
                let in_order = if n.is_multiple_of(3) { &mut published } else { &mut echoed };
                in_order.push(n);
            }
            // A publish may be answered by another worker: each kind is in order.
            assert!(echoed.is_sorted() && published.is_sorted(), "{echoed:?} {published:?}");
            assert_eq!((echoed.len(), published.len()), (20, 10));
        }
    }
    assert_eq!(scene.figure("/delivery/published"), 90);
}

fn what_is_not_signed_well_is_refused(variant: Variant) {
    let (scene, [ann, bob, _]) = start(variant);
    let mut client = scene.client(&ann.token);
    let time = now();
    for (id, signer, time, change, expected) in [
        ("other-data", &ann, time.as_str(), ("2.50", "2.5"), "bad_signature"),
        ("other-action", &ann, &time, ("\npublish\n", "\nblock\n"), "bad_signature"),
        ("other-time", &ann, &time, (time.as_str(), "2026-01-01T00:00:00.000Z"), "bad_signature"),
        ("other-signer", &bob, &time, ("", ""), "bad_signature"),
        ("too-old", &ann, "2026-01-01T00:00:00.000Z", ("", ""), "replayed"),
        // A wrong signature used no id up.
        ("other-data", &ann, &time, ("", ""), "success"),
    ] {
        client.text(&signer.publish(id, time, |text| text.replace(change.0, change.1)));
        assert_eq!(outcome(&client.response(id)), expected, "{id}");
    }
    let unsigned = serde_json::json!({"topic": "signed.a", "payload": 1});
    assert_eq!(client.refused("system.publish", unsigned.clone()), "bad_signature");
    // Without a secret of its own, an identity signs nothing.
    assert_eq!(scene.root().refused("system.publish", unsigned), "bad_signature");
    client.ping();
}
