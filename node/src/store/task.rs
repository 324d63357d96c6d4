//! The store beside a driver that never waits: rows go in, tokens come out once they are durable.
//!
//! *Group commit.* The writer takes what waits, up to a limit of rows and bytes, writes it in one transaction and reports
//! the last token. It begins at most one transaction per [`Options::pace`]: with nothing going on a row is written at once,
//! in a stream of rows each waits at most that long for company. While a transaction runs, the next batch gathers.
//!
//! *Reads* have a queue and a worker of their own, so they never wait behind a commit; the database shows them the last
//! durable state.
//!
//! *Errors* are fatal: the first is reported once, nothing is reported as durable after it, and the node has to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use overlay::messages::StoredMessage;
use overlay::{Key, Row, Token};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::{Store, StoreError};
use crate::faults::{self, FaultPoint};

/// Where the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On two threads of the store's own, one that writes and one that reads: what a node on a disk needs.
    Threads,
    /// In two tasks of the current tokio runtime, blocking it during each transaction. For virtual time, which a thread is
    /// invisible to, and fine for a store in memory, whose transactions take some 100 us.
    Inline,
}

/// Settings of the store task.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the work is done.
    pub mode: Mode,
    /// Least time from the beginning of one transaction to the next, so the longest that a row waits for company.
    /// 5 ms: 200 transactions a second at most, unnoticed beside a network's delays.
    pub pace: Duration,
    /// Most rows in one transaction. Guess.
    pub max_rows: usize,
    /// Most bytes in one transaction, beyond its first row. Guess: as much as the cache holds.
    pub max_bytes: usize,
}

impl Options {
    /// The defaults in this mode: 5 ms, 4,096 rows, 8 MiB.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            pace: Duration::from_millis(5),
            max_rows: 4096,
            max_bytes: 8 * 1024 * 1024,
        }
    }
}

/// What the store task reports.
#[derive(Clone, Debug)]
pub enum StoreEvent {
    /// The row with this token and all before it are durable. Tokens between two reports are never named.
    Persisted {
        /// The last token of a batch.
        token: Token,
    },
    /// The answer to [`StoreHandle::load`].
    Loaded {
        /// Its token.
        token: Token,
        /// The row; `None` when it is not there any more.
        row: Option<Row>,
    },
    /// The store failed: the node must stop. Reported once; no `Persisted` follows it.
    Failed(StoreError),
}

/// Rows waiting to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Their number.
    pub rows: usize,
    /// About how many bytes they take.
    pub bytes: usize,
}

/// Beyond this many rows waiting the store calls itself full. Guess.
const FULL_ROWS: usize = 64 * 1024;
/// Beyond this many bytes waiting the store calls itself full. Guess: a quarter of the default retention.
const FULL_BYTES: usize = 64 * 1024 * 1024;
/// Reads of the log that may wait at once; further ones wait for a place. Loads are limited by who asks for them.
const LOG_READS: usize = 32;

struct Shared {
    store: Store,
    rows: AtomicUsize,
    bytes: AtomicUsize,
    failed: AtomicBool,
    log_reads: Semaphore,
}

/// What the writer is told, in order.
#[expect(clippy::large_enum_variant, reason = "nearly every order is a row")]
enum Order {
    Row(Token, Row),
    Flush(oneshot::Sender<()>),
    Stop,
}

/// What the reader is asked.
enum Question {
    Load(Token, Key),
    Log {
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
        answer: oneshot::Sender<Result<Vec<StoredMessage>, StoreError>>,
    },
    Stop,
}

/// Asks the store task; cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    questions: mpsc::UnboundedSender<Question>,
}

/// The running store task. Dropping it without [`stop`](Self::stop) lets it end by itself once the last handle is gone.
pub struct StoreTask {
    handle: StoreHandle,
    ended: [oneshot::Receiver<()>; 2],
}

