//! Publishing, reservations, restarts, clones.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The first number of a node that starts at `START` and never ran before.
const FIRST: u64 = START * 1000;

fn bytes(size: usize) -> Bytes {
    vec![7; size].into()
}

fn error(node: &mut Node) -> PublishError {
    let mut published = node.published();
    assert_eq!(published.len(), 1);
    published.remove(0).1.unwrap_err()
}

#[test]
fn a_publish_is_delivered_and_passed_on_at_once_and_acknowledged_when_durable() {
    let mut node = Node::ready(Config::default());
    node.publish(5, vec![bytes(3), bytes(4)]);
    let accepted = node.messages.take_accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].from, None);
    node.messages.note_neighbors(&accepted[0].id, 2);
    node.messages.note_neighbors(&accepted[0].id, 1);
    let deliveries = node.deliveries();
    assert_eq!(deliveries.len(), 2);
    assert!(node.published().is_empty(), "not durable yet");
    let Message::Gossip(gossip) = wire::decode(&accepted[0].frame).unwrap() else {
        panic!("no gossip");
    };
    let network = node.bench.network;
    let header = gossip
        .signed
        .verify(&network, &mut node.bench.keys)
        .unwrap();
    assert_eq!((header.seq, header.prev_seq, header.count), (FIRST, 0, 2));
    node.store();
    let published = node.published();
    assert_eq!(published[0].0, Token(5));
    let receipt = published[0].1.as_ref().unwrap();
    assert_eq!(receipt.neighbors, 3);
    assert_eq!(receipt.message, accepted[0].id);
    assert_eq!(receipt.messages, [accepted[0].id; 2]);
    assert_eq!(receipt.entries, [deliveries[0].id, deliveries[1].id]);
    // The next one names it.
    node.publish(6, vec![bytes(3)]);
    let next = node.deliveries();
    assert_eq!((next[0].seq, next[0].cursor), (FIRST + 1, 3));
}

#[test]
fn what_cannot_be_published_is_refused_by_name() {
    let mut node = Node::ready(Config::default());
    node.publish(1, vec![]);
    assert_eq!(error(&mut node), PublishError::Count(0));
    node.publish(1, vec![bytes(1); MAX_ENTRIES + 1]);
    assert_eq!(error(&mut node), PublishError::Count(MAX_ENTRIES + 1));
    let max = Config::default().max_payload();
    node.publish(1, vec![bytes(1), bytes(max + 1)]);
    assert_eq!(
        error(&mut node),
        PublishError::TooLarge { size: max + 1, max }
    );
    node.bench.config.conduct.authors = AuthorPolicy::AllowList([peer(1)].into());
    node.publish(1, vec![bytes(1)]);
    assert_eq!(error(&mut node), PublishError::NotAdmitted);
    node.bench.config.conduct.authors = AuthorPolicy::Open;
    node.bench.identity =
        Identity::external(peer(0), |_| Err(crypto::SignError::External("no".into())));
    node.publish(1, vec![bytes(1)]);
    assert!(matches!(error(&mut node), PublishError::Signer(_)));
    node.bench.identity = identity(0);
    node.messages.leave(&mut node.bench.cx());
    node.publish(1, vec![bytes(1)]);
    assert_eq!(error(&mut node), PublishError::Leaving);
    assert_eq!(node.bench.stats.messages.signed, 0);
    assert_eq!(node.bench.stats.messages.publish_refused, 6);
}

