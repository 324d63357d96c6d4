//! Names for everything that ends a handshake.

use std::fmt;
use std::sync::Arc;

use crypto::PeerId;
use rustls::{
    CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved,
};

use crate::BadCertificate;

/// Why this side refused a handshake.
///
/// `Display` (and `Debug`, which rustls prints) begins with `refused (NAME): `, with the name that
/// [`name`](Self::name) gives, so that it survives where only the text of an error does.
#[derive(Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer showed more certificates than one.
    Chain {
        /// How many.
        found: usize,
    },
    /// The peer's certificate names no peer.
    Certificate(BadCertificate),
    /// Somebody else answered than the peer that was dialled.
    WrongPeer {
        /// Who was dialled.
        dialled: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// The dial did not say who is expected: its name was not made by
    /// [`server_name`](crate::server_name).
    NoPeerNamed,
    /// The handshake is not signed by the certificate's key: the peer does not hold that key.
    Handshake,
    /// The peer offered only other signatures than Ed25519, or demanded them.
    Scheme,
    /// The peer speaks an older TLS than 1.3.
    OldTls,
    /// The peer is of another network, or of another major version of the protocol.
    OtherNetwork,
    /// A handshake message is longer than any honest one (64 KiB).
    TooLarge,
}

impl Refusal {
    /// A short name that never changes, for counters and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Chain { .. } => "certificate-chain",
            Self::Certificate(BadCertificate::TooLong { .. }) => "certificate-too-long",
            Self::Certificate(BadCertificate::Encoding) => "certificate-encoding",
            Self::Certificate(BadCertificate::NotEd25519) => "certificate-not-ed25519",
            Self::Certificate(BadCertificate::Key(_)) => "certificate-bad-key",
            Self::Certificate(BadCertificate::SelfSignature) => "certificate-self-signature",
            Self::WrongPeer { .. } => "wrong-peer",
            Self::NoPeerNamed => "no-peer-named",
            Self::Handshake => "handshake-signature",
            Self::Scheme => "signature-scheme",
            Self::OldTls => "old-tls",
            Self::OtherNetwork => "other-network",
            Self::TooLarge => "handshake-too-large",
        }
    }

    /// The name of the refusal that `text` tells of, if any. For QUIC stacks, which keep of a
    /// failed handshake only its text. Only for errors of *this* side: a peer may write anything.
    pub fn name_in(text: &str) -> Option<&'static str> {
        if let Some((_, rest)) = text.split_once("refused (") {
            return NAMES.into_iter().find(|name| {
                rest.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with("): "))
            });
        }
        // The TLS library's own refusals have its own words.
        [
            Error::NoCertificatesPresented,
            Error::NoApplicationProtocol,
            PeerMisbehaved::SelectedUnofferedApplicationProtocol.into(),
            PeerIncompatible::SupportedVersionsExtensionRequired.into(),
            PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
            PeerIncompatible::Tls13RequiredForQuic.into(),
            PeerIncompatible::NoSignatureSchemesInCommon.into(),
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into(),
            InvalidMessage::CertificatePayloadTooLarge.into(),
            InvalidMessage::HandshakePayloadTooLarge.into(),
        ]
        .iter()
        .find(|error| text.contains(&error.to_string()))
        .and_then(refusal)
        .map(|refusal| refusal.name())
    }
}

/// Every name that [`Refusal::name`] gives.
const NAMES: [&str; 14] = [
    "no-certificate",
    "certificate-chain",
    "certificate-too-long",
    "certificate-encoding",
    "certificate-not-ed25519",
    "certificate-bad-key",
    "certificate-self-signature",
    "wrong-peer",
    "no-peer-named",
    "handshake-signature",
    "signature-scheme",
    "old-tls",
    "other-network",
    "handshake-too-large",
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused ({}): ", self.name())?;
        match self {
            Self::NoCertificate => f.write_str("the peer showed no certificate"),
            Self::Chain { found } => {
                write!(
                    f,
                    "the peer showed {found} certificates, expected exactly one"
                )
            }
            Self::Certificate(error) => write!(f, "{error}"),
            Self::WrongPeer { dialled, found } => {
                write!(f, "{found} answered where {dialled} was dialled")
            }
            Self::NoPeerNamed => f.write_str("the dial does not name the peer it expects"),
            Self::Handshake => {
                f.write_str("the peer does not hold the key of the certificate it showed")
            }
            Self::Scheme => f.write_str("the peer has no Ed25519 signature to offer or accept"),
            Self::OldTls => f.write_str("the peer does not speak TLS 1.3"),
            Self::OtherNetwork => {
                f.write_str("the peer is of another network or protocol version (ALPN)")
            }
            Self::TooLarge => f.write_str("a handshake message is longer than 64 KiB"),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Refusal {}

impl From<BadCertificate> for Refusal {
    fn from(error: BadCertificate) -> Self {
        Self::Certificate(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The refusal behind an error of this side's handshake; `None` if the error is something else,
/// such as an alert from the peer (see [`alert_meaning`]) or plain garbage.
pub fn refusal(error: &Error) -> Option<Refusal> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Refusal>().cloned()
        }
        Error::NoCertificatesPresented => Some(Refusal::NoCertificate),
        Error::NoApplicationProtocol
        | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            Some(Refusal::OtherNetwork)
        }
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => Some(Refusal::OldTls),
        Error::PeerIncompatible(
            PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon,
        )
        | Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme) => {
            Some(Refusal::Scheme)
        }
        Error::InvalidMessage(
            InvalidMessage::CertificatePayloadTooLarge
            | InvalidMessage::HandshakePayloadTooLarge
            | InvalidMessage::MessageTooLarge,
        ) => Some(Refusal::TooLarge),
        _ => None,
    }
}

/// What a TLS alert (RFC 8446 §6) from a peer of ours means; in QUIC, the low byte of a
/// `CRYPTO_ERROR` code (RFC 9001 §4.8). The peer may lie: for messages to people only.
pub const fn alert_meaning(alert: u8) -> Option<&'static str> {
    match alert {
        40 => Some("the peer found no common TLS parameters"),
        42 | 46 => Some("the peer refused our certificate"),
        70 => Some("the peer does not speak TLS 1.3"),
        116 => Some("the peer demands a certificate"),
        120 => Some("the peer is of another network or protocol version"),
        _ => None,
    }
}
