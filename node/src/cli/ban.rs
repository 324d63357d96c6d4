//! `vouchsafe ban` and `vouchsafe unban`

use anyhow::Result;
use clap::Args;
use vouchsafe::PeerId;

use super::client::Client;
use super::{DataDirArg, block_on};

/// Refuse a peer: close its links and admit it no more
///
/// A ban survives a restart of the node.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouchsafe ban --data-dir n1 --seconds 3600 ID")]
pub(super) struct Ban {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// Whom, by id
    id: PeerId,
    /// For how long; without it until `vouchsafe unban`
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

impl Ban {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        let time = self
            .seconds
            .map_or_else(String::new, |seconds| format!("?seconds={seconds}"));
        block_on(client.call("PUT", &format!("/v1/bans/{}{time}", self.id)))
    }
}

/// Lift a ban
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouchsafe unban --data-dir n1 ID")]
pub(super) struct Unban {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// Whose, by id
    id: PeerId,
}

impl Unban {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        block_on(client.call("DELETE", &format!("/v1/bans/{}", self.id)))
    }
}
