//! Anti-entropy: range-based set reconciliation of the retained window, and fetching what is missing.

crate::stats::counters! {
    /// Reconciliations and what they fetched.
    Counters {
        /// Sessions started.
        sessions,
    }
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
