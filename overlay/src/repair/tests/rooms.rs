//! Whole rooms over links.

use super::*;

#[test]
fn two_equal_nodes_exchange_one_small_frame_each_way_a_period() {
    let mut world = World::new(2);
    let author = identity(50);
    for n in 1..=100 {
        let message = message(&author, n, n - 1, 100_000 - n);
        world.nodes.iter_mut().for_each(|node| node.has(&message));
    }
    world.connect(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.frames_of(wire::tag::RECONCILE), 2);
    assert!(world.bytes_of(wire::tag::RECONCILE) < 250);
    world.run(Duration::from_secs(300));
    // Each of the two starts one about every 30 s.
    let frames = world.frames_of(wire::tag::RECONCILE);
    assert!((30..=60).contains(&frames), "{frames}");
    assert_eq!(world.frames_of(wire::tag::FETCH), 0);
    assert!(world.bytes_of(wire::tag::RECONCILE) < frames * 125);
}

#[test]
fn a_joiner_gets_everything_in_order() {
    let mut world = World::new(2);
    let authors = [identity(50), identity(51), identity(52)];
    for n in 1..=400 {
        for author in &authors {
            let message = message(author, n, n - 1, 1_000_000 - n * 1000);
            world.nodes[1].has(&message);
        }
    }
    world.connect(0, 1);
    world.run(Duration::from_secs(20));
    assert_eq!(world.nodes[0].ids(), world.nodes[1].ids());
    assert_eq!(world.nodes[0].delivered.len(), 1200);
    assert!(world.nodes[0].delivered.iter().all(|(_, gap)| !gap));
    assert_eq!(world.nodes[0].bench.stats.repair.unasked, 0);
    assert_eq!(world.nodes[0].bench.stats.messages.held, 0);
}

/// A hundred thousand retained messages, ten of them missing at whoever joins: all frames but the messages themselves.
#[test]
fn a_joiner_that_lacks_little_pays_for_little() {
    let mut world = World::new(2);
    for n in 0..100_000 {
        for node in &mut world.nodes {
            node.messages.put(sets::point(n), true);
        }
    }
    for n in 1..=10 {
        let message = message(&identity(50), n, n - 1, 9_990_000 - n * 700_000);
        world.nodes[1].has(&message);
    }
    world.connect(0, 1);
    world.run(Duration::from_secs(5));
    let expected: Vec<_> = (1..=10).map(|n| (n, false)).collect();
    assert_eq!(world.nodes[0].delivered, expected);
    let overhead = [
        wire::tag::RECONCILE,
        wire::tag::FETCH,
        wire::tag::FETCH_MISSING,
    ];
    let bytes: u64 = overhead.iter().map(|tag| world.bytes_of(*tag)).sum();
    let frames: u64 = overhead.iter().map(|tag| world.frames_of(*tag)).sum();
    println!("{bytes} bytes in {frames} frames");
    assert!(bytes <= 3 * 32 * 10 + 4096, "{bytes}");
    assert!(frames < 2 * 4, "{frames}, and the messages");
    assert_eq!(world.nodes[0].bench.stats.repair.sketches_solved, 1);
}

/// Everything is missing: what is exchanged beside the messages, and the messages once.
#[test]
fn a_joiner_that_lacks_all_pays_for_the_messages() {
    // Its id is listed (39 bytes) and asked for (32), which weighs on short ones.
    for (size, most) in [(256, 1.2), (1024, 1.07), (8192, 1.01)] {
        let mut world = World::new(2);
        for n in 1..=1000 {
            let message = sized(&identity(50), n, n - 1, 2_000_000 - n * 1000, size);
            world.nodes[1].has(&message);
        }
        world.connect(0, 1);
        world.run(Duration::from_secs(20));
        assert_eq!(world.nodes[0].delivered.len(), 1000);
        let all: u64 = world.sent.values().map(|(_, bytes)| bytes).sum();
        let messages = world.bytes_of(wire::tag::GOSSIP);
        let ratio = all as f64 / messages as f64;
        println!("{size} bytes of payload: {ratio:.3}");
        assert!(ratio <= most, "{size} bytes of payload: {ratio:.3}");
    }
}

