//! What configurations of earlier servers come to.

use super::*;

#[test]
fn renamed_keys_are_read_with_a_warning_that_names_the_new_one() {
    let (config, warnings) = loaded(
        "{\"WebSocket\": {\n\"Port\": 5001,\n\"protocol\": \"hydrogen-test\",\n\"Heartbeat\": {\n\"Enabled\": true,\n\
         \"PingIntervalSeconds\": 1,\n\"PongTimeoutSeconds\": 60,\n\"StaleConnectionSeconds\": 90},\n\
         \"ConnectionTimeouts\": {\n\"ExitWaitSeconds\": 3,\n\"ServiceLoopDelayMs\": 50},\n\"CertPath\": \"c\",\n\
         \"LibLogLevel\": 2}}",
    );
    let server = &config.web_socket_server;
    assert_eq!((server.port, server.protocols.as_slice()), (5001, &["hydrogen-test".to_owned()][..]));
    assert_eq!((server.ping_interval.as_secs(), server.idle_timeout.as_secs()), (1, 90));
    assert_eq!(config.shutdown.drain_timeout.as_secs(), 3);
    assert_eq!(
        warnings,
        [
            "f:1:2: WebSocket: older name; the new one is WebSocketServer",
            "f:3:1: WebSocket.protocol: older name; the new one is WebSocketServer.Protocols",
            "f:5:1: WebSocket.Heartbeat.Enabled: not used by this server; see WebSocketServer.PingInterval",
            "f:6:1: WebSocket.Heartbeat.PingIntervalSeconds: older name; the new one is WebSocketServer.PingInterval",
            "f:7:1: WebSocket.Heartbeat.PongTimeoutSeconds: older name of WebSocketServer.IdleTimeout; not used \
             beside WebSocket.Heartbeat.StaleConnectionSeconds",
            "f:8:1: WebSocket.Heartbeat.StaleConnectionSeconds: older name; the new one is \
             WebSocketServer.IdleTimeout",
            "f:10:1: WebSocket.ConnectionTimeouts.ExitWaitSeconds: older name; the new one is Shutdown.DrainTimeout",
            "f:11:1: WebSocket.ConnectionTimeouts.ServiceLoopDelayMs: not used by this server",
            "f:12:1: WebSocket.CertPath: older name; the new one is WebSocketServer.CertificatePath",
            "f:13:1: WebSocket.LibLogLevel: not used by this server; see Logging.Level",
        ]
    );
}

#[test]
fn values_under_older_names_are_checked_as_well() {
    assert_eq!(
        problems("{\"WebSocketServer\": {\"Protocol\": 5, \"Heartbeat\": 1, \"Prot\": 2}}"),
        [
            "f:1:34: WebSocketServer.Protocol: expected a list of strings, found a number",
            "f:1:50: WebSocketServer.Heartbeat: expected an object, found a number",
            "f:1:53: WebSocketServer.Prot: unknown key; did you mean \"Port\"?",
        ]
    );
}

#[test]
fn a_new_name_beside_its_older_one_is_an_error() {
    assert_eq!(
        problems("{\"WebSocket\": {}, \"WebSocketServer\": {}}"),
        ["f:1:2: WebSocket: the older name of WebSocketServer, which stands at 1:19 too"]
    );
    assert_eq!(
        problems("{\"WebSocketServer\": {\"Protocol\": \"a\", \"Protocols\": [\"b\"]}}"),
        ["f:1:22: WebSocketServer.Protocol: the older name of WebSocketServer.Protocols, which stands at 1:39 too"]
    );
}

#[test]
fn enable_ipv4_meant_all_addresses_or_none() {
    for (members, expected) in [
        ("\"EnableIPv4\": true", Some("0.0.0.0:8080")),
        ("\"EnableIPv4\": true, \"EnableIPv6\": true", Some("0.0.0.0:8080 [::]:8080")),
        ("\"EnableIPv4\": true, \"Interface\": \"127.0.0.1\"", Some("127.0.0.1:8080")),
        ("\"EnableIPv4\": false, \"EnableIPv6\": true", Some("[::]:8080")),
        ("\"EnableIPv4\": false", None),
        ("\"EnableIPv4\": false, \"Enabled\": true", Some("127.0.0.1:8080")),
        ("\"EnableIPv6\": true", Some("127.0.0.1:8080 [::1]:8080")),
    ] {
        let (config, _) = loaded(&section("WebSocketServer", members));
        let server = config.web_socket_server;
        let addresses: Vec<String> = server.addresses().iter().map(SocketAddr::to_string).collect();
        assert_eq!(server.enabled.then(|| addresses.join(" ")).as_deref(), expected, "{members}");
    }
}

#[test]
fn sections_without_use_are_accepted_unread() {
    let (config, warnings) = loaded(
        "{\"Server\": {\"ServerName\": \"Philement/hydrogen\", \"PayloadKey\": \"${env.NO}\"},\n\
         \"mDNSServer\": {\"Services\": [{\"Port\": \"${env.NO}\"}]},\n\
         \"Network\": {\"Available\": {\"lo\": true}, \"NameLookup\": false},\n\
         \"Logging\": {\"File\": {\"Enabled\": false}, \"Levels\": []},\n\"LogFile\": \"x.log\"}",
    );
    assert_eq!(config.server_name, "Philement/hydrogen");
    assert!(!config.network.name_lookup);
    assert_eq!(config.logging.file, Some("x.log".into()));
    assert_eq!(
        warnings,
        [
            "f:1:13: Server.ServerName: older name; the new one is ServerName",
            "f:1:49: Server.PayloadKey: not used by this server",
            "f:2:1: mDNSServer: not used by this server",
            "f:3:13: Network.Available: not used by this server",
            "f:4:13: Logging.File: an object of this name is not used by this server; see Logging.File",
            "f:4:41: Logging.Levels: not used by this server; see Logging.Level",
            "f:5:1: LogFile: older name; the new one is Logging.File",
        ]
    );
}

#[test]
fn the_table_names_keys_that_exist() {
    let mut reading = Reading::new(&|_| None);
    reading.read(None, Config::read);
    for (path, fate) in older::OLDER {
        let new = match fate {
            older::Fate::Renamed(new) | older::Fate::Replaced(new) | older::Fate::UnusedObject(new) => new,
            older::Fate::Unused(Some(new)) => new,
            older::Fate::Unused(None) | older::Fate::Group => continue,
        };
        assert!(reading.keys.iter().any(|key| key.path == *new), "{path}: {new}");
    }
}

#[test]
fn an_older_configuration_starts_as_it_did() {
    let (config, warnings) = loaded(
        "{\"Server\": {\"ServerName\": \"old\"}, \"WebServer\": {\"Port\": 5230}, \"WebSocketServer\": {\"Port\": 5231,
          \"EnableIPv4\": \"${env.YES}\", \"EnableIPv6\": true, \"Protocol\": \"hydrogen\", \"Key\": \"${env.WEBSOCKET_KEY}\",
          \"MaxMessageSize\": 2048, \"ConnectionTimeouts\": {\"ExitWaitSeconds\": 3}}}",
    );
    let server = &config.web_socket_server;
    assert_eq!(config.server_name, "old");
    assert_eq!(server.addresses(), ["0.0.0.0:5231".parse().unwrap(), "[::]:5231".parse::<SocketAddr>().unwrap()]);
    assert_eq!(server.protocols, ["hydrogen"]);
    assert!(server.enabled && server.auth_required && server.key.is_some());
    assert_eq!((server.max_message_size, server.max_frame_size), (2048, 2048));
    assert_eq!(warnings.len(), 5, "{warnings:?}");
}
