//! `vouchsafe run`

mod events;
mod quota;
mod reload;
mod signals;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use sd_notify::NotifyState;
use serde::Serialize;
use vouchsafe::admin::Admin;
use vouchsafe::config::{self, Flags, HostPort, LogFormat, NodeConfig, PeerAddr};
use vouchsafe::data_dir::DataDir;
use vouchsafe::{AddressPreset, Handle, Node, PeerId};

use self::reload::Reload;
use self::signals::{Signal, Signals};
use super::{DataDirArg, environment, out};
use crate::telemetry;

/// Run a node until it is interrupted
///
/// Once it listens, one line goes to stdout:
///   {"event":"ready","id":"..","listen":["127.0.0.1:4100"],"admin":"127.0.0.1:4101"}
/// Logs go to stderr. Settings come from these flags, then VOUCHSAFE_* environment variables, then config.toml.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  vouchsafe run --data-dir n1
  vouchsafe run --data-dir n2 --seed $(vouchsafe id --data-dir n1)@127.0.0.1:4100
  vouchsafe run --data-dir n3 --listen 0.0.0.0:4100 --external node3.example.org:4100

Signals: SIGTERM and SIGINT leave gracefully, a second one aborts; SIGHUP reads the settings
again, takes over the log level and says which other changes wait for a restart.
Environment: VOUCHSAFE_LOG or RUST_LOG set the log level for this run (error, warn, info, debug,
trace, or MODULE=LEVEL,..). The variable of a setting is its name, as in VOUCHSAFE_NETWORK or
VOUCHSAFE_LIMITS_MAX_UPLOAD."
)]
pub(super) struct Run {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// Name of the network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// All nodes are on this machine: take loopback addresses
    #[arg(long)]
    local: bool,
    /// UDP address to listen on, port 0 = a free one; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<SocketAddr>,
    /// Where others can dial this node when that is not what they see; at most one for each of IPv4 and IPv6
    #[arg(long, value_name = "HOST:PORT")]
    external: Vec<HostPort>,
    /// A peer to ask for others; may be repeated
    #[arg(long, value_name = "ID@HOST:PORT")]
    seed: Vec<PeerAddr>,
    /// A peer to keep as a neighbor; may be repeated
    #[arg(long, value_name = "ID@HOST:PORT")]
    persistent: Vec<PeerAddr>,
    /// Loopback address of the admin API, port 0 = a free one
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// How logs are written
    #[arg(long, value_name = "text|json")]
    log_format: Option<LogFormat>,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let dir = DataDir::open(&self.data_dir.data_dir)?;
        let flags = self.flags();
        let loaded = config::load(&dir.config_path(), environment(), &flags)?;
        let logs = telemetry::start(loaded.config.log_format, &loaded.config.log_level)?;
        telemetry::quiet_about_damage();
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let reload = Reload {
            logs,
            path: dir.config_path(),
            flags,
            running: loaded.config.clone(),
        };
        let result = runtime.block_on(serve(&dir, &loaded.config, reload));
        // A subscriber's thread or a stuck disk must not keep the process.
        runtime.shutdown_background();
        result
    }

    fn flags(&self) -> Flags {
        Flags {
            network: self.network.clone(),
            preset: self.local.then_some(AddressPreset::Local),
            listen: self.listen.clone(),
            external: self.external.clone(),
            seeds: self.seed.clone(),
            persistent: self.persistent.clone(),
            admin: self.admin,
            log_format: self.log_format,
        }
    }
}

/// The line on stdout that says that the node listens.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    id: PeerId,
    listen: &'a [SocketAddr],
    admin: SocketAddr,
}

async fn serve(dir: &DataDir, config: &NodeConfig, reload: Reload) -> Result<()> {
    // From here on a signal is ours: it ends the node well even while it starts.
    let mut signals = Signals::new()?;
    let node = start(dir, config).await?;
    let mut events = tokio::spawn(events::log(node.handle().events()));
    let served = match announce(dir, config, &node).await {
        Ok(admin) => {
            let asked = wait(&node, &mut signals, reload).await;
            let _ = sd_notify::notify(&[NotifyState::Stopping]);
            tracing::info!("leaving; a second signal aborts");
            let _ = dir.remove_admin_addr();
            let handle = node.handle();
            tokio::select! {
                () = async {
                    admin.shutdown().await;
                    node.shutdown().await;
                    // What happened before the end is said before the end.
                    let _ = (&mut events).await;
                } => ended(&handle, asked),
                () = signals.again(asked) => Err(anyhow!("aborted by a second signal")),
            }
        }
        Err(error) => {
            node.shutdown().await;
            Err(error)
        }
    };
    events.abort();
    served
}

async fn start(dir: &DataDir, config: &NodeConfig) -> Result<Node> {
    let mut builder = Node::builder()
        .network_id(config.network_id())
        .data_dir(dir.path())
        .identity(dir.identity()?)
        .preset(config.preset)
        .limits(config.limits)
        .core(|core| config.apply_to(core));
    for addr in &config.listen {
        builder = builder.listen(*addr);
    }
    for place in &config.external {
        builder = builder.external(resolve(place).await?);
    }
    for seed in &config.seeds {
        builder = builder.seed(seed.clone());
    }
    for peer in &config.persistent {
        builder = builder.persistent(peer.clone());
    }
    Ok(builder.spawn().await?)
}

/// The address of an external name; it is given to others, who cannot use a name.
async fn resolve(place: &HostPort) -> Result<SocketAddr> {
    if let Some(addr) = place.socket_addr() {
        return Ok(addr);
    }
    let mut found = tokio::net::lookup_host((place.host.as_str(), place.port))
        .await
        .with_context(|| {
            format!(
                "external address {place}: the name does not resolve; give the IP address instead"
            )
        })?;
    found.next().with_context(|| {
        format!("external address {place}: the name has no address; give the IP address instead")
    })
}

/// Opens the admin API and tells everybody that the node is ready.
async fn announce(dir: &DataDir, config: &NodeConfig, node: &Node) -> Result<Admin> {
    let admin = Admin::start(config.admin, dir.admin_token_or_new()?, node.handle()).await?;
    dir.write_admin_addr(admin.addr())?;
    let ready = Ready {
        event: "ready",
        id: node.id(),
        listen: node.local_addrs(),
        admin: admin.addr(),
    };
    // A node does its work whether or not somebody reads its stdout.
    if let Err(error) = out::line(serde_json::to_string(&ready)?) {
        tracing::warn!("{error:#}");
    }
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tracing::info!(id = %node.id(), network = config.network, listen = ?node.local_addrs(), admin = %admin.addr(), "ready");
    Ok(admin)
}

/// How a node has ended: well when it was asked to, unless its store failed before or on the way.
fn ended(node: &Handle, asked: Option<Signal>) -> Result<()> {
    match (node.failure(), asked) {
        (Some(failure), _) => Err(anyhow!("the node stopped by itself: {failure}")),
        (None, None) => Err(anyhow!(
            "the node stopped by itself; the last lines of its log say why"
        )),
        (None, Some(_)) => Ok(()),
    }
}

/// Until a signal says stop, which is returned, or the node has stopped by itself.
async fn wait(node: &Node, signals: &mut Signals, mut reload: Reload) -> Option<Signal> {
    loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            () = node.stopped() => return None,
        };
        match signal {
            Signal::Terminate | Signal::Interrupt => return Some(signal),
            Signal::Reload => reload.run(),
        }
    }
}
