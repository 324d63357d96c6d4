//! Every cap, hit.

use super::*;

#[test]
fn headers_whose_body_is_wanted_are_capped_in_all_by_author_by_link_and_in_bytes() {
    let config = Config {
        max_wanted: 20,
        max_per_author: 8,
        max_per_link: 12,
        ..Config::default()
    };
    let mut it = Fixture::new(3, config);
    for n in 1..=10 {
        it.head(1, &large(9, n, 100), false);
    }
    assert_eq!(it.part.wanted.len(), 8, "of one author");
    for n in 1..=10 {
        it.head(1, &large(10, n, 100), false);
    }
    assert_eq!(it.part.wanted.len(), 12, "over one link");
    for n in 1..=8 {
        it.head(2, &large(11, n, 100), false);
        it.head(3, &large(12, n, 100), true);
    }
    assert_eq!(it.part.wanted.len(), 20, "in all");
    assert_eq!(it.bench.stats.bodies.wanted_full, 2 + 6 + 8);
    let refused = it.asks().into_iter().filter(|ask| *ask == (3, u16::MAX, 0));
    assert_eq!(refused.count(), 4, "what would follow is not let come");
    // Links that close, and time, give all of it back.
    it.wait(Duration::from_secs(40));
    assert!(it.part.wanted.is_empty());
    assert_eq!(it.part.memory(), (0, 0, 0));
    it.head(1, &large(9, 1, 100), false);
    assert_eq!(it.part.wanted.len(), 1);

    let config = Config {
        head_bytes: 10_000,
        ..Config::default()
    };
    let mut it = Fixture::new(1, config);
    for n in 1..=100 {
        it.head(1, &large(9, n, 3 * CHUNK_LEN), false);
        assert!(it.part.memory().1 <= 10_000);
    }
    assert!(it.bench.stats.bodies.wanted_full > 80);
}

#[test]
fn holders_of_a_body_are_capped_and_who_has_it_whole_finds_room() {
    let config = Config {
        max_holders: 4,
        ..Config::default()
    };
    let mut it = Fixture::new(9, config);
    let large = large(9, 1, CHUNK_LEN);
    it.head(1, &large, false);
    for link in 2..=8 {
        it.holds(link, &large, false, None, false);
    }
    it.holds(9, &large, true, None, false);
    let holders = &it.part.wanted[&large.id].holders;
    assert_eq!(holders.len(), 4);
    assert!(holders.iter().any(|it| it.link == LinkId(9)));
    assert!(
        holders.iter().any(|it| it.link == LinkId(1)),
        "the one that was asked stays"
    );
}

/// Ten authors send the largest bodies at once.
#[test]
fn memory_is_reserved_before_a_body_is_asked_for_and_all_come_in_the_end() {
    const LEN: usize = 16 * CHUNK_LEN;
    let config = Config {
        memory: 4 * LEN,
        ..Config::default()
    };
    let mut it = Fixture::new(10, config);
    let bodies: Vec<Large> = (1..=10).map(|n| large(100 + n, 1, LEN)).collect();
    for (link, large) in (1..).zip(&bodies) {
        it.bench.advance(MS);
        it.head(link, large, false);
    }
    assert_eq!(it.bench.stats.bodies.waited, 7);
    let mut order = Vec::new();
    while order.len() < 10 {
        let asked = it.asks();
        assert!(!asked.is_empty(), "after {order:?}");
        for (link, _, _) in asked {
            let large = &bodies[usize::try_from(link).unwrap() - 1];
            for index in 0..16 {
                assert!(
                    it.part.memory().0 <= 4 * LEN - LEN / 2,
                    "an eighth stays free"
                );
                it.chunk(link, large, index);
            }
            order.push(link);
        }
    }
    assert_eq!(order, (1..=10).collect::<Vec<_>>(), "the oldest first");
    assert_eq!(it.part.take_arrivals().len(), 10);
    assert_eq!(it.part.memory(), (0, 0, 0));
}

