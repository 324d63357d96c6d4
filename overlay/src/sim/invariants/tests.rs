//! Each invariant sees the fault that is planted for it, and nothing else does.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use crypto::Identity;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::config::AddressPreset;
use crate::input::{Command, Token};
use crate::neighbors::Code;
use crate::sim::cast::Cast;
use crate::sim::run::Run;
use crate::sim::scenario::{Addresses, Adversary, Event, Happening};
use crate::sim::world::Player;

fn scenario(nodes: usize) -> Scenario {
    Scenario {
        nodes,
        duration_s: 1000.0,
        measure_every_s: 10.0,
        join_s: 1.0,
        ..Scenario::default()
    }
}

/// A run that has come so far, without a fault.
fn sound(scenario: &Scenario, seconds: f64) -> Run<'_> {
    scenario.check().expect("a sound scenario");
    let mut run = Run::new(scenario, 1, 1);
    run.plan();
    let violations = go(&mut run, seconds);
    assert_eq!(violations, [], "before the fault");
    run
}

/// Goes on until then; all violations so far.
fn go(run: &mut Run<'_>, seconds: f64) -> Vec<Violation> {
    run.until(Time::from_seconds(seconds), &mut |_| {})
        .expect("a sound scenario");
    run.measure();
    run.checker.described().to_vec()
}

fn node<'a>(run: &'a mut Run<'_>, index: usize) -> &'a mut Overlay {
    match run.world.player_mut(index) {
        Some(Player::Node(node)) => node,
        _ => panic!("no node of ours at {index}"),
    }
}

/// All of them are of this invariant and at this host, and there are some.
fn assert_only(violations: &[Violation], invariant: &str, host: u32) {
    let seen: BTreeSet<(&str, u32)> = violations.iter().map(|v| (v.invariant, v.host)).collect();
    assert_eq!(seen, BTreeSet::from([(invariant, host)]), "{violations:#?}");
}

fn assert_says(violations: &[Violation], what: &str) {
    let said = violations[0].to_string();
    assert!(said.contains(what), "{said}");
}

#[test]
fn a_member_without_a_proof() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let addr = run.world.host(4).who().addr;
    let stranger = Identity::from_seed(&[9; 32]).id();
    node(&mut run, 3).plant_member(stranger, addr);
    let violations = go(&mut run, 21.0);
    assert_only(&violations, "memory", 3);
    assert_says(&violations, "has no proof");
}

#[test]
fn a_member_that_is_the_node_itself() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let (me, addr) = (run.world.host(3).id(), run.world.host(3).who().addr);
    node(&mut run, 3).plant_member(me, addr);
    let violations = go(&mut run, 21.0);
    assert_only(&violations, "memory", 3);
    assert_says(&violations, "the node itself is a member");
}

#[test]
fn a_member_ranked_under_another_address() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let (peer, addr) = (run.world.host(5).id(), run.world.host(4).who().addr);
    node(&mut run, 3).plant_member(peer, addr);
    let violations = go(&mut run, 20.0);
    assert_only(&violations, "memory", 3);
    assert_says(&violations, "but proven at");
}

#[test]
fn a_member_whose_proof_or_record_is_over() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let bounds = run.world.guard_of(3).bounds_mut();
    bounds.proof_valid = Duration::from_secs(1);
    let violations = go(&mut run, 20.0);
    assert_only(&violations, "memory", 3);
    assert_says(&violations, "the proof of");

    let mut run = sound(&scenario, 20.0);
    run.world.guard_of(3).bounds_mut().record_valid_s = 5;
    let violations = go(&mut run, 20.0);
    assert_only(&violations, "memory", 3);
    assert_says(&violations, "the record of");
}

