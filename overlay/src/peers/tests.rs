use std::net::SocketAddr;
use std::time::Duration;

use crypto::{PeerId, Signed, Verified};
use proptest::prelude::*;

use super::*;
use crate::action::{Action, Row, Target};
use crate::config::AddressPreset;
use crate::input::{DialError, DialId};
use crate::neighbors::Code;
use crate::restored::Restored;
use crate::testing::{Bench, START_UNIX_MS, identity, peer};
use crate::wire::{PeerRecord, RECORD_AHEAD_S, RECORD_VALID_S};

/// The address of node `n` on the open internet: every node in a /16 of its own.
fn wan(n: u32) -> SocketAddr {
    let [_, _, a, b] = n.to_be_bytes();
    SocketAddr::from(([23 + a, b, 1, 1], 4000))
}

fn record_at(
    n: u32,
    version: u64,
    issued_unix_s: u64,
    addrs: &[SocketAddr],
) -> Verified<PeerRecord> {
    let mut record = PeerRecord {
        id: peer(n).to_bytes(),
        version,
        issued_unix_s,
        ipv4: None,
        ipv6: None,
        roles: 0,
    };
    for addr in addrs {
        match addr {
            SocketAddr::V4(addr) => record.ipv4 = Some((*addr.ip(), addr.port())),
            SocketAddr::V6(addr) => record.ipv6 = Some((*addr.ip(), addr.port())),
        }
    }
    let network = crypto::NetworkId::from_name("test");
    Signed::sign(record, &identity(n), &network).unwrap()
}

fn record(n: u32) -> Verified<PeerRecord> {
    record_at(n, 1, START_UNIX_MS / 1000, &[wan(n)])
}

fn bench(preset: AddressPreset) -> (Bench, Book) {
    let mut bench = Bench::new(0);
    bench.config.addresses = preset;
    let book = Book::new(&Restored::default(), &mut bench.cx());
    (bench, book)
}

const fn list(from: PeerId, wins: bool) -> Source {
    Source::List { from, wins }
}

fn dial(
    book: &mut Book,
    bench: &mut Bench,
    n: u32,
    purpose: DialPurpose,
) -> Result<DialId, DialRefused> {
    book.try_dial(peer(n), Target::Addr(wan(n)), purpose, &mut bench.cx())
}

/// Dials and lets the dial fail.
fn fail(
    book: &mut Book,
    bench: &mut Bench,
    n: u32,
    purpose: DialPurpose,
    reason: Result<DialError, Code>,
) {
    let id = dial(book, bench, n, purpose).unwrap();
    let dialing = book.dial_ended(id).unwrap();
    book.dial_failed(&dialing, &reason, &mut bench.cx());
}

const DEAD: Result<DialError, Code> = Ok(DialError::Unreachable);

#[test]
fn heard_is_not_proven_and_only_an_accept_proves() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let heard = book.heard(record(1), 1, list(peer(9), true), &mut bench.cx());
    assert_eq!(heard, Heard::New);
    assert!(!book.is_proven(&peer(1)));
    assert_eq!(
        book.item_of(&peer(1), bench.now),
        None,
        "hearsay is never handed on"
    );
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), wan(1)))
    );
    assert_eq!(
        book.next_candidate(true, &mut bench.cx()),
        None,
        "being dialled"
    );
    book.proven(peer(1), wan(1), record(1), &mut bench.cx());
    assert_eq!(book.proven_addr(&peer(1)), Some(wan(1)));
    assert_eq!(book.heard_len(), 0);
    let item = book.item_of(&peer(1), bench.now).unwrap();
    assert_eq!((item.record, item.proven), (record(1).into_signed(), 1));
    assert_eq!(
        book.take_touched().into_iter().collect::<Vec<_>>(),
        [peer(1)]
    );
    // Another's record never proves anything.
    book.proven(peer(2), wan(2), record(3), &mut bench.cx());
    assert!(!book.is_proven(&peer(2)) && !book.is_proven(&peer(3)));
}

#[test]
fn a_proof_lasts_three_hours_and_is_renewed_where_it_was_made() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let start = START_UNIX_MS / 1000;
    book.proven(
        peer(1),
        wan(1),
        record_at(1, 1, start, &[wan(1)]),
        &mut bench.cx(),
    );
    bench.advance(Duration::from_secs(3 * 3600 - 1));
    book.expire(&mut bench.cx());
    assert!(book.is_proven(&peer(1)));
    // A renewal at another address renews nothing.
    let newer = record_at(1, 2, start + 10_000, &[wan(1)]);
    book.renewed(peer(1), wan(77), newer.clone(), &mut bench.cx());
    bench.advance(Duration::from_secs(1));
    book.expire(&mut bench.cx());
    assert!(!book.is_proven(&peer(1)));
    assert!(book.take_touched().contains(&peer(1)));
    // What has ended is not revived by an old link, only heard again.
    book.renewed(peer(1), wan(1), newer.clone(), &mut bench.cx());
    assert!(!book.is_proven(&peer(1)));
    assert_eq!(book.heard_len(), 1);
    book.proven(peer(1), wan(1), newer, &mut bench.cx());
    bench.advance(Duration::from_secs(3600));
    let later = record_at(1, 3, start + 14_400, &[wan(1)]);
    book.renewed(peer(1), wan(1), later, &mut bench.cx());
    bench.advance(Duration::from_secs(3 * 3600 - 1));
    book.expire(&mut bench.cx());
    assert!(book.is_proven(&peer(1)));
    assert_eq!(
        book.next_timeout(),
        Some(bench.now.mono + Duration::from_secs(1))
    );
}