impl StoreTask {
    /// Starts the task; `report` is called from it for every event and must not block. In [`Mode::Inline`] this needs a
    /// current tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the system gives no thread.
    pub fn start(
        store: Store,
        options: Options,
        report: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (questions, question_queue) = mpsc::unbounded_channel();
        let (write_ends, write_ended) = oneshot::channel();
        let (read_ends, read_ended) = oneshot::channel();
        let shared = Arc::new(Shared {
            store,
            rows: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            log_reads: Semaphore::new(LOG_READS),
        });
        let report: Arc<dyn Fn(StoreEvent) + Send + Sync> = Arc::new(report);
        let writer = Writer {
            shared: shared.clone(),
            options,
            report: report.clone(),
            queue: order_queue,
            begun: None,
            stopping: false,
        };
        let reader = Reader {
            shared: shared.clone(),
            report,
            queue: question_queue,
        };
        match options.mode {
            Mode::Threads => {
                let path = shared.store.path().to_path_buf();
                let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
                    let thread = std::thread::Builder::new().name(name.to_owned());
                    thread.spawn(work).map_err(|error| {
                        super::io_error(&error, path.clone(), "start a thread for")
                    })
                };
                spawn(
                    "store-write",
                    Box::new(move || {
                        writer.run_blocking();
                        let _ = write_ends.send(());
                    }),
                )?;
                spawn(
                    "store-read",
                    Box::new(move || {
                        reader.run_blocking();
                        let _ = read_ends.send(());
                    }),
                )?;
            }
            Mode::Inline => {
                tokio::spawn(async move {
                    writer.run().await;
                    let _ = write_ends.send(());
                });
                tokio::spawn(async move {
                    reader.run().await;
                    let _ = read_ends.send(());
                });
            }
        }
        Ok(Self {
            handle: StoreHandle {
                shared,
                orders,
                questions,
            },
            ended: [write_ended, read_ended],
        })
    }

    /// A handle to ask with.
    #[must_use]
    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Writes what waits, then ends. The file is closed once the last [`Store`] and [`StoreHandle`] are gone too.
    ///
    /// # Errors
    /// When the store has failed, now or before.
    pub async fn stop(self) -> Result<(), StoreError> {
        let _ = self.handle.orders.send(Order::Stop);
        let _ = self.handle.questions.send(Question::Stop);
        for ended in self.ended {
            let _ = ended.await; // a worker that is gone has ended
        }
        self.handle.check()
    }
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
        let closed = || self.closed();
        let _place = self
            .shared
            .log_reads
            .acquire()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.questions
            .send(Question::Log {
                from_cursor,
                max_messages,
                max_bytes,
                answer,
            })
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

    fn check(&self) -> Result<(), StoreError> {
        if self.shared.failed.load(Ordering::SeqCst) {
            return Err(self.closed());
        }
        Ok(())
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed {
            path: self.shared.store.path().to_path_buf(),
        }
    }
}

/// About how many bytes a row takes in memory.
fn weight(row: &Row) -> usize {
    match row {
        Row::Message(message) => {
            let entries = message.entries.iter().map(|entry| entry.len() + 32);
            entries.fold(320, usize::saturating_add)
        }
        Row::Forget { pruned, .. } => pruned.len().saturating_mul(32).saturating_add(64),
        _ => 64,
    }
}

struct Writer {
    shared: Arc<Shared>,
    options: Options,
    report: Arc<dyn Fn(StoreEvent) + Send + Sync>,
    queue: mpsc::UnboundedReceiver<Order>,
    /// When the last transaction began.
    begun: Option<Instant>,
    stopping: bool,
}

