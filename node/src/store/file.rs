//! The store of a node with a data directory: one redb file with explicit row layouts.
//!
//! *Damage.* After an unclean stop the database verifies the checksums of all its pages on opening. After a clean one it
//! does not, and a check of everything at each start would quadruple its time (200,000 messages of 1 kB, 540 MB of file, on
//! a busy machine of two cores: 0.27 s to open, 1.1 s more to check, 1.9 s after an unclean stop). So each row carries a
//! checksum of its own, tables are checked against each other as they are used, and where the database itself panics on
//! damaged pages the panic is caught at this edge; all of it is reported as [`StoreError::Corrupt`].

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crypto::NetworkId;
use overlay::messages::StoredMessage;
use overlay::{Key, Restored, Row};
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable};

use super::apply::Batch;
use super::error::{Fault, StoreError, io_error};
use super::evidence::{self, StoredEvidence};
use super::rows::{self, Head};
use super::schema::{self, HEADS, INDEX, LOG, SCHEMA, bad};
use super::{lock, restore};

/// Memory for cached pages, bytes. Small, since the log is read rarely and appended at its end; a guess to be measured.
pub const DEFAULT_CACHE: usize = 8 * 1024 * 1024;

/// Most messages, and most decided ids, that one transaction takes out below the low edge: about 25 ms where 1,024 took
/// 100 ms (measured on a busy machine), since each is somewhere else in the index. A stream of transactions still takes out
/// far more than it can bring in.
pub(super) const SWEEP: usize = 256;

/// Sums over the store that are kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// First cursor above every entry ever appended since opening.
    pub(super) log_end: u64,
    pub(super) low_edge_ms: u64,
    /// Proofs of equivocation.
    pub(super) evidence: u64,
    /// Nothing below the low edge is left.
    pub(super) swept: bool,
}

/// The open file. Reads run beside each other and beside a write; writes run one after the other.
pub(super) struct FileStore {
    /// Taken only on drop.
    db: Option<Database>,
    path: PathBuf,
    totals: Mutex<Totals>,
    /// Held during a write.
    writing: Mutex<()>,
}

impl FileStore {
    /// Opens the store at `path`, or makes one there, and reads back what the node knew. `cache_bytes` is the memory for
    /// cached pages, see [`DEFAULT_CACHE`]. Older schemas are migrated; a newer one, another network's store, a damaged or
    /// locked file are refused.
    pub(super) fn open(
        path: &Path,
        network: &NetworkId,
        cache_bytes: usize,
    ) -> Result<(Self, Restored), StoreError> {
        let _opening = Opening::begin();
        caught(path, || {
            if !path.try_exists().map_err(|e| at(&e, path, "open"))? {
                create(path, network, cache_bytes)?;
            }
            let meta = fs::metadata(path).map_err(|e| at(&e, path, "open"))?;
            if meta.len() == 0 {
                // A store is renamed into place whole, so it never was empty.
                return Err(StoreError::Corrupt {
                    path: path.to_path_buf(),
                    detail: "the file is empty".to_owned(),
                });
            }
            let db = builder(cache_bytes)
                .open(path)
                .map_err(|error| Fault::from(error).at(path, "open"))?;
            let (store, restored) = Self::checked(db, path, network)?.restored()?;
            // What a write would stumble over, damage or a full disk, is found before the node says that it is ready.
            store.write(&[])?;
            Ok((store, restored))
        })
    }