#[test]
fn records_out_of_date_or_from_the_future_are_dropped_without_overflow() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let now = START_UNIX_MS / 1000;
    for (issued, expected) in [
        (now, Heard::New),
        (now + RECORD_AHEAD_S, Heard::New),
        (now + RECORD_AHEAD_S + 1, Heard::Stale),
        (now - RECORD_VALID_S, Heard::New),
        (now - RECORD_VALID_S - 1, Heard::Stale),
        (0, Heard::Stale),
        (u64::MAX, Heard::Stale),
    ] {
        let record = record_at(1, 1, issued, &[wan(1)]);
        assert_eq!(
            book.heard(record, 1, Source::Caller, &mut bench.cx()),
            expected
        );
        book.drop_candidate(&peer(1));
    }
    book.proven(
        peer(1),
        wan(1),
        record_at(1, 1, 0, &[wan(1)]),
        &mut bench.cx(),
    );
    assert!(!book.is_proven(&peer(1)));
    // The end of the record ends the proof, also when it was made late.
    let old = record_at(1, 1, now - RECORD_VALID_S + 10, &[wan(1)]);
    book.proven(peer(1), wan(1), old, &mut bench.cx());
    bench.advance(Duration::from_secs(10));
    book.expire(&mut bench.cx());
    assert!(book.is_proven(&peer(1)));
    bench.advance(Duration::from_secs(1));
    book.expire(&mut bench.cx());
    assert!(!book.is_proven(&peer(1)));
    // A far future does not keep it longer than the present would.
    book.proven(
        peer(2),
        wan(2),
        record_at(2, 1, u64::MAX, &[wan(2)]),
        &mut bench.cx(),
    );
    bench.advance(Duration::from_secs(3 * 3600));
    book.expire(&mut bench.cx());
    assert_eq!(book.proven_len(), 0);
}

#[test]
fn a_record_with_another_address_is_heard_again_until_dialled() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    book.proven(peer(1), wan(1), record(1), &mut bench.cx());
    book.take_touched();
    let moved = record_at(1, 2, START_UNIX_MS / 1000, &[wan(50)]);
    let heard = book.heard(moved.clone(), 0, list(peer(9), true), &mut bench.cx());
    assert_eq!(heard, Heard::New);
    assert!(!book.is_proven(&peer(1)));
    assert!(book.take_touched().contains(&peer(1)));
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), wan(50)))
    );
    // The older record does not bring the old address back.
    assert_eq!(
        book.heard(record(1), 1, Source::Caller, &mut bench.cx()),
        Heard::Known
    );
    book.proven(peer(1), wan(50), moved, &mut bench.cx());
    assert_eq!(book.proven_addr(&peer(1)), Some(wan(50)));
}

#[test]
fn only_the_addresses_that_the_source_has_proven_are_dialled() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let six: SocketAddr = "[2a00:1::1]:4000".parse().unwrap();
    let both = record_at(1, 1, START_UNIX_MS / 1000, &[wan(1), six]);
    book.heard(both.clone(), 2, list(peer(9), true), &mut bench.cx());
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), six))
    );
    book.drop_candidate(&peer(1));
    // A caller says nothing about that: first one, then the other.
    book.heard(both, 0, Source::Caller, &mut bench.cx());
    book.in_touch(bench.now.mono);
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), wan(1)))
    );
    fail(&mut book, &mut bench, 1, DialPurpose::Candidate, DEAD);
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), six))
    );
    let id = book.try_dial(
        peer(1),
        Target::Addr(six),
        DialPurpose::Candidate,
        &mut bench.cx(),
    );
    let dialing = book.dial_ended(id.unwrap()).unwrap();
    book.dial_failed(&dialing, &DEAD, &mut bench.cx());
    assert_eq!(book.heard_len(), 0);
}

#[test]
fn signatures_are_checked_once_and_never_for_what_is_known() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let good = record(1).into_signed();
    let mut bad = good.clone();
    bad.signature[0] ^= 1;
    assert!(book.check(&bad, &mut bench.cx()).is_err());
    assert_eq!(bench.stats.peers.bad_signatures, 1);
    let checked = book.check(&good, &mut bench.cx()).unwrap().unwrap();
    book.heard(checked, 1, Source::Caller, &mut bench.cx());
    assert_eq!(book.check(&good, &mut bench.cx()), Ok(None));
    assert_eq!(
        book.check(&bad, &mut bench.cx()),
        Ok(None),
        "not worth a look"
    );
    let mine = record_at(0, 5, START_UNIX_MS / 1000, &[wan(200)]);
    assert_eq!(book.check(mine.signed(), &mut bench.cx()), Ok(None));
    assert_eq!(
        book.heard(mine, 1, Source::Caller, &mut bench.cx()),
        Heard::Myself
    );
}

