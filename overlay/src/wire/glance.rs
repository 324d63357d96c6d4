//! What a measurement reads of a frame without checking it.

use super::gossip::Layout;
use super::tag;

/// Whose message a frame carries, and how much payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    /// The first eight bytes of the author's key.
    pub(crate) author: u64,
    /// Its sequence number.
    pub(crate) seq: u64,
    /// Bytes of payload in this frame.
    pub(crate) payload: usize,
}

/// The first eight bytes of an author's key, as a [`Glance`] has them.
pub(crate) fn author_of(key: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    u64::from_le_bytes(first)
}

/// Looks at a frame; `None` = it carries no payload.
pub(crate) fn glance(frame: &[u8]) -> Option<Glance> {
    if frame.get(1) != Some(&tag::GOSSIP) {
        return None;
    }
    let layout: Layout<'_> = postcard::from_bytes(frame.get(2..)?).ok()?;
    Some(Glance {
        author: author_of(&layout.author),
        seq: layout.seq,
        payload: layout.payload_len(),
    })
}

#[cfg(test)]
mod tests {
    use crypto::{Identity, NetworkId, Signed};

    use super::*;
    use crate::wire::{Gossip, Message, MessageHeader, body_of, encode};

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
        let frame = encode(&Message::Gossip(Box::new(Gossip { signed, entries })));
        let seen = glance(&frame).unwrap();
        assert_eq!(seen.author, author_of(&identity.id().to_bytes()));
        assert_eq!((seen.seq, seen.payload), (1 << 40, 305));
        assert_eq!(glance(&encode(&Message::Ping(1))), None);
        assert_eq!(glance(&frame[..40]), None);
        assert_eq!(glance(&[]), None);
    }
}
