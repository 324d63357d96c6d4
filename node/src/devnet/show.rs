//! What a person watching sees on stderr while it runs; nothing when stderr is no terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use vouchsafe::Handle;

use super::Options;
use super::nodes::Network;
use super::receive::Progress;

/// Nodes in the table; a larger network is summed up in its last line.
const ROWS: usize = 16;
/// How often the table is drawn.
const PERIOD: Duration = Duration::from_millis(500);

/// A bar, and a table below it.
#[derive(Debug)]
pub(super) struct Show {
    bar: ProgressBar,
    table: ProgressBar,
    visible: bool,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Show {
    pub(super) fn start(options: &Options) -> Self {
        let target = ProgressDrawTarget::stderr();
        let visible = !target.is_hidden();
        let all = MultiProgress::with_draw_target(target);
        let bar = all.add(ProgressBar::new(options.nodes as u64));
        bar.set_style(style("{msg:32} {bar:40} {pos}/{len}  {elapsed}"));
        bar.set_message("joining");
        let table = all.add(ProgressBar::new(1));
        table.set_style(style("{msg}"));
        Self {
            bar,
            table,
            visible,
        }
    }

    /// So many nodes have enough neighbors.
    pub(super) fn joined(&self, nodes: usize) {
        self.bar.set_position(nodes as u64);
    }

    pub(super) fn stage(&self, text: &'static str) {
        self.bar.set_message(text);
    }

    /// Draws publishing and delivering until the returned task is aborted.
    pub(super) fn watch(
        &self,
        options: &Options,
        network: &Network,
        published: &Arc<AtomicU64>,
        progress: Arc<Progress>,
    ) -> JoinHandle<()> {
        if !self.visible {
            return tokio::spawn(std::future::ready(()));
        }
        let (bar, table, published) = (self.bar.clone(), self.table.clone(), published.clone());
        let (others, messages) = (options.nodes as u64 - 1, options.messages);
        let handles: Vec<Handle> = network.handles().collect();
        bar.set_message("publishing");
        bar.set_position(0);
        tokio::spawn(async move {
            loop {
                let sent = published.load(Ordering::Relaxed);
                let goal = if messages == u64::MAX { sent } else { messages };
                bar.set_length(goal.saturating_mul(others));
                bar.set_position(progress.delivered.load(Ordering::Relaxed));
                bar.set_message(format!("{sent} published, delivered:"));
                table.set_message(rows(&handles).await);
                tokio::time::sleep(PERIOD).await;
            }
        })
    }

    /// Wipes everything, before the summary.
    pub(super) fn finish(&self) {
        self.table.finish_and_clear();
        self.bar.finish_and_clear();
    }
}

async fn rows(handles: &[Handle]) -> String {
    let mut lines = vec!["  node      neighbors  memory  log entries  log bytes".to_owned()];
    for handle in handles.iter().take(ROWS) {
        let Ok(status) = handle.status().await else {
            continue;
        };
        lines.push(format!(
            "  {}  {:>9}  {:>6}  {:>11}  {:>9}",
            status.id.short(),
            status.neighbors_outbound + status.neighbors_inbound,
            status.memory_peers,
            status.last_cursor,
            status.log_bytes,
        ));
    }
    if handles.len() > ROWS {
        lines.push(format!("  and {} more", handles.len() - ROWS));
    }
    lines.join("\n")
}