#[test]
fn one_source_fills_only_its_own_queue_and_turns_are_round_robin() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let (loud, quiet) = (peer(200), peer(201));
    for n in 1..=20 {
        let expected = if n <= 8 { Heard::New } else { Heard::Full };
        assert_eq!(
            book.heard(record(n), 1, list(loud, true), &mut bench.cx()),
            expected
        );
    }
    assert!(!book.room_for(&loud, true));
    for n in 21..=23 {
        assert_eq!(
            book.heard(record(n), 1, list(quiet, true), &mut bench.cx()),
            Heard::New
        );
    }
    let mut of_quiet = 0;
    for _ in 0..6 {
        let (next, _) = book.next_candidate(false, &mut bench.cx()).unwrap();
        of_quiet += usize::from((21..=23).any(|n| peer(n) == next));
    }
    assert_eq!(of_quiet, 3);
}

#[test]
fn callers_come_first_winners_next_and_spares_wait_for_a_feeler() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    book.heard(record(1), 1, list(peer(200), false), &mut bench.cx());
    book.heard(record(2), 1, list(peer(200), true), &mut bench.cx());
    book.heard(record(3), 0, Source::Caller, &mut bench.cx());
    let mut next = |spares| {
        book.next_candidate(spares, &mut bench.cx())
            .map(|(peer, _)| peer)
    };
    assert_eq!(next(false), Some(peer(3)));
    assert_eq!(next(false), Some(peer(2)));
    assert_eq!(next(false), None);
    assert_eq!(next(true), Some(peer(1)));
}

#[test]
fn a_spare_that_would_win_after_all_waits_no_longer() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    book.heard(record(1), 1, list(peer(200), false), &mut bench.cx());
    assert_eq!(book.next_candidate(false, &mut bench.cx()), None);
    assert!(book.promote(peer(1).as_bytes()));
    assert!(!book.promote(peer(1).as_bytes()), "it is no spare any more");
    assert!(!book.promote(peer(2).as_bytes()), "nobody heard of it");
    let next = book.next_candidate(false, &mut bench.cx());
    assert_eq!(next.map(|(peer, _)| peer), Some(peer(1)));
}

#[test]
fn a_winner_takes_the_place_of_a_spare_of_the_same_source() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    for n in 1..=8 {
        book.heard(record(n), 1, list(peer(200), false), &mut bench.cx());
    }
    assert!(!book.room_for(&peer(200), false) && book.room_for(&peer(200), true));
    assert_eq!(
        book.heard(record(9), 1, list(peer(200), false), &mut bench.cx()),
        Heard::Full
    );
    assert_eq!(
        book.heard(record(9), 1, list(peer(200), true), &mut bench.cx()),
        Heard::New
    );
    assert_eq!(book.heard_len(), 8);
}

#[test]
fn a_source_of_dead_candidates_gets_one_at_a_time() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let liar = peer(200);
    for n in 1..=4 {
        book.heard(record(n), 1, list(liar, true), &mut bench.cx());
    }
    book.in_touch(bench.now.mono);
    while let Some((_, addr)) = book.next_candidate(false, &mut bench.cx()) {
        let n = (1..=4).find(|n| wan(*n) == addr).unwrap();
        fail(&mut book, &mut bench, n, DialPurpose::Candidate, DEAD);
    }
    assert_eq!(
        book.heard(record(5), 1, list(liar, true), &mut bench.cx()),
        Heard::New
    );
    assert_eq!(
        book.heard(record(6), 1, list(liar, true), &mut bench.cx()),
        Heard::Full
    );
    // An honest source is not touched by it, and true candidates redeem.
    assert!(book.room_for(&peer(201), true));
    for n in 5..=8 {
        book.heard(record(n), 1, list(liar, true), &mut bench.cx());
        book.proven(peer(n), wan(n), record(n), &mut bench.cx());
    }
    assert_eq!(
        book.heard(record(10), 1, list(liar, true), &mut bench.cx()),
        Heard::New
    );
    assert_eq!(
        book.heard(record(11), 1, list(liar, true), &mut bench.cx()),
        Heard::New
    );
}

