//! Dials to those that nobody visits: members that may be dead, and the census.

use super::Sampling;
use crate::action::Target;
use crate::cx::Cx;
use crate::neighbors::Links;
use crate::peers::{Book, DialPurpose};

impl Sampling {
    /// Dials members that may be dead: those whose last dial failed, which nobody visits, the oldest proof first. Where a few failed they are
    /// all that is wrong, and a few dials a look are enough. Where many did, something has happened to many: looks are more frequent,
    /// more are dialled at a look, and of those not tried yet too, in number as the square of those that failed, which is next to
    /// nothing until a good part of the memory is gone. The rate of dials bounds it all.
    pub(super) fn recheck(&mut self, book: &mut Book, links: &Links, cx: &mut Cx<'_>) {
        if book.failing() == 0 {
            return;
        }
        let members = self
            .view
            .peers()
            .filter(|(peer, _)| !book.is_dialing(peer) && links.outbound_to(peer).is_none())
            .map(|(peer, addr)| (book.proven_at(&peer), peer, addr));
        let (mut doubtful, mut untried): (Vec<_>, Vec<_>) =
            members.partition(|(_, peer, _)| book.failures_of(peer) > 0);
        doubtful.sort_unstable();
        let failed = doubtful.len();
        let again = cx.config.sampling.rechecks.max(failed / 4);
        let first = 2 * failed * failed / self.view.len().max(1);
        if first > 0 {
            untried.sort_unstable();
        }
        // Those not tried yet first: among them are the living.
        for (members, mut left) in [(untried, first), (doubtful, again)] {
            for (_, peer, addr) in members {
                if left == 0 {
                    break;
                }
                // A refusal here is an address at rest, or the rate.
                if book
                    .try_dial(peer, Target::Addr(addr), DialPurpose::Exchange, cx)
                    .is_ok()
                {
                    cx.stats.sampling.rechecks += 1;
                    left -= 1;
                }
            }
        }
    }

    /// The census counts peers that hold no slot and so are never visited: one whose proof is in its second half is dialled again.
    pub(super) fn renew_census(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let half = cx.config.peers.proof_valid / 2;
        // Mostly no proof at all is that old.
        let now = cx.now.mono;
        if book.next_timeout().is_none_or(|first| first > now + half) {
            return;
        }
        let holders = self.view.memory.census().holders();
        let oldest = holders
            .filter(|peer| self.view.memory.addr_of(peer).is_none() && !book.is_dialing(peer))
            .filter_map(|peer| Some((book.proven_at(&peer)?, peer)))
            .min();
        if let Some((at, peer)) = oldest
            && cx.now.mono.saturating_duration_since(at) >= half
            && let Some(addr) = book.proven_addr(&peer)
            && book
                .try_dial(peer, Target::Addr(addr), DialPurpose::Candidate, cx)
                .is_ok()
        {
            cx.stats.sampling.census_renewals += 1;
        }
    }
}
