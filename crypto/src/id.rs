//! Peer ids: Ed25519 public keys that have passed every check.

use std::borrow::Cow;
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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

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
