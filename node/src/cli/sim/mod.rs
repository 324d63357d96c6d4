//! `vouchsafe sim`

mod classics;
mod compare;
mod list;
mod run;
mod size;
mod suite;
mod worker;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Simulate whole networks, hostile ones too, and measure them
///
/// Thousands of the very state machines that run in real nodes, the bytes on the wire included, in virtual time: a run repeats exactly,
/// and a simulated hour takes minutes. A scenario says what the world is, what happens in it and what the figures must reach.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND",
    after_help = EXAMPLES
)]
pub(super) struct Sim {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<run::Run>,
}

const EXAMPLES: &str = "\
Examples:
  vouchsafe sim list                                     the scenarios and what each must reach
  vouchsafe sim byzantine --quick                        a small one, in seconds
  vouchsafe sim byzantine --nodes 1000 --byzantine 0.3 --seeds 20 --out report
  vouchsafe sim targeted --arm f=0.3 --set victims=5 --json
  vouchsafe sim mine.toml --check                        a scenario of your own
  vouchsafe sim size --nodes 1000 --byzantine 0.2        which settings such a network needs

A key is set by --set KEY=VALUE, typed by the rules of TOML; a bare word is a string.
docs/SIMULATOR.md describes every key, scenario files, arms, and the files of a report.
--json prints one line: {\"scenario\":..,\"nodes\":..,\"seeds\":[..],\"metrics\":{..},
\"intervals\":{..},\"params\":{..},\"version\":..,\"event_hash\":..}; metrics are means over the seeds,
intervals hold the true mean with 95 % confidence.
Exit status: 1 also when a bar is missed, with --check; 2 when a scenario, key or value is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Suite(suite::Suite),
    Compare(compare::Compare),
    Classics(classics::Classics),
    Size(size::Size),
    #[command(hide = true)]
    Worker(worker::Worker),
}

impl Sim {
    pub(super) fn run(self) -> Result<()> {
        match (self.command, self.run) {
            (Some(Command::List(command)), _) => command.run(),
            (Some(Command::Suite(command)), _) => command.run(),
            (Some(Command::Compare(command)), _) => command.run(),
            (Some(Command::Classics(command)), _) => command.run(),
            (Some(Command::Size(command)), _) => command.run(),
            (Some(Command::Worker(command)), _) => command.run(),
            (None, Some(run)) => run.run(),
            // The parser asks for one of them.
            (None, None) => anyhow::bail!("name a scenario; `vouchsafe sim list` shows them"),
        }
    }
}