#[test]
fn both_ends_of_a_healed_partition_become_equal() {
    let mut world = World::new(4);
    world.connect(0, 1);
    world.connect(2, 3);
    for n in 1..=300 {
        let here = message(&identity(50), n, n - 1, 1_000_000 - n * 1000);
        let there = message(&identity(51), n, n - 1, 1_000_000 - n * 1000 - 500);
        let everywhere = message(&identity(52), n, n - 1, 2_000_000 - n * 1000);
        for (node, mine) in [(0, &here), (1, &here), (2, &there), (3, &there)] {
            world.nodes[node].has(mine);
            world.nodes[node].has(&everywhere);
        }
    }
    world.run(Duration::from_secs(1));
    world.connect(1, 2);
    world.run(Duration::from_secs(10));
    assert_eq!(world.nodes[1].ids().len(), 900);
    assert_eq!(world.nodes[1].ids(), world.nodes[2].ids());
    // Without anybody passing on, the others get it at the next periods.
    world.run(Duration::from_secs(120));
    assert_eq!(world.nodes[0].ids(), world.nodes[3].ids());
    for node in &world.nodes {
        assert!(node.delivered.iter().all(|(_, gap)| !gap));
        assert_eq!(node.delivered.len(), 900, "once each");
    }
    let fetched: u64 = world
        .nodes
        .iter()
        .map(|node| node.bench.stats.repair.fetched)
        .sum();
    assert_eq!(
        fetched,
        4 * 300,
        "each message once to each node that lacked it"
    );
}

#[test]
fn a_lost_frame_is_repaired_within_a_period() {
    let mut world = World::new(2);
    world.connect(0, 1);
    world.run(Duration::from_secs(1));
    for node in &mut world.nodes {
        node.bench.now.unix_ms += 6_000; // what follows is old enough to be compared
    }
    let lost = message(&identity(50), 1, 0, 0);
    world.nodes[1].has(&lost);
    world.run(Duration::from_secs(38 + 8)); // a period, and the wait for a visit
    assert_eq!(world.nodes[0].delivered, [(1, false)]);
}

/// Long before the next period, and although it is too fresh to be compared otherwise.
#[test]
fn whoever_brings_a_message_is_asked_for_its_authors_previous_one() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.run(Duration::from_secs(10));
    for node in &mut world.nodes {
        node.bench.now.unix_ms = START_UNIX_MS;
    }
    let author = identity(50);
    let all: Vec<_> = (1..=3)
        .map(|n| message(&author, n, n - 1, 300 - n))
        .collect();
    all.iter().for_each(|message| world.nodes[1].has(message));
    // The first and the third were pushed to us as well, the second was lost.
    for mut arrival in [all[0].clone(), all[2].clone()] {
        arrival.from = Some((link, peer(1)));
        let node = &mut world.nodes[0];
        node.messages.on_arrival(arrival, &mut node.bench.cx());
    }
    world.run(Duration::from_millis(990));
    assert_eq!(world.nodes[0].delivered, [(1, false)]);
    world.run(Duration::from_millis(10) + LATENCY * 5);
    let expected = [(1, false), (2, false), (3, false)];
    assert_eq!(world.nodes[0].delivered, expected);
    assert_eq!(world.nodes[0].bench.stats.repair.holes, 1);
}

#[test]
fn an_author_of_endless_holes_brings_about_few_sessions() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.run(Duration::from_secs(10));
    for n in 1..=300 {
        let mut arrival = message(&identity(50), 2 * n, 2 * n - 1, 0);
        arrival.from = Some((link, peer(1)));
        let node = &mut world.nodes[0];
        node.messages.on_arrival(arrival, &mut node.bench.cx());
        world.run(Duration::from_millis(200));
    }
    let holes = world.nodes[0].bench.stats.repair.holes;
    assert!((3..=8).contains(&holes), "{holes} in a minute");
    assert_eq!(world.nodes[1].bench.stats.repair.sessions_refused, 0);
}

