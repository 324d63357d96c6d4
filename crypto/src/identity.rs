//! The node's own key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use rand::TryRng as _;
use zeroize::Zeroizing;

use crate::{Context, KeyFileError, NetworkId, PeerId, context, key_file, verify_raw};

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// [`Identity::sign_tls`] was given something else than a TLS 1.3 `CertificateVerify` input.
    #[error("not a TLS 1.3 CertificateVerify input; the TLS key signs nothing else")]
    NotTls,
    /// [`Identity::sign_certificate`] was given something else than one DER sequence.
    #[error("not the DER sequence of a certificate; nothing else is signed as one")]
    NotCertificate,
    /// The value names another signer than this identity.
    #[error("the value names another signer than this identity")]
    NotTheSigner,
    /// The caller's signer returned a signature that does not verify under its id.
    #[error("the external signer returned a signature that is not valid for {0}")]
    WrongSignature(PeerId),
    /// The caller's signer refused or failed; the text is its own.
    #[error("the external signer failed: {0}")]
    External(String),
}

type ExternalSigner = Box<dyn Fn(&[u8]) -> Result<[u8; 64], SignError> + Send + Sync>;

enum Signer {
    /// Zeroizes itself on drop.
    Held(Box<SigningKey>),
    External(ExternalSigner),
}

struct Inner {
    id: PeerId,
    signer: Signer,
}

/// A node's own key: who it is, and the means to sign as that.
///
/// Cheap to clone (the clones share one key). The secret is wiped from memory when the last clone
/// goes, and `Debug` shows the id only. There is no way to sign bytes of one's own choosing: each
/// method signs one kind of thing, and no two kinds can be mistaken for one another.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

impl Identity {
    /// A new key from the operating system's randomness.
    ///
    /// # Panics
    /// If the operating system has no randomness to give; there is no key without it.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::SysRng
            .try_fill_bytes(seed.as_mut_slice())
            .expect("the operating system gives randomness");
        Self::from_seed(&seed)
    }

    /// The key with this 32-byte secret seed (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let id = PeerId::of_checked(&key.verifying_key());
        Self(Arc::new(Inner {
            id,
            signer: Signer::Held(Box::new(key)),
        }))
    }

    /// A key that the caller holds (a hardware token, another process). `sign` gets the exact bytes
    /// to sign with plain Ed25519 and may block; each signature is verified before it is used.
    pub fn external(
        id: PeerId,
        sign: impl Fn(&[u8]) -> Result<[u8; 64], SignError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            signer: Signer::External(Box::new(sign)),
        }))
    }

    /// The public half.
    pub fn id(&self) -> PeerId {
        self.0.id
    }

    /// Reads a PKCS#8 PEM key file (RFC 8410), as [`save`](Self::save) or
    /// `openssl genpkey -algorithm ed25519` writes it. Refused if group or others may access it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        key_file::load(path).map(|seed| Self::from_seed(&seed))
    }

    /// Writes the key as PKCS#8 PEM to a new file of mode 0600 and syncs it and its directory to
    /// disk. Never overwrites. An external key cannot be saved.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        match &self.0.signer {
            Signer::Held(key) => key_file::save(path, key.as_bytes()),
            Signer::External(_) => Err(KeyFileError::NotHeld),
        }
    }

    /// Signs `tag | network id | body`; see [`Context`].
    pub fn sign(
        &self,
        context: Context,
        network: &NetworkId,
        body: &[u8],
    ) -> Result<[u8; 64], SignError> {
        self.sign_bytes(&context.signed_bytes(network, body))
    }

    /// Signs a TLS 1.3 `CertificateVerify` input (RFC 8446 §4.4.3): 64 spaces, the context string
    /// of either side, a zero byte and a transcript hash of 32 or 48 bytes. Anything else is
    /// [`SignError::NotTls`].
    pub fn sign_tls(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        if !is_certificate_verify(message) {
            return Err(SignError::NotTls);
        }
        self.sign_bytes(message)
    }

    /// Signs the to-be-signed part of this identity's own certificate. Anything but exactly one
    /// DER `SEQUENCE` is [`SignError::NotCertificate`].
    pub fn sign_certificate(&self, tbs: &[u8]) -> Result<[u8; 64], SignError> {
        if !is_der_sequence(tbs) {
            return Err(SignError::NotCertificate);
        }
        self.sign_bytes(tbs)
    }

    /// A secret key for `purpose`, derived from this one with BLAKE3's key derivation: stable for
    /// as long as the identity is, and of no use for finding the identity's secret. `None` if the
    /// secret is held elsewhere.
    pub fn derive_key(&self, purpose: &str) -> Option<[u8; 32]> {
        match &self.0.signer {
            Signer::Held(key) => {
                let mut hasher = blake3::Hasher::new_derive_key(context::DERIVE_KEY);
                hasher.update(key.as_bytes()).update(purpose.as_bytes());
                Some(*hasher.finalize().as_bytes())
            }
            Signer::External(_) => None,
        }
    }

    fn sign_bytes(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        match &self.0.signer {
            Signer::Held(key) => Ok(key.sign(bytes).to_bytes()),
            Signer::External(sign) => {
                let signature = sign(bytes)?;
                // Peers ban the sender of a bad signature, so a faulty signer must not reach them.
                verify_raw(&self.0.id, bytes, &signature)
                    .map_err(|_| SignError::WrongSignature(self.0.id))?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0.id.short())
    }
}

fn is_certificate_verify(message: &[u8]) -> bool {
    let Some(rest) = message.strip_prefix(&[b' '; 64]) else {
        return false;
    };
    let hash = rest
        .strip_prefix(b"TLS 1.3, client CertificateVerify\0")
        .or_else(|| rest.strip_prefix(b"TLS 1.3, server CertificateVerify\0"));
    hash.is_some_and(|hash| matches!(hash.len(), 32 | 48))
}

