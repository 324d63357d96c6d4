//! Whole cores and large messages: every size everywhere, once; liars, leavers, latecomers.

mod world;

use std::time::Duration;

use bytes::Bytes;
use overlay::messages::PublishError;
use overlay::{Event, Stats};
use world::World;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Bytes that differ from place to place and payload to payload.
fn payload(n: u64, len: usize) -> Bytes {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&n.to_le_bytes());
    let mut bytes = vec![0; len];
    hasher.finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn joined(seed: u64, count: usize) -> World {
    let mut world = World::new(seed);
    world.add(&[], |_| {});
    for _ in 1..count {
        world.add(&[0], |_| {});
    }
    world.run(10 * SECOND);
    world
}

/// Every live node delivered these payloads, each exactly once.
fn assert_delivered(world: &World, expected: &[Bytes]) {
    for (index, node) in world.nodes.iter().enumerate() {
        if node.core.is_none() {
            continue;
        }
        assert_eq!(node.delivered.len(), expected.len(), "node {index}");
        for payload in expected {
            let found = node.delivered.iter().filter(|it| it.payload == *payload);
            assert_eq!(found.count(), 1, "node {index}, {} bytes", payload.len());
        }
    }
}

fn sum(world: &World, counter: impl Fn(&Stats) -> u64) -> u64 {
    let cores = world.nodes.iter().filter_map(|node| node.core.as_ref());
    cores.map(|core| counter(core.stats())).sum()
}

/// Chunks received for each that was kept.
fn copies(world: &World) -> f64 {
    let kept = sum(world, |it| it.bodies.chunks) as f64;
    let more = sum(world, |it| it.bodies.duplicates + it.bodies.unasked) as f64;
    (kept + more) / kept
}

#[test]
fn every_size_reaches_everybody_once() {
    let mut world = joined(1, 12);
    let sizes = [
        1020,
        1021,
        4096,
        32_763,
        32_764,
        32_765,
        65_536,
        65_537,
        300_000,
        1 << 20,
        5_000_000,
    ];
    let mut sent = Vec::new();
    for (n, size) in (0..).zip(sizes) {
        sent.push(payload(n, size));
        world.publish_bytes(n as usize % 12, n, sent[n as usize].clone());
        world.run(2 * SECOND);
    }
    world.run(10 * SECOND);
    assert_delivered(&world, &sent);
    assert_eq!(sum(&world, |it| it.bodies.completed), 11 * 10);
    assert_eq!(
        sum(&world, |it| it.bodies.abandoned + it.bodies.bad_chunks),
        0
    );
    assert_eq!(sum(&world, |it| it.repair.received), 0, "live, all of it");
    assert!(copies(&world) <= 1.05, "{}", copies(&world));
}

#[test]
fn the_body_of_a_known_author_follows_its_head_without_being_asked() {
    let mut world = joined(2, 12);
    let mut sent = Vec::new();
    let mut wants = 0;
    for n in 0..30 {
        if n == 10 {
            wants = sum(&world, |it| it.bodies.wants_out);
        }
        sent.push(payload(n, 20_000));
        world.publish_bytes(3, n, sent[n as usize].clone());
        world.run(300 * MS);
    }
    world.run(5 * SECOND);
    assert_delivered(&world, &sent);
    let asked = sum(&world, |it| it.bodies.wants_out) - wants;
    assert!(
        asked <= 20 * 11 / 10,
        "{asked} of {} had to be asked for",
        20 * 11
    );
    assert!(copies(&world) <= 1.02, "{}", copies(&world));
}

/// A short message right behind a long one waits for it, as for anything that is known to be on its way.
#[test]
fn what_comes_behind_a_long_message_waits_for_it() {
    let mut world = joined(10, 6);
    world.latency = 1500 * MS;
    let sent = [payload(1, 3_000_000), payload(2, 100)];
    world.publish_bytes(0, 1, sent[0].clone());
    world.publish_bytes(0, 2, sent[1].clone());
    world.run(40 * SECOND);
    assert_delivered(&world, &sent);
    assert!(
        sum(&world, |it| it.messages.waited_on) > 0,
        "it took longer than the usual wait"
    );
    for node in &world.nodes {
        let order: Vec<usize> = node.delivered.iter().map(|it| it.payload.len()).collect();
        assert_eq!(order, [3_000_000, 100]);
        assert!(node.delivered.iter().all(|it| !it.gap));
    }
}

#[test]
fn several_authors_at_once_cost_one_copy() {
    let mut world = joined(3, 12);
    let mut sent = Vec::new();
    for n in 0..40 {
        sent.push(payload(n, 100_000));
        world.publish_bytes(n as usize % 4, n, sent[n as usize].clone());
        world.run(100 * MS);
    }
    world.run(10 * SECOND);
    assert_delivered(&world, &sent);
    assert!(copies(&world) <= 1.1, "{}", copies(&world));
}