/// What goes into one transaction, and who waits for it.
#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    bytes: usize,
    last: Option<Token>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Writer {
    fn run_blocking(mut self) {
        while let Some(first) = self.next_blocking() {
            std::thread::sleep(self.pause());
            self.step(first);
        }
    }

    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let pause = self.pause();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.step(first);
        }
    }

    /// The next order; takes out old rows while there is none. `None` at the end.
    fn next_blocking(&mut self) -> Option<Order> {
        loop {
            match self.poll()? {
                Some(order) => return Some(order),
                None if self.sweep() => {}
                None => return self.queue.blocking_recv(),
            }
        }
    }

    async fn next(&mut self) -> Option<Order> {
        loop {
            match self.poll()? {
                Some(order) => return Some(order),
                None if self.sweep() => tokio::task::yield_now().await,
                None => return self.queue.recv().await,
            }
        }
    }

    /// `None` = it is over, `Some(None)` = nothing waits.
    fn poll(&mut self) -> Option<Option<Order>> {
        match self.queue.try_recv() {
            Ok(order) => Some(Some(order)),
            Err(mpsc::error::TryRecvError::Empty) if !self.stopping => Some(None),
            Err(_) => None,
        }
    }

    /// One step of taking out what lies below the low edge; whether there may be more to do.
    fn sweep(&mut self) -> bool {
        if self.failed() {
            return false;
        }
        self.shared.store.sweep().unwrap_or_else(|error| {
            fail(&self.shared, &*self.report, error);
            false
        })
    }

    fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// How long to wait for company. None when a full transaction waits already.
    fn pause(&self) -> Duration {
        let waiting = self.shared.rows.load(Ordering::Relaxed) >= self.options.max_rows
            || self.shared.bytes.load(Ordering::Relaxed) >= self.options.max_bytes;
        match self.begun {
            Some(begun) if !waiting && !self.stopping => {
                (begun + self.options.pace).saturating_duration_since(Instant::now())
            }
            _ => Duration::ZERO,
        }
    }

    fn step(&mut self, first: Order) {
        let group = self.gather(first);
        self.begun = Some(Instant::now());
        let written = self.write(&group);
        // Before anybody is told, so that who is told does not find its own rows waiting still.
        self.shared
            .rows
            .fetch_sub(group.rows.len(), Ordering::Relaxed);
        self.shared.bytes.fetch_sub(group.bytes, Ordering::Relaxed);
        if !written {
            return; // flushes learn it by their channel closing
        }
        if let Some(token) = group.last {
            (self.report)(StoreEvent::Persisted { token });
        }
        for done in group.flushes {
            let _ = done.send(());
        }
    }

    fn gather(&mut self, first: Order) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Row(token, row) => {
                    group.bytes = group.bytes.saturating_add(weight(&row));
                    group.rows.push(row);
                    group.last = Some(token);
                }
                Order::Flush(done) => group.flushes.push(done),
                Order::Stop => {
                    // Nothing new after this; what is in the queue is still written.
                    self.stopping = true;
                    self.queue.close();
                }
            }
            if group.rows.len() < self.options.max_rows && group.bytes < self.options.max_bytes {
                next = self.queue.try_recv().ok();
            }
        }
        group
    }

    /// Whether all rows of the group are durable now.
    fn write(&self, group: &Group) -> bool {
        if self.failed() {
            return false;
        }
        if group.rows.is_empty() {
            return true;
        }
        faults::hit(FaultPoint::BeforePersist);
        if let Err(error) = self.shared.store.write(&group.rows) {
            fail(&self.shared, &*self.report, error);
            return false;
        }
        faults::hit(FaultPoint::AfterPersist);
        true
    }
}

/// Reports the first failure.
fn fail(shared: &Shared, report: &dyn Fn(StoreEvent), error: StoreError) {
    if !shared.failed.swap(true, Ordering::SeqCst) {
        report(StoreEvent::Failed(error));
    }
}

struct Reader {
    shared: Arc<Shared>,
    report: Arc<dyn Fn(StoreEvent) + Send + Sync>,
    queue: mpsc::UnboundedReceiver<Question>,
}

impl Reader {
    fn run_blocking(mut self) {
        while let Some(question) = self.queue.blocking_recv() {
            if !self.answer(question) {
                return;
            }
        }
    }

    async fn run(mut self) {
        while let Some(question) = self.queue.recv().await {
            if !self.answer(question) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Whether to go on.
    fn answer(&self, question: Question) -> bool {
        let store = &self.shared.store;
        match question {
            Question::Load(token, key) => match store.load(&key) {
                Ok(row) => (self.report)(StoreEvent::Loaded { token, row }),
                Err(error) => fail(&self.shared, &*self.report, error),
            },
            Question::Log {
                from_cursor,
                max_messages,
                max_bytes,
                answer,
            } => {
                if answer.is_closed() {
                    return true;
                }
                let found = store.read_log(from_cursor, max_messages, max_bytes);
                if let Err(error) = &found {
                    fail(&self.shared, &*self.report, error.clone());
                }
                let _ = answer.send(found);
            }
            Question::Stop => return false,
        }
        true
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

impl std::fmt::Debug for StoreTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreTask").field(&self.handle).finish()
    }
}

#[cfg(test)]
mod tests;