#[test]
fn what_is_fresh_is_left_to_spread() {
    let mut world = World::new(2);
    let fresh = message(&identity(50), 1, 0, 4_000);
    world.nodes[1].has(&fresh);
    world.connect(0, 1);
    world.run(Duration::from_millis(900));
    assert!(world.nodes[0].delivered.is_empty());
    assert_eq!(world.frames_of(wire::tag::RECONCILE), 2);
    // But a new neighbor is asked again when it had time to.
    world.run(Duration::from_secs(7));
    assert_eq!(world.nodes[0].delivered, [(1, false)]);
}

#[test]
fn a_silent_link_is_given_up_and_others_are_asked() {
    let mut world = World::new(3);
    for n in 1..=400 {
        let message = message(&identity(50), n, n - 1, 1_000_000 - n * 1000);
        world.nodes[1].has(&message);
        world.nodes[2].has(&message);
    }
    let silent = world.connect(0, 1);
    let honest = world.connect(0, 2);
    // Once it has listed what it has, the first link falls silent.
    for _ in 0..200 {
        world.run(Duration::from_millis(1));
        if world.frames_of(wire::tag::FETCH) > 0 {
            world.mute.insert((1, silent));
        }
    }
    assert!(world.mute.contains(&(1, silent)));
    world.run(Duration::from_secs(8));
    assert_eq!(world.nodes[0].ids().len(), 400);
    assert!(world.nodes[0].bench.stats.repair.fetch_timeouts > 0);
    let before = world.nodes[0].delivered.len();
    assert_eq!(before, 400);
    world.cut(honest);
    world.cut(silent);
    assert_eq!(world.nodes[0].repair.fetch.len(), 0);
    assert_eq!(world.nodes[0].repair.fetch.in_flight(), 0);
}

#[test]
fn a_link_that_goes_away_amid_a_fetch_costs_nothing() {
    let mut world = World::new(3);
    for n in 1..=2000 {
        let message = message(&identity(50), n, n - 1, 3_000_000 - n * 1000);
        world.nodes[1].has(&message);
        world.nodes[2].has(&message);
    }
    let first = world.connect(0, 1);
    while world.nodes[0].delivered.is_empty() {
        world.run(Duration::from_millis(10));
    }
    world.cut(first);
    assert!(world.nodes[0].delivered.len() < 2000);
    world.connect(0, 2);
    world.run(Duration::from_secs(10));
    assert_eq!(world.nodes[0].delivered.len(), 2000);
}

#[test]
fn what_a_node_lists_but_no_longer_has_is_asked_for_once() {
    let mut world = World::new(2);
    for n in 1..=20 {
        let message = message(&identity(50), n, n - 1, 1_000_000 - n * 1000);
        world.nodes[1].has(&message);
    }
    // Rows that vanished behind the node's back, and frames too old to be cached.
    world.nodes[1].log.clear();
    world.run(Duration::from_secs(61));
    world.connect(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[0].bench.stats.repair.fetch_missing, 20);
    let fetches = world.frames_of(wire::tag::FETCH);
    world.run(Duration::from_secs(200));
    assert_eq!(world.frames_of(wire::tag::FETCH), fetches);
    assert_eq!(world.nodes[1].bench.stats.repair.not_served, 20);
}

#[test]
fn a_server_keeps_to_its_budget_its_queue_and_its_reads() {
    let mut world = World::new(2);
    world.nodes[1].bench.config.repair = Config {
        serve_burst: 66_000,
        serve_per_sec: 10_000,
        max_queue: 200,
        max_loads: 4,
        ..Config::default()
    };
    for n in 1..=1000 {
        let message = message(&identity(50), n, n - 1, 2_000_000 - n * 1000);
        world.nodes[1].has(&message);
    }
    world.run(Duration::from_secs(61)); // out of the cache
    world.connect(0, 1);
    let start = world.bytes_of(wire::tag::GOSSIP);
    let mut most = 0;
    for second in 1..=8u64 {
        world.run(Duration::from_secs(1));
        let bytes = world.bytes_of(wire::tag::GOSSIP) - start;
        assert!(
            bytes <= 66_000 + second * 10_000,
            "{bytes} after {second} s"
        );
        most = bytes;
    }
    assert!(most > 100_000, "{most}");
    let stats = &world.nodes[1].bench.stats.repair;
    assert!(stats.not_served > 0, "more was asked than the queue holds");
    assert!(stats.loads >= stats.served);
    world.run(Duration::from_secs(400));
    assert_eq!(world.nodes[0].delivered.len(), 1000, "in the end all of it");
}

