//! Runs the command line program as real processes on loopback.
//!
//! The program under test is `node-under-test`: the same `main` as `vouchsafe`, built with the fault points that let a test
//! abort it at a chosen moment.

mod daemon;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

pub use daemon::Daemon;

/// How long anything may take before a test gives up; far above what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How a finished command ended.
#[derive(Debug)]
pub struct Finished {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The output, after checking that it succeeded.
    ///
    /// # Panics
    /// When the command failed.
    #[must_use]
    pub fn ok(self) -> String {
        assert!(
            self.status.success(),
            "failed: {}\n{}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// A program and its environment.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    env: Vec<(String, String)>,
    namespace: Option<String>,
}

impl Program {
    /// The program at this path, with no `VOUCHSAFE_*` variable of the caller's.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            env: Vec::new(),
            namespace: None,
        }
    }

    /// The same program in a network namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.namespace {
            // It replaces itself by the program, so that signals reach that.
            Some(namespace) => {
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", namespace]).arg(&self.path);
                ip
            }
            None => Command::new(&self.path),
        };
        for (key, _) in
            std::env::vars().filter(|(key, _)| key.starts_with("VOUCHSAFE_") || key == "RUST_LOG")
        {
            command.env_remove(key);
        }
        command
            .args(args)
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_with_input(args, b"")
    }

    /// Runs a command to its end with this standard input.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[must_use]
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Finished {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        // A program that ends early closes its input: not an error of the test.
        let feeder = std::thread::spawn(move || stdin.write_all(&input).is_ok());
        let out = read_all(child.stdout.take().expect("piped"));
        let err = read_all(child.stderr.take().expect("piped"));
        let status = wait(&mut child, PATIENCE);
        feeder.join().expect("no panic");
        Finished {
            status,
            stdout: out.join().expect("no panic"),
            stderr: err.join().expect("no panic"),
        }
    }

    /// Starts a command whose lines of output are read as they come.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let (reader, stderr) = read_along(child.stderr.take().expect("piped"));
        let stdin = child.stdin.take();
        Running {
            child,
            stdin,
            lines,
            reader: Some(reader),
            stderr,
        }
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes); // what came before a broken pipe is what there is
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Reads to the end, and shows meanwhile what has come.
fn read_along(
    from: impl Read + Send + 'static,
) -> (std::thread::JoinHandle<()>, Arc<Mutex<String>>) {
    let text = Arc::new(Mutex::new(String::new()));
    let shown = text.clone();
    let reader = std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        // What came before a broken pipe is what there is.
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let mut text = text.lock().expect("no panic");
            text.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (reader, shown)
}

fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            return status;
        }
        if start.elapsed() > patience {
            let _ = child.kill();
            panic!("a command did not end within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running command; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    /// The next line of its standard output; `None` once it is closed.
    ///
    /// # Panics
    /// When no line comes.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// The lines that are already there.
    #[must_use]
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// The command has closed it.
    pub fn write(&mut self, text: &str) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(text.as_bytes())?;
        stdin.flush()
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by number.
    ///
    /// # Panics
    /// When `kill` cannot be run.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([signal, &id])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill {signal} {id}");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        wait(&mut self.child, PATIENCE);
    }

    /// Waits for its end and returns status and standard error.
    ///
    /// # Panics
    /// When it does not end.
    pub fn finish(&mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child, PATIENCE);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        let stderr = std::mem::take(&mut *self.stderr.lock().expect("no panic"));
        (status, stderr)
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// Never for a child of ours.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
