//! The settings by the names under which they are set, and the commands that simulate them.

use std::time::Duration;

use overlay::Config;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Question, ROUND};
use crate::sim::{Choice, Setting, Wrong, command};

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its key in the node's `config.toml`, or, where that has none, in the core's configuration.
    pub(crate) key: &'static str,
    /// What it should be.
    pub(crate) value: Value,
    /// What it is by default.
    pub(crate) default: Value,
    /// Whether the default does.
    pub(crate) suffices: bool,
    /// A node run by `vouchsafe run` has no key for it.
    pub(crate) fixed: bool,
}

/// The settings that a sizing is about.
pub(super) fn rows(config: &Config) -> Vec<Row> {
    let default = Config::default();
    let row = |key, fixed, value: fn(&Config) -> Value| {
        let (value, default) = (value(config), value(&default));
        Row {
            key,
            suffices: value == default,
            value,
            default,
            fixed,
        }
    };
    vec![
        row("neighbors.outbound", false, |c| json!(c.neighbors.outbound)),
        row("neighbors.inbound", false, |c| json!(c.neighbors.inbound)),
        row("limits.max_links", false, |c| json!(c.neighbors.max_links)),
        row("sampling.slots", true, |c| json!(c.sampling.slots)),
        row("sampling.list", true, |c| json!(c.sampling.list)),
        row("sampling.push", true, |c| json!(c.sampling.push)),
        row("sampling.period", true, |c| json!(time(c.sampling.period))),
        row("sampling.exchanges_per_reset", true, |c| {
            json!(c.sampling.exchanges_per_reset)
        }),
    ]
}

fn time(period: Duration) -> String {
    vouchsafe::config::show_duration(period)
}

/// The commands that simulate these settings in the world of the question: the steady state, and the crash.
///
/// # Errors
/// A value that cannot be written as one.
pub(super) fn commands(question: &Question, config: &Config) -> Result<[String; 2], Wrong> {
    let worlds = worlds(question, config)?;
    Ok(worlds.map(|(scenario, settings)| {
        let choice = Choice {
            settings: &settings,
            ..Choice::default()
        };
        command(scenario, choice, (1, 1))
    }))
}

/// Scenarios of the simulator, and what is to be set in them.
pub(super) fn worlds(
    question: &Question,
    config: &Config,
) -> Result<[(&'static str, Vec<Setting>); 2], Wrong> {
    let nodes = f64::from(question.nodes) + question.undialable_nodes();
    let honest = nodes - question.hostile();
    let sampling = &config.sampling;
    // The world counts by its own period, and hostile nodes among all.
    let force = question.force * sampling.period.as_secs_f64() / ROUND.as_secs_f64();
    let mut keys = vec![
        ("force", number(force)),
        ("slots", sampling.slots.to_string()),
        ("list", sampling.list.to_string()),
        ("push", sampling.push.to_string()),
        ("period_s", number(sampling.period.as_secs_f64())),
        (
            "exchanges_per_reset",
            sampling.exchanges_per_reset.to_string(),
        ),
        ("outbound", config.neighbors.outbound.to_string()),
        ("inbound", config.neighbors.inbound.to_string()),
    ];
    if question.undialable > 0.0 {
        keys.push(("undialable", number(question.undialable_nodes() / honest)));
    }
    if let Some(stay) = question.churn.map(|stay| stay.as_secs_f64()) {
        keys.push(("session_mean_s", number(stay)));
        keys.push(("session_shape", number(1.0)));
        keys.push(("joins_per_s", number(honest / stay)));
    }
    let line = |scenario, keys: &[(&str, String)]| {
        let set = keys.iter().map(|(key, value)| {
            let setting = format!("{key}={value}");
            setting.parse::<Setting>().map_err(Wrong)
        });
        let mut settings = vec![
            Setting::of("nodes", nodes as i64, "--nodes"),
            Setting::of(
                "byzantine",
                rounded(question.hostile() / nodes),
                "--byzantine",
            ),
        ];
        settings.extend(set.collect::<Result<Vec<_>, _>>()?);
        Ok((scenario, settings))
    };
    let steady = line("byzantine", &keys)?;
    let what = format!("{{ crash = {{ fraction = {} }} }}", question.crash);
    keys.push(("adversary", "flood".to_owned()));
    keys.push(("events", format!("[{{ at_s = 60, what = {what} }}]")));
    Ok([steady, line("crash", &keys)?])
}

/// Of a fraction of nodes nothing is lost by it, since they are whole.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

fn number(value: f64) -> String {
    rounded(value).to_string()
}
