//! What a figure must reach.

use serde::{Deserialize, Serialize};

use super::scenario::ScenarioError;

/// What a figure must reach: one or more limits, all inclusive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// Name of the figure.
    pub metric: String,
    /// It must not exceed this.
    #[serde(default)]
    pub most: Option<f64>,
    /// It must not fall below this.
    #[serde(default)]
    pub least: Option<f64>,
    /// It must not exceed the hostile fraction, `byzantine`, by more than this: a bar that stays true when that fraction is changed.
    #[serde(default)]
    pub above_byzantine: Option<f64>,
}

impl Bar {
    /// The least and the most that the figure may be, where `byzantine` of the nodes are hostile.
    #[must_use]
    pub fn limits(&self, byzantine: f64) -> (Option<f64>, Option<f64>) {
        let relative = self.above_byzantine.map(|more| byzantine + more);
        let most = match (self.most, relative) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (self.least, most)
    }

    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let limits = [self.most, self.least, self.above_byzantine];
        let problem = if self.metric.is_empty() {
            "a bar names its metric"
        } else if limits.iter().all(Option::is_none) {
            "a bar has a limit: most, least or above_byzantine"
        } else if limits.iter().flatten().any(|limit| !limit.is_finite()) {
            "a limit is a finite number"
        } else {
            return Ok(());
        };
        Err(ScenarioError {
            key: "bars",
            problem: problem.to_owned(),
        })
    }
}
