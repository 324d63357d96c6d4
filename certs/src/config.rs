//! rustls configurations for both sides.

use std::sync::Arc;

use crypto::{Identity, NetworkId, SignError};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureAlgorithm, SignatureScheme};

use crate::certificate::certificate;
use crate::verifier::PeerVerifier;

/// The protocol and its major version, as the ALPN names them.
const PROTOCOL: &str = "vouchsafe/1";

/// Why no configuration could be made. With a key that the process holds, none of these occurs.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The identity did not sign its certificate.
    #[error("cannot sign the node's certificate: {0}")]
    Sign(#[source] SignError),
    /// The certificate could not be put together.
    #[error("cannot make the node's certificate: {0}")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library refused its configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The ALPN protocol of `network`: `vouchsafe/1/` and the 16 characters of its short id.
pub fn alpn(network: &NetworkId) -> Vec<u8> {
    format!("{PROTOCOL}/{}", network.short()).into_bytes()
}

/// How `identity` dials in `network`. Dial with [`server_name`](crate::server_name).
pub fn client_config(
    identity: &Identity,
    network: &NetworkId,
) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier))
        .with_client_cert_resolver(Arc::new(certified_key(identity)?));
    config.alpn_protocols = vec![alpn(network)];
    // A resumed session is not verified again, and what would be sent early has no judge at all.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The name says whom we dial; nobody on the path needs to know.
    config.enable_sni = false;
    Ok(config)
}

/// How `identity` accepts in `network`.
pub fn server_config(
    identity: &Identity,
    network: &NetworkId,
) -> Result<ServerConfig, ConfigError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(PeerVerifier))
        .with_cert_resolver(Arc::new(certified_key(identity)?));
    config.alpn_protocols = vec![alpn(network)];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// The one place that chooses the implementation of everything but signatures.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certified_key(identity: &Identity) -> Result<SingleCertAndKey, ConfigError> {
    let key = Arc::new(TlsKey(identity.clone()));
    Ok(CertifiedKey::new(vec![certificate(identity)?], key).into())
}

/// An identity as rustls wants it: signs handshakes with Ed25519 and nothing else.
#[derive(Clone, Debug)]
struct TlsKey(Identity);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ED25519)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let id = rustls::pki_types::alg_id::ED25519;
        Some(rustls::sign::public_key_to_spki(
            &id,
            self.0.id().as_bytes(),
        ))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        match self.0.sign_tls(message) {
            Ok(signature) => Ok(signature.to_vec()),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
