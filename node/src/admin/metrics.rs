//! `GET /metrics`: every counter of the node and some gauges, in the Prometheus (OpenMetrics) text form.

use axum::extract::State;
use axum::response::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::routes::{Problem, with_type};
use crate::{Handle, NodeStats, Status};

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The node at the moment of a scrape.
#[derive(Debug)]
struct Snapshot {
    stats: NodeStats,
    status: Status,
}

pub(super) async fn metrics(State(handle): State<Handle>) -> Result<Response, Problem> {
    let snapshot = Snapshot {
        stats: handle.stats().await?,
        status: handle.status().await?,
    };
    Ok(with_type(TEXT, encode(snapshot)))
}

fn encode(snapshot: Snapshot) -> String {
    let mut registry = Registry::with_prefix("vouchsafe");
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &registry);
    out
}

impl Snapshot {
    /// Name, meaning and value of each gauge.
    fn gauges(&self) -> [(&'static str, &'static str, f64); 15] {
        let status = &self.status;
        let whole = |n: u64| n as f64;
        let count = |n: usize| whole(n as u64);
        [
            (
                "uptime_seconds",
                "Time since the node started",
                status.uptime.as_secs_f64(),
            ),
            ("links", "Connections, visits included", count(status.links)),
            (
                "neighbors_outbound",
                "Neighbors that the node dialled",
                count(status.neighbors_outbound),
            ),
            (
                "neighbors_inbound",
                "Neighbors that dialled the node",
                count(status.neighbors_inbound),
            ),
            (
                "known_peers",
                "Signed records held of others",
                count(status.known_peers),
            ),
            (
                "memory_peers",
                "Distinct peers in the memory",
                count(status.memory_peers),
            ),
            (
                "network_size",
                "Estimated number of dialable nodes, 0 while unknown",
                status.network_size.unwrap_or(0.0),
            ),
            (
                "log_messages",
                "Messages in the log",
                count(status.log_messages),
            ),
            ("log_bytes", "Bytes of the log", whole(status.log_bytes)),
            (
                "last_cursor",
                "Cursor of the newest entry",
                whole(status.last_cursor),
            ),
            (
                "low_edge_seconds",
                "Unix time before which nothing is kept or taken",
                whole(status.low_edge_ms) / 1e3,
            ),
            (
                "clock_offset_seconds",
                "Own clock minus the median of the neighbors' clocks, 0 while unknown",
                status.clock_offset_ms.map_or(0.0, offset_seconds),
            ),
            (
                "cloned",
                "1 = someone else signs with this node's key",
                f64::from(u8::from(status.cloned)),
            ),
            (
                "evidence",
                "Proofs of equivocation that are kept",
                whole(status.evidence),
            ),
            (
                "subscribers",
                "Open subscriptions",
                count(status.subscribers),
            ),
        ]
    }
}

fn offset_seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in self.gauges() {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        let mut counters = Vec::new();
        self.stats
            .each(|room, name, value| counters.push((format!("{room}_{name}"), value)));
        for (name, value) in counters {
            let help = name.replace('_', " ");
            let counter = encoder.encode_descriptor(&name, &help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(counter)?;
        }
        Ok(())
    }
}