#[test]
fn what_is_heard_is_bounded_in_total_by_sources_addresses_and_callers() {
    let (mut bench, _) = bench(AddressPreset::Wan);
    bench.config.peers.heard = 20;
    bench.config.peers.sources = 4;
    bench.config.peers.callers = 5;
    let mut book = Book::new(&Restored::default(), &mut bench.cx());
    let mut most = 0;
    for n in 1..=60 {
        let source = list(peer(200 + n / 6), false);
        book.heard(record(n), 1, source, &mut bench.cx());
        most = most.max(book.heard_len());
    }
    assert_eq!(most, 20);
    assert_eq!(book.sources_len(), 4);
    for n in 61..=100 {
        book.heard(record(n), 0, Source::Caller, &mut bench.cx());
        assert!(book.heard_len() <= 20);
    }
    let mut callers = 0;
    while let Some((next, _)) = book.next_candidate(false, &mut bench.cx()) {
        callers += usize::from((61..=100).any(|n| peer(n) == next));
    }
    assert_eq!(callers, 5);
    // One address, many ids.
    bench.config.peers = Config::default();
    let mut book = Book::new(&Restored::default(), &mut bench.cx());
    for n in 1..=20 {
        let here = record_at(
            n,
            1,
            START_UNIX_MS / 1000,
            &[SocketAddr::from(([23, 1, 1, 1], 4000 + n as u16))],
        );
        let expected = if n <= 8 { Heard::New } else { Heard::Full };
        assert_eq!(
            book.heard(here, 1, list(peer(200 + n), true), &mut bench.cx()),
            expected
        );
    }
}

#[test]
fn proofs_are_bounded_by_address_group_and_in_total() {
    let (mut bench, _) = bench(AddressPreset::Wan);
    bench.config.peers.proven = 30;
    let mut book = Book::new(&Restored::default(), &mut bench.cx());
    let mut prove = |n: u32, addr: SocketAddr| {
        let record = record_at(n, 1, START_UNIX_MS / 1000, &[addr]);
        bench.advance(Duration::from_millis(1));
        book.proven(peer(n), addr, record, &mut bench.cx());
        book.proven_len()
    };
    for n in 1..=20 {
        let addr = SocketAddr::from(([23, 1, 1, 1], 4000 + n as u16));
        assert_eq!(prove(n, addr), (n as usize).min(8));
    }
    for n in 21..=60 {
        let addr = SocketAddr::from(([23, 1, 1, n as u8], 4000));
        assert!(prove(n, addr) <= 16);
    }
    for n in 61..=100 {
        assert!(prove(n, wan(n)) <= 30);
    }
    assert_eq!(book.proven_len(), 30);
    assert!(!book.is_proven(&peer(1)), "the oldest proof went first");
    assert!(book.is_proven(&peer(100)));
    assert_eq!(bench.stats.peers.proven_evicted, 16 + 40 - 30);
    assert_eq!(bench.stats.peers.proofs_over_cap, 12 + 32);
}

#[test]
fn special_use_addresses_are_neither_heard_nor_dialled_nor_proven() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let home: SocketAddr = "192.168.1.1:80".parse().unwrap();
    let record = record_at(1, 1, START_UNIX_MS / 1000, &[home]);
    assert_eq!(
        book.heard(record.clone(), 1, Source::Caller, &mut bench.cx()),
        Heard::NoAddress
    );
    for purpose in [
        DialPurpose::Candidate,
        DialPurpose::Anchor,
        DialPurpose::Exchange,
    ] {
        let refused = book.try_dial(peer(1), Target::Addr(home), purpose, &mut bench.cx());
        assert_eq!(refused, Err(DialRefused::SpecialUse));
    }
    book.proven(peer(1), home, record.clone(), &mut bench.cx());
    assert!(!book.is_proven(&peer(1)));
    let (mut bench, mut book) = self::bench(AddressPreset::Lan);
    assert_eq!(
        book.heard(record, 1, Source::Caller, &mut bench.cx()),
        Heard::New
    );
}

#[test]
fn dials_are_limited_in_rate_in_flight_per_peer_and_never_go_to_ourselves() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    assert_eq!(
        dial(&mut book, &mut bench, 0, DialPurpose::Seed),
        Err(DialRefused::Myself)
    );
    for n in 1..=32 {
        dial(&mut book, &mut bench, n, DialPurpose::Exchange).unwrap();
    }
    assert!(matches!(
        dial(&mut book, &mut bench, 33, DialPurpose::Exchange),
        Err(DialRefused::Rate(_))
    ));
    assert_eq!(
        dial(&mut book, &mut bench, 1, DialPurpose::Seed),
        Err(DialRefused::AlreadyDialing)
    );
    // Configured peers are not subject to the rate, but to the cap.
    for n in 33..=64 {
        dial(&mut book, &mut bench, n, DialPurpose::Seed).unwrap();
    }
    assert_eq!(
        dial(&mut book, &mut bench, 65, DialPurpose::Seed),
        Err(DialRefused::InFlight)
    );
    assert_eq!(book.dialing_len(), 64);
    let dials: Vec<DialId> = bench
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Dial { dial, .. } => Some(dial),
            _ => None,
        })
        .collect();
    for dial in dials {
        assert!(book.dial_ended(dial).is_some());
        assert_eq!(book.dial_ended(dial), None, "only once");
    }
    // Four a second once grown up.
    book.set_young(false);
    bench.advance(Duration::from_secs(60));
    let made =
        (100..140).filter(|n| dial(&mut book, &mut bench, *n, DialPurpose::Exchange).is_ok());
    assert_eq!(made.count(), 4);
    let Err(DialRefused::Rate(at)) = dial(&mut book, &mut bench, 140, DialPurpose::Exchange) else {
        panic!("over the rate")
    };
    assert_eq!(at, bench.now.mono + Duration::from_millis(250));
    bench.advance(Duration::from_millis(250));
    dial(&mut book, &mut bench, 140, DialPurpose::Exchange).unwrap();
    // Our own address, once known, is never dialled under whatever name.
    bench.advance(Duration::from_secs(60));
    book.note_own_addr(wan(150), &mut bench.cx());
    assert_eq!(
        dial(&mut book, &mut bench, 150, DialPurpose::Seed),
        Err(DialRefused::OwnAddress)
    );
    assert_eq!(
        book.heard(record(150), 1, Source::Caller, &mut bench.cx()),
        Heard::NoAddress
    );
}

