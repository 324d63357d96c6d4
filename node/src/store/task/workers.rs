//! The writer and the reader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use overlay::{Row, Token};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::handle::{Order, Question, Shared, weight};
use super::{Options, StoreEvent};
use crate::faults::{self, FaultPoint};
use crate::store::StoreError;

/// Whom events go to.
pub(super) type Report = Arc<dyn Fn(StoreEvent) + Send + Sync>;

pub(super) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    report: Report,
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
    pub(super) fn new(
        shared: Arc<Shared>,
        options: Options,
        report: Report,
        queue: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            shared,
            options,
            report,
            queue,
            begun: None,
            stopping: false,
        }
    }

    pub(super) fn run_blocking(mut self) {
        while let Some(first) = self.next_blocking() {
            std::thread::sleep(self.pause());
            self.step(first);
        }
    }

    pub(super) async fn run(mut self) {
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

pub(super) struct Reader {
    shared: Arc<Shared>,
    report: Report,
    queue: mpsc::UnboundedReceiver<Question>,
}

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        report: Report,
        queue: mpsc::UnboundedReceiver<Question>,
    ) -> Self {
        Self {
            shared,
            report,
            queue,
        }
    }

    pub(super) fn run_blocking(mut self) {
        while let Some(question) = self.queue.blocking_recv() {
            if !self.answer(question) {
                return;
            }
        }
    }

    pub(super) async fn run(mut self) {
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
            Question::Evidence(answer) => {
                let found = store.read_evidence();
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
