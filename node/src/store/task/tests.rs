use std::sync::mpsc;

use overlay::Key;
use tokio::time::Instant;

use super::handle::{FULL_ROWS, LOG_READS, weight};
use super::*;
use crate::store::tests::disk::Disk;
use crate::store::tests::message;

fn start_on(store: Store, options: Options) -> (StoreTask, mpsc::Receiver<StoreEvent>) {
    let (sender, events) = mpsc::channel();
    let task = StoreTask::start(store, options, move |event| {
        let _ = sender.send(event);
    });
    (task.unwrap(), events)
}

fn start(mode: Mode) -> (StoreTask, mpsc::Receiver<StoreEvent>) {
    start_on(Store::in_memory(), Options::new(mode))
}

fn row(n: u64) -> Row {
    Row::Message(message(n, n + 1, 5, &["x"]))
}

fn tokens(events: &mpsc::Receiver<StoreEvent>) -> Vec<u64> {
    let token = |event| match event {
        StoreEvent::Persisted { token } => token.0,
        other => panic!("{other:?}"),
    };
    events.try_iter().map(token).collect()
}

async fn rows_are_durable_in_order(mode: Mode) {
    let (task, events) = start(mode);
    let handle = task.handle();
    for n in 0..1000 {
        handle.persist(Token(n), row(n));
    }
    handle.flush().await.unwrap();
    assert_eq!(handle.backlog(), Backlog::default());
    let found = handle.read_log(990, 100, 100_000).await.unwrap();
    assert_eq!(found.len(), 11);
    handle.persist(Token(1000), row(1000));
    task.stop().await.unwrap();
    let tokens = tokens(&events);
    assert!(tokens.is_sorted());
    assert_eq!(tokens.last(), Some(&1000));
    // A thousand rows that wait are a few transactions, not a thousand.
    assert!(tokens.len() < 100, "{}", tokens.len());
    assert_eq!(handle.store().messages(), 1001);
    // Whoever still holds a handle is told.
    handle.persist(Token(1001), row(1001));
    let closed = StoreError::Closed {
        path: "(in memory)".into(),
    };
    assert_eq!(handle.flush().await, Err(closed.clone()));
    assert_eq!(handle.read_log(0, 1, 1).await, Err(closed));
}

