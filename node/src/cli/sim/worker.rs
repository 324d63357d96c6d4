//! `vouchsafe sim worker`: one run of a suite, for the suite that started it.

use std::io;

use anyhow::Result;
use clap::Args;

use crate::sim::suite;

/// Reads what to run from stdin, and says on stdout how it goes and what came of it
#[derive(Debug, Args)]
pub(super) struct Worker {}

impl Worker {
    pub(super) fn run(self) -> Result<()> {
        suite::serve(io::stdin().lock(), io::stdout().lock())
    }
}
