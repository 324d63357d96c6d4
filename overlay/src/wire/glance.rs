//! What a measurement reads of a frame without checking it.

use crypto::{MessageId, NetworkId};

use super::body::ChunkLayout;
use super::codec::decode;
use super::gossip::Layout;
use super::message::Message;
use super::tag;

/// What a frame carries of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// All of it.
    Whole {
        /// Whose it is.
        name: Name,
        /// Bytes of payload.
        payload: usize,
    },
    /// Its header, and the hashes of its body.
    Head {
        /// Whose it is.
        name: Name,
    },
    /// A part of its body.
    Chunk {
        /// Which message.
        id: u64,
        /// Bytes of the body, of which each payload's length takes four.
        payload: usize,
    },
}

/// A message by its author's key (the first eight bytes) and its sequence number.
pub(crate) type Name = (u64, u64);

/// The first eight bytes of an author's key, as a [`Name`] has them.
pub(crate) fn author_of(key: &[u8; 32]) -> u64 {
    first(key)
}

fn first(bytes: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(first)
}

/// Looks at a frame; `None` = it carries nothing of a message.
pub(crate) fn glance(frame: &[u8]) -> Option<Glance> {
    let (tag, bytes) = (*frame.get(1)?, frame.get(2..)?);
    match tag {
        tag::GOSSIP => {
            let layout: Layout<'_> = postcard::from_bytes(bytes).ok()?;
            Some(Glance::Whole {
                name: (author_of(&layout.begin.author), layout.begin.seq),
                payload: layout.payload_len(),
            })
        }
        tag::HEAD => {
            // Author and number come first.
            let (author, seq): ([u8; 32], u64) = postcard::take_from_bytes(bytes).ok()?.0;
            Some(Glance::Head {
                name: (author_of(&author), seq),
            })
        }
        tag::CHUNK => {
            let layout: ChunkLayout<'_> = postcard::from_bytes(bytes).ok()?;
            Some(Glance::Chunk {
                id: first(layout.id()),
                payload: layout.len(),
            })
        }
        _ => None,
    }
}

/// The id of the message that a frame brings whole, or whose header it brings.
pub(crate) fn id_of(frame: &bytes::Bytes, network: &NetworkId) -> Option<MessageId> {
    let signed = match decode(frame).ok()? {
        Message::Gossip(gossip) => gossip.signed,
        Message::Head(head) => head.signed,
        _ => return None,
    };
    Some(signed.value.id(network))
}

/// What a [`Glance::Chunk`] calls the message of this id.
pub(crate) fn chunk_name(id: &MessageId) -> u64 {
    first(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use crypto::{Identity, NetworkId, Signed};

    use super::*;
    use crate::wire::{Chunk, Gossip, Head, MessageHeader, body_bytes, body_of, encode};

    #[test]
    fn a_frame_shows_whose_it_is_and_how_much_payload_it_has() {
        let identity = Identity::from_seed(&[3; 32]);
        let entries = vec![vec![1; 300].into(), vec![2; 5].into()];
        let (body_len, body_root) = body_of(&entries);
        let header = MessageHeader {
            author: identity.id().to_bytes(),
            seq: 1 << 40,
            prev_seq: 7,
            published_unix_ms: 1,
            topic: "news".parse().unwrap(),
            count: 2,
            body_len,
            body_root,
        };
        let network = NetworkId::from_name("here");
        let signed = Signed::sign(header, &identity, &network).unwrap();
        let signed = signed.signed().clone();
        let id = signed.value.id(&network);
        let frame = encode(&Message::Gossip(Box::new(Gossip { signed, entries })));
        let name = (author_of(&identity.id().to_bytes()), 1 << 40);
        let whole = Glance::Whole { name, payload: 305 };
        assert_eq!(glance(&frame), Some(whole));
        assert_eq!(id_of(&frame, &network), Some(id));
        assert_eq!(glance(&encode(&Message::Ping(1))), None);
        assert_eq!(glance(&frame[..40]), None);
        assert_eq!(glance(&[]), None);
    }
    #[test]
    fn a_large_message_is_known_by_its_head_and_its_chunks() {
        let identity = Identity::from_seed(&[4; 32]);
        let network = NetworkId::from_name("here");
        let body = body_bytes(&[vec![3; 70_000].into()]);
        let manifest = crypto::Manifest::of(&body).unwrap();
        let header = MessageHeader {
            author: identity.id().to_bytes(),
            seq: 300,
            prev_seq: 0,
            published_unix_ms: 1,
            topic: "news".parse().unwrap(),
            count: 1,
            body_len: 70_004,
            body_root: manifest.root(),
        };
        let signed = Signed::sign(header, &identity, &network).unwrap();
        let head = Head {
            signed: signed.signed().clone(),
            manifest,
            hops: 1,
            follows: false,
        };
        let id = head.signed.value.id(&network);
        let frame = encode(&Message::Head(Box::new(head)));
        let name = (author_of(&identity.id().to_bytes()), 300);
        assert_eq!(glance(&frame), Some(Glance::Head { name }));
        assert_eq!(id_of(&frame, &network), Some(id));
        let chunk = encode(&Message::Chunk(Chunk {
            id: id.to_bytes(),
            index: 2,
            bytes: vec![3; 4468].into(),
        }));
        let seen = Glance::Chunk {
            id: chunk_name(&id),
            payload: 4468,
        };
        assert_eq!(glance(&chunk), Some(seen));
        assert_eq!(id_of(&chunk, &network), None);
        assert_eq!(glance(&chunk[..60]), None);
        assert_eq!(glance(&frame[..20]), None);
    }
}
