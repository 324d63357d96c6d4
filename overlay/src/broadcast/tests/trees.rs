//! Whole networks: copies, coverage and calm.

use std::time::Duration;

use rand::RngExt as _;

use super::world::World;

const MS: Duration = Duration::from_millis(1);

/// Publishers in turn, one message every `every`.
fn stream(world: &mut World, publishers: &[usize], messages: usize, every: Duration, size: usize) {
    for n in 0..messages {
        world.publish(publishers[n % publishers.len()], size);
        world.run(every);
    }
}

#[test]
fn rotating_publishers_settle_at_one_copy() {
    for (seed, latency) in [(1, (0, 1)), (3, (10, 60))] {
        let mut world = World::random(30, 5, seed, latency);
        stream(&mut world, &[0, 7, 14, 21], 1000, 5 * MS, 300);
        world.run(Duration::from_secs(2));
        let (first, since) = (world.messages.len(), world.counts());
        let changes = world.sum(|it| it.supplier_changes);
        stream(&mut world, &[0, 7, 14, 21], 1000, 5 * MS, 300);
        world.run(Duration::from_secs(5));
        world.report("steady", first, since);
        assert_eq!(world.coverage(0), 1.0);
        assert!(world.copies_since(since) <= 1.05);
        let changes = world.sum(|it| it.supplier_changes) - changes;
        assert!(changes <= 12, "{changes} changes of supplier among 120");
    }
}

#[test]
fn sixty_fresh_authors_cost_the_default_suppliers_only() {
    let mut world = World::random(60, 5, 4, (1, 20));
    let since = world.counts();
    for node in 0..60 {
        world.publish(node, 300);
        world.run(20 * MS);
    }
    world.run(Duration::from_secs(3));
    world.report("fresh authors", 0, since);
    assert_eq!(world.coverage(0), 1.0);
    assert!(world.copies_since(since) <= 3.5);
}

#[test]
fn dead_nodes_cost_nobody_a_message() {
    for noticed in [true, false] {
        let mut world = World::random(30, 5, 5, (1, 20));
        stream(&mut world, &[0, 7, 14], 60, 10 * MS, 300);
        let (first, since) = (world.messages.len(), world.counts());
        for dead in [3, 11, 19, 26] {
            world.kill(dead, noticed);
            stream(&mut world, &[0, 7, 14], 60, 10 * MS, 300);
        }
        world.run(Duration::from_secs(3));
        world.report("dead nodes", first, since);
        assert_eq!(world.coverage(0), 1.0);
        assert!(world.copies_since(since) <= 1.2);
    }
}

#[test]
fn silent_parents_censor_nobody() {
    let mut world = World::random(30, 5, 6, (1, 20));
    stream(&mut world, &[0, 7, 14], 60, 10 * MS, 300);
    let (first, since) = (world.messages.len(), world.counts());
    for silent in [2, 5, 9, 12, 16, 19, 23, 25, 28] {
        world.nodes[silent].silent = true; // accepts grafts, announces, pushes nothing
    }
    stream(&mut world, &[0, 7, 14], 300, 10 * MS, 300);
    world.run(Duration::from_secs(5));
    world.report("silent", first, since);
    assert_eq!(world.coverage(0), 1.0);
    assert!(world.copies_since(since) <= 1.2);
    let (first, since) = (world.messages.len(), world.counts());
    stream(&mut world, &[0, 7, 14], 300, 10 * MS, 300);
    for fresh in [1, 3, 4, 6, 8, 10] {
        world.publish(fresh, 300);
        world.run(10 * MS);
    }
    world.run(Duration::from_secs(5));
    world.report("silent, settled", first, since);
    assert_eq!(world.coverage(0), 1.0);
    assert!(world.copies_since(since) <= 1.1);
}

#[test]
fn a_burst_is_not_pulled_twice() {
    for (seed, latency, rate, size) in [
        (7, (0, 1), 12_500_000, 300),
        (9, (5, 40), 1_250_000, 4096),
        (11, (20, 80), 500_000, 1000),
    ] {
        let mut world = World::random(30, 5, seed, latency);
        for link in 1..=150 {
            world.slow(crate::input::LinkId(link), rate);
        }
        stream(&mut world, &[0, 7, 14, 21], 100, 5 * MS, 300);
        world.run(Duration::from_secs(2));
        let (first, since) = (world.messages.len(), world.counts());
        for n in 0..1000 {
            world.publish([0, 7, 14, 21][n % 4], size);
        }
        world.run(Duration::from_secs(60));
        world.report("burst", first, since);
        assert_eq!(world.coverage(0), 1.0);
        assert!(world.copies_since(since) <= 1.1);
    }
}

#[test]
fn a_stalled_link_loses_nothing_and_blocks_nobody() {
    let mut world = World::random(12, 3, 10, (1, 10));
    stream(&mut world, &[0], 20, 10 * MS, 300);
    let (slow, _) = world.links_of(0)[0];
    world.slow(slow, 1000);
    let (first, since) = (world.messages.len(), world.counts());
    let mut refused = 0;
    for _ in 0..1000 {
        refused += usize::from(!world.ready(0));
        world.publish(0, 2000);
        world.run(2 * MS);
    }
    world.run(Duration::from_secs(10));
    world.report("stalled link", first, since);
    assert_eq!(world.coverage(0), 1.0);
    assert_eq!(refused, 0, "one stalled neighbor never blocks");
    assert!(world.copies_since(since) <= 1.2);
}

#[test]
fn what_is_published_alone_goes_out_to_the_first_neighbors() {
    let mut world = World::new(6, 11);
    for _ in 0..5 {
        assert_eq!(world.publish(0, 300), 0);
    }
    world.run(Duration::from_secs(600));
    for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 5), (0, 1), (0, 3)] {
        world.connect(from, to, 5 * MS);
        world.run(Duration::from_secs(1));
    }
    assert_eq!(world.coverage(0), 1.0);
    assert!(world.ready(0));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::random(20, 4, seed, (1, 20));
        for _ in 0..100 {
            let node = world.rng.random_range(0..20);
            world.publish(node, 300);
            world.run(3 * MS);
        }
        world.kill(5, false);
        world.run(Duration::from_secs(5));
        let mut all = Vec::new();
        for node in &world.nodes {
            node.bench.stats.broadcast.each(|_, value| all.push(value));
        }
        all
    };
    assert_eq!(run(12), run(12));
    assert_ne!(run(12), run(13));
}