#[test]
fn made_up_peers_at_a_victims_address_use_up_its_budget_sooner() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let victim = |port: u16| Target::Addr(SocketAddr::from(([23, 5, 5, 5], port)));
    let mut sent = 0;
    for n in 1..=60_u32 {
        let (target, cx) = (victim(4000), &mut bench.cx());
        if let Ok(id) = book.try_dial(peer(n), target, DialPurpose::Candidate, cx) {
            sent += 1;
            let dialing = book.dial_ended(id).unwrap();
            book.dial_failed(&dialing, &Ok(DialError::WrongIdentity), &mut bench.cx());
        }
        bench.advance(Duration::from_millis(500));
    }
    assert_eq!(sent, 2, "within half a minute");
    // The next minute somebody else may be looked for there, and those who are there may all be.
    bench.advance(Duration::from_secs(60));
    for n in 101..=108_u32 {
        let (target, cx) = (victim(4000 + n as u16), &mut bench.cx());
        let id = book
            .try_dial(peer(n), target, DialPurpose::Candidate, cx)
            .unwrap();
        book.dial_ended(id);
    }
}

#[test]
fn hearsay_has_a_budget_per_address_and_group() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let mut sent = 0;
    for minute in 0..3 {
        for second in 0..30_u16 {
            for port in 0..8 {
                let n = u32::from(second) * 8 + port;
                let victim = SocketAddr::from(([23, 5, 5, 5], 1000 + n as u16));
                let tried = book.try_dial(
                    peer(n + 1),
                    Target::Addr(victim),
                    DialPurpose::Candidate,
                    &mut bench.cx(),
                );
                if let Ok(id) = tried {
                    sent += 1;
                    book.dial_ended(id);
                } else {
                    assert!(matches!(
                        tried,
                        Err(DialRefused::Budget | DialRefused::Rate(_))
                    ));
                }
            }
            bench.advance(Duration::from_secs(2));
        }
        assert_eq!(sent, 8 * (minute + 1), "8 a minute");
    }
    // What we have proven ourselves is not hearsay.
    let victim = Target::Addr(SocketAddr::from(([23, 5, 5, 5], 999)));
    for n in 300..312 {
        let id = book.try_dial(
            peer(n),
            victim.clone(),
            DialPurpose::Exchange,
            &mut bench.cx(),
        );
        book.dial_ended(id.unwrap());
    }
}

#[test]
fn a_dead_address_rests_longer_each_time_and_recovers_at_once() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    let mut rests = Vec::new();
    for _ in 0..10 {
        book.in_touch(bench.now.mono);
        fail(&mut book, &mut bench, 1, DialPurpose::Exchange, DEAD);
        let Err(DialRefused::Resting(until)) =
            dial(&mut book, &mut bench, 1, DialPurpose::Exchange)
        else {
            panic!("should rest")
        };
        let rest = until - bench.now.mono;
        rests.push(rest.as_secs());
        bench.advance(rest);
    }
    assert_eq!(rests, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    // It rests for every id at that address, but not for seeds.
    fail(&mut book, &mut bench, 1, DialPurpose::Exchange, DEAD);
    let other = book.try_dial(
        peer(2),
        Target::Addr(wan(1)),
        DialPurpose::Candidate,
        &mut bench.cx(),
    );
    assert!(matches!(other, Err(DialRefused::Resting(_))));
    let id = dial(&mut book, &mut bench, 1, DialPurpose::Seed).unwrap();
    book.dial_ended(id);
    book.proven(peer(1), wan(1), record(1), &mut bench.cx());
    dial(&mut book, &mut bench, 1, DialPurpose::Exchange).unwrap();
}

