//! Each rule by itself: a small world holds its bar with all rules in force, and misses it without that one.
#![cfg(feature = "sim")]

use overlay::rules::Rule;
use overlay::sim::scenario::{
    Addresses, Adversary, Authors, Event, Happening, HostileAddresses, Scenario, Start,
};
use overlay::sim::{Outcome, run};

/// A rule, the small world that misses it, and how that shows.
struct Guard {
    rule: Rule,
    /// The scenario of which this is a small version.
    scenario: &'static str,
    world: Scenario,
    /// A metric, or a counter of the nodes.
    figure: &'static str,
    /// At most this with all rules; `without` is beyond `missed`. Where `least` is set, it is at least this, and below `missed`.
    holds: f64,
    missed: f64,
    /// The bar is from below.
    least: bool,
    /// For `violations`: the invariant that sees it.
    invariant: Option<&'static str>,
}

/// 50 nodes for 12 periods of 5 s, with a quarter of the slots and half of the lists of a real node, as fits networks of this size.
fn world() -> Scenario {
    Scenario {
        nodes: 50,
        duration_s: 60.0,
        measure_every_s: 20.0,
        join_s: 5.0,
        period_s: 5.0,
        slots: 64,
        list: 16,
        list_young: 16,
        ..Scenario::default()
    }
}

fn flood() -> Scenario {
    Scenario {
        byzantine: 0.2,
        adversary: Adversary::Flood,
        force: 10.0,
        ..world()
    }
}

/// Half of the nodes in one /24.
fn sybils() -> Scenario {
    Scenario {
        byzantine: 0.5,
        addresses: Addresses::Flat,
        hostile_addresses: HostileAddresses::OneSlash24,
        ..flood()
    }
}

fn invent() -> Scenario {
    Scenario {
        byzantine: 0.4,
        adversary: Adversary::Invent,
        ..world()
    }
}

const fn event(at_s: f64, what: Happening) -> Event {
    Event { at_s, what }
}

fn most(
    rule: Rule,
    scenario: &'static str,
    world: Scenario,
    figure: &'static str,
    [holds, missed]: [f64; 2],
) -> Guard {
    Guard {
        rule,
        scenario,
        world,
        figure,
        holds,
        missed,
        least: false,
        invariant: None,
    }
}

/// Nothing that must never happen happens; without the rule it does, again and again.
fn never(rule: Rule, scenario: &'static str, world: Scenario, invariant: &'static str) -> Guard {
    Guard {
        invariant: Some(invariant),
        ..most(rule, scenario, world, "violations", [0.0, 5.0])
    }
}

fn guards() -> Vec<Guard> {
    let mut all = fair();
    all.extend(harmless());
    all.extend(whole());
    all.extend(alive());
    all
}

/// 40 nodes, of which half attack messages; each message is from any of the others.
fn messages(adversary: Adversary) -> Scenario {
    Scenario {
        nodes: 40,
        byzantine: 0.5,
        adversary,
        start: Start::Warm,
        duration_s: 28.0,
        measure_every_s: 14.0,
        payload: 1000,
        rate: 10.0,
        publish_at_s: 5.0,
        publish_for_s: 10.0,
        authors: Authors::Random,
        slots: 64,
        ..Scenario::default()
    }
}

/// Rules for messages that reach everybody, and soon.
fn whole() -> Vec<Guard> {
    vec![
        Guard {
            least: true,
            ..most(
                Rule::AskMissing,
                "dissemination",
                messages(Adversary::Silent),
                "coverage",
                [1.0, 0.95],
            )
        },
        most(
            Rule::KeptPromises,
            "dissemination",
            messages(Adversary::Bait),
            "p99_ms",
            [1500.0, 2000.0],
        ),
    ]
}

/// 40 nodes with one path in five broken for some seconds, six times, and others each time.
fn broken_paths() -> Scenario {
    let mut events = Vec::new();
    for turn in 0..6 {
        let at_s = 60.0 + 60.0 * f64::from(turn);
        events.push(event(at_s, Happening::Outage { share: 0.2 }));
        events.push(event(at_s + 2.9, Happening::Heal));
    }
    Scenario {
        nodes: 40,
        duration_s: 420.0,
        events,
        ..world()
    }
}

/// Rules for neighbors that are given up if they are dead, and not else.
fn alive() -> Vec<Guard> {
    let slow = Happening::Slow {
        fraction: 0.3,
        for_s: 100.0,
        by_s: 1.0,
    };
    let halves = Happening::Partition {
        groups: vec![0.5, 0.5],
        one_way: false,
    };
    vec![
        most(
            Rule::IndirectProbes,
            "mistakes",
            broken_paths(),
            "false_failed",
            [60.0, 80.0],
        ),
        most(
            Rule::LocalHealth,
            "mistakes",
            Scenario {
                duration_s: 140.0,
                events: vec![event(30.0, slow)],
                ..world()
            },
            "false_suspected_by_faulty",
            [3.0, 30.0],
        ),
        most(
            Rule::Bridge,
            "heal",
            Scenario {
                nodes: 140,
                duration_s: 170.0,
                events: vec![event(40.0, halves), event(100.0, Happening::Heal)],
                ..world()
            },
            "heal_seconds",
            [30.0, 60.0],
        ),
    ]
}

