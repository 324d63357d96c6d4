//! `vouchsafe peers`

use anyhow::Result;
use clap::Args;
use vouchsafe::admin::PeerView;

use super::client::Client;
use super::{DataDirArg, block_on, out};

/// List a running node's links
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouchsafe peers --data-dir n1 --json")]
pub(super) struct Peers {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Peers {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        let mut peers: Vec<PeerView> = block_on(client.get("/v1/peers"))?;
        peers.sort_by(|a, b| (b.neighbor, b.outbound, &a.id).cmp(&(a.neighbor, a.outbound, &b.id)));
        if self.json {
            let lines: Vec<String> = peers
                .iter()
                .map(serde_json::to_string)
                .collect::<Result<_, _>>()?;
            return out::lines(lines);
        }
        let header = format!(
            "{:<52}  {:<21}  {:<8}  {:<9}  {:>8}  {:>8}  {:>12}  {:>12}",
            "ID", "ADDRESS", "KIND", "DIALLED", "AGE s", "RTT ms", "BYTES IN", "BYTES OUT"
        );
        out::lines(std::iter::once(header).chain(peers.iter().map(|peer| {
            format!(
                "{:<52}  {:<21}  {:<8}  {:<9}  {:>8}  {:>8.1}  {:>12}  {:>12}",
                peer.id,
                peer.address.to_string(),
                if peer.neighbor { "neighbor" } else { "visit" },
                if peer.outbound { "by us" } else { "by them" },
                peer.age_seconds,
                peer.rtt_ms,
                peer.bytes_in,
                peer.bytes_out,
            )
        })))
    }
}
