//! What `--json` prints: one object with stable names. A report and a suite hold the same objects.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use overlay::sim::Scenario;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::summary::{Run, Summary};

/// The version of the program, as its manifest has it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One world, its seeds and what they measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) scenario: String,
    /// The variant, where the scenario has any and one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arm: Option<String>,
    pub(crate) nodes: usize,
    pub(crate) seeds: Vec<u64>,
    /// Means over the seeds.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Their 95 % intervals; with one seed both ends are its value.
    pub(crate) intervals: BTreeMap<String, (f64, f64)>,
    /// Every key of the scenario.
    pub(crate) params: Map<String, Value>,
    pub(crate) version: String,
    pub(crate) event_hash: String,
}

impl Line {
    /// # Errors
    /// The scenario cannot be written as JSON.
    pub(crate) fn new(run: &Run, summary: &Summary) -> Result<Self> {
        let figures = || summary.figures.iter();
        Ok(Self {
            scenario: run.scenario.name.clone(),
            arm: run.arm.clone(),
            nodes: run.scenario.nodes,
            seeds: run.seeds(),
            metrics: figures()
                .map(|(name, figure)| (name.clone(), figure.estimate.mean))
                .collect(),
            intervals: figures()
                .map(|(name, figure)| (name.clone(), (figure.estimate.low, figure.estimate.high)))
                .collect(),
            params: params(&run.scenario)?,
            version: VERSION.to_owned(),
            event_hash: run.event_hash(),
        })
    }

    /// # Errors
    /// It cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string(self).context("cannot write the figures as JSON")
    }
}

/// The keys of a scenario that describe its world.
fn params(scenario: &Scenario) -> Result<Map<String, Value>> {
    let value = serde_json::to_value(scenario).context("cannot write the scenario as JSON")?;
    let Value::Object(mut params) = value else {
        anyhow::bail!("a scenario is not an object");
    };
    params.remove("name");
    params.remove("about");
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::summary::tests::a_run;

    /// Programs read this: names and kinds do not change.
    #[test]
    fn the_shape_is_as_it_was() {
        let mut run = a_run(&[1, 2]);
        for outcome in &mut run.outcomes {
            outcome
                .metrics
                .retain(|name, _| name == "share" || name == "isolated");
            outcome.metrics.insert("share".to_owned(), 0.3125);
            outcome.event_hash = "aa".to_owned();
        }
        run.scenario.bars.truncate(1);
        let line = Line::new(&run, &Summary::new(&run)).unwrap();
        let json = line.json().unwrap();
        assert!(!json.contains('\n'));
        let hash = run.event_hash();
        let golden = format!(
            "{{\"scenario\":\"byzantine\",\"arm\":\"f=0.3\",\"nodes\":100,\"seeds\":[1,2],\
             \"metrics\":{{\"isolated\":0.0,\"share\":0.3125}},\
             \"intervals\":{{\"isolated\":[0.0,0.0],\"share\":[0.3125,0.3125]}},\
             \"params\":{{\"addresses\":\"local\",\"addresses_known\":true,\"adversary\":\"flood\",\"announced\":0.0,\"archive\":0,\"attack_at_s\":0.0,\
             \"author_count\":200,\"authors\":\"warm\",\
             \"bars\":[{{\"above_byzantine\":0.02,\"least\":null,\"metric\":\"share\",\"most\":null}}],\
             \"burst_every_s\":9.5,\"burst_loss\":0.0,\"burst_s\":0.5,\"byzantine\":0.3,\"contacts\":8,\"delay_ms\":[5.0,110.0],\"delays\":\"map\",\"duplicate\":0.0,\"duration_s\":3600.0,\
             \"events\":[],\"exchanges_per_reset\":0,\"force\":10.0,\"heard\":0,\"hostile_addresses\":\"as-honest\",\"inbound\":0,\"inline\":0,\
             \"jitter\":0.1,\"join_s\":10.0,\"joins_per_s\":0.0,\"list\":0,\"list_young\":0,\"loss\":0.0,\
             \"measure_every_s\":60.0,\"nodes\":100,\"outbound\":0,\"payload\":0,\"period_s\":0.0,\
             \"player\":\"overlay\",\"poisoned\":0.0,\"proven\":0,\"publish_at_s\":30.0,\"publish_for_s\":60.0,\"push\":0,\"rate\":200.0,\"reorder\":0.0,\"seeds\":3,\"session_mean_s\":0.0,\"session_shape\":0.5,\
             \"slots\":0,\"start\":\"cold\",\"undialable\":0.0,\"uplink\":0,\"victims\":0,\"warm_heard\":0,\"warm_messages\":60,\"without\":[]}},\
             \"version\":\"{VERSION}\",\"event_hash\":\"{hash}\"}}"
        );
        assert_eq!(json, golden);
        assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
    }

    #[test]
    fn without_an_arm_there_is_no_arm() {
        let mut run = a_run(&[1]);
        run.arm = None;
        let json = Line::new(&run, &Summary::new(&run))
            .unwrap()
            .json()
            .unwrap();
        assert!(
            json.starts_with(
                "{\"scenario\":\"byzantine\",\"nodes\":100,\"seeds\":[1],\"metrics\":{"
            )
        );
    }
}
