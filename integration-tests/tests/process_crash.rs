//! kill -9 at any moment: nothing acknowledged is lost, no sequence number is used twice, no cursor names two entries. And a store
//! that is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use vouchsafe_integration_tests::process::{Daemon, Program};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_node-under-test"))
}

/// What all lives of a node were seen to say.
#[derive(Default)]
struct History {
    acknowledged: BTreeSet<String>,
    cursors: BTreeMap<u64, String>,
    seqs: BTreeMap<(String, u64), String>,
}

impl History {
    fn see(&mut self, entry: &Value, own_cursors: bool) -> Result<(), String> {
        let id = entry["id"].as_str().expect("an id").to_owned();
        let message = entry["message"].as_str().expect("a message").to_owned();
        let author = entry["author"].as_str().expect("an author").to_owned();
        let seq = entry["seq"].as_u64().expect("a number");
        if own_cursors {
            let cursor = entry["cursor"].as_u64().expect("a number");
            if let Some(other) = self
                .cursors
                .insert(cursor, id.clone())
                .filter(|other| *other != id)
            {
                return Err(format!("cursor {cursor} names {other} and {id}"));
            }
        }
        if let Some(other) = self
            .seqs
            .insert((author, seq), message.clone())
            .filter(|other| *other != message)
        {
            return Err(format!("sequence number {seq} names {other} and {message}"));
        }
        Ok(())
    }

    fn check_log(&self, log: &[Value]) -> Result<(), String> {
        let ids: Vec<&str> = log
            .iter()
            .map(|entry| entry["id"].as_str().expect("an id"))
            .collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        if distinct.len() != ids.len() {
            return Err("an entry is in the log twice".into());
        }
        match self
            .acknowledged
            .iter()
            .find(|id| !distinct.contains(id.as_str()))
        {
            Some(lost) => Err(format!("{lost} was acknowledged and is lost")),
            None => Ok(()),
        }
    }
}

struct Pair {
    witness: Daemon,
    program: Program,
    victim_dir: PathBuf,
    history: History,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = program();
        let witness = Daemon::start(&program, &dir.path().join("witness"), &[]);
        let victim_dir = dir.path().join("victim");
        Self {
            witness,
            program,
            victim_dir,
            history: History::default(),
            _dir: dir,
        }
    }

    fn start_victim(&self, program: &Program) -> Daemon {
        Daemon::start(program, &self.victim_dir, &["--seed", &self.witness.seed()])
    }

    /// One life of the victim: publishes until it dies, remembering every id that was printed and every entry it showed.
    fn life(&mut self, program: &Program, life: usize, until: impl FnOnce(&mut Daemon)) {
        let seed = self.witness.seed();
        // A fault point on the way up: such a life says nothing, and must leave nothing wrong behind.
        let Ok(mut victim) = Daemon::try_start(program, &self.victim_dir, &["--seed", &seed])
        else {
            return;
        };
        let mut subscription = victim.start_command("subscribe", &["t", "--from", "now", "--json"]);
        let mut publisher = victim.start_command("publish", &["t", "-"]);
        for n in 0..300 {
            if publisher.write(&format!("life {life} line {n}\n")).is_err() {
                break; // the node is gone, and the command with it
            }
        }
        publisher.close_input();
        until(&mut victim);
        victim.process.kill();
        publisher.finish();
        subscription.finish();
        self.history.acknowledged.extend(publisher.lines_so_far());
        for line in subscription.lines_so_far() {
            let entry = serde_json::from_str(&line).expect("JSON lines");
            self.history
                .see(&entry, true)
                .expect("no cursor and no sequence number is used twice");
        }
    }

    /// Both nodes end with everything that was acknowledged, once. Returns how many entries that is.
    fn check(mut self) -> usize {
        let victim = self.start_victim(&self.program);
        let last = victim.run("publish", &["t", "the end"]).ok();
        self.history.acknowledged.insert(last.trim().to_owned());
        let count = |status: &Value| status["log_messages"].as_u64().expect("a number");
        self.witness.wait_for("both logs to be equal", |status| {
            count(status) == count(&victim.status()) && count(status) > 0
        });
        let mut total = 0;
        for (node, own) in [(&victim, true), (&self.witness, false)] {
            let log = node.whole_log("t");
            self.history
                .check_log(&log)
                .expect("nothing lost, nothing twice");
            for entry in &log {
                self.history
                    .see(entry, own)
                    .expect("no cursor and no sequence number is used twice");
            }
            total = log.len();
        }
        total
    }
}

