//! What a peer may cost us and what we think of it: token buckets, refusals, bans, the author policy.

crate::stats::counters! {
    /// Rate limits, bans.
    Counters {
        /// Frames beyond a link's rate.
        over_rate,
    }
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
