//! Peer ids: Ed25519 public keys that have passed every check.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::ParseIdError;
use crate::text::{self, TEXT_LEN};

/// Characters of the short form.
const SHORT_LEN: usize = 8;

/// Who a peer is: its Ed25519 public key.
///
/// A value of this type is always a checked key: canonically encoded, on the curve, of prime order.
/// One secret therefore has exactly one id, and no id exists that signs everything without a secret.
/// In text, 52 characters of lower-case base32; `Debug` shows the first 8 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId([u8; 32]);

/// The order of the bytes. Nearly always the first eight decide, and those are compared as one number.
impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = |id: &Self| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&id.0[..8]);
            u64::from_be_bytes(bytes)
        };
        first(self)
            .cmp(&first(other))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PeerId {
    /// Checks a raw key. Costs about 30 us; hot paths go through [`KeyCache`](crate::KeyCache).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        checked_key(bytes)?;
        Ok(Self(*bytes))
    }

    /// The id of a key that has been checked already, or made from a secret (a clamped multiple of
    /// the base point, RFC 8032 §5.1.5, is of prime order by construction).
    pub(crate) fn of_checked(key: &VerifyingKey) -> Self {
        Self(key.to_bytes())
    }

    /// The id of a raw key that has been checked already, by [`from_bytes`](Self::from_bytes) or under another name for it: what nobody
    /// has checked must not come here, since ids are taken for good keys everywhere.
    pub const fn of_checked_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The raw key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The raw key by value.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The first 8 characters of the text form, for people; never unique enough to decide anything.
    pub fn short(&self) -> String {
        let mut text = text::encode(&self.0);
        text.truncate(SHORT_LEN);
        text
    }
}

/// The one check of a public key: canonical, on the curve, of prime order.
pub(crate) fn checked_key(bytes: &[u8; 32]) -> Result<VerifyingKey, BadKey> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| BadKey::NotOnCurve)?;
    let point = key.to_edwards();
    // Decompression reduces y modulo p and ignores the sign of x = 0; compressing again does not.
    if point.compress().as_bytes() != bytes {
        return Err(BadKey::NotCanonical);
    }
    if point.is_small_order() {
        return Err(BadKey::SmallOrder);
    }
    if !point.is_torsion_free() {
        return Err(BadKey::MixedOrder);
    }
    Ok(key)
}

/// Why 32 bytes are not the key of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadKey {
    /// Another encoding of a point that has a canonical one.
    #[error("the key is not canonically encoded")]
    NotCanonical,
    /// No point of the curve has this encoding.
    #[error("the key is not a point of the Ed25519 curve")]
    NotOnCurve,
    /// One of the 8 points of order 1, 2, 4 or 8: anyone can forge signatures under it.
    #[error("the key is weak (a point of small order), so anyone could sign for it")]
    SmallOrder,
    /// A good key plus a small-order point: a second id for the same secret.
    #[error("the key is of mixed order, so it is not the public key of any secret")]
    MixedOrder,
}

/// Why a text is not a peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePeerIdError {
    /// Not exactly 52 characters.
    #[error("the id has {found} characters, expected {TEXT_LEN} (lower-case base32, a-z and 2-7)")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// A character outside the alphabet.
    #[error(
        "the id has {found:?} at position {index}, expected only lower-case base32 (a-z and 2-7)"
    )]
    Character {
        /// Position of the first such character, counted from 0.
        index: usize,
        /// The character itself.
        found: char,
    },
    /// The last character carries bits beyond the 256.
    #[error(
        "the id ends in a character that no id ends in, expected 'a' or 'q'; was the end cut or mistyped?"
    )]
    TrailingBits,
    /// The text is well formed, but the key it spells is not acceptable.
    #[error("the id is well formed, but {0}")]
    Key(#[from] BadKey),
}

impl From<ParseIdError> for ParsePeerIdError {
    fn from(error: ParseIdError) -> Self {
        match error {
            ParseIdError::Length { found } => Self::Length { found },
            ParseIdError::Character { index, found } => Self::Character { index, found },
            ParseIdError::TrailingBits => Self::TrailingBits,
        }
    }
}

/// Lets a map of ids be asked with bytes nobody has checked yet; order and hash are those of the bytes.
impl Borrow<[u8; 32]> for PeerId {
    fn borrow(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from_bytes(&text::decode(text)?)?)
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Cow::<'de, str>::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            let bytes = <[u8; 32]>::deserialize(deserializer)?;
            Self::from_bytes(&bytes).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ops::Add as _;

    use proptest::prelude::*;

    use super::*;
    use crate::Identity;

    /// Reads 32 bytes of hex.
    pub(crate) fn hex32(text: &str) -> [u8; 32] {
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .unwrap()
            .try_into()
            .unwrap()
    }

