//! A run in a process of its own: whatever happens to it, the suite goes on.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{ChildStderr, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};

use super::worker::{Order, Said};

/// How much of what a process said on stderr is told when it fails.
const TAIL: usize = 2000;

/// Makes the command that becomes a worker.
pub(crate) type Launch<'a> = dyn Fn() -> Command + Sync + 'a;

/// Runs one seed in a new process.
///
/// # Errors
/// The process cannot be started, fails, is killed, or ends without an outcome.
pub(crate) fn run(
    launch: &Launch<'_>,
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    let order = Order {
        scenario: scenario.clone(),
        seed,
    };
    let order = serde_json::to_vec(&order).context("cannot write the scenario as JSON")?;
    let mut command = launch();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // A process that dies before it has read everything shows in its status.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&order);
    }
    let stderr = child.stderr.take();
    let listener = thread::spawn(move || stderr.map_or_else(String::new, tail));
    let mut outcome = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Said::Progress {
                    simulated_s,
                    of_s,
                    events,
                    alive,
                }) => progress(Progress {
                    simulated_s,
                    of_s,
                    events,
                    alive,
                }),
                Ok(Said::Outcome(found)) => outcome = Some(*found),
                Err(_) => {
                    // Not a worker, or not of this version; it is ended, lest it go on for hours.
                    let _ = child.kill();
                    let _ = child.wait();
                    bail!("the process said something that is no outcome: {line:.100}");
                }
            }
        }
    }
    let status = child.wait().context("cannot wait for the process")?;
    let said = listener.join().unwrap_or_default();
    if !status.success() {
        bail!("the process ended with {status}{said}");
    }
    outcome.with_context(|| format!("the process ended without an outcome{said}"))
}

/// The end of what is said on stderr, as `: said`, or nothing.
fn tail(mut stderr: ChildStderr) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        kept.extend(&buffer[..read]);
        let surplus = kept.len().saturating_sub(TAIL);
        kept.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&kept);
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    format!(": {}", text.replace('\n', " / "))
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::worker;
    use super::*;

    fn scenario() -> Scenario {
        Scenario {
            nodes: 10,
            duration_s: 120.0,
            ..Scenario::default()
        }
    }

    fn run_shell(script: &str) -> Result<Outcome> {
        let script = script.to_owned();
        let launch = move || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script]);
            command
        };
        run(&launch, &scenario(), 7, &mut |_| {})
    }

    /// What a worker says is what its suite hears.
    #[test]
    fn an_outcome_comes_back_as_it_was() {
        let order = serde_json::to_vec(&Order {
            scenario: scenario(),
            seed: 7,
        });
        let mut said = Vec::new();
        worker::serve(order.unwrap().as_slice(), &mut said).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), said).unwrap();
        let path = file.path().display().to_string();
        let mut heard = 0;
        let launch = move || {
            let mut command = Command::new("/bin/sh");
            // It reads its order to the end, as a worker does.
            command.args(["-c", "cat > /dev/null; cat \"$0\"", &path]);
            command
        };
        let outcome = run(&launch, &scenario(), 7, &mut |_| heard += 1).unwrap();
        let direct = crate::sim::world::run(&scenario(), 7, 1, &mut |_| {}).unwrap();
        assert_eq!(outcome, direct);
        assert!(heard > 0);
    }

    #[test]
    fn a_process_that_fails_is_told_with_its_last_words() {
        for (script, want) in [
            ("kill -9 $$", "the process ended with signal: 9"),
            (
                "cat > /dev/null; echo first >&2; echo last >&2; exit 3",
                "the process ended with exit status: 3: first / last",
            ),
            ("cat > /dev/null", "the process ended without an outcome"),
            (
                "echo hello; sleep 60",
                "said something that is no outcome: hello",
            ),
        ] {
            let error = format!("{:#}", run_shell(script).unwrap_err());
            assert!(error.contains(want), "{script}: {error}");
        }
        let launch = || Command::new("/no/such/program");
        let error = run(&launch, &scenario(), 7, &mut |_| {}).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start /no/such/program: "));
    }

    #[test]
    fn much_on_stderr_does_not_stop_a_process() {
        let script = "cat > /dev/null; i=0; while [ $i -lt 3000 ]; do echo 'a line of some length that fills pipes' >&2; i=$((i+1)); done; exit 1";
        let error = format!("{:#}", run_shell(script).unwrap_err());
        assert!(error.len() < TAIL + 400, "{}", error.len());
    }

    #[test]
    fn an_order_that_is_none_is_refused() {
        let error = worker::serve(&b"hello"[..], Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "stdin does not say what to run");
    }
}
