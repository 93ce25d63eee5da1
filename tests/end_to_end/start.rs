//! Starting, and why a server does not start.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hydrogen::base::Wall;
use hydrogen::config::SecureMode;
use hydrogen::engine::channel::{Action, Call, Channel, Outcome, Session};
use hydrogen::server::{Server, StartError, first_key};

use crate::harness::{Lab, Scene, Stage, Variant, scenarios};

scenarios! {
    a_second_server_on_the_port_does_not_start
    a_server_starts_again_where_one_was
}

fn a_second_server_on_the_port_does_not_start(variant: Variant) {
    let first = Scene::start(variant);
    let mut client = first.root();
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.port = first.server().addresses()[0].port();
    match Server::builder(stage.config.clone()).start() {
        Err(StartError::Listen(address, error)) => {
            assert_eq!(address, first.server().addresses()[0]);
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
    client.ping();
}

fn a_server_starts_again_where_one_was(variant: Variant) {
    let first = Stage::new(variant);
    let mut config = first.config.clone();
    let admin = first.admin.clone();
    let mut first = first.start();
    config.web_socket_server.port = first.server().addresses()[0].port();
    let mut client = first.root();
    let server = first.take_server();
    let stopping = std::thread::spawn(move || server.stop());
    client.closed(1001);
    stopping.join().unwrap();
    let again = Server::builder(config).start().unwrap();
    assert_eq!(again.url(), format!("{}://{}", if variant.tls { "https" } else { "http" }, again.addresses()[0]));
    first.try_client(&admin).unwrap_or_else(|refusal| panic!("{refusal:?}")).ping();
}

struct Odd(Vec<Action>);

impl Channel for Odd {
    fn actions(&self) -> &[Action] {
        &self.0
    }

    fn call(&self, _: &Call<'_>, session: &mut dyn Session) -> Outcome {
        match hydrogen::engine::auth::Target::identity("x") {
            Ok(target) => session.unblock(target),
            Err(_) => Outcome::Later,
        }
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    type Change = fn(&mut Stage);
    let cases: [(&str, Change); 7] = [
        ("DataDir", |stage| stage.config.data_dir = PathBuf::from("/proc/none")),
        ("keys.json", |stage| std::fs::remove_file(stage.keys_path()).unwrap()),
        ("keys.json", |stage| std::fs::write(stage.keys_path(), "{}").unwrap()),
        ("Enabled", |stage| stage.config.web_socket_server.enabled = false),
        ("missing.pem", |stage| {
            let (certificate_path, key_path) = ("missing.pem".into(), "missing.key".into());
            stage.config.web_socket_server.secure_mode = SecureMode::Tls { certificate_path, key_path };
        }),
        ("no certificate", |stage| {
            let key_path = stage.keys_path();
            stage.config.web_socket_server.secure_mode =
                SecureMode::Tls { certificate_path: key_path.clone(), key_path };
        }),
        ("192.0.2.1", |stage| stage.config.web_socket_server.interface = "192.0.2.1".parse().unwrap()),
    ];
    for (expected, change) in cases {
        let mut stage = Stage::new(Variant::PLAIN_ONE);
        change(&mut stage);
        let error =
            Server::builder(stage.config.clone()).start().err().unwrap_or_else(|| panic!("{expected}: started"));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let stage = Stage::new(Variant::PLAIN_ONE);
    // A file where the folder should be holds up an administrator too.
    let mut config = stage.config.clone();
    config.data_dir = stage.keys_path();
    let error = Server::builder(config).start().err().unwrap();
    assert!(matches!(error, StartError::DataDir(_, _)), "{error}");
    let folder = &stage.config.data_dir;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let is_held_up = std::fs::write(folder.join("probe"), "").is_err();
    let started = Server::builder(stage.config.clone()).start();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(matches!(started, Err(StartError::DataDir(_, _))), is_held_up, "{:?}", started.err());
}

#[test]
fn channels_are_checked_before_anything_runs() {
    let action = |name| Action { name, summary: "", access: hydrogen::engine::channel::Access::Anyone };
    for (name, actions) in [
        ("system", vec![]),
        ("network", vec![]),
        ("lab", vec![]),
        ("Upper", vec![]),
        ("", vec![]),
        ("fine", vec![action("Not fine")]),
    ] {
        let stage = Stage::new(Variant::PLAIN_ONE);
        let builder = Server::builder(stage.config.clone()).channel("lab", Lab::default());
        let error = builder.channel(name, Odd(actions)).start().err().unwrap();
        assert!(matches!(error, StartError::Channel(_)), "{name}: {error}");
    }
}

#[test]
fn the_first_key_is_made_once() {
    let stage = Stage::new(Variant::PLAIN_ONE);
    assert_eq!(first_key(&stage.config).unwrap(), None, "there is a keys file");
    let mut config = stage.config.clone();
    config.data_dir = stage.config.data_dir.join("deeper/still");
    let token = first_key(&config).unwrap().unwrap();
    assert!(token.starts_with("hyd1."));
    assert_eq!(first_key(&config).unwrap(), None);
    let keys = hydrogen::sys::keyfile::list(&config.data_dir.join("keys.json")).unwrap();
    assert!(keys.len() == 1 && keys[0].permissions.is_admin() && keys[0].created > Wall(0));
    Server::builder(config).start().unwrap().stop();
}
