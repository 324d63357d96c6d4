//! The window, the retention, fair shares, replays.

use std::collections::BTreeSet;

use super::*;

#[test]
fn live_messages_keep_a_margin_that_repair_does_not() {
    let mut node = Node::ready(Config::default());
    let edge = START - 24 * HOUR_MS;
    assert_eq!(node.messages.low_edge_ms(), edge, "at the first start");
    for (seq, (unix_ms, repaired, taken)) in (1..).zip([
        (edge - 1, true, false),
        (edge, true, true),
        (edge + LIVE_MARGIN_MS - 1, false, false),
        (edge + LIVE_MARGIN_MS, false, true),
        (START + AHEAD_MS, false, true),
        (START + AHEAD_MS + 1, false, false),
        (START + AHEAD_MS + 2, true, false),
        (u64::MAX, false, false),
        (0, true, false),
    ]) {
        let admission = node.receive(&dated(1, seq, unix_ms), repaired);
        let arrived = matches!(admission, Admission::Arrival(_));
        assert_eq!(arrived, taken, "{unix_ms} {admission:?}");
    }
    assert_eq!(node.bench.stats.messages.too_old, 3);
    assert_eq!(node.bench.stats.messages.too_new, 3);
}

#[test]
fn nothing_can_be_replayed_even_after_the_edge_has_passed_it_or_after_a_restart() {
    let mut node = Node::ready(Config::default());
    let messages: Vec<_> = (1..=48).map(|n| dated(1, n, START + n * 1000)).collect();
    for message in &messages {
        node.receive(message, false);
        node.wait(Duration::from_secs(1));
    }
    let mut delivered = node.deliveries().len();
    assert_eq!(delivered, 48);
    for _ in 0..30 {
        node.wait(Duration::from_secs(3600));
        node.store();
        for message in &messages {
            for repaired in [false, true] {
                let admission = node.receive(message, repaired);
                assert!(!matches!(admission, Admission::Arrival(_)));
            }
        }
        delivered += node.deliveries().len();
        node = node.restart(0);
        node.store();
    }
    assert_eq!(delivered, 48);
    assert!(node.messages.decided().is_empty(), "all have been swept");
    assert!(node.messages.low_edge_ms() > START);
}

#[test]
fn the_edge_only_rises_whatever_the_clock_does() {
    let mut node = Node::ready(Config::default());
    node.receive(&dated(1, 1, START), false);
    node.wait(Duration::from_secs(2 * 3600));
    let edge = node.messages.low_edge_ms();
    node.bench.now.unix_ms -= 10 * HOUR_MS;
    node.wait(Duration::from_secs(120));
    assert_eq!(node.messages.low_edge_ms(), edge);
    node.store();
    let node = node.restart(0);
    assert!(
        node.messages.low_edge_ms() >= edge - HOUR_MS,
        "written down now and then"
    );
}

/// A message of a given size on the heavy side.
fn large(author: u32, seq: u64, unix_ms: u64) -> Verified<MessageHeader> {
    let author = identity(author);
    let mut header = header(&author, seq, seq - 1, &entries(seq, 0, 10_000));
    header.published_unix_ms = unix_ms;
    sign(header, &author)
}