#[test]
fn payloads_that_do_not_fit_one_frame_make_several_messages() {
    let mut node = Node::ready(Config::default());
    const MOST: usize = 32 * 1024;
    let sizes = [30_000, 10_000, 20_000, MOST, 0, MAX_INLINE - MOST - 12, 1];
    node.publish(1, sizes.map(bytes).to_vec());
    let accepted = node.messages.take_accepted();
    assert_eq!(accepted.len(), 4);
    for accepted in &accepted {
        assert!(accepted.frame.len() <= wire::max_len(wire::tag::GOSSIP));
        wire::decode(&accepted.frame).unwrap();
    }
    let deliveries = node.deliveries();
    let lengths: Vec<_> = deliveries.iter().map(|d| d.payload.len()).collect();
    assert_eq!(lengths, sizes);
    let seqs: Vec<_> = deliveries.iter().map(|d| d.seq).collect();
    assert_eq!(seqs, [0, 0, 1, 2, 2, 2, 3].map(|n| FIRST + n));
    node.messages.note_neighbors(&accepted[0].id, 2);
    node.messages.note_neighbors(&accepted[1].id, 1);
    node.store();
    let receipt = node.published().remove(0).1.unwrap();
    let ids: Vec<_> = deliveries.iter().map(|d| d.id).collect();
    assert_eq!(receipt.entries, ids);
    let messages: Vec<_> = deliveries.iter().map(|d| d.message).collect();
    assert_eq!(receipt.messages, messages);
    assert_eq!(receipt.neighbors, 0, "the fewest of the four");
}

/// What one entry makes too long for a frame goes header first; several entries share a frame as far as they fit.
#[test]
fn what_is_long_goes_header_first_and_is_delivered_whole() {
    let mut node = Node::ready(Config::default());
    let limit = Config::default().inline - ENTRY_PREFIX;
    let sizes = [limit, limit + 1, MAX_INLINE, 200_000];
    let mut accepted = Vec::new();
    for (token, size) in (0..).zip(sizes) {
        node.publish(token, vec![bytes(size)]);
        accepted.extend(node.messages.take_accepted());
    }
    let delivered: Vec<_> = node.deliveries().iter().map(|d| d.payload.len()).collect();
    assert_eq!(delivered, sizes);
    let lengths: Vec<_> = accepted.iter().map(|it| it.body_len).collect();
    let apart = |size: usize| Some(size + ENTRY_PREFIX);
    assert_eq!(
        lengths,
        [None, apart(limit + 1), apart(MAX_INLINE), apart(200_000)]
    );
    for accepted in &accepted[1..] {
        let Ok(Message::Head(head)) = wire::decode(&accepted.frame) else {
            panic!("no head");
        };
        let body = node.messages.body(&accepted.id).unwrap();
        assert_eq!(Some(body.len()), accepted.body_len);
        assert_eq!(head.manifest, crypto::Manifest::of(&body).unwrap());
        assert_eq!(head.signed.value.id(&node.bench.network), accepted.id);
        // Repair serves what fits a frame in one.
        let served = wire::decode(&node.messages.to_serve(&accepted.id).unwrap());
        match served {
            Ok(Message::Gossip(gossip)) => {
                assert!(body.len() <= MAX_INLINE);
                assert_eq!(gossip.signed, head.signed);
            }
            Ok(Message::Head(_)) => assert!(body.len() > MAX_INLINE),
            other => panic!("{other:?}"),
        }
    }
    node.publish(9, vec![bytes(2000), bytes(2000)]);
    assert_eq!(
        node.messages.take_accepted()[0].body_len,
        None,
        "a busy author's"
    );
}

