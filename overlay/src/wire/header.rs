//! The header of a message: the fixed layout that its author signs.

use bytes::Bytes;
use crypto::{Context, MessageId, NetworkId, Signable, body_root};

use crate::messages::Topic;

/// What an author signs. Small messages carry their entries beside it, larger ones send them after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// The author's key.
    pub author: [u8; 32],
    /// The author's sequence number; only rises, across restarts too.
    pub seq: u64,
    /// The sequence number of the author's previous message, 0 = none; always below `seq`.
    pub prev_seq: u64,
    /// The author's date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// The topic of all entries.
    pub topic: Topic,
    /// Number of entries, 1 or more.
    pub count: u16,
    /// Length of the body, bytes.
    pub body_len: u32,
    /// BLAKE3 of the body.
    pub body_root: [u8; 32],
}

impl MessageHeader {
    /// The fixed layout: author 32, seq u64, `prev_seq` u64, date u64, count u16, `body_len` u32, `body_root` 32, topic length
    /// u8, topic; little endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let topic = self.topic.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(95 + topic.len());
        bytes.extend_from_slice(&self.author);
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.prev_seq.to_le_bytes());
        bytes.extend_from_slice(&self.published_unix_ms.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.body_len.to_le_bytes());
        bytes.extend_from_slice(&self.body_root);
        bytes.push(u8::try_from(topic.len()).unwrap_or(u8::MAX)); // a Topic is at most 64 bytes
        bytes.extend_from_slice(topic);
        bytes
    }

    /// The message's id: a hash of the header, without the signature.
    #[must_use]
    pub fn id(&self, network: &NetworkId) -> MessageId {
        MessageId::of(network, &self.to_bytes())
    }
}

/// Length and BLAKE3 root of the [body](body_bytes) of a message. The caller has bounded the entries, so the length fits.
#[must_use]
pub fn body_of(entries: &[Bytes]) -> (u32, [u8; 32]) {
    let body = body_bytes(entries);
    (
        u32::try_from(body.len()).unwrap_or(u32::MAX),
        body_root(&body),
    )
}

/// The body of a message: for each entry its length (u32, little endian) and its bytes.
#[must_use]
pub fn body_bytes(entries: &[Bytes]) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 4).sum());
    for entry in entries {
        body.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(entry);
    }
    body
}

/// The `count` entries of a body, which share its memory; `None` if it is not made of so many.
#[must_use]
pub fn entries_of(body: &Bytes, count: u16) -> Option<Vec<Bytes>> {
    let mut entries = Vec::with_capacity(usize::from(count).min(body.len() / 4));
    let mut at = 0;
    while entries.len() < usize::from(count) {
        let (len, _) = body.get(at..)?.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (start, end) = (at + 4, at.checked_add(4)?.checked_add(len)?);
        if end > body.len() {
            return None;
        }
        entries.push(body.slice(start..end));
        at = end;
    }
    (at == body.len()).then_some(entries)
}

impl Signable for MessageHeader {
    const CONTEXT: Context = Context::Message;

    fn signer(&self) -> &[u8; 32] {
        &self.author
    }

    fn body(&self, network: &NetworkId) -> Vec<u8> {
        self.id(network).as_bytes().to_vec()
    }
}
