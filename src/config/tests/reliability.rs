//! The store, guaranteed delivery, sessions, and the rules for topics.

use super::*;

/// The text of `Topics` with these rules, from the fifth column of the second line.
fn rules(items: &str) -> String {
    format!("{{\"Topics\": {{\"Rules\": [\n    {items}\n]}}}}")
}

#[test]
fn defaults_are_those_that_were_agreed() {
    let config = Config::default();
    let Delivery { window, max_window, ack_timeout, max_backoff, max_attempts, .. } = config.delivery;
    assert_eq!((window, max_window, max_attempts), (64, 1024, 10));
    assert_eq!((ack_timeout, max_backoff), (Duration::from_secs(30), Duration::from_secs(300)));
    assert_eq!(config.delivery.deduplication_window, Duration::from_secs(120));
    assert_eq!(config.delivery.durable_expiry, None);
    assert_eq!(config.sessions.time_to_live, Some(Duration::from_secs(300)));
    assert_eq!((config.store.max_bytes, config.store.min_free_bytes), (8 << 30, 64 << 20));
    assert_eq!(config.store_dir(), PathBuf::from("data/store"));
    let Topics { log_max_age, log_max_events, log_max_bytes, rules, .. } = config.topics;
    assert_eq!((log_max_age.as_secs(), log_max_events, log_max_bytes), (7 * 86_400, 10_000_000, 1 << 30));
    assert_eq!(rules, []);
}

#[test]
fn values_arrive_in_their_fields() {
    let (config, warnings) = loaded(
        "{\"DataDir\": \"/srv\",
          \"Store\": {\"Path\": \"log\", \"MaxBytes\": 17592186044416, \"MinFreeBytes\": 0, \"CacheBytes\": 262144},
          \"Delivery\": {\"Window\": 2000, \"AckTimeoutMs\": 400000, \"MaxAttempts\": 1, \"DeduplicationWindow\": 0,
            \"MaxDeduplicationIds\": 3, \"DurableExpiry\": 9, \"MaxDurableSubscriptions\": 4, \"MaxDeadLetters\": 0,
            \"MaxPendingPublishes\": 5},
          \"WebSocketServer\": {\"MaxMessageSize\": 134217728},
          \"Sessions\": {\"TimeToLive\": 0, \"MaxResumable\": 6, \"MaxBytes\": 1024}}",
    );
    assert_eq!(config.store_dir(), PathBuf::from("/srv/log"));
    assert_eq!((config.store.max_bytes, config.store.min_free_bytes, config.store.cache_bytes), (16 << 40, 0, 262_144));
    assert_eq!(
        config.delivery,
        Delivery {
            window: 2000,
            max_window: 2000,
            ack_timeout: Duration::from_secs(400),
            max_backoff: Duration::from_secs(400),
            max_attempts: 1,
            deduplication_window: Duration::ZERO,
            max_deduplication_ids: 3,
            durable_expiry: Some(Duration::from_secs(9)),
            max_durable_subscriptions: 4,
            max_dead_letters: 0,
            max_pending_publishes: 5,
            max_pending_bytes: 128 << 20,
        }
    );
    assert_eq!(config.sessions, Sessions { time_to_live: None, max_resumable: 6, max_bytes: 1024 });
    assert!(warnings.is_empty(), "{warnings:?}");
    let (config, _) = loaded("{\"Store\": {\"Path\": \"/var/store\"}}");
    assert_eq!(config.store_dir(), PathBuf::from("/var/store"));
}