#[tokio::test]
async fn rows_are_durable_in_order_on_threads() {
    rows_are_durable_in_order(Mode::Threads).await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_durable_in_order_inline() {
    rows_are_durable_in_order(Mode::Inline).await;
}

#[tokio::test(start_paused = true)]
async fn a_lone_row_is_written_at_once_and_a_stream_in_steps() {
    let (task, events) = start(Mode::Inline);
    let handle = task.handle();
    let begin = Instant::now();
    handle.persist(Token(0), row(0));
    handle.flush().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // One row each millisecond for 100 ms: a transaction each 5 ms.
    for n in 1..=100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        handle.persist(Token(n), row(n));
    }
    handle.flush().await.unwrap();
    let tokens = tokens(&events);
    assert!((20..=22).contains(&tokens.len()), "{tokens:?}");
    task.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_bounded_and_a_full_one_does_not_wait() {
    let options = Options {
        max_rows: 10,
        ..Options::new(Mode::Inline)
    };
    let (task, events) = start_on(Store::in_memory(), options);
    let handle = task.handle();
    let begin = Instant::now();
    for n in 0..35 {
        handle.persist(Token(n), row(n));
    }
    assert_eq!(handle.backlog().rows, 35);
    handle.flush().await.unwrap();
    assert_eq!(tokens(&events), [9, 19, 29, 34]);
    // Only the last waited for company.
    assert_eq!(begin.elapsed().as_millis(), 5);
    task.stop().await.unwrap();
    // By bytes: the row that reaches the bound is the last one.
    let options = Options {
        max_bytes: 3 * weight(&row(0)),
        ..Options::new(Mode::Inline)
    };
    let (task, events) = start_on(Store::in_memory(), options);
    for n in 0..7 {
        task.handle().persist(Token(n), row(n));
    }
    task.stop().await.unwrap();
    assert_eq!(tokens(&events), [2, 5, 6]);
}

#[tokio::test]
async fn a_failure_is_reported_once_and_nothing_after_it_is_durable() {
    for mode in [Mode::Threads, Mode::Inline] {
        let disk = Disk::new();
        let (store, _) = disk.open().unwrap();
        let (task, events) = start_on(store, Options::new(mode));
        let handle = task.handle();
        handle.persist(Token(1), row(1));
        handle.flush().await.unwrap();
        disk.leave(0);
        handle.persist(Token(2), row(2));
        handle.flush().await.unwrap_err();
        handle.persist(Token(3), row(3));
        handle.flush().await.unwrap_err();
        disk.leave(u64::MAX);
        handle.persist(Token(4), row(4));
        assert!(matches!(task.stop().await, Err(StoreError::Closed { .. })));
        assert_eq!(handle.backlog(), Backlog::default());
        let events: Vec<_> = events.try_iter().collect();
        let [
            StoreEvent::Persisted { token: Token(1) },
            StoreEvent::Failed(StoreError::Full { path }),
        ] = events.as_slice()
        else {
            panic!("{mode:?} {events:?}");
        };
        assert_eq!(path.to_str(), Some("/disk/store.redb"));
    }
}

#[tokio::test]
async fn reads_do_not_wait_behind_a_commit() {
    let disk = Disk::new();
    let (store, _) = disk.open().unwrap();
    store.write(&[row(1)]).unwrap();
    let (task, events) = start_on(store, Options::new(Mode::Threads));
    let handle = task.handle();
    {
        // A disk that does not come back from its sync.
        let gate = disk.gate.clone();
        let _stall = gate.lock().unwrap();
        handle.persist(Token(2), row(2));
        let id = message(1, 0, 0, &[]).id;
        handle.load(Token(7), Key::Message(id));
        let answer = events.recv().unwrap();
        let StoreEvent::Loaded {
            token: Token(7),
            row: Some(found),
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(found, row(1));
        handle.load(Token(8), Key::Message(message(9, 0, 0, &[]).id));
        assert!(matches!(
            events.recv().unwrap(),
            StoreEvent::Loaded {
                token: Token(8),
                row: None
            }
        ));
    }
    task.stop().await.unwrap();
    assert_eq!(tokens(&events), [2]);
}

#[tokio::test]
async fn log_reads_wait_for_a_place() {
    let (task, _events) = start(Mode::Threads);
    let handle = task.handle();
    for n in 0..50 {
        handle.persist(Token(n), row(n));
    }
    handle.flush().await.unwrap();
    let reads: Vec<_> = (0..4 * LOG_READS as u64)
        .map(|n| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.read_log(n % 50 + 1, 1, 1000).await })
        })
        .collect();
    for (n, read) in (0..).zip(reads) {
        let found = read.await.unwrap().unwrap();
        assert_eq!(found.first().map(|m| m.first_cursor), Some(n % 50 + 1));
    }
    assert_eq!(handle.shared.log_reads.available_permits(), LOG_READS);
    task.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_counted_and_called_full() {
    let (task, _events) = start(Mode::Inline);
    let handle = task.handle();
    assert!(!handle.is_full());
    let big = "x".repeat(1 << 20);
    for n in 0..64 {
        handle.persist(Token(n), Row::Message(message(n, n + 1, 5, &[&big])));
    }
    assert!(handle.is_full());
    assert_eq!(handle.backlog().rows, 64);
    handle.flush().await.unwrap();
    assert!(!handle.is_full());
    for n in 0..FULL_ROWS as u64 {
        handle.persist(Token(n), Row::ReserveSeqs { seq: n });
    }
    assert!(handle.is_full());
    task.stop().await.unwrap();
    assert_eq!(handle.backlog(), Backlog::default());
}

#[tokio::test(start_paused = true)]
async fn old_rows_are_taken_out_while_nothing_else_is_to_do() {
    let (store, _) = Disk::new().open().unwrap();
    let rows: Vec<Row> = (0..5000).map(row).collect();
    store.write(&rows).unwrap();
    let (task, events) = start_on(store, Options::new(Mode::Inline));
    let handle = task.handle();
    let forget = Row::Forget {
        low_edge_ms: 6,
        pruned: Vec::new(),
    };
    handle.persist(Token(1), forget);
    handle.flush().await.unwrap();
    // It is acknowledged before all of it is swept.
    assert_eq!(tokens(&events), [1]);
    assert!(handle.store().messages() > 0);
    while handle.store().messages() > 0 {
        tokio::task::yield_now().await;
    }
    task.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_that_is_let_go_writes_what_waits() {
    let (task, events) = start(Mode::Threads);
    let store = task.handle().store().clone();
    for n in 0..100 {
        task.handle().persist(Token(n), row(n));
    }
    drop(task);
    // The channel closes when the last worker has ended.
    while events.recv().is_ok() {}
    assert_eq!(store.messages(), 100);
}
