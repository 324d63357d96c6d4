//! The summary, for people and for programs.

use std::time::Duration;

use serde::Serialize;

use super::nodes::Views;
use super::{Options, Phase};

/// What was measured.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) phase: Phase,
    pub(super) join: Duration,
    /// Until the last fast start ended, if that was waited for.
    pub(super) settle: Option<Duration>,
    pub(super) idle_bytes: Option<f64>,
    pub(super) views: Views,
    pub(super) peak_rss_mb: Option<f64>,
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Report {
    summary: Summary,
    failure: Option<String>,
}

/// The JSON line; its fields do not change their meaning.
#[derive(Debug, Serialize)]
struct Summary {
    nodes: usize,
    messages: u64,
    size: usize,
    delivered_fraction: f64,
    duplicates: u64,
    latency_ms: Latency,
    deliveries_per_sec: f64,
    cpu_seconds_per_1k_deliveries: Option<f64>,
    copies: f64,
    wire_redundancy: f64,
    join_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_seconds: Option<f64>,
    peak_rss_mb: Option<f64>,
    rate: f64,
    publishers: usize,
    seed: u64,
    seconds: f64,
    datagrams_per_delivery: f64,
    exchanges: u64,
    memory: Spread,
    neighbors: Spread,
    subscriber_lags: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_bytes_per_node_per_sec: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    min: usize,
    median: usize,
    max: usize,
}

impl From<[usize; 3]> for Spread {
    fn from([min, median, max]: [usize; 3]) -> Self {
        Self { min, median, max }
    }
}

/// `a / b` to four significant digits or so; 0 for a run without any `b`.
fn per(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { round(a / b) }
}

fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0);
    let scale = 10_f64.powf(digits);
    (value * scale).round() / scale
}

fn number(n: u64) -> f64 {
    n as f64
}

impl Report {
    pub(super) fn new(options: &Options, figures: Figures) -> Self {
        let Figures {
            phase,
            join,
            settle,
            idle_bytes,
            views,
            peak_rss_mb,
        } = figures;
        let deliveries = number(phase.delivered);
        // Never rounded up to 1: one missing delivery is one too many.
        let delivered_fraction = if phase.expected == 0 {
            0.0
        } else {
            deliveries / number(phase.expected)
        };
        let summary = Summary {
            nodes: options.nodes,
            messages: phase.published,
            size: options.size,
            delivered_fraction,
            duplicates: phase.duplicates,
            latency_ms: Latency {
                p50: round(phase.latency.quantile_ms(0.5)),
                p90: round(phase.latency.quantile_ms(0.9)),
                p99: round(phase.latency.quantile_ms(0.99)),
                max: round(phase.latency.max_ms()),
            },
            deliveries_per_sec: per(deliveries, phase.seconds),
            cpu_seconds_per_1k_deliveries: phase
                .cpu_seconds
                .map(|seconds| per(seconds * 1e3, deliveries)),
            copies: per(number(phase.copies.0), number(phase.copies.1)),
            wire_redundancy: per(
                number(phase.bytes_sent),
                deliveries * number(options.size as u64),
            ),
            join_seconds: round(join.as_secs_f64()),
            settle_seconds: settle.map(|time| round(time.as_secs_f64())),
            peak_rss_mb: peak_rss_mb.map(round),
            rate: options.rate,
            publishers: options.publishers,
            seed: options.seed,
            seconds: round(phase.seconds),
            datagrams_per_delivery: per(number(phase.datagrams_sent), deliveries),
            exchanges: phase.exchanges,
            memory: views.memory.into(),
            neighbors: views.neighbors.into(),
            subscriber_lags: phase.lagged,
            idle_bytes_per_node_per_sec: idle_bytes.map(round),
        };
        Self {
            failure: failure(&phase),
            summary,
        }
    }

    /// Why the run does not count as a success.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.summary).unwrap_or_default()
    }

    /// The same for people.
    pub(crate) fn text(&self) -> Vec<String> {
        let s = &self.summary;
        let optional = |value: Option<f64>| {
            value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
        };
        let rate = if s.rate > 0.0 {
            format!("{} a second", s.rate)
        } else {
            "as fast as it goes".to_owned()
        };
        let mut lines = vec![
            format!(
                "{} nodes over QUIC on 127.0.0.1 (stores in memory), {} messages of {} bytes, {rate}, {} publishers",
                s.nodes, s.messages, s.size, s.publishers
            ),
            format!(
                "joined        in {} s, all at once through one seed",
                s.join_seconds
            ),
            format!(
                "delivered     {} of what was to be delivered, {} duplicates",
                s.delivered_fraction, s.duplicates
            ),
            format!(
                "latency       p50 {} ms, p90 {} ms, p99 {} ms, max {} ms",
                s.latency_ms.p50, s.latency_ms.p90, s.latency_ms.p99, s.latency_ms.max
            ),
            format!(
                "throughput    {} deliveries a second, {} CPU seconds for 1,000",
                s.deliveries_per_sec,
                optional(s.cpu_seconds_per_1k_deliveries)
            ),
            format!(
                "redundancy    {} copies received a message, {} bytes of UDP sent a byte delivered",
                s.copies, s.wire_redundancy
            ),
            format!(
                "views         {} to {} peers in the memory, {} to {} neighbors, {} exchanges",
                s.memory.min, s.memory.max, s.neighbors.min, s.neighbors.max, s.exchanges
            ),
            format!(
                "memory        {} MB at most, the whole process",
                optional(s.peak_rss_mb)
            ),
        ];
        if let Some(bytes) = s.idle_bytes_per_node_per_sec {
            lines.push(format!(
                "idle          {bytes} bytes of UDP a node and second"
            ));
        }
        lines
    }
}