#[test]
fn rules_keep_their_order_and_tell_what_was_not_given() {
    let (config, warnings) = loaded(&rules(
        "{\"Topics\": \"orders.>\", \"Guarantee\": \"at_least_once\", \"MaxBytes\": 1024},
         {\"Topics\": \"*.log\", \"History\": true, \"MaxAge\": \"${env.PORT}\", \"MaxEvents\": 7,},
         {\"Topics\": \"${env.WORD}.a\", \"Guarantee\": \"at_most_once\", \"History\": \"${env.YES}\"}",
    ));
    let rule = |pattern: &str| TopicRule {
        pattern: crate::engine::topic::Pattern::parse(pattern).unwrap(),
        guaranteed: false,
        history: false,
        max_age: None,
        max_events: None,
        max_bytes: None,
    };
    assert_eq!(
        config.topics.rules,
        [
            TopicRule { guaranteed: true, max_bytes: Some(1024), ..rule("orders.>") },
            TopicRule { history: true, max_age: Some(Duration::from_secs(9000)), max_events: Some(7), ..rule("*.log") },
            TopicRule { history: true, ..rule("hush-hush.a") },
        ]
    );
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_is_wrong_with_a_rule_is_told_at_its_place() {
    for (items, expected) in [
        ("{}", "f:2:5: Topics.Rules[0].Topics: missing, and it is needed here"),
        (
            "{\"Topics\": \"a.>\"}, {\"History\": true}",
            "f:2:24: Topics.Rules[1].Topics: missing, and it is needed here",
        ),
        (
            "{\"Topics\": \"a..b\"}",
            "f:2:16: Topics.Rules[0].Topics: expected a topic or pattern like \"sensors.>\", found \"a..b\": a token is \
             empty",
        ),
        ("{\"Topics\": [\"a.b\"]}", "f:2:16: Topics.Rules[0].Topics: expected a string, found a list"),
        (
            "{\"Topics\": \"a.b\", \"Guarantee\": \"at_least_one\"}",
            "f:2:36: Topics.Rules[0].Guarantee: expected \"at_most_once\" or \"at_least_once\", found \"at_least_one\"; \
             did you mean \"at_least_once\"?",
        ),
        (
            "{\"Topics\": \"a.b\", \"MaxAge\": 0}",
            "f:2:33: Topics.Rules[0].MaxAge: 0 is out of range: 1 to 3153600000 s",
        ),
        (
            "{\"Topics\": \"a.b\", \"MaxBytes\": 1}",
            "f:2:35: Topics.Rules[0].MaxBytes: 1 is out of range: 1024 to 17592186044416 bytes",
        ),
        (
            "{\"Topics\": \"a.b\", \"MaxAges\": 1}",
            "f:2:23: Topics.Rules[0].MaxAges: unknown key; did you mean \"MaxAge\"?",
        ),
        (
            "{\"Topics\": \"a.b\", \"Topics\": \"a.c\"}",
            "f:2:23: Topics.Rules[0].Topics: duplicate key; it stands at 2:6 too",
        ),
        ("\"a.b\"", "f:2:5: Topics.Rules[0]: expected an object, found a string"),
    ] {
        assert_eq!(problems(&rules(items)), [expected], "{items}");
    }
    assert_eq!(
        problems("{\"Topics\": {\"Rules\": {}}}"),
        ["f:1:22: Topics.Rules: expected a list of objects, found an object"]
    );
    let many = vec!["{\"Topics\": \"a.b\"}"; 257].join(",");
    assert_eq!(problems(&rules(&many)), ["f:1:22: Topics.Rules: 257 items, where 256 are allowed"]);
    let both = problems(&rules("{\"Topics\": 1}, {\"Topics\": \"a.b\", \"History\": 2}"));
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn a_rule_that_is_never_used_is_warned_of() {
    let (_, warnings) = loaded(&rules("{\"Topics\": \"a.>\"}, {\"Topics\": \"b.c\"}, {\"Topics\": \"a.*\"}"));
    assert_eq!(
        warnings,
        ["f:2:43: Topics.Rules[2]: never used: Rules[0] stands before it, and matches all of its topics"]
    );
}

#[test]
fn what_does_not_go_together_is_told() {
    for (member, expected) in [
        ("\"Window\": 65, \"MaxWindow\": 64", "f:2:32: Delivery.MaxWindow: less than Window, which is 65"),
        ("\"MaxBackoffMs\": 29999", "f:2:21: Delivery.MaxBackoffMs: less than AckTimeoutMs, which is 30000"),
        ("\"AckTimeoutMs\": 49", "f:2:21: Delivery.AckTimeoutMs: 49 is out of range: 50 to 3600000 ms"),
        ("\"AckTimeout\": 49", "f:2:5: Delivery.AckTimeout: unknown key; did you mean \"AckTimeoutMs\"?"),
        ("\"MaxAttempts\": 1001", "f:2:20: Delivery.MaxAttempts: 1001 is out of range: 1 to 1000"),
    ] {
        assert_eq!(problems(&section("Delivery", member)), [expected], "{member}");
    }
    let (_, warnings) = loaded(&section("Delivery", "\"MaxPendingBytes\": 65536"));
    assert_eq!(
        warnings,
        ["f:2:24: Delivery.MaxPendingBytes: less than WebSocketServer.MaxMessageSize, which is 1048576: the largest \
          messages cannot be published with a guarantee"]
    );
}
