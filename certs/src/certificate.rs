//! The certificate of a key, and the key of a certificate.

use std::cell::RefCell;
use std::time::Duration;

use crypto::{BadKey, Identity, PeerId, SignError, verify_raw};
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, SerialNumber};
use rustls::pki_types::CertificateDer;

use crate::ConfigError;

/// Longest certificate that is looked at, in bytes. Ours have 217; the rest is room for
/// what later versions may add.
pub const MAX_CERTIFICATE_LEN: usize = 1024;

/// What an Ed25519 `SubjectPublicKeyInfo` has before the 32 bytes of the key (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What follows the signed part of an Ed25519 certificate before the 64 bytes of the signature.
const SIGNATURE_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00];

/// Why a certificate names no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// Longer than [`MAX_CERTIFICATE_LEN`]; not looked at.
    #[error("the certificate has {found} bytes, at most {MAX_CERTIFICATE_LEN} are read")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// Not an X.509 version 3 certificate.
    #[error("the certificate is not well-formed X.509")]
    Encoding,
    /// Of RSA, ECDSA or any other kind of key.
    #[error("the certificate is not for an Ed25519 key")]
    NotEd25519,
    /// For an Ed25519 key that is weak, of mixed order or wrongly encoded.
    #[error("the certificate's key is not acceptable: {0}")]
    Key(#[from] BadKey),
    /// Not signed by its own key, so altered or made by somebody else.
    #[error("the certificate is not signed by its own key")]
    SelfSignature,
}

/// The X.509 certificate of `identity`: the same bytes each time, on every machine.
///
/// Serial number, names and dates are constants that nobody checks; a reader takes the key from it.
pub fn certificate(identity: &Identity) -> Result<CertificateDer<'static>, ConfigError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(1));
    // RFC 5280 §4.1.2.5: the last second of 9999 means that there is no expiry date.
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(24 * 3600 - 1);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "vouchsafe");
    let key = CertificateKey {
        identity,
        public: identity.id().to_bytes(),
        failure: RefCell::new(None),
    };
    match params.self_signed(&key) {
        Ok(certificate) => Ok(certificate.der().clone()),
        Err(error) => Err(match key.failure.take() {
            Some(failure) => ConfigError::Sign(failure),
            None => ConfigError::Certificate(error),
        }),
    }
}

/// An identity as rcgen wants it.
struct CertificateKey<'a> {
    identity: &'a Identity,
    public: [u8; 32],
    /// Why signing failed; rcgen's own error cannot carry it.
    failure: RefCell<Option<SignError>>,
}

impl rcgen::PublicKeyData for CertificateKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for CertificateKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.identity.sign_certificate(message) {
            Ok(signature) => Ok(signature.to_vec()),
            Err(failure) => {
                self.failure.replace(Some(failure));
                Err(rcgen::Error::RemoteKeyError)
            }
        }
    }
}

/// Whose certificate this is. Checks length, form, kind of key, the key itself and the
/// certificate's signature under it; takes 0.1 to 0.2 ms.
pub fn peer_id_of(certificate: &CertificateDer<'_>) -> Result<PeerId, BadCertificate> {
    let peer = PeerId::from_bytes(&key_of(certificate)?)?;
    check_self_signature(certificate, &peer)?;
    Ok(peer)
}

/// Whether a certificate is signed by its own key.
pub(crate) fn check_self_signature(
    certificate: &CertificateDer<'_>,
    peer: &PeerId,
) -> Result<(), BadCertificate> {
    let (signed, signature) = signed_part(certificate).ok_or(BadCertificate::SelfSignature)?;
    verify_raw(peer, signed, signature).map_err(|_| BadCertificate::SelfSignature)
}

/// The key of a certificate, as it is: neither the key nor the signature is checked.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<[u8; 32], BadCertificate> {
    let found = certificate.len();
    if found > MAX_CERTIFICATE_LEN {
        return Err(BadCertificate::TooLong { found });
    }
    let parsed =
        webpki::EndEntityCert::try_from(certificate).map_err(|_| BadCertificate::Encoding)?;
    let info = parsed.subject_public_key_info();
    info.strip_prefix(&SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .ok_or(BadCertificate::NotEd25519)
}

/// The signed bytes and the signature of a certificate that has been found well-formed: an outer
/// `SEQUENCE` of the signed part, the Ed25519 algorithm and 64 bytes of signature.
fn signed_part(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    // A minimal DER header has 2 bytes, and one or two more for lengths from 128 and from 256.
    let header = match certificate.get(1)? {
        0..=0x7f => 2,
        0x81 => 3,
        0x82 => 4,
        _ => return None,
    };
    let (rest, signature) = certificate.get(header..)?.split_last_chunk::<64>()?;
    Some((rest.strip_suffix(&SIGNATURE_PREFIX)?, signature))
}
