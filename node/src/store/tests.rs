use std::fs;
use std::net::SocketAddr;

use bytes::Bytes;
use crypto::{Identity, MessageId, PeerId, Signed};
use overlay::RestoredMessage;
use overlay::messages::Topic;
use overlay::peers::{ArchiveEntry, PeerRow};
use overlay::wire::MessageHeader;

use super::file::{DEFAULT_CACHE, SWEEP, builder, caught};
use super::rows::Head;
use super::*;

mod damage;
pub(super) mod disk;
mod evidence;
mod model;
mod versions;

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

/// A store of each kind, with nothing in it.
fn both() -> [Store; 2] {
    [disk::Disk::new().open().unwrap().0, Store::in_memory()]
}

/// The database of a store in a file.
fn db(store: &Store) -> &redb::Database {
    match &store.0 {
        Kind::File(file) => file.db(),
        Kind::Memory(_) => panic!("in memory"),
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

#[test]
fn numbers_only_rise() {
    let store = disk::Disk::new().open().unwrap().0;
    let rows = |n| {
        [
            Row::ReserveCursors { cursor: n },
            Row::ReserveSeqs { seq: n },
            Row::RecordVersion { version: n },
            Row::Forget {
                low_edge_ms: n,
                pruned: Vec::new(),
            },
        ]
    };
    for (write, expected) in [
        (5, 5),
        (3, 5),
        (0, 5),
        (6, 6),
        (u64::MAX, u64::MAX),
        (7, u64::MAX),
    ] {
        store.write(&rows(write)).unwrap();
        let restored = restore::restore(db(&store)).unwrap().0;
        assert_eq!(
            [
                restored.next_cursor,
                restored.next_seq,
                restored.record_version,
                restored.low_edge_ms
            ],
            [expected; 4]
        );
    }
}

#[test]
fn a_cursor_never_names_two_entries() {
    for store in both() {
        let held = message(1, 10, 100, &["a", "b", "c"]);
        store.write(&[Row::Message(held.clone())]).unwrap();
        for (cursor, entries) in [(10, 1), (11, 1), (12, 1), (12, 5), (8, 3), (5, 20), (10, 3)] {
            let error = store.write(&[
                Row::ReserveSeqs { seq: 99 },
                Row::Message(message(2, cursor, 100, &vec!["x"; entries])),
            ]);
            assert!(
                matches!(error, Err(StoreError::CursorTaken { .. })),
                "{cursor} {entries} {error:?}"
            );
        }
        // Nothing of a refused transaction is there.
        assert_eq!(store.messages(), 1);
        if let Kind::File(file) = &store.0 {
            assert_eq!(restore::restore(file.db()).unwrap().0.next_seq, 0);
        }
        for (cursor, entries) in [(9, 1), (13, 1)] {
            let fits = message(cursor, cursor, 100, &vec!["x"; entries]);
            store.write(&[Row::Message(fits)]).unwrap();
        }
        // The same message at its own cursor again: its marks may have changed.
        let mut marked = held;
        marked.equivocation = !marked.equivocation;
        store.write(&[Row::Message(marked.clone())]).unwrap();
        assert_eq!(
            store.load(&Key::Message(marked.id)),
            Ok(Some(Row::Message(marked)))
        );
        assert_eq!(store.messages(), 3);
        // A reservation that a bug left behind does not lead to a second use.
        if let Kind::File(file) = &store.0 {
            assert_eq!(restore::restore(file.db()).unwrap().0.next_cursor, 14);
        }
    }
}

#[test]
fn a_huge_range_is_forgotten_in_steps_and_at_once_invisible() {
    let disk = disk::Disk::new();
    let (store, _) = disk.open().unwrap();
    let count = 3 * SWEEP as u64 + 10;
    let rows: Vec<Row> = (0..count)
        .map(|n| Row::Message(message(n, n + 1, n, &["x"])))
        .chain((0..count).map(|n| Row::Decided {
            id: message(1_000_000 + n, 0, 0, &[]).id,
            published_unix_ms: n,
        }))
        .collect();
    store.write(&rows).unwrap();
    let edge = count - 5;
    store
        .write(&[Row::Forget {
            low_edge_ms: edge,
            pruned: vec![message(count - 1, 0, 0, &[]).id],
        }])
        .unwrap();
    assert!(store.messages() > SWEEP as u64);
    assert_eq!(store.first_cursor(), Ok(Some(edge + 1)));
    assert_eq!(store.last_cursor(), Ok(Some(count - 1)));
    assert_eq!(store.read_log(0, 100, 1 << 20).unwrap().len(), 4);
    assert_eq!(
        store.load(&Key::Message(message(3, 0, 0, &[]).id)),
        Ok(None)
    );
    // A crash in between: the rest is swept by the next run, and was never restored.
    drop(store);
    let (store, restored) = disk.open().unwrap();
    assert_eq!(restored.messages.len(), 4);
    assert_eq!(restored.decided.len(), 6);
    let mut steps = 0;
    while store.sweep().unwrap() {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(store.messages(), 4);
    let restored = restore::restore(db(&store)).unwrap();
    assert!(restored.1.swept);
    assert_eq!(restored.0.decided.len(), 6);
}

#[test]
fn every_row_is_checked_before_it_is_believed() {
    let good = rows::encode_message(&message(5, 6, 7, &["one", "", "three"]));
    assert_eq!(
        good.len(),
        rows::message_len(&message(5, 6, 7, &["one", "", "three"]))
    );
    assert_eq!(
        rows::decode_message(6, &good),
        Ok(message(5, 6, 7, &["one", "", "three"]))
    );
    for len in 0..good.len() {
        assert!(rows::decode_message(6, &good[..len]).is_err(), "{len}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        assert!(rows::decode_message(6, &bad).is_err(), "{at}");
    }
    // A good seal over something else: every length is checked.
    let seal = |content: &[u8]| [content, &crypto::body_root(content)[..8]].concat();
    let content = &good[..good.len() - 8];
    for len in 0..content.len() {
        assert!(
            rows::decode_message(6, &seal(&content[..len])).is_err(),
            "{len}"
        );
    }
    assert!(rows::decode_message(6, &seal(&[content, b"x"].concat())).is_err());
    for at in 0..content.len() {
        let mut bad = content.to_vec();
        bad[at] = 0xff;
        let _ = rows::decode_message(6, &seal(&bad)); // whatever it is, no panic
    }
    let number = rows::encode_number(7);
    assert_eq!(rows::decode_number(&number), Ok(7));
    assert!(rows::decode_number(&number[1..]).is_err());
    assert!(rows::decode_id(&number).is_err());
    assert!(rows::decode_place(&number).is_err());
    assert!(rows::decode_anchor(&number).is_err());
    assert!(Head::decode(&number).is_err());
}

/// The longest messages are rows like any other: there after a restart, read one at a time, gone from the count when pruned.
#[test]
fn messages_of_16_mib_are_kept_and_pruned() {
    const LEN: usize = 16 * 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (store, _) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    let large = |tag: u64| {
        let mut large = message(tag, tag, 100, &["x"]);
        large.entries = vec![Bytes::from(vec![tag as u8; LEN])];
        large
    };
    for tag in 1..=3 {
        store.write(&[Row::Message(large(tag))]).unwrap();
    }
    assert!(store.size_bytes() > 3 * LEN as u64);
    drop(store);
    let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    let bytes: Vec<u32> = restored.messages.iter().map(|it| it.bytes).collect();
    assert!(bytes.iter().all(|bytes| *bytes > LEN as u32), "{bytes:?}");
    let page = store.read_log(1, 100, 1024 * 1024).unwrap();
    assert!(page == [large(1)], "one is more than a page");
    let Ok(Some(Row::Message(found))) = store.load(&Key::Message(large(3).id)) else {
        panic!("not there");
    };
    assert!(found == large(3));
    let prune = |tags: &[u64]| Row::Forget {
        low_edge_ms: 0,
        pruned: tags.iter().map(|tag| large(*tag).id).collect(),
    };
    store.write(&[prune(&[1, 2])]).unwrap();
    assert_eq!(store.messages(), 1);
    assert!(store.size_bytes() < 2 * LEN as u64);
    // Room that was given back is used again.
    let before = fs::metadata(&path).unwrap().len();
    for tag in 4..=5 {
        store.write(&[Row::Message(large(tag))]).unwrap();
    }
    let after = fs::metadata(&path).unwrap().len();
    assert!(after <= before + 2 * LEN as u64, "{before} {after}");
}
