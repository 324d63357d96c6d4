use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::messages::Topic;
use crate::testing::{Bench, START_UNIX_MS, peer};
use crate::wire::{MessageHeader, body_of, max_len, tag};

const LINK: LinkId = LinkId(1);

fn conduct(bench: &mut Bench) -> Conduct {
    let mut cx = bench.cx();
    let mut conduct = Conduct::new(&Restored::default(), &mut cx);
    conduct.opened(LINK, peer(2), &mut cx);
    conduct
}

/// Judges `n` frames of a kind; returns how many passed before the first that did not, and that judgement.
fn pour(
    conduct: &mut Conduct,
    bench: &mut Bench,
    tag: u8,
    len: usize,
    n: u64,
) -> (u64, Option<Judgement>) {
    for passed in 0..n {
        let judgement = conduct.on_frame(LINK, tag, len, &mut bench.cx());
        if judgement != Judgement::Pass {
            return (passed, Some(judgement));
        }
    }
    (n, None)
}

fn counter(bench: &Bench, name: &str) -> u64 {
    let mut found = None;
    bench.stats.conduct.each(|each, value| {
        if each == name {
            found = Some(value);
        }
    });
    found.unwrap()
}

#[test]
fn one_greeting_and_no_more() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    for (first, second) in [(tag::HELLO, tag::HELLO), (tag::ACCEPT, tag::REFUSE)] {
        let mut cx = bench.cx();
        conduct.closed(LINK, &cx);
        conduct.opened(LINK, peer(2), &mut cx);
        assert_eq!(conduct.on_frame(LINK, first, 100, &mut cx), Judgement::Pass);
        assert_eq!(
            conduct.on_frame(LINK, second, 100, &mut cx),
            Judgement::Close(Code::Protocol)
        );
    }
    assert_eq!(counter(&bench, "greeted_twice"), 2);
}

#[test]
fn every_kind_has_its_burst_then_its_rate() {
    for (tag, counter_name) in [
        (tag::PING, "over_rate_liveness"),
        (tag::PONG, "over_rate_liveness"),
        (tag::NEIGHBOR_REQUEST, "over_rate_neighbor"),
        (tag::NEIGHBOR_REPLY, "over_rate_neighbor"),
        (tag::EXCHANGE_REQUEST, "over_rate_exchange"),
        (tag::EXCHANGE_REPLY, "over_rate_exchange"),
        (tag::ANNOUNCE, "over_rate_announce"),
        (tag::GRAFT, "over_rate_tree"),
        (tag::PRUNE, "over_rate_tree"),
        (tag::RECONCILE, "over_rate_repair"),
        (tag::FETCH, "over_rate_repair"),
        (tag::FETCH_MISSING, "over_rate_repair"),
        (0, "over_rate_unknown"),
        (200, "over_rate_unknown"),
    ] {
        let mut bench = Bench::new(1);
        let mut conduct = conduct(&mut bench);
        let config = bench.config.conduct.clone();
        let len = max_len(tag);
        let (rate, price) = match counter_name {
            "over_rate_liveness" => (config.liveness, 1),
            "over_rate_neighbor" => (config.neighbor, 1),
            "over_rate_exchange" => (config.exchange, 1),
            "over_rate_announce" => (config.announce, len as u64),
            "over_rate_tree" => (config.tree, 1),
            "over_rate_repair" => (config.repair, 1),
            _ => (config.unknown, 1),
        };
        let burst = rate.burst / price;
        assert_eq!(
            pour(&mut conduct, &mut bench, tag, len, burst + 1),
            (burst, Some(Judgement::Drop)),
            "tag {tag}"
        );
        assert_eq!(counter(&bench, counter_name), 1);
        bench.advance(Duration::from_secs(1));
        let (passed, _) = pour(&mut conduct, &mut bench, tag, len, burst);
        let expected = rate.per_sec / price;
        assert!(
            (expected..=expected + 1).contains(&passed),
            "tag {tag}: {passed}"
        );
    }
}

