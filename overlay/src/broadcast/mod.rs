//! Spreading small messages: eager push along a tree per author, announcements along the rest, graft on a miss.

crate::stats::counters! {
    /// Copies, announcements, grafts, prunes.
    Counters {
        /// Whole messages received, duplicates included.
        copies,
    }
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
