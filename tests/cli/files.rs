//! Keys and configurations, in folders of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{Ran, command, finish, run};

/// A folder that goes with its test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Runs `hydrogen key …` on the data folder `data`, which need not be there.
    fn key(&self, args: &[&str]) -> Ran {
        run(&[&["key"], args, &["--data-dir", &self.path("data")]].concat())
    }

    fn keys(&self) -> Vec<Value> {
        serde_json::from_str(&self.key(&["list", "--json"]).expect(0).out).unwrap()
    }

    /// Runs `hydrogen check` on this configuration.
    fn check(&self, config: &str) -> Ran {
        run(&["check", "--config", &self.write("hydrogen.json", config)])
    }
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_created_key_prints_its_token_alone_and_keeps_its_secret_out_of_the_file() {
    let folder = Folder::new();
    let permit = ["--permit", "connect,publish:a.>", "--permit", "call:lamp.*"];
    let ran = folder.key(&[&["create", "kitchen", "--expires", "30d"], &permit[..]].concat()).expect(0);
    let token = ran.out.strip_suffix('\n').unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("hyd1", 16, 43), "{token}");
    assert!(!ran.err.contains(parts[2]), "{}", ran.err);
    assert_eq!((mode(&folder.path("data")), mode(&folder.path("data/keys.json"))), (0o700, 0o600));
    assert!(!fs::read_to_string(folder.path("data/keys.json")).unwrap().contains(parts[2]));
    let keys = folder.keys();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (&keys[0]["id"], &keys[0]["name"], &keys[0]["state"]),
        (&parts[1].into(), &"kitchen".into(), &"good".into())
    );
    assert_eq!(keys[0]["permissions"], serde_json::json!(["connect", "publish:a.>", "call:lamp.*"]));
    assert!(keys[0]["expires"].is_string() && keys[0]["revoked"].is_null());
}

#[test]
fn keys_are_revoked_by_name_or_id_and_listed_as_revoked() {
    let folder = Folder::new();
    let create = |name: &str| folder.key(&["create", name, "--permit", "connect"]).expect(0).out;
    let id = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let (one, two, other) = (id(&create("a")), id(&create("a")), id(&create("b")));
    assert_eq!(folder.key(&["revoke", &one]).expect(0).lines(), [one.as_str()]);
    assert_eq!(folder.key(&["revoke", "a"]).expect(0).lines(), [two.as_str()]);
    let again = folder.key(&["revoke", "a"]).expect(0);
    assert!(again.out.is_empty() && again.err.contains("before"), "{again:?}");
    let states: Vec<(String, String)> = folder
        .keys()
        .iter()
        .map(|key| (key["id"].as_str().unwrap().into(), key["state"].as_str().unwrap().into()))
        .collect();
    assert_eq!(states, [(one, "revoked".into()), (two, "revoked".into()), (other.clone(), "good".into())]);
    let table = folder.key(&["list"]).expect(0);
    assert!(table.lines()[0].starts_with("ID") && table.lines()[3].contains(&other), "{}", table.out);
    folder.key(&["revoke", "nobody"]).expect(2);
}

#[test]
fn signing_secrets_go_into_a_new_file_of_their_owner() {
    let folder = Folder::new();
    let secret = folder.path("secret");
    folder.key(&["create", "a", "--permit", "admin", "--hmac", &secret]).expect(0);
    assert_eq!((mode(&secret), fs::read_to_string(&secret).unwrap().trim().len()), (0o600, 43));
    // What is there is not written over, and no key is made.
    folder.key(&["create", "b", "--permit", "admin", "--hmac", &secret]).expect(71);
    let public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    folder.key(&["create", "c", "--permit", "admin", "--ed25519", public]).expect(0);
    // A key that makes no sense leaves no secret behind.
    let left = folder.path("left");
    folder.key(&["create", "a b", "--permit", "admin", "--hmac", &left]).expect(2);
    assert!(!Path::new(&left).exists());
    let signing: Vec<Value> = folder.keys().iter().map(|key| key["signing"].clone()).collect();
    assert_eq!(signing, ["hmac_sha256", "ed25519"]);
}

#[test]
fn keys_that_make_no_sense_are_explained() {
    let folder = Folder::new();
    for (args, part) in [
        (&["a", "--permit", "fly"][..], "the verbs are"),
        (&["a", "--permit", "connect", "--expires", "soon"], "neither like 30d"),
        (&["a", "--permit", "connect", "--expires", "2001-01-01"], "expired from the start"),
        (&["anonymous", "--permit", "connect"], "the server's own"),
    ] {
        let ran = folder.key(&[&["create"], args].concat()).expect(2);
        assert!(ran.err.contains(part) && ran.out.is_empty(), "{args:?}: {ran:?}");
    }
    let ran = folder.key(&["create", "a", "--permit", "publish:a.b"]).expect(0);
    assert!(ran.err.contains("--permit connect"), "{}", ran.err);
}

#[test]
fn a_token_that_nobody_gets_is_revoked() {
    let folder = Folder::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let args = ["key", "create", "a", "--permit", "admin", "--data-dir", &folder.path("data")];
    let ran = finish(command(&args).stdout(full).spawn().unwrap()).expect(71);
    assert!(ran.err.contains("the new key is revoked"), "{}", ran.err);
    assert_eq!(folder.keys()[0]["state"], "revoked");
}

