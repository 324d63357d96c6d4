//! The command line: one file a command.
//!
//! Exit status: 0 = done, 1 = failed (one line on stderr that says what and what to do about it), 2 = wrong usage.
//! What a command was asked for goes to stdout, and nothing else; everything else goes to stderr.

mod ban;
mod check_config;
mod client;
mod completions;
mod devnet;
mod evidence;
mod id;
mod init;
mod out;
mod peers;
mod publish;
mod run;
#[cfg(feature = "sim")]
mod sim;
mod sse;
mod status;
mod subscribe;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A peer-sampling overlay node for open networks: joins by a seed list, keeps a fair random sample of the network and
/// spreads signed messages to every node.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vouchsafe devnet                                  twelve real nodes on this machine, measured
  vouchsafe init --data-dir n1 --local              a node's directory and key
  vouchsafe run --data-dir n1                       the node, until interrupted
  vouchsafe subscribe --data-dir n1 news            what arrives on a topic
  vouchsafe publish --data-dir n1 news 'hello'      a signed message to everyone

Exit status: 0 done, 1 failed (the reason is one line on stderr), 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Id(id::Id),
    Run(Box<run::Run>),
    Publish(publish::Publish),
    Subscribe(subscribe::Subscribe),
    Peers(peers::Peers),
    Status(status::Status),
    Ban(ban::Ban),
    Unban(ban::Unban),
    Evidence(evidence::Evidence),
    CheckConfig(check_config::CheckConfig),
    Devnet(devnet::Devnet),
    #[cfg(feature = "sim")]
    Sim(Box<sim::Sim>),
    Completions(completions::Completions),
}

/// Where a node keeps its key, its store and its settings.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDirArg {
    /// The node's directory (config.toml, node.key, store.redb)
    #[arg(long, value_name = "DIR", env = "VOUCHSAFE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

/// Runs the program with the arguments of the process.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Init(command) => command.run(),
        Command::Id(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Publish(command) => command.run(),
        Command::Subscribe(command) => command.run(),
        Command::Peers(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Ban(command) => command.run(),
        Command::Unban(command) => command.run(),
        Command::Evidence(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
        Command::Devnet(command) => command.run(),
        #[cfg(feature = "sim")]
        Command::Sim(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough, as in `vouchsafe subscribe .. | head`.
        Err(error) if error.is::<out::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "vouchsafe: {}", one_line(&error));
            if is_usage(&error) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether an error is about how the command was called, though its parser could not know.
fn is_usage(error: &anyhow::Error) -> bool {
    #[cfg(feature = "sim")]
    let usage = error.is::<crate::sim::Wrong>();
    #[cfg(not(feature = "sim"))]
    let usage = {
        let _ = error;
        false
    };
    usage
}

/// An error and its causes on one line, without control characters.
fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = out::printable(&cause.to_string());
        // Many errors repeat their cause in their own text.
        if !parts.last().is_some_and(|last| last.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// The environment variables that settings are read from; `VOUCHSAFE_LOG` is no setting but the level of this one run.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name != "VOUCHSAFE_LOG")
}

/// Runs a command that talks to a node.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
#[cfg(test)]
mod tests;
