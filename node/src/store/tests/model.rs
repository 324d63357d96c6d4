//! Random rows against a model that says what must be there after a restart.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Tags are few, so that rows meet. The date follows from the tag, as it does for real messages.
const TAGS: u64 = 40;

fn date(tag: u64) -> u64 {
    1000 + (tag * 17) % 50
}

fn id(tag: u64) -> MessageId {
    message(tag, 0, 0, &[]).id
}

#[derive(Clone, Debug)]
enum Step {
    Message {
        tag: u64,
        skip: u64,
        entries: usize,
    },
    Decided(u64),
    Forget {
        edge: u64,
        pruned: Vec<u64>,
    },
    Cursors(u64),
    Seqs(u64),
    Version(u64),
    Archived(u8, u16),
    Unarchived(u8),
    Anchors(Vec<u8>),
    Banned(u8, u64),
    Unbanned(u8),
    /// End of a transaction.
    Commit,
    Sweep,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let tag = 0..TAGS;
    prop_oneof![
        8 => (tag.clone(), 0u64..3, 1usize..5)
            .prop_map(|(tag, skip, entries)| Step::Message { tag, skip, entries }),
        4 => tag.clone().prop_map(Step::Decided),
        2 => (990u64..1060, prop::collection::vec(tag, 0..6))
            .prop_map(|(edge, pruned)| Step::Forget { edge, pruned }),
        1 => (0u64..500).prop_map(Step::Cursors),
        1 => (0u64..500).prop_map(Step::Seqs),
        1 => (0u64..500).prop_map(Step::Version),
        2 => (1u8..6, 1u16..9).prop_map(|(peer, port)| Step::Archived(peer, port)),
        1 => (1u8..6).prop_map(Step::Unarchived),
        1 => prop::collection::vec(1u8..6, 0..3).prop_map(Step::Anchors),
        1 => (1u8..6, any::<u64>()).prop_map(|(peer, until)| Step::Banned(peer, until)),
        1 => (1u8..6).prop_map(Step::Unbanned),
        5 => Just(Step::Commit),
        1 => Just(Step::Sweep),
        2 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    log: BTreeMap<u64, StoredMessage>,
    decided: BTreeMap<(u64, [u8; 32]), ()>,
    edge: u64,
    cursor: u64,
    seq: u64,
    version: u64,
    archive: BTreeMap<PeerId, ArchiveEntry>,
    anchors: Vec<(PeerId, SocketAddr)>,
    bans: BTreeMap<PeerId, u64>,
}

impl Model {
    fn at(&self, id: &MessageId) -> Option<u64> {
        let mut all = self.log.iter();
        all.find(|(_, m)| m.id == *id).map(|(cursor, _)| *cursor)
    }

    fn apply(&mut self, row: &Row) {
        match row {
            Row::Message(m) if m.signed.value.published_unix_ms >= self.edge => {
                if let Some(old) = self.at(&m.id) {
                    self.log.remove(&old);
                }
                let key = (m.signed.value.published_unix_ms, *m.id.as_bytes());
                self.decided.remove(&key);
                self.log.insert(m.first_cursor, m.clone());
            }
            Row::Message(_) => {}
            Row::Evidence { .. } => {}
            Row::Decided {
                id,
                published_unix_ms,
            } => {
                if *published_unix_ms >= self.edge && self.at(id).is_none() {
                    self.decided
                        .insert((*published_unix_ms, *id.as_bytes()), ());
                }
            }
            Row::Forget {
                low_edge_ms,
                pruned,
            } => {
                self.edge = self.edge.max(*low_edge_ms);
                for id in pruned {
                    if let Some(at) = self.at(id) {
                        let date = self.log.remove(&at).unwrap().signed.value.published_unix_ms;
                        self.decided.insert((date, *id.as_bytes()), ());
                    }
                }
                let edge = self.edge;
                self.log
                    .retain(|_, m| m.signed.value.published_unix_ms >= edge);
                self.decided.retain(|(date, _), ()| *date >= edge);
            }
            Row::ReserveCursors { cursor } => self.cursor = self.cursor.max(*cursor),
            Row::ReserveSeqs { seq } => self.seq = self.seq.max(*seq),
            Row::RecordVersion { version } => self.version = self.version.max(*version),
            Row::Peer(PeerRow::Archived(entry)) => {
                self.archive.insert(entry.peer, *entry);
            }
            Row::Peer(PeerRow::Unarchived(peer)) => {
                self.archive.remove(peer);
            }
            Row::Peer(PeerRow::Anchors(anchors)) => self.anchors.clone_from(anchors),
            Row::Peer(PeerRow::Banned {
                peer,
                until_unix_ms,
            }) => {
                self.bans.insert(*peer, *until_unix_ms);
            }
            Row::Peer(PeerRow::Unbanned(peer)) => {
                self.bans.remove(peer);
            }
        }
    }

