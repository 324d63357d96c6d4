//! The library as an application uses it: whole nodes over loopback sockets in one process.
//!
//! Nothing here depends on how fast the machine is: every wait is for an event, and only a test that hangs fails by time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use overlay::action::{SeedFailure, Target};
use overlay::config::Seed;
use overlay::input::DialError;
use overlay::messages::{DEFAULT_MAX_PAYLOAD, PublishError as Refused};
use vouchsafe::{
    AddressPreset, Builder, Code, Delivery, Down, From, Handle, Identity, Item, Limits, Node,
    NodeEvent, Order, PublishError, SpawnError, Stopped, Subscription, Verdict,
};

/// Far beyond what any step takes on any machine.
const HANG: Duration = Duration::from_secs(120);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hung: {what}"),
    }
}

fn builder() -> Builder {
    Node::builder()
        .network("library tests")
        .in_memory()
        .preset(AddressPreset::Local)
}

fn seed(node: &Node) -> Seed {
    Seed {
        peer: node.id(),
        target: Target::Addr(node.local_addrs()[0]),
    }
}

async fn spawn(builder: Builder) -> Node {
    within("spawn", builder.spawn()).await.unwrap()
}

/// Until the node has `n` neighbors.
async fn neighbors(node: &Handle, n: usize) {
    within("neighbors", async {
        loop {
            let status = node.status().await.unwrap();
            if status.neighbors_inbound + status.neighbors_outbound >= n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn entry(subscription: &mut Subscription) -> Delivery {
    match within("an entry", subscription.next()).await {
        Some(Item::Entry(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

async fn payloads(subscription: &mut Subscription, n: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    for _ in 0..n {
        let entry = entry(subscription).await;
        payloads.push(String::from_utf8(entry.payload.to_vec()).unwrap());
    }
    payloads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_that_know_one_seed_hear_each_other() {
    let a = spawn(builder()).await;
    let b = spawn(builder().seed(seed(&a))).await;
    let c = spawn(builder().seed(seed(&a))).await;
    let nodes = [a.handle(), b.handle(), c.handle()];
    let mut subscriptions = Vec::new();
    for node in &nodes {
        subscriptions.push(node.subscribe("news", From::Now).await.unwrap());
        neighbors(node, 1).await;
    }
    let mut sent = BTreeSet::new();
    for (i, node) in nodes.iter().enumerate() {
        let published = node.publish("news", format!("from {i}")).await.unwrap();
        assert!(sent.insert((published.id, node.id(), format!("from {i}"))));
    }
    for subscription in &mut subscriptions {
        let mut received = BTreeSet::new();
        for _ in 0..nodes.len() {
            let entry = entry(subscription).await;
            let text = String::from_utf8(entry.payload.to_vec()).unwrap();
            assert!(received.insert((entry.id, entry.author, text)));
        }
        assert_eq!(received, sent);
    }
    let peers = a.handle().peers().await.unwrap();
    assert!(
        peers
            .iter()
            .any(|info| info.peer == b.id() && info.bytes_in > 0)
    );
    let stats = a.handle().stats().await.unwrap();
    assert!(stats.transport.udp_bytes_in > 0 && stats.transport.inbound_connected > 0);
    within("sample", async {
        while a.handle().sample(2).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for node in [a, b, c] {
        within("shutdown", node.shutdown()).await;
    }
}

#[tokio::test]
async fn a_publish_before_any_neighbor_goes_out_when_one_appears() {
    let a = spawn(builder()).await;
    let published = within("publish", a.handle().publish("t", "early"))
        .await
        .unwrap();
    assert_eq!(published.neighbors, 0);
    let b = spawn(builder().seed(seed(&a))).await;
    let mut subscription = b.handle().subscribe("t", From::Start).await.unwrap();
    assert_eq!(entry(&mut subscription).await.id, published.id);
}

#[tokio::test]
async fn bad_publishes_are_typed_errors_at_the_call() {
    let a = spawn(builder()).await;
    let a = a.handle();
    let too_large = a
        .publish("t", vec![0; DEFAULT_MAX_PAYLOAD + 1])
        .await
        .unwrap_err();
    assert_eq!(
        too_large,
        PublishError::Refused(Refused::TooLarge {
            size: DEFAULT_MAX_PAYLOAD + 1,
            max: DEFAULT_MAX_PAYLOAD
        })
    );
    for topic in ["", "no spaces", &"x".repeat(65)] {
        let error = a.publish(topic, "x").await.unwrap_err();
        assert!(matches!(error, PublishError::Topic(_)), "{error}");
        assert!(a.subscribe(topic, From::Now).await.is_err());
    }
    let results = a
        .publish_many(
            "t",
            vec![
                "1".into(),
                vec![0; DEFAULT_MAX_PAYLOAD + 1].into(),
                "2".into(),
            ],
        )
        .await;
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
    let largest = a.publish("t", vec![0; DEFAULT_MAX_PAYLOAD]).await;
    assert!(largest.is_ok());
}

#[tokio::test]
async fn what_waits_together_shares_messages_and_keeps_its_order() {
    let a = spawn(builder()).await;
    let a = a.handle();
    let mut subscription = a.subscribe("t", From::Now).await.unwrap();
    let texts: Vec<String> = (0..2000).map(|i| format!("line {i}")).collect();
    let results = a
        .publish_many("t", texts.iter().cloned().map(Bytes::from).collect())
        .await;
    let messages: BTreeSet<_> = results
        .iter()
        .map(|r| r.as_ref().unwrap().message)
        .collect();
    assert!(messages.len() < 200, "{} messages", messages.len());
    assert_eq!(payloads(&mut subscription, 2000).await, texts);
}

#[tokio::test]
async fn cursors_resume_and_a_log_is_read_from_its_start() {
    let a = spawn(builder()).await;
    let a = a.handle();
    for i in 0..50 {
        a.publish("t", format!("{i}")).await.unwrap();
        a.publish("other", "x").await.unwrap();
    }
    let mut first = a.subscribe("t", From::Start).await.unwrap();
    let mut cursor = 0;
    for i in 0..20 {
        let entry = entry(&mut first).await;
        assert_eq!(entry.payload, format!("{i}"));
        assert!(entry.cursor > cursor);
        cursor = entry.cursor;
    }
    let mut resumed = a.subscribe("t", From::After(cursor)).await.unwrap();
    let expected: Vec<String> = (20..60).map(|i| i.to_string()).collect();
    assert_eq!(payloads(&mut resumed, 30).await, expected[..30]);
    for i in 50..60 {
        a.publish("t", format!("{i}")).await.unwrap();
    }
    assert_eq!(
        payloads(&mut resumed, 10).await,
        expected[30..],
        "live after the log"
    );
    assert_eq!(
        payloads(&mut first, 40).await,
        expected,
        "from page to page into live"
    );
}

/// Handing over from the log to the live feed, under traffic, loses and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_a_busy_topic_neither_skips_nor_repeats() {
    let a = spawn(builder()).await;
    let publisher = a.handle();
    let writing = tokio::spawn(async move {
        for i in 0..3000 {
            publisher.publish("t", i.to_string()).await.unwrap();
        }
    });
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut subscription = a.handle().subscribe("t", From::Start).await.unwrap();
        readers.push(tokio::spawn(async move {
            let expected: Vec<String> = (0..3000).map(|i| i.to_string()).collect();
            assert_eq!(payloads(&mut subscription, 3000).await, expected);
        }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writing.await.unwrap();
    for reader in readers {
        within("reader", reader).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_subscriber_hears_exactly_what_it_missed_and_can_go_back() {
    let a = spawn(builder().subscriber_buffer(10, usize::MAX)).await;
    let a = a.handle();
    let mut slow = a.subscribe("t", From::Now).await.unwrap();
    for i in 0..100 {
        a.publish("t", i.to_string()).await.unwrap();
        a.publish("other", "does not count").await.unwrap();
    }
    let expected: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(payloads(&mut slow, 10).await, expected[..10]);
    let Some(Item::Lagged { missed, resume }) = slow.next().await else {
        panic!("no gap");
    };
    assert_eq!(missed, 90);
    let mut again = a.subscribe("t", From::After(resume)).await.unwrap();
    assert_eq!(payloads(&mut again, 90).await, expected[10..]);
    a.publish("t", "after").await.unwrap();
    assert_eq!(
        payloads(&mut slow, 1).await,
        ["after"],
        "one gap, then live again"
    );
    let stats = a.stats().await.unwrap();
    assert_eq!(stats.transport.subscriber_lagged, 90);
}

/// The author's later message gets into the log first: it names none before it, so nobody waits.
#[tokio::test]
async fn a_subscription_in_sequence_leaves_out_what_comes_late() {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let run = || builder().identity(Identity::from_seed(&[77; 32]));
    let later = spawn(run().unix_clock(move || now - 20_000)).await;
    later.handle().publish("t", "later").await.unwrap();
    let a = spawn(builder().seed(seed(&later))).await;
    let handle = a.handle();
    let mut log = handle.subscribe("t", From::Start).await.unwrap();
    let live = handle.subscribe_in("t", From::Start, Order::Sequence);
    let mut live = live.await.unwrap();
    assert_eq!(payloads(&mut log, 1).await, ["later"]);
    within("shutdown", later.shutdown()).await;
    // A run that its author's next one knew nothing of.
    let dir = tempfile::tempdir().unwrap();
    let earlier = || run().data_dir(dir.path());
    let alone = spawn(earlier().unix_clock(move || now - 30_000)).await;
    alone.handle().publish("t", "earlier").await.unwrap();
    within("shutdown", alone.shutdown()).await;
    let _earlier = spawn(earlier().seed(seed(&a))).await;
    assert_eq!(payloads(&mut log, 1).await, ["earlier"]);
    a.handle().publish("t", "another's").await.unwrap();
    assert_eq!(payloads(&mut log, 1).await, ["another's"]);
    let again = handle.subscribe_in("t", From::Start, Order::Sequence);
    let mut again = again.await.unwrap();
    for subscription in [&mut live, &mut again] {
        assert_eq!(subscription.late(), 0);
        let given = payloads(subscription, 2).await;
        assert_eq!(given, ["later", "another's"]);
        assert_eq!(subscription.late(), 1);
    }
    let stats = a.handle().stats().await.unwrap();
    assert_eq!(stats.transport.subscriber_late, 2);
}

async fn seed_failure(builder: Builder) -> (Node, SeedFailure) {
    let node = spawn(builder).await;
    let mut events = node.handle().events();
    let failure = within("a failed seed", async {
        loop {
            match events.next().await {
                Some(NodeEvent::SeedFailed { reason, .. }) => return reason,
                Some(_) => {}
                None => panic!("stopped"),
            }
        }
    })
    .await;
    (node, failure)
}

#[tokio::test]
async fn a_seed_with_another_identity_network_or_nobody_is_named() {
    let a = spawn(builder()).await;
    let wrong = Seed {
        peer: Identity::from_seed(&[9; 32]).id(),
        ..seed(&a)
    };
    let (_b, reason) = seed_failure(builder().seed(wrong)).await;
    assert_eq!(reason, SeedFailure::Dial(DialError::WrongIdentity));
    let (_c, reason) = seed_failure(builder().network("another").seed(seed(&a))).await;
    assert_eq!(reason, SeedFailure::Dial(DialError::WrongNetwork));
    let nobody = Seed {
        target: Target::Name("does-not-exist.invalid:1".into()),
        ..seed(&a)
    };
    let (_d, reason) = seed_failure(builder().seed(nobody)).await;
    assert_eq!(reason, SeedFailure::Dial(DialError::NoAddress));
    assert_eq!(a.handle().stats().await.unwrap().core.neighbors.opened, 0);
}

#[tokio::test]
async fn validators_decide_and_own_payloads_are_validated_too() {
    let asked = Arc::new(AtomicUsize::new(0));
    let judge = |asked: &Arc<AtomicUsize>| {
        let asked = asked.clone();
        move |_, entries: Vec<Bytes>| {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(if entries.iter().any(|entry| entry.starts_with(b"bad")) {
                Verdict::Reject
            } else {
                Verdict::Accept
            })
        }
    };
    let topic = "judged".parse::<vouchsafe::Topic>().unwrap();
    let a = spawn(builder().validator(topic.clone(), judge(&asked))).await;
    let b = spawn(
        builder()
            .validator(topic.clone(), judge(&asked))
            .seed(seed(&a)),
    )
    .await;
    neighbors(&b.handle(), 1).await;
    let mut subscription = b.handle().subscribe(&topic, From::Now).await.unwrap();
    let refused = a.handle().publish(&topic, "bad").await.unwrap_err();
    assert_eq!(refused, PublishError::Refused(Refused::Invalid));
    a.handle().publish(&topic, "good").await.unwrap();
    assert_eq!(payloads(&mut subscription, 1).await, ["good"]);
    assert!(asked.load(Ordering::Relaxed) >= 3);
}

/// What a neighbor passes on although it is invalid costs it the link; what is merely unwanted costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_costs_the_link_and_an_ignored_one_does_not() {
    let a = spawn(builder()).await;
    let judge = |_, entries: Vec<Bytes>| async move {
        tokio::task::yield_now().await;
        match &entries[0][..] {
            b"invalid" => Verdict::Reject,
            b"unwanted" => Verdict::Ignore,
            _ => Verdict::Accept,
        }
    };
    let topic = "judged".parse::<vouchsafe::Topic>().unwrap();
    let b = spawn(builder().validator(topic.clone(), judge).seed(seed(&a))).await;
    let (a, b) = (a.handle(), b.handle());
    neighbors(&b, 1).await;
    let mut events = b.events();
    let mut log = b.subscribe(&topic, From::Now).await.unwrap();
    for text in ["unwanted", "good"] {
        a.publish(&topic, text).await.unwrap();
    }
    assert_eq!(payloads(&mut log, 1).await, ["good"]);
    let stats = b.stats().await.unwrap().core;
    assert_eq!((stats.messages.ignored, stats.messages.rejected), (1, 0));
    a.publish(&topic, "invalid").await.unwrap();
    let why = within("the end of the link", async {
        loop {
            match events.next().await {
                Some(NodeEvent::NeighborDown { peer, why }) if peer == a.id() => return why,
                Some(_) => {}
                None => panic!("stopped"),
            }
        }
    });
    assert_eq!(why.await, Down::ByUs(Code::Invalid));
    assert_eq!(b.stats().await.unwrap().core.messages.rejected, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_the_same_directory_keeps_identity_log_and_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = || {
        Node::builder()
            .network("library tests")
            .data_dir(dir.path())
            .preset(AddressPreset::Local)
    };
    let mut id = None;
    let mut cursors = Vec::new();
    for run in 0..3 {
        let node = spawn(at()).await;
        assert!(id.is_none_or(|id| id == node.id()));
        id = Some(node.id());
        let second = at().spawn().await;
        assert!(matches!(second, Err(SpawnError::DataDir(_))), "locked");
        let handle = node.handle();
        handle.publish("t", format!("run {run}")).await.unwrap();
        let mut subscription = handle.subscribe("t", From::Start).await.unwrap();
        for earlier in 0..=run {
            let entry = entry(&mut subscription).await;
            assert_eq!(entry.payload, format!("run {earlier}"));
            match cursors.get(earlier) {
                Some(cursor) => assert_eq!(entry.cursor, *cursor, "a cursor names one entry"),
                None => cursors.push(entry.cursor),
            }
        }
        within("shutdown", handle.shutdown()).await;
        assert_eq!(
            subscription.next().await,
            None,
            "the stream ends with the node"
        );
        assert_eq!(handle.publish("t", "late").await, Err(Stopped.into()));
        assert_eq!(handle.status().await.err(), Some(Stopped));
        assert!(handle.events().next().await.is_none());
        assert_eq!(handle.failure(), None);
    }
    assert!(cursors.is_sorted());
}

#[tokio::test]
async fn a_goodbye_is_heard_at_once() {
    let a = spawn(builder()).await;
    let b = spawn(builder().seed(seed(&a))).await;
    neighbors(&a.handle(), 1).await;
    let mut events = a.handle().events();
    within("shutdown", b.shutdown()).await;
    within("goodbye", async {
        while !matches!(events.next().await, Some(NodeEvent::NeighborDown { .. })) {}
    })
    .await;
}

#[tokio::test]
async fn a_ban_closes_the_link_and_keeps_it_closed() {
    let a = spawn(builder()).await;
    let b = spawn(builder().seed(seed(&a))).await;
    neighbors(&a.handle(), 1).await;
    let mut events = a.handle().events();
    a.handle().ban(b.id(), None).await.unwrap();
    within("the link goes down", async {
        while !matches!(events.next().await, Some(NodeEvent::NeighborDown { peer, .. }) if peer == b.id()) {}
    })
    .await;
    let refused = async {
        while a
            .handle()
            .stats()
            .await
            .unwrap()
            .core
            .neighbors
            .refused_banned
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a refused return", refused).await;
    a.handle().unban(b.id()).await.unwrap();
    neighbors(&a.handle(), 1).await;
}

#[test]
fn a_node_runs_on_the_runtime_it_is_given() {
    let its_own = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let callers = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let node = callers
        .block_on(builder().runtime(its_own.handle().clone()).spawn())
        .unwrap();
    let published = its_own.block_on(node.handle().publish("t", "x"));
    assert!(published.is_ok());
    callers.block_on(node.shutdown());
    let nowhere = std::pin::pin!(builder().spawn());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let result = nowhere.poll(&mut cx);
    assert!(matches!(
        result,
        std::task::Poll::Ready(Err(SpawnError::NoRuntime))
    ));
}

#[tokio::test]
async fn an_external_signer_signs_everything() {
    let key = Identity::from_seed(&[3; 32]);
    let signed = Arc::new(Mutex::new(0));
    let held = ed25519(&[3; 32]);
    let identity = Identity::external(key.id(), {
        let signed = signed.clone();
        move |bytes| {
            *signed.lock().unwrap() += 1;
            Ok(held(bytes))
        }
    });
    let a = spawn(builder().identity(identity)).await;
    let b = spawn(builder().seed(seed(&a))).await;
    neighbors(&b.handle(), 1).await;
    let mut subscription = b.handle().subscribe("t", From::Now).await.unwrap();
    a.handle().publish("t", "signed elsewhere").await.unwrap();
    assert_eq!(entry(&mut subscription).await.author, key.id());
    assert!(
        *signed.lock().unwrap() >= 4,
        "certificate, handshake, record, message"
    );
}

/// A signer outside the library.
fn ed25519(seed: &[u8; 32]) -> impl Fn(&[u8]) -> [u8; 64] + Send + Sync + 'static {
    use ed25519_dalek::Signer as _;
    let key = ed25519_dalek::SigningKey::from_bytes(seed);
    move |bytes| key.sign(bytes).to_bytes()
}

#[tokio::test]
async fn spawn_says_what_is_missing_or_taken() {
    let error = Node::builder().in_memory().spawn().await.unwrap_err();
    assert!(matches!(error, SpawnError::NoNetwork));
    let error = Node::builder().network("n").spawn().await.unwrap_err();
    assert!(matches!(error, SpawnError::NoStore));
    let a = spawn(builder()).await;
    let taken = a.local_addrs()[0];
    let error = builder().listen(taken).spawn().await.unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    let error = builder()
        .limits(Limits {
            max_links: Some(1),
            ..Limits::default()
        })
        .spawn()
        .await
        .unwrap_err();
    assert!(matches!(error, SpawnError::Config(_)), "{error}");
}

#[tokio::test]
async fn one_node_listens_on_both_families_with_one_port() {
    let first = spawn(builder().listen("127.0.0.1:0".parse().unwrap())).await;
    let port = first.local_addrs()[0].port();
    let v6 = builder().listen(SocketAddr::new("::1".parse().unwrap(), port));
    let Ok(second) = v6.spawn().await else {
        return; // a machine without IPv6
    };
    assert_eq!(second.local_addrs()[0].port(), port);
}
