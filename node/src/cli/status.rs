//! `vouchsafe status`

use anyhow::Result;
use clap::Args;
use vouchsafe::admin::StatusView;

use super::client::Client;
use super::{DataDirArg, block_on, out};

/// Show how a running node is doing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouchsafe status --data-dir n1 --json")]
pub(super) struct Status {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        let status: StatusView = block_on(client.get("/v1/status"))?;
        if self.json {
            return out::line(serde_json::to_string(&status)?);
        }
        out::lines(text(&status))
    }
}

fn text(status: &StatusView) -> Vec<String> {
    let addresses = |addrs: &[std::net::SocketAddr]| {
        if addrs.is_empty() {
            "none".to_owned()
        } else {
            addrs
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        }
    };
    let mut lines = vec![
        format!("id          {}", status.id),
        format!("network     {}", status.network),
        format!(
            "version     {}, up for {} s",
            status.version, status.uptime_seconds
        ),
        format!("listens on  {}", addresses(&status.listen)),
        format!("dialled at  {}", addresses(&status.advertised)),
        format!(
            "links       {} ({} neighbors it dialled, {} that dialled it)",
            status.links, status.neighbors_outbound, status.neighbors_inbound
        ),
        format!(
            "peers       {} known, {} in the memory, network size {}",
            status.known_peers,
            status.memory_peers,
            status
                .network_size
                .map_or_else(|| "unknown".to_owned(), |size| format!("about {size:.0}")),
        ),
        format!(
            "log         {} messages, {} bytes, cursors {} to {}",
            status.log_messages, status.log_bytes, status.first_cursor, status.last_cursor
        ),
        format!("subscribers {}", status.subscribers),
        format!(
            "clock       {}",
            status.clock_offset_ms.map_or_else(
                || "too few neighbors to compare with".to_owned(),
                |ms| format!("{ms:+} ms against the median of the neighbors"),
            )
        ),
    ];
    if status.cloned {
        lines.push("WARNING     another node signs with this node's key: publishing has stopped; give each node its own data directory".to_owned());
    }
    lines
}