#[test]
fn every_cap_is_compared_with_what_it_caps() {
    let scenario = Scenario {
        byzantine: 0.3,
        adversary: Adversary::Invent,
        force: 5.0,
        addresses: Addresses::Zipf,
        ..scenario(14)
    };
    let mut run = sound(&scenario, 1.0);
    // An address where nobody is any more, and a ban, but of nobody who is there.
    run.world.crash(5);
    let peer = Identity::from_seed(&[9; 32]).id();
    let ban = Command::Ban {
        peer,
        duration: None,
    };
    run.world.tell(0, Input::Command(ban));
    type Cap = fn(&mut Bounds) -> &mut usize;
    let caps: [(&str, Cap); 13] = [
        ("heard records", |b| &mut b.heard),
        ("proven peers", |b| &mut b.proven),
        ("archived peers", |b| &mut b.archive),
        ("dials under way", |b| &mut b.dials),
        ("addresses at rest", |b| &mut b.resting),
        ("visits", |b| &mut b.visits),
        ("callers that wait", |b| &mut b.callers),
        ("sources", |b| &mut b.sources),
        ("candidates of one source", |b| &mut b.per_source),
        ("connections opened by others", |b| &mut b.links),
        ("inbound neighbors", |b| &mut b.inbound),
        ("outbound neighbors", |b| &mut b.outbound),
        ("bans", |b| &mut b.bans),
    ];
    let mut left: Vec<(&str, Cap)> = caps.to_vec();
    let mut at = 1.0;
    while !left.is_empty() {
        assert!(at < 200.0, "nothing ever was in: {left:?}");
        at += 0.05;
        run.until(Time::from_seconds(at), &mut |_| {})
            .expect("a sound scenario");
        left.retain(|(name, cap)| {
            let guard = run.world.guard_of(0);
            let most = std::mem::take(cap(guard.bounds_mut()));
            let guard = run.world.guard_of(0);
            *cap(guard.bounds_mut()) = most;
            let found = std::mem::take(&mut guard.found);
            for violation in &found.described {
                assert_eq!(violation.invariant, "caps");
                let says = violation.what.starts_with(&format!("{name}: "));
                assert!(says, "{violation}");
                assert!(violation.what.ends_with("at most 0"), "{violation}");
            }
            found.count == 0
        });
    }
    assert_eq!(run.checker.count(), 0);
}

#[test]
fn more_inbound_neighbors_than_configured() {
    let scenario = Scenario {
        inbound: 3,
        ..scenario(20)
    };
    let mut run = sound(&scenario, 1.0);
    node(&mut run, 0).config_mut().neighbors.inbound = 100;
    let violations = go(&mut run, 20.0);
    assert_only(&violations, "caps", 0);
    assert_says(&violations, "inbound neighbors");
}

#[test]
fn resets_that_were_not_paid_for() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    node(&mut run, 2).plant_resets(100);
    let violations = go(&mut run, 20.0);
    assert_only(&violations, "resets", 2);
    assert_says(&violations, "100 resets in");
}

#[test]
fn an_outbound_neighbor_evicted() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let now = run.world.now();
    let overlay = node(&mut run, 6);
    let (link, _) = overlay
        .rooms()
        .links
        .neighbors()
        .find(|(_, link)| link.outbound)
        .expect("an outbound neighbor");
    overlay.plant_close(link, Code::Evicted, now);
    run.world.tell(6, Input::Timeout);
    let violations = go(&mut run, 21.0);
    assert_only(&violations, "pools", 6);
    assert_says(&violations, "was given up");
}

#[test]
fn more_of_one_address_or_group_than_the_caps_say() {
    let scenario = Scenario {
        addresses: Addresses::Flat,
        ..scenario(12)
    };
    // Addresses of one group as far as (the given number of) bytes go.
    for (same, count, level) in [
        (4, 9, "connections of one address: 9, at most 8"),
        (3, 17, "connections of one narrow group: 17, at most 16"),
        (2, 129, "connections of one wide group: 129, at most 128"),
    ] {
        let mut run = sound(&scenario, 10.0);
        let overlay = node(&mut run, 3);
        for n in 0..count {
            overlay.plant_link(n, crowded(same, n));
        }
        let violations = go(&mut run, 10.0);
        assert_only(&violations, "admission", 3);
        assert_says(&violations, level);
    }
    let mut run = sound(&scenario, 10.0);
    let now = run.world.now();
    let overlay = node(&mut run, 3);
    for n in 0..17 {
        overlay.plant_proof(n, crowded(3, n), now);
    }
    let violations = go(&mut run, 10.0);
    assert_only(&violations, "admission", 3);
    assert_says(
        &violations,
        "proven peers of one narrow group: 17, at most 16",
    );
}

/// The `n`-th address of those that have their first bytes in common.
fn crowded(same: usize, n: u8) -> std::net::SocketAddr {
    let mut bytes = [66, 1, 1, 1];
    for byte in &mut bytes[same..] {
        *byte = n;
    }
    (std::net::Ipv4Addr::from(bytes), 4100).into()
}

