//! Authors' order, holes, equivocation.

use super::*;

#[test]
fn a_hole_is_waited_for_and_filled() {
    let mut node = Node::ready(Config::default());
    node.receive(&message(1, 1, 0), false);
    node.receive(&message(1, 4, 3), false);
    node.receive(&message(1, 3, 2), false);
    assert_eq!(node.delivered_seqs(), [(1, false)]);
    assert_eq!(
        node.messages.take_accepted().len(),
        3,
        "passed on without waiting"
    );
    assert_eq!(node.messages.decided().len(), 1, "waiting is not decided");
    let admission = node.receive(&message(1, 4, 3), false);
    assert!(matches!(admission, Admission::Duplicate(_)));
    node.receive(&message(1, 2, 1), false);
    assert_eq!(node.delivered_seqs(), [(2, false), (3, false), (4, false)]);
    assert_eq!(node.messages.authors.held(), (0, 0));
    assert!(node.messages.pending.is_empty());
}

/// Its store was lost (it knows no earlier message of its own), or set back (it knows an older one than the last).
#[test]
fn an_author_that_begins_anew_is_delivered_in_order_without_a_wait() {
    for prev in [0, 2] {
        let mut node = Node::ready(Config::default());
        for (seq, prev) in [(1, 0), (2, 1), (3, 2)] {
            node.receive(&message(1, seq, prev), false);
        }
        node.deliveries();
        let again = START * 1000;
        node.receive(&message(1, again + 1, again), false);
        node.receive(&message(1, again, prev), false);
        node.receive(&message(1, again + 2, again + 1), false);
        let delivered = node.delivered_seqs();
        assert_eq!(delivered, [0, 1, 2].map(|n| (again + n, false)));
        assert_eq!(node.messages.authors.held(), (0, 0));
    }
    // Only what names a message that nobody has waits, and only itself.
    let mut node = Node::ready(Config::default());
    node.receive(&message(1, 3, 0), false);
    node.receive(&message(1, 100, 4), false);
    node.receive(&message(1, 101, 100), false);
    assert_eq!(node.delivered_seqs(), [(3, false)]);
    node.wait(Duration::from_secs(2));
    node.receive(&message(1, 102, 101), false);
    let delivered = node.delivered_seqs();
    assert_eq!(delivered, [(100, true), (101, false), (102, false)]);
}

#[test]
fn a_hole_is_given_up_after_two_seconds_and_marked() {
    let mut node = Node::ready(Config::default());
    node.receive(&message(1, 1, 0), false);
    node.receive(&message(1, 4, 3), false);
    node.receive(&message(1, 6, 5), false);
    node.wait(Duration::from_millis(1000));
    node.receive(&message(1, 7, 6), false);
    node.wait(Duration::from_millis(999));
    assert_eq!(node.delivered_seqs(), [(1, false)]);
    assert_eq!(
        node.messages.next_timeout(),
        Some(node.bench.now.mono + Duration::from_millis(1))
    );
    node.wait(Duration::from_millis(1));
    assert_eq!(node.delivered_seqs(), [(4, true), (6, true), (7, false)]);
    // What comes late is still delivered, in its place in the log.
    node.receive(&message(1, 2, 1), false);
    node.receive(&message(1, 5, 4), false);
    node.receive(&message(1, 3, 2), false);
    assert_eq!(node.delivered_seqs(), [(2, false), (5, false), (3, false)]);
    assert_eq!(node.bench.stats.messages.gaps, 2);
}