#[test]
fn a_wrong_name_for_an_address_does_not_close_it_to_the_right_one() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    book.heard(
        record_at(1, 1, START_UNIX_MS / 1000, &[wan(2)]),
        1,
        list(peer(200), true),
        &mut bench.cx(),
    );
    assert_eq!(
        book.next_candidate(false, &mut bench.cx()),
        Some((peer(1), wan(2)))
    );
    let id = book
        .try_dial(
            peer(1),
            Target::Addr(wan(2)),
            DialPurpose::Candidate,
            &mut bench.cx(),
        )
        .unwrap();
    let dialing = book.dial_ended(id).unwrap();
    book.dial_failed(&dialing, &Ok(DialError::WrongIdentity), &mut bench.cx());
    assert_eq!(book.heard_len(), 0);
    let again = book.try_dial(
        peer(1),
        Target::Addr(wan(2)),
        DialPurpose::Candidate,
        &mut bench.cx(),
    );
    assert!(matches!(again, Err(DialRefused::Resting(_))));
    dial(&mut book, &mut bench, 2, DialPurpose::Candidate).unwrap();
}

#[test]
fn proven_peers_die_of_failures_in_a_row_or_of_a_stranger_at_their_address() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    for n in 1..=3 {
        book.proven(peer(n), wan(n), record(n), &mut bench.cx());
    }
    for failures in 1..=3 {
        book.in_touch(bench.now.mono);
        fail(&mut book, &mut bench, 1, DialPurpose::Exchange, DEAD);
        assert_eq!(book.is_proven(&peer(1)), failures < 3);
        assert_eq!(
            book.item_of(&peer(1), bench.now),
            None,
            "the doubtful are not handed on"
        );
        bench.advance(Duration::from_secs(600));
    }
    fail(
        &mut book,
        &mut bench,
        2,
        DialPurpose::Neighbor,
        Ok(DialError::WrongIdentity),
    );
    assert!(!book.is_proven(&peer(2)));
    // A refusal is a sign of life.
    for _ in 0..5 {
        fail(
            &mut book,
            &mut bench,
            3,
            DialPurpose::Neighbor,
            Err(Code::Full),
        );
        bench.advance(Duration::from_secs(30));
    }
    assert!(book.is_proven(&peer(3)));
}

#[test]
fn while_cut_off_nobody_is_held_to_account() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    for n in 1..=50 {
        book.proven(peer(n), wan(n), record(n), &mut bench.cx());
        book.heard(record(100 + n), 1, list(peer(n / 8), true), &mut bench.cx());
    }
    bench.advance(Duration::from_secs(30));
    for _ in 0..10 {
        for n in 1..=50 {
            if let Ok(id) = dial(&mut book, &mut bench, n, DialPurpose::Exchange) {
                let dialing = book.dial_ended(id).unwrap();
                book.dial_failed(&dialing, &DEAD, &mut bench.cx());
            }
            bench.advance(Duration::from_secs(1));
        }
    }
    assert_eq!(book.proven_len(), 50);
    assert!(bench.stats.peers.failures_excused > 100);
    assert_eq!(book.failures_of(&peer(1)), 0);
    let Err(DialRefused::Resting(until)) = dial(&mut book, &mut bench, 50, DialPurpose::Exchange)
    else {
        panic!("rests a little")
    };
    assert!(until - bench.now.mono <= Duration::from_secs(30));
}

#[test]
fn addresses_at_rest_are_bounded() {
    let (mut bench, _) = bench(AddressPreset::Wan);
    bench.config.peers.resting = 10;
    let mut book = Book::new(&Restored::default(), &mut bench.cx());
    for n in 1..=40 {
        book.in_touch(bench.now.mono);
        fail(&mut book, &mut bench, n, DialPurpose::Exchange, DEAD);
        assert!(book.resting_len() <= 10);
        bench.advance(Duration::from_secs(1));
    }
    assert!(dial(&mut book, &mut bench, 40, DialPurpose::Exchange).is_err());
    assert!(
        dial(&mut book, &mut bench, 1, DialPurpose::Exchange).is_ok(),
        "forgotten first"
    );
    // Those who ask for it count alike.
    for n in 41..=80 {
        let id = dial(&mut book, &mut bench, n, DialPurpose::Seed).unwrap();
        let dialing = book.dial_ended(id).unwrap();
        book.stay_away(&dialing, Duration::from_secs(3600), bench.now.mono);
        assert!(book.resting_len() <= 10);
    }
}

#[test]
fn the_archive_is_bounded_by_crowds_persisted_with_patience_and_picked_over_groups() {
    let (mut bench, _) = bench(AddressPreset::Wan);
    bench.config.peers.archive = 20;
    let mut book = Book::new(&Restored::default(), &mut bench.cx());
    for n in 1..=10 {
        book.proven(peer(n), wan(n), record(n), &mut bench.cx());
    }
    bench.actions();
    for _ in 0..3 {
        bench.advance(Duration::from_secs(299));
        book.proven(peer(1), wan(1), record(1), &mut bench.cx());
    }
    assert_eq!(bench.rows().len(), 1, "one row in ten minutes");
    // A crowd in one /16 evicts only its own.
    for n in 101..=140 {
        let addr = SocketAddr::from(([99, 1, n as u8, 1], 4000));
        bench.advance(Duration::from_millis(5));
        book.proven(
            peer(n),
            addr,
            record_at(n, 1, START_UNIX_MS / 1000, &[addr]),
            &mut bench.cx(),
        );
    }
    assert_eq!(book.archived_len(), 20);
    assert_eq!(book.archived_groups(), 11);
    assert!((1..=10).all(|n| book.archived_addr(&peer(n)).is_some()));
    let removed = bench
        .rows()
        .into_iter()
        .filter(|row| matches!(row, Row::Peer(PeerRow::Unarchived(_))));
    assert_eq!(removed.count(), 30);
    // Fair over groups: the ten of the crowd are one group of eleven.
    bench.advance(Duration::from_secs(4 * 3600));
    book.expire(&mut bench.cx());
    let picks: Vec<PeerId> = (0..1100)
        .map(|_| book.archived(&mut bench.cx()).unwrap().0)
        .collect();
    let crowd = picks
        .iter()
        .filter(|pick| (101..=140).any(|n| peer(n) == **pick))
        .count();
    assert!((60..140).contains(&crowd), "{crowd}");
}

