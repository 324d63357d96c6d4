//! The node's news, as log lines.

use std::time::Duration;

use tokio::time::{Instant, interval};
use vouchsafe::admin::DownView;
use vouchsafe::{EventStream, NodeEvent};

use super::quota::Quotas;

/// How often what was left out is summed up.
const SUMMARY: Duration = Duration::from_secs(60);

/// Logs until the node has stopped.
pub(super) async fn log(mut events: EventStream) {
    let (mut quotas, mut summary) = (Quotas::new(SUMMARY), interval(SUMMARY));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) if quotas.admit(kind(&event), Instant::now()) => line(event),
                Some(_) => {}
                None => break,
            },
            _ = summary.tick() => sum_up(&mut quotas, false),
        }
    }
    sum_up(&mut quotas, true);
}

fn sum_up(quotas: &mut Quotas, all: bool) {
    for (kind, left_out) in quotas.take_left_out(Instant::now(), all) {
        tracing::info!(left_out, "more of the same within a minute: {kind}");
    }
}

/// What is counted together.
const fn kind(event: &NodeEvent) -> &'static str {
    match event {
        NodeEvent::NeighborUp { .. } => "neighbor up",
        NodeEvent::NeighborDown { .. } => "neighbor gone",
        NodeEvent::Suspected { .. } => "neighbor suspected",
        NodeEvent::Failed { .. } => "neighbor failed",
        NodeEvent::Recovered { .. } => "neighbor recovered",
        NodeEvent::SeedFailed { .. } => "seed failed",
        NodeEvent::Equivocation { .. } => "equivocation",
        NodeEvent::Lagged { .. } => "events skipped",
        NodeEvent::Isolated
        | NodeEvent::Rejoined { .. }
        | NodeEvent::ClockSkew { .. }
        | NodeEvent::CloneDetected
        | NodeEvent::StoreFailed { .. } => "other",
    }
}

fn line(event: NodeEvent) {
    match event {
        NodeEvent::NeighborUp {
            peer,
            addr,
            outbound,
        } => tracing::info!(%peer, %addr, outbound, "neighbor up"),
        NodeEvent::NeighborDown { peer, why } => {
            let view = DownView::of(why);
            tracing::info!(%peer, by = &*view.by, code = view.code, reason = &*view.reason, "neighbor gone");
        }
        NodeEvent::Suspected { peer, silent } => {
            tracing::debug!(%peer, silent_s = silent.as_secs_f64(), "a neighbor is silent and is probed");
        }
        NodeEvent::Failed {
            peer,
            silent,
            alive_elsewhere,
        } => {
            tracing::info!(%peer, silent_s = silent.as_secs_f64(), alive_elsewhere, "a neighbor answers no probe and is given up");
        }
        NodeEvent::Recovered { peer, silent } => {
            tracing::debug!(%peer, silent_s = silent.as_secs_f64(), "a silent neighbor is heard again");
        }
        NodeEvent::Isolated => tracing::warn!(
            "no neighbor is left: the node goes back to its seeds and to everybody it has known"
        ),
        NodeEvent::Rejoined { after } => {
            tracing::info!(after_s = after.as_secs_f64(), "there is a neighbor again");
        }
        NodeEvent::SeedFailed {
            peer,
            target,
            reason,
            retry_in,
        } => {
            tracing::warn!(%peer, address = target, retry_in_s = retry_in.as_secs_f64(), "seed failed, tried again: {reason}");
        }
        NodeEvent::ClockSkew { offset_ms } => {
            tracing::warn!(
                offset_ms,
                "this machine's clock is off against its neighbors' median: set it, for example with an NTP client"
            );
        }
        NodeEvent::CloneDetected => {
            tracing::error!(
                "another node signs with this node's key: publishing has stopped; give each node its own data directory (`vouchsafe init`)"
            );
        }
        NodeEvent::Equivocation { evidence } => {
            tracing::warn!(author = %evidence.author(), seq = evidence.seq(), "an author signed two messages with one sequence number: see `vouchsafe evidence list`");
        }
        NodeEvent::StoreFailed { problem } => tracing::error!("{problem}"),
        NodeEvent::Lagged { missed } => tracing::debug!(missed, "events were skipped in this log"),
    }
}
