//! One key on two machines: the node that meets both finds it out, keeps the proof, and anybody can verify it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::runtime::Runtime;
use vouchsafe::{AddressPreset, Identity, NetworkId, Node, evidence};
use vouchsafe_integration_tests::process::{Daemon, Finished, Program};

const NETWORK: &str = "process-test";

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_node-under-test"))
}

/// A node of the cloned key that has published `text` and knows nobody; its clock stands still, so that its twin numbers as it does.
async fn twin(clock_ms: u64, text: &'static str) -> Node {
    let node = Node::builder()
        .network(NETWORK)
        .identity(Identity::from_seed(&[42; 32]))
        .in_memory()
        .preset(AddressPreset::Local)
        .listen("127.0.0.1:0".parse().expect("an address"))
        .unix_clock(move || clock_ms)
        .spawn()
        .await
        .expect("it starts");
    let published = node.handle().publish("news", text).await;
    assert_eq!(published.expect("a valid publish").neighbors, 0);
    node
}

fn address(node: &Node) -> String {
    let handle = node.handle();
    format!("{}@{}", handle.id(), handle.local_addrs()[0])
}

#[test]
fn two_nodes_with_one_key_are_found_out_and_anybody_can_check_it() {
    let guard = tempfile::tempdir().expect("a temporary directory");
    let dir = guard.path().join("witness");
    let program = program();
    let runtime = Runtime::new().expect("a runtime");
    // A little ago, so that repair does not wait for the messages to settle.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after");
    let clock_ms = u64::try_from(now.as_millis()).expect("before") - 20_000;
    let one = runtime.block_on(twin(clock_ms, "to the one"));
    let other = runtime.block_on(twin(clock_ms, "to the other"));
    let author = one.handle().id().to_string();

    let mut witness = Daemon::start(&program, &dir, &["--seed", &address(&one)]);
    assert_eq!(witness.log("news", 1).len(), 1);
    assert_eq!(list_or_export(&witness, "list", &["--json"]).ok(), "");
    let export = list_or_export(&witness, "export", &[]);
    assert_eq!(export.code(), Some(1));
    assert!(
        export.stderr.contains("keeps no evidence"),
        "{}",
        export.stderr
    );
    witness.process.signal("-TERM");
    let _ = witness.process.finish();
    runtime.block_on(one.shutdown());

    // The first message is in its store only by now.
    let mut witness = Daemon::start(&program, &dir, &["--seed", &address(&other)]);
    witness.wait_for_stderr("an author signed two messages with one sequence number");
    let log = witness.log("news", 2);
    assert_eq!(log[0]["seq"], log[1]["seq"]);
    assert_eq!(log[1]["equivocation"], true);
    let ids: Vec<&Value> = log.iter().map(|entry| &entry["message"]).collect();

    // It is still there after a restart, and the node then needs nobody.
    witness.process.signal("-TERM");
    let _ = witness.process.finish();
    runtime.block_on(other.shutdown());
    let witness = Daemon::start(&program, &dir, &[]);
    assert_eq!(witness.status()["evidence"], 1);
    // In sequence only the first of the two is given.
    let own = witness.run("publish", &["news", "what comes next"]).ok();
    let args = [
        "news", "--from", "start", "--order", "sequence", "--count", "2", "--json",
    ];
    let sequence = witness.run("subscribe", &args).ok();
    let sequence: Vec<Value> = sequence
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    assert_eq!(sequence[0], log[0]);
    assert_eq!(sequence[1]["id"], own.trim());
    let list = list_or_export(&witness, "list", &["--json"]).ok();
    let list: Value = serde_json::from_str(&list).expect("one line of JSON");
    assert_eq!(
        (&list["author"], &list["seq"]),
        (&log[0]["author"], &log[0]["seq"])
    );
    let pair = list["messages"].as_array().expect("two");
    assert!(
        pair.len() == 2 && pair.iter().all(|id| ids.contains(&id)),
        "{list}"
    );
    assert!(list_or_export(&witness, "list", &[]).ok().contains(&author));

    let file = guard.path().join("evidence.json");
    let path = file.to_str().expect("a plain path");
    let _ = list_or_export(&witness, "export", &[&author, "--out", path]).ok();
    let again = list_or_export(&witness, "export", &[&author, "--out", path]);
    assert_eq!(again.code(), Some(1), "it does not overwrite");
    assert_eq!(
        list_or_export(&witness, "export", &[]).ok(),
        std::fs::read_to_string(&file).expect("written")
    );
    drop(witness);

    // By the library.
    let exported = std::fs::read(&file).expect("written");
    let network = NetworkId::from_name(NETWORK);
    let verified = evidence::verify(&exported, &network).expect("a proof");
    assert_eq!(verified.author().to_string(), author);
    // By the program, without a node.
    let text = program
        .run(&["evidence", "verify", "--network", NETWORK, path])
        .ok();
    assert!(text.starts_with(&author), "{text}");
    let json = program
        .run_with_input(&["evidence", "verify", "--json", "-"], &exported)
        .ok();
    let json: Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!(json["network"], network.to_string());
    assert_eq!(
        (&json["author"], &json["seq"]),
        (&list["author"], &list["seq"])
    );
    assert_eq!(json["messages"], list["messages"]);

    refused(
        &program,
        &file,
        &["--network", "other"],
        "it is about network",
    );
    let tamper = |change: &dyn Fn(&mut Value), what: &str| {
        let mut value: Value = serde_json::from_slice(&exported).expect("JSON");
        change(&mut value);
        std::fs::write(&file, value.to_string()).expect("ours");
        refused(&program, &file, &[], what);
    };
    tamper(&|it| it["seq"] = 1.into(), "the id of message 1");
    tamper(
        &|it| {
            let other = it["messages"][0]["signature_base64"].clone();
            it["messages"][1]["signature_base64"] = other;
        },
        "the signature of message 2",
    );
    tamper(
        &|it| it["messages"][1] = it["messages"][0].clone(),
        "both are one message",
    );
    std::fs::write(&file, &exported[..exported.len() / 2]).expect("ours");
    refused(&program, &file, &[], "is not a proof");
    std::fs::write(&file, "").expect("ours");
    refused(&program, &file, &[], "has no proof in it");
}

fn list_or_export(node: &Daemon, which: &str, args: &[&str]) -> Finished {
    let mut all = vec!["evidence", which, "--data-dir", node.dir()];
    all.extend(args);
    program().run(&all)
}

fn refused(program: &Program, file: &Path, args: &[&str], what: &str) {
    let path = file.to_str().expect("a plain path");
    let mut all = vec!["evidence", "verify", path];
    all.extend(args);
    let finished = program.run(&all);
    assert_eq!(finished.code(), Some(1));
    let said = finished.stderr;
    assert!(said.contains(what) && said.contains(path), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