#[test]
fn reads_that_the_store_does_not_answer_stay_few() {
    let mut world = World::new(2);
    for n in 1..=300 {
        let message = message(&identity(50), n, n - 1, 1_000_000 - n * 1000);
        world.nodes[1].has(&message);
    }
    world.run(Duration::from_secs(61));
    world.nodes[1].store_stalls = true;
    world.connect(0, 1);
    world.run(Duration::from_secs(3));
    assert_eq!(world.nodes[1].waiting_loads.len(), 8);
    world.nodes[1].store_stalls = false;
    world.run(Duration::from_secs(40));
    assert_eq!(world.nodes[0].delivered.len(), 300);
}

#[test]
fn unasked_messages_and_bad_signatures_do_not_get_in() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.run(Duration::from_secs(1));
    let message = message(&identity(50), 1, 0, 1_000_000);
    let node = &mut world.nodes[0];
    let Message::Gossip(gossip) = wire::decode(&message.frame).unwrap() else {
        panic!("no gossip");
    };
    let mut forged = *gossip.clone();
    forged.signed.signature[0] ^= 1;
    let give = |node: &mut Node, gossip: Gossip| {
        node.repair.on_gossip(
            link,
            peer(1),
            gossip,
            message.frame.clone(),
            &node.messages,
            &mut node.bench.cx(),
        )
    };
    assert_eq!(give(node, *gossip.clone()), Ok(()));
    assert_eq!(node.bench.stats.repair.unasked, 1);
    // Asked for, but forged: the link is at fault, and the true one can still come.
    let cx = &mut node.bench.cx();
    node.repair.fetch.want(message.point(), link, cx);
    node.repair.fetch.ask(&node.messages, &mut node.bench.cx());
    assert_eq!(
        give(node, forged),
        Err(crate::neighbors::Code::BadSignature)
    );
    assert!(!node.messages.knows(&message.point()));
    assert_eq!(node.repair.fetch.len(), 0);
    assert_eq!(node.repair.take_arrivals().len(), 0);
}

#[test]
fn wants_are_capped_per_link_and_in_all() {
    let mut world = World::new(4);
    let links: Vec<_> = (1..4).map(|n| world.connect(0, n)).collect();
    let node = &mut world.nodes[0];
    node.bench.config.repair.max_wants = 3000;
    node.bench.config.repair.max_wants_per_link = 1300;
    let mut n = 0u64;
    for link in &links {
        for _ in 0..2000 {
            n += 1;
            let point = sets::point(n);
            node.repair.fetch.want(point, *link, &mut node.bench.cx());
        }
    }
    assert_eq!(node.repair.fetch.len(), 3000);
    assert_eq!(node.bench.stats.repair.wants_full, 700 + 700 + 1600);
    assert!(
        !node
            .repair
            .fetch
            .has_room(links[0], &node.bench.config.repair)
    );
    node.repair.fetch.ask(&node.messages, &mut node.bench.cx());
    assert_eq!(node.repair.fetch.in_flight(), 3 * 256);
    for link in links {
        world.cut(link);
    }
    assert_eq!(world.nodes[0].repair.fetch.len(), 0);
    assert_eq!(world.nodes[0].repair.fetch.in_flight(), 0);
}

