//! How a message with its entries travels. `prev_seq` travels as its distance from `seq`; `count`, `body_len` and
//! `body_root` do not travel: the receiver computes them.

use bytes::Bytes;
use crypto::Signed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounded::Bounded;
use super::codec::{DecodeError, body};
use super::header::{MessageHeader, body_of};
use super::message::Gossip;
use crate::messages::{MAX_ENTRIES, MAX_INLINE, Topic};

/// What travels, borrowed from the frame.
#[derive(Serialize, Deserialize)]
pub(super) struct Layout<'a> {
    pub(super) author: [u8; 32],
    pub(super) seq: u64,
    /// `seq - prev_seq`, from 1 to `seq`: one pair of numbers for each valid header, one header for each valid pair.
    back: u64,
    published_unix_ms: u64,
    topic: Slice<'a>,
    #[serde(with = "super::signature")]
    signature: [u8; 64],
    #[serde(borrow)]
    entries: Bounded<Slice<'a>, MAX_ENTRIES>,
}

#[cfg(feature = "sim")]
impl Layout<'_> {
    /// Bytes of all entries.
    pub(super) fn payload_len(&self) -> usize {
        self.entries.iter().map(|entry| entry.0.len()).sum()
    }
}

/// A byte string of the frame: its length, then its bytes.
#[derive(Clone, Copy)]
pub(super) struct Slice<'a>(pub(super) &'a [u8]);

impl Slice<'_> {
    /// As a topic.
    pub(super) fn topic(self) -> Result<Topic, DecodeError> {
        std::str::from_utf8(self.0)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(DecodeError::Invalid("not a topic"))
    }
}

impl Serialize for Slice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Slice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(Self)
    }
}

impl<'a> From<&'a Gossip> for Layout<'a> {
    /// A header that breaks `prev_seq < seq` gets a `back` that no decoder accepts; too many entries stay too many.
    fn from(gossip: &'a Gossip) -> Self {
        let header = &gossip.signed.value;
        Self {
            author: header.author,
            seq: header.seq,
            back: header.seq.wrapping_sub(header.prev_seq),
            published_unix_ms: header.published_unix_ms,
            topic: Slice(header.topic.as_str().as_bytes()),
            signature: gossip.signed.signature,
            entries: Bounded::unchecked(gossip.entries.iter().map(|e| Slice(e)).collect()),
        }
    }
}

/// Decodes the body of a gossip frame; the entries share the frame's memory.
pub(super) fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Gossip, DecodeError> {
    let layout: Layout<'_> = body(bytes)?;
    if layout.back == 0 || layout.back > layout.seq {
        return Err(DecodeError::Invalid("prev_seq is not below seq"));
    }
    let topic = layout.topic.topic()?;
    if layout.entries.is_empty() {
        return Err(DecodeError::Invalid("a message without entries"));
    }
    if layout.entries.iter().map(|e| e.0.len() + 4).sum::<usize>() > MAX_INLINE {
        return Err(DecodeError::Invalid(
            "entries beyond the largest body of this frame",
        ));
    }
    let entries: Vec<Bytes> = layout
        .entries
        .iter()
        .map(|e| frame.slice_ref(e.0))
        .collect();
    let (body_len, body_root) = body_of(&entries);
    Ok(Gossip {
        signed: Signed {
            value: MessageHeader {
                author: layout.author,
                seq: layout.seq,
                prev_seq: layout.seq - layout.back,
                published_unix_ms: layout.published_unix_ms,
                topic,
                count: u16::try_from(entries.len()).unwrap_or(u16::MAX), // at most MAX_ENTRIES
                body_len,
                body_root,
            },
            signature: layout.signature,
        },
        entries,
    })
}