    /// The 8 points of small order, canonically encoded.
    pub(crate) fn small_order() -> [[u8; 32]; 8] {
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ]
        .map(hex32)
    }

    #[test]
    fn the_eight_points_of_small_order_are_refused() {
        for key in small_order() {
            assert_eq!(
                PeerId::from_bytes(&key),
                Err(BadKey::SmallOrder),
                "{key:02x?}"
            );
        }
    }

    /// y = p + k for every k that fits 255 bits, and x = 0 with its sign set: each of them either
    /// encodes a point that has another, canonical encoding, or no point at all.
    #[test]
    fn non_canonical_keys_are_refused() {
        let mut not_canonical = 0;
        for k in 0..19 {
            for sign in [0x00, 0x80] {
                let mut key = [0xff; 32];
                key[0] = 0xed + k;
                key[31] = 0x7f | sign;
                match PeerId::from_bytes(&key) {
                    Err(BadKey::NotCanonical) => not_canonical += 1,
                    Err(BadKey::NotOnCurve) => assert!(k > 1),
                    other => panic!("y = p + {k}: {other:?}"),
                }
            }
        }
        assert!(not_canonical >= 4, "{not_canonical}");
        for key in [
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(
                PeerId::from_bytes(&hex32(key)),
                Err(BadKey::NotCanonical),
                "{key}"
            );
        }
    }

    #[test]
    fn a_key_off_the_curve_is_refused() {
        let mut key = [0; 32];
        key[0] = 2;
        assert_eq!(PeerId::from_bytes(&key), Err(BadKey::NotOnCurve));
    }

    /// A good key plus any small-order point but the identity is a second key for one secret.
    #[test]
    fn mixed_order_keys_are_refused() {
        let point = |bytes: &[u8; 32]| VerifyingKey::from_bytes(bytes).unwrap().to_edwards();
        let good = Identity::from_seed(&[1; 32]).id();
        for torsion in small_order() {
            let sum = point(good.as_bytes())
                .add(point(&torsion))
                .compress()
                .to_bytes();
            let expected = if torsion == small_order()[0] {
                Ok(good)
            } else {
                Err(BadKey::MixedOrder)
            };
            assert_eq!(PeerId::from_bytes(&sum), expected);
        }
    }

    #[test]
    fn parsing_names_a_bad_key_as_such() {
        let weak = text::encode(&small_order()[0]);
        let error = weak.parse::<PeerId>().unwrap_err();
        assert_eq!(error, ParsePeerIdError::Key(BadKey::SmallOrder));
        assert_eq!(
            error.to_string(),
            "the id is well formed, but the key is weak (a point of small order), so anyone could sign for it"
        );
        let error = "abc".parse::<PeerId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the id has 3 characters, expected 52 (lower-case base32, a-z and 2-7)"
        );
        let upper = Identity::from_seed(&[1; 32])
            .id()
            .to_string()
            .to_uppercase();
        assert!(matches!(
            upper.parse::<PeerId>(),
            Err(ParsePeerIdError::Character {
                found: 'A'..='Z',
                ..
            })
        ));
    }

    #[test]
    fn forms_of_an_id() {
        let id = Identity::from_seed(&[1; 32]).id();
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(id.short(), text[..8]);
        assert_eq!(format!("{id:?}"), format!("PeerId({})", id.short()));
        assert_eq!(format!("{id:>54}"), format!("  {text}"));
    }

    /// serde's own value deserializers are human-readable, so they stand in for JSON here.
    #[test]
    fn deserializing_checks_the_key() {
        use serde::de::IntoDeserializer as _;
        use serde::de::value::{Error, StrDeserializer};
        let read = |text: &str| {
            let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
            PeerId::deserialize(deserializer)
        };
        let id = Identity::from_seed(&[1; 32]).id();
        assert_eq!(read(&id.to_string()), Ok(id));
        assert!(
            read(&text::encode(&small_order()[1]))
                .unwrap_err()
                .to_string()
                .contains("weak")
        );
        assert!(read("x").unwrap_err().to_string().contains("expected 52"));
    }

    /// Maps of ids may be asked with raw bytes, so the two orders must be one.
    #[test]
    fn ids_are_in_the_order_of_their_bytes() {
        let ids: Vec<PeerId> = (0..64)
            .map(|seed| Identity::from_seed(&[seed; 32]).id())
            .collect();
        let near: Vec<PeerId> = (0..32)
            .flat_map(|at| {
                [0x7f, 0x80].map(|flip| {
                    let mut bytes = ids[0].to_bytes();
                    bytes[at] ^= flip;
                    PeerId(bytes)
                })
            })
            .collect();
        for a in ids.iter().chain(&near) {
            for b in ids.iter().chain(&near) {
                assert_eq!(a.cmp(b), a.as_bytes().cmp(b.as_bytes()));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_honest_key_is_an_id_and_round_trips(seed: [u8; 32]) {
            let id = Identity::from_seed(&seed).id();
            prop_assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_bytes_get_a_verdict_and_no_panic(bytes: [u8; 32]) {
            if let Ok(id) = PeerId::from_bytes(&bytes) {
                prop_assert_eq!(id.to_bytes(), bytes);
            }
        }
    }
}
