//! At most 0.2 slots are reset per exchange: faster sampling lets liars take the memory over.

use super::{Found, Moment};
use crate::overlay::Overlay;

const NAME: &str = "resets";
/// Exchanges a reset costs at least.
const PRICE: u64 = 5;

/// Resets and answered exchanges of this start, as far as they have been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    resets: u64,
    exchanges: u64,
}

impl Seen {
    pub(super) fn check(&mut self, node: &Overlay, moment: &Moment, found: &mut Found) {
        let counters = &node.stats().sampling;
        let seen = Self {
            resets: counters.resets,
            exchanges: counters.answered,
        };
        if seen.resets * PRICE > seen.exchanges {
            let (resets, exchanges) = (seen.resets, seen.exchanges);
            let what = format!("{resets} resets in {exchanges} exchanges, at most one in {PRICE}");
            found.add(moment, NAME, what);
        }
        // Nothing is saved up for a burst: since the last look one more at most than was paid for since then.
        let resets = seen.resets.saturating_sub(self.resets);
        let exchanges = seen.exchanges.saturating_sub(self.exchanges);
        if resets > exchanges / PRICE + 1 {
            let what = format!("{resets} resets in the last {exchanges} exchanges");
            found.add(moment, NAME, what);
        }
        *self = seen;
    }
}