#[test]
fn the_data_folder_is_the_configurations() {
    let folder = Folder::new();
    let data = folder.path("elsewhere");
    let config = folder.write("hydrogen.json", &format!("{{\"DataDir\": {data:?}}}"));
    run(&["key", "create", "a", "--permit", "admin", "--config", &config]).expect(0);
    let mut from_environment = command(&["key", "list", "--json"]);
    let ran = finish(from_environment.env("HYDROGEN_CONFIG", &config).spawn().unwrap()).expect(0);
    assert!(ran.out.contains("\"name\":\"a\"") && Path::new(&data).join("keys.json").exists(), "{ran:?}");
    folder.write("hydrogen.json", "{\"DataDir\": 1}");
    run(&["key", "list", "--config", &config]).expect(2);
}

#[test]
fn a_good_configuration_is_summed_up() {
    let folder = Folder::new();
    folder.key(&["create", "a", "--permit", "admin"]).expect(0);
    let data = folder.path("data");
    let before = fs::read_dir(&data).unwrap().count();
    let ran = folder.check(&format!("{{\"DataDir\": {data:?}, \"WebSocketServer\": {{\"Port\": 4711}}}}")).expect(0);
    for part in ["ws://127.0.0.1:4711/", "1 good, 0 expired, 0 revoked", "hydrogen-protocol", &data] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.err.is_empty(), "{}", ran.err);
    assert_eq!(fs::read_dir(&data).unwrap().count(), before);
}

#[test]
fn a_data_folder_that_can_be_made_is_good_and_a_missing_key_is_told() {
    let folder = Folder::new();
    let ran = folder.check(&format!("{{\"DataDir\": {:?}}}", folder.path("new/data"))).expect(0);
    assert!(ran.out.contains("the first start makes one"), "{}", ran.out);
    assert!(ran.err.is_empty(), "{}", ran.err);
    assert!(!Path::new(&folder.path("new")).exists());
    // With a keys file nothing is made by itself.
    folder.key(&["create", "a", "--permit", "admin"]).expect(0);
    folder.key(&["revoke", "a"]).expect(0);
    let ran = folder.check(&format!("{{\"DataDir\": {:?}}}", folder.path("data"))).expect(0);
    assert!(ran.err.contains("warning: there is no good key"), "{}", ran.err);
}

#[test]
fn bad_configurations_are_told_with_all_that_is_wrong() {
    let folder = Folder::new();
    let ran = folder.check("{\"WebSocketServer\": {\"Prot\": 1, \"Port\": 99999}}").expect(2);
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{}", ran.err);
    assert!(ran.err.contains("hydrogen.json:1:22: WebSocketServer.Prot") && ran.out.is_empty(), "{ran:?}");

    fs::create_dir(folder.path("data")).unwrap();
    folder.write("data/keys.json", "{\"version\":1,\"keys\":[{}]}");
    let (data, missing) = (folder.path("data"), folder.path("missing/x"));
    let tls = format!("\"SecureMode\": \"tls\", \"CertificatePath\": {missing:?}, \"KeyPath\": {missing:?}");
    let config =
        format!("{{\"DataDir\": {data:?}, \"WebSocketServer\": {{{tls}}}, \"Logging\": {{\"File\": {missing:?}}}}}");
    let ran = folder.check(&config).expect(2);
    for part in ["SecureMode: ", "keys file: ", "Logging.File: "] {
        assert!(ran.err.contains(&format!("error: {part}")) || ran.err.contains(part), "{part}: {}", ran.err);
    }
    let file = folder.write("file", "");
    let ran = folder.check(&format!("{{\"DataDir\": {file:?}}}")).expect(2);
    assert!(ran.err.contains("is no folder"), "{}", ran.err);
    run(&["check", "--config", &folder.path("none.json")]).expect(2);
}

/// A key and a certificate of its own for 127.0.0.1, made by openssl.
pub fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let openssl = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{openssl:?}");
    (certificate, key)
}

#[test]
fn certificate_and_key_must_belong_together() {
    let folder = Folder::new();
    let (one, one_key) = certificate(folder.0.path(), "one");
    let (_, other_key) = certificate(folder.0.path(), "other");
    let check = |key: &Path| {
        folder.check(&format!(
            "{{\"DataDir\": {:?}, \"WebSocketServer\": {{\"SecureMode\": \"tls\", \"CertificatePath\": {one:?}, \"KeyPath\": {key:?}}}}}",
            folder.path("data")
        ))
    };
    assert!(check(&one_key).expect(0).out.contains("wss://"));
    assert!(check(&other_key).expect(2).err.contains("do not go together"));
}

#[test]
fn a_server_does_not_start_with_a_bad_configuration() {
    let folder = Folder::new();
    let config = folder.write("hydrogen.json", "{\"WebSocketServer\": {\"Port\": \"x\"}}");
    let ran = run(&["serve", "--config", &config]).expect(2);
    assert!(ran.err.contains("WebSocketServer.Port"), "{}", ran.err);
}