/// Nodes that announce and forward every head and serve nothing: everybody else gets everything, live.
#[test]
fn who_serves_nothing_censors_nobody() {
    let mut world = joined(4, 16);
    world.baiters = [2, 5, 8, 11, 14].into();
    let mut sent = Vec::new();
    for n in 0..30 {
        sent.push(payload(n, 50_000));
        world.publish_bytes([0, 1, 3][n as usize % 3], n, sent[n as usize].clone());
        world.run(500 * MS);
    }
    world.run(4 * SECOND);
    assert_delivered(&world, &sent);
    assert_eq!(sum(&world, |it| it.bodies.abandoned), 0);
    assert!(copies(&world) <= 1.25, "{}", copies(&world));
}

/// The head came to a node from a liar only, and the honest neighbor that could serve it had the head from the node itself. It
/// must learn that the neighbor has the body.
#[test]
fn a_node_that_knows_of_liars_only_learns_who_has_the_body() {
    for seed in 0..8 {
        let mut world = World::new(50 + seed);
        world.add(&[], |_| {});
        for _ in 1..6 {
            world.add(&[0], |config| config.repair.period = 1000 * SECOND);
        }
        world.run(10 * SECOND);
        // All but the author and one other lie.
        world.baiters = [1, 2, 3, 4].into();
        let sent = [payload(1, 70_000), payload(2, 3000)];
        world.publish_bytes(0, 1, sent[0].clone());
        world.run(SECOND);
        world.publish_bytes(5, 2, sent[1].clone());
        world.run(20 * SECOND);
        assert_delivered(&world, &sent);
    }
}

#[test]
fn who_leaves_in_the_middle_holds_nobody_up() {
    let mut world = joined(6, 12);
    let sent = [payload(1, 3_000_000)];
    world.publish_bytes(0, 1, sent[0].clone());
    world.run(70 * MS);
    assert!(sum(&world, |it| it.bodies.chunks) > 0, "on its way");
    assert_eq!(sum(&world, |it| it.bodies.completed), 0);
    for gone in [3, 7] {
        world.kill(gone);
    }
    world.run(60 * SECOND);
    assert_delivered(&world, &sent);
}

/// A latecomer gets what it missed by repair: short ones whole, long ones head first.
#[test]
fn who_comes_late_gets_bodies_of_every_size() {
    let mut world = joined(1, 6);
    let mut sent = Vec::new();
    for (n, size) in (0..).zip([500, 4000, 40_000, 49_148, 60_000, 700_000, 2_000_000]) {
        sent.push(payload(n, size));
        world.publish_bytes(1, n, sent[n as usize].clone());
        world.run(200 * MS);
    }
    // Nobody keeps them in memory any more.
    world.run(100 * SECOND);
    world.add(&[0], |_| {});
    world.run(60 * SECOND);
    assert_delivered(&world, &sent);
    let stats = world.nodes[6].core.as_ref().expect("alive").stats();
    assert_eq!(stats.repair.received, 7);
    assert_eq!(stats.bodies.completed, 3);
    assert!(sum(&world, |it| it.bodies.loads) >= 3, "from the store");
}

#[test]
fn ten_authors_with_the_largest_bodies_at_once_are_all_heard_in_bounded_memory() {
    let mut world = World::new(8);
    let small = |config: &mut overlay::Config| {
        config.bodies.memory = 3 << 20;
        config.bodies.pinned = 3 << 20;
        config.messages.max_body = 1 << 20;
        config.messages.recent_body_bytes = 3 << 20;
    };
    world.add(&[], small);
    for _ in 1..10 {
        world.add(&[0], small);
    }
    world.run(10 * SECOND);
    let sent: Vec<Bytes> = (0..10).map(|n| payload(n, (1 << 20) - 1024)).collect();
    for (n, payload) in (0..).zip(&sent) {
        world.publish_bytes(n as usize, n, payload.clone());
    }
    world.run(120 * SECOND);
    assert_delivered(&world, &sent);
    assert!(sum(&world, |it| it.bodies.waited) > 0, "memory was short");
}

#[test]
fn what_is_longer_than_a_node_takes_is_refused_by_name_and_not_passed_on() {
    let mut world = World::new(9);
    world.add(&[], |_| {});
    world.add(&[0], |config| config.messages.max_body = 100_000);
    world.run(5 * SECOND);
    world.publish_bytes(1, 1, payload(1, 98_977));
    world.run(SECOND);
    let refused = world.nodes[1].events.iter().any(|event| {
        matches!(
            event,
            Event::Published {
                result: Err(PublishError::TooLarge {
                    size: 98_977,
                    max: 98_976
                }),
                ..
            }
        )
    });
    assert!(refused);
    let sent = [payload(2, 98_976), payload(3, 100_000)];
    world.publish_bytes(0, 2, sent[0].clone());
    world.publish_bytes(0, 3, sent[1].clone());
    world.run(60 * SECOND);
    assert_eq!(world.nodes[0].delivered.len(), 2);
    assert_eq!(world.nodes[1].delivered.len(), 1);
    assert!(sum(&world, |it| it.messages.too_large) > 0);
}
