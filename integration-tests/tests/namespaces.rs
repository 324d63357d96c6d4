//! Real processes on eight hosts with addresses of their own, in network namespaces: what loopback does not show. Loss, a slow line, a
//! long line, a host that moves, and a partition that heals.
//!
//! Needs the right to make network namespaces (root), `ip`, `tc` and `nft`; elsewhere it says that it was skipped, and why.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use vouchsafe_integration_tests::lab::Lab;
use vouchsafe_integration_tests::process::{Daemon, PATIENCE, Program};
use vouchsafe_integration_tests::say;

const HOSTS: u8 = 8;
/// Hosts 1 to 4 are one half, the others the other one.
const HALF: u8 = 4;
const DELAY_MS: u32 = 40;
const TOPIC: &str = "lab";

struct Network {
    nodes: Vec<Daemon>,
    lab: Lab,
    published: usize,
    _dir: tempfile::TempDir,
}

impl Network {
    /// Every host knows the first one only.
    fn new(lab: Lab) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut nodes: Vec<Daemon> = Vec::new();
        for number in 1..=HOSTS {
            let seed = nodes
                .first()
                .map(|first| format!("{}@{}:4100", first.id, Lab::address(1)));
            nodes.push(start(&lab, dir.path(), number, seed.as_deref()));
        }
        Self {
            nodes,
            lab,
            published: 0,
            _dir: dir,
        }
    }

    fn node(&self, number: u8) -> &Daemon {
        &self.nodes[usize::from(number) - 1]
    }

    /// Numbers of the hosts to which this one has a link.
    fn linked(&self, number: u8) -> BTreeSet<u8> {
        let ids: Vec<Value> = peers(self.node(number))
            .into_iter()
            .filter(|peer| peer["neighbor"] == true)
            .map(|peer| peer["id"].clone())
            .collect();
        (1..=HOSTS)
            .filter(|other| ids.iter().any(|id| *id == self.node(*other).id.as_str()))
            .collect()
    }

    fn wait_for_links(&self, what: &str, right: impl Fn(u8, &BTreeSet<u8>) -> bool) -> Duration {
        let start = Instant::now();
        for number in 1..=HOSTS {
            loop {
                let linked = self.linked(number);
                if right(number, &linked) {
                    break;
                }
                assert!(
                    start.elapsed() < PATIENCE,
                    "{what}: host {number} is linked to {linked:?}"
                );
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        start.elapsed()
    }

    /// Publishes lines at a host, which tells its neighbors, if it has any.
    fn publish(&mut self, number: u8, lines: &[String]) {
        let input = lines.join("\n") + "\n";
        let node = self.node(number);
        let program = node.program().clone();
        let printed = program
            .run_with_input(
                &["publish", "--data-dir", node.dir(), TOPIC, "-"],
                input.as_bytes(),
            )
            .ok();
        assert_eq!(printed.lines().count(), lines.len(), "an id a line");
        self.published += lines.len();
    }

    /// Waits until these hosts have logged so many entries, and checks that they are the same ones, each once.
    fn wait_for_logs(&self, hosts: impl Iterator<Item = u8>, entries: usize) -> Duration {
        let start = Instant::now();
        let mut logs: Vec<BTreeSet<String>> = Vec::new();
        for number in hosts {
            let node = self.node(number);
            node.wait_for(&format!("{entries} entries at host {number}"), |status| {
                status["last_cursor"] == entries
            });
            let took = start.elapsed();
            let distinct = node.log_ids(TOPIC);
            assert_eq!(distinct.len(), entries, "host {number}, after {took:?}");
            logs.push(distinct);
        }
        assert!(
            logs.windows(2).all(|two| two[0] == two[1]),
            "the same entries"
        );
        start.elapsed()
    }
}

fn start(lab: &Lab, dir: &Path, number: u8, seed: Option<&str>) -> Daemon {
    let program = Program::new(env!("CARGO_BIN_EXE_node-under-test")).within(&lab.host(number));
    let dir = dir.join(number.to_string());
    let data_dir = dir.to_str().expect("a plain path");
    let _ = program
        .run(&["init", "--data-dir", data_dir, "--network", "lab"])
        .ok();
    let mut args = vec!["--listen", "0.0.0.0:4100"];
    args.extend(seed.into_iter().flat_map(|seed| ["--seed", seed]));
    Daemon::start(&program, &dir, &args)
}

fn peers(node: &Daemon) -> Vec<Value> {
    node.run("peers", &["--json"])
        .ok()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect()
}

fn lines(what: &str, count: usize, padding: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{what} {n} {}", "x".repeat(padding)))
        .collect()
}

/// The whole story, with a partition of this length.
fn eight_hosts(partition: Duration) {
    let relay = Program::new(env!("CARGO_BIN_EXE_delay-relay"));
    let lab = match Lab::new(HOSTS, &relay, DELAY_MS) {
        Ok(lab) => lab,
        Err(why) => return say(&format!("skipped: hosts in network namespaces: {why}")),
    };
    let slow = HOSTS - 1;
    lab.limit(slow, 4).expect("tried before");
    let mut net = Network::new(lab);

    // Each knows its own address from its system, and the others through the first host.
    let everybody = usize::from(HOSTS) - 1;
    let joined = net.wait_for_links("after the join", |_, linked| linked.len() >= everybody - 1);
    let far = net.node(HOSTS).id.clone();
    let to_far = |peer: &&Value| peer["id"] == far.as_str();
    let rtt = peers(net.node(1))
        .iter()
        .find(to_far)
        .and_then(|peer| peer["rtt_ms"].as_f64())
        .expect("a link to the far host");
    assert!(rtt >= f64::from(2 * DELAY_MS), "{rtt} ms to the far host");

    // Broadcast while one packet in thirty is lost, and much of it by the slow host.
    net.lab.lose(33);
    for number in 1..=HOSTS {
        net.publish(number, &lines(&format!("from host {number}"), 25, 0));
    }
    net.publish(slow, &lines("much", 30, 16_000));
    net.wait_for_logs(1..=HOSTS, net.published);
    let sent = net.lab.sent_within_limit(slow);
    assert!(sent > 30 * 16_000, "the slow line carried {sent} bytes");
    net.lab.lose(0);

    // A host gets another address, as when a lease ends or a laptop changes networks.
    net.lab.move_host(3, 77);
    net.publish(3, &lines("from the host that moved", 10, 0));
    net.publish(5, &lines("to the host that moved", 10, 0));
    let moved = net.wait_for_logs(1..=HOSTS, net.published);

    // Two halves, each of which goes on.
    net.lab.cut(HALF);
    let cut = Instant::now();
    let before = net.published;
    net.publish(1, &lines("in the first half", 20, 0));
    net.publish(HOSTS, &lines("in the second half", 20, 0));
    net.wait_for_logs(1..=HALF, before + 20);
    net.wait_for_logs(HALF + 1..=HOSTS, before + 20);
    let same_half = |a: u8, b: u8| (a <= HALF) == (b <= HALF);
    net.wait_for_links("in the partition", |number, linked| {
        !linked.is_empty() && linked.iter().all(|other| same_half(number, *other))
    });
    let noticed = cut.elapsed();
    std::thread::sleep(partition.saturating_sub(noticed));
    for (number, half) in [(2, "first"), (6, "second")] {
        net.publish(number, &lines(&format!("late in the {half} half"), 20, 0));
    }
    net.wait_for_logs(1..=HALF, before + 40);
    net.wait_for_logs(HALF + 1..=HOSTS, before + 40);

    // One network again.
    net.lab.heal();
    let converged = net.wait_for_logs(1..=HOSTS, net.published);
    let linked = converged
        + net.wait_for_links("after healing", |number, linked| {
            linked.iter().any(|other| !same_half(number, *other))
        });
    say(&format!(
        "hosts in network namespaces: joined after {joined:.1?}, far host {rtt:.1} ms away, all at the moved host after {moved:.1?}, \
         cut noticed after {noticed:.1?}, the same log everywhere {converged:.1?} after it healed, every host linked to the other half after {linked:.1?}"
    ));
}

#[test]
fn eight_hosts_join_broadcast_part_and_converge() {
    eight_hosts(Duration::from_secs(10));
}

#[test]
#[ignore = "a minute's partition: cargo test -p vouchsafe-integration-tests --test namespaces -- --ignored"]
fn eight_hosts_part_for_a_minute() {
    eight_hosts(Duration::from_secs(60));
}