#[test]
fn an_abort_at_each_fault_point_loses_nothing_acknowledged() {
    let mut pair = Pair::new();
    let points = vouchsafe::faults::FaultPoint::ALL;
    for (life, (point, nth)) in points
        .iter()
        .flat_map(|point| [(point, 1), (point, 7), (point, 40)])
        .enumerate()
    {
        let program = pair
            .program
            .clone()
            .env("VOUCHSAFE_FAULT", &format!("{}:{nth}", point.name()));
        pair.life(&program, life, |_| {
            std::thread::sleep(Duration::from_millis(300))
        });
    }
    let total = pair.check();
    assert!(total > points.len() * 3, "the lives did publish: {total}");
}

#[test]
fn a_hundred_kills_under_load_lose_nothing_acknowledged() {
    let mut pair = Pair::new();
    let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(100);
    for life in 0..100 {
        let after = Duration::from_millis(rng.random_range(0..120));
        let program = pair.program.clone();
        // The kill may fall anywhere; what the test asserts does not depend on where.
        pair.life(&program, life, |_| std::thread::sleep(after));
    }
    let total = pair.check();
    assert!(total > 100, "the lives did publish: {total}");
}

/// The key is kept, the store is not: once it is gone, once a copy of an earlier state comes back.
#[test]
fn a_store_that_is_lost_or_set_back_uses_no_sequence_number_twice() {
    let mut pair = Pair::new();
    let store = pair.victim_dir.join("store.redb");
    let backup = pair.victim_dir.join("backup");
    for (life, published) in [3, 6, 9, 12].into_iter().enumerate() {
        match life {
            1 => {
                let _ = std::fs::copy(&store, &backup).expect("a stopped node's store");
            }
            2 => std::fs::remove_file(&store).expect("a stopped node's store"),
            3 => {
                let _ = std::fs::copy(&backup, &store).expect("a stopped node's store");
            }
            _ => {}
        }
        let mut victim = pair.start_victim(&pair.program);
        for n in 0..3 {
            let text = format!("life {life} line {n}");
            let id = victim.run("publish", &["t", &text]).ok();
            pair.history.acknowledged.insert(id.trim().to_owned());
        }
        for node in [&pair.witness, &victim] {
            node.wait_for("everything that was published", |status| {
                status["log_messages"] == published
            });
        }
        // Its own messages of earlier runs came back to it, and are no clone's.
        assert_eq!(victim.status()["cloned"], false);
        victim.process.signal("-TERM");
        assert!(victim.process.finish().0.success());
    }
    for entry in pair.witness.whole_log("t") {
        assert_eq!(entry["equivocation"], Value::Null, "{entry}");
        assert_eq!(entry["gap"], Value::Null, "{entry}");
    }
    assert_eq!(pair.check(), 13);
}

#[test]
fn the_checker_sees_planted_faults() {
    let entry = |id: &str, message: &str, seq: u64, cursor: u64| serde_json::json!({"id": id, "message": message, "author": "a", "seq": seq, "cursor": cursor});
    let mut history = History::default();
    history
        .see(&entry("e1", "m1", 1, 1), true)
        .expect("the first");
    history
        .see(&entry("e1", "m1", 1, 1), true)
        .expect("the same again is no fault");
    assert!(
        history.see(&entry("e2", "m2", 2, 1), true).is_err(),
        "a cursor for two entries"
    );
    assert!(
        history.see(&entry("e3", "m3", 1, 3), true).is_err(),
        "a sequence number for two messages"
    );
    history.acknowledged.insert("lost".into());
    assert!(
        history.check_log(&[entry("e1", "m1", 1, 1)]).is_err(),
        "an acknowledged id that is not there"
    );
    history.acknowledged.clear();
    assert!(
        history
            .check_log(&[entry("e1", "m1", 1, 1), entry("e1", "m1", 1, 1)])
            .is_err(),
        "an entry twice"
    );
}
