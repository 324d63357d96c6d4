//! The text form of every 32-byte id: lower-case base32 (RFC 4648 alphabet) without padding.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// Characters of a 32-byte id in text form: 256 bits at 5 bits each, rounded up.
pub(crate) const TEXT_LEN: usize = 52;

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz234567";

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str(ALPHABET);
    spec.encoding()
        .expect("the alphabet has 32 distinct ASCII characters")
});

/// Why a text is not a 32-byte id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not exactly 52 characters.
    #[error("has {found} characters, expected {TEXT_LEN} (lower-case base32, a-z and 2-7)")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// A character outside the alphabet.
    #[error("has {found:?} at position {index}, expected only lower-case base32 (a-z and 2-7)")]
    Character {
        /// Position of the first such character, counted from 0.
        index: usize,
        /// The character itself.
        found: char,
    },
    /// The last character carries bits beyond the 256: another spelling of some id.
    #[error(
        "ends in a character that no id ends in, expected 'a' or 'q'; was the end cut or mistyped?"
    )]
    TrailingBits,
}

/// The text form of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// Reads a text form back; exactly one text is accepted for each id.
pub(crate) fn decode(text: &str) -> Result<[u8; 32], ParseIdError> {
    let found = text.chars().count();
    if found != TEXT_LEN {
        return Err(ParseIdError::Length { found });
    }
    if let Some((index, found)) = text
        .chars()
        .enumerate()
        .find(|(_, c)| !ALPHABET.contains(*c))
    {
        return Err(ParseIdError::Character { index, found });
    }
    // Length and alphabet are right, so what is left to fail is the four bits beyond the 256.
    let bytes = BASE32
        .decode(text.as_bytes())
        .map_err(|_| ParseIdError::TrailingBits)?;
    bytes.try_into().map_err(|_| ParseIdError::TrailingBits)
}

/// `Display`, `Debug` (short), `FromStr` and serde (text if human-readable, else 32 raw bytes) for
/// a newtype over `[u8; 32]` for which any bytes are valid.
macro_rules! text_form {
    ($type:ident, $what:literal) => {
        impl $type {
            /// Takes raw bytes; any 32 bytes will do.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The raw bytes by value.
            pub const fn to_bytes(self) -> [u8; 32] {
                self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&$crate::text::encode(&self.0))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($type), self.short())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::text::decode(text).map(Self)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse()
                        .map_err(|e| D::Error::custom(format_args!("{} {e}", $what)))
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
pub(crate) use text_form;
