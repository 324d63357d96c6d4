//! How a large message travels: its head, and the chunks of its body. `prev_seq` travels as its distance from `seq`; the root
//! does not travel: the receiver merges it from the hashes of the chunks.

use bytes::Bytes;
use crypto::Manifest;
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::codec::{DecodeError, body};
use super::gossip::{Begin, Slice};
use super::message::{Chunk, Head, MAX_CHUNKS};
use crate::messages::{MAX_BODY, MAX_ENTRIES};

/// What travels of a head, borrowed from the frame.
#[derive(Serialize, Deserialize)]
pub(super) struct HeadLayout<'a> {
    #[serde(borrow)]
    begin: Begin<'a>,
    count: u16,
    body_len: u32,
    hashes: Bounded<[u8; 32], MAX_CHUNKS>,
    // The last two bytes of the frame; see `head_for`.
    hops: u8,
    follows: bool,
}

impl<'a> From<&'a Head> for HeadLayout<'a> {
    fn from(head: &'a Head) -> Self {
        let header = &head.signed.value;
        Self {
            begin: Begin::from(&head.signed),
            count: header.count,
            body_len: header.body_len,
            hashes: Bounded::unchecked(head.manifest.hashes().to_vec()),
            hops: head.hops,
            follows: head.follows,
        }
    }
}

/// Decodes the body of a head frame.
pub(super) fn decode_head(bytes: &[u8]) -> Result<Head, DecodeError> {
    let layout: HeadLayout<'_> = body(bytes)?;
    let topic = layout.begin.topic()?;
    let (count, len) = (usize::from(layout.count), layout.body_len as usize);
    if !(1..=MAX_ENTRIES).contains(&count) {
        return Err(DecodeError::Invalid("a number of entries that no body has"));
    }
    if !(4 * count..=MAX_BODY).contains(&len) {
        return Err(DecodeError::Invalid("a length that no body has"));
    }
    let manifest = Manifest::new(len, layout.hashes.into_vec()).ok_or(DecodeError::Invalid(
        "hashes that are more or fewer than chunks",
    ))?;
    Ok(Head {
        signed: layout
            .begin
            .signed(topic, layout.count, layout.body_len, manifest.root()),
        manifest,
        hops: layout.hops,
        follows: layout.follows,
    })
}

/// The frame of a head for another receiver: all but its last two bytes stays as it came.
#[must_use]
pub fn head_for(frame: &Bytes, hops: u8, follows: bool) -> Bytes {
    let mark = [hops, u8::from(follows)];
    if frame.ends_with(&mark) {
        return frame.clone();
    }
    let kept = frame.len().saturating_sub(mark.len());
    let mut frame = frame[..kept].to_vec();
    frame.extend_from_slice(&mark);
    frame.into()
}

/// What travels of a chunk, borrowed from the frame.
#[derive(Serialize, Deserialize)]
pub(super) struct ChunkLayout<'a> {
    id: [u8; 32],
    index: u16,
    #[serde(borrow)]
    bytes: Slice<'a>,
}

#[cfg(feature = "sim")]
impl ChunkLayout<'_> {
    /// Which message's.
    pub(super) const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// Bytes of the chunk.
    pub(super) const fn len(&self) -> usize {
        self.bytes.0.len()
    }
}

impl<'a> From<&'a Chunk> for ChunkLayout<'a> {
    fn from(chunk: &'a Chunk) -> Self {
        Self {
            id: chunk.id,
            index: chunk.index,
            bytes: Slice(&chunk.bytes),
        }
    }
}

/// Decodes the body of a chunk frame; the chunk shares the frame's memory.
pub(super) fn decode_chunk(frame: &Bytes, bytes: &[u8]) -> Result<Chunk, DecodeError> {
    let layout: ChunkLayout<'_> = body(bytes)?;
    if !(1..=crypto::CHUNK_LEN).contains(&layout.bytes.0.len()) {
        return Err(DecodeError::Invalid("a length that no chunk has"));
    }
    Ok(Chunk {
        id: layout.id,
        index: layout.index,
        bytes: frame.slice_ref(layout.bytes.0),
    })
}
