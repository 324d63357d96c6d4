//! Judging signatures, and remembering keys that were judged before.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signature, VerifyingKey};

#[cfg(feature = "sim")]
use crate::VerdictMemo;
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
    #[cfg(feature = "sim")]
    memo: Option<Arc<VerdictMemo>>,
}

impl KeyCache {
    /// A cache of at most `capacity` entries; less than 8 counts as 8.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(8);
        let bad = capacity / 4;
        Self {
            good: Generations::new(capacity - bad),
            bad: Generations::new(bad),
            #[cfg(feature = "sim")]
            memo: None,
        }
    }

    /// A cache that asks and feeds a memo which other simulated nodes use too, and keeps nothing itself.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn shared(memo: Arc<VerdictMemo>) -> Self {
        Self {
            memo: Some(memo),
            ..Self::new(0)
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
        #[cfg(feature = "sim")]
        if let Some(memo) = &self.memo {
            return memo.key(bytes, || PeerId::from_bytes(bytes));
        }
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
        let message = context.signed_bytes(network, body);
        #[cfg(feature = "sim")]
        if let Some(memo) = &self.memo {
            return memo.signature(&[key, &message, signature], || {
                let key = checked_key(key)?;
                verify_decompressed(&key, &message, signature)?;
                Ok(PeerId::of_checked(&key))
            });
        }
        let key = self.key(key)?;
        verify_decompressed(&key, &message, signature)?;
        Ok(PeerId::of_checked(&key))
    }

    /// Puts a checked value where its copies share it; simulated nodes that share a memo share one of all that are equal, too.
    pub(crate) fn keep<T: crate::Signable>(
        &self,
        value: crate::Signed<T>,
    ) -> Arc<crate::Signed<T>> {
        #[cfg(feature = "sim")]
        if let Some(memo) = &self.memo {
            return memo.keep(value);
        }
        Arc::new(value)
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

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier as _;
    use proptest::prelude::*;

    use super::*;
    use crate::Identity;
    use crate::id::tests::{hex32, small_order};

    const HERE: NetworkId = NetworkId::from_bytes([1; 32]);

    /// The order of the base point, 2^252 + 27742317777372353535851937790883648493, little-endian.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    fn judge(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        verify_raw(&PeerId::from_bytes(key)?, message, signature)
    }

    /// The signature of `identity` over some bytes in the first context.
    fn sign(identity: &Identity, body: &[u8]) -> [u8; 64] {
        identity.sign(Context::PeerRecord, &HERE, body).unwrap()
    }

    /// RFC 8032 §7.1: TEST 1, 2, 3 and SHA(abc).
    #[test]
    fn rfc_8032_vectors_verify() {
        for (key, message, signature) in [
            (
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
            (
                "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
            ),
        ] {
            let (key, message, signature) = (hex32(key), hex(message), hex(signature));
            assert_eq!(judge(&key, &message, &signature), Ok(()));
            let mut other = message.clone();
            other.push(0);
            assert_eq!(
                judge(&key, &other, &signature),
                Err(BadSignature::Signature)
            );
        }
    }

    /// The 12 cases on which Ed25519 libraries disagree (Chalkias, Garillot, Nikolaenko, "Taming
    /// the many EdDSAs", SSR 2020, table 6): message, key, signature. Here each is refused, by its
    /// key where that is bad.
    #[test]
    fn every_disputed_signature_is_refused() {
        let weak = BadSignature::Key(BadKey::SmallOrder);
        let mixed = BadSignature::Key(BadKey::MixedOrder);
        let other_encoding = BadSignature::Key(BadKey::NotCanonical);
        for (message, key, signature, expected) in [
            (
                "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
                weak,
            ),
            (
                "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
                weak,
            ),
            (
                "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
                "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
                mixed,
            ),
            (
                "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
                "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
                "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
                mixed,
            ),
            (
                "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
                "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
                "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
                mixed,
            ),
            (
                "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
                "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
                "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
                mixed,
            ),
            (
                "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
                "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
                "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
                BadSignature::Signature,
            ),
            (
                "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
                "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
                "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
                BadSignature::Signature,
            ),
            (
                "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
                "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
                mixed,
            ),
            (
                "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
                "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
                mixed,
            ),
            (
                "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
                other_encoding,
            ),
            (
                "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
                other_encoding,
            ),
        ] {
            assert_eq!(
                judge(&hex32(key), &hex(message), &hex(signature)),
                Err(expected),
                "{signature}"
            );
        }
    }

    /// R = identity, S = 0 satisfies the plain equation for every message under a key of order 1.
    /// The control shows that the danger is real; the strict rule refuses it even without the key
    /// check, and with the key check it is refused twice.
    #[test]
    fn the_universal_forgery_is_refused_under_every_weak_key() {
        let mut forgery = [0; 64];
        forgery[0] = 1;
        let mut accepted_by_the_plain_rule = 0;
        for bytes in small_order() {
            let key = VerifyingKey::from_bytes(&bytes).unwrap();
            for message in 0..64u8 {
                let plain = key.verify(&[message], &Signature::from_bytes(&forgery));
                accepted_by_the_plain_rule += u32::from(plain.is_ok());
                assert_eq!(
                    verify_decompressed(&key, &[message], &forgery),
                    Err(BadSignature::Signature)
                );
            }
            assert_eq!(
                KeyCache::new(8).verify(&bytes, Context::Message, &HERE, b"any", &forgery),
                Err(BadSignature::Key(BadKey::SmallOrder))
            );
        }
        assert!(
            accepted_by_the_plain_rule >= 64,
            "{accepted_by_the_plain_rule}"
        );
    }

    /// S + L is the same scalar: whoever accepts it accepts two signatures for one message.
    #[test]
    fn a_second_encoding_of_the_same_signature_is_refused() {
        let identity = Identity::from_seed(&[3; 32]);
        let message = Context::PeerRecord.signed_bytes(&HERE, b"body");
        let mut signature = sign(&identity, b"body");
        assert_eq!(verify_raw(&identity.id(), &message, &signature), Ok(()));
        let mut carry = 0;
        for (byte, l) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert_eq!(
            verify_raw(&identity.id(), &message, &signature),
            Err(BadSignature::Signature)
        );
    }

    #[test]
    fn signatures_of_another_length_are_refused() {
        let identity = Identity::from_seed(&[3; 32]);
        let message = Context::PeerRecord.signed_bytes(&HERE, b"body");
        let signature = sign(&identity, b"body");
        let long = [&signature[..], &[0]].concat();
        for wrong in [&signature[..63], &long, &[]] {
            let verdict = verify_raw(&identity.id(), &message, wrong);
            assert_eq!(verdict, Err(BadSignature::Signature));
        }
    }

    #[test]
    fn a_signature_counts_in_its_own_context_and_network_only() {
        let there = NetworkId::from_bytes([2; 32]);
        let identity = Identity::from_seed(&[4; 32]);
        let key = identity.id().to_bytes();
        let mut keys = KeyCache::new(8);
        for made in Context::ALL {
            let signature = identity.sign(made, &HERE, b"body").unwrap();
            for read in Context::ALL {
                for network in [HERE, there] {
                    let expected = if made == read && network == HERE {
                        Ok(identity.id())
                    } else {
                        Err(BadSignature::Signature)
                    };
                    let verdict = keys.verify(&key, read, &network, b"body", &signature);
                    assert_eq!(verdict, expected, "{made:?} read as {read:?}");
                }
            }
        }
    }

    fn key(n: u16) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_le_bytes());
        Identity::from_seed(&seed).id().to_bytes()
    }

    #[test]
    fn the_cache_is_bounded_and_a_key_in_use_outlives_a_flood() {
        let mut keys = KeyCache::new(16);
        assert!(keys.is_empty());
        let kept = key(0);
        keys.check(&kept).unwrap();
        for n in 1..100 {
            keys.check(&key(n)).unwrap();
            keys.check(&kept).unwrap();
            // Bad keys have a quarter of their own, however many come.
            let mut bad = [0xff; 32];
            bad[..2].copy_from_slice(&n.to_le_bytes());
            let verdict = keys.check(&bad);
            if verdict.is_err() {
                assert_eq!(
                    keys.check(&bad),
                    verdict,
                    "a remembered verdict is the same"
                );
            }
            assert!(keys.len() <= 16, "{keys:?}");
            assert!(keys.bad.len() <= 4, "{keys:?}");
            assert!(keys.good.young.contains_key(&kept) || keys.good.old.contains_key(&kept));
        }
        assert!(keys.good.len() > 6, "both generations are in use: {keys:?}");
        assert!(!keys.bad.young.is_empty());
    }

    #[test]
    fn bad_keys_do_not_push_out_good_ones() {
        let mut keys = KeyCache::new(0);
        assert_eq!(keys.good.half, 3, "a capacity below 8 counts as 8");
        let good = key(1);
        keys.check(&good).unwrap();
        for weak in small_order() {
            assert_eq!(keys.check(&weak), Err(BadKey::SmallOrder));
        }
        assert!(keys.good.young.contains_key(&good));
        assert_eq!(keys.bad.len(), 2);
        assert_eq!(format!("{keys:?}"), "KeyCache { good: 1, bad: 2 }");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn one_flipped_bit_anywhere_is_refused(
            seed: [u8; 32],
            mut body in prop::collection::vec(any::<u8>(), 1..80),
            bit in 0usize..(64 + 80) * 8,
        ) {
            let identity = Identity::from_seed(&seed);
            let mut signature = sign(&identity, &body);
            let mut keys = KeyCache::new(8);
            let id = identity.id();
            let good = keys.verify(id.as_bytes(), Context::PeerRecord, &HERE, &body, &signature);
            prop_assert_eq!(good, Ok(id));
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            match byte.checked_sub(64) {
                None => signature[byte] ^= mask,
                Some(n) => {
                    let n = n % body.len();
                    body[n] ^= mask;
                }
            }
            let bad = keys.verify(id.as_bytes(), Context::PeerRecord, &HERE, &body, &signature);
            prop_assert_eq!(bad, Err(BadSignature::Signature));
        }

        #[test]
        fn the_cache_says_what_a_fresh_check_says(picks in prop::collection::vec(0u16..40, 0..120)) {
            let mut keys = KeyCache::new(12);
            for n in picks {
                let bytes = match n {
                    0..8 => small_order()[usize::from(n)],
                    8..16 => [n as u8; 32],
                    n => key(n),
                };
                prop_assert_eq!(keys.check(&bytes), PeerId::from_bytes(&bytes));
                prop_assert!(keys.len() <= 12);
            }
        }
    }
}
