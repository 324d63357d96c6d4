//! Real processes on loopback: a text file spread to seven others, and a node that was away.

use std::path::Path;

use serde_json::Value;
use vouchsafe_integration_tests::process::{Daemon, Program, Running};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_node-under-test"))
}

fn entries(subscription: &Running, count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let line = subscription
                .line()
                .unwrap_or_else(|| panic!("the subscription ended after {n} of {count}"));
            serde_json::from_str(&line).expect("JSON lines")
        })
        .collect()
}

fn text(entry: &Value) -> String {
    let bytes = data_encoding::BASE64.decode(
        entry["payload_base64"]
            .as_str()
            .expect("a payload")
            .as_bytes(),
    );
    String::from_utf8(bytes.expect("base64")).expect("the file is UTF-8")
}

fn linked(status: &Value, at_least: u64) -> bool {
    status["neighbors_outbound"].as_u64().unwrap_or(0)
        + status["neighbors_inbound"].as_u64().unwrap_or(0)
        >= at_least
}

#[test]
fn a_text_file_published_at_one_of_eight_arrives_complete_at_the_seven_others() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = program();
    let first = Daemon::start(&program, &dir.path().join("0"), &[]);
    let seed = first.seed();
    let others: Vec<Daemon> = (1..8)
        .map(|n| {
            Daemon::start(
                &program,
                &dir.path().join(n.to_string()),
                &["--seed", &seed],
            )
        })
        .collect();
    for node in &others {
        node.wait_for("neighbors", |status| linked(status, 3));
    }
    let subscriptions: Vec<Running> = others
        .iter()
        .map(|node| node.start_command("subscribe", &["lines", "--from", "start", "--json"]))
        .collect();

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let file = std::fs::read_to_string(file).expect("in the repository");
    let lines: Vec<&str> = file.lines().take(1000).collect();
    assert_eq!(lines.len(), 1000);
    let input = lines.join("\n") + "\n";
    let printed = program
        .run_with_input(
            &["publish", "--data-dir", first.dir(), "lines", "-"],
            input.as_bytes(),
        )
        .ok();
    let ids: Vec<&str> = printed.lines().collect();
    assert_eq!(ids.len(), 1000, "one id a line");

    for subscription in &subscriptions {
        let got = entries(subscription, 1000);
        assert!(
            got.iter().all(|entry| entry["author"] == first.id.as_str()),
            "the right author"
        );
        assert_eq!(
            got.iter().map(text).collect::<Vec<_>>(),
            lines,
            "complete and in the author's order"
        );
        assert_eq!(
            got.iter()
                .map(|entry| entry["id"].as_str().expect("an id"))
                .collect::<Vec<_>>(),
            ids
        );
    }
    // Exactly once: a last message comes right behind, with nothing between.
    let last = first.run("publish", &["lines", "the end"]).ok();
    for subscription in &subscriptions {
        let entry = &entries(subscription, 1)[0];
        assert_eq!(
            (entry["id"].as_str(), text(entry).as_str()),
            (Some(last.trim()), "the end")
        );
    }
}

/// A node is killed, the seed with it; 50 messages are published; days pass by the clock; the node comes back.
fn away(days: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = dir.path().join("clock");
    std::fs::write(&clock, "0").expect("writable");
    let program = program().env(
        "VOUCHSAFE_TEST_CLOCK",
        clock.to_str().expect("a plain path"),
    );
    let mut seed = Daemon::start(&program, &dir.path().join("seed"), &[]);
    let seed_addr = seed.seed();
    let others: Vec<Daemon> = (0..4)
        .map(|n| {
            Daemon::start(
                &program,
                &dir.path().join(n.to_string()),
                &["--seed", &seed_addr],
            )
        })
        .collect();
    let victim_dir = dir.path().join("victim");
    let mut victim = Daemon::start(&program, &victim_dir, &["--seed", &seed_addr]);
    for node in others.iter().chain([&victim]) {
        node.wait_for("neighbors and an archive", |status| {
            linked(status, 3) && status["archived_peers"].as_u64() >= Some(3)
        });
    }
    let before = others[0].run("publish", &["t", "before"]).ok();
    assert_eq!(victim.log("t", 1)[0]["id"], before.trim());
    let victim_id = victim.id.clone();
    victim.process.kill();
    seed.process.kill();
    std::fs::write(&clock, (days * 24 * 3_600_000).to_string()).expect("writable");
    let mut ids: Vec<String> = Vec::new();
    for n in 0..50 {
        let id = others[n % 4]
            .run("publish", &["t", &format!("missed {n}")])
            .ok();
        ids.push(id.trim().to_owned());
    }
    let victim = Daemon::start(&program, &victim_dir, &["--seed", &seed_addr]);
    assert_eq!(victim.id, victim_id);
    victim.wait_for("neighbors without the seed", |status| linked(status, 1));
    let expected = if days == 0 { 51 } else { 50 }; // after days, "before" has left the window
    let log = victim.log("t", expected);
    let mut got: Vec<String> = log
        .iter()
        .map(|entry| entry["id"].as_str().expect("an id").to_owned())
        .collect();
    got.retain(|id| id != before.trim());
    got.sort();
    ids.sort();
    assert_eq!(got, ids, "all 50, each once");
}

#[test]
fn a_killed_node_rejoins_with_the_seed_down_and_gets_what_it_missed() {
    away(0);
}

#[test]
fn a_killed_node_rejoins_after_eight_days_too() {
    away(8);
}

/// Bytes that differ from place to place.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    for eight in bytes.chunks_mut(8) {
        // Xorshift: no two blocks alike, and nothing that compresses.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
    }
    bytes
}

#[test]
fn files_of_any_size_up_to_the_limit_arrive_byte_for_byte() {
    const MIB: usize = 1024 * 1024;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = program();
    let first = Daemon::start(&program, &dir.path().join("0"), &[]);
    let seed = first.seed();
    let second = Daemon::start(&program, &dir.path().join("1"), &["--seed", &seed]);
    second.wait_for("neighbors", |status| linked(status, 1));
    let subscription = second.start_command("subscribe", &["files", "--json"]);
    // It begins with what comes from now on, so it must be there first.
    second.wait_for("a subscriber", |status| status["subscribers"] == 1);
    let mut ids = Vec::new();
    for size in [0, 1, 100_000, MIB, 16 * MIB] {
        let file = dir.path().join(format!("{size}.bin"));
        std::fs::write(&file, noise(size)).expect("room for it");
        let path = file.to_str().expect("UTF-8");
        let id = first.run("publish", &["files", "--file", path]).ok();
        let entry = &entries(&subscription, 1)[0];
        assert_eq!(entry["id"].as_str(), Some(id.trim()), "{size} bytes");
        let payload = entry["payload_base64"].as_str().expect("a payload");
        let payload = data_encoding::BASE64.decode(payload.as_bytes());
        assert!(payload.expect("base64") == noise(size), "{size} bytes");
        ids.push(id);
    }
    // From the log, and after a restart too.
    let log = second.log("files", ids.len());
    let logged: Vec<&str> = log
        .iter()
        .filter_map(|entry| entry["id"].as_str())
        .collect();
    assert_eq!(logged, ids.iter().map(|id| id.trim()).collect::<Vec<_>>());

    let file = dir.path().join("more.bin");
    std::fs::write(&file, noise(16 * MIB + 1)).expect("room for it");
    let refused = first.run(
        "publish",
        &["files", "--file", file.to_str().expect("UTF-8")],
    );
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.stderr.contains("16777217") && refused.stderr.contains("16777216"),
        "{}",
        refused.stderr
    );
}
