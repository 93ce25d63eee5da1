//! Every kind of problem with its exact place, and what older files come to.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

mod older_names;
mod reliability;
mod signaling;

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9000".into()),
        "YES" => Some("true".into()),
        "WORD" => Some("hush-hush".into()),
        "WEBSOCKET_KEY" => Some("correct-horse-battery-staple-1234".into()),
        _ => None,
    }
}

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse(text, "f", &env).expect_err(text);
    problems.iter().map(Problem::to_string).collect()
}

fn loaded(text: &str) -> (Config, Vec<String>) {
    let loaded = Config::parse(text, "f", &env).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    (loaded.config, loaded.warnings.iter().map(Problem::to_string).collect())
}

/// The text of a section with one member on the second line, from its fifth column.
fn section(section: &str, member: &str) -> String {
    format!("{{\"{section}\": {{\n    {member}\n}}}}")
}

#[test]
fn texts_that_are_no_object_are_told_with_their_place() {
    for (text, expected) in [
        ("", "f:1:1: the file is empty; an empty configuration is {}"),
        (" \n// nothing\n", "f:1:1: the file is empty; an empty configuration is {}"),
        ("[]", "f:1:1: expected an object in braces, found a list"),
        ("\n  null", "f:2:3: expected an object in braces, found null"),
        ("{\n  \"Topics\": {", "f:2:13: this object is never closed; is the file cut off?"),
        (
            "{\"Http\": {}, \"Security\": {\"SensitiveActions\": [",
            "f:1:47: this list is never closed; is the file cut off?",
        ),
        ("{\"DataDir\": ", "f:1:13: expected value after colon in object property"),
        ("{\"DataDir\": \"da", "f:1:13: unterminated string literal"),
        ("{\"DataDir\": \"da,\n\"Http\": {}}", "f:1:13: this string runs over the line's end; is its quote missing?"),
        ("{\"DataDir\": \"a\tb\"}", "f:1:13: a control character in this string; write it as \\t or \\u0000"),
        ("{\"DataDir\": \"a\" \"Http\": {}}", "f:1:16: expected comma"),
        ("{DataDir: \"a\"}", "f:1:2: expected string for object property"),
        ("{'DataDir': \"a\"}", "f:1:2: single-quoted strings are not allowed"),
        ("{\"Topics\": {\"MaxTopics\": 0x10}}", "f:1:26: hexadecimal numbers are not allowed"),
        ("{\"Topics\": {\"MaxTopics\": +1}}", "f:1:26: unary plus on numbers is not allowed"),
        ("{} {}", "f:1:4: text cannot contain more than one JSON value"),
        ("{/* ", "f:1:2: unterminated comment block"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(100_000));
    assert_eq!(problems(&deep), ["f:1:38: nested deeper than 32"]);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_valid_name() {
    for (text, expected) in [
        (section("WebSocketServer", "\"Prot\": 1"), "f:2:5: WebSocketServer.Prot: unknown key; did you mean \"Port\"?"),
        (section("WebSocketServer", "\"port\": 1"), "f:2:5: WebSocketServer.port: unknown key; did you mean \"Port\"?"),
        (section("WebSocketServer", "\"Banana\": 1"), "f:2:5: WebSocketServer.Banana: unknown key"),
        (section("WebSocketServer", "\"a\\n\": 1"), "f:2:5: WebSocketServer.a\\n: unknown key"),
        (section("Topics", "\"Level\": 1"), "f:2:5: Topics.Level: unknown key; did you mean \"Logging.Level\"?"),
        ("{\"Port\": 1}".into(), "f:1:2: Port: unknown key; did you mean \"WebSocketServer.Port\"?"),
        ("{\"WebSocketSever\": {}}".into(), "f:1:2: WebSocketSever: unknown key; did you mean \"WebSocketServer\"?"),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn wrong_types_and_values_are_told_at_the_value() {
    for (name, member, expected) in [
        ("WebSocketServer", "\"Port\": 65536", "Port: 65536 is out of range: 0 to 65535"),
        ("WebSocketServer", "\"Port\": -1", "Port: -1 is out of range: 0 to 65535"),
        ("WebSocketServer", "\"Port\": 8e3", "Port: expected a whole number, found 8e3"),
        ("WebSocketServer", "\"Port\": \"80\"", "Port: expected a whole number, found a string"),
        ("WebSocketServer", "\"Port\": null", "Port: expected a whole number, found null"),
        ("WebSocketServer", "\"Port\": \"${env.WORD}\"", "Port: expected a whole number in ${env.WORD}"),
        ("WebSocketServer", "\"IdleTimeout\": 0", "IdleTimeout: 0 is out of range: 1 to 86400 s"),
        (
            "WebSocketServer",
            "\"MaxDepth\": \"${env.PORT}\"",
            "MaxDepth: the value of ${env.PORT} is out of range: 1 to 1024",
        ),
        ("WebSocketServer", "\"Enabled\": 1", "Enabled: expected true or false, found a number"),
        ("WebSocketServer", "\"Enabled\": \"${env.WORD}\"", "Enabled: expected true or false in ${env.WORD}"),
        (
            "WebSocketServer",
            "\"Interface\": \"eth0\"",
            "Interface: expected an IP address, or \"*\" for all IPv4 addresses, found \"eth0\"",
        ),
        (
            "WebSocketServer",
            "\"SecureMode\": \"tsl\"",
            "SecureMode: expected \"none\" or \"tls\", found \"tsl\"; did you mean \"tls\"?",
        ),
        ("WebSocketServer", "\"SecureMode\": true", "SecureMode: expected \"none\" or \"tls\", found true"),
        ("WebSocketServer", "\"SecureMode\": \"${env.WORD}\"", "SecureMode: expected \"none\" or \"tls\""),
        ("WebSocketServer", "\"Protocols\": \"hydrogen\"", "Protocols: expected a list of strings, found a string"),
        ("WebSocketServer", "\"Protocols\": []", "Protocols: one name is needed at least"),
        ("WebSocketServer", "\"Protocols\": [\"a\", \"a\"]", "Protocols: \"a\" stands twice"),
        ("Http", "\"MaxHeadSize\": 1", "MaxHeadSize: 1 is out of range: 1024 to 65536 bytes"),
        (
            "Topics",
            "\"MaxTopics\": 99999999999999999999999999999999999999999999",
            "MaxTopics: 99999999999999999999999999999999999999999999 is out of range: 1 to 100000000",
        ),
    ] {
        let value = member.find(": ").unwrap() + 7;
        assert_eq!(problems(&section(name, member)), [format!("f:2:{value}: {name}.{expected}")], "{member}");
    }
    for (text, expected) in [
        ("{\"Topics\": 1}", "f:1:12: Topics: expected an object, found a number"),
        ("{\"DataDir\": \"\"}", "f:1:13: DataDir: expected a path, found \"\": it is empty"),
        (
            "{\"Security\": {\"SensitiveActions\": [\"system.*\", \"a..b\"]}}",
            "f:1:48: Security.SensitiveActions[1]: expected a pattern like \"system.disconnect\" or \"print.>\", \
             found \"a..b\": a token is empty",
        ),
        (
            "{\"Logging\": {\"Modules\": {\"hydrogen\": \"loud\"}}}",
            "f:1:38: Logging.Modules.hydrogen: expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", \
             found \"loud\"",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn everything_wrong_is_reported_at_once_in_the_order_of_the_text() {
    let text = "{\n  \"DataDir\": 5,\n  \"WebSocketServer\": {\n    \"Prot\": 1, \"MaxDepth\": 0,\n    \"Key\": \"${env.NO}\"\n  },\n  \
                \"Topics\": [],\n  \"Topics\": {},\n  \"Bananas\": {}\n}";
    assert_eq!(
        problems(text),
        [
            "f:2:14: DataDir: expected a string, found a number",
            "f:4:5: WebSocketServer.Prot: unknown key; did you mean \"Port\"?",
            "f:4:28: WebSocketServer.MaxDepth: 0 is out of range: 1 to 1024",
            "f:5:12: WebSocketServer.Key: the environment variable NO is not set",
            "f:7:13: Topics: expected an object, found a list",
            "f:8:3: Topics: duplicate key; it stands at 7:3 too",
            "f:9:3: Bananas: unknown key",
        ]
    );
}

#[test]
fn duplicates_are_found_at_every_depth() {
    let text = "{\"API\": {\"a\": [{\"b\": 1, \"b\": 2}]}, \"DataDir\": \"x\", \"DataDir\": \"y\"}";
    assert_eq!(
        problems(text),
        [
            "f:1:25: API.a[0].b: duplicate key; it stands at 1:17 too",
            "f:1:52: DataDir: duplicate key; it stands at 1:36 too"
        ]
    );
}

#[test]
fn shared_keys_are_held_to_their_rules_and_never_shown() {
    let rule = "f:2:12: WebSocketServer.Key: expected a key of 8 to 255 printable ASCII characters without spaces";
    let known = format!("{rule}: this one is in every example, so everyone knows it");
    for (key, expected) in [
        ("abc", rule),
        ("with a space", rule),
        ("schlüssel", rule),
        ("default_key", known.as_str()),
        ("abcdefghijklmnop", known.as_str()),
        ("${env.NO}", "f:2:12: WebSocketServer.Key: the environment variable NO is not set"),
        ("${env.NO", "f:2:12: WebSocketServer.Key: `${env.` without its `}`"),
    ] {
        assert_eq!(problems(&section("WebSocketServer", &format!("\"Key\": \"{key}\""))), [expected], "{key}");
    }
    let (config, warnings) = loaded(&section("WebSocketServer", "\"Key\": \"${env.WEBSOCKET_KEY}\""));
    assert_eq!(config.web_socket_server.key, Some(crate::base::Secret::new("correct-horse-battery-staple-1234")));
    assert!(!format!("{config:?}").contains("horse"));
    assert!(warnings.is_empty());
}

#[test]
fn variables_stand_for_strings_numbers_and_booleans() {
    let (config, _) = loaded(
        "{\"DataDir\": \"/srv/${env.WORD}/data\",
          \"WebSocketServer\": {\"Port\": \"${env.PORT}\", \"EnableIPv6\": \"${env.YES}\", \"Protocols\": [\"${env.WORD}\"]}}",
    );
    assert_eq!(config.data_dir, PathBuf::from("/srv/hush-hush/data"));
    assert_eq!(config.web_socket_server.port, 9000);
    assert!(config.web_socket_server.enable_ipv6);
    assert_eq!(config.web_socket_server.protocols, ["hush-hush"]);
}

#[test]
fn a_byte_order_mark_comments_and_trailing_commas_are_tolerated() {
    let (config, warnings) = loaded("\u{feff}/* a */ {\"Topics\": {\"MaxTopics\": 5,}, // b\n}");
    assert_eq!(config.topics.max_topics, 5);
    assert!(warnings.is_empty());
    assert_eq!(problems("\u{feff}{\"Port\": 1}")[0].split(' ').next(), Some("f:1:2:"));
}

#[test]
fn an_empty_object_is_the_default() {
    let (config, warnings) = loaded("{}");
    assert_eq!(config, Config::default());
    assert_eq!(warnings, [""; 0]);
    let server = &config.web_socket_server;
    assert_eq!(server.addresses(), ["127.0.0.1:8080".parse::<SocketAddr>().unwrap()]);
    assert_eq!(server.secure_mode, SecureMode::None);
    assert_eq!(server.protocols, ["hydrogen-protocol", "hydrogen"]);
    assert_eq!(server.allowed_origins, Origins::Any);
    assert_eq!(server.idle_timeout, Duration::from_secs(120));
    assert_eq!(server.max_frame_size, server.max_message_size);
    assert_eq!(config.rate_limit.messages_per_second, None);
    assert_eq!(config.rate_limit.handshake_failures, Some(20));
    assert_eq!(config.monitoring.status_interval, Some(Duration::from_secs(10)));
}

#[test]
fn values_arrive_in_their_fields() {
    let (config, warnings) = loaded(
        "{\"WebSocketServer\": {\"SecureMode\": \"tls\", \"CertificatePath\": \"c.pem\", \"KeyPath\": \"k.pem\",
            \"Interface\": \"*\", \"EnableIPv6\": true, \"Port\": 443, \"AllowedOrigins\": [\"https://A.example:443\"],
            \"SessionEvent\": \"first_command\", \"MaxBadMessages\": 0, \"MaxMessageSize\": 67108864},
          \"RateLimit\": {\"MessagesPerSecond\": 50}, \"Monitoring\": {\"StatusInterval\": 0},
          \"Security\": {\"SensitiveActions\": [\"system.*\"]},
          \"Logging\": {\"Level\": \"warn\", \"Modules\": {\"hydrogen::sys\": \"trace\"}, \"File\": \"log/h.log\"}}",
    );
    let server = &config.web_socket_server;
    assert_eq!(server.secure_mode, SecureMode::Tls { certificate_path: "c.pem".into(), key_path: "k.pem".into() });
    assert_eq!(server.addresses().iter().map(SocketAddr::to_string).collect::<Vec<_>>(), ["0.0.0.0:443", "[::]:443"]);
    assert_eq!(server.allowed_origins, Origins::Listed(vec!["https://a.example".into()]));
    assert_eq!(server.session_event, SessionEvent::FirstCommand);
    assert_eq!(server.max_bad_messages, None);
    assert_eq!(config.outbound.max_bytes_per_connection, 64 * 1024 * 1024);
    assert_eq!((config.rate_limit.messages_per_second, config.rate_limit.burst), (Some(50), 50));
    assert_eq!(config.monitoring.status_interval, None);
    assert_eq!(config.security.sensitive_actions[0].as_str(), "system.*");
    assert_eq!(config.logging.level, log::LevelFilter::Warn);
    assert_eq!(config.logging.modules["hydrogen::sys"], log::LevelFilter::Trace);
    assert_eq!(config.logging.file, Some("log/h.log".into()));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_does_not_go_together_is_told() {
    for (text, expected) in [
        (
            section("WebSocketServer", "\"SecureMode\": \"tls\", \"KeyPath\": \"k\""),
            "f:2:19: WebSocketServer.CertificatePath: needed with SecureMode \"tls\"",
        ),
        (
            section("WebSocketServer", "\"MaxFrameSize\": 2048, \"MaxMessageSize\": 1024"),
            "f:2:21: WebSocketServer.MaxFrameSize: larger than MaxMessageSize, which is 1024",
        ),
        (
            section("Outbound", "\"MaxBytesTotal\": 1048576, \"MaxBytesPerConnection\": 1048577"),
            "f:2:22: Outbound.MaxBytesTotal: less than MaxBytesPerConnection, which is 1048577",
        ),
        (
            section("WebSocketServer", "\"Echo\": true, \"Protocols\": [\"echo\"]"),
            "f:2:32: WebSocketServer.Protocols: \"echo\" is the echo dialect's name while Echo is true",
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
    // A value that is wrong by itself is not held against others.
    for (member, problem_count) in [
        ("\"SecureMode\": \"tls\", \"KeyPath\": 1, \"CertificatePath\": \"c\"", 1),
        ("\"MaxFrameSize\": 2097152, \"MaxMessageSize\": 0", 1),
        ("\"MaxFrameSize\": 2097152, \"MaxDepth\": 0", 2),
    ] {
        assert_eq!(problems(&section("WebSocketServer", member)).len(), problem_count, "{member}");
    }
    for (text, expected) in [
        (
            section("WebSocketServer", "\"PingInterval\": 120"),
            "f:2:21: WebSocketServer.PingInterval: not shorter than IdleTimeout: silent connections are closed before a \
             ping is sent",
        ),
        (
            section("WebSocketServer", "\"AuthRequired\": false, \"Interface\": \"*\""),
            "f:2:21: WebSocketServer.AuthRequired: false, and the port can be reached from other machines: everyone \
             may connect",
        ),
        (
            section("WebSocketServer", "\"Interface\": \"10.1.2.3\", \"EnableIPv6\": true"),
            "f:2:44: WebSocketServer.EnableIPv6: without effect: no IPv6 address goes with this Interface",
        ),
        (
            section("Outbound", "\"MaxBytesPerConnection\": 65536"),
            "f:2:30: Outbound.MaxBytesPerConnection: less than WebSocketServer.MaxMessageSize, which is 1048576: the \
             largest messages cannot be passed on",
        ),
    ] {
        assert_eq!(loaded(&text).1, [expected], "{text}");
    }
}
