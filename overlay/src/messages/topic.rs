//! The name of a topic.

use std::fmt;
use std::str::FromStr;

/// Longest topic, bytes.
pub const MAX_TOPIC: usize = 64;

/// A topic: 1 to 64 characters of `A-Z a-z 0-9 . _ - /`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(std::sync::Arc<str>);

/// Why a text is no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopic {
    /// Empty.
    #[error("a topic must not be empty: use 1 to 64 characters of A-Z a-z 0-9 . _ - /")]
    Empty,
    /// Too long.
    #[error("a topic is at most 64 characters long, this one has {0} bytes")]
    TooLong(usize),
    /// A character that is not allowed.
    #[error(
        "character {found:?} at position {index} is not allowed in a topic: use A-Z a-z 0-9 . _ - /"
    )]
    Character {
        /// Byte position.
        index: usize,
        /// The character.
        found: char,
    },
}

impl Topic {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        if text.is_empty() {
            return Err(BadTopic::Empty);
        }
        if let Some((index, found)) = text
            .char_indices()
            .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')))
        {
            return Err(BadTopic::Character { index, found });
        }
        if text.len() > MAX_TOPIC {
            return Err(BadTopic::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}