#[test]
fn a_gross_flood_closes_the_link_and_coming_back_refills_nothing() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    let mut judged = 0;
    let code = loop {
        match conduct.on_frame(LINK, tag::PING, 10, &mut bench.cx()) {
            Judgement::Close(code) => break code,
            _ => judged += 1,
        }
    };
    let config = bench.config.conduct.clone();
    assert_eq!(code, Code::Flood);
    assert_eq!(judged, config.liveness.burst + config.excess.burst);
    assert_eq!(counter(&bench, "floods"), 1);
    conduct.closed(LINK, &bench.cx());
    conduct.opened(LINK, peer(2), &mut bench.cx());
    assert_eq!(
        conduct.on_frame(LINK, tag::PING, 10, &mut bench.cx()),
        Judgement::Close(Code::Flood)
    );
    conduct.opened(LinkId(2), peer(3), &mut bench.cx());
    assert_eq!(
        conduct.on_frame(LinkId(2), tag::PING, 10, &mut bench.cx()),
        Judgement::Pass,
        "others pay nothing for it"
    );
}

#[test]
fn a_link_that_never_opened_is_closed() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    assert_eq!(
        conduct.on_frame(LinkId(9), tag::PING, 10, &mut bench.cx()),
        Judgement::Close(Code::Protocol)
    );
}

/// What a saturated honest link may send in a second: 50,000 messages, each announced, asked for and pruned, with the
/// grafts in frames of a few ids.
#[test]
fn honest_saturation_passes() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    for _ in 0..10 {
        for _ in 0..200 {
            bench.advance(Duration::from_millis(5));
            for (tag, len, frames) in [
                (tag::GOSSIP, 48 * 1024, 250),
                (tag::ANNOUNCE, 2 + 2 + 250 * 8, 1),
                (tag::GRAFT, 60, 5),
                (tag::PRUNE, 35, 5),
                (tag::FETCH, 8_000, 1),
                (tag::RECONCILE, 8_000, 1),
            ] {
                assert_eq!(
                    pour(&mut conduct, &mut bench, tag, len, frames),
                    (frames, None),
                    "tag {tag}"
                );
            }
        }
        assert_eq!(pour(&mut conduct, &mut bench, tag::PING, 10, 4).1, None);
        let exchange = pour(&mut conduct, &mut bench, tag::EXCHANGE_REQUEST, 10, 4);
        assert_eq!(exchange.1, None);
        assert_eq!(
            pour(&mut conduct, &mut bench, tag::EXCHANGE_REPLY, 10, 4).1,
            None
        );
    }
    bench
        .stats
        .conduct
        .each(|name, value| assert_eq!(value, 0, "{name}"));
}

#[test]
fn meters_of_closed_links_are_bounded() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    conduct.on_frame(LINK, tag::NEIGHBOR_REQUEST, 2, &mut bench.cx());
    for n in 0..2 * u32::try_from(MAX_PARKED).unwrap() {
        let link = LinkId(u64::from(n) + 10);
        conduct.opened(link, peer(n), &mut bench.cx());
        conduct.on_frame(link, tag::PING, 2, &mut bench.cx());
        conduct.closed(link, &bench.cx());
        assert!(conduct.parked.len() <= MAX_PARKED);
    }
    assert_eq!(conduct.parked.len(), MAX_PARKED);
    assert_eq!(conduct.parked_order.iter().count(), MAX_PARKED);
    assert!(!conduct.parked.contains_key(&peer(0)));
    assert_eq!(conduct.meters.len(), 1);
    // One ping is earned back in an eighth of a second; then the meters are as good as new.
    bench.advance(Duration::from_millis(125));
    conduct.opened(LinkId(1), peer(1), &mut bench.cx());
    conduct.closed(LinkId(1), &bench.cx());
    assert_eq!(conduct.parked.len(), 1);
    assert_eq!(conduct.parked_order.iter().count(), 1);
}

#[test]
fn each_fault_bans_for_its_time() {
    for (code, minutes) in [
        (Code::BadSignature, 10),
        (Code::Malformed, 10),
        (Code::Protocol, 5),
        (Code::Flood, 2),
    ] {
        let mut bench = Bench::new(1);
        let mut conduct = conduct(&mut bench);
        conduct.fault(&peer(2), code, &mut bench.cx());
        assert!(conduct.is_banned(&peer(2), bench.now));
        assert!(!conduct.is_banned(&peer(3), bench.now));
        assert_eq!(
            bench.rows(),
            [Row::Peer(PeerRow::Banned {
                peer: peer(2),
                until_unix_ms: START_UNIX_MS + minutes * 60_000,
            })]
        );
        bench.advance(Duration::from_millis(minutes * 60_000 - 1));
        assert!(conduct.is_banned(&peer(2), bench.now));
        bench.advance(Duration::from_millis(1));
        assert!(!conduct.is_banned(&peer(2), bench.now));
    }
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    conduct.fault(&peer(2), Code::Stalled, &mut bench.cx());
    assert!(!conduct.is_banned(&peer(2), bench.now));
    assert!(bench.rows().is_empty());
    assert_eq!(counter(&bench, "faults"), 1);
}