#[test]
fn an_author_with_much_in_reserve_lets_others_pass_and_small_bodies_do_not_wait() {
    const LEN: usize = 16 * CHUNK_LEN;
    let config = Config {
        memory: 4 * LEN,
        ..Config::default()
    };
    let mut it = Fixture::new(5, config);
    let many: Vec<Large> = (1..=8).map(|n| large(9, n, LEN)).collect();
    for large in &many {
        it.head(1, large, false);
    }
    let other = large(10, 1, LEN);
    it.head(2, &other, false);
    it.asks();
    for index in 0..16 {
        it.chunk(1, &many[0], index);
    }
    assert_eq!(it.asks(), [(2, 0, 16)]);
    // The eighth kept free takes bodies of one chunk.
    let small = large(9, 20, CHUNK_LEN);
    it.head(3, &small, false);
    assert_eq!(it.asks(), [(3, 0, 1)]);
}

#[test]
fn a_body_larger_than_the_memory_comes_alone() {
    let config = Config {
        memory: CHUNK_LEN,
        ..Config::default()
    };
    let mut it = Fixture::new(2, config);
    let (a, b) = (large(9, 1, 4 * CHUNK_LEN), large(10, 1, 4 * CHUNK_LEN));
    it.head(1, &a, false);
    it.head(2, &b, false);
    assert_eq!(it.asks(), [(1, 0, 4)]);
    for index in 0..4 {
        it.chunk(1, &a, index);
    }
    assert_eq!(it.asks(), [(2, 0, 4)]);
}

/// Headers of bodies that nobody serves hold their memory for one wait only while others want it.
#[test]
fn bodies_that_do_not_come_let_others_pass() {
    const LEN: usize = 4 * CHUNK_LEN;
    let config = Config {
        memory: 2 * LEN,
        ..Config::default()
    };
    let mut it = Fixture::new(3, config);
    for n in 1..=20 {
        it.head(1, &large(100 + n, 1, LEN), false);
    }
    let good = large(9, 1, LEN);
    it.head(2, &good, false);
    let mut asked = None;
    for step in 0..1000 {
        it.wait(Duration::from_millis(10));
        if it.asks().contains(&(2, 0, 4)) {
            asked = Some(step);
            break;
        }
    }
    let asked = asked.expect("its turn comes");
    assert!(asked < 500, "after {asked} x 10 ms");
    for index in 0..4 {
        it.chunk(2, &good, index);
    }
    assert_eq!(it.part.take_arrivals().len(), 1);
    it.wait(Duration::from_secs(120));
    assert!(it.part.wanted.is_empty(), "and they end");
    assert_eq!(it.part.memory(), (0, 0, 0));
}

#[test]
fn what_nobody_asked_for_is_dropped_within_a_budget_and_then_a_flood() {
    let config = Config {
        unasked_burst: 10 * CHUNK_LEN as u64,
        ..Config::default()
    };
    let mut it = Fixture::new(1, config);
    for n in 0..36 {
        let large = large(9, n + 1, CHUNK_LEN);
        it.chunk(1, &large, 0);
        assert!(it.part.early.len() <= 24, "it may have overtaken its head");
        let flood = !it.part.take_faults().is_empty();
        assert_eq!(flood, n >= 24 + 9, "{n}");
    }
    assert_eq!(it.bench.stats.bodies.unasked, 12);
    assert!(it.part.wanted.is_empty());
}

#[test]
fn chunks_that_wait_for_their_head_are_capped_over_all_links() {
    let mut it = Fixture::new(60, Config::default());
    for n in 0..2500 {
        it.chunk(n % 60 + 1, &large(9, n + 1, 100), 0);
        assert!(it.part.early.len() <= 2048);
    }
    it.close(60);
    assert!(it.part.early.len() < 2048);
    it.wait(Duration::from_secs(1));
    assert_eq!(it.part.early.len(), 0);
}

#[test]
fn subscriptions_of_one_link_are_capped() {
    let config = Config {
        max_jobs: 8,
        ..Config::default()
    };
    let mut it = Fixture::new(2, config);
    for n in 1..=20 {
        let body = large(9, n, 100);
        it.head(2, &body, false);
        it.want(1, &body, 0, 1);
    }
    assert_eq!(it.part.peers[&LinkId(1)].jobs.len(), 8);
    assert_eq!(it.part.subscribers.len(), 8);
    assert_eq!(it.bench.stats.bodies.not_served, 12);
}

