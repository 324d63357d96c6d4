//! The one list of what may be signed and hashed, and the tag that keeps each apart from the rest.

use crate::NetworkId;

/// Length of every tag in bytes. A fixed width keeps `tag | network | body` free of ambiguity.
const TAG_LEN: usize = 32;

/// What a signature is for. Signed bytes are `tag (32) | network id (32) | body`, so a signature
/// made for one purpose or one network is worthless in another.
///
/// All tags begin with `vouchsafe/`: never with the 64 spaces of a TLS 1.3 `CertificateVerify`
/// (RFC 8446 §4.4.3) nor with the DER `SEQUENCE` byte of a certificate, which the same key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// A peer's statement about itself: addresses, roles, version.
    PeerRecord,
    /// A published message; the body is its [`MessageId`](crate::MessageId).
    Message,
}

impl Context {
    /// Every context, for tests that compare them pairwise.
    pub const ALL: [Self; 2] = [Self::PeerRecord, Self::Message];

    /// The zero-padded tag that opens the signed bytes.
    pub const fn tag(self) -> [u8; TAG_LEN] {
        match self {
            Self::PeerRecord => pad(b"vouchsafe/v1/sign/peer-record"),
            Self::Message => pad(b"vouchsafe/v1/sign/message"),
        }
    }

    /// The exact bytes that are signed: `tag | network id | body`.
    pub fn signed_bytes(self, network: &NetworkId, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * TAG_LEN + body.len());
        bytes.extend_from_slice(&self.tag());
        bytes.extend_from_slice(network.as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// What a hash names. The tag is the first 32 bytes hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashContext {
    /// [`MessageId`](crate::MessageId): over the network id and the message header.
    MessageId,
    /// [`EntryId`](crate::EntryId): over the message id and the entry's index.
    EntryId,
}

impl HashContext {
    /// Every context, for tests that compare them pairwise.
    pub const ALL: [Self; 2] = [Self::MessageId, Self::EntryId];

    /// The zero-padded tag that opens the hashed bytes.
    pub const fn tag(self) -> [u8; TAG_LEN] {
        match self {
            Self::MessageId => pad(b"vouchsafe/v1/hash/message-id"),
            Self::EntryId => pad(b"vouchsafe/v1/hash/entry-id"),
        }
    }

    /// BLAKE3 over the tag and then `parts`, which must be of fixed width up to the last one.
    pub(crate) fn hash(self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.tag());
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// BLAKE3 key-derivation context of [`Identity::derive_key`](crate::Identity::derive_key).
pub(crate) const DERIVE_KEY: &str = "vouchsafe v1 key derived from a node identity";

/// Zero-pads a tag; a tag that is too long does not compile where it is used in a constant and
/// fails every test otherwise.
const fn pad(text: &[u8]) -> [u8; TAG_LEN] {
    assert!(text.len() < TAG_LEN, "a tag leaves room for one zero");
    let mut tag = [0; TAG_LEN];
    let mut i = 0;
    while i < text.len() {
        tag[i] = text[i];
        i += 1;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tags_are_equal_and_none_can_pass_for_tls_or_der() {
        let mut tags: Vec<_> = Context::ALL.iter().map(|c| c.tag()).collect();
        tags.extend(HashContext::ALL.iter().map(|c| c.tag()));
        for (i, tag) in tags.iter().enumerate() {
            assert!(tag.starts_with(b"vouchsafe/v1/"));
            assert_eq!(tag.last(), Some(&0));
            assert!(!tags[..i].contains(tag));
        }
    }

    #[test]
    fn signed_bytes_are_tag_network_body() {
        let network = NetworkId::from_bytes([0xaa; 32]);
        let bytes = Context::Message.signed_bytes(&network, b"body");
        assert_eq!(bytes.len(), 68);
        assert_eq!(&bytes[..32], b"vouchsafe/v1/sign/message\0\0\0\0\0\0\0");
        assert_eq!(bytes[32..64], [0xaa; 32]);
        assert_eq!(&bytes[64..], b"body");
    }
}
