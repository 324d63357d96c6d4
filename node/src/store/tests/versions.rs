//! Older and newer schemas, other networks, other files.

use std::fs;

use redb::{ReadableDatabase as _, TableDefinition};

use super::*;

/// The tables of schema 1, written here as version 1 wrote them and never changed.
mod one {
    use super::*;

    pub(super) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
    pub(super) const INDEX: TableDefinition<'static, &[u8; 32], u64> =
        TableDefinition::new("index");
    pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
    pub(super) const ARCHIVE: TableDefinition<'static, &[u8; 32], &[u8]> =
        TableDefinition::new("archive");

    pub(super) fn seal(content: &[u8]) -> Vec<u8> {
        [content, &crypto::body_root(content)[..8]].concat()
    }

    pub(super) fn number(value: u64) -> Vec<u8> {
        seal(&[&[1][..], &value.to_le_bytes()].concat())
    }

    /// A message with one entry.
    pub(super) fn row(
        id: &[u8; 32],
        author: &[u8; 32],
        seq: u64,
        date: u64,
        entry: &[u8],
    ) -> Vec<u8> {
        let mut row = vec![1, 1]; // layout 1, gap
        row.extend(id);
        row.extend(author);
        row.extend(seq.to_le_bytes());
        row.extend((seq - 1).to_le_bytes());
        row.extend(date.to_le_bytes());
        row.extend(1u16.to_le_bytes());
        row.extend(77u32.to_le_bytes());
        row.extend([5; 32]);
        row.extend([3, b'a', b'/', b'b']);
        row.extend([6; 64]);
        row.extend(1u32.to_le_bytes());
        row.extend((entry.len() as u32).to_le_bytes());
        row.extend(entry);
        seal(&row)
    }
}

fn write_one(path: &Path, schema: u64, damage: impl Fn(u64, &mut Vec<u8>)) {
    let db = redb::Database::create(path).unwrap();
    let write = db.begin_write().unwrap();
    {
        let mut meta = write.open_table(one::META).unwrap();
        let mut put = |name, row: Vec<u8>| drop(meta.insert(name, row.as_slice()).unwrap());
        put("schema", one::number(schema));
        put(
            "network",
            one::seal(&[&[1][..], network().as_bytes()].concat()),
        );
        put("next_cursor", one::number(500));
        put("next_seq", one::number(600));
        put("record_version", one::number(700));
        put("low_edge_ms", one::number(1005));
        let mut log = write.open_table(one::LOG).unwrap();
        let mut index = write.open_table(one::INDEX).unwrap();
        for n in 0..20u64 {
            let id = crypto::body_root(&n.to_le_bytes());
            let author = peer((n % 3) as u8);
            let mut row = one::row(&id, author.as_bytes(), n + 1, 1000 + n, b"payload");
            damage(n, &mut row);
            log.insert(n * 2 + 1, row.as_slice()).unwrap();
            index.insert(&id, n * 2 + 1).unwrap();
        }
        let mut archive = write.open_table(one::ARCHIVE).unwrap();
        let place =
            one::seal(&[&[1, 4, 10, 0, 0, 1, 0x04, 0x10][..], &42u64.to_le_bytes()].concat());
        archive
            .insert(peer(7).as_bytes(), place.as_slice())
            .unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn schema_1_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    write_one(&path, 1, |_, _| {});
    for again in [false, true] {
        let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
        assert_eq!(
            (
                restored.next_cursor,
                restored.next_seq,
                restored.record_version,
                restored.low_edge_ms
            ),
            (500, 600, 700, 1005),
            "{again}"
        );
        // Those below the edge are gone.
        assert_eq!(restored.messages.len(), 15);
        for (n, found) in (5..).zip(&restored.messages) {
            assert_eq!(
                *found.id.as_bytes(),
                crypto::body_root(&u64::to_le_bytes(n))
            );
            assert_eq!(found.author, peer((n % 3) as u8));
            assert_eq!((found.seq, found.published_unix_ms), (n + 1, 1000 + n));
            assert_eq!((found.first_cursor, found.entries), (n * 2 + 1, 1));
            let Ok(Some(Row::Message(loaded))) = store.load(&Key::Message(found.id)) else {
                panic!("{n}");
            };
            assert_eq!(loaded.entries, ["payload"]);
            assert_eq!(loaded.signed.value.topic.as_str(), "a/b");
            assert!(loaded.gap && !loaded.equivocation);
        }
        assert_eq!(
            restored.archive,
            [ArchiveEntry {
                peer: peer(7),
                addr: addr("10.0.0.1:4100"),
                proven_unix_ms: 42
            }]
        );
        // The new tables are in use.
        store
            .write(&[Row::Forget {
                low_edge_ms: 1005,
                pruned: vec![],
            }])
            .unwrap();
        while store.sweep().unwrap() {}
        assert_eq!(store.messages(), 15);
        let about = schema::about(db(&store)).unwrap().unwrap();
        assert_eq!(about.schema, SCHEMA);
    }
}

/// Schema 2 is this one without the tables of the evidence.
#[test]
fn schema_2_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (store, _) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    store
        .write(&[Row::Message(message(1, 1, 100, &["a"]))])
        .unwrap();
    drop(store);
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    assert!(write.delete_table(schema::EVIDENCE).unwrap());
    assert!(write.delete_table(schema::EVIDENCE_INDEX).unwrap());
    write
        .open_table(one::META)
        .unwrap()
        .insert("schema", one::number(2).as_slice())
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let (store, restored) = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    assert_eq!(restored.messages.len(), 1);
    store.write(&[evidence::row(1, 5, 300)]).unwrap();
    assert_eq!(store.read_evidence().unwrap().len(), 1);
    let about = schema::about(db(&store)).unwrap().unwrap();
    assert_eq!(about.schema, SCHEMA);
}

