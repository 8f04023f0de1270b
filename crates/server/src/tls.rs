//! TLS, where a certificate is given.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::options::ServerOptions;

/// What accepts TLS; `None` without a certificate.
pub(crate) fn acceptor(options: &ServerOptions) -> io::Result<Option<TlsAcceptor>> {
    let (cert, key) = match (&options.tls_cert, &options.tls_key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return Ok(None),
        _ => {
            return Err(invalid(
                "certificate and key go together: give both or none",
            ));
        }
    };
    let chain = CertificateDer::pem_file_iter(cert).map_err(|error| unreadable(cert, &error))?;
    let chain = chain
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| invalid(&error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> io::Error {
    invalid(&format!("{}: {error}", path.display()))
}
