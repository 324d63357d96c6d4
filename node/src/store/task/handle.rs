//! Asking the store task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use overlay::messages::StoredMessage;
use overlay::{Key, Row, Token};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::store::{Store, StoreError, StoredEvidence};

/// Rows waiting to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Their number.
    pub rows: usize,
    /// About how many bytes they take.
    pub bytes: usize,
}

/// Beyond this many rows waiting the store calls itself full. Guess.
pub(super) const FULL_ROWS: usize = 64 * 1024;
/// Beyond this many bytes waiting the store calls itself full. Guess: a quarter of the default retention.
const FULL_BYTES: usize = 64 * 1024 * 1024;
/// Reads of the log that may wait at once; further ones wait for a place. Loads are limited by who asks for them.
pub(super) const LOG_READS: usize = 32;

/// What the handles and the workers share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) rows: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    pub(super) failed: AtomicBool,
    pub(super) log_reads: Semaphore,
}

impl Shared {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            rows: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            log_reads: Semaphore::new(LOG_READS),
        }
    }
}

/// What the writer is told, in order.
#[expect(clippy::large_enum_variant, reason = "nearly every order is a row")]
pub(super) enum Order {
    Row(Token, Row),
    Flush(oneshot::Sender<()>),
    Stop,
}

/// What the reader is asked.
pub(super) enum Question {
    Load(Token, Key),
    Log {
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
        answer: oneshot::Sender<Result<Vec<StoredMessage>, StoreError>>,
    },
    Evidence(oneshot::Sender<Result<Vec<StoredEvidence>, StoreError>>),
    Stop,
}

/// Asks the store task; cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) questions: mpsc::UnboundedSender<Question>,
}

impl StoreHandle {
    /// Queues a row; never waits. `Persisted` with this or a later token says that it is durable. After a failure rows are
    /// dropped. The queue is bounded by whoever looks at [`is_full`](Self::is_full) before taking in more work.
    pub fn persist(&self, token: Token, row: Row) {
        self.shared.rows.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(weight(&row), Ordering::Relaxed);
        let _ = self.orders.send(Order::Row(token, row));
    }

    /// Asks for a row; never waits. `Loaded` answers, unless the store fails.
    pub fn load(&self, token: Token, key: Key) {
        let _ = self.questions.send(Question::Load(token, key));
    }

    /// As [`Store::read_log`], on the store's reader.
    ///
    /// # Errors
    /// As [`Store::read_log`]; [`StoreError::Closed`] when the task has ended.
    pub async fn read_log(
        &self,
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.read(|answer| Question::Log {
            from_cursor,
            max_messages,
            max_bytes,
            answer,
        })
        .await
    }

    /// As [`Store::read_evidence`], on the store's reader.
    ///
    /// # Errors
    /// As [`Store::read_evidence`]; [`StoreError::Closed`] when the task has ended.
    pub async fn read_evidence(&self) -> Result<Vec<StoredEvidence>, StoreError> {
        self.read(Question::Evidence).await
    }

    /// Asks the reader, a few at a time.
    async fn read<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Question,
    ) -> Result<T, StoreError> {
        let closed = || self.closed();
        let _place = self
            .shared
            .log_reads
            .acquire()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.questions
            .send(question(answer))
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Waits until every row queued before is durable.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when it will never be: the store has failed or the task has ended.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let (done, told) = oneshot::channel();
        self.orders
            .send(Order::Flush(done))
            .map_err(|_| self.closed())?;
        told.await.map_err(|_| self.closed())
    }

    /// What waits to be written.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog {
            rows: self.shared.rows.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
        }
    }

    /// So much waits (65,536 rows or 64 MiB) that no more should be taken in from peers until less does.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let waiting = self.backlog();
        waiting.rows >= FULL_ROWS || waiting.bytes >= FULL_BYTES
    }

    /// The store itself, for its figures.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.shared.failed.load(Ordering::SeqCst) {
            return Err(self.closed());
        }
        Ok(())
    }

    pub(super) fn closed(&self) -> StoreError {
        StoreError::Closed {
            path: self.shared.store.path().to_path_buf(),
        }
    }
}

/// About how many bytes a row takes in memory.
pub(super) fn weight(row: &Row) -> usize {
    match row {
        Row::Message(message) => {
            let entries = message.entries.iter().map(|entry| entry.len() + 32);
            entries.fold(320, usize::saturating_add)
        }
        Row::Evidence { .. } => 600,
        Row::Forget { pruned, .. } => pruned.len().saturating_mul(32).saturating_add(64),
        _ => 64,
    }
}

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreHandle")
            .field("store", &self.shared.store)
            .field("backlog", &self.backlog())
            .finish_non_exhaustive()
    }
}
