//! The header of a message: the fixed layout that its author signs.

use bytes::Bytes;
use crypto::{Context, MessageId, NetworkId, Signable, body_root};

use crate::messages::Topic;

/// What an author signs. Golden from the first day: larger messages will send their entries later, under this same header.
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

/// The body of a message: for each entry its length (u32, little endian) and its bytes. Returns length and BLAKE3 root.
/// The caller has bounded the entries, so the length fits.
#[must_use]
pub fn body_of(entries: &[Bytes]) -> (u32, [u8; 32]) {
    let mut body = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 4).sum());
    for entry in entries {
        body.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(entry);
    }
    (
        u32::try_from(body.len()).unwrap_or(u32::MAX),
        body_root(&body),
    )
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
