//! Bad input at the command line: each has its own message, exit code 1 or 2, and loses nothing.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use vouchsafe_integration_tests::process::{Daemon, Finished, Program};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_node-under-test"))
}

struct Dir {
    _guard: tempfile::TempDir,
    path: PathBuf,
    id: String,
}

impl Dir {
    fn str(&self) -> &str {
        self.path.to_str().expect("a plain path")
    }
}

fn init(args: &[&str]) -> Dir {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let path = guard.path().join("node");
    let mut all = vec![
        "init",
        "--data-dir",
        path.to_str().expect("a plain path"),
        "--local",
    ];
    all.extend(args);
    let id = program().run(&all).ok().trim().to_owned();
    Dir {
        _guard: guard,
        path,
        id,
    }
}

fn run(dir: &Dir, args: &[&str]) -> Finished {
    let mut all = vec![
        "run",
        "--data-dir",
        dir.str(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    all.extend(args);
    program().run(&all)
}

/// It failed with this code and said all of this.
fn assert_says(finished: &Finished, code: i32, says: &[&str]) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    for part in says {
        assert!(
            finished.stderr.contains(part),
            "{part:?} is not in: {}",
            finished.stderr
        );
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "", "nothing on stdout");
}

#[test]
fn malformed_peer_addresses() {
    let dir = init(&[]);
    let id = dir.id.clone();
    for (seed, says) in [
        ("127.0.0.1:4000".to_owned(), "@"),
        (format!("{id}@127.0.0.1"), "port"),
        (format!("{id}@127.0.0.1:0"), "port"),
        (format!("{id}@:4000"), "host"),
        (format!("{id}@::1:4000"), "["),
        ("somebody@127.0.0.1:4000".to_owned(), "52"),
        (format!("{}1@127.0.0.1:4000", &id[..51]), "'1'"),
    ] {
        let finished = run(&dir, &["--seed", &seed]);
        assert_ne!(finished.code(), Some(0), "{seed}");
        assert!(
            finished.stderr.contains(says),
            "{says:?} for {seed:?} is not in: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains("seed"),
            "names the flag: {}",
            finished.stderr
        );
    }
}

#[test]
fn an_unknown_config_key() {
    let dir = init(&[]);
    let file = dir.path.join("config.toml");
    let text = std::fs::read_to_string(&file).expect("made by init");
    std::fs::write(&file, format!("lisen = [\"127.0.0.1:0\"]\n{text}")).expect("writable");
    assert_says(&run(&dir, &[]), 1, &["config.toml", "lisen", "listen"]);
    assert_eq!(
        program()
            .run(&["check-config", "--data-dir", dir.str()])
            .code(),
        Some(1)
    );
}

#[test]
fn a_key_file_that_others_can_read_or_nobody_can_use() {
    let dir = init(&[]);
    let key = dir.path.join("node.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    assert_says(&run(&dir, &[]), 1, &["node.key", "chmod 600"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    std::fs::write(&key, "no key at all").expect("ours");
    assert_says(&run(&dir, &[]), 1, &["node.key"]);
    std::fs::remove_file(&key).expect("ours");
    assert_says(&run(&dir, &[]), 1, &["node.key", "init"]);
}

#[test]
fn a_port_in_use() {
    let dir = init(&[]);
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let finished = program().run(&[
        "run",
        "--data-dir",
        dir.str(),
        "--listen",
        &addr,
        "--admin",
        "127.0.0.1:0",
    ]);
    assert_says(&finished, 1, &[&addr, "in use"]);
}

#[test]
fn a_data_dir_in_use() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let first = Daemon::start(&program(), &guard.path().join("node"), &[]);
    let finished = program().run(&[
        "run",
        "--data-dir",
        first.dir(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    assert_says(&finished, 1, &[first.dir(), "lock", "--data-dir"]);
}

#[test]
fn a_data_dir_that_is_not_there() {
    assert_says(
        &program().run(&["run", "--data-dir", "/nonexistent/vouchsafe"]),
        1,
        &["/nonexistent/vouchsafe", "init"],
    );
}

#[test]
fn a_store_that_is_garbage_or_of_another_network() {
    let dir = init(&[]);
    std::fs::write(dir.path.join("store.redb"), vec![0x5a; 64 * 1024]).expect("ours");
    assert_says(&run(&dir, &[]), 1, &["store.redb"]);

    let guard = tempfile::tempdir().expect("a temporary directory");
    let mut node = Daemon::start(&program(), &guard.path().join("node"), &[]);
    node.process.kill();
    let args = [
        "run",
        "--data-dir",
        node.dir(),
        "--network",
        "elsewhere",
        "--listen",
        "127.0.0.1:0",
    ];
    assert_says(&program().run(&args), 1, &["store.redb", "network"]);
}

/// A node whose only seed does not serve keeps running and says why.
fn assert_seed_complaint(seed: &str, says: &[&str]) {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let mut node = Daemon::start(&program(), &guard.path().join("node"), &["--seed", seed]);
    node.wait_for("the failure in the status", |status| {
        status["seed_failures"].as_u64() >= Some(1)
    });
    assert!(node.process.is_alive(), "it keeps trying");
    // It is counted before it is written down.
    for part in says {
        node.wait_for_stderr(part);
    }
    node.process.signal("-TERM");
    let (status, stderr) = node.process.finish();
    assert!(status.success(), "{stderr}");
}

#[test]
fn a_seed_that_cannot_be_reached() {
    let dir = init(&[]);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = silent.local_addr().expect("bound");
    assert_seed_complaint(
        &format!("{}@{addr}", dir.id),
        &[&addr.to_string(), "no answer", "again"],
    );
}

#[test]
fn a_seed_with_another_identity() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let other = Daemon::start(&program(), &guard.path().join("other"), &[]);
    let somebody_else = init(&[]);
    assert_seed_complaint(
        &format!("{}@{}", somebody_else.id, other.listen),
        &[&other.listen, "another identity"],
    );
}

#[test]
fn a_seed_of_another_network() {
    let dir = init(&["--network", "elsewhere"]);
    let other = Daemon::start(&program(), &dir.path, &[]);
    assert_seed_complaint(&other.seed(), &[&other.listen, "network"]);
}

#[test]
fn a_clock_far_off_the_neighbors() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let first = Daemon::start(&program(), &guard.path().join("0"), &[]);
    let seed = first.seed();
    let others: Vec<Daemon> = (1..6)
        .map(|n| {
            Daemon::start(
                &program(),
                &guard.path().join(n.to_string()),
                &["--seed", &seed],
            )
        })
        .collect();
    for node in &others {
        node.wait_for("a view", |status| {
            status["memory_peers"].as_u64() >= Some(4)
        });
    }
    let clock = guard.path().join("clock");
    std::fs::write(&clock, "120000").expect("writable");
    let ahead = program().env("VOUCHSAFE_TEST_CLOCK", clock.to_str().expect("plain"));
    let mut off = Daemon::start(&ahead, &guard.path().join("off"), &["--seed", &seed]);
    off.wait_for("the offset in the status", |status| {
        status["clock_offset_ms"]
            .as_i64()
            .is_some_and(|ms| ms > 100_000)
    });
    off.process.signal("-TERM");
    let (_, stderr) = off.process.finish();
    assert!(stderr.contains("clock"), "{stderr}");
}

#[test]
fn payload_too_large_invalid_topic_and_no_node() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let mut node = Daemon::start(&program(), &guard.path().join("node"), &[]);
    let large = guard.path().join("large");
    std::fs::write(&large, vec![b'x'; 16 * 1024 * 1024 + 1]).expect("writable");
    let large = large.to_str().expect("plain");
    assert_says(
        &node.run("publish", &["t", "--file", large]),
        1,
        &[large, "16777217", "16777216", "max_payload"],
    );
    let finished = node.run("publish", &["no spaces", "text"]);
    assert_ne!(finished.code(), Some(0));
    assert!(finished.stderr.contains("topic"), "{finished:?}");
    node.process.kill();
    assert_says(
        &node.run("publish", &["t", "text"]),
        1,
        &[node.dir(), "no node is running"],
    );
    assert_says(
        &node.run("status", &[]),
        1,
        &[node.dir(), "no node is running"],
    );
}

#[test]
fn usage_errors_end_with_2() {
    assert_eq!(program().run(&["run", "--no-such-flag"]).code(), Some(2));
    assert_eq!(program().run(&["no-such-command"]).code(), Some(2));
    assert_eq!(
        program().run(&["publish", "--data-dir", "x"]).code(),
        Some(2)
    );
}
