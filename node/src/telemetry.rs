//! Logs: to stderr, as text or JSON lines, at a level that can change while the program runs; and what panics say there.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};
use vouchsafe::config::LogFormat;

/// The running logs.
#[derive(Debug)]
pub(crate) struct Logs(reload::Handle<EnvFilter, Registry>);

/// Keeps the database's panics about a damaged store off the terminal while the store opens: they are caught, and the error
/// that the program ends with says the same and what to do. `RUST_BACKTRACE` shows them nevertheless.
pub(crate) fn quiet_about_damage() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let asked_for = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        if asked_for || !vouchsafe::store::is_opening() {
            usual(panic);
        }
    }));
}

/// What the environment says about the level: `VOUCHSAFE_LOG`, then `RUST_LOG`.
fn from_environment() -> Option<(&'static str, String)> {
    ["VOUCHSAFE_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        std::env::var(name)
            .ok()
            .filter(|text| !text.is_empty())
            .map(|text| (name, text))
    })
}

/// The filter to use: the environment's, else `level`.
fn filter(level: &str) -> Result<EnvFilter> {
    let (source, text) = from_environment().unwrap_or_else(|| ("log level", level.to_owned()));
    EnvFilter::try_new(&text).with_context(|| {
        format!("{source}: {text:?} is no log filter; use error, warn, info, debug or trace, or MODULE=LEVEL,..")
    })
}

/// Starts logging; `level` (as in `info`, or `info,vouchsafe=debug`) counts unless the environment names one.
pub(crate) fn start(format: LogFormat, level: &str) -> Result<Logs> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("logging was started twice")?;
    Ok(Logs(handle))
}

impl Logs {
    /// Takes over another level, unless the environment names one.
    pub(crate) fn set_level(&self, level: &str) -> Result<()> {
        self.0
            .reload(filter(level)?)
            .context("the log level cannot be changed")
    }
}
