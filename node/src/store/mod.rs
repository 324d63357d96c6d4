//! What a node keeps: the log of messages, what it has decided, reservations, and what it knows about peers.
//!
//! [`Store`] is blocking; [`task`] puts it beside a driver that never waits. With a data directory it is one redb file (`file.rs`);
//! without one it is `memory.rs`, which keeps only what can be asked for while the node runs.

mod apply;
mod error;
mod evidence;
mod file;
mod memory;
mod restore;
mod rows;
mod schema;
pub mod task;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crypto::NetworkId;
use overlay::messages::StoredMessage;
use overlay::{Key, Restored, Row};

pub use error::StoreError;
pub use evidence::{KEPT_MS, MAX_EVIDENCE, MAX_EVIDENCE_PER_AUTHOR, StoredEvidence};
pub use file::{DEFAULT_CACHE, is_opening};
pub use schema::SCHEMA;
pub use task::{StoreEvent, StoreHandle, StoreTask};

use file::FileStore;
use memory::MemoryStore;

/// The open store; clones share it. Reads run beside each other and beside a write; writes run one after the other.
#[derive(Clone)]
pub struct Store(Kind);

#[derive(Clone)]
enum Kind {
    File(Arc<FileStore>),
    Memory(Arc<MemoryStore>),
}

impl Store {
    /// Opens the store at `path`, or makes one there, and reads back what the node knew. `cache_bytes` is the memory for
    /// cached pages, see [`DEFAULT_CACHE`]. Older schemas are migrated; a newer one, another network's store, a damaged or
    /// locked file are refused.
    pub fn open(
        path: &Path,
        network: &NetworkId,
        cache_bytes: usize,
    ) -> Result<(Self, Restored), StoreError> {
        let (file, restored) = FileStore::open(path, network, cache_bytes)?;
        Ok((Self(Kind::File(Arc::new(file))), restored))
    }

    /// A store that is gone with the last clone. For tests, simulations and nodes that need no memory of a last run.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Kind::Memory(Arc::default()))
    }

    /// Makes `rows` durable, in order, in one transaction: all of them or, on an error, none (in memory: those before the
    /// one that is refused). Also takes out some of what lies below the low edge; see [`sweep`](Self::sweep).
    pub fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        match &self.0 {
            Kind::File(store) => store.write(rows),
            Kind::Memory(store) => store.write(rows),
        }
    }

    /// Takes out a bounded number of the rows below the low edge, in one transaction. They are invisible to every read
    /// already. Returns whether some are left; in memory none ever are.
    pub fn sweep(&self) -> Result<bool, StoreError> {
        match &self.0 {
            Kind::File(store) => store.sweep(),
            Kind::Memory(_) => Ok(false),
        }
    }

    /// Reads a row; `None` when it is not there (any more).
    pub fn load(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        match &self.0 {
            Kind::File(store) => store.load(key),
            Kind::Memory(store) => Ok(store.load(key)),
        }
    }

    /// Reads the log upwards from `from_cursor`: the messages that have an entry with a cursor >= `from_cursor`, at most
    /// `max_messages` of them and, beyond the first, at most `max_bytes` of rows.
    pub fn read_log(
        &self,
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        match &self.0 {
            Kind::File(store) => store.read_log(from_cursor, max_messages, max_bytes),
            Kind::Memory(store) => Ok(store.read_log(from_cursor, max_messages, max_bytes)),
        }
    }

    /// Cursor of the first entry in the log; `None` when it is empty.
    pub fn first_cursor(&self) -> Result<Option<u64>, StoreError> {
        match &self.0 {
            Kind::File(store) => store.first_cursor(),
            Kind::Memory(store) => Ok(store.first_cursor()),
        }
    }

    /// Cursor of the last entry in the log; `None` when it is empty.
    pub fn last_cursor(&self) -> Result<Option<u64>, StoreError> {
        match &self.0 {
            Kind::File(store) => store.last_cursor(),
            Kind::Memory(store) => Ok(store.last_cursor()),
        }
    }

    /// Messages in the log; in a file those below the low edge count until they are swept out.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match &self.0 {
            Kind::File(store) => store.totals().messages,
            Kind::Memory(store) => store.messages(),
        }
    }

    /// Bytes of the log's rows; in a file those below the low edge count until they are swept out. The file is larger: pages,
    /// indexes, free space for new rows.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match &self.0 {
            Kind::File(store) => store.totals().bytes,
            Kind::Memory(store) => store.size_bytes(),
        }
    }

    /// Every proof of equivocation that is kept, in the order they were found in; see [`MAX_EVIDENCE`].
    pub fn read_evidence(&self) -> Result<Vec<StoredEvidence>, StoreError> {
        match &self.0 {
            Kind::File(store) => store.read_evidence(),
            Kind::Memory(store) => Ok(store.read_evidence()),
        }
    }

    /// Proofs of equivocation that are kept.
    #[must_use]
    pub fn evidence(&self) -> u64 {
        match &self.0 {
            Kind::File(store) => store.totals().evidence,
            Kind::Memory(store) => store.evidence(),
        }
    }

    /// The file, or "(in memory)".
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.0 {
            Kind::File(store) => store.path(),
            Kind::Memory(_) => Path::new(memory::PATH),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// The data behind these locks is replaced whole, so a panic elsewhere leaves it good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
