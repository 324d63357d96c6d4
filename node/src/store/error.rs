//! What can go wrong with the store; every message names the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crypto::NetworkId;

/// Why the store could not be opened, read or written. After an error of a write nothing of that write may be
/// reported as done, and the node stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file holds something that this program cannot have written.
    #[error(
        "the store {path} is damaged ({detail}): move that file away and start the node again; it keeps its key, begins a new store, and fetches the messages of the retention window from its peers, but bans, known peers and cursors are lost",
        path = .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The disk (or the quota) is full.
    #[error(
        "the disk that holds the store {path} is full: free some space and start the node again; whatever was acknowledged is safe",
        path = .path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error(
        "the store {path} is open in another process: stop that one or use another --data-dir",
        path = .path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "the store {path} has schema version {found}, this program knows versions up to {supported}: run a newer vouchsafe, or use another --data-dir",
        path = .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u64,
        /// Newest version this program reads.
        supported: u64,
    },
    /// It belongs to a node of another network.
    #[error(
        "the store {path} belongs to network {found}, the node is configured for {expected}: set the `network` it was made with, or use another --data-dir",
        path = .path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// Network of the file.
        found: NetworkId,
        /// Network asked for.
        expected: NetworkId,
    },
    /// A row claims cursors that another row has: a bug of this program, caught before anything was written.
    #[error(
        "refused to give cursor {cursor} in the store {path} to a second entry: please report this as a bug; starting the node again is safe",
        path = .path.display()
    )]
    CursorTaken {
        /// The file.
        path: PathBuf,
        /// The cursor.
        cursor: u64,
    },
    /// Any other failure of the file system.
    #[error(
        "cannot {doing} the store {path}: {reason}; check the disk and the permissions of the data directory, then start the node again",
        path = .path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: "open", "read", "write".
        doing: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The store task has stopped, after an error it has reported or at shutdown.
    #[error("the store {path} is closed: the node is stopping", path = .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

/// A failure inside a transaction, before the file's name is put to it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database's own.
    Redb(redb::Error),
    /// A row that does not decode: which table, and what is wrong.
    Row(String),
    /// See [`StoreError::CursorTaken`].
    CursorTaken(u64),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Fault {
    /// The error to report for the store at `path`; `doing` is "open", "read" or "write".
    pub(super) fn at(self, path: &Path, doing: &'static str) -> StoreError {
        use redb::Error as E;
        let path = path.to_path_buf();
        match self {
            Self::Row(detail) => StoreError::Corrupt { path, detail },
            Self::CursorTaken(cursor) => StoreError::CursorTaken { path, cursor },
            Self::Redb(E::DatabaseAlreadyOpen) => StoreError::Locked { path },
            Self::Redb(E::Io(error)) => io_error(&error, path, doing),
            Self::Redb(
                error @ (E::Corrupted(_)
                | E::UpgradeRequired(_)
                | E::TableTypeMismatch { .. }
                | E::TableIsMultimap(_)
                | E::TableIsNotMultimap(_)
                | E::TypeDefinitionChanged { .. }
                | E::TableDoesNotExist(_)
                | E::RepairAborted
                | E::TransactionPoisoned
                | E::LockPoisoned(_)),
            ) => StoreError::Corrupt {
                path,
                detail: error.to_string(),
            },
            Self::Redb(error) => StoreError::Io {
                path,
                doing,
                reason: error.to_string(),
            },
        }
    }
}

/// Sorts an error of the file system.
pub(super) fn io_error(error: &io::Error, path: PathBuf, doing: &'static str) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        // The database reads only where it has written: an early end is a cut file.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StoreError::Corrupt {
            path,
            detail: error.to_string(),
        },
        _ => StoreError::Io {
            path,
            doing,
            reason: error.to_string(),
        },
    }
}