#[test]
fn sessions_that_both_ends_begin_at_once_do_not_block_each_other() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.run(Duration::from_secs(1));
    let lost = message(&identity(50), 1, 0, 100_000);
    world.nodes[0].has(&lost);
    for node in &mut world.nodes {
        let (repair, messages) = (&mut node.repair, &node.messages);
        assert!(repair.start(
            link,
            session::Scope::Whole,
            messages,
            &node.links,
            &mut node.bench.cx()
        ));
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[1].delivered, [(1, false)]);
    assert!(world.nodes.iter().all(|node| node.repair.is_idle()));
}

#[test]
fn a_peer_that_opens_sessions_without_end_is_not_answered() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.run(Duration::from_secs(1));
    let node = &mut world.nodes[0];
    for session in 0..100 {
        let frame = Reconcile {
            session,
            key: [1; 16],
            start: session::date(0),
            initiator: true,
            ranges: Bounded::default(),
            low_edge_ms: 0,
        };
        let (messages, links) = (&node.messages, &node.links);
        node.repair
            .on_reconcile(link, frame, messages, links, &mut node.bench.cx())
            .unwrap();
    }
    assert!(node.bench.stats.repair.sessions_answered <= 5);
    assert!(node.bench.stats.repair.sessions_refused >= 95);
}

#[test]
fn a_session_that_gets_no_answer_is_given_up() {
    let mut world = World::new(2);
    let link = world.connect(0, 1);
    world.mute.insert((1, link));
    world.run(Duration::from_secs(120));
    assert!(world.nodes[0].bench.stats.repair.sessions_cut > 0);
}

#[test]
fn edges_and_clocks_that_differ_are_no_difference() {
    let mut world = World::new(2);
    for n in 1..=200 {
        let message = message(&identity(50), n, n - 1, 86_400_000 - n * 20_000);
        world.nodes.iter_mut().for_each(|node| node.has(&message));
    }
    // The second node's clock is a minute ahead, and so is its edge.
    world.nodes[1].bench.now.unix_ms += 60_000;
    world.run(Duration::from_secs(60));
    let link = world.connect(0, 1);
    for (node, offset) in [(0, 60_000), (1, -60_000)] {
        let set = |link: &mut Link| link.clock_offset_ms = offset;
        world.nodes[node].links.update(link, set);
    }
    world.run(Duration::from_secs(300));
    for node in &world.nodes {
        assert_eq!(node.bench.stats.repair.fetched, 0);
        assert_eq!(node.bench.stats.repair.missing, 0);
    }
    let frames = world.frames_of(wire::tag::RECONCILE);
    assert!(frames < 60, "{frames}");
}

#[test]
fn who_does_not_read_keeps_nobody_from_being_served() {
    let mut world = World::new(2);
    world.nodes[0].bench.config.repair.max_loads = 8;
    let all: Vec<_> = (1..=20)
        .map(|n| message(&identity(50), n, n - 1, 1_000_000 - n * 1000))
        .collect();
    for message in &all {
        world.nodes.iter_mut().for_each(|node| node.has(message));
    }
    world.run(Duration::from_secs(61)); // out of the cache
    let links: Vec<_> = (0..6).map(|_| world.connect(1, 0)).collect();
    let node = &mut world.nodes[0];
    let mut served = 0;
    for link in &links {
        let stalls = *link != links[5];
        if stalls {
            node.bench.out.set_room(*link, Lane::Bulk, 100);
        }
        let fetch = wire::Fetch {
            ids: Bounded::truncated(all.iter().map(|message| message.id.to_bytes()).collect()),
        };
        node.repair
            .on_fetch(*link, fetch, &node.messages, &mut node.bench.cx())
            .unwrap();
        let sent = node.act();
        assert!(sent.iter().all(|(to, _, _)| to == link));
        assert_eq!(sent.len(), if stalls { 0 } else { 20 });
        served += sent.len();
    }
    assert_eq!(served, 20);
    // When they read again they are served too.
    for link in &links[..5] {
        node.bench.out.set_room(*link, Lane::Bulk, 100_000);
        node.repair
            .on_room(*link, Lane::Bulk, &node.messages, &mut node.bench.cx());
        assert_eq!(node.act().len(), 20);
    }
}