#[test]
fn whole_bodies_kept_for_slow_subscribers_are_capped_in_bytes() {
    const LEN: usize = 16 * CHUNK_LEN;
    let config = Config {
        pinned: 3 * LEN,
        ..Config::default()
    };
    let mut it = Fixture::new(1, config);
    for n in 1..=10 {
        let large = large(9, n, LEN);
        it.at_hand(&large);
        it.want(1, &large, 0, 16); // and never reads
        assert!(it.part.memory().2 <= 3 * LEN);
    }
    assert_eq!(it.bench.stats.bodies.evicted, 7);
    assert_eq!(it.part.peers[&LinkId(1)].jobs.len(), 3);
    let now = it.bench.now.mono;
    assert!(!it.part.ready_to_publish(now, 3 * LEN));
    it.close(1);
    assert_eq!(it.part.memory(), (0, 0, 0));
    assert!(it.part.ready_to_publish(now, 3 * LEN));
}

#[test]
fn a_subscriber_that_never_reads_does_not_stop_publishing() {
    let mut it = Fixture::new(1, Config::default());
    let large = large(9, 1, 40 * CHUNK_LEN);
    it.at_hand(&large);
    it.want(1, &large, 0, 40);
    let pinned = large.body.len();
    assert!(!it.part.ready_to_publish(it.bench.now.mono, pinned));
    it.bench.advance(Duration::from_secs(2));
    assert!(it.part.ready_to_publish(it.bench.now.mono, pinned));
}

#[test]
fn few_bodies_are_read_from_the_store_at_once() {
    let mut it = Fixture::new(2, Config::default());
    let bodies: Vec<Large> = (1..=10).map(|n| large(9, n, CHUNK_LEN)).collect();
    for large in &bodies {
        it.want(1, large, 0, 1);
    }
    for large in &bodies {
        assert!(it.loads.len() <= 2);
        it.loaded(Some(large));
        it.room(1);
    }
    assert_eq!(it.served().len(), 10);
    assert_eq!(it.bench.stats.bodies.loads, 10);
    assert!(it.part.load_queue.is_empty());
}

#[test]
fn who_only_takes_is_served_within_a_budget() {
    let config = Config {
        serve_burst: 10 * (CHUNK_LEN as u64 + 100),
        serve_rate: 0,
        ..Config::default()
    };
    let mut it = Fixture::new(2, config);
    let large = large(9, 1, CHUNK_LEN);
    it.at_hand(&large);
    let take = |it: &mut Fixture, times: usize| {
        for _ in 0..times {
            it.want(1, &large, 0, 1);
            it.room(1);
        }
        it.served().len()
    };
    assert_eq!(take(&mut it, 30), 10);
    assert_eq!(it.bench.stats.bodies.over_budget, 20);
    assert!(it.part.subscribers.is_empty());
    // One copy of each body that is published or comes here, and twice what it brings.
    it.news(News::Published {
        len: large.body.len() + 100,
    });
    assert_eq!(take(&mut it, 5), 1);
    let other = self::large(10, 1, CHUNK_LEN);
    it.head(1, &other, false);
    it.chunk(1, &other, 0);
    assert_eq!(take(&mut it, 9), 3);
}

#[test]
fn rows_read_for_one_link_are_paced() {
    let config = Config {
        stored_burst: 4 * CHUNK_LEN as u64,
        stored_rate: CHUNK_LEN as u64,
        ..Config::default()
    };
    let mut it = Fixture::new(1, config);
    let large = large(9, 1, 6 * CHUNK_LEN);
    it.want(1, &large, 0, 6);
    it.loaded(Some(&large));
    assert_eq!(it.served().len(), 3);
    it.wait(Duration::from_secs(10));
    assert_eq!(it.served().len(), 3, "none is dropped");
    assert_eq!(it.bench.stats.bodies.over_budget, 0);
}
