//! `guaranteed` against the brokers that it is made for, where they are installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

/// A broker, ended with its folder when the test ends.
struct Broker {
    child: Child,
    folder: PathBuf,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself, and the folder is the system's temporary one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|it| it.is_file());
    if found.is_none() {
        eprintln!("{program} is not installed: nothing to test against");
    }
    found
}

/// Starts it with a configuration for a free port and a folder, and waits until it listens.
fn start(program: &Path, configuration: impl Fn(u16, &Path) -> String) -> (Broker, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = std::env::temp_dir().join(format!("hydrogen-bench-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("broker.conf");
    std::fs::write(&file, configuration(port, &folder)).unwrap();
    let child = Command::new(program).arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let broker = Broker { child, folder };
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "{} does not listen", program.display());
        thread::sleep(Duration::from_millis(10));
    }
    (broker, port)
}

fn check(url: &str, protocol: &str) {
    for more in ["-c 0 -p 16", "-c 20 -p 16 --publishers 3"] {
        let line = format!("guaranteed {more} --protocol {protocol}");
        let report = bench_at(url, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(report.faults.is_none(), "{line}: {report}");
        assert!(report.messages > 20, "{line}: {report}");
        let deliveries = report.deliveries.as_ref().unwrap().count;
        assert_eq!(deliveries > 0, report.connections > 0, "{line}: {report}");
    }
}

#[test]
fn mosquitto_acknowledges_with_quality_of_service_1() {
    let Some(program) = installed("mosquitto") else { return };
    // Without `user`, one that root starts becomes another user, who may not write here.
    let (_broker, port) = start(&program, |port, folder| {
        let folder = folder.display();
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\n\
             persistence true\npersistence_location {folder}/\nmax_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
        )
    });
    check(&format!("tcp://127.0.0.1:{port}"), "mqtt");
}

#[test]
fn jetstream_answers_what_it_has_stored() {
    let Some(program) = installed("nats-server") else { return };
    let (_broker, port) = start(&program, |port, folder| {
        format!("listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n", folder.display())
    });
    check(&format!("tcp://127.0.0.1:{port}"), "nats");
}
