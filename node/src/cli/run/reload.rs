//! SIGHUP: what of the settings can change while the node runs.

use std::path::PathBuf;

use sd_notify::NotifyState;
use vouchsafe::config::{self, Flags, NodeConfig};

use crate::cli::environment;
use crate::telemetry::Logs;

/// Where the settings came from, and those the node runs with.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) logs: Logs,
    pub(super) path: PathBuf,
    pub(super) flags: Flags,
    pub(super) running: NodeConfig,
}

impl Reload {
    /// Reads the settings again; a mistake in them changes nothing.
    pub(super) fn run(&mut self) {
        if let Ok(since) = NotifyState::monotonic_usec_now() {
            let _ = sd_notify::notify(&[NotifyState::Reloading, since]);
        }
        match config::load(&self.path, environment(), &self.flags) {
            Ok(loaded) => self.take(loaded.config),
            Err(error) => tracing::error!("nothing was reloaded: {error}"),
        }
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }

    fn take(&mut self, config: NodeConfig) {
        if let Err(error) = self.logs.set_level(&config.log_level) {
            tracing::error!("{error:#}");
        }
        let waiting = waiting(&self.running, &config);
        tracing::info!(log_level = config.log_level, "reloaded");
        if !waiting.is_empty() {
            tracing::warn!(
                "these settings have changed and take effect when the node is restarted: {}",
                waiting.join(", ")
            );
        }
    }
}

/// The settings that differ and need a restart.
fn waiting(running: &NodeConfig, new: &NodeConfig) -> Vec<&'static str> {
    let NodeConfig {
        network,
        preset,
        listen,
        external,
        seeds,
        persistent,
        admin,
        log_format,
        log_level: _,
        limits,
        outbound,
        inbound,
        retention,
        authors,
    } = running;
    [
        ("network", *network != new.network),
        ("preset", *preset != new.preset),
        ("listen", *listen != new.listen),
        ("external", *external != new.external),
        ("seeds", *seeds != new.seeds),
        ("persistent", *persistent != new.persistent),
        ("admin.listen", *admin != new.admin),
        ("log.format", *log_format != new.log_format),
        ("limits", *limits != new.limits),
        ("neighbors.outbound", *outbound != new.outbound),
        ("neighbors.inbound", *inbound != new.inbound),
        ("retention", *retention != new.retention),
        ("authors", *authors != new.authors),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let running = NodeConfig::default();
        let mut new = running.clone();
        new.log_level = "debug".to_owned();
        assert!(
            waiting(&running, &new).is_empty(),
            "the log level does not wait"
        );
        new.network = "other".to_owned();
        new.inbound += 1;
        assert_eq!(waiting(&running, &new), ["network", "neighbors.inbound"]);
    }
}
