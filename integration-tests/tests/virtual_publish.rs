//! What `publish` answers, and when, at whole nodes over real QUIC in virtual time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlay::Lane;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vouchsafe_integration_tests::hub::{Conditions, Hub};
use vouchsafe_integration_tests::village::{TOPIC, Village};
use vouchsafe_integration_tests::virtual_time::in_virtual_time;

const LATENCY: Duration = Duration::from_millis(50);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Node 1 is everybody's only neighbor.
async fn star(seed: u64, nodes: u16) -> Village {
    let mut village = Village::new(seed, Conditions::calm(LATENCY), 4);
    for a in 2..=nodes {
        for b in a + 1..=nodes {
            village.hub.cut(Hub::addr(a).ip(), Hub::addr(b).ip());
        }
    }
    for n in 1..=nodes {
        village.start(n, |builder| builder).await;
    }
    village.settled(1, secs(60)).await;
    sleep(secs(10)).await;
    let status = village.status(1).await;
    let neighbors = status.neighbors_inbound + status.neighbors_outbound;
    assert_eq!(neighbors, usize::from(nodes) - 1);
    village
}

#[test]
fn publish_tells_how_many_neighbors_took_it() {
    in_virtual_time(async {
        let village = star(41, 5).await;
        for _ in 0..10 {
            let published = village.handle(1).publish(TOPIC, "to four").await;
            assert_eq!(published.expect("a running node").neighbors, 4);
            let published = village.handle(3).publish(TOPIC, "to one").await;
            assert_eq!(published.expect("a running node").neighbors, 1);
            sleep(secs(1)).await;
        }
        let mut alone = Village::new(42, Conditions::calm(LATENCY), 4);
        alone.start(1, |builder| builder).await;
        let published = alone.handle(1).publish(TOPIC, "to nobody").await;
        assert_eq!(published.expect("a running node").neighbors, 0);
        // It goes out when there is somebody.
        alone.start(2, |builder| builder).await;
        alone.settled(1, secs(60)).await;
        sleep(secs(5)).await;
        assert_eq!(alone.arrivals(2).len(), 1);
    });
}

#[test]
fn a_payload_that_waits_alone_goes_at_once_and_those_that_wait_together_share_a_message() {
    in_virtual_time(async {
        let village = star(43, 3).await;
        let signed = async || village.counter(1, "messages", "signed").await;
        let before = signed().await;
        let start = Instant::now();
        village.publish(1).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "nothing lingers");
        sleep(LATENCY * 3).await;
        // The clock of the network ticks once a millisecond.
        for n in [2, 3] {
            let latencies = village.latencies(n, start);
            assert_eq!(latencies.len(), 1);
            assert!(
                latencies[0] <= LATENCY + Duration::from_millis(1),
                "{latencies:?}"
            );
        }
        assert_eq!(signed().await, before + 1);
        let mut callers = JoinSet::new();
        for n in 0..100 {
            let node = village.handle(1);
            callers.spawn(async move { node.publish(TOPIC, format!("{n}")).await });
        }
        let mut messages = BTreeSet::new();
        let mut entries = BTreeSet::new();
        while let Some(published) = callers.join_next().await {
            let published = published.expect("no panic").expect("a running node");
            messages.insert(published.message);
            entries.insert(published.id);
        }
        assert_eq!((messages.len(), entries.len()), (1, 100));
        assert_eq!(signed().await, before + 2);
    });
}

/// Publishes `count` payloads of `size` bytes at once at node 1, whose links are cut soon after and mended later, and returns
/// how many neighbors had taken each that was answered while they were, and how many messages were owed to neighbors then.
async fn publish_into_a_cut(village: &Village, count: usize, size: usize) -> (Vec<usize>, u64) {
    let answers: Arc<Mutex<Vec<usize>>> = Arc::default();
    let so_far = || answers.lock().expect("no panic").clone();
    let mut callers = JoinSet::new();
    for n in 0..count {
        let (node, answers) = (village.handle(1), answers.clone());
        callers.spawn(async move {
            let published = node.publish(TOPIC, vec![n as u8; size]).await;
            let neighbors = published.expect("a running node").neighbors;
            answers.lock().expect("no panic").push(neighbors);
        });
    }
    sleep(LATENCY).await;
    let addrs = Village::addrs(2..=3);
    for addr in &addrs {
        village.hub.cut(Hub::addr(1).ip(), addr.ip());
    }
    sleep(Duration::from_millis(400)).await;
    let full = so_far();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(so_far().len(), full.len(), "it waits");
    let mut owed = village.counter(1, "broadcast", "owed").await;
    for settled in ["owed_sent", "owed_needless", "owed_gone"] {
        owed -= village.counter(1, "broadcast", settled).await;
    }
    for addr in &addrs {
        village.hub.mend(Hub::addr(1).ip(), addr.ip());
    }
    let start = Instant::now();
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    println!("the rest took {:?}", start.elapsed());
    assert_eq!(so_far().len(), count, "it goes on");
    sleep(secs(30)).await;
    for n in 1..=3 {
        let arrivals = village.arrivals(n);
        let entries: BTreeSet<_> = arrivals.iter().map(|a| a.entry.id).collect();
        let found = (arrivals.len(), entries.len());
        assert_eq!(found, (count, count), "node {n}: each once");
    }
    (full, owed)
}

#[test]
fn publish_waits_while_the_own_lanes_are_full_and_goes_on_as_they_drain() {
    in_virtual_time(async {
        let village = star(44, 3).await;
        let (full, owed) = publish_into_a_cut(&village, 6000, 1000).await;
        // While the lanes have room both take it; of what finds them full some messages are owed, and then publish waits.
        let both = full.iter().filter(|neighbors| **neighbors == 2).count();
        println!(
            "{} were answered, {both} of them taken by both; {owed} messages are owed",
            full.len()
        );
        let lane = Lane::Own.capacity() / 1100;
        assert!((lane..lane * 4).contains(&both), "{both}");
        let high = overlay::broadcast::Config::default().own_high_water as u64 + 1;
        assert!(
            (high..=high * 2).contains(&owed),
            "{owed} by two neighbors, of {high} each"
        );
    });
}