#[test]
fn two_networks_that_know_nothing_of_each_other() {
    let scenario = scenario(12);
    let cast = Cast::new(&scenario, 1);
    let mut world = World::new(&scenario, 1, 1);
    for index in 0..12 {
        world.add(cast.who(index, false));
    }
    for index in 0..12 {
        let mut config = cast.config(index, &world);
        let half = index / 6 * 6;
        let seed = world.host(half).who();
        config.seeds.retain(|_| index != half);
        config.seeds.truncate(1);
        for known in &mut config.seeds {
            known.peer = seed.identity.id();
            known.target = crate::action::Target::Addr(seed.addr);
        }
        let overlay = Overlay::new(
            world.host(index).who().identity.clone(),
            world.network(),
            config,
            [u8::try_from(index).expect("a dozen"); 32],
            world.now(),
            world.restored(index),
        );
        let overlay = overlay.expect("a sound configuration");
        world.start(index, Player::Node(Box::new(overlay)));
    }
    let ids = world.index_of_ids();
    let mut checker = Checker::default();
    world.run_until(Time::from_seconds(100.0));
    checker.inspect(&mut world, &scenario, &ids);
    assert_eq!(checker.described(), [], "too early to tell");
    world.run_until(Time::from_seconds(130.0));
    checker.inspect(&mut world, &scenario, &ids);
    assert_eq!(checker.count(), 1);
    let host = checker.described()[0].host;
    assert_only(checker.described(), "connected", host);
    assert_says(checker.described(), "6 of 12 honest nodes are cut off");
}

#[test]
fn dials_on_hearsay_beyond_the_budget() {
    let scenario = Scenario {
        byzantine: 0.2,
        adversary: Adversary::AddressPoison,
        force: 20.0,
        victims: 1,
        addresses: Addresses::Flat,
        ..scenario(20)
    };
    let mut run = sound(&scenario, 1.5);
    for index in 0..16 {
        if run.world.host(index).node().is_some() {
            let book = node(&mut run, index).book_mut();
            book.plant_preset(AddressPreset::Local);
        }
    }
    let violations = go(&mut run, 60.0);
    assert!(!violations.is_empty());
    assert!(violations.iter().all(|v| v.invariant == "dials"));
    assert_says(&violations, "hearsay led to 9 dials within a minute");
}

#[test]
fn an_address_is_given_no_rest() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 60.0);
    let rest = Duration::from_millis(1);
    node(&mut run, 2).book_mut().config_mut().rest_shortest = rest;
    run.world.crash(7);
    run.world.crash(8);
    let violations = go(&mut run, 200.0);
    assert_only(&violations, "dials", 2);
    assert_says(&violations, "after nothing answered there");
}

#[test]
fn more_dials_within_a_second_than_the_rate_gives() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    run.world.guard_of(2).bounds_mut().dials_within_1s = 0;
    let violations = go(&mut run, 200.0);
    assert_only(&violations, "dials", 2);
    assert_says(&violations, "1 dials within a second, at most 0");
}

#[test]
fn a_peer_dialled_twice_at_a_time() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let moment = Moment {
        host: 3,
        at: run.world.time(),
        now: run.world.now(),
    };
    let dial = |number| Action::Dial {
        dial: crate::input::DialId(number),
        peer: run.world.host(4).id(),
        target: crate::action::Target::Addr(run.world.host(4).who().addr),
    };
    let (first, second) = (dial(u64::MAX - 1), dial(u64::MAX));
    let mut guard = std::mem::take(run.world.guard_of(3));
    let overlay = node(&mut run, 3);
    guard.did(&first, overlay, &moment);
    assert_eq!(guard.found.count, 0);
    guard.did(&second, overlay, &moment);
    assert_only(&guard.found.described, "dials", 3);
}

#[test]
fn an_honest_node_banned_by_another() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let ban = Command::Ban {
        peer: run.world.host(4).id(),
        duration: Some(Duration::from_secs(10)),
    };
    run.world.tell(3, Input::Command(ban));
    let violations = go(&mut run, 21.0);
    assert_only(&violations, "bans", 3);
    assert_says(&violations, "it banned node 4");
}

fn publish(run: &mut Run<'_>, index: usize, text: &str) {
    let command = Command::Publish {
        token: Token(1),
        topic: "t".parse().expect("a topic"),
        payloads: vec![Bytes::copy_from_slice(text.as_bytes())],
    };
    run.world.tell(index, Input::Command(command));
}

#[test]
fn a_cursor_used_twice() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    publish(&mut run, 1, "one");
    publish(&mut run, 2, "two");
    assert_eq!(go(&mut run, 40.0), []);
    run.world.crash(5);
    run.world.wipe(5);
    run.start(5).expect("a sound scenario");
    let violations = go(&mut run, 80.0);
    assert_only(&violations, "numbers", 5);
    assert_says(&violations, "an entry has the cursor 1 after one with 2");
}

