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
