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

/// What every message begins with, borrowed from the frame: its header, but for what the receiver learns from what follows.
#[derive(Serialize, Deserialize)]
pub(super) struct Begin<'a> {
    pub(super) author: [u8; 32],
    pub(super) seq: u64,
    /// `seq - prev_seq`, from 1 to `seq`: one pair of numbers for each valid header, one header for each valid pair.
    back: u64,
    published_unix_ms: u64,
    #[serde(borrow)]
    topic: Slice<'a>,
    #[serde(with = "super::signature")]
    signature: [u8; 64],
}

impl<'a> From<&'a Signed<MessageHeader>> for Begin<'a> {
    /// A header that breaks `prev_seq < seq` gets a `back` that no decoder accepts.
    fn from(signed: &'a Signed<MessageHeader>) -> Self {
        let header = &signed.value;
        Self {
            author: header.author,
            seq: header.seq,
            back: header.seq.wrapping_sub(header.prev_seq),
            published_unix_ms: header.published_unix_ms,
            topic: Slice(header.topic.as_str().as_bytes()),
            signature: signed.signature,
        }
    }
}

impl Begin<'_> {
    /// The topic, of a header that may be one: to be asked before anything is hashed.
    pub(super) fn topic(&self) -> Result<Topic, DecodeError> {
        if self.back == 0 || self.back > self.seq {
            return Err(DecodeError::Invalid("prev_seq is not below seq"));
        }
        self.topic.topic()
    }

    /// The header with its topic and this about its body.
    pub(super) fn signed(
        &self,
        topic: Topic,
        count: u16,
        body_len: u32,
        body_root: [u8; 32],
    ) -> Signed<MessageHeader> {
        Signed {
            value: MessageHeader {
                author: self.author,
                seq: self.seq,
                prev_seq: self.seq.saturating_sub(self.back),
                published_unix_ms: self.published_unix_ms,
                topic,
                count,
                body_len,
                body_root,
            },
            signature: self.signature,
        }
    }
}

/// What travels, borrowed from the frame.
#[derive(Serialize, Deserialize)]
pub(super) struct Layout<'a> {
    #[serde(borrow)]
    pub(super) begin: Begin<'a>,
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
    /// Too many entries stay too many.
    fn from(gossip: &'a Gossip) -> Self {
        Self {
            begin: Begin::from(&gossip.signed),
            entries: Bounded::unchecked(gossip.entries.iter().map(|e| Slice(e)).collect()),
        }
    }
}

/// Decodes the body of a gossip frame; the entries share the frame's memory.
pub(super) fn decode(frame: &Bytes, bytes: &[u8]) -> Result<Gossip, DecodeError> {
    let layout: Layout<'_> = body(bytes)?;
    let topic = layout.begin.topic()?;
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
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX); // at most MAX_ENTRIES
    Ok(Gossip {
        signed: layout.begin.signed(topic, count, body_len, body_root),
        entries,
    })
}