#[test]
fn archive_and_anchors_come_back_after_a_restart_however_long() {
    let (mut bench, mut book) = bench(AddressPreset::Wan);
    book.proven(peer(1), wan(1), record(1), &mut bench.cx());
    book.set_anchors(
        vec![(peer(1), wan(1)), (peer(2), wan(2)), (peer(3), wan(3))],
        &mut bench.cx(),
    );
    book.set_anchors(vec![(peer(1), wan(1)), (peer(2), wan(2))], &mut bench.cx());
    let mut restored = Restored::default();
    for row in bench.rows() {
        match row {
            Row::Peer(PeerRow::Archived(entry)) => restored.archive.push(entry),
            Row::Peer(PeerRow::Anchors(anchors)) => {
                assert!(restored.anchors.is_empty(), "persisted only when changed");
                restored.anchors = anchors;
            }
            other => panic!("{other:?}"),
        }
    }
    bench.advance(Duration::from_secs(8 * 24 * 3600));
    let book = Book::new(&restored, &mut bench.cx());
    assert_eq!(book.archived(&mut bench.cx()), Some((peer(1), wan(1))));
    assert_eq!(book.anchors(), [(peer(1), wan(1)), (peer(2), wan(2))]);
    assert_eq!(book.proven_len(), 0);
    bench.config.peers.archive = 4;
    restored.archive = (1..=9)
        .map(|n| ArchiveEntry {
            peer: peer(n),
            addr: wan(n),
            proven_unix_ms: u64::from(n),
        })
        .collect();
    let book = Book::new(&restored, &mut bench.cx());
    assert_eq!(book.archived_len(), 4);
}

