//! TLS for wss://: whom to trust.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::target::Target;
use crate::cli::exit::{Exit, Stop};

/// A TLS client for the target; it has sent nothing yet.
pub(super) fn client(target: &Target) -> Result<ClientConnection, Stop> {
    let name = ServerName::try_from(target.host.clone())
        .map_err(|_| Stop::usage("the URL's host is no name that a certificate could bear"))?;
    let roots = match &target.ca {
        Some(file) => roots_of(file)?,
        None => roots_of_the_system()?,
    };
    let internal = |error: rustls::Error| Stop::new(Exit::Internal, error);
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(internal)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    ClientConnection::new(Arc::new(config), name).map_err(internal)
}

fn roots_of(file: &Path) -> Result<RootCertStore, Stop> {
    let bad = |why: &dyn std::fmt::Display| Stop::usage(format_args!("--ca {}: {why}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(&error))? {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() { Err(bad(&"no certificate in it")) } else { Ok(roots) }
}

fn roots_of_the_system() -> Result<RootCertStore, Stop> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems keep some certificates that nothing can read.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Stop::new(Exit::System, "this system has no trusted certificates; name some with --ca"));
    }
    Ok(roots)
}