/// The newest body stays however large; others go by bytes, and all by time.
#[test]
fn bodies_of_the_last_minute_are_bounded_in_bytes() {
    let config = Config {
        recent_body_bytes: 100_000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    for token in 0..20 {
        node.publish(token, vec![bytes(30_000)]);
        node.store();
        assert!(node.messages.recent.body_bytes() <= 100_000);
    }
    node.publish(30, vec![bytes(300_000)]);
    let newest = node.messages.take_accepted().pop().unwrap().id;
    assert_eq!(
        node.messages.body(&newest).map(|body| body.len()),
        Some(300_004)
    );
    node.wait(Duration::from_secs(61));
    assert_eq!(node.messages.recent.body_bytes(), 0);
    assert_eq!(node.messages.recent.bytes(), 0);
}

/// The author signed a body that is not made of the entries it names: nobody's fault but its own.
#[test]
fn a_rightly_signed_body_that_is_not_made_of_entries_is_decided_and_given_to_nobody() {
    let mut node = Node::ready(Config::default());
    let header = {
        let mut header = MessageHeader::clone(&message(1, 1, 0));
        header.count = 2;
        header
    };
    let network = node.bench.network;
    let header = Signed::sign(header, &identity(1), &network).unwrap();
    let arrival = Arrival {
        id: header.id(&network),
        header,
        entries: Vec::new(),
        body: Some(bytes(5000)),
        frame: bytes(300),
        from: Some((LinkId(9), peer(9))),
        repaired: false,
    };
    let point = arrival.point();
    node.messages.on_arrival(arrival, &mut node.bench.cx());
    node.drain();
    assert!(node.messages.take_accepted().is_empty() && node.deliveries().is_empty());
    assert_eq!(node.bench.stats.messages.bad_bodies, 1);
    assert!(
        node.messages.decided().contains(&point),
        "it is not fetched again"
    );
    assert!(!node.messages.decided().is_logged(&point), "nor served");
}

#[test]
fn publishes_that_wait_are_capped_by_count_and_bytes() {
    let config = Config {
        max_publishes: 3,
        max_publish_bytes: 1000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    assert!(node.messages.ready_to_publish(), "for one there is room");
    for token in 1..=5 {
        node.publish(token, vec![bytes(10)]);
        assert!(!node.messages.ready_to_publish(), "not beside another");
    }
    assert_eq!(node.published().len(), 2);
    node.store();
    assert_eq!(node.published().len(), 3);
    node.publish(6, vec![bytes(500)]);
    node.publish(7, vec![bytes(500)]);
    assert_eq!(error(&mut node), PublishError::Busy);
    node.store();
    node.publish(8, vec![bytes(2000)]);
    node.store();
    assert_eq!(
        node.published().len(),
        2,
        "larger than the bound, but alone"
    );
    assert!(node.messages.publishes.is_idle());
}

#[test]
fn own_publishes_are_validated_first() {
    let mut node = Node::ready(validating());
    node.publish(1, vec![bytes(1)]);
    node.publish(2, vec![bytes(2)]);
    node.publish(3, vec![bytes(3)]);
    let questions = node.questions();
    assert!(node.messages.take_accepted().is_empty());
    node.verdict(questions[1], Verdict::Accept);
    node.verdict(questions[0], Verdict::Ignore);
    let published = node.published();
    assert_eq!(published, [(Token(1), Err(PublishError::Invalid))]);
    node.wait(Duration::from_secs(2));
    let published = node.published();
    assert_eq!(published, [(Token(3), Err(PublishError::Invalid))]);
    node.store();
    let accepted = node.messages.take_accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(
        node.messages.publishes.seqs.next(),
        FIRST + 1,
        "no number was wasted"
    );
    assert!(node.messages.publishes.is_idle());
}

#[test]
fn nothing_is_signed_or_delivered_before_its_numbers_are_reserved() {
    let mut node = Node::new(Config::default(), &Restored::default());
    node.publish(1, vec![bytes(1)]);
    node.receive(&message(1, 1, 0), false);
    assert!(node.deliveries().is_empty());
    assert_eq!(node.bench.stats.messages.signed, 0);
    assert_eq!(node.messages.take_accepted().len(), 1, "passed on at once");
    node.store();
    let mut deliveries = node.deliveries();
    deliveries.sort_by_key(|delivery| delivery.cursor);
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[0].cursor, 1);
}

#[test]
fn deliveries_that_wait_for_the_store_are_capped() {
    let mut node = Node::new(Config::default(), &Restored::default());
    let author = identity(1);
    const SIZE: usize = 32 * 1024;
    let body = entries(1, 0, SIZE);
    let mut taken = 0;
    for n in 1..=600 {
        let message = sign(header(&author, n, n - 1, &entries(n, 0, SIZE)), &author);
        node.receive(&message, false);
        taken = node.messages.ready.len();
    }
    assert_eq!(body[0].len(), SIZE);
    assert!((500..600).contains(&taken), "16 MiB, but {taken}");
    assert!(node.bench.stats.messages.stalled > 0);
    node.publish(1, vec![bytes(1)]);
    assert_eq!(error(&mut node), PublishError::Busy);
    node.store();
    assert_eq!(node.deliveries().len(), taken);
    // What was dropped is not seen, and comes again by repair.
    let message = sign(header(&author, 600, 599, &entries(600, 0, SIZE)), &author);
    assert!(matches!(
        node.receive(&message, true),
        Admission::Arrival(_)
    ));
}

#[test]
fn our_own_key_on_a_message_we_never_signed_stops_publishing() {
    // A number of the future; a number of this run on another message; a number of an earlier run beside ours.
    for (seq, after_restart) in [(FIRST + 9, false), (FIRST, false), (FIRST, true)] {
        let mut node = Node::ready(Config::default());
        node.publish(1, vec![bytes(1)]);
        node.store();
        if after_restart {
            node = node.restart(0);
            node.store();
        }
        node.events.clear();
        node.receive(&message(0, seq, 0), false);
        node.receive(&message(0, FIRST + 77, 0), false);
        let clones = node
            .events
            .iter()
            .filter(|event| matches!(event, Event::CloneDetected))
            .count();
        assert_eq!(clones, 1, "said once");
        assert!(node.messages.is_cloned());
        node.published();
        node.publish(2, vec![bytes(1)]);
        assert_eq!(error(&mut node), PublishError::Cloned);
    }
}

#[test]
fn our_own_message_of_a_run_that_crashed_is_no_clone() {
    let mut node = Node::ready(Config::default());
    node.publish(1, vec![bytes(1)]);
    let own = node.messages.take_accepted().remove(0);
    // The row never became durable, but a neighbor has the message.
    let mut node = node.restart(0);
    node.store();
    let Message::Gossip(gossip) = wire::decode(&own.frame).unwrap() else {
        panic!("no gossip");
    };
    node.receive_from(9, *gossip, true);
    assert!(!node.messages.is_cloned());
    assert_eq!(node.delivered_seqs(), [(FIRST, false)]);
    node.publish(2, vec![bytes(1)]);
    let next = node.deliveries();
    assert_eq!(next[0].seq, FIRST + 4096);
}

#[test]
fn a_date_well_after_our_start_tells_a_clone_whose_numbers_are_below_ours() {
    // (dated after the start, seconds by which the clock was set forward since, whether it is a clone)
    for (dated_ms, set_s, clone) in [
        (AHEAD_MS, 0, false),
        (AHEAD_MS + 1, 0, true),
        // A clock that was an hour behind at the start: older messages are dated after that start.
        (3_600_000 + AHEAD_MS, 3600, false),
        (3_600_000 + AHEAD_MS + 1, 3600, true),
    ] {
        let mut node = Node::ready(Config::default());
        node.bench.now.unix_ms += set_s * 1000;
        node.wait(Duration::from_secs(300));
        node.receive(&dated(0, FIRST - 5, START + dated_ms), true);
        assert_eq!(node.messages.is_cloned(), clone, "{dated_ms} {set_s}");
    }
}

/// Publishes `n` messages and lets a second pass; returns their gossip.
fn run_of(node: &mut Node, n: u64) -> Vec<Gossip> {
    for token in 0..n {
        node.publish(token, vec![bytes(1)]);
        node.store();
    }
    node.wait(Duration::from_secs(1));
    let accepted = node.messages.take_accepted();
    assert_eq!(accepted.len() as u64, n);
    let frames = accepted.into_iter().map(|accepted| accepted.frame);
    frames
        .map(|frame| match wire::decode(&frame) {
            Ok(Message::Gossip(gossip)) => *gossip,
            other => panic!("no gossip: {other:?}"),
        })
        .collect()
}

/// A store is lost, or set back to an earlier state, while the key stays: no number names two messages, and the messages
/// of the earlier runs are taken when they come round.
#[test]
fn a_store_that_is_lost_or_set_back_brings_no_number_twice() {
    let config = || Config {
        reserve: 512,
        ..Config::default()
    };
    let mut node = Node::ready(config());
    let mut earlier = run_of(&mut node, 3);
    let backup = node.stored.clone();
    // Past the numbers that the backup has reserved.
    earlier.extend(run_of(&mut node, 2000));
    node = node.restart(0);
    node.store();
    earlier.extend(run_of(&mut node, 3));
    let mut used: BTreeSet<u64> = earlier.iter().map(|g| g.signed.value.seq).collect();
    assert_eq!(used.len(), 2006);
    for rows in [&[][..], &backup] {
        let mut again = Node::at(config(), &restored(rows), node.bench.now);
        again.store();
        let (first, rest) = earlier.split_at(2);
        for gossip in first {
            again.receive_from(9, gossip.clone(), true);
        }
        again.messages.take_accepted();
        for gossip in run_of(&mut again, 3) {
            assert!(used.insert(gossip.signed.value.seq), "used twice");
        }
        for gossip in rest {
            again.receive_from(9, gossip.clone(), true);
        }
        assert!(!again.messages.is_cloned());
        assert_eq!(again.bench.stats.messages.equivocations, 0);
        assert_eq!(again.messages.decided().logged(), 2006 + 3);
        node.bench.advance(Duration::from_secs(1));
    }
}

#[test]
fn a_clock_that_goes_back_does_not_lower_the_numbers() {
    let mut node = Node::ready(Config::default());
    let mut last = run_of(&mut node, 3).pop().unwrap().signed.value.seq;
    for _ in 0..3 {
        node.bench.now.unix_ms -= 3_600_000;
        node = node.restart(0);
        node.store();
        for gossip in run_of(&mut node, 3) {
            assert!(gossip.signed.value.seq > last);
            last = gossip.signed.value.seq;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Crashes at any moment, with any number of rows lost: no cursor ever names two entries, no number of ours two
    /// messages, and what was acknowledged is in the log.
    #[test]
    fn no_number_is_used_twice(steps in prop::collection::vec((0u8..4, 0usize..6), 1..40)) {
        let config = Config { reserve: 512, ..Config::default() };
        let mut node = Node::new(config, &Restored::default());
        let mut cursors = BTreeMap::new();
        let mut seqs = BTreeMap::new();
        let mut acknowledged = BTreeSet::new();
        let mut other = 0;
        for (token, (step, n)) in steps.into_iter().enumerate() {
            match step {
                0 => node.publish(token as u64, vec![bytes(n); 1 + n * 20]),
                1 => {
                    other += 1;
                    node.receive(&message(1, other, other - 1), false);
                }
                2 => node.store(),
                _ => {
                    // Of what waits for the store, the first few rows make it.
                    let rows: Vec<_> = node.unstored.drain(..).take(n).map(|(_, row)| row).collect();
                    node.stored.extend(rows);
                    node = node.restart(0);
                }
            }
            for event in std::mem::take(&mut node.events) {
                match event {
                    Event::Delivered(delivery) => {
                        let old = cursors.insert(delivery.cursor, delivery.id);
                        prop_assert!(old.is_none(), "cursor {} twice", delivery.cursor);
                        if delivery.author == peer(0) {
                            let old = seqs.insert(delivery.seq, delivery.message);
                            prop_assert!(old.is_none_or(|old| old == delivery.message));
                        }
                    }
                    Event::Published { result: Ok(receipt), .. } => acknowledged.extend(receipt.messages),
                    _ => {}
                }
            }
        }
        let log: BTreeSet<_> = node.stored.iter().filter_map(|row| match row {
            Row::Message(stored) => Some(stored.id),
            _ => None,
        }).collect();
        prop_assert!(acknowledged.is_subset(&log));
    }
}
