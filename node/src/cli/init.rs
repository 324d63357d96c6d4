//! `vouchsafe init`

use anyhow::Result;
use clap::Args;
use vouchsafe::AddressPreset;
use vouchsafe::config::NodeConfig;
use vouchsafe::data_dir::DataDir;

use super::{DataDirArg, out};

/// Make a node's directory with a fresh key and a commented config.toml
///
/// Prints the new node's id. Nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe init --data-dir n1 --local
  vouchsafe init --data-dir /var/lib/vouchsafe --network example.org/main")]
pub(super) struct Init {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// Name of the network; nodes of different networks never talk to each other
    #[arg(long, value_name = "NAME", default_value_t = NodeConfig::default().network)]
    network: String,
    /// For nodes of one machine: take loopback addresses, listen on a free port of 127.0.0.1
    #[arg(long)]
    local: bool,
}

impl Init {
    pub(super) fn run(self) -> Result<()> {
        let preset = if self.local {
            AddressPreset::Local
        } else {
            AddressPreset::Wan
        };
        let (_, id) = DataDir::init(&self.data_dir.data_dir, &self.network, preset)?;
        out::line(id.to_string())
    }
}
