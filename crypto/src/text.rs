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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_error_says_what_is_wrong() {
        let good = encode(&[0xff; 32]);
        assert_eq!(good.len(), TEXT_LEN);
        for (text, error, message) in [
            (
                "",
                ParseIdError::Length { found: 0 },
                "has 0 characters, expected 52",
            ),
            (
                &good[..51],
                ParseIdError::Length { found: 51 },
                "has 51 characters, expected 52",
            ),
            (
                &good.replacen('7', "A", 1),
                ParseIdError::Character {
                    index: 0,
                    found: 'A',
                },
                "has 'A' at position 0, expected only lower-case base32 (a-z and 2-7)",
            ),
            (
                // One character of several bytes is still one character.
                &format!("{}\u{e9}7q", &good[..49]),
                ParseIdError::Character {
                    index: 49,
                    found: '\u{e9}',
                },
                "has '\u{e9}' at position 49",
            ),
            (
                &format!("{}b", &good[..51]),
                ParseIdError::TrailingBits,
                "ends in a character that no id ends in, expected 'a' or 'q'",
            ),
        ] {
            assert_eq!(decode(text), Err(error), "{text}");
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_control_character_is_shown_escaped() {
        let text = format!("{}\u{1b}", "a".repeat(51));
        let message = decode(&text).unwrap_err().to_string();
        assert!(message.contains("'\\u{1b}' at position 51"), "{message}");
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 32]) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn every_id_has_one_spelling(text in "[a-z2-7]{52}|[a-zA-Z0-9=]{50,54}|\\PC{0,60}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
