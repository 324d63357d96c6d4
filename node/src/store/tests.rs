use std::net::SocketAddr;

use bytes::Bytes;
use crypto::{Identity, MessageId, PeerId, Signed};
use overlay::messages::Topic;
use overlay::peers::{ArchiveEntry, PeerRow};
use overlay::wire::MessageHeader;

use super::*;

pub(super) fn network() -> NetworkId {
    NetworkId::from_name("test")
}

pub(super) fn peer(n: u8) -> PeerId {
    Identity::from_seed(&[n; 32]).id()
}

/// A message that is stored as it is: nobody checks hashes or signatures here.
pub(super) fn message(tag: u64, first_cursor: u64, date: u64, entries: &[&str]) -> StoredMessage {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&tag.to_be_bytes());
    let author = peer((tag % 5) as u8);
    StoredMessage {
        id: MessageId::from_bytes(id),
        first_cursor,
        signed: Signed {
            value: MessageHeader {
                author: author.to_bytes(),
                seq: tag + 1,
                prev_seq: tag,
                published_unix_ms: date,
                topic: "a/topic".parse::<Topic>().unwrap(),
                count: entries.len() as u16,
                body_len: 7,
                body_root: [9; 32],
            },
            signature: [tag as u8; 64],
        },
        entries: entries
            .iter()
            .map(|text| Bytes::copy_from_slice(text.as_bytes()))
            .collect(),
        gap: tag.is_multiple_of(3),
        equivocation: tag.is_multiple_of(7),
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    assert_eq!(restored, Restored::default());
    assert_eq!(store.first_cursor(), Ok(None));
    assert_eq!(store.last_cursor(), Ok(None));
    let one = message(1, 1, 100, &["hello"]);
    let two = message(2, 2, 90, &["a", "", "ccc"]);
    let scoped = SocketAddr::V6(std::net::SocketAddrV6::new(
        "fe80::1".parse().unwrap(),
        9,
        3,
        4,
    ));
    let archived = ArchiveEntry {
        peer: peer(1),
        addr: addr("10.0.0.1:4100"),
        proven_unix_ms: 77,
    };
    store
        .write(&[
            Row::ReserveCursors { cursor: 65 },
            Row::ReserveSeqs { seq: 33 },
            Row::RecordVersion { version: 12 },
            Row::Message(one.clone()),
            Row::Message(two.clone()),
            Row::Decided {
                id: message(3, 0, 0, &[]).id,
                published_unix_ms: 95,
            },
            Row::Peer(PeerRow::Archived(archived)),
            Row::Peer(PeerRow::Archived(ArchiveEntry {
                peer: peer(2),
                ..archived
            })),
            Row::Peer(PeerRow::Unarchived(peer(2))),
            Row::Peer(PeerRow::Anchors(vec![
                (peer(1), addr("1.2.3.4:5")),
                (peer(2), addr("1.2.3.4:6")),
            ])),
            Row::Peer(PeerRow::Anchors(vec![(peer(3), scoped)])),
            Row::Peer(PeerRow::Banned {
                peer: peer(4),
                until_unix_ms: u64::MAX,
            }),
        ])
        .unwrap();
    drop(store);
    let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    assert_eq!(
        (
            restored.next_cursor,
            restored.next_seq,
            restored.record_version,
            restored.low_edge_ms
        ),
        (65, 33, 12, 0)
    );
    let ids: Vec<_> = restored.messages.iter().map(|m| m.id).collect();
    assert_eq!(ids, [one.id, two.id]);
    assert_eq!(restored.messages[1].entries, 3);
    assert_eq!(restored.messages[1].author, peer(2));
    assert_eq!(restored.decided, [(message(3, 0, 0, &[]).id, 95)]);
    assert_eq!(restored.archive, [archived]);
    assert_eq!(restored.anchors, [(peer(3), scoped)]);
    assert_eq!(restored.bans, [(peer(4), u64::MAX)]);
    assert_eq!(store.messages(), 2);
    assert_eq!(
        store.size_bytes(),
        restored
            .messages
            .iter()
            .map(|m| u64::from(m.bytes))
            .sum::<u64>()
    );
    assert_eq!(
        store.load(&Key::Message(two.id)),
        Ok(Some(Row::Message(two.clone())))
    );
    assert_eq!(
        store.load(&Key::Message(message(3, 0, 0, &[]).id)),
        Ok(None)
    );
    assert_eq!(store.first_cursor(), Ok(Some(1)));
    assert_eq!(store.last_cursor(), Ok(Some(4)));
    assert_eq!(store.read_log(0, 10, 10_000), Ok(vec![one, two.clone()]));
    // A cursor in the middle of a message brings all of it.
    assert_eq!(store.read_log(4, 10, 10_000), Ok(vec![two]));
    assert_eq!(store.read_log(5, 10, 10_000), Ok(vec![]));
}
