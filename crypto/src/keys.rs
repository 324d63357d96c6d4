//! Judging signatures, and remembering keys that were judged before.

use std::collections::HashMap;
use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::id::checked_key;
use crate::{BadKey, Context, NetworkId, PeerId};

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadSignature {
    /// The key itself is not acceptable.
    #[error("the signer's key is bad: {0}")]
    Key(#[from] BadKey),
    /// The key is good; the signature does not match it and the signed bytes.
    #[error("the signature is wrong for this key, context, network and content")]
    Signature,
}

/// Whether `signature` (64 bytes, else refused) over exactly `message` was made by `key`.
///
/// This is the one rule for every signature: RFC 8032 without cofactor, canonical S, and neither
/// R nor the key of small order (dalek's `verify_strict`). Costs about 45 us.
pub fn verify_raw(key: &PeerId, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| BadKey::NotOnCurve)?;
    let signature = signature.try_into().map_err(|_| BadSignature::Signature)?;
    verify_decompressed(&key, message, signature)
}

/// The single place where a signature is judged.
fn verify_decompressed(
    key: &VerifyingKey,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    key.verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| BadSignature::Signature)
}

/// Keys judged before: decompressed if good, the verdict if bad.
///
/// Holds at most `capacity` entries (about 250 bytes each): three quarters for good keys, one
/// quarter for bad ones, so that junk keys cannot push out good ones. Each part has two
/// generations; when the younger is full the older is forgotten as a whole, and a key that is used
/// moves to the younger. What is forgotten is merely checked again.
pub struct KeyCache {
    good: Generations<VerifyingKey>,
    bad: Generations<BadKey>,
}

impl KeyCache {
    /// A cache of at most `capacity` entries; less than 8 counts as 8.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(8);
        let bad = capacity / 4;
        Self {
            good: Generations::new(capacity - bad),
            bad: Generations::new(bad),
        }
    }

    /// Entries held now, never more than the capacity.
    pub fn len(&self) -> usize {
        self.good.len() + self.bad.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`PeerId::from_bytes`], but cheap for a key seen before.
    pub fn check(&mut self, bytes: &[u8; 32]) -> Result<PeerId, BadKey> {
        self.key(bytes).map(|key| PeerId::of_checked(&key))
    }

    /// Whether `signature` is `key`'s over `body` in this context and network.
    pub fn verify(
        &mut self,
        key: &[u8; 32],
        context: Context,
        network: &NetworkId,
        body: &[u8],
        signature: &[u8; 64],
    ) -> Result<PeerId, BadSignature> {
        let key = self.key(key)?;
        verify_decompressed(&key, &context.signed_bytes(network, body), signature)?;
        Ok(PeerId::of_checked(&key))
    }

    fn key(&mut self, bytes: &[u8; 32]) -> Result<VerifyingKey, BadKey> {
        if let Some(key) = self.good.get(bytes) {
            return Ok(key);
        }
        if let Some(verdict) = self.bad.get(bytes) {
            return Err(verdict);
        }
        let result = checked_key(bytes);
        match result {
            Ok(key) => self.good.insert(*bytes, key),
            Err(verdict) => self.bad.insert(*bytes, verdict),
        }
        result
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("good", &self.good.len())
            .field("bad", &self.bad.len())
            .finish()
    }
}

/// A bounded map of two generations. Only looked up, never iterated, so its order is nobody's.
struct Generations<V> {
    half: usize,
    young: HashMap<[u8; 32], V>,
    old: HashMap<[u8; 32], V>,
}

impl<V: Copy> Generations<V> {
    fn new(capacity: usize) -> Self {
        Self {
            half: (capacity / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn get(&mut self, key: &[u8; 32]) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value);
        Some(value)
    }

    fn insert(&mut self, key: [u8; 32], value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}
