//! Where a PostgreSQL server is and how to talk to it: address, credentials, TLS.

use std::sync::Arc;
use std::time::Duration;
use std::{fs, str::FromStr};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config;
use crate::error::{Error, Result};

/// A server and database, without saying who connects.
#[derive(Clone)]
pub struct Endpoint {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Endpoint {
    /// Reads `database.url`.
    ///
    /// `sslmode` is `disable`, `require` (encrypted) or `verify-full`. Without it, loopback and sockets are plain
    /// and everything else is encrypted: libpq's `prefer` would fall back to plain text in silence.
    pub fn parse(settings: &config::Database) -> Result<Self> {
        let (url, mode) = take_ssl_mode(settings.url.expose())?;
        let mut config = Config::from_str(&url).map_err(|error| {
            Error::malformed("The setting `database.url` is not a PostgreSQL connection string.")
                .hint("postgresql://user:password@host:5432/database")
                .context(error)
        })?;
        let mode = mode.unwrap_or(if is_local(&config) { Mode::Disable } else { Mode::Require });
        config.ssl_mode(if mode == Mode::Disable { SslMode::Disable } else { SslMode::Require });
        config.connect_timeout(Duration::from_millis(settings.connect_timeout_ms));
        config
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(60));
        Ok(Self { config, tls: MakeRustlsConnect::new(client_tls(mode, &settings.ca_file)?) })
    }

    /// The connection parameters with the session settings in `options` (`-c name=value …`).
    pub fn session(&self, application: &str, options: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(application).options(options);
        config
    }

    /// How to encrypt, for connecting and for cancelling.
    pub fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Require,
    VerifyFull,
}

/// tokio-postgres does not know `verify-full`, so the parameter is taken out of the URL.
fn take_ssl_mode(url: &str) -> Result<(String, Option<Mode>)> {
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (ssl, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with("sslmode="));
    let mode = match ssl.first().and_then(|pair| pair.strip_prefix("sslmode=")) {
        None => None,
        Some("disable") => Some(Mode::Disable),
        Some("require") => Some(Mode::Require),
        Some("verify-full") => Some(Mode::VerifyFull),
        Some(other) => {
            return Err(Error::malformed(format!("`sslmode={other}` is not supported in `database.url`."))
                .hint("Use disable, require or verify-full."));
        }
    };
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((url, mode))
}

fn is_local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    })
}

fn client_tls(mode: Mode, ca_file: &str) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    if mode != Mode::VerifyFull {
        let verifier = Arc::new(EncryptOnly(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    if ca_file.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    } else {
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::malformed(format!("Cannot read certificates from {ca_file} (database.ca_file): {error}."))
        };
        let pem = fs::read(ca_file).map_err(|error| unreadable(&error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    if roots.is_empty() {
        return Err(Error::malformed("sslmode=verify-full needs certificate authorities and none were found.")
            .hint("Set database.ca_file to a PEM file."));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// libpq's `sslmode=require`: the wire is encrypted, the server's name is not checked.
#[derive(Debug)]
struct EncryptOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for EncryptOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_mode_is_taken_out_of_the_url() {
        let (url, mode) = take_ssl_mode("postgresql://u:p@h/d?a=b&sslmode=verify-full").unwrap();
        assert_eq!(url, "postgresql://u:p@h/d?a=b");
        assert!(mode == Some(Mode::VerifyFull));
        assert!(take_ssl_mode("postgresql://h/d?sslmode=prefer").is_err());
    }

    #[test]
    fn a_remote_server_is_never_spoken_to_in_plain_text_by_default() {
        assert!(is_local(&"postgresql://u@127.0.0.1/d".parse().unwrap()));
        assert!(!is_local(&"postgresql://u@db.example/d".parse().unwrap()));
    }
}
