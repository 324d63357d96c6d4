//! The checks that rustls asks for during a handshake.

use crypto::{PeerId, verify_raw};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use crate::Refusal;
use crate::certificate::{key_of, peer_id_of};

/// What makes an id a DNS name; `.invalid` belongs to nobody (RFC 2606 §2).
const NAME_SUFFIX: &str = ".vouchsafe.invalid";

/// The name under which `peer` is dialled. It tells the verifier whom to expect and is never sent.
pub fn server_name(peer: &PeerId) -> ServerName<'static> {
    // 52 letters and digits make one label of a DNS name, which takes up to 63.
    ServerName::try_from(format!("{peer}{NAME_SUFFIX}"))
        .expect("an id of letters and digits is a DNS label")
}

/// Whom a name made by [`server_name`] means.
fn peer_named(name: &ServerName<'_>) -> Option<PeerId> {
    let ServerName::DnsName(name) = name else {
        return None;
    };
    name.as_ref().strip_suffix(NAME_SUFFIX)?.parse().ok()
}

/// Whose certificates these are: exactly one, and a good one.
pub fn peer_id_of_chain(certificates: &[CertificateDer<'_>]) -> Result<PeerId, Refusal> {
    match certificates {
        [] => Err(Refusal::NoCertificate),
        [one] => Ok(peer_id_of(one)?),
        more => Err(Refusal::Chain { found: more.len() }),
    }
}

/// Verifies peers on both sides of a handshake. Stateless: whom to expect comes with the dial.
#[derive(Debug)]
pub(crate) struct PeerVerifier;

impl PeerVerifier {
    fn check(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<PeerId, Refusal> {
        if !intermediates.is_empty() {
            let found = intermediates.len().saturating_add(1);
            return Err(Refusal::Chain { found });
        }
        Ok(peer_id_of(end_entity)?)
    }

    /// The handshake's signature, by the same strict rule as every other.
    fn check_signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(Refusal::Scheme.into());
        }
        let peer = key_of(certificate).map_err(Refusal::from)?;
        verify_raw(&peer, message, signed.signature()).map_err(|_| Refusal::Handshake)?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let dialled = peer_named(server_name).ok_or(Refusal::NoPeerNamed)?;
        let found = Self::check(end_entity, intermediates)?;
        if found != dialled {
            return Err(Refusal::WrongPeer { dialled, found }.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
