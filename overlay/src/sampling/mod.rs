//! The view: ranked slots, push-pull exchange, the sample stream.

crate::stats::counters! {
    /// Exchanges, resets, slots.
    Counters {
        /// Exchanges started.
        exchanges,
    }
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
