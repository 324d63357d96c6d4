//! A test: nothing that a core keeps grows for ever while links break and come back and messages pass through.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Run;
use crate::sim::scenario::{Authors, Event, Happening, Scenario};
use crate::sim::world::{Player, Time};

/// Nodes part and meet again, a quarter of them at a time, every so many seconds.
const CYCLE_S: f64 = 100.0;
/// Latest messages of which it is remembered who has them.
const RECENT: usize = 100;
/// How long messages are kept.
const RETENTION: Duration = Duration::from_secs(300);

fn scenario(duration_s: f64) -> Scenario {
    let event = |at_s, what| Event { at_s, what };
    let cycles = (duration_s / CYCLE_S) as u32;
    let events = (1..cycles).flat_map(|cycle| {
        let at = f64::from(cycle) * CYCLE_S;
        let apart = Happening::Partition {
            groups: vec![0.75, 0.25],
            one_way: false,
        };
        [event(at, apart), event(at + 40.0, Happening::Heal)]
    });
    Scenario {
        nodes: 12,
        duration_s,
        join_s: 2.0,
        period_s: 5.0,
        // As many samples are kept, one in five periods is drawn: 800 s.
        slots: 32,
        loss: 0.05,
        duplicate: 0.02,
        payload: 2000,
        rate: 0.5,
        publish_at_s: 30.0,
        publish_for_s: duration_s - 60.0,
        authors: Authors::Random,
        events: events.collect(),
        ..Scenario::default()
    }
}

/// How long each room of all nodes is when it is written out, with all that it holds.
fn lengths(run: &mut Run<'_>) -> BTreeMap<&'static str, usize> {
    let mut sum = BTreeMap::new();
    for index in 0..run.world.len() {
        let Some(Player::Node(node)) = run.world.player_mut(index) else {
            continue;
        };
        // Samples wait to be looked at in simulated nodes only.
        node.take_emitted();
        for (room, length) in node.written_lengths() {
            *sum.entry(room).or_default() += length;
        }
    }
    sum
}

/// The rooms that are larger by more than a fifth in cycles 18 to 23 than in cycles 9 to 14, on average.
fn growing(bounded: bool) -> Vec<&'static str> {
    let scenario = scenario(2400.0);
    let mut run = Run::new(&scenario, 1, 1);
    run.plan();
    run.until(Time::from_seconds(5.0), &mut |_| {}).unwrap();
    for index in (0..scenario.nodes).filter(|_| bounded) {
        if let Some(Player::Node(node)) = run.world.player_mut(index) {
            node.config_mut().broadcast.recent = RECENT;
            node.retain_for(RETENTION);
        }
    }
    let mut over_cycles = |cycles: std::ops::Range<u32>| {
        let mut sum = BTreeMap::new();
        for cycle in cycles {
            let at = f64::from(cycle) * CYCLE_S - 1.0;
            run.until(Time::from_seconds(at), &mut |_| {}).unwrap();
            for (room, length) in lengths(&mut run) {
                *sum.entry(room).or_insert(0) += length;
            }
        }
        sum
    };
    let early = over_cycles(9..15);
    let late = over_cycles(18..24);
    assert_eq!(early.len(), 9);
    early
        .into_iter()
        .filter(|(room, early)| late[room] * 5 > early * 6)
        .map(|(room, _)| room)
        .collect()
}

#[test]
fn what_a_node_keeps_does_not_grow() {
    assert_eq!(growing(true), Vec::<&str>::new());
}

#[test]
fn what_grows_is_seen() {
    // The last 8,192 messages and those of a day are more than this world sees.
    assert_eq!(growing(false), ["broadcast", "messages"]);
}
