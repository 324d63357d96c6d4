//! Looks that neighbors asked of us: they hear nothing from a neighbor of ours, and want to know whether we do.

use std::collections::VecDeque;
use std::time::Instant;

use crate::input::LinkId;

/// Looks under way, for all neighbors. A guess: 3 from each of 20 neighbors.
pub(super) const MAX_LOOKS: usize = 64;
/// And for one neighbor: what a mass crash takes.
pub(super) const MAX_LOOKS_EACH: usize = 16;

#[derive(Debug)]
struct Look {
    asker: LinkId,
    number: u16,
    target: LinkId,
    until: Instant,
}

/// Bounded; a look that finds no room is not taken, and whoever asked has other helpers.
#[derive(Debug, Default)]
pub(super) struct Looks {
    looks: VecDeque<Look>,
}

impl Looks {
    /// Takes a look; returns whether there was room for it.
    pub(super) fn take(
        &mut self,
        asker: LinkId,
        number: u16,
        target: LinkId,
        until: Instant,
        now: Instant,
    ) -> bool {
        self.looks.retain(|look| look.until > now);
        let of_asker = self.looks.iter().filter(|look| look.asker == asker);
        if self.looks.len() >= MAX_LOOKS || of_asker.count() >= MAX_LOOKS_EACH {
            return false;
        }
        self.looks.push_back(Look {
            asker,
            number,
            target,
            until,
        });
        true
    }

    /// Something came from this neighbor: takes out who is to be told, and of which look.
    pub(super) fn heard(&mut self, target: LinkId, now: Instant) -> Vec<(LinkId, u16)> {
        if self.looks.is_empty() {
            return Vec::new();
        }
        let mut told = Vec::new();
        self.looks.retain(|look| {
            if look.target == target && look.until > now {
                told.push((look.asker, look.number));
            }
            look.target != target && look.until > now
        });
        told
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.looks
            .retain(|look| look.asker != link && look.target != link);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.looks.len()
    }
}