#[test]
fn a_migration_that_fails_leaves_the_old_store_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    write_one(&path, 1, |n, row| {
        if n == 11 {
            row[40] ^= 1;
        }
    });
    for _ in 0..2 {
        let error = Store::open(&path, &network(), DEFAULT_CACHE).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{message}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(
            message.contains("table `log`: its checksum does not match"),
            "{message}"
        );
    }
    let database = redb::Database::open(&path).unwrap();
    let about = schema::about(&database).unwrap().unwrap();
    assert_eq!(about.schema, 1);
    let tables = database
        .begin_read()
        .unwrap()
        .list_tables()
        .unwrap()
        .count();
    assert_eq!(tables, 4);
}

fn refused(path: &Path) -> (StoreError, String) {
    let error = Store::open(path, &network(), DEFAULT_CACHE).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    (error, message)
}

#[test]
fn a_newer_schema_and_one_that_never_was_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    write_one(&path, SCHEMA + 1, |_, _| {});
    let (error, message) = refused(&path);
    let expected = StoreError::Version {
        path: path.clone(),
        found: SCHEMA + 1,
        supported: SCHEMA,
    };
    assert_eq!(error, expected);
    assert!(message.contains("run a newer vouchsafe"), "{message}");
    fs::remove_file(&path).unwrap();
    write_one(&path, 0, |_, _| {});
    assert!(matches!(refused(&path).0, StoreError::Corrupt { .. }));
}

#[test]
fn another_networks_store_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(Store::open(&path, &network(), DEFAULT_CACHE).unwrap());
    let other = NetworkId::from_name("other");
    let error = Store::open(&path, &other, DEFAULT_CACHE).unwrap_err();
    assert_eq!(
        error,
        StoreError::OtherNetwork {
            path: path.clone(),
            found: network(),
            expected: other
        }
    );
    let message = error.to_string();
    for part in [path.to_str().unwrap(), &network().to_string(), "--data-dir"] {
        assert!(message.contains(part), "{message}");
    }
    // An old store of another network is not migrated on the way.
    let old = dir.path().join("old.redb");
    write_one(&old, 1, |_, _| {});
    Store::open(&old, &other, DEFAULT_CACHE).unwrap_err();
    let about = schema::about(&redb::Database::open(&old).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(about.schema, 1);
}

#[test]
fn a_store_that_is_open_elsewhere_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let open = Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
    let (error, message) = refused(&path);
    assert_eq!(error, StoreError::Locked { path: path.clone() });
    assert!(message.contains("open in another process"), "{message}");
    drop(open);
    Store::open(&path, &network(), DEFAULT_CACHE).unwrap();
}

#[test]
fn files_that_are_no_store_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    for content in [
        &b""[..],
        b"hello",
        &[0; 4096],
        &[0xff; 100_000],
        b"redb\x1a\x0a\xa9\x0d\x0a",
    ] {
        fs::write(&path, content).unwrap();
        let (error, message) = refused(&path);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{message}");
        assert!(message.contains("is damaged"), "{message}");
        // It is left for whoever wants to look at it.
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    // A database of another program.
    fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    let (_, message) = refused(&path);
    assert!(message.contains("not a store of this program"), "{message}");
    // No file at all.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path).0, StoreError::Io { .. }));
    let nowhere = dir.path().join("no/such/store.redb");
    let error = Store::open(&nowhere, &network(), DEFAULT_CACHE).unwrap_err();
    assert!(error.to_string().contains("no/such/store.redb"), "{error}");
}

#[test]
fn a_crash_while_a_store_is_made_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    fs::write(dir.path().join("store.redb.new"), b"half").unwrap();
    drop(Store::open(&path, &network(), DEFAULT_CACHE).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
