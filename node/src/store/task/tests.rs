use std::sync::mpsc;

use super::*;
use crate::store::tests::message;

fn start(mode: Mode) -> (StoreTask, mpsc::Receiver<StoreEvent>) {
    let (store, _) = Store::in_memory().unwrap();
    let (sender, events) = mpsc::channel();
    let task = StoreTask::start(store, Options::new(mode), move |event| {
        let _ = sender.send(event);
    });
    (task.unwrap(), events)
}

#[tokio::test]
async fn rows_are_durable_in_order_on_threads() {
    let (task, events) = start(Mode::Threads);
    let handle = task.handle();
    for n in 0..1000 {
        handle.persist(Token(n), Row::Message(message(n, n + 1, 5, &["x"])));
    }
    handle.flush().await.unwrap();
    assert_eq!(handle.backlog(), Backlog::default());
    let found = handle.read_log(990, 100, 100_000).await.unwrap();
    assert_eq!(found.len(), 11);
    task.stop().await.unwrap();
    let tokens: Vec<u64> = events
        .try_iter()
        .map(|event| match event {
            StoreEvent::Persisted { token } => token.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tokens.is_sorted());
    assert_eq!(tokens.last(), Some(&999));
}
