//! `vouchsafe id`

use anyhow::Result;
use clap::Args;
use vouchsafe::Identity;
use vouchsafe::data_dir::DataDir;

use super::{DataDirArg, out};

/// Print a node's id
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouchsafe run --data-dir n2 --seed $(vouchsafe id --data-dir n1)@127.0.0.1:4100"
)]
pub(super) struct Id {
    #[command(flatten)]
    data_dir: DataDirArg,
}

impl Id {
    pub(super) fn run(self) -> Result<()> {
        let identity = Identity::load(&DataDir::new(&self.data_dir.data_dir).key_path())?;
        out::line(identity.id().to_string())
    }
}