/// One arbitrary step against the book.
#[derive(Clone, Debug)]
enum Op {
    Heard {
        n: u32,
        version: u64,
        age_s: u64,
        from: u32,
        wins: bool,
        bits: u8,
        site: u8,
    },
    Caller {
        n: u32,
        version: u64,
        site: u8,
    },
    Proven {
        n: u32,
        version: u64,
        age_s: u64,
        site: u8,
        listed: bool,
    },
    Renewed {
        n: u32,
        version: u64,
        site: u8,
    },
    DialNext {
        spares: bool,
        outcome: u8,
    },
    Dial {
        n: u32,
        site: u8,
        purpose: u8,
        outcome: u8,
    },
    Advance {
        s: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (n, version, site) = (0..40_u32, 0..4_u64, 0..12_u8);
    prop_oneof![
        (
            n.clone(),
            version.clone(),
            0..12_000_u64,
            0..6_u32,
            any::<bool>(),
            0..4_u8,
            site.clone()
        )
            .prop_map(|(n, version, age_s, from, wins, bits, site)| Op::Heard {
                n,
                version,
                age_s,
                from,
                wins,
                bits,
                site
            }),
        (n.clone(), version.clone(), site.clone()).prop_map(|(n, version, site)| Op::Caller {
            n,
            version,
            site
        }),
        (
            n.clone(),
            version.clone(),
            0..12_000_u64,
            site.clone(),
            any::<bool>()
        )
            .prop_map(|(n, version, age_s, site, listed)| Op::Proven {
                n,
                version,
                age_s,
                site,
                listed
            }),
        (n.clone(), version, site.clone()).prop_map(|(n, version, site)| Op::Renewed {
            n,
            version,
            site
        }),
        (any::<bool>(), 0..8_u8).prop_map(|(spares, outcome)| Op::DialNext { spares, outcome }),
        (n, site, 0..8_u8, 0..8_u8).prop_map(|(n, site, purpose, outcome)| Op::Dial {
            n,
            site,
            purpose,
            outcome
        }),
        (0..4000_u64).prop_map(|s| Op::Advance { s }),
    ]
}

/// Few addresses, some of special use, so that caps and groups matter.
fn site(site: u8, n: u32) -> SocketAddr {
    match site {
        0 => SocketAddr::from(([127, 0, 0, 1], 4000)),
        1 => "[2a00:1:2::1]:4000".parse().unwrap(),
        2..5 => SocketAddr::from(([23, 1, 1, 1], 4000 + n as u16)),
        5..8 => SocketAddr::from(([23, 1, 1, n as u8 + 1], 4000)),
        _ => wan(n),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_sequence_keeps_the_book_true_and_bounded(ops in proptest::collection::vec(op(), 1..120)) {
        let (mut bench, _) = bench(AddressPreset::Wan);
        bench.config.peers.heard = 12;
        bench.config.peers.sources = 3;
        bench.config.peers.proven = 10;
        bench.config.peers.archive = 9;
        bench.config.peers.resting = 7;
        bench.config.peers.in_flight = 8;
        let mut book = Book::new(&Restored::default(), &mut bench.cx());
        let mut under_way: Vec<DialId> = Vec::new();
        for op in ops {
            let unix_s = bench.now.unix_ms / 1000;
            let record = |n: u32, version, age: u64, addr| record_at(n, version, unix_s.saturating_sub(age), &[addr]);
            match op {
                Op::Heard { n, version, age_s, from, wins, bits, site: at } => {
                    book.heard(record(n, version, age_s, site(at, n)), bits, list(peer(500 + from), wins), &mut bench.cx());
                }
                Op::Caller { n, version, site: at } => {
                    book.heard(record(n, version, 0, site(at, n)), 0, Source::Caller, &mut bench.cx());
                }
                Op::Proven { n, version, age_s, site: at, listed } => {
                    let named = if listed { site(at, n) } else { wan(n + 1) };
                    book.proven(peer(n), site(at, n), record(n, version, age_s, named), &mut bench.cx());
                }
                Op::Renewed { n, version, site: at } => {
                    book.renewed(peer(n), site(at, n), record(n, version, 0, site(at, n)), &mut bench.cx());
                }
                Op::DialNext { spares, outcome } => {
                    if let Some((next, addr)) = book.next_candidate(spares, &mut bench.cx()) {
                        match book.try_dial(next, Target::Addr(addr), DialPurpose::Candidate, &mut bench.cx()) {
                            Ok(id) => settle(&mut book, &mut bench, id, outcome, &mut under_way),
                            Err(DialRefused::AlreadyDialing) => {}
                            Err(_) if outcome % 2 == 0 => book.put_back(&next),
                            Err(_) => book.drop_candidate(&next),
                        }
                    }
                }
                Op::Dial { n, site: at, purpose, outcome } => {
                    let purpose = [
                        DialPurpose::Seed, DialPurpose::Persistent, DialPurpose::Anchor, DialPurpose::Archive,
                        DialPurpose::Candidate, DialPurpose::Exchange, DialPurpose::Neighbor, DialPurpose::Repair,
                    ][usize::from(purpose)];
                    if let Ok(id) = book.try_dial(peer(n), Target::Addr(site(at, n)), purpose, &mut bench.cx()) {
                        settle(&mut book, &mut bench, id, outcome, &mut under_way);
                    }
                }
                Op::Advance { s } => bench.advance(Duration::from_secs(s)),
            }
            book.expire(&mut bench.cx());
            book.candidates.check();
            let failing = book.proven_peers().filter(|(peer, ..)| book.failures_of(peer) > 0);
            prop_assert_eq!(failing.count(), book.failing());
            let me = peer(0);
            prop_assert!(!book.is_proven(&me) && book.record_of(&me).is_none());
            prop_assert!(book.heard_len() <= 12 && book.proven_len() <= 10 && book.archived_len() <= 9);
            prop_assert!(book.resting_len() <= 7 && book.dialing_len() <= 8);
            prop_assert!(book.sources_len() <= 3);
            prop_assert_eq!(book.dialing_len(), under_way.len());
            let crowd = book.proven_peers().filter(|(_, addr, _)| addr.ip() == site(2, 0).ip()).count();
            prop_assert!(crowd <= 8);
            for (known, addr, _) in book.proven_peers() {
                let record = book.record_of(&known).unwrap();
                prop_assert!(record.issued_unix_s + RECORD_VALID_S >= bench.now.unix_ms / 1000);
                prop_assert!(bench.now.mono < book.proven_at(&known).unwrap() + bench.config.peers.proof_valid);
                prop_assert!(is_taken(addr, AddressPreset::Wan));
                if let Some(item) = book.item_of(&known, bench.now) {
                    let named = item.record.value.addrs().find(|(bit, _)| *bit == item.proven);
                    prop_assert_eq!(named.map(|(_, addr)| addr), Some(addr));
                }
            }
        }
    }
}

fn settle(
    book: &mut Book,
    bench: &mut Bench,
    id: DialId,
    outcome: u8,
    under_way: &mut Vec<DialId>,
) {
    let reason = match outcome {
        0 => {
            under_way.push(id);
            return;
        }
        1 => DEAD,
        2 => Ok(DialError::WrongIdentity),
        3 => Ok(DialError::NoAddress),
        4 => Err(Code::Full),
        5 => Ok(DialError::Busy),
        _ => {
            book.dial_ended(id);
            return;
        }
    };
    let dialing = book.dial_ended(id).unwrap();
    book.dial_failed(&dialing, &reason, &mut bench.cx());
}
