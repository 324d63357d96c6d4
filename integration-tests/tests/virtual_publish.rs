//! What `publish` answers, and when, at whole nodes over real QUIC in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

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