#[test]
fn a_fault_never_shortens_a_ban_but_a_command_may() {
    let mut bench = Bench::new(1);
    let mut conduct = conduct(&mut bench);
    conduct.ban(peer(2), None, &mut bench.cx());
    conduct.fault(&peer(2), Code::Flood, &mut bench.cx());
    bench.advance(Duration::from_secs(1 << 30));
    assert!(conduct.is_banned(&peer(2), bench.now));
    conduct.ban(peer(2), Some(Duration::from_secs(1)), &mut bench.cx());
    bench.advance(Duration::from_secs(1));
    assert!(!conduct.is_banned(&peer(2), bench.now));
    conduct.ban(peer(2), Some(Duration::MAX), &mut bench.cx());
    assert!(conduct.is_banned(&peer(2), bench.now));
    bench.actions();
    conduct.unban(&peer(2), &mut bench.cx());
    assert!(!conduct.is_banned(&peer(2), bench.now));
    assert_eq!(bench.rows(), [Row::Peer(PeerRow::Unbanned(peer(2)))]);
    conduct.unban(&peer(2), &mut bench.cx());
    assert!(bench.rows().is_empty());
}

#[test]
fn full_of_bans_the_one_that_ends_soonest_goes() {
    let mut bench = Bench::new(1);
    bench.config.conduct.max_bans = 100;
    let mut conduct = conduct(&mut bench);
    conduct.ban(peer(0), None, &mut bench.cx());
    for n in 1..100 {
        let duration = Duration::from_secs(1000 + u64::from(n));
        conduct.ban(peer(n), Some(duration), &mut bench.cx());
    }
    bench.actions();
    conduct.ban(peer(100), Some(Duration::from_secs(5000)), &mut bench.cx());
    assert!(!conduct.is_banned(&peer(1), bench.now), "ended soonest");
    assert_eq!(
        bench.rows(),
        [
            Row::Peer(PeerRow::Banned {
                peer: peer(100),
                until_unix_ms: START_UNIX_MS + 5_000_000
            }),
            Row::Peer(PeerRow::Unbanned(peer(1)))
        ]
    );
    conduct.ban(peer(101), Some(Duration::from_secs(1)), &mut bench.cx());
    assert!(!conduct.is_banned(&peer(101), bench.now), "itself soonest");
    for n in 1_000..3_000 {
        conduct.fault(&peer(n), Code::BadSignature, &mut bench.cx());
        assert!(conduct.bans().count() <= 100);
    }
    for n in [0, 2, 99, 100] {
        assert!(conduct.is_banned(&peer(n), bench.now), "{n} ends later");
    }
    assert_eq!(counter(&bench, "bans_evicted"), 2_002);
}

#[test]
fn ended_bans_make_room_first() {
    let mut bench = Bench::new(1);
    bench.config.conduct.max_bans = 2;
    let mut conduct = conduct(&mut bench);
    conduct.ban(peer(1), Some(Duration::from_secs(1)), &mut bench.cx());
    conduct.ban(peer(2), Some(Duration::from_secs(1)), &mut bench.cx());
    bench.advance(Duration::from_secs(1));
    conduct.ban(peer(3), Some(Duration::from_secs(1)), &mut bench.cx());
    assert_eq!(counter(&bench, "bans_expired"), 2);
    assert_eq!(counter(&bench, "bans_evicted"), 0);
    assert_eq!(conduct.bans().count(), 1);
}

#[test]
fn bans_survive_a_restart_within_the_cap() {
    let mut bench = Bench::new(1);
    bench.config.conduct.max_bans = 2;
    let restored = Restored {
        bans: vec![
            (peer(1), START_UNIX_MS),
            (peer(2), START_UNIX_MS + 1),
            (peer(3), u64::MAX),
            (peer(4), START_UNIX_MS + 2),
        ],
        ..Restored::default()
    };
    let conduct = Conduct::new(&restored, &mut bench.cx());
    let banned = [1, 2, 3, 4].map(|n| conduct.is_banned(&peer(n), bench.now));
    assert_eq!(banned, [false, false, true, true]);
    assert_eq!(
        bench.rows(),
        [1, 2].map(|n| Row::Peer(PeerRow::Unbanned(peer(n)))),
        "the store forgets them as well"
    );
}