    fn of(db: Database, path: &Path) -> Self {
        Self {
            db: Some(db),
            path: path.to_path_buf(),
            totals: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// Checks schema and network, migrates.
    pub(super) fn checked(
        db: Database,
        path: &Path,
        network: &NetworkId,
    ) -> Result<Self, StoreError> {
        let store = Self::of(db, path);
        let db = store.db();
        let about = schema::about(db).map_err(|fault| fault.at(path, "read"))?;
        let Some(about) = about else {
            return Err(StoreError::Corrupt {
                path: path.to_path_buf(),
                detail: "it is a database, but not a store of this program".to_owned(),
            });
        };
        if about.schema > SCHEMA {
            return Err(StoreError::Version {
                path: path.to_path_buf(),
                found: about.schema,
                supported: SCHEMA,
            });
        }
        match about.network {
            Some(found) if found == *network => {}
            Some(found) => {
                return Err(StoreError::OtherNetwork {
                    path: path.to_path_buf(),
                    found,
                    expected: *network,
                });
            }
            None => {
                return Err(StoreError::Corrupt {
                    path: path.to_path_buf(),
                    detail: "it does not say which network it belongs to".to_owned(),
                });
            }
        }
        if about.schema < SCHEMA {
            schema::migrate(db, about.schema).map_err(|fault| fault.at(path, "write"))?;
        }
        Ok(store)
    }

    pub(super) fn restored(self) -> Result<(Self, Restored), StoreError> {
        let (restored, totals) =
            restore::restore(self.db()).map_err(|fault| fault.at(&self.path, "read"))?;
        *self.totals() = totals;
        Ok((self, restored))
    }

    /// Makes `rows` durable, in order, in one transaction: all of them or, on an error, none. Also takes out some of what
    /// lies below the low edge; see [`sweep`](Self::sweep).
    pub(super) fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let path = &self.path;
        caught(path, || {
            self.transaction(rows)
                .map_err(|fault| fault.at(path, "write"))
        })
    }

    /// Takes out a bounded number of the rows below the low edge, in one transaction. They are invisible to every read
    /// already. Returns whether some are left.
    pub(super) fn sweep(&self) -> Result<bool, StoreError> {
        if !self.totals().swept {
            self.write(&[])?;
        }
        Ok(!self.totals().swept)
    }

    fn transaction(&self, rows: &[Row]) -> Result<(), Fault> {
        let _writing = lock(&self.writing);
        let write = schema::begin(self.db())?;
        let totals = {
            let mut batch = Batch::open(&write, *self.totals())?;
            for row in rows {
                batch.apply(row)?;
            }
            if !batch.totals().swept {
                batch.sweep(SWEEP)?;
            }
            batch.totals()
        };
        write.commit()?;
        *self.totals() = totals;
        Ok(())
    }

    /// Reads a row; `None` when it is not there (any more).
    pub(super) fn load(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let Key::Message(id) = key;
        self.read(|edge| {
            let read = self.db().begin_read()?;
            let Some(cursor) = read.open_table(INDEX)?.get(id.as_bytes())? else {
                return Ok(None);
            };
            let cursor = cursor.value();
            let message = message_at(&read.open_table(LOG)?, cursor)?;
            if message.id != *id {
                return Err(Fault::Row(format!("table `index` is wrong at {cursor}")));
            }
            let kept = message.signed.value.published_unix_ms >= edge;
            Ok(kept.then_some(Row::Message(message)))
        })
    }

    /// Reads the log upwards from `from_cursor`: the messages that have an entry with a cursor >= `from_cursor`, at most
    /// `max_messages` of them and, beyond the first, at most `max_bytes` of rows.
    pub(super) fn read_log(
        &self,
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.read(|edge| {
            let read = self.db().begin_read()?;
            let (heads, log) = (read.open_table(HEADS)?, read.open_table(LOG)?);
            // The message that contains `from_cursor` may begin below it.
            let before = heads.range(..from_cursor)?.next_back();
            let (mut found, mut bytes) = (Vec::new(), 0usize);
            for item in before.into_iter().chain(heads.range(from_cursor..)?) {
                let (cursor, row) = item?;
                let cursor = cursor.value();
                let head = Head::decode(row.value()).map_err(bad("heads"))?;
                let end = cursor.saturating_add(u64::from(head.entries));
                if end <= from_cursor || head.published_unix_ms < edge {
                    continue;
                }
                bytes = bytes.saturating_add(head.bytes as usize);
                if found.len() >= max_messages || (bytes > max_bytes && !found.is_empty()) {
                    break;
                }
                found.push(message_at(&log, cursor)?);
            }
            Ok(found)
        })
    }

    /// Cursor of the first entry in the log; `None` when it is empty.
    pub(super) fn first_cursor(&self) -> Result<Option<u64>, StoreError> {
        self.read(|edge| {
            let read = self.db().begin_read()?;
            for item in read.open_table(HEADS)?.iter()? {
                let (cursor, row) = item?;
                let head = Head::decode(row.value()).map_err(bad("heads"))?;
                if head.published_unix_ms >= edge {
                    return Ok(Some(cursor.value()));
                }
            }
            Ok(None)
        })
    }

    /// Cursor of the last entry in the log; `None` when it is empty.
    pub(super) fn last_cursor(&self) -> Result<Option<u64>, StoreError> {
        self.read(|edge| {
            let read = self.db().begin_read()?;
            for item in read.open_table(HEADS)?.iter()?.rev() {
                let (cursor, row) = item?;
                let head = Head::decode(row.value()).map_err(bad("heads"))?;
                if head.published_unix_ms >= edge {
                    let last = u64::from(head.entries).saturating_sub(1);
                    return Ok(Some(cursor.value().saturating_add(last)));
                }
            }
            Ok(None)
        })
    }

    /// Every proof of equivocation that is kept, in the order they were found in; see [`MAX_EVIDENCE`].
    pub(super) fn read_evidence(&self) -> Result<Vec<StoredEvidence>, StoreError> {
        self.read(|_| evidence::read(&self.db().begin_read()?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read<T>(&self, f: impl FnOnce(u64) -> Result<T, Fault>) -> Result<T, StoreError> {
        let path = &self.path;
        let edge = self.totals().low_edge_ms;
        caught(path, || f(edge).map_err(|fault| fault.at(path, "read")))
    }

    pub(super) fn db(&self) -> &Database {
        self.db.as_ref().expect("taken only on drop")
    }

    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        lock(&self.totals)
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // Closing writes; on a damaged file that may panic as any other access may.
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

thread_local! {
    static OPENING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is opening a store at this moment. The database panics on some damaged files; that panic is caught
/// and comes back from [`Store::open`](super::Store::open) as [`StoreError::Corrupt`], so a program's panic hook has nothing to say about it.
#[must_use]
pub fn is_opening() -> bool {
    OPENING.get()
}

/// Makes [`is_opening`] true until it is dropped.
struct Opening;

impl Opening {
    fn begin() -> Self {
        OPENING.set(true);
        Self
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.set(false);
    }
}

/// The message that another table says begins at `cursor`.
fn message_at(
    log: &impl ReadableTable<u64, &'static [u8]>,
    cursor: u64,
) -> Result<StoredMessage, Fault> {
    let row = log
        .get(cursor)?
        .ok_or_else(|| Fault::Row(format!("table `log` has no row at cursor {cursor}")))?;
    rows::decode_message(cursor, row.value()).map_err(bad("log"))
}

pub(super) fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    builder
}

fn at(error: &std::io::Error, path: &Path, doing: &'static str) -> StoreError {
    io_error(error, path.to_path_buf(), doing)
}

/// Makes a new store beside `path` and renames it into place, so that `path` never holds half a store and an empty file
/// there is known to be damage.
fn create(path: &Path, network: &NetworkId, cache_bytes: usize) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(at(&error, &new, "make"));
        }
        _ => {}
    }
    let db = builder(cache_bytes)
        .create(&new)
        .map_err(|error| Fault::from(error).at(&new, "make"))?;
    schema::create(&db, Some(network)).map_err(|fault| fault.at(&new, "make"))?;
    drop(db);
    let place = || {
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all(),
            _ => fs::File::open(".")?.sync_all(),
        }
    };
    place().map_err(|error| at(&error, path, "make"))
}

/// Runs `f`; a panic of the database becomes [`StoreError::Corrupt`], since it has only been seen to panic on damaged pages.
pub(super) fn caught<T>(
    path: &Path,
    f: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let detail = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown");
        Err(StoreError::Corrupt {
            path: path.to_path_buf(),
            detail: format!("the database stopped: {detail}"),
        })
    })
}
