//! Anti-entropy: range-based set reconciliation of the retained window, and fetching what is missing.
//!
//! Two nodes compare the messages they have *decided* on, ordered by (date, id), between both low edges + 120 s and both
//! clocks - 5 s. One sends a fingerprint of the whole; where fingerprints differ and counts do not differ much, a sketch tells the
//! differences at once; else, or when there turn out to be too many, the range is split by count and the parts are compared in turn; short
//! ranges are listed (range-based set reconciliation: Meyer, SRDS 2023; the sums are those of negentropy v1, keyed per session so
//! that an author cannot aim at a collision). What is missing is then fetched, oldest
//! first, from whoever listed it.
//!
//! Two equal nodes exchange one small frame each way. Everything walks the set in slices, so that a large window never
//! holds up a step.

mod arrive;
mod fetch;
mod fingerprint;
mod job;
mod part;
mod peer;
mod serve;
mod session;
mod sketch;
mod starts;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use part::Repair;

/// What lies less than this above the low edges is not compared, milliseconds: one end may be about to forget it.
pub const LOW_MARGIN_MS: u64 = 120_000;
/// What is younger than this is not compared, milliseconds: it is still spreading.
pub const FRESH_MS: u64 = 5_000;

/// A hole in an author's order is looked for in this much time before the message after it, milliseconds (5 min; a guess). What is
/// older is for the sessions of each period.
pub const HOLE_MS: u64 = 300_000;

crate::stats::counters! {
    /// Reconciliations and what they fetched.
    Counters {
        /// Sessions started.
        sessions,
        /// Of these, for a message that its author's next one waits for.
        holes,
        /// Of these, with a member of the memory that was being visited.
        visited,
        /// Sessions of others answered.
        sessions_answered,
        /// Sessions of others not answered, since the link opens too many.
        sessions_refused,
        /// Sessions in which both ends turned out equal at once.
        sessions_equal,
        /// Sessions given up: no answer in time, too many frames, or frames that found nothing new.
        sessions_cut,
        /// Sketches of the other end from which all differences could be told.
        sketches_solved,
        /// Sketches that were too small for that.
        sketches_failed,
        /// Reconciliation frames sent.
        frames,
        /// Reconciliation frames that belong to no session, or come out of turn.
        stray,
        /// Ids walked.
        walked,
        /// Ids that turned out to be missing here.
        missing,
        /// Ids listed for others that miss them.
        listed,
        /// Missing ids not noted, because the link has listed too many or the table is full.
        wants_full,
        /// Ids asked for.
        fetched,
        /// Asked again elsewhere, or given up, because the link went silent or away.
        fetch_timeouts,
        /// Asked for, but the other end does not have it.
        fetch_missing,
        /// Messages received by repair.
        received,
        /// Messages on the bulk lane that nobody asked for.
        unasked,
        /// Messages received by repair and refused (window, policy, shares).
        refused,
        /// Messages passed on although an older one is still on its way.
        out_of_order,
        /// Ids that others asked for.
        asked,
        /// Messages served.
        served,
        /// Bytes of messages served.
        served_bytes,
        /// Ids that others asked for and that are not here, or would exceed the queue.
        not_served,
        /// Rows read from the store to serve them.
        loads,
    }
}

/// Settings of this room. Numbers without a source are guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A session is started this often, a quarter earlier or later (30 s): in turn with a random neighbor and with the member of the
    /// memory that is visited next (a neighbor, if nobody is within a quarter of it).
    pub period: Duration,
    /// Most own sessions under way at once (4).
    pub max_sessions: usize,
    /// A session is given up when the other end is silent for this long (60 s: it may be fetching first).
    pub session_timeout: Duration,
    /// Most frames that one end sends in a session (1,024).
    pub max_frames: u32,
    /// Frames in a row that bring nothing new before a session is given up (64). Two nodes whose logs were pruned
    /// differently never become equal; the next session goes on where this one stopped.
    pub max_futile: u32,
    /// Ids walked in one step (4,096, less than a millisecond).
    pub slice: usize,
    /// Windows up to this size are compared whole each time; larger ones at each link-up and every eighth time, and else
    /// the newest this many (65,536).
    pub recent: usize,
    /// Missing ids noted at once (16,384).
    pub max_wants: usize,
    /// Of these, listed by one link (4,096).
    pub max_wants_per_link: usize,
    /// Messages asked for and not received, at once (1,024).
    pub max_in_flight: usize,
    /// The same for one link (256).
    pub max_in_flight_per_link: usize,
    /// A link that owes messages and sends none for this long is asked no more for what it listed (5 s).
    pub fetch_timeout: Duration,
    /// Bytes of messages served to one link, at once (8 MiB)
    pub serve_burst: u64,
    /// and each second in the long run (8 MiB/s).
    pub serve_per_sec: u64,
    /// Ids that one link may have waiting to be served (1,024).
    pub max_queue: usize,
    /// Rows being read from the store, or read and not sent yet, for all links (64; 8 for one link).
    pub max_loads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(30),
            max_sessions: 4,
            session_timeout: Duration::from_secs(60),
            max_frames: 1024,
            max_futile: 64,
            slice: 4096,
            recent: 65_536,
            max_wants: 16_384,
            max_wants_per_link: 4096,
            max_in_flight: 1024,
            max_in_flight_per_link: 256,
            fetch_timeout: Duration::from_secs(5),
            serve_burst: 8 * 1024 * 1024,
            serve_per_sec: 8 * 1024 * 1024,
            max_queue: 1024,
            max_loads: 64,
        }
    }
}
