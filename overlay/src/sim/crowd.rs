//! Everybody who can be dialled, for nodes that have heard of all of them when they start.

use crypto::{Signed, Verified};
use rand::seq::index::sample;

use super::talk::unsigned_record;
use super::world::streams::{Purpose, stream};
use super::world::{START_UNIX_MS, World};
use crate::wire::PeerRecord;

/// The records of all hosts that can be dialled, as each signed its own before the world began.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    records: Vec<Verified<PeerRecord>>,
}

impl Crowd {
    pub(super) fn of(world: &World) -> Self {
        let dialable = world.hosts().filter(|host| !host.who().undialable);
        let records = dialable.filter_map(|host| {
            let who = host.who();
            let before = START_UNIX_MS - 1;
            let record = unsigned_record(&who.identity, who.addr, before, before);
            // A key in memory always signs for itself.
            Signed::sign(record, &who.identity, &world.network()).ok()
        });
        Self {
            records: records.collect(),
        }
    }

    /// Whom a host has heard of: `most` of the others at random, or all of them.
    pub(super) fn heard(
        &self,
        index: usize,
        most: usize,
        world: &World,
    ) -> impl Iterator<Item = &Verified<PeerRecord>> {
        let host = world.host(index);
        let mut rng = stream(world.seed(), host.index(), Purpose::Warm);
        let all = self.records.len();
        let most = if most == 0 { all } else { most.min(all) };
        let id = host.id();
        sample(&mut rng, all, most)
            .into_iter()
            .map(|place| &self.records[place])
            .filter(move |record| record.signer() != id)
    }
}