fn failure(phase: &Phase) -> Option<String> {
    let faults: Vec<String> = [
        (
            phase.expected.saturating_sub(phase.delivered),
            "deliveries are missing",
        ),
        (phase.duplicates, "deliveries came twice"),
        (phase.wrong, "deliveries had a wrong author or payload"),
        (
            phase.own_missing,
            "own messages did not reach their publisher's subscriber",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if phase.published == 0 {
        return Some("nothing was published".to_owned());
    }
    (!faults.is_empty()).then(|| faults.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devnet::histogram::Histogram;

    fn report(change: impl FnOnce(&mut Phase)) -> Report {
        let mut latency = Histogram::default();
        latency.add(Duration::from_millis(2));
        let mut phase = Phase {
            published: 100,
            expected: 300,
            delivered: 300,
            duplicates: 0,
            wrong: 0,
            own_missing: 0,
            lagged: 0,
            latency,
            seconds: 2.0,
            cpu_seconds: Some(0.03),
            bytes_sent: 153_600,
            datagrams_sent: 450,
            copies: (330, 300),
            exchanges: 9,
        };
        change(&mut phase);
        let options = Options {
            nodes: 4,
            messages: 100,
            size: 256,
            rate: 50.0,
            publishers: 2,
            links: None,
            seed: 1,
            duration: None,
            settle: false,
            warmup: 0,
            idle: None,
        };
        let views = Views {
            memory: [3, 3, 3],
            neighbors: [3, 3, 3],
        };
        Report::new(
            &options,
            Figures {
                phase,
                join: Duration::from_millis(250),
                settle: None,
                idle_bytes: None,
                views,
                peak_rss_mb: Some(20.0),
            },
        )
    }

    #[test]
    fn the_json_has_the_promised_fields() {
        let json: serde_json::Value = serde_json::from_str(&report(|_| ()).json()).unwrap();
        for (pointer, want) in [
            ("/nodes", 4.0),
            ("/messages", 100.0),
            ("/size", 256.0),
            ("/delivered_fraction", 1.0),
            ("/duplicates", 0.0),
            ("/latency_ms/max", 2.0),
            ("/deliveries_per_sec", 150.0),
            ("/cpu_seconds_per_1k_deliveries", 0.1),
            ("/copies", 1.1),
            ("/wire_redundancy", 2.0),
            ("/join_seconds", 0.25),
            ("/peak_rss_mb", 20.0),
        ] {
            assert_eq!(
                json.pointer(pointer).and_then(serde_json::Value::as_f64),
                Some(want),
                "{pointer}"
            );
        }
        for pointer in ["/latency_ms/p50", "/latency_ms/p90", "/latency_ms/p99"] {
            let ms = json
                .pointer(pointer)
                .and_then(serde_json::Value::as_f64)
                .unwrap();
            assert!((ms - 2.0).abs() < 0.03, "{pointer}: {ms}");
        }
        assert!(
            report(|_| ())
                .json()
                .contains("\"delivered_fraction\":1.0,")
        );
    }

    #[test]
    fn anything_less_than_everything_once_is_a_failure() {
        assert_eq!(report(|_| ()).failure(), None);
        assert_eq!(
            report(|p| p.delivered -= 1).failure(),
            Some("1 deliveries are missing")
        );
        assert_eq!(
            report(|p| p.duplicates = 2).failure(),
            Some("2 deliveries came twice")
        );
        assert!(report(|p| p.wrong = 1).failure().is_some());
        assert!(report(|p| p.own_missing = 1).failure().is_some());
        assert!(report(|p| p.published = 0).failure().is_some());
        assert!(
            !report(|p| p.delivered -= 1)
                .json()
                .contains("\"delivered_fraction\":1.0")
        );
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!(round(0.012_345_678), 0.012_35);
        assert_eq!(round(123_456.7), 123_457.0);
        assert_eq!(round(1.0), 1.0);
        assert_eq!(per(1.0, 0.0), 0.0);
    }
}
