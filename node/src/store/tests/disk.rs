//! A disk in memory that can be full, can stall, and outlives the store on it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::store::error::Fault;

#[derive(Clone, Debug)]
pub(in super::super) struct Disk {
    data: Arc<Mutex<Vec<u8>>>,
    /// Bytes that can still be written.
    left: Arc<AtomicU64>,
    /// Whoever holds it stalls every sync.
    pub(in super::super) gate: Arc<Mutex<()>>,
}

impl Disk {
    pub(in super::super) fn new() -> Self {
        Self {
            data: Arc::default(),
            left: Arc::new(AtomicU64::new(u64::MAX)),
            gate: Arc::default(),
        }
    }

    pub(in super::super) fn leave(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    pub(in super::super) fn open(&self) -> Result<(Store, Restored), StoreError> {
        let path = Path::new("/disk/store.redb");
        caught(path, || {
            let fresh = self.data.lock().unwrap().is_empty();
            let db = builder(DEFAULT_CACHE)
                .create_with_backend(self.clone())
                .map_err(|error| Fault::from(error).at(path, "open"))?;
            if fresh {
                schema::create(&db, Some(&network())).map_err(|fault| fault.at(path, "make"))?;
            }
            let (file, restored) = FileStore::checked(db, path, &network())?.restored()?;
            Ok((Store(Kind::File(Arc::new(file))), restored))
        })
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.data.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let data = self.data.lock().unwrap();
        let from = data
            .get(offset as usize..offset as usize + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.data.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let _stall = self.gate.lock().unwrap();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let take = |left: u64| left.checked_sub(len);
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_err()
        {
            return Err(io::Error::from_raw_os_error(28)); // ENOSPC
        }
        let mut data = self.data.lock().unwrap();
        data[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_acknowledged() {
    // Full at every possible place of a transaction.
    let mut refused = 0;
    for room in (0..60_000).step_by(3000) {
        let disk = Disk::new();
        let (store, _) = disk.open().unwrap();
        store
            .write(&[
                Row::Message(message(1, 1, 100, &["kept"])),
                Row::ReserveSeqs { seq: 9 },
            ])
            .unwrap();
        disk.leave(room);
        let big = "x".repeat(20_000);
        let result = store.write(&[
            Row::Message(message(2, 2, 100, &[&big])),
            Row::ReserveSeqs { seq: 10 },
        ]);
        if result.is_err() {
            refused += 1;
            let expected = StoreError::Full {
                path: "/disk/store.redb".into(),
            };
            assert_eq!(result, Err(expected), "{room}");
            // From now on nothing is taken, whatever it says.
            store.write(&[Row::ReserveSeqs { seq: 11 }]).unwrap_err();
        }
        drop(store);
        disk.leave(u64::MAX);
        let (store, restored) = disk.open().unwrap();
        let kept = store.load(&Key::Message(message(1, 0, 0, &[]).id)).unwrap();
        assert_eq!(kept, Some(Row::Message(message(1, 1, 100, &["kept"]))));
        if result.is_ok() {
            assert_eq!(restored.next_seq, 10);
            assert_eq!(restored.messages.len(), 2);
        } else {
            // All or nothing: a transaction that failed late may turn out whole, but never half.
            assert_eq!(
                (restored.next_seq == 10, restored.messages.len() == 2),
                (restored.messages.len() == 2, restored.next_seq == 10),
                "{room}"
            );
            assert!(restored.next_seq >= 9);
        }
        store
            .write(&[Row::Message(message(3, 50, 100, &["more"]))])
            .unwrap();
    }
    assert!(refused > 5, "{refused}");
}
