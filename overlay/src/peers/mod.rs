//! What we know of peers we are not linked to: the book of signed records, heard or proven, the archive, and the budget of dials.
//!
//! A record is *heard* when its signature is good, and *proven* when a dial of this node itself ended in accept at one of its
//! addresses. Proof belongs to (id, address) and lasts 3 hours. Whatever others say only makes candidates for such dials.

mod address;
mod archive;
mod book;
mod candidates;
mod crowd;
mod departed;
mod dialling;
mod dials;
mod groups;
mod hearsay;
#[cfg(feature = "sim")]
mod inspect;
mod marks;
mod own;
mod proven;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use crypto::PeerId;

pub use address::{Caps, Group, Prefix, canonical, host_of, is_taken};
pub use book::{Book, Heard, Source};
pub use departed::MAX_GONE;
pub use dials::{DialRefused, Dialing};
#[cfg(feature = "sim")]
pub use inspect::{Proof, Sizes};
pub use marks::{Marker, Marks};
pub use own::Own;

crate::stats::counters! {
    /// Dials, records, candidates.
    Counters {
        /// Dials asked for.
        dials,
        /// Dials not made: the peer or the address is this node's own.
        dials_to_self,
        /// Dials not made: a special-use address.
        dials_special_use,
        /// Dials not made: the peer was being dialled already, or too many dials were under way.
        dials_in_flight,
        /// Dials not made: the total rate was used up.
        dials_over_rate,
        /// Dials not made: hearsay had sent us to the address or group too often.
        dials_over_budget,
        /// Dials not made: the address was at rest after a failure.
        dials_resting,
        /// Dials that nothing answered, or not in time.
        dials_dead,
        /// Dials answered by another key, network or version.
        dials_wrong,
        /// Dials that the right peer answered with a refusal.
        dials_refused,
        /// Failures not held against anyone because this node itself seemed cut off.
        failures_excused,
        /// Records heard for the first time.
        heard,
        /// Records that replaced an older one.
        renewed,
        /// Records dropped because they were known already.
        known,
        /// Records dropped because they were out of date or from the future.
        stale,
        /// Records dropped because no address in them can be dialled.
        no_address,
        /// Records dropped because a cap was reached (total, source, address or group).
        over_cap,
        /// Records whose signature was wrong.
        bad_signatures,
        /// Proofs made by a first accept.
        proofs,
        /// Proofs renewed.
        proofs_renewed,
        /// Accepts that proved nothing because a cap was reached, or the address is of a special-use block.
        proofs_over_cap,
        /// Proven peers whose time ran out.
        lapsed,
        /// Proven peers dropped because their dials kept failing, or somebody else answered.
        died,
        /// Proven peers dropped because their new record moved away from the proven address.
        moved,
        /// Known peers that said that they leave.
        left,
        /// Words of such peers passed on.
        left_passed_on,
        /// Proven peers evicted for newer proofs.
        proven_evicted,
        /// Archived peers evicted for others.
        archive_evicted,
        /// The key's holder did not sign a new own record; the old one serves on.
        own_record_not_signed,
    }
}

/// What a dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialPurpose {
    /// A configured seed: ask and leave.
    Seed,
    /// A configured peer to keep as a neighbor.
    Persistent,
    /// A long-lived neighbor of the last run.
    Anchor,
    /// A peer of the archive.
    Archive,
    /// To prove a heard record (feelers and the dial-back of callers included).
    Candidate,
    /// A push-pull exchange with a member of the memory.
    Exchange,
    /// To become an outbound neighbor.
    Neighbor,
    /// To reconcile messages with a member of the memory.
    Repair,
}

/// A change to what is kept about peers across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRow {
    /// Proven at this address at this time; replaces an earlier row of the same peer.
    Archived(ArchiveEntry),
    /// Evicted from the archive.
    Unarchived(PeerId),
    /// The anchors, most trusted first (at most 2); replaces the earlier list.
    Anchors(Vec<(PeerId, SocketAddr)>),
    /// Banned until this date (milliseconds since the Unix epoch; `u64::MAX` = until unbanned).
    Banned {
        /// Whom.
        peer: PeerId,
        /// Until when.
        until_unix_ms: u64,
    },
    /// The ban is over.
    Unbanned(PeerId),
}

/// One peer that was proven once. Never expires by time, never handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// When our own dial last ended in accept, milliseconds since the Unix epoch.
    pub proven_unix_ms: u64,
}

/// Settings of this room. The defaults suit an open network; numbers without a source are guesses.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a proof lasts. As long as a record, so that neither outlives the other by much.
    pub proof_valid: Duration,
    /// Most proven peers kept (about 600 bytes each).
    pub proven: usize,
    /// Most heard records kept; Bitcoin's `addrman` keeps far more, but dials them far more slowly.
    pub heard: usize,
    /// Most untested candidates one source may have.
    pub per_source: usize,
    /// Most sources remembered.
    pub sources: usize,
    /// Most callers waiting to be dialled back.
    pub callers: usize,
    /// Most archived peers (about 100 bytes each).
    pub archive: usize,
    /// The store hears of one archived peer at most once in this time.
    pub archive_persist: Duration,
    /// Dials per second, and at most saved up, while young.
    pub dials_per_s_young: u64,
    /// Dials per second, and at most saved up, later.
    pub dials_per_s: u64,
    /// Most dials under way, of any kind.
    pub in_flight: usize,
    /// Most dials under way to candidates while young; later a quarter of it.
    pub candidates_in_flight: usize,
    /// Addresses at rest that are remembered.
    pub resting: usize,
    /// How long an address rests after its first failure.
    pub rest_shortest: Duration,
    /// How long an address rests after many.
    pub rest_longest: Duration,
    /// A proven peer is given up after this many failures in a row.
    pub dead_after: u32,
    /// With no sign of life from anybody for so long, failures are our own: nobody is held to account for them.
    pub cut_off_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proof_valid: Duration::from_secs(3 * 60 * 60),
            proven: 2048,
            heard: 1024,
            per_source: 8,
            sources: 256,
            callers: 64,
            archive: 4096,
            archive_persist: Duration::from_secs(600),
            dials_per_s_young: 32,
            dials_per_s: 4,
            in_flight: 64,
            candidates_in_flight: 16,
            resting: 4096,
            rest_shortest: Duration::from_secs(30),
            rest_longest: Duration::from_secs(3600),
            dead_after: 3,
            cut_off_after: Duration::from_secs(30),
        }
    }
}