#[test]
fn a_hole_that_repair_is_at_work_on_is_waited_for_longer_but_not_for_ever() {
    let mut node = Node::ready(Config::default());
    node.receive(&dated(1, 1, START), false);
    node.receive(&dated(1, 3, START + 200), false);
    node.wait(Duration::from_millis(999));
    assert_eq!(node.messages.take_holes(), []);
    node.wait(Duration::from_millis(1));
    let id = id(&dated(1, 3, START + 200)).to_bytes();
    let hole = Hole {
        link: LinkId(9),
        before: Point {
            unix_ms: START + 200,
            id,
        },
    };
    assert_eq!(node.messages.take_holes(), [hole]);
    // What it is at work on lies before the message that waits.
    node.sought = Some(point(START + 200));
    node.wait(Duration::from_secs(10));
    assert_eq!(node.delivered_seqs(), [(1, false)]);
    node.receive(&dated(1, 2, START + 100), true);
    assert_eq!(node.delivered_seqs(), [(2, false), (3, false)]);
    assert_eq!(node.messages.take_holes(), [], "told of once");

    // Another hole; repair finds nothing, then never comes to an end.
    node.receive(&dated(1, 5, START + 400), false);
    node.wait(Duration::from_secs(1));
    node.sought = Some(point(START + 401));
    node.wait(Duration::from_secs(1));
    assert_eq!(node.delivered_seqs(), [(5, true)], "that lies after it");
    node.sought = Some(point(START));
    node.receive(&dated(1, 7, START + 600), false);
    for _ in 0..299 {
        node.wait(Duration::from_millis(100));
    }
    assert_eq!(node.delivered_seqs(), []);
    node.wait(Duration::from_millis(100));
    assert_eq!(node.delivered_seqs(), [(7, true)]);
    assert_eq!(node.messages.authors.held(), (0, 0));
    assert!(node.bench.stats.messages.waited_on > 0);
}

#[test]
fn numbers_may_jump_and_never_refuse() {
    let mut node = Node::ready(Config::default());
    node.receive(&message(1, 10, 0), false);
    node.receive(&message(1, 5000, 10), false);
    node.receive(&message(1, u64::MAX, 5000), false);
    node.receive(&message(1, 3, 2), false);
    let seen = [(10, false), (5000, false), (u64::MAX, false), (3, true)];
    assert_eq!(node.delivered_seqs(), seen);
}

#[test]
fn a_first_message_of_an_unknown_author_waits_for_what_repair_may_bring() {
    let mut node = Node::ready(Config::default());
    node.receive(&message(1, 9, 8), false);
    assert!(node.deliveries().is_empty());
    for n in 7..=8 {
        node.receive(&message(1, n, if n == 7 { 0 } else { n - 1 }), true);
    }
    assert_eq!(node.delivered_seqs(), [(7, false), (8, false), (9, false)]);
}

