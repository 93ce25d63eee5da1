//! wss:// against a server in this process, with a certificate that signs itself.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Echoes over TLS; returns the URL, and the certificate in PEM.
fn serve_tls() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = ServerConnection::new(config.clone()).unwrap();
            thread::spawn(move || echo(StreamOwned::new(tls, stream)));
        }
    });
    (url, made.cert.pem())
}

fn echo(mut stream: StreamOwned<ServerConnection, TcpStream>) -> Option<()> {
    read_request(&mut stream)?;
    stream.write_all(UPGRADED).ok()?;
    loop {
        let frame = read_frame(&mut stream)?;
        stream.write_all(&frame).ok()?;
    }
}

#[test]
fn every_scenario_runs_over_tls() {
    let (url, _) = serve_tls();
    for line in ["echo -c 3 -p 2", "echo -c 1 -s 60000", "idle -c 3 --ping-rate 100", "connect -c 2"] {
        let report =
            bench_at(&url, &format!("{line} --protocol raw --insecure")).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(report.faults.is_none() && report.messages > 2, "{line}: {report}");
        assert_eq!(report.set_up.failed, 0, "{line}: {report}");
    }
}

#[test]
fn a_certificate_is_trusted_where_it_is_named_and_not_otherwise() {
    let (url, pem) = serve_tls();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let report = bench_at(&url, &format!("echo -c 1 --ca {}", file.display())).unwrap();
    assert!(report.messages > 2, "{report}");
    let Err(BenchError::Server(text)) = bench_at(&url, "echo -c 1") else { panic!("a stranger was trusted") };
    assert!(text.contains("certificate"), "{text}");
}
