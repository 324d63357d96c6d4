//! How many lines of one kind a log takes, so that a storm of events makes no storm of lines.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind in one span. A guess: a node that joins says so of each of its neighbors, and can be followed by eye.
const LINES: u32 = 24;

/// What each kind has left.
#[derive(Debug)]
pub(super) struct Quotas {
    span: Duration,
    kinds: BTreeMap<&'static str, Quota>,
}

#[derive(Debug)]
struct Quota {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Quotas {
    pub(super) const fn new(span: Duration) -> Self {
        Self {
            span,
            kinds: BTreeMap::new(),
        }
    }

    /// Whether a line of this kind may be written now; if not, it is counted.
    pub(super) fn admit(&mut self, kind: &'static str, now: Instant) -> bool {
        let quota = self.kinds.entry(kind).or_insert(Quota {
            since: now,
            lines: 0,
            left_out: 0,
        });
        if now.saturating_duration_since(quota.since) >= self.span && quota.left_out == 0 {
            (quota.since, quota.lines) = (now, 0);
        }
        quota.lines += 1;
        let admitted = quota.lines <= LINES;
        quota.left_out += u64::from(!admitted);
        admitted
    }

    /// Takes how many lines of each kind were left out, of spans that are over, or of `all`; they begin anew.
    pub(super) fn take_left_out(&mut self, now: Instant, all: bool) -> Vec<(&'static str, u64)> {
        let mut left_out = Vec::new();
        for (kind, quota) in &mut self.kinds {
            let over = now.saturating_duration_since(quota.since) >= self.span;
            if quota.left_out > 0 && (over || all) {
                left_out.push((*kind, std::mem::take(&mut quota.left_out)));
                (quota.since, quota.lines) = (now, 0);
            }
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_summed_up_and_calm_is_not() {
        let span = Duration::from_secs(60);
        let mut quotas = Quotas::new(span);
        let mut written = 0;
        for _ in 0..1000 {
            written += u32::from(quotas.admit("storm", Instant::now()));
        }
        assert!(quotas.admit("calm", Instant::now()));
        assert_eq!(written, LINES);
        assert_eq!(quotas.take_left_out(Instant::now(), false), []);
        tokio::time::advance(span).await;
        let left_out = quotas.take_left_out(Instant::now(), false);
        assert_eq!(left_out, [("storm", 1000 - u64::from(LINES))]);
        assert!(quotas.admit("storm", Instant::now()));
        assert_eq!(quotas.take_left_out(Instant::now(), true), []);
        // One a second is no storm, however long.
        for _ in 0..1000 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(quotas.admit("calm", Instant::now()));
        }
    }
}
