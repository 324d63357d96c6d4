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
        out::lines(std::iter::once(HEADER.to_owned()).chain(peers.iter().map(line)))
    }
}

const HEADER: &str = "ID                                                    ADDRESS                STATE      DIALLED    AGE s  SILENT s    RTT ms  \
     SCORE      BYTES IN     BYTES OUT  LAST ENDED";

fn line(peer: &PeerView) -> String {
    let ended = peer.last_reason.as_ref().map(|why| {
        let ago = why.seconds_ago.unwrap_or_default();
        format!("{ago} s ago by {}: {}", why.by, why.reason)
    });
    format!(
        "{:<52}  {:<21}  {:<9}  {:<7}  {:>7}  {:>8.1}  {:>8.1}  {:>8}  {:>12}  {:>12}  {}",
        peer.id,
        peer.address.to_string(),
        peer.state,
        if peer.outbound { "by us" } else { "by them" },
        peer.age_seconds,
        peer.silent_seconds,
        peer.rtt_ms,
        peer.score,
        peer.bytes_in,
        peer.bytes_out,
        ended.as_deref().unwrap_or("-"),
    )
}
