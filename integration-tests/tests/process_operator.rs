//! What an operator does to a running node: signals, a changed configuration, a subscriber that stands still.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use vouchsafe_integration_tests::process::{Daemon, Program};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_node-under-test"))
}

/// A pause for another process to get to its point; nothing depends on its length but how often it is looked.
fn moment() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn a_second_signal_aborts_a_node_that_is_leaving() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = program();
    let silent = Daemon::start(&program, &dir.path().join("silent"), &[]);
    let seed = silent.seed();
    let mut node = Daemon::start(&program, &dir.path().join("node"), &["--seed", &seed]);
    node.wait_for("the neighbor", |status| {
        status["neighbors_outbound"].as_u64() >= Some(1)
            || status["neighbors_inbound"].as_u64() >= Some(1)
    });
    // A neighbor that takes no goodbye keeps the leaving node waiting, though not for ever.
    silent.process.signal("-STOP");
    let admin = dir.path().join("node").join("admin.addr");
    assert!(admin.exists());
    node.process.signal("-TERM");
    while admin.exists() {
        moment();
    }
    node.process.signal("-INT");
    let (status, stderr) = node.process.finish();
    silent.process.signal("-CONT");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("aborted by a second signal"), "{stderr}");
}

#[test]
fn a_reload_changes_the_log_level_and_names_what_waits() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let dir = guard.path().join("node");
    let mut node = Daemon::start(&program(), &dir, &[]);
    let file = dir.join("config.toml");
    let before = std::fs::read_to_string(&file).expect("init wrote it");

    let with = |changes: &[(&str, &str)]| {
        let mut text = before.clone();
        for (old, new) in changes {
            assert!(text.contains(old), "{old:?} is not in: {text}");
            text = text.replace(old, new);
        }
        std::fs::write(&file, text).expect("ours");
    };
    with(&[("#max_upload = \"none\"", "max_uplaod = \"1MiB\"")]);
    node.process.signal("-HUP");
    node.wait_for_stderr("nothing was reloaded");

    with(&[
        ("#level = \"info\"", "level = \"debug\""),
        ("#outbound = 10", "outbound = 4"),
    ]);
    node.process.signal("-HUP");
    node.wait_for_stderr("take effect when the node is restarted");
    let _ = node.status();
    node.process.signal("-TERM");
    let (status, stderr) = node.process.finish();
    assert!(status.success(), "{stderr}");
    for part in [
        "max_uplaod",
        "did you mean `max_upload`?",
        "reloaded log_level=\"debug\"",
        "restarted: neighbors.outbound",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

/// A subscriber that stands still while more goes by than the node keeps for it goes on from the log: nothing is lost, nothing comes twice.
#[test]
fn a_subscriber_that_stood_still_gets_all_in_order() {
    const ENTRIES: usize = 6000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = program();
    let node = Daemon::start(&program, &dir.path().join("node"), &[]);
    let subscription = node.start_command("subscribe", &["lines", "--from", "start", "--json"]);
    let first = node.run("publish", &["lines", "0"]).ok();
    assert!(
        subscription
            .line()
            .is_some_and(|line| line.contains(first.trim()))
    );

    subscription.signal("-STOP");
    let padding = "x".repeat(2000);
    let input: String = (1..ENTRIES).map(|n| format!("{n} {padding}\n")).collect();
    let ids = program
        .run_with_input(
            &["publish", "--data-dir", node.dir(), "lines", "-"],
            input.as_bytes(),
        )
        .ok();
    let start = Instant::now();
    while lagged(&node) == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "it never lagged");
        moment();
    }
    subscription.signal("-CONT");
    for id in ids.lines() {
        let line = subscription.line().expect("more entries");
        let entry: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(entry["id"], id);
    }
}

/// How many entries a subscriber missed at least, from the node's metrics.
fn lagged(node: &Daemon) -> u64 {
    let addr = std::fs::read_to_string(format!("{}/admin.addr", node.dir())).expect("it runs");
    let mut stream = TcpStream::connect(addr.trim()).expect("the admin API");
    let host = addr.trim();
    let token = std::fs::read_to_string(format!("{}/admin.token", node.dir())).expect("it runs");
    let token = token.trim();
    let head = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close");
    write!(stream, "GET /metrics HTTP/1.1\r\n{head}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let line = answer
        .lines()
        .find(|line| line.contains("subscriber_lagged") && !line.starts_with('#'));
    let line = line.unwrap_or_else(|| panic!("no such counter in: {answer}"));
    let value = line.split(' ').next_back().expect("a value");
    value.parse().expect("a number")
}

#[test]
fn a_node_under_the_lowest_ceilings_works() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let free = Daemon::start(&program(), &dir.path().join("free"), &[]);
    let low = program()
        .env("VOUCHSAFE_LIMITS_MAX_UPLOAD", "16KiB")
        .env("VOUCHSAFE_LIMITS_MAX_DOWNLOAD", "16KiB")
        .env("VOUCHSAFE_LIMITS_MAX_MEMORY", "64MiB")
        .env("VOUCHSAFE_LIMITS_MAX_LINKS", "18");
    let low = Daemon::start(&low, &dir.path().join("low"), &["--seed", &free.seed()]);
    for (from, to) in [(&low, &free), (&free, &low)] {
        let id = from.run("publish", &["lines", "there and back"]).ok();
        let entries = to.start_command("subscribe", &["lines", "--from", "start", "--json"]);
        while !entries.line().expect("it comes").contains(id.trim()) {}
    }
}
