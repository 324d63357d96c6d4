use super::*;
use crate::messages::Topic;
use crate::wire::{Gossip, MessageHeader, body_of};
use crypto::{Identity, NetworkId, Signed};

pub(crate) fn gossip(seq: u64, prev_seq: u64, entries: Vec<Bytes>) -> Gossip {
    let identity = Identity::from_seed(&[1; 32]);
    let (body_len, body_root) = body_of(&entries);
    let header = MessageHeader {
        author: identity.id().to_bytes(),
        seq,
        prev_seq,
        published_unix_ms: 1_700_000_000_000,
        topic: "chat/general".parse::<Topic>().unwrap(),
        count: u16::try_from(entries.len()).unwrap_or(u16::MAX),
        body_len,
        body_root,
    };
    Gossip {
        signed: Signed::sign(header, &identity, &NetworkId::from_name("test"))
            .unwrap()
            .into_signed(),
        entries,
    }
}

#[test]
fn gossip_round_trips_without_copying_its_entries() {
    let sent = gossip(7, 5, vec![Bytes::from_static(b"one"), Bytes::new()]);
    let message = Message::Gossip(Box::new(sent));
    let frame = encode(&message);
    let decoded = decode(&frame).unwrap();
    assert_eq!(decoded, message);
    let Message::Gossip(decoded) = decoded else {
        panic!("another type");
    };
    let range = frame.as_ptr_range();
    assert!(range.contains(&decoded.entries[0].as_ptr()));
}