#[test]
fn soft_refusals_are_clamped_bounded_and_forgotten() {
    let mut bench = Bench::new(1);
    bench.config.conduct.max_soft = 10;
    let mut conduct = conduct(&mut bench);
    conduct.refuse_softly(peer(1), Duration::MAX, &mut bench.cx());
    assert_eq!(conduct.refused_softly(&peer(1), bench.now), Some(MAX_SOFT));
    conduct.refuse_softly(peer(1), Duration::from_secs(5), &mut bench.cx());
    bench.advance(Duration::from_secs(4));
    assert_eq!(
        conduct.refused_softly(&peer(1), bench.now),
        Some(Duration::from_secs(1))
    );
    bench.advance(Duration::from_secs(1));
    assert_eq!(conduct.refused_softly(&peer(1), bench.now), None);
    assert!(!conduct.is_banned(&peer(1), bench.now));
    for n in 0..1_000 {
        conduct.refuse_softly(peer(n), Duration::from_secs(5), &mut bench.cx());
        assert!(conduct.soft.iter().count() <= 10);
    }
    assert_eq!(counter(&bench, "soft_evicted"), 990);
    assert_eq!(counter(&bench, "soft_refusals"), 1_002);
}

#[test]
fn the_author_policy() {
    let (body_len, body_root) = body_of(&[Bytes::from_static(b"x")]);
    let header = |n| MessageHeader {
        author: peer(n).to_bytes(),
        seq: 1,
        prev_seq: 0,
        published_unix_ms: START_UNIX_MS,
        topic: "t".parse::<Topic>().unwrap(),
        count: 1,
        body_len,
        body_root,
    };
    assert!(AuthorPolicy::default().admits(&header(1)));
    let list = AuthorPolicy::AllowList([peer(1)].into());
    assert!(list.admits(&header(1)) && !list.admits(&header(2)));
    let rule = AuthorPolicy::Callback(Arc::new(|author, header| {
        *author == header.author && header.seq == 1
    }));
    assert!(rule.admits(&header(1)));
    assert!(!rule.admits(&MessageHeader {
        seq: 2,
        ..header(1)
    }));
}

#[test]
fn rates_too_low_to_work_are_refused_by_name() {
    let mut config = Config::default();
    assert_eq!(config.validate(), Ok(()));
    config.announce.burst = 100;
    let error = config.validate().unwrap_err();
    assert_eq!(error.key, "conduct.announce");
    assert!(error.problem.contains("at least 2052"), "{error}");
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_caps(steps in prop::collection::vec((0u8..6, 0u32..40, any::<u8>()), 0..300)) {
        let mut bench = Bench::new(1);
        bench.config.conduct.max_bans = 8;
        bench.config.conduct.max_soft = 8;
        let mut conduct = conduct(&mut bench);
        let mut stored = BTreeMap::new();
        for (operation, n, byte) in steps {
            let link = LinkId(u64::from(n % 4));
            let wait = Duration::from_secs(u64::from(byte));
            match operation {
                0 => conduct.ban(peer(n), (byte > 0).then_some(wait), &mut bench.cx()),
                1 => conduct.unban(&peer(n), &mut bench.cx()),
                2 => conduct.fault(&peer(n), Code::from_u16(u16::from(byte % 20)), &mut bench.cx()),
                3 => conduct.refuse_softly(peer(n), wait, &mut bench.cx()),
                4 if byte % 2 == 0 => conduct.opened(link, peer(n), &mut bench.cx()),
                4 => conduct.closed(link, &bench.cx()),
                _ => {
                    conduct.on_frame(link, byte, usize::from(byte), &mut bench.cx());
                    bench.advance(wait);
                }
            }
            prop_assert!(conduct.bans().count() <= 8);
            prop_assert!(conduct.soft.iter().count() <= 8);
            prop_assert_eq!(conduct.parked.len(), conduct.parked_order.iter().count());
            for row in bench.rows() {
                match row {
                    Row::Peer(PeerRow::Banned { peer, until_unix_ms }) => stored.insert(peer, until_unix_ms),
                    Row::Peer(PeerRow::Unbanned(peer)) => stored.remove(&peer),
                    other => panic!("{other:?}"),
                };
            }
            let held: BTreeMap<_, _> = conduct.bans().collect();
            prop_assert_eq!(&held, &stored, "the store and the memory agree");
        }
    }
}
