//! Two halves of a network that were parted and are not any more: one link of each node that leads across.
//!
//! Each half refills its links from its own midst, and stays by itself when nothing parts it any more: members of the other half come
//! back into the memory within a minute, but links are exchanged by rotation only. So a node that lost half of its neighbors at once
//! remembers them, and the first of them that answers a dial again, or a peer of the archive, becomes an outbound neighbor in place of the
//! least useful one. That happens once for each such loss: whoever wants to win a link by it has to be half of the neighbors already.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crypto::PeerId;

use super::{Code, Down, Neighbors};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::peers::{Book, DialPurpose};

/// Neighbors that fail within this time were lost at once: the verdicts of one cut are spread over it. A guess.
const AT_ONCE: Duration = Duration::from_secs(15);
/// Most neighbors remembered; more are lost by hubs only, and some are enough.
const MAX_LOST: usize = 64;

/// Who was lost at once.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    failing: VecDeque<(Instant, PeerId)>,
    /// Empty where there is nothing to bridge.
    lost: BTreeSet<PeerId>,
}

impl Bridge {
    /// A neighbor is gone, and so many are left.
    pub(super) fn note(&mut self, peer: PeerId, why: Down, left: usize, now: Instant) {
        if !matches!(why, Down::ByUs(Code::Failed) | Down::TimedOut) {
            return;
        }
        while (self.failing.front()).is_some_and(|(at, _)| *at + AT_ONCE < now) {
            self.failing.pop_front();
        }
        self.failing.push_back((now, peer));
        if self.failing.len() > MAX_LOST {
            self.failing.pop_front();
        }
        if self.failing.len() > left.max(1) {
            self.lost
                .extend(self.failing.drain(..).map(|(_, peer)| peer));
            while self.lost.len() > MAX_LOST {
                self.lost.pop_first();
            }
        }
    }

    /// Whether a link that was dialled for this purpose leads to those who were lost, as far as can be told.
    fn is_across(&self, peer: &PeerId, purpose: Option<DialPurpose>) -> bool {
        let archived = purpose == Some(DialPurpose::Archive);
        !self.lost.is_empty() && (archived || self.lost.contains(peer))
    }
}

impl Neighbors {
    /// A link that we dialled has opened: if it leads to those who were lost, it is to stay.
    pub(super) fn bridge(
        &mut self,
        id: LinkId,
        purpose: Option<DialPurpose>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        let Some((peer, addr)) = self.links.get(id).map(|link| (link.peer, link.addr)) else {
            return;
        };
        if !self.bridge.is_across(&peer, purpose) {
            return;
        }
        for lost in std::mem::take(&mut self.bridge.lost) {
            // It was a cut, and none of them is to blame.
            self.upkeep.welcome(&lost);
        }
        if !self.links.is_neighbor(&peer) {
            if !self.has_room_outbound(&peer, cx) {
                let worst = self.exchangeable(cx.config);
                let worst = worst.min_by_key(|(_, link)| (link.usefulness, link.neighbor_since));
                let Some((worst, _)) = worst else {
                    return;
                };
                self.give_up(worst, book, cx);
            }
            if !self.ask(&peer, addr, book, cx) {
                return;
            }
        }
        cx.stats.neighbors.bridged += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, peer};

    #[test]
    fn only_half_of_all_neighbors_at_once_are_worth_a_bridge() {
        let now = Bench::new(1).now.mono;
        let failed = Down::ByUs(Code::Failed);
        let mut bridge = Bridge::default();
        for n in 0..10 {
            // One at a time, or for another reason.
            bridge.note(peer(n), failed, 3, now + AT_ONCE * 2 * n);
            bridge.note(peer(n), Down::ByPeer(Code::Rotated), 0, now);
        }
        assert!(bridge.lost.is_empty());
        for n in 0..5 {
            bridge.note(peer(n), failed, 9 - n as usize, now + AT_ONCE * 100);
        }
        assert!(bridge.lost.is_empty(), "five of ten");
        bridge.note(peer(5), failed, 4, now + AT_ONCE * 100);
        assert_eq!(bridge.lost.len(), 6);
        let across = |who, purpose| bridge.is_across(&peer(who), Some(purpose));
        assert!(across(5, DialPurpose::Exchange));
        assert!(!across(6, DialPurpose::Exchange));
        assert!(across(6, DialPurpose::Archive));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Bench::new(1).now.mono;
        let mut bridge = Bridge::default();
        for n in 0..1000 {
            bridge.note(peer(n), Down::TimedOut, (n % 500) as usize, now);
            assert!(bridge.lost.len() <= MAX_LOST && bridge.failing.len() <= MAX_LOST);
        }
    }
}