/// One `SEQUENCE` whose length field covers exactly the rest.
fn is_der_sequence(bytes: &[u8]) -> bool {
    match *bytes {
        [0x30, n @ 0..=0x7f, ref rest @ ..] => rest.len() == usize::from(n),
        [0x30, 0x81, n, ref rest @ ..] => rest.len() == usize::from(n),
        [0x30, 0x82, hi, lo, ref rest @ ..] => {
            rest.len() == usize::from(u16::from_be_bytes([hi, lo]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BadSignature;
    use crate::id::tests::hex32;

    const HERE: NetworkId = NetworkId::from_bytes([1; 32]);

    fn certificate_verify(side: &str, hash: &[u8]) -> Vec<u8> {
        let text = format!("TLS 1.3, {side} CertificateVerify\0");
        [&[b' '; 64], text.as_bytes(), hash].concat()
    }

    /// RFC 8032 §7.1: seeds, public keys and signatures of TEST 1 and TEST 3.
    #[test]
    fn rfc_8032_keys_and_signatures_are_reproduced() {
        for (seed, key, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &[][..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82][..],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let identity = Identity::from_seed(&hex32(seed));
            assert_eq!(identity.id().to_bytes(), hex32(key));
            let made = identity.sign_bytes(message).unwrap();
            assert_eq!(data_encoding::HEXLOWER.encode(&made), signature);
        }
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(Identity::generate().id(), Identity::generate().id());
    }

    #[test]
    fn the_tls_key_signs_only_certificate_verify_inputs() {
        let identity = Identity::from_seed(&[5; 32]);
        for message in [
            certificate_verify("client", &[7; 32]),
            certificate_verify("server", &[7; 48]),
        ] {
            let signature = identity.sign_tls(&message).unwrap();
            assert_eq!(verify_raw(&identity.id(), &message, &signature), Ok(()));
        }
        let mut short_padding = certificate_verify("server", &[7; 32]);
        short_padding.remove(0);
        for message in [
            Vec::new(),
            vec![b' '; 64],
            short_padding,
            certificate_verify("other", &[7; 32]),
            certificate_verify("client", &[7; 31]),
            certificate_verify("client", &[7; 64]),
            Context::Message.signed_bytes(&HERE, b"body"),
        ] {
            assert_eq!(identity.sign_tls(&message), Err(SignError::NotTls));
        }
    }

    #[test]
    fn only_a_der_sequence_is_signed_as_a_certificate() {
        let identity = Identity::from_seed(&[5; 32]);
        let long = [&[0x30, 0x82, 0x01, 0x00], &[0; 256][..]].concat();
        let middle = [&[0x30, 0x81, 0x80], &[0; 128][..]].concat();
        for tbs in [&[0x30, 0][..], &[0x30, 2, 5, 0], &middle, &long] {
            let signature = identity.sign_certificate(tbs).unwrap();
            assert_eq!(verify_raw(&identity.id(), tbs, &signature), Ok(()));
        }
        for tbs in [
            &[][..],
            &[0x30],
            &[0x30, 3, 5, 0],
            &[0x30, 1, 5, 0],
            &[0x31, 2, 5, 0],
            &long[..259],
            &certificate_verify("client", &[7; 32]),
            &Context::Message.signed_bytes(&HERE, b"body"),
        ] {
            assert_eq!(
                identity.sign_certificate(tbs),
                Err(SignError::NotCertificate)
            );
        }
    }

    #[test]
    fn an_external_signer_is_used_and_its_signatures_are_checked() {
        let inner = Identity::from_seed(&[6; 32]);
        let id = inner.id();
        let token = inner.clone();
        let held_elsewhere = Identity::external(id, move |bytes| token.sign_bytes(bytes));
        assert_eq!(held_elsewhere.id(), id);
        assert_eq!(
            held_elsewhere.sign(Context::Message, &HERE, b"x"),
            inner.sign(Context::Message, &HERE, b"x")
        );
        assert_eq!(held_elsewhere.derive_key("any"), None);

        let faulty = Identity::external(id, |_| Ok([0; 64]));
        assert_eq!(
            faulty.sign(Context::Message, &HERE, b"x"),
            Err(SignError::WrongSignature(id))
        );
        let refusing = Identity::external(id, |_| Err(SignError::External("locked".into())));
        assert_eq!(
            refusing
                .sign(Context::Message, &HERE, b"x")
                .unwrap_err()
                .to_string(),
            "the external signer failed: locked"
        );
    }

    #[test]
    fn derived_keys_depend_on_purpose_and_identity() {
        let (a, b) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let key = a.derive_key("quic reset").unwrap();
        assert_eq!(a.clone().derive_key("quic reset"), Some(key));
        assert_ne!(a.derive_key("quic retry"), Some(key));
        assert_ne!(b.derive_key("quic reset"), Some(key));
        assert_ne!(key, [1; 32]);
    }

    #[test]
    fn debug_shows_the_id_and_not_the_secret() {
        let identity = Identity::from_seed(&[0xab; 32]);
        let shown = format!("{identity:?} {identity:#?}");
        assert!(shown.contains(&identity.id().short()));
        for secret in ["abab", "171, 171", "ABAB", "SigningKey"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_signature_of_one_identity_is_not_anothers() {
        let (a, b) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let signature = a.sign(Context::Message, &HERE, b"x").unwrap();
        let bytes = Context::Message.signed_bytes(&HERE, b"x");
        assert_eq!(verify_raw(&a.id(), &bytes, &signature), Ok(()));
        assert_eq!(
            verify_raw(&b.id(), &bytes, &signature),
            Err(BadSignature::Signature)
        );
    }
}
