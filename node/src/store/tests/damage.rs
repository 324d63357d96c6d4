//! Damaged files: an error that names the file, never a panic, never a wrong row.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const MESSAGES: u64 = 120;

fn long(n: u64) -> StoredMessage {
    let text = format!("{n:0>width$}", width = (n as usize * 37) % 900 + 10);
    message(n, 10 + 2 * n, 1000 + n, &[&text, "second"])
}

/// A store with some of everything, and a copy of its file from before it was closed.
fn make(path: &Path, unclean: &Path) {
    let (store, _) = Store::open(path, &network(), DEFAULT_CACHE).unwrap();
    for n in 0..MESSAGES {
        store
            .write(&[
                Row::Message(long(n)),
                Row::ReserveCursors { cursor: 5000 + n },
                Row::ReserveSeqs { seq: 7000 + n },
                Row::Decided {
                    id: message(1_000_000 + n, 0, 0, &[]).id,
                    published_unix_ms: 2000 + n,
                },
            ])
            .unwrap();
    }
    fs::copy(path, unclean).unwrap();
}

/// Opens a damaged file and uses all of it. What is not an error must be right.
fn use_all(path: &Path) -> Result<(), StoreError> {
    let (store, restored) = Store::open(path, &network(), DEFAULT_CACHE)?;
    // The last transaction may be lost by damage that looks like a crash during it; reservations of an earlier one not.
    assert!(
        restored.next_seq >= 7000 + MESSAGES - 2,
        "{}",
        restored.next_seq
    );
    assert!(restored.next_cursor >= 5000 + MESSAGES - 2);
    for n in 0..MESSAGES {
        if let Some(row) = store.load(&Key::Message(long(n).id))? {
            assert_eq!(row, Row::Message(long(n)));
        }
    }
    for found in store.read_log(0, 1000, 1 << 30)? {
        let n = (found.first_cursor - 10) / 2;
        assert_eq!(found, long(n));
    }
    store.first_cursor()?;
    store.last_cursor()?;
    store.write(&[Row::Message(message(5000, 100_000, 3000, &["new"]))])?;
    store.write(&[Row::Forget {
        low_edge_ms: 1060,
        pruned: vec![long(80).id],
    }])?;
    while store.sweep()? {}
    drop(store);
    Store::open(path, &network(), DEFAULT_CACHE).map(drop)
}

#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Flip(usize, u8),
    Fill(usize, usize, u8),
    Swap(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>().prop_map(|index| index.index(usize::MAX));
    // Pages of 4 KiB are redb's unit; the first holds the header.
    prop_oneof![
        1 => at.clone().prop_map(Damage::Cut),
        4 => (at.clone(), 1u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        2 => (0usize..4096, 1u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        2 => (at.clone(), 1usize..9000, any::<u8>()).prop_map(|(at, len, with)| Damage::Fill(at, len, with)),
        1 => (at.clone(), at).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

fn apply(damage: &Damage, file: &mut Vec<u8>) {
    let len = file.len();
    match *damage {
        Damage::Cut(at) => file.truncate(at % len),
        Damage::Flip(at, bits) => file[at % len] ^= bits,
        Damage::Fill(at, count, with) => {
            let at = at % len;
            let end = (at + count).min(len);
            file[at..end].fill(with);
        }
        Damage::Swap(a, b) => {
            let pages = len / 4096;
            let (a, b) = (a % pages * 4096, b % pages * 4096);
            for i in 0..4096 {
                file.swap(a + i, b + i);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// More cases (600, once) gave the same: two thirds of the places are free space or harmless; of the rest most are
    /// found by the database's checks or by a row's seal, and about one in six is a panic within the database.
    #[test]
    fn damage_anywhere_is_an_error_or_harmless(
        damages in prop::collection::vec((damage(), any::<bool>()), 2),
    ) {
        let [closed, unclean] = &*FILES;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        for (damage, clean) in damages {
            let mut file = if clean { closed.clone() } else { unclean.clone() };
            apply(&damage, &mut file);
            fs::write(&path, &file).unwrap();
            if let Err(error) = use_all(&path) {
                let message = error.to_string();
                prop_assert!(matches!(error, StoreError::Corrupt { .. }), "{damage:?} {message}");
                prop_assert!(message.contains(path.to_str().unwrap()), "{message}");
            }
        }
    }
}

/// The same store, closed and as a kill leaves it.
static FILES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (path, unclean) = (dir.path().join("store.redb"), dir.path().join("unclean"));
    make(&path, &unclean);
    [fs::read(&path).unwrap(), fs::read(&unclean).unwrap()]
});

#[test]
fn an_unclean_stop_alone_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    for file in &*FILES {
        fs::write(&path, file).unwrap();
        let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
        assert_eq!(restored.messages.len(), MESSAGES as usize);
        assert_eq!(restored.next_seq, 7000 + MESSAGES - 1);
        assert_eq!(restored.decided.len(), MESSAGES as usize);
        drop(store);
        use_all(&path).unwrap();
    }
}
