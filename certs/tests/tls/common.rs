//! Handshakes in memory, over the same TLS interface that QUIC uses, and peers that misbehave.

use std::sync::Arc;

use certs::server_name;
use crypto::{Identity, NetworkId, PeerId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::quic::{ClientConnection, KeyChange, ServerConnection, Version};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureAlgorithm, SignatureScheme,
};

pub(crate) fn network() -> NetworkId {
    NetworkId::from_name("here")
}

pub(crate) fn identity(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

/// How one handshake ended: at most one side has an error, which made it refuse.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) client: Result<ClientConnection, Error>,
    pub(crate) server: Result<ServerConnection, Error>,
    /// What the side that refused tells the other.
    pub(crate) alert: Option<AlertDescription>,
}

impl Outcome {
    pub(crate) fn client_error(self) -> Error {
        self.client.expect_err("the client refuses")
    }

    pub(crate) fn server_error(self) -> Error {
        self.server.expect_err("the server refuses")
    }
}

/// Shakes hands, dialling `dialled`, until both sides are done or one has refused.
pub(crate) fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    dialled: &PeerId,
) -> Outcome {
    shake_named(client, server, server_name(dialled))
}

/// As [`shake`], dialling under any name.
pub(crate) fn shake_named(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
) -> Outcome {
    shake_on_path(client, server, name, |_| {})
}

/// As [`shake_named`], with somebody on the path who changes what the server says.
pub(crate) fn shake_on_path(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
    mut change: impl FnMut(&mut Vec<u8>),
) -> Outcome {
    let mut client = ClientConnection::new(client, Version::V1, name, b"c".to_vec()).unwrap();
    let mut server = ServerConnection::new(server, Version::V1, b"s".to_vec()).unwrap();
    loop {
        let to_server = drain(|buffer| client.write_hs(buffer));
        if let Err(error) = to_server.iter().try_for_each(|bytes| server.read_hs(bytes)) {
            let alert = server.alert();
            return Outcome {
                client: Ok(client),
                server: Err(error),
                alert,
            };
        }
        let mut to_client = drain(|buffer| server.write_hs(buffer));
        to_client.iter_mut().for_each(&mut change);
        if let Err(error) = to_client.iter().try_for_each(|bytes| client.read_hs(bytes)) {
            let alert = client.alert();
            return Outcome {
                client: Err(error),
                server: Ok(server),
                alert,
            };
        }
        if to_server.is_empty() && to_client.is_empty() {
            return Outcome {
                client: Ok(client),
                server: Ok(server),
                alert: None,
            };
        }
    }
}

/// All that a side has to say before it must listen again, cut where its keys change.
fn drain(mut write: impl FnMut(&mut Vec<u8>) -> Option<KeyChange>) -> Vec<Vec<u8>> {
    let mut flights = Vec::new();
    loop {
        let mut bytes = Vec::new();
        let change = write(&mut bytes);
        if bytes.is_empty() && change.is_none() {
            return flights;
        }
        flights.push(bytes);
    }
}

/// A client that shows `chain`, signs with `key` and accepts every server.
pub(crate) fn hostile_client(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
            chain, key,
        ))));
    config.alpn_protocols = vec![certs::alpn(&network())];
    config
}

/// A server that shows `chain`, signs with `key` and accepts every client.
pub(crate) fn hostile_server(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anyone))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
            chain, key,
        ))));
    config.alpn_protocols = vec![certs::alpn(&network())];
    config
}

type SignWith = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// A handshake key that signs with whatever it was given, under whatever scheme it claims.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) scheme: SignatureScheme,
    pub(crate) sign: Arc<SignWith>,
}

impl Key {
    /// The honest handshake key of `identity`.
    pub(crate) fn of(identity: &Identity) -> Arc<dyn SigningKey> {
        let identity = identity.clone();
        Self::ed25519(move |message| identity.sign_tls(message).unwrap().to_vec())
    }

    pub(crate) fn ed25519(
        sign: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Arc<dyn SigningKey> {
        Arc::new(Self {
            scheme: SignatureScheme::ED25519,
            sign: Arc::new(sign),
        })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.scheme)
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok((self.sign)(message))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Accepts everybody: the misbehaving side has no standards.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A certificate for the key `public`, signed by `sign`, with an extension of `padding` bytes.
pub(crate) fn certificate_of(
    public: [u8; 32],
    sign: impl Fn(&[u8]) -> Vec<u8>,
    padding: usize,
) -> CertificateDer<'static> {
    struct Signing<F>([u8; 32], F);

    impl<F> rcgen::PublicKeyData for Signing<F> {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_ED25519
        }
    }

    impl<F: Fn(&[u8]) -> Vec<u8>> rcgen::SigningKey for Signing<F> {
        fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            Ok((self.1)(tbs))
        }
    }

    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from(1));
    if padding > 0 {
        let extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; padding]);
        params.custom_extensions.push(extension);
    }
    params
        .self_signed(&Signing(public, sign))
        .unwrap()
        .der()
        .clone()
}

/// A self-signed ECDSA P-256 certificate and its key.
pub(crate) fn ecdsa() -> (Vec<CertificateDer<'static>>, Arc<dyn SigningKey>) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default()
        .self_signed(&pair)
        .unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.serialize_der());
    let key = rustls::crypto::ring::sign::any_supported_type(&der.into()).unwrap();
    (vec![certificate.der().clone()], key)
}
