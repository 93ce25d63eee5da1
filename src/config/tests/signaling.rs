//! Rooms: their doors, their bounds, and what clients are told of other servers.

use super::*;

const MEMBERS: &str = "\"MaxClientsPerRoom\": 100, \"MaxMembersPerRoom\": 99";

#[test]
fn rooms_are_off_and_have_the_defaults_that_were_agreed() {
    let signaling = Config::default().signaling;
    assert!(!signaling.enabled && !signaling.needs_key);
    assert_eq!(signaling.paths, ["/signaling"]);
    assert_eq!(signaling.protocols, ["govpn", "signaling"]);
    assert_eq!((signaling.max_clients_per_room, signaling.max_members_per_room), (50, 254));
    assert_eq!((signaling.max_rooms, signaling.max_rooms_per_connection), (100_000, 64));
    assert_eq!(signaling.room_expiry, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(signaling.cleanup_interval, Duration::from_secs(86_400));
    assert_eq!(signaling.rate_limit, Some(Allowance { count: 3, period: Duration::from_secs(60) }));
    assert_eq!(signaling.password_limit, Some(Allowance { count: 10, period: Duration::from_secs(3600) }));
    assert_eq!((signaling.proof, signaling.grace), (Proof::Optional, Duration::from_secs(30)));
    assert_eq!(signaling.ice_servers, IceServers { stun: Vec::new(), turn: None });
    assert_eq!(signaling.signal_bytes, Some(128 << 10));
    let relay = Relay { bytes_per_minute: Some(1 << 20), room_bytes_per_minute: Some(8 << 20) };
    assert_eq!(signaling.relay, relay);
}

#[test]
fn values_arrive_in_their_fields_and_zeros_switch_off() {
    let (config, warnings) = loaded(
        "{\"Signaling\": {\"Enabled\": true, \"Paths\": [\"/ws\", \"/a/b\"], \"Protocols\": [],
          \"Authentication\": \"key\", \"RoomExpiryDays\": 0, \"CleanupIntervalHours\": 2, \"GraceSeconds\": 0,
          \"RateLimit\": {\"Requests\": 0}, \"PasswordLimit\": {\"Failures\": 0}, \"ProofOfPossession\": \"required\",
          \"IceServers\": {\"Stun\": [\"stun:a:1\"],
            \"Turn\": {\"Urls\": [\"turn:b?transport=udp\"], \"Secret\": \"shared-with-it\", \"LifetimeSeconds\": 60}},
          \"SignalBytesPerSecond\": 0, \"Relay\": {\"BytesPerMinute\": 0, \"RoomBytesPerMinute\": 7}}}",
    );
    let signaling = config.signaling;
    assert!(signaling.enabled && signaling.needs_key && signaling.protocols.is_empty());
    assert_eq!(signaling.paths, ["/ws", "/a/b"]);
    assert_eq!((signaling.room_expiry, signaling.cleanup_interval), (None, Duration::from_secs(7200)));
    assert_eq!((signaling.rate_limit, signaling.password_limit), (None, None));
    assert_eq!((signaling.proof, signaling.grace), (Proof::Required, Duration::ZERO));
    let turn = signaling.ice_servers.turn.unwrap();
    assert_eq!((turn.secret.expose(), turn.lifetime), ("shared-with-it", Duration::from_secs(60)));
    assert_eq!(turn.urls, ["turn:b?transport=udp"]);
    assert_eq!(signaling.signal_bytes, None);
    assert_eq!(signaling.relay, Relay { bytes_per_minute: None, room_bytes_per_minute: Some(7) });
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_cannot_be_together_is_told() {
    let turn = |members: &str| section("Signaling", &format!("\"IceServers\": {{\"Turn\": {{{members}}}}}"));
    for (text, expected) in [
        (
            section("Signaling", MEMBERS),
            "f:2:52: Signaling.MaxMembersPerRoom: less than MaxClientsPerRoom, which is 100",
        ),
        (
            section("Signaling", "\"Paths\": [\"/api/status\"]"),
            "f:2:15: Signaling.Paths[0]: expected a path like \"/signaling\", found \"/api/status\": something else is there",
        ),
        (
            section("Signaling", "\"Enabled\": true, \"Protocols\": [\"hydrogen\"]"),
            "f:2:35: Signaling.Protocols: \"hydrogen\" is a name of hydrogen-protocol, in WebSocketServer.Protocols",
        ),
        (
            turn("\"Urls\": [\"turn:a\"]"),
            "f:2:37: Signaling.IceServers.Turn.Secret: needed with Urls: credentials are made with it",
        ),
        (
            turn("\"Secret\": \"short\""),
            "f:2:39: Signaling.IceServers.Turn.Secret: expected a secret of 8 to 255 printable ASCII characters without \
             spaces",
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}