    fn check(&self, store: &Store, restored: &Restored) {
        let end = self
            .log
            .last_key_value()
            .map_or(0, |(cursor, m)| cursor + m.entries.len() as u64);
        assert!(restored.next_cursor >= self.cursor.max(end));
        let expected = Restored {
            next_cursor: restored.next_cursor,
            next_seq: self.seq,
            record_version: self.version,
            low_edge_ms: self.edge,
            messages: self
                .log
                .values()
                .map(|m| RestoredMessage {
                    id: m.id,
                    author: PeerId::from_bytes(&m.signed.value.author).unwrap(),
                    seq: m.signed.value.seq,
                    published_unix_ms: m.signed.value.published_unix_ms,
                    bytes: rows::encode_message(m).len() as u32,
                    first_cursor: m.first_cursor,
                    entries: m.entries.len() as u32,
                    equivocation: m.equivocation,
                })
                .collect(),
            decided: self
                .decided
                .keys()
                .map(|(date, id)| (MessageId::from_bytes(*id), *date))
                .collect(),
            archive: self.archive.values().copied().collect(),
            anchors: self.anchors.clone(),
            bans: self
                .bans
                .iter()
                .map(|(peer, until)| (*peer, *until))
                .collect(),
        };
        assert_eq!(*restored, expected);
        self.check_reads(store);
    }

    fn check_reads(&self, store: &Store) {
        for tag in 0..TAGS {
            let expected = self
                .at(&id(tag))
                .map(|at| Row::Message(self.log[&at].clone()));
            assert_eq!(store.load(&Key::Message(id(tag))), Ok(expected));
        }
        let all: Vec<_> = self.log.values().cloned().collect();
        assert_eq!(
            store.first_cursor(),
            Ok(all.first().map(|m| m.first_cursor))
        );
        let last = all
            .last()
            .map(|m| m.first_cursor + m.entries.len() as u64 - 1);
        assert_eq!(store.last_cursor(), Ok(last));
        for from in [0, last.unwrap_or(0) / 2, last.unwrap_or(0)] {
            let mut expected = all.clone();
            expected.retain(|m| m.first_cursor + m.entries.len() as u64 > from);
            assert_eq!(
                store.read_log(from, usize::MAX, usize::MAX),
                Ok(expected.clone())
            );
            expected.truncate(2);
            assert_eq!(store.read_log(from, 2, usize::MAX), Ok(expected.clone()));
            expected.truncate(1);
            assert_eq!(store.read_log(from, 9, 0), Ok(expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn what_is_restored_is_what_was_written(steps in prop::collection::vec(step(), 1..80)) {
        let disk = disk::Disk::new();
        let mut store = Some(disk.open().unwrap().0);
        // Forgets nothing until the end, so it is told all that the file keeps over a restart.
        let memory = Store::in_memory();
        let mut model = Model::default();
        let (mut waiting, mut next) = (Vec::new(), 1u64);
        let commit = |store: &Option<Store>, model: &mut Model, waiting: &mut Vec<Row>| {
            store.as_ref().unwrap().write(waiting).unwrap();
            memory.write(waiting).unwrap();
            waiting.drain(..).for_each(|row| model.apply(&row));
        };
        let addr = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
        for step in steps.into_iter().chain([Step::Commit, Step::Reopen]) {
            waiting.push(match step {
                Step::Message { tag, skip, entries } => {
                    let mut made = message(tag, next + skip, date(tag), &vec!["entry"; entries]);
                    made.gap = skip == 1;
                    next += skip + entries as u64;
                    Row::Message(made)
                }
                Step::Decided(tag) => Row::Decided { id: id(tag), published_unix_ms: date(tag) },
                Step::Forget { edge, pruned } => Row::Forget {
                    low_edge_ms: edge,
                    pruned: pruned.into_iter().map(id).collect(),
                },
                Step::Cursors(cursor) => Row::ReserveCursors { cursor },
                Step::Seqs(seq) => Row::ReserveSeqs { seq },
                Step::Version(version) => Row::RecordVersion { version },
                Step::Archived(n, port) => Row::Peer(PeerRow::Archived(ArchiveEntry {
                    peer: peer(n),
                    addr: addr(port),
                    proven_unix_ms: u64::from(port),
                })),
                Step::Unarchived(n) => Row::Peer(PeerRow::Unarchived(peer(n))),
                Step::Anchors(peers) => {
                    Row::Peer(PeerRow::Anchors(peers.into_iter().map(|n| (peer(n), addr(1))).collect()))
                }
                Step::Banned(n, until_unix_ms) => {
                    Row::Peer(PeerRow::Banned { peer: peer(n), until_unix_ms })
                }
                Step::Unbanned(n) => Row::Peer(PeerRow::Unbanned(peer(n))),
                Step::Commit => {
                    commit(&store, &mut model, &mut waiting);
                    model.check_reads(store.as_ref().unwrap());
                    model.check_reads(&memory);
                    prop_assert_eq!(memory.messages(), model.log.len() as u64);
                    let rows = model.log.values().map(|it| rows::encode_message(it).len() as u64);
                    prop_assert_eq!(memory.size_bytes(), rows.sum::<u64>());
                    continue;
                }
                Step::Sweep => {
                    let open = store.as_ref().unwrap();
                    while open.sweep().unwrap() {}
                    prop_assert_eq!(open.messages(), model.log.len() as u64);
                    continue;
                }
                Step::Reopen => {
                    // What was not committed is gone.
                    waiting.clear();
                    drop(store.take());
                    let (open, restored) = disk.open().unwrap();
                    model.check(&open, &restored);
                    store = Some(open);
                    continue;
                }
            });
        }
    }
}
