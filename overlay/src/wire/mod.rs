//! Bytes to [`Message`] and back: versions, limits, the canonical check. The only room that knows bytes.

mod body;
mod bounded;
mod codec;
#[cfg(feature = "sim")]
mod glance;
mod gossip;
mod header;
mod message;
mod reader;
mod record;
mod records;
mod signature;
pub mod tag;

pub use body::head_for;
pub use bounded::Bounded;
pub use codec::{DecodeError, decode, encode, tag_of};
#[cfg(feature = "sim")]
pub(crate) use glance::{author_of, glance};
pub use header::{MessageHeader, body_bytes, body_of, entries_of};
pub use message::*;
pub use record::{PeerRecord, RECORD_AHEAD_S, RECORD_REISSUE_S, RECORD_VALID_S, WireAddr};
pub use tag::{lane_allowed, max_len};

/// The wire version this code speaks.
pub const VERSION: u8 = 1;

/// Longest frame of any type, bytes (version, tag and body).
pub const MAX_FRAME: usize = 64 * 1024;

crate::stats::counters! {
    /// What crossed the wire.
    Counters {
        /// Frames received.
        frames_in,
        /// Bytes of frames received.
        bytes_in,
        /// Frames queued to be sent.
        frames_out,
        /// Bytes of frames queued to be sent.
        bytes_out,
        /// Frames of a tag this version does not know, skipped.
        unknown_tag,
        /// Frames of other lanes that overtook the accept on the control lane, dropped.
        early,
        /// Frames that were not understood; each closed its link.
        malformed,
        /// Frames not queued because their lane was full.
        lane_full,
    }
}

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod samples;