/// Rules for a fair and living sample.
fn fair() -> Vec<Guard> {
    vec![
        most(Rule::PrefixRank, "sybils", sybils(), "share", [0.1, 0.25]),
        most(Rule::OwnDial, "size-estimate", invent(), "dead", [0.0, 0.5]),
        most(
            Rule::OldestFirst,
            "crash",
            Scenario {
                period_s: 2.0,
                duration_s: 230.0,
                events: vec![event(20.0, Happening::Crash { fraction: 0.3 })],
                ..world()
            },
            "dead",
            [0.056, 0.06],
        ),
        Guard {
            least: true,
            ..most(
                Rule::NewcomersFirst,
                "churn",
                Scenario {
                    nodes: 200,
                    start: Start::Warm,
                    list: 8,
                    duration_s: 120.0,
                    events: vec![event(
                        40.0,
                        Happening::Join {
                            nodes: 10,
                            over_s: 5.0,
                        },
                    )],
                    ..world()
                },
                "known",
                [0.85, 0.7],
            )
        },
        most(
            Rule::RankSpares,
            "crash",
            Scenario {
                nodes: 120,
                start: Start::Warm,
                slots: 32,
                list: 4,
                list_young: 4,
                duration_s: 220.0,
                events: vec![event(30.0, Happening::Crash { fraction: 0.5 })],
                ..flood()
            },
            "in_degree_variance_ratio",
            [1.25, 1.3],
        ),
        never(Rule::SlowReset, "byzantine", flood(), "resets"),
        Guard {
            least: true,
            ..most(
                Rule::Healing,
                "chaos",
                Scenario {
                    nodes: 14,
                    slots: 8,
                    period_s: 1.0,
                    duration_s: 800.0,
                    events: vec![
                        event(
                            20.0,
                            Happening::Partition {
                                groups: vec![0.5, 0.5],
                                one_way: false,
                            },
                        ),
                        event(650.0, Happening::Heal),
                    ],
                    ..world()
                },
                "largest_component",
                [1.0, 0.8],
            )
        },
    ]
}

/// Rules against being used, by crowds or against others.
fn harmless() -> Vec<Guard> {
    vec![
        most(
            Rule::OwnExchanges,
            "size-estimate",
            Scenario {
                byzantine: 0.5,
                period_s: 2.0,
                push: 64,
                ..invent()
            },
            "peers.dials_dead",
            [92.0, 130.0],
        ),
        never(Rule::SourceQuota, "size-estimate", invent(), "caps"),
        never(
            Rule::SeparatePools,
            "targeted",
            Scenario {
                inbound: 8,
                ..flood()
            },
            "caps",
        ),
        never(Rule::AddressCaps, "sybils", sybils(), "dials"),
        never(
            Rule::DialBudget,
            "targeted",
            Scenario {
                adversary: Adversary::AddressPoison,
                victims: 1,
                addresses: Addresses::Flat,
                ..invent()
            },
            "dials",
        ),
        never(
            Rule::DialRate,
            "flash-join",
            Scenario {
                nodes: 90,
                duration_s: 5.0,
                measure_every_s: 1.0,
                join_s: 1.0,
                slots: 0,
                list: 0,
                list_young: 0,
                ..world()
            },
            "dials",
        ),
        never(Rule::RestDead, "size-estimate", invent(), "dials"),
    ]
}

fn figure(outcome: &Outcome, name: &str) -> f64 {
    let metric = outcome.metrics.get(name);
    let value = metric.or_else(|| outcome.counters.get(name));
    *value.unwrap_or_else(|| panic!("{name} was not measured"))
}

fn check(rule: Rule, seed: u64) {
    let guards = guards();
    let guard = guards.iter().find(|guard| guard.rule == rule);
    let guard = guard.expect("every rule has its guard");
    let outcome = |without| {
        let world = Scenario {
            without,
            ..guard.world.clone()
        };
        run(&world, seed, 1, &mut |_| {}).expect("a sound scenario")
    };
    let (with, without) = (outcome(vec![]), outcome(vec![rule]));
    let (held, missed) = (figure(&with, guard.figure), figure(&without, guard.figure));
    let what = format!(
        "{rule:?} ({}): {} is {held} with it and {missed} without",
        guard.scenario, guard.figure
    );
    if guard.least {
        assert!(held >= guard.holds && missed < guard.missed, "{what}");
    } else {
        assert!(held <= guard.holds && missed > guard.missed, "{what}");
    }
    assert_eq!(with.violations, Vec::<String>::new(), "{what}");
    if let Some(invariant) = guard.invariant {
        let named = format!(", {invariant}: ");
        let other: Vec<&String> = without
            .violations
            .iter()
            .filter(|said| !said.contains(&named))
            .collect();
        assert!(other.is_empty(), "{what}: {other:#?}");
    }
    println!("{what}");
}

macro_rules! each {
    ($($test:ident: $rule:ident,)*) => {
        /// One test for each rule, so that they run side by side.
        const GUARDED: &[Rule] = &[$(Rule::$rule),*];
        $(
            #[test]
            fn $test() {
                check(Rule::$rule, 1);
            }
        )*
    };
}

each! {
    prefix_rank: PrefixRank,
    own_dial: OwnDial,
    own_exchanges: OwnExchanges,
    slow_reset: SlowReset,
    source_quota: SourceQuota,
    oldest_first: OldestFirst,
    separate_pools: SeparatePools,
    address_caps: AddressCaps,
    dial_budget: DialBudget,
    dial_rate: DialRate,
    rest_dead: RestDead,
    healing: Healing,
    ask_missing: AskMissing,
    kept_promises: KeptPromises,
    indirect_probes: IndirectProbes,
    local_health: LocalHealth,
    bridge: Bridge,
    newcomers_first: NewcomersFirst,
    rank_spares: RankSpares,
}

#[test]
fn no_rule_goes_unguarded() {
    assert_eq!(GUARDED, Rule::ALL);
}
