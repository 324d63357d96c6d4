//! Bodies of large messages: subscribed to along the way their header came, checked chunk by chunk, passed on as they arrive.
//!
//! After header flood and reverse-path subscription (HRS): the verified header comes first, through `broadcast` or `repair`, and
//! brings the hashes of all chunks. The body is asked for (`Want`) from the neighbor that brought the header first; who has a
//! chunk sends it at once, who does not remembers the subscriber and passes the chunk on when it comes. So the body runs down
//! the fastest tree of this very message, and costs one round trip in all. Who asked for an author's last body is sent the next
//! one with its header, without asking. What differs from the plain scheme:
//!
//! * A subscription that keeps us waiting longer than the link's round trip and what answers usually take is doubled at another
//!   neighbor; the old one stays open. The first to deliver wins, and the other is cancelled. At most three are open.
//! * Links that let us wait are asked last (a moving average of promises kept), so that announcing and never serving does not pay.
//! * Once a body is whole, neighbors that may not have it are told (`Have`), those included that brought us the header: else
//!   a node could know of nobody but liars.
//! * Bodies of three chunks and more, but for bulk, are split between two or three neighbors: such that had the header in fewer
//!   steps than we, or have the whole body. Fewer steps is what keeps subscriptions from running in a circle.
//! * Of *bulk*, bodies above 256 KiB, a node sends few copies at once and turns others away (`Busy`): else all neighbors of an
//!   author, who hear of it first, share its uplink, and nobody has anything to pass on for as long as that takes. Whoever has the
//!   first chunk says so (`Part`), and those turned away ask there. Who brought an author's bulk is asked to send the next by itself,
//!   whoever brings the head, so that heads keep to the fastest tree and bulk to one that no uplink is too narrow for.
//!
//! Nothing here is kept, passed on or delivered before its hash was checked. Memory is reserved for a body before it is asked
//! for; what does not fit waits, the authors with least in reserve first, then the oldest.

mod asks;
mod assembly;
mod bulk;
mod early;
mod memory;
mod part;
mod peer;
mod serve;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crypto::{Manifest, MessageId};

pub use part::Bodies;

use crate::input::LinkId;
use crate::messages::Arrival;

crate::stats::counters! {
    /// Bodies of large messages: chunks, subscriptions, what was given up.
    Counters {
        /// Headers whose body was to be had.
        wanted,
        /// Headers whose body was left to repair, because too many are wanted, in all, of the author or over the link.
        wanted_full,
        /// Bodies that waited for memory.
        waited,
        /// Bodies that came whole.
        completed,
        /// Bodies given up, since nothing of them came for long; repair brings them.
        abandoned,
        /// Chunks received and kept.
        chunks,
        /// Their bytes.
        chunk_bytes,
        /// Chunks received again.
        duplicates,
        /// Chunks of bodies that are not wanted (any more).
        unasked,
        /// Chunks that overtook their head, and were taken when it came.
        early,
        /// Chunks that do not belong to their body; each closes its link.
        bad_chunks,
        /// Subscriptions sent.
        wants_out,
        /// Subscriptions taken back.
        cancels_out,
        /// Subscriptions that kept us waiting too long.
        late,
        /// Bodies of which a part was moved to a second or third neighbor.
        splits,
        /// Subscriptions received.
        wants_in,
        /// Subscriptions that the peer took back.
        cancels_in,
        /// Bodies sent along with their header.
        follows,
        /// Chunks sent.
        served,
        /// Their bytes.
        served_bytes,
        /// Subscriptions to bulk turned away, since enough copies of it are under way already, or nothing of it is.
        turned_away,
        /// Subscriptions of ours that were turned away.
        busy,
        /// Subscriptions not served, since the body is not here or the link has too many.
        not_served,
        /// Subscriptions dropped since the link's budget is used up.
        over_budget,
        /// Bodies read from the store for subscribers.
        loads,
        /// Bodies with subscribers that were let go because too much was kept for them.
        evicted,
    }
}

