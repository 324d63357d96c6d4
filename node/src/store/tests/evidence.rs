//! Proofs of equivocation: kept across restarts, capped over all and by author, gone some time after the log's low edge.

use crypto::Verified;
use overlay::messages::Evidence;

use super::*;
use crate::store::{KEPT_MS, MAX_EVIDENCE, MAX_EVIDENCE_PER_AUTHOR};

fn header(author: &Identity, seq: u64, root: u8) -> Verified<MessageHeader> {
    let header = MessageHeader {
        author: author.id().to_bytes(),
        seq,
        prev_seq: 0,
        published_unix_ms: 1000,
        topic: "a/topic".parse::<Topic>().unwrap(),
        count: 1,
        body_len: 7,
        body_root: [root; 32],
    };
    Signed::sign(header, author, &network()).unwrap()
}

fn author(n: u16) -> Identity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    Identity::from_seed(&seed)
}

/// A proof against author `n`.
pub(super) fn row(n: u16, seq: u64, found_unix_ms: u64) -> Row {
    let author = author(n);
    let (a, b) = (header(&author, seq, 1), header(&author, seq, 2));
    Row::Evidence {
        found_unix_ms,
        evidence: Box::new(Evidence::of(a, b, &network()).unwrap()),
    }
}

fn kept(store: &Store) -> Vec<(PeerId, u64, u64)> {
    let all = store.read_evidence().unwrap();
    assert_eq!(all.len() as u64, store.evidence());
    let short = all.iter().map(|one| {
        let [a, b] = &one.messages;
        assert_eq!((a.value.author, a.value.seq), (b.value.author, b.value.seq));
        let author = PeerId::from_bytes(&a.value.author).unwrap();
        (author, a.value.seq, one.found_unix_ms)
    });
    short.collect()
}

#[test]
fn evidence_outlives_a_restart_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (store, _) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    let Row::Evidence { evidence, .. } = row(1, 5, 300) else {
        unreachable!()
    };
    store.write(&[row(1, 5, 300), row(2, 9, 200)]).unwrap();
    // Found again, after the log has forgotten both: the first time counts.
    store.write(&[row(1, 5, 900)]).unwrap();
    drop(store);
    let (store, _) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    let all = store.read_evidence().unwrap();
    let [a, b] = evidence.messages();
    assert_eq!(all[0].messages, [a.signed().clone(), b.signed().clone()]);
    let (one, two) = (author(1).id(), author(2).id());
    assert_eq!(kept(&store), [(one, 5, 300), (two, 9, 200)]);
}

#[test]
fn an_author_has_its_share_and_the_oldest_make_room() {
    for store in both() {
        let many: Vec<Row> = (1..=20).map(|seq| row(0, seq, seq)).collect();
        store.write(&many).unwrap();
        let first = author(0).id();
        let share = MAX_EVIDENCE_PER_AUTHOR as u64;
        let expected: Vec<_> = (1..=share).map(|seq| (first, seq, seq)).collect();
        assert_eq!(kept(&store), expected);
        let others: Vec<Row> = (1..=1100).map(|n| row(n, 1, 100 + u64::from(n))).collect();
        for some in others.chunks(100) {
            store.write(some).unwrap();
            assert!(store.evidence() <= MAX_EVIDENCE);
        }
        let kept = kept(&store);
        assert_eq!(kept.len() as u64, MAX_EVIDENCE);
        assert_eq!(kept.last(), Some(&(author(1100).id(), 1, 1200)));
        assert!(kept.iter().all(|(author, _, _)| *author != first));
        // Its share is free again.
        store.write(&[row(0, 1, 5000)]).unwrap();
        let all = store.read_evidence().unwrap();
        assert_eq!(all.last().unwrap().found_unix_ms, 5000);
    }
}

#[test]
fn evidence_leaves_long_after_the_log() {
    for store in both() {
        let rows: Vec<Row> = (0..600).map(|n| row(n, 1, 1000 + u64::from(n))).collect();
        store.write(&rows).unwrap();
        let edge = |low_edge_ms| {
            let pruned = Vec::new();
            let forget = Row::Forget {
                low_edge_ms,
                pruned,
            };
            store.write(&[forget]).unwrap();
            store.evidence()
        };
        assert_eq!(edge(1000 + KEPT_MS), 600);
        assert_eq!(edge(1001 + KEPT_MS), 599);
        // Some at a time.
        let left: Vec<u64> = (0..4).map(|_| edge(1600 + KEPT_MS)).collect();
        assert_eq!(left, [343, 87, 0, 0]);
        // Its place is free again.
        store.write(&[row(0, 1, 2000 + KEPT_MS)]).unwrap();
        assert_eq!(store.evidence(), 1);
    }
}
