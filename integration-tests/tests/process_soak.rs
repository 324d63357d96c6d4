//! Sixteen real processes that are killed, stopped, told to leave and started again, while messages are published: nothing that was
//! acknowledged is lost, nobody gets anything twice, and those who are left alone do not grow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use vouchsafe_integration_tests::process::{Daemon, PATIENCE, Program};
use vouchsafe_integration_tests::say;

const NODES: usize = 16;
/// The first so many nodes are never touched; two of them are everybody's seeds.
const LEFT_ALONE: usize = 4;
const TOPIC: &str = "soak";
/// A message a tick, and a fault in one tick of so many.
const TICK: Duration = Duration::from_millis(100);
const FAULT_EVERY: u32 = 12;
/// Longest that a node is down or stands still: beyond the 20 s after which QUIC gives a connection up in any case.
const LONGEST_S: f64 = 25.0;
/// A node may grow by this much while it keeps no more than a few hundred short messages: allocators and caches need a while to settle.
const GROWTH_KB: u64 = 16 * 1024;

enum State {
    Up(Daemon),
    Stopped(Daemon, Instant),
    Down(Instant),
}

struct Node {
    dir: PathBuf,
    listen: Option<String>,
    state: State,
}

struct Soak {
    program: Program,
    seeds: Vec<String>,
    nodes: Vec<Node>,
    acknowledged: BTreeSet<String>,
    rng: ChaCha12Rng,
    faults: [u32; 3],
}

impl Soak {
    fn new(dir: &Path, seed: u64) -> Self {
        let mut soak = Self {
            program: Program::new(env!("CARGO_BIN_EXE_node-under-test")),
            seeds: Vec::new(),
            nodes: Vec::new(),
            acknowledged: BTreeSet::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            faults: [0; 3],
        };
        for number in 0..NODES {
            let dir = dir.join(number.to_string());
            let daemon = soak.start(&dir, None);
            if number < 2 {
                soak.seeds.push(daemon.seed());
            }
            soak.nodes.push(Node {
                dir,
                listen: Some(daemon.listen.clone()),
                state: State::Up(daemon),
            });
        }
        soak
    }

    /// Starts a node where it was before, or elsewhere if its port has been taken meanwhile.
    fn start(&self, dir: &Path, listen: Option<&str>) -> Daemon {
        let mut args: Vec<&str> = Vec::new();
        for seed in &self.seeds {
            args.extend(["--seed", seed]);
        }
        if let Some(listen) = listen {
            let args = [&args[..], &["--listen", listen]].concat();
            if let Ok(daemon) = Daemon::try_start(&self.program, dir, &args) {
                return daemon;
            }
        }
        Daemon::start(&self.program, dir, &args)
    }

    fn daemon(&self, number: usize) -> Option<&Daemon> {
        match &self.nodes[number].state {
            State::Up(daemon) => Some(daemon),
            State::Stopped(..) | State::Down(_) => None,
        }
    }

    /// Somebody who is up publishes a message, and says that it is durable.
    fn publish(&mut self, text: &str) {
        let up: Vec<usize> = (0..NODES).filter(|n| self.daemon(*n).is_some()).collect();
        let number = up[self.rng.random_range(0..up.len())];
        let daemon = self.daemon(number).expect("it is up");
        let printed = daemon.run("publish", &[TOPIC, text]).ok();
        self.acknowledged.insert(printed.trim().to_owned());
    }