/// Settings of this room. Numbers without a source are guesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of bodies on their way (64 MiB). One body may always be on its way, however large. A body takes its length, and
    /// that again for the moment in which it is put together.
    pub memory: usize,
    /// Bytes of whole bodies kept because subscribers still wait for parts of them (64 MiB, one body at least).
    pub pinned: usize,
    /// Headers whose body is wanted, at once (4,096).
    pub max_wanted: usize,
    /// Of these, of one author (1,024).
    pub max_per_author: usize,
    /// Of these, brought by one link (2,048).
    pub max_per_link: usize,
    /// Bytes of their hashes and header frames (16 MiB).
    pub head_bytes: usize,
    /// Neighbors remembered as holders of one body (16).
    pub max_holders: usize,
    /// Bodies of more bytes than this are bulk (256 KiB): few copies of one leave a node at once, so that those who have it first pass
    /// it on soon, and each neighbor is remembered whose bulk of an author came well.
    pub bulk_from: usize,
    /// Bytes of unfinished copies of one body of bulk that a node promises at once (3.5 MiB: three copies of 1 MiB, with which
    /// the last node was reached sooner than with two, four or six, behind uplinks of 100 Mbit/s); two copies at least.
    pub bulk_share: usize,
    /// Subscriptions that one link may have open here (512).
    pub max_jobs: usize,
    /// Bodies being read from the store at once (2).
    pub max_loads: usize,
    /// A body of which nothing has come for this long is given up (30 s); one that waits for memory, after 20 times that.
    pub give_up: Duration,
    /// Bytes of bodies served to a link that delivers nothing, at once (32 MiB: two of the largest)
    pub serve_burst: u64,
    /// and each second (64 KiB); beside it a link earns twice what it delivers, and one copy of each body that comes whole here or is
    /// published here.
    pub serve_rate: u64,
    /// Bytes of bodies read from the store and served to one link, at once (32 MiB)
    pub stored_burst: u64,
    /// and each second (8 MiB).
    pub stored_rate: u64,
    /// Bytes of chunks nobody asked for that a link may send at once (64 MiB: each subscription
    /// that is taken back leaves up to a window of the transport under way, and an honest neighbor must not be closed for it),
    pub unasked_burst: u64,
    /// and each second (4 MiB); beyond it the link is closed as a flood. What is dropped costs nothing but the line, which the driver
    /// bounds.
    pub unasked_rate: u64,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            memory: 64 * MIB,
            pinned: 64 * MIB,
            max_wanted: 4096,
            max_per_author: 1024,
            max_per_link: 2048,
            head_bytes: 16 * MIB,
            max_holders: 16,
            bulk_from: 256 * 1024,
            bulk_share: 7 * MIB / 2,
            max_jobs: 512,
            max_loads: 2,
            give_up: Duration::from_secs(30),
            serve_burst: 32 * MIB as u64,
            serve_rate: 64 * 1024,
            stored_burst: 32 * MIB as u64,
            stored_rate: 8 * MIB as u64,
            unasked_burst: 64 * MIB as u64,
            unasked_rate: 4 * MIB as u64,
        }
    }
}

impl Config {
    /// How many unfinished copies of a body of this length a node promises at once; `None` = of as many as ask.
    #[must_use]
    pub fn copies_at_once(&self, len: usize) -> Option<usize> {
        (len > self.bulk_from).then(|| (self.bulk_share / len.max(1)).max(2))
    }
}

/// What `broadcast` and `repair` have to tell about large messages.
#[derive(Debug)]
pub enum News {
    /// A verified header, seen for the first time: its body is wanted.
    Wanted(Box<Wanted>),
    /// A link is known to have the header, or the body.
    Holder(Holding),
    /// A body of our own: every link may have one copy of it.
    Published {
        /// Its length, bytes.
        len: usize,
    },
    /// A header went to this link with the promise that the body follows; or the link gets all bulk of the author.
    Follow {
        /// Of which message.
        id: MessageId,
        /// The link.
        link: LinkId,
    },
}

/// A header whose body is wanted.
#[derive(Debug)]
pub struct Wanted {
    /// The message, without entries and body yet.
    pub arrival: Arrival,
    /// The hashes of its chunks.
    pub manifest: Manifest,
    /// Who brought it, and how.
    pub holding: Holding,
    /// Who sends us all bulk of its author.
    pub feeder: Option<LinkId>,
}

/// How much of a large message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Has {
    /// The head.
    Head,
    /// Some chunks; more are coming.
    Part,
    /// All of it.
    Whole,
}

/// What a link has of a large message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which message.
    pub id: MessageId,
    /// The link.
    pub link: LinkId,
    /// How much it says that it has.
    pub has: Has,
    /// In how many steps it says that it had the header; `None` = not said.
    pub hops: Option<u8>,
    /// It sends the body without being asked.
    pub follows: bool,
}

/// Who brought a body in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// The message.
    pub id: MessageId,
    /// The author of the message.
    pub author: [u8; 32],
    /// The link of the last chunk; of bulk, the one of most chunks.
    pub by: LinkId,
    /// It is bulk.
    pub bulk: bool,
    /// Links that kept us waiting for it.
    pub late: Vec<LinkId>,
}
