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

mod handle;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use overlay::{Row, Token};
use tokio::sync::{mpsc, oneshot};

pub use handle::{Backlog, StoreHandle};

use super::error::io_error;
use super::{Store, StoreError};
use handle::{Order, Question, Shared};
use workers::{Reader, Report, Writer};

/// Where the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On two threads of the store's own, one that writes and one that reads: what a node on a disk needs.
    Threads,
    /// In two tasks of the current tokio runtime, blocking it during each transaction. For virtual time, which a thread is
    /// invisible to, and for a store in memory, whose transactions take microseconds.
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
        let shared = Arc::new(Shared::new(store));
        let report: Report = Arc::new(report);
        let writer = Writer::new(shared.clone(), options, report.clone(), order_queue);
        let reader = Reader::new(shared.clone(), report, question_queue);
        match options.mode {
            Mode::Threads => {
                let path = shared.store.path().to_path_buf();
                let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
                    let thread = std::thread::Builder::new().name(name.to_owned());
                    thread
                        .spawn(work)
                        .map_err(|error| io_error(&error, path.clone(), "start a thread for"))
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
        let [wrote, read] = self.ended;
        let (wrote, read) = (wrote.await, read.await);
        if wrote.is_err() || read.is_err() {
            return Err(self.handle.closed()); // a worker ended before its time
        }
        self.handle.check()
    }
}

impl std::fmt::Debug for StoreTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreTask").field(&self.handle).finish()
    }
}

#[cfg(test)]
mod tests;