#[test]
fn a_sequence_number_used_twice() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    publish(&mut run, 4, "one");
    assert_eq!(go(&mut run, 40.0), []);
    // Without its store a node begins at the number of microseconds that its clock shows: the clock is set back to the first start.
    let started = run.world.host(4).started_at();
    run.world.crash(4);
    run.world.wipe(4);
    let set_back = Now {
        unix_ms: run.world.unix_ms_at(started),
        ..run.world.now()
    };
    let player = run.player_at(4, set_back).expect("a sound scenario");
    run.world.start(4, player);
    publish(&mut run, 4, "another");
    let violations = go(&mut run, 80.0);
    assert!(violations.iter().all(|v| v.invariant == "numbers"));
    let says = |what: &str| violations.iter().any(|v| v.what.contains(what));
    assert!(says("two messages of node 4"), "{violations:#?}");
    assert!(says("it does not know"), "{violations:#?}");
}

#[test]
fn what_is_described_is_bounded_and_all_is_counted() {
    let scenario = scenario(12);
    let mut run = sound(&scenario, 20.0);
    let addr = run.world.host(4).who().addr;
    for n in 0..10 {
        let stranger = Identity::from_seed(&[100 + n; 32]).id();
        node(&mut run, 3).plant_member(stranger, addr);
    }
    for _ in 0..100 {
        run.measure();
    }
    assert!(run.checker.count() >= 500, "{}", run.checker.count());
    assert_eq!(run.checker.described().len(), MAX_OF_RUN);
    let outcome = run.watch.finish(&run.world, &scenario, &run.checker);
    assert_eq!(outcome.violations.len(), MAX_OF_RUN);
    assert!(outcome.violations[0].contains("node 3, memory: "));
    assert!(outcome.metrics["violations"] >= 500.0);
}

/// Faults of every kind at random moments of four minutes, in bad weather, while messages are published; then they end.
fn chaos(seed: u64) -> Scenario {
    let mut fate = ChaCha12Rng::seed_from_u64(seed);
    let mut events = Vec::new();
    for _ in 0..10 {
        let fraction = fate.random_range(0.05..0.4);
        let what = match fate.random_range(0..6) {
            0 => Happening::Crash { fraction },
            1 => Happening::CrashInCommit { fraction },
            2 => Happening::Restart,
            3 => Happening::Stall {
                fraction,
                for_s: fate.random_range(1.0..40.0),
            },
            4 => Happening::Partition {
                groups: vec![fraction, 1.0 - fraction],
                one_way: fate.random(),
            },
            _ => Happening::Heal,
        };
        let at_s = fate.random_range(20.0..260.0);
        events.push(Event { at_s, what });
    }
    for what in [Happening::Restart, Happening::Heal] {
        events.push(Event {
            at_s: FAULTS_END,
            what,
        });
    }
    events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    Scenario {
        nodes: 24,
        byzantine: 0.1,
        adversary: Adversary::Flood,
        force: 3.0,
        duration_s: FAULTS_END + connected::HEAL.as_secs_f64() + 30.0,
        measure_every_s: 10.0,
        join_s: 2.0,
        loss: 0.05,
        duplicate: 0.02,
        reorder: 0.05,
        events,
        ..Scenario::default()
    }
}

/// When the last fault ends, seconds.
const FAULTS_END: f64 = 300.0;

#[test]
fn after_chaos_the_network_is_one_again_within_the_bound() {
    for seed in 1..=2 {
        let scenario = chaos(seed);
        scenario.check().expect("a sound scenario");
        let mut run = Run::new(&scenario, seed, 1);
        run.plan();
        let honest = scenario.nodes - scenario.hostile();
        for n in 1..=12 {
            go(&mut run, 22.0 * f64::from(n));
            let author = n as usize % honest;
            if run.world.host(author).node().is_some() {
                publish(&mut run, author, &format!("{seed}:{n}"));
            }
        }
        assert_eq!(go(&mut run, scenario.duration_s), [], "seed {seed}");
        let outcome = run.watch.finish(&run.world, &scenario, &run.checker);
        let metric = |name: &str| outcome.metrics[name];
        assert_eq!(metric("alive"), honest as f64, "seed {seed}");
        assert_eq!(metric("largest_component"), 1.0, "seed {seed}");
        let heal = metric("heal_seconds");
        assert!(heal <= connected::HEAL.as_secs_f64(), "seed {seed}: {heal}");
    }
}
