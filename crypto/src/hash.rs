//! Names of messages and of their entries.

use crate::text::{self, text_form};
use crate::{HashContext, NetworkId};

/// Bytes of an id that its `Debug` form shows: 8 characters.
const SHORT_BYTES: usize = 5;

/// The name of a message: BLAKE3 over its context tag, the network id and the header, but not the
/// signature, so that nobody can rename a message by signing it anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 32]);

impl MessageId {
    /// The id of the message with these header bytes (in their fixed layout) in `network`.
    pub fn of(network: &NetworkId, header_bytes: &[u8]) -> Self {
        Self(HashContext::MessageId.hash(&[network.as_bytes(), header_bytes]))
    }

    /// The first 8 characters of the text form, for people.
    pub fn short(&self) -> String {
        text::encode(&self.0[..SHORT_BYTES])
    }
}

text_form!(MessageId, "the message id");

/// The name of one payload of a message: BLAKE3 over its context tag, the message's id and the
/// entry's index (4 bytes, little-endian). This is the id that users see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId([u8; 32]);

impl EntryId {
    /// The id of entry `index` (from 0) of `message`.
    pub fn of(message: &MessageId, index: u32) -> Self {
        Self(HashContext::EntryId.hash(&[message.as_bytes(), &index.to_le_bytes()]))
    }

    /// The first 8 characters of the text form, for people.
    pub fn short(&self) -> String {
        text::encode(&self.0[..SHORT_BYTES])
    }
}

text_form!(EntryId, "the entry id");

/// The root that a message header carries for its body: the plain BLAKE3 hash, whose tree lets a
/// long body be verified in pieces.
pub fn body_root(body: &[u8]) -> [u8; 32] {
    *blake3::hash(body).as_bytes()
}
