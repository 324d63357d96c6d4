//! Whole nodes over real QUIC in virtual time: who dies is noticed, and what falls apart grows together by itself.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use vouchsafe::{Code, Down, EventStream, NodeEvent};
use vouchsafe_integration_tests::hub::{Conditions, Hub};
use vouchsafe_integration_tests::village::Village;
use vouchsafe_integration_tests::virtual_time::in_virtual_time;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn village(seed: u64, nodes: u16) -> Village {
    let calm = Conditions::calm(Duration::from_millis(20));
    let village = Village::founded(seed, calm, 4, nodes).await;
    village.settled(4, secs(60)).await;
    // Long enough for links to be known to lose nothing.
    sleep(secs(240)).await;
    village
}

/// Waits for an event that `wanted` takes.
async fn until<T>(
    events: &mut EventStream,
    limit: Duration,
    wanted: impl Fn(&NodeEvent) -> Option<T>,
) -> T {
    let seen = async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(limit, seen).await.expect("it happens in time")
}

#[test]
fn a_dead_neighbor_is_given_up_within_seconds_and_said_to_be() {
    in_virtual_time(async {
        let mut village = village(31, 8).await;
        let dead = village.identity(5).id();
        let mut watching = Vec::new();
        for n in village.running() {
            let peers = village.handle(n).peers().await.expect("it runs");
            if n != 5 && peers.iter().any(|it| it.peer == dead && it.neighbor) {
                watching.push(village.handle(n).events());
            }
        }
        assert!(watching.len() >= 4, "{}", watching.len());
        let killed = Instant::now();
        village.kill(5);
        for events in &mut watching {
            until(events, secs(10), |event| {
                matches!(event, NodeEvent::Suspected { peer, .. } if *peer == dead).then_some(())
            })
            .await;
            let silent = until(events, secs(10), |event| match event {
                NodeEvent::Failed { peer, silent, .. } if *peer == dead => Some(*silent),
                _ => None,
            })
            .await;
            let why = until(events, secs(1), |event| match event {
                NodeEvent::NeighborDown { peer, why } if *peer == dead => Some(*why),
                _ => None,
            })
            .await;
            assert_eq!(why, Down::ByUs(Code::Failed));
            assert!(silent < secs(10), "{silent:?}");
        }
        assert!(killed.elapsed() < secs(10));
        // And nobody else.
        for n in village.running() {
            assert!(village.counter(n, "detector", "failed").await <= 1);
        }
    });
}

#[test]
fn a_node_that_was_cut_off_finds_back_with_its_seed_dead() {
    in_virtual_time(async {
        let mut village = village(32, 8).await;
        village.kill(1);
        let mut events = village.handle(3).events();
        let others: Vec<u16> = village.running().into_iter().filter(|n| *n != 3).collect();
        village.hub.part(&[Hub::addr(3)], &Village::addrs(others));
        until(&mut events, secs(30), |event| {
            matches!(event, NodeEvent::Isolated).then_some(())
        })
        .await;
        village
            .publisher(2, 20, secs(1), 64)
            .await
            .expect("a publisher");
        sleep(secs(600)).await;
        village.hub.mend_all();
        let after = until(&mut events, secs(120), |event| match event {
            NodeEvent::Rejoined { after } => Some(*after),
            _ => None,
        })
        .await;
        assert!(after >= secs(600), "{after:?}");
        village.publish(3).await;
        let took = village.delivered(secs(120)).await;
        println!("rejoined; everything there after {took:?}");
    });
}

#[test]
fn the_fifth_that_survives_a_crash_is_one_network() {
    in_virtual_time(async {
        let mut village = village(33, 20).await;
        for n in 1..=16 {
            village.kill(n);
        }
        let crashed = Instant::now();
        // Everybody counts the three others, and nobody else.
        loop {
            let mut whole = true;
            for n in village.running() {
                let status = village.status(n).await;
                whole &= status.neighbors_inbound + status.neighbors_outbound == 3;
            }
            if whole {
                break;
            }
            assert!(crashed.elapsed() < secs(60), "{}", village.counters().await);
            sleep(secs(1)).await;
        }
        println!("one again after {:?}", crashed.elapsed());
        for n in village.running() {
            village.publish(n).await;
        }
        village.delivered(secs(30)).await;
    });
}

#[test]
fn two_halves_link_again_as_soon_as_they_can() {
    in_virtual_time(async {
        let village = village(34, 16).await;
        let halves = [Village::addrs(1..=8), Village::addrs(9..=16)];
        village.hub.part(&halves[0], &halves[1]);
        sleep(secs(1200)).await;
        village.hub.mend_all();
        let mended = Instant::now();
        let ids: Vec<_> = (9..=16).map(|n| village.identity(n).id()).collect();
        loop {
            let mut across = 0;
            for n in 1..=8 {
                let peers = village.handle(n).peers().await.expect("it runs");
                let links = peers
                    .iter()
                    .filter(|it| it.neighbor && ids.contains(&it.peer));
                across += links.count();
            }
            if across >= 4 {
                break;
            }
            assert!(mended.elapsed() < secs(120), "{}", village.counters().await);
            sleep(secs(1)).await;
        }
        println!("linked after {:?}", mended.elapsed());
        village.publish(1).await;
        village.publish(16).await;
        village.delivered(secs(30)).await;
    });
}

/// A machine that sleeps: nothing that is sent to it is read. Its links are given up, and it is back soon after it wakes up.
#[test]
fn a_machine_that_slept_for_an_hour_is_back_at_once() {
    in_virtual_time(async {
        let village = village(35, 8).await;
        village.hub.stall(Hub::addr(6), true);
        let publishing = village.publisher(2, 60, secs(30), 64);
        sleep(secs(3600)).await;
        publishing.await.expect("a publisher");
        village.hub.stall(Hub::addr(6), false);
        let woken = Instant::now();
        village.delivered(secs(180)).await;
        println!("everything there after {:?}", woken.elapsed());
    });
}