    /// Something happens to a node.
    fn fault(&mut self) {
        let number = self.rng.random_range(LEFT_ALONE..NODES);
        let until = Instant::now() + Duration::from_secs_f64(self.rng.random_range(0.5..LONGEST_S));
        let elsewhere = self.rng.random_bool(0.25);
        let kind = self.rng.random_range(0..3);
        let node = &mut self.nodes[number];
        let state = std::mem::replace(&mut node.state, State::Down(until));
        let State::Up(mut daemon) = state else {
            node.state = state;
            return;
        };
        self.faults[kind] += 1;
        if elsewhere {
            node.listen = None;
        }
        match kind {
            0 => daemon.process.kill(),
            1 => {
                daemon.process.signal("-TERM");
                let (status, stderr) = daemon.process.finish();
                assert!(status.success(), "node {number}: {status}\n{stderr}");
            }
            _ => {
                daemon.process.signal("-STOP");
                node.state = State::Stopped(daemon, until);
            }
        }
    }

    /// Whose time has come goes on.
    fn go_on(&mut self, all: bool) {
        let now = Instant::now();
        for number in 0..NODES {
            let node = &mut self.nodes[number];
            let state = std::mem::replace(&mut node.state, State::Down(now));
            let state = match state {
                State::Stopped(daemon, until) if all || until <= now => {
                    daemon.process.signal("-CONT");
                    State::Up(daemon)
                }
                State::Down(until) if all || until <= now => {
                    let (dir, listen) = (node.dir.clone(), node.listen.take());
                    State::Up(self.start(&dir, listen.as_deref()))
                }
                other => other,
            };
            let node = &mut self.nodes[number];
            if let State::Up(daemon) = &state {
                node.listen = Some(daemon.listen.clone());
            }
            node.state = state;
        }
    }

    /// Memory of those who are left alone, resident kilobytes, where the system tells.
    fn memory(&self) -> Vec<u64> {
        (0..LEFT_ALONE)
            .filter_map(|number| {
                let id = self.daemon(number)?.process.id();
                let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
                let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
                line.split_whitespace().nth(1)?.parse().ok()
            })
            .collect()
    }

    /// Everybody ends with all that was acknowledged, each once.
    fn check(&self) {
        for number in 0..NODES {
            let daemon = self.daemon(number).expect("all are up");
            let start = Instant::now();
            loop {
                let ids = daemon.log_ids(TOPIC);
                let missing = self.acknowledged.difference(&ids).count();
                if missing == 0 {
                    break;
                }
                assert!(
                    start.elapsed() < PATIENCE,
                    "node {number} lacks {missing} of {}",
                    self.acknowledged.len()
                );
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

fn soak(span: Duration, seed: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut soak = Soak::new(dir.path(), seed);
    let start = Instant::now();
    let mut settled = None;
    for tick in 0_u32.. {
        let elapsed = start.elapsed();
        if elapsed >= span {
            break;
        }
        if settled.is_none() && elapsed >= span / 3 {
            settled = Some(soak.memory());
        }
        soak.publish(&format!("message {tick}"));
        if tick % FAULT_EVERY == 0 {
            soak.fault();
        }
        soak.go_on(false);
        std::thread::sleep(TICK);
    }
    soak.go_on(true);
    soak.publish("the end");
    soak.check();
    let (before, after) = (settled.unwrap_or_default(), soak.memory());
    let [killed, left, stopped] = soak.faults;
    say(&format!(
        "soak of {NODES} processes (seed {seed}): {} messages, {killed} killed, {left} told to leave, {stopped} stopped; \
         memory of those left alone {before:?} kB after a third, {after:?} kB at the end",
        soak.acknowledged.len()
    ));
    assert!(killed > 0 && left > 0 && stopped > 0, "{:?}", soak.faults);
    for (before, after) in before.iter().zip(&after) {
        assert!(*after <= before + GROWTH_KB, "{before} kB grew to {after}");
    }
}

#[test]
fn a_minute_of_kills_stops_and_restarts_loses_nothing() {
    soak(Duration::from_secs(60), 1);
}

#[test]
#[ignore = "ten minutes: cargo test -p vouchsafe-integration-tests --test process_soak -- --ignored"]
fn ten_minutes_of_kills_stops_and_restarts_lose_nothing() {
    soak(Duration::from_secs(600), 2);
}