#[test]
fn what_waits_is_capped_per_author_and_in_all() {
    let config = Config {
        max_held_per_author: 4,
        max_held: 10,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    for n in 0..6 {
        node.receive(&message(1, 10 + 2 * n, 9 + 2 * n), false);
    }
    // The fifth and the sixth each pushed the lowest out, and what they free nobody waits for.
    assert_eq!(node.delivered_seqs(), [(10, true), (12, true)]);
    assert_eq!(node.messages.authors.held().0, 4);
    for author in 2..=3 {
        for n in 0..4 {
            node.receive(&message(author, 10 + 2 * n, 9 + 2 * n), false);
            assert!(node.messages.authors.held().0 <= 10);
        }
    }
    assert_eq!(node.delivered_seqs(), [(14, true), (16, true)]);
    assert_eq!(node.bench.stats.messages.held_overflow, 4);
    node.wait(Duration::from_secs(2));
    assert_eq!(node.deliveries().len(), 10);
    assert_eq!(node.messages.authors.held(), (0, 0));
    assert_eq!(node.messages.next_timeout(), node.messages.next_retention());
}

#[test]
fn what_waits_is_capped_in_bytes() {
    let config = Config {
        max_held_bytes: 5000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    let author = identity(1);
    for n in 1..=9 {
        let body = entries(10 * n, 0, 1000);
        let message = sign(header(&author, 10 * n, 10 * n - 1, &body), &author);
        node.receive(&message, false);
        assert!(node.messages.authors.held().1 <= 5000);
    }
    assert_eq!(node.deliveries().len(), 6);
}

#[test]
fn tracked_authors_are_capped_and_established_ones_outlive_a_flood_of_fresh_ones() {
    let config = Config {
        max_authors: 4,
        established_after: Duration::from_secs(60),
        ..Config::default()
    };
    let mut node = Node::ready(config);
    node.receive(&message(1, 1, 0), false);
    node.wait(Duration::from_secs(60));
    node.receive(&message(1, 2, 1), false);
    for author in 2..=20 {
        node.receive(&message(author, 3, 2), false); // each waits for its 2
        assert!(node.messages.authors() <= 4);
    }
    assert_eq!(node.bench.stats.messages.authors_evicted, 16);
    // What an evicted author had waiting was delivered, with its gap.
    assert_eq!(
        node.deliveries()
            .iter()
            .filter(|d| d.seq == 3 && d.gap)
            .count(),
        16
    );
    node.receive(&message(1, 3, 2), false);
    assert_eq!(node.delivered_seqs(), [(3, false)], "still known");
    // An evicted author's ids are still seen.
    let admission = node.receive(&message(2, 3, 2), false);
    assert!(matches!(admission, Admission::Duplicate(_)));
}

/// The headers of the messages kept for the pair: those that are compared with other nodes.
fn kept(node: &Node) -> Vec<MessageId> {
    let all = node.messages.decided();
    all.range(point(0), point(u64::MAX))
        .map(|point| MessageId::from_bytes(point.id))
        .collect()
}

fn point(unix_ms: u64) -> Point {
    Point {
        unix_ms,
        id: [0; 32],
    }
}

#[test]
fn two_messages_with_one_number_are_both_delivered_flagged_and_proved() {
    let mut node = Node::ready(Config::default());
    let (a, b) = (salted(1, 1, 0, 1), salted(1, 1, 0, 2));
    node.receive(&a, false);
    node.receive(&b, false);
    let events = std::mem::take(&mut node.events);
    let proofs: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Equivocation { evidence } => Some(evidence),
            _ => None,
        })
        .collect();
    assert_eq!(proofs.len(), 1);
    let [first, second] = proofs[0].messages();
    assert!(id(first) < id(second));
    for signed in [first.signed(), second.signed()] {
        let network = NetworkId::from_name("test");
        assert!(
            signed
                .clone()
                .verify(&network, &mut node.bench.keys)
                .is_ok()
        );
    }
    let flags: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delivered(delivery) => Some(delivery.equivocation),
            _ => None,
        })
        .collect();
    assert_eq!(flags, [false, true]);
    assert_eq!(node.messages.take_accepted().len(), 2);
    node.store();
    let kept: Vec<_> = node
        .stored
        .iter()
        .filter_map(|row| match row {
            Row::Evidence {
                found_unix_ms,
                evidence,
            } => Some((*found_unix_ms, &**evidence)),
            _ => None,
        })
        .collect();
    assert_eq!(kept, [(START, &**proofs[0])]);
}

