//! One self-signed certificate for all servers of this process, and clients that trust it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

struct Made {
    certificate: String,
    key: String,
    client: Arc<ClientConfig>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let der = CertificateDer::from(own.cert.der().to_vec());
        let mut roots = RootCertStore::empty();
        roots.add(der).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Made { certificate: own.cert.pem(), key: own.signing_key.serialize_pem(), client: Arc::new(client) }
    })
}

/// Writes certificate and key into a folder.
pub fn write(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, &made().certificate).unwrap();
    std::fs::write(&key, &made().key).unwrap();
    (certificate, key)
}

/// Trusts the certificate and nothing else.
pub fn client() -> Arc<ClientConfig> {
    made().client.clone()
}
