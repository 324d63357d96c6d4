//! Many real nodes on one machine, and what they cost and deliver.
//!
//! It is an application like any other: nodes come from [`vouchsafe::Node::builder`] and are used through their handles.
//! What is measured is counted outside of them, at the subscriber and at the socket.

mod histogram;
mod nodes;
mod process;
mod publish;
mod receive;
mod report;
mod show;
mod socket;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use vouchsafe::Topic;

pub(crate) use publish::MIN_PAYLOAD;
pub(crate) use report::Report;

use nodes::Network;
use process::Usage;
use receive::Receivers;
use report::Figures;
use show::Show;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) messages: u64,
    pub(crate) size: usize,
    /// Messages a second; 0 = no pause between them.
    pub(crate) rate: f64,
    pub(crate) publishers: usize,
    pub(crate) links: Option<usize>,
    pub(crate) seed: u64,
    pub(crate) duration: Option<Duration>,
    /// Wait for the end of all fast starts before anything is published or measured.
    pub(crate) settle: bool,
    pub(crate) warmup: u64,
    pub(crate) idle: Option<Duration>,
}

/// Messages a second while warming up.
const WARMUP_RATE: f64 = 200.0;
/// Without any delivery for so long the rest counts as lost: two periods of repair and some.
const STALLED: Duration = Duration::from_secs(75);

/// Starts the nodes, lets them join, publishes, measures, and stops them.
pub(crate) async fn run(options: &Options) -> Result<Report> {
    let show = Show::start(options);
    let network = Network::start(options).await?;
    let join = network.joined(&show).await?;
    let settle = if options.settle {
        Some(network.settled(&show).await?)
    } else {
        None
    };
    let idle_bytes = match options.idle {
        Some(time) => Some(idle(&network, time, &show).await),
        None => None,
    };
    if options.warmup > 0 {
        let warmup = Options {
            messages: options.warmup,
            rate: WARMUP_RATE,
            duration: None,
            ..options.clone()
        };
        let phase = Phase::run(&network, &warmup, "warmup", &show).await?;
        if !phase.complete() {
            bail!(
                "the warm-up did not reach every node: {} of {} deliveries",
                phase.delivered,
                phase.expected
            );
        }
    }
    let phase = Phase::run(&network, options, "devnet", &show).await?;
    let views = network.views().await?;
    show.finish();
    let report = Report::new(
        options,
        Figures {
            phase,
            join,
            settle,
            idle_bytes,
            views,
            peak_rss_mb: process::peak_rss_mb(),
        },
    );
    network.stop().await;
    Ok(report)
}

async fn idle(network: &Network, time: Duration, show: &Show) -> f64 {
    show.stage("idle, measuring what the nodes send");
    let (before, start) = (network.bytes_sent(), Instant::now());
    tokio::time::sleep(time).await;
    let sent = network.bytes_sent() - before;
    let per_node = sent as f64 / network.len() as f64;
    per_node / start.elapsed().as_secs_f64()
}

/// Publishing on one topic from begin to last delivery, and what it took.
#[derive(Debug)]
struct Phase {
    published: u64,
    /// Deliveries wanted and had at nodes other than the publisher.
    expected: u64,
    delivered: u64,
    /// Deliveries that a subscriber had had before.
    duplicates: u64,
    /// Deliveries with a wrong author, topic or payload.
    wrong: u64,
    /// Own messages that their publisher's subscriber did not get.
    own_missing: u64,
    /// Times a subscriber fell behind and went on from the log.
    lagged: u64,
    latency: histogram::Histogram,
    /// From the first publish to the last delivery.
    seconds: f64,
    cpu_seconds: Option<f64>,
    bytes_sent: u64,
    datagrams_sent: u64,
    /// Whole messages received, and those needed.
    copies: (u64, u64),
    exchanges: u64,
}

impl Phase {
    async fn run(network: &Network, options: &Options, topic: &str, show: &Show) -> Result<Self> {
        let topic: Topic = topic.parse()?;
        let before = network.counters().await?;
        let (bytes, datagrams) = (network.bytes_sent(), network.datagrams_sent());
        let usage = Usage::now();
        let clock = Instant::now();
        let receivers = Receivers::start(network, &topic, options, clock).await?;
        let published = Arc::new(AtomicU64::new(0));
        let publishing = publish::start(network, &topic, options, clock, &published);
        let watching = show.watch(options, network, &published, receivers.progress());
        let total = publishing.finish().await?;
        receivers.all_delivered(total, STALLED).await;
        watching.abort();
        let cpu_seconds = usage.cpu_seconds_since();
        let bytes_sent = network.bytes_sent() - bytes;
        let datagrams_sent = network.datagrams_sent() - datagrams;
        let counters = network.counters().await?;
        let counted = |room: &str, name: &str| counters.get(room, name) - before.get(room, name);
        let nodes = network.len() as u64;
        let result = receivers.finish(total).await?;
        Ok(Self {
            published: total,
            expected: total * (nodes - 1),
            delivered: result.delivered,
            duplicates: result.duplicates,
            wrong: result.wrong,
            own_missing: result.own_missing,
            lagged: result.lagged,
            latency: result.latency,
            seconds: result.last.as_secs_f64(),
            cpu_seconds,
            bytes_sent,
            datagrams_sent,
            copies: (
                counted("broadcast", "copies") + counted("repair", "messages"),
                // Each node appends each message; the one that published it received no copy.
                counted("messages", "appended") / nodes * (nodes - 1),
            ),
            exchanges: counters.get("sampling", "exchanges"),
        })
    }

    fn complete(&self) -> bool {
        self.delivered == self.expected && self.duplicates + self.wrong + self.own_missing == 0
    }
}