#[test]
fn the_first_of_a_pair_is_read_from_the_store_when_it_is_no_longer_recent() {
    let mut node = Node::ready(Config::default());
    let (a, b) = (salted(1, 1, 0, 1), salted(1, 1, 0, 2));
    node.receive(&a, false);
    node.store();
    node.wait(Duration::from_secs(61));
    node.receive(&b, false);
    let (token, key) = node.loads.pop().unwrap();
    assert_eq!(key, Key::Message(id(&a)));
    node.deliveries();
    let row = node
        .stored
        .iter()
        .find(|row| matches!(row, Row::Message(stored) if stored.id == id(&a)))
        .cloned();
    let cx = &mut node.bench.cx();
    assert!(!node.messages.on_loaded(Token(u64::MAX), None, cx));
    assert!(node.messages.on_loaded(token, row.as_ref(), cx));
    node.drain();
    let [Event::Equivocation { evidence }] = &node.events[..] else {
        panic!("{:?}", node.events);
    };
    assert_eq!((evidence.author(), evidence.seq()), (peer(1), 1));
    assert_eq!(node.bench.stats.messages.evidence, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever order the versions of one number come in, and whatever else the author says, all nodes keep the two of
    /// least id, and say so once.
    #[test]
    fn all_nodes_keep_the_same_two(
        orders in prop::collection::vec(Just((0..7u64).collect::<Vec<_>>()).prop_shuffle(), 3),
        hole in any::<bool>(),
        restart_after in 0usize..8,
    ) {
        // With a hole before it, the versions wait first.
        let versions: Vec<_> = (0..7).map(|salt| salted(1, 5, if hole { 4 } else { 0 }, salt)).collect();
        let mut least: Vec<_> = versions.iter().map(|message| id(message)).collect();
        least.sort_unstable();
        least.truncate(2);
        for order in orders {
            let mut node = Node::ready(Config::default());
            let mut proofs = 0;
            for (n, version) in order.iter().enumerate() {
                node.receive(&versions[*version as usize], false);
                node.store();
                proofs += node.events.iter().filter(|event| matches!(event, Event::Equivocation { .. })).count();
                if n == restart_after && !hole {
                    node = node.restart(0);
                    node.store();
                    node.events.clear();
                } else {
                    node.events.clear();
                }
            }
            node.wait(Duration::from_secs(3));
            let mut pair = kept(&node);
            pair.sort_unstable();
            if restart_after == 7 || hole {
                prop_assert_eq!(&pair, &least);
                prop_assert_eq!(proofs, 1);
            } else {
                // After a restart what was displaced may still be compared, but the log agrees.
                let log: Vec<_> = pair.into_iter().filter(|id| {
                    node.messages.decided().is_logged(&Point { unix_ms: START, id: id.to_bytes() })
                }).collect();
                prop_assert_eq!(log, least.clone());
            }
            // Each of them is dropped on sight from now on.
            for version in &versions {
                let admission = node.receive(version, false);
                prop_assert!(!matches!(admission, Admission::Arrival(_)));
            }
        }
    }

    /// However the messages of one author come in, each is delivered once; and in order without a gap when nothing stays
    /// away for two seconds.
    #[test]
    fn any_order_of_arrival_is_put_right(
        order in Just((1..=40u64).collect::<Vec<_>>()).prop_shuffle(),
        twice in prop::collection::vec(0usize..40, 0..20),
    ) {
        let mut node = Node::ready(Config::default());
        let again: Vec<u64> = twice.iter().map(|n| order[*n]).collect();
        for n in order.into_iter().chain(again) {
            node.receive(&message(1, n, n - 1), false);
        }
        let expected: Vec<_> = (1..=40).map(|n| (n, false)).collect();
        prop_assert_eq!(node.delivered_seqs(), expected);
    }

    /// With messages lost for good, the others are delivered once each, and only what follows a lost one is marked.
    #[test]
    fn lost_messages_leave_marked_gaps(
        order in Just((1..=30u64).collect::<Vec<_>>()).prop_shuffle(),
        lost in prop::collection::btree_set(1u64..=30, 0..10),
        pauses in prop::collection::vec(0u64..900, 30),
    ) {
        let mut node = Node::ready(Config::default());
        for (n, pause) in order.into_iter().zip(pauses) {
            if !lost.contains(&n) {
                node.receive(&message(1, n, n - 1), false);
            }
            node.wait(Duration::from_millis(pause));
        }
        node.wait(Duration::from_secs(3));
        let deliveries = node.delivered_seqs();
        let mut seen: Vec<_> = deliveries.iter().map(|(n, _)| *n).collect();
        for (at, (n, gap)) in deliveries.iter().enumerate() {
            let there = *n == 1 || seen[..at].contains(&(n - 1));
            prop_assert_eq!(*gap, !there);
        }
        seen.sort_unstable();
        let expected: Vec<_> = (1..=30).filter(|n| !lost.contains(n)).collect();
        prop_assert_eq!(seen, expected);
    }
}
