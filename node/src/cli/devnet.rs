//! `vouchsafe devnet`

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use overlay::messages::DEFAULT_MAX_PAYLOAD;

use vouchsafe::config::LogFormat;

use super::out;
use crate::devnet::{self, MIN_PAYLOAD, Options};
use crate::telemetry;

/// Run many real nodes on this machine, publish through them and measure
///
/// The nodes run in this process over real QUIC on 127.0.0.1, each with its own key, UDP socket and store (in memory, which
/// is where they differ from `vouchsafe run`), and share nothing else. Every node but the first knows only the first one
/// and all of them join at once. Figures are counted where a user would: entries at each node's subscriber, bytes at each
/// node's socket. Fails unless every subscriber got every message exactly once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe devnet
  vouchsafe devnet --nodes 60 --messages 2000 --size 256 --rate 0 --json
  vouchsafe devnet --nodes 30 --idle 10 --messages 100 --json

The summary (the names are those of --json):
  delivered_fraction   1.0 = every message reached every other node
  duplicates           at the application
  latency_ms           from the call of publish at one node to the delivery at another, over all
                       messages and nodes
  copies               whole messages received for each one needed
  wire_redundancy      bytes of UDP payload sent for each byte of message delivered
  join_seconds         until every node has 3 neighbors and all hang together
  cpu_seconds_per_1k_deliveries, peak_rss_mb   of the whole process")]
pub(super) struct Devnet {
    /// Number of nodes
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=1000))]
    nodes: u16,
    /// Messages to publish in all (500, or with --duration no limit)
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    messages: Option<u64>,
    /// Bytes of each message
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = size)]
    size: usize,
    /// Messages published a second in all; 0 = as fast as it goes
    #[arg(long, value_name = "PER_SEC", default_value_t = 200.0, value_parser = not_negative)]
    rate: f64,
    /// How many nodes publish, chosen at random; each in turn
    #[arg(long, value_name = "P", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    publishers: u16,
    /// Neighbors that each node dials (by default what a node does by default)
    #[arg(long, value_name = "RF", value_parser = clap::value_parser!(u16).range(1..=64))]
    links: Option<u16>,
    /// Seeds the choice of keys, publishers and payloads
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Stop publishing after so long
    #[arg(long, value_name = "SECS", value_parser = not_negative)]
    duration: Option<f64>,
    /// Messages published before the measurement, at 200 a second, so that it sees the network at work and not its start
    #[arg(long, value_name = "N", default_value_t = 100)]
    warmup: u64,
    /// After the join, wait for all fast starts to end: they are mostly handshakes, N x N of them, and this machine does them all
    #[arg(long)]
    settle: bool,
    /// After the join, do nothing for so long and report what the nodes send meanwhile
    #[arg(long, value_name = "SECS", value_parser = not_negative)]
    idle: Option<f64>,
    /// One line of JSON instead of the summary
    #[arg(long)]
    json: bool,
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("expected a number from 0 to 1000000000".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size) if (MIN_PAYLOAD..=DEFAULT_MAX_PAYLOAD).contains(&size) => Ok(size),
        _ => Err(format!(
            "expected {MIN_PAYLOAD} to {DEFAULT_MAX_PAYLOAD} bytes"
        )),
    }
}

impl Devnet {
    pub(super) fn run(self) -> Result<()> {
        telemetry::start(LogFormat::Text, "warn")?;
        let options = Options {
            nodes: self.nodes.into(),
            messages: match (self.messages, self.duration) {
                (Some(messages), _) => messages,
                (None, Some(_)) => u64::MAX,
                (None, None) => 500,
            },
            size: self.size,
            rate: self.rate,
            publishers: self.publishers.min(self.nodes).into(),
            links: self.links.map(Into::into),
            seed: self.seed,
            duration: self.duration.map(Duration::from_secs_f64),
            settle: self.settle,
            warmup: self.warmup,
            idle: self
                .idle
                .filter(|secs| *secs > 0.0)
                .map(Duration::from_secs_f64),
        };
        let report = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().max(2)))
            .enable_all()
            .build()?
            .block_on(devnet::run(&options))?;
        if self.json {
            out::line(report.json())?;
        } else {
            out::lines(report.text())?;
        }
        match report.failure() {
            None => Ok(()),
            Some(reason) => bail!(reason.to_owned()),
        }
    }
}
