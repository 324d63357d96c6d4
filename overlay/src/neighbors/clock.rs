//! What outbound neighbors tell us about ourselves: how far off our clock is, and at which address they see us.
//!
//! Only links we dialled count, one voice per prefix group: whoever dials us chooses itself. The clock is never adjusted
//! (Bitcoin's adjusted time let early peers split a node off); it is reported.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crypto::PeerId;

use crate::action::Event;
use crate::config::AddressPreset;
use crate::cx::Cx;
use crate::peers::Group;

/// Voices kept; the oldest is forgotten first.
const MAX_VOICES: usize = 64;

/// Bounded memory of what outbound peers said.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// By group (or by peer, where groups mean nothing): turn of arrival, their clock minus ours, our address as they see it.
    voices: BTreeMap<[u8; 32], (u64, i64, SocketAddr)>,
    turn: u64,
    offset_ms: Option<i64>,
    observed: Option<SocketAddr>,
    reported: bool,
}

impl ClockWatch {
    /// Our clock minus the median, milliseconds.
    pub(super) const fn offset_ms(&self) -> Option<i64> {
        self.offset_ms
    }

    /// The address that a quorum agrees on.
    pub(super) const fn observed(&self) -> Option<SocketAddr> {
        self.observed
    }

    /// Takes in one accept.
    pub(super) fn note(
        &mut self,
        peer: &PeerId,
        addr: SocketAddr,
        offset_ms: i64,
        observed: SocketAddr,
        cx: &mut Cx<'_>,
    ) {
        let voice = match cx.config.addresses {
            AddressPreset::Local => *peer.as_bytes(),
            AddressPreset::Lan | AddressPreset::Wan => {
                let mut voice = [0; 32];
                let group = Group::of(addr.ip(), cx.config.addresses).wide.bytes();
                voice[..group.len()].copy_from_slice(&group);
                voice
            }
        };
        self.turn += 1;
        self.voices.insert(voice, (self.turn, offset_ms, observed));
        if self.voices.len() > MAX_VOICES {
            let oldest = self
                .voices
                .iter()
                .min_by_key(|(_, (turn, ..))| *turn)
                .map(|(voice, _)| *voice);
            oldest.and_then(|voice| self.voices.remove(&voice));
        }
        self.observed = self.agreed(cx.config.neighbors.observed_quorum);
        if self.voices.len() >= cx.config.neighbors.clock_quorum {
            let mut offsets: Vec<i64> =
                self.voices.values().map(|(_, offset, _)| *offset).collect();
            let middle = offsets.len() / 2;
            let (_, median, _) = offsets.select_nth_unstable(middle);
            let ours_minus_median = median.saturating_neg();
            self.offset_ms = Some(ours_minus_median);
            let tolerance =
                i64::try_from(cx.config.neighbors.clock_tolerance.as_millis()).unwrap_or(i64::MAX);
            let off = ours_minus_median.saturating_abs() > tolerance;
            if off && !self.reported {
                cx.emit(Event::ClockSkew {
                    offset_ms: ours_minus_median,
                });
            }
            self.reported = off;
        }
    }

    fn agreed(&self, quorum: usize) -> Option<SocketAddr> {
        let mut votes: Vec<SocketAddr> = self.voices.values().map(|(.., addr)| *addr).collect();
        // Mostly all agree.
        if votes.windows(2).any(|pair| pair[0] != pair[1]) {
            votes.sort_unstable();
        }
        votes
            .chunk_by(|a, b| a == b)
            .max_by_key(|same| same.len())
            .filter(|same| same.len() >= quorum.max(1))
            .map(|same| same[0])
    }
}
