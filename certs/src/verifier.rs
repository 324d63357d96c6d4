//! The checks that rustls asks for during a handshake.

use crypto::{PeerId, verify_raw};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use crate::Refusal;
use crate::certificate::{check_self_signature, key_of, peer_id_of};

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

/// Who is at the other end of a connection whose handshake is complete, by the certificates that it sent. The verifier of this room has
/// judged them during the handshake; they are not judged again.
///
/// # Errors
/// They are not what the verifier lets pass: the connection is not one of [`client_config`](crate::client_config) or
/// [`server_config`](crate::server_config).
pub fn peer_at_other_end(certificates: &[CertificateDer<'_>]) -> Result<PeerId, Refusal> {
    match certificates {
        [] => Err(Refusal::NoCertificate),
        [one] => Ok(PeerId::of_checked_bytes(&key_of(one)?)),
        more => Err(Refusal::Chain { found: more.len() }),
    }
}

/// Verifies peers on both sides of a handshake. Stateless: whom to expect comes with the dial.
#[derive(Debug)]
pub(crate) struct PeerVerifier;

impl PeerVerifier {
    /// Exactly one certificate.
    fn check_alone(intermediates: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        if !intermediates.is_empty() {
            let found = intermediates.len().saturating_add(1);
            return Err(Refusal::Chain { found });
        }
        Ok(())
    }

    /// The handshake's signature, by the same strict rule as every other. rustls has had the certificate judged before it asks for this.
    fn check_signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(Refusal::Scheme.into());
        }
        let peer = PeerId::of_checked_bytes(&key_of(certificate).map_err(Refusal::from)?);
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
        Self::check_alone(intermediates)?;
        let key = PeerId::of_checked_bytes(&key_of(end_entity).map_err(Refusal::from)?);
        // Not checked, and no more than a name yet. Whoever dialled knows a good key; one that has the same name is that one.
        if *server_name != self::server_name(&key) {
            let dialled = peer_named(server_name).ok_or(Refusal::NoPeerNamed)?;
            let found = peer_id_of(end_entity).map_err(Refusal::from)?;
            return Err(Refusal::WrongPeer { dialled, found }.into());
        }
        check_self_signature(end_entity, &key).map_err(Refusal::from)?;
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
        Self::check_alone(intermediates)?;
        peer_id_of(end_entity).map_err(Refusal::from)?;
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
