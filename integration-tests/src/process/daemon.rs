//! A node as a process of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Finished, PATIENCE, Program, Running};

/// A node as a process.
#[derive(Debug)]
pub struct Daemon {
    /// The process.
    pub process: Running,
    /// Its id.
    pub id: String,
    /// Where it listens.
    pub listen: String,
    dir: PathBuf,
    program: Program,
}

impl Daemon {
    /// Makes the data directory if there is none, starts a node on a local network and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; its standard error is in the message.
    #[must_use]
    pub fn start(program: &Program, dir: &Path, args: &[&str]) -> Self {
        Self::try_start(program, dir, args)
            .unwrap_or_else(|(status, stderr)| panic!("not ready: {status}\n{stderr}"))
    }

    /// As [`Self::start`]; when the node ends before it is ready, how it ended and what it said.
    ///
    /// # Errors
    /// Status and standard error of a node that did not become ready.
    ///
    /// # Panics
    /// When the data directory cannot be made, or the ready line is not what it should be.
    pub fn try_start(
        program: &Program,
        dir: &Path,
        args: &[&str],
    ) -> Result<Self, (ExitStatus, String)> {
        let data_dir = dir.to_str().expect("a plain path");
        if !dir.join("config.toml").exists() {
            let _ = program
                .run(&[
                    "init",
                    "--data-dir",
                    data_dir,
                    "--network",
                    "process-test",
                    "--local",
                ])
                .ok();
        }
        let mut all = vec!["run", "--data-dir", data_dir, "--admin", "127.0.0.1:0"];
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(args);
        let mut process = program.start(&all);
        let Some(ready) = process.line() else {
            return Err(process.finish());
        };
        let ready: Value = serde_json::from_str(&ready).expect("the ready line is JSON");
        assert_eq!(ready["event"], "ready");
        Ok(Self {
            process,
            id: ready["id"].as_str().expect("an id").to_owned(),
            listen: ready["listen"][0].as_str().expect("an address").to_owned(),
            dir: dir.to_owned(),
            program: program.clone(),
        })
    }

    /// `ID@HOST:PORT` for others' `--seed`.
    #[must_use]
    pub fn seed(&self) -> String {
        format!("{}@{}", self.id, self.listen)
    }

    /// The program that it runs, where it runs.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Its data directory.
    #[must_use]
    pub fn dir(&self) -> &str {
        self.dir.to_str().expect("a plain path")
    }

    /// Runs a command against this node.
    #[must_use]
    pub fn run(&self, command: &str, args: &[&str]) -> Finished {
        let mut all = vec![command, "--data-dir", self.dir()];
        all.extend(args);
        self.program.run(&all)
    }

    /// Starts a command against this node.
    #[must_use]
    pub fn start_command(&self, command: &str, args: &[&str]) -> Running {
        let mut all = vec![command, "--data-dir", self.dir()];
        all.extend(args);
        self.program.start(&all)
    }

    /// `status --json`.
    ///
    /// # Panics
    /// When the command fails.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run("status", &["--json"]).ok()).expect("status is JSON")
    }

    /// Waits until the status satisfies a condition.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let status = self.status();
            if condition(&status) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{what} did not come about: {status}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until its log has this text.
    ///
    /// # Panics
    /// When it never has.
    pub fn wait_for_stderr(&self, text: &str) {
        let start = Instant::now();
        loop {
            let so_far = self.process.stderr.lock().expect("no panic").clone();
            if so_far.contains(text) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{text:?} is not in: {so_far}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every entry in the log of a node that has one topic only, oldest first.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn whole_log(&self, topic: &str) -> Vec<Value> {
        let end = self.status()["last_cursor"].as_u64().expect("a number");
        let subscription = self.start_command("subscribe", &[topic, "--from", "start", "--json"]);
        let mut log: Vec<Value> = Vec::new();
        while log
            .last()
            .is_none_or(|entry| entry["cursor"].as_u64() < Some(end))
        {
            let line = subscription
                .line()
                .expect("the end comes before the node goes");
            log.push(serde_json::from_str(&line).expect("JSON lines"));
        }
        log
    }

    /// The ids of all entries in the log of a node that has one topic only.
    ///
    /// # Panics
    /// When one is there twice, or the log cannot be read.
    #[must_use]
    pub fn log_ids(&self, topic: &str) -> BTreeSet<String> {
        let log = self.whole_log(topic);
        let ids: BTreeSet<String> = log
            .iter()
            .map(|entry| entry["id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!(ids.len(), log.len(), "{} has one twice", self.dir());
        ids
    }

    /// The first `count` entries of a topic in this node's log, oldest first; waits until there are so many.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self, topic: &str, count: usize) -> Vec<Value> {
        if count == 0 {
            return Vec::new();
        }
        let count = count.to_string();
        self.run(
            "subscribe",
            &[topic, "--from", "start", "--count", &count, "--json"],
        )
        .ok()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect()
    }
}