#[test]
fn a_full_log_loses_the_oldest_of_whoever_takes_most() {
    let config = Config {
        max_bytes: 300_000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    let quiet: Vec<_> = (1..=10).map(|n| dated(1, n, START)).collect();
    for message in &quiet {
        node.receive(message, false);
    }
    let mut pruned = 0;
    for n in 1..=100 {
        node.receive(&large(2, n, START), false);
        node.wait(Duration::from_millis(1));
        let logged = node.messages.decided().bytes();
        assert!(logged <= 300_000 + 10_500, "{logged}");
        for (_, row) in &node.unstored {
            if let Row::Forget { pruned: ids, .. } = row {
                pruned += ids.len();
            }
        }
        node.store();
    }
    assert!((70..=75).contains(&pruned), "{pruned}");
    for message in &quiet {
        let point = point_of(message, &id(message));
        assert!(
            node.messages.decided().is_logged(&point),
            "the quiet one keeps all"
        );
    }
    // What was pruned stays seen, after a restart too.
    let first = large(2, 1, START);
    let point = point_of(&first, &id(&first));
    assert!(!node.messages.decided().is_logged(&point));
    for node in [&mut node.restart(0), &mut node] {
        let admission = node.receive(&first, true);
        assert!(matches!(admission, Admission::Duplicate(_)));
        let points = node.messages.decided();
        assert_eq!(points.len(), 110, "nothing above the edge is forgotten");
    }
}

#[test]
fn many_fresh_keys_behind_one_link_weigh_as_one() {
    let config = Config {
        max_bytes: 300_000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    // Ten honest messages by one fresh author; the flood uses a new key for each of its messages.
    for n in 1..=10 {
        node.receive_from(3, gossip(&large(1, n, START)), false);
    }
    for n in 1..=60 {
        node.receive_from(4, gossip(&large(100 + n, 1, START)), false);
        node.wait(Duration::from_millis(1));
        node.store();
    }
    for n in 1..=10 {
        let message = large(1, n, START);
        let point = point_of(&message, &id(&message));
        assert!(node.messages.decided().is_logged(&point), "{n}");
    }
}

#[test]
fn a_flood_of_authors_takes_its_own_messages_out_of_the_log() {
    let config = Config {
        max_authors: 8,
        max_bytes: 300_000,
        established_after: Duration::from_secs(60),
        ..Config::default()
    };
    let mut node = Node::ready(config);
    node.receive(&large(1, 1, START), false);
    node.wait(Duration::from_secs(60));
    for n in 2..=12 {
        node.receive(&large(1, n, START), false);
    }
    // Half of them come with a hole before them, and are appended only when their author is evicted.
    for author in 100..200 {
        let key = identity(author);
        let prev = u64::from(author % 2);
        let message = sign(header(&key, 2, prev, &entries(2, 0, 10_000)), &key);
        node.receive_from(4, gossip(&message), false);
        node.wait(Duration::from_millis(1));
        node.store();
        assert!(node.messages.decided().bytes() <= 310_500);
    }
    for n in 1..=12 {
        let message = large(1, n, START);
        let point = point_of(&message, &id(&message));
        assert!(node.messages.decided().is_logged(&point), "{n}");
    }
    node.wait(Duration::from_secs(2));
    assert_eq!(node.messages.decided().len(), 112);
}

#[test]
fn a_log_with_too_many_messages_is_shortened_too() {
    let config = Config {
        max_messages: 64,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    for n in 1..=200 {
        node.receive(&dated(1, n, START), false);
        node.wait(Duration::from_millis(1));
        assert!(node.messages.decided().logged() <= 65);
        node.store();
    }
    assert_eq!(node.messages.decided().len(), 200);
}

#[test]
fn a_full_seen_set_raises_the_edge_but_keeps_three_minutes() {
    let config = Config {
        max_decided: 640,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    // One publisher alone, a message a second, beyond the cap: never refused.
    for n in 1..=1500 {
        let admission = node.receive(&dated(1, n, node.bench.now.unix_ms), false);
        assert!(matches!(admission, Admission::Arrival(_)), "{n}");
        node.wait(Duration::from_secs(1));
        node.store();
        assert!(node.messages.decided().len() <= 641);
    }
    assert_eq!(node.bench.stats.messages.over_share, 0);
    assert!(node.bench.stats.messages.squeezed > 0);
    let window = node.bench.now.unix_ms - node.messages.low_edge_ms();
    assert!((600_000..660_000).contains(&window), "{window}");
}

#[test]
fn beyond_that_whoever_holds_most_is_refused_first_and_there_is_an_end() {
    let config = Config {
        max_decided: 640,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    let mut seq = 0;
    while node.bench.stats.messages.over_share == 0 {
        seq += 1;
        node.receive_from(4, gossip(&dated(2, seq, START)), false);
        node.tick();
        node.store();
        assert!(seq < 1000);
    }
    assert!(seq > 640);
    // Others still get in, up to the hard end.
    for n in 1..=100 {
        node.receive_from(5, gossip(&dated(1, n, START)), false);
        node.tick();
        node.store();
    }
    assert_eq!(node.messages.decided().len(), 640 + 640 / 8);
    assert!(node.bench.stats.messages.over_share > 20);
    node.events.clear();
    node.publish(1, vec![Bytes::from_static(b"x")]);
    let busy = [(Token(1), Err(PublishError::Busy))];
    assert_eq!(node.published(), busy, "we are no exception");
    // Time heals it.
    node.wait(Duration::from_secs(181));
    node.wait(Duration::from_secs(1));
    let fresh = dated(2, 5000, node.bench.now.unix_ms);
    assert!(matches!(node.receive(&fresh, false), Admission::Arrival(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes, in whatever order, every cap holds, nothing is delivered twice, and what is counted is what is there.
    #[test]
    fn any_sequence_keeps_the_caps(
        steps in prop::collection::vec((0u8..8, 1u32..6, 1u64..40, 0u64..40, 0u64..4), 1..150),
    ) {
        let config = Config {
            max_bytes: 8_000,
            max_messages: 20,
            max_decided: 64,
            max_held_per_author: 3,
            max_held: 6,
            max_held_bytes: 3_000,
            max_authors: 3,
            max_verdicts: 2,
            recent_bytes: 2_000,
            validated_topics: [topic("checked")].into(),
            ..Config::default()
        };
        let mut node = Node::ready(config.clone());
        let mut delivered = BTreeSet::new();
        for (step, author, seq, prev, salt) in steps {
            match step {
                0 => node.wait(Duration::from_millis(prev * 100)),
                1 => node.store(),
                2 => node.wait(Duration::from_secs(prev * 30)),
                3 => {
                    node.store();
                    node = node.restart(0);
                }
                _ => {
                    let key = identity(author);
                    let body = entries(seq, salt, 100 * salt as usize);
                    let mut header = header(&key, seq, prev, &body);
                    header.published_unix_ms = node.bench.now.unix_ms - prev * 1000;
                    if step == 7 {
                        header.topic = topic("checked");
                    }
                    let message = sign(header, &key);
                    node.receive_from(10 + author % 2, gossip(&message), step == 6);
                    for question in node.questions() {
                        let verdicts = [Verdict::Accept, Verdict::Ignore, Verdict::Reject];
                        if let Some(verdict) = verdicts.get(salt as usize) {
                            node.verdict(question, *verdict);
                        }
                    }
                }
            }
            for delivery in node.deliveries() {
                prop_assert!(delivered.insert(delivery.id), "delivered twice");
            }
            node.messages.take_accepted();
            let (held, held_bytes) = node.messages.authors.held();
            prop_assert!(held <= 6 && held_bytes <= 3_000);
            prop_assert!(node.messages.authors() <= 3);
            prop_assert!(node.messages.recent.bytes() <= 2_000);
            prop_assert!(node.messages.decided().len() <= 64 + 8 + 6);
            prop_assert!(node.messages.pending.len() <= 6 + 2);
            prop_assert!(node.messages.ready.len() <= 64 + 8 + 6);
            // A step prunes; it may take a few when the clock stands still.
            node.tick();
            prop_assert!(node.messages.decided().logged() <= 20 + 7);
        }
    }
}
