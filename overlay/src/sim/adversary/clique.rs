//! What hostile nodes know in common.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use crypto::{Identity, NetworkId, PeerId, Signed};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use crate::input::Now;
use crate::sim::talk::record_of;
use crate::sim::world::streams::{Purpose, WORLD, stream};
use crate::wire::{ListItem, PeerRecord};

/// Honest peers remembered.
const MAX_TARGETS: usize = 200_000;
/// Records of others kept, new ones and old ones.
const MAX_RECORDS: usize = 4096;
/// Identities made up at most.
const MAX_INVENTED: usize = 2048;

/// What hostile nodes know in common.
#[derive(Clone, Debug)]
pub struct Clique {
    network: NetworkId,
    members: Vec<(Identity, SocketAddr)>,
    ids: BTreeSet<PeerId>,
    /// Their own records, ready to be handed on.
    pub(super) own: Vec<ListItem>,
    /// Records of made-up identities.
    pub(super) invented: Vec<ListItem>,
    /// Records of honest nodes from before the world began.
    pub(super) old: Vec<ListItem>,
    /// The newest records of honest nodes, those of the first targets.
    pub(super) latest: Vec<ListItem>,
    /// Honest nodes and where they are.
    pub(super) targets: Vec<(PeerId, SocketAddr)>,
    /// Which target a peer is.
    known: BTreeMap<[u8; 32], usize>,
    /// Whom the attack is aimed at; all, if empty.
    pub(super) victims: Vec<(PeerId, SocketAddr)>,
    made_up: Vec<(Identity, SocketAddr)>,
    signed_unix_s: u64,
    renewed_every_s: u64,
}

impl Clique {
    /// The clique of these members, aimed at `victims`; they sign their records anew every `renewed_every_s` seconds.
    #[must_use]
    pub fn new(
        network: NetworkId,
        members: Vec<(Identity, SocketAddr)>,
        victims: Vec<(PeerId, SocketAddr)>,
        renewed_every_s: u64,
    ) -> Self {
        Self {
            network,
            ids: members.iter().map(|(identity, _)| identity.id()).collect(),
            members,
            own: Vec::new(),
            invented: Vec::new(),
            old: Vec::new(),
            latest: Vec::new(),
            targets: Vec::new(),
            known: BTreeMap::new(),
            victims,
            made_up: Vec::new(),
            signed_unix_s: 0,
            renewed_every_s,
        }
    }

    /// Makes up so many identities: at the victims' addresses if `at_victims`, else at addresses where nobody is.
    pub fn invent(&mut self, seed: u64, count: usize, at_victims: bool) {
        let mut rng: ChaCha12Rng = stream(seed, WORLD, Purpose::Invented);
        self.made_up = (0..count.min(MAX_INVENTED))
            .map(|_| {
                let mut key = [0; 32];
                rng.fill(&mut key);
                let nowhere = (
                    Ipv4Addr::new(
                        rng.random_range(20..90),
                        rng.random(),
                        rng.random(),
                        rng.random(),
                    ),
                    9,
                );
                let addr = if at_victims && !self.victims.is_empty() {
                    self.victims[rng.random_range(0..self.victims.len())].1
                } else {
                    nowhere.into()
                };
                (Identity::from_seed(&key), addr)
            })
            .collect();
    }

    /// Takes in records that others signed in the past.
    pub fn remember(&mut self, old: impl IntoIterator<Item = Signed<PeerRecord>>) {
        let room = MAX_RECORDS.saturating_sub(self.old.len());
        let items = old.into_iter().map(|record| ListItem { record, proven: 1 });
        self.old.extend(items.take(room));
    }

    /// Signs the records anew when it is time.
    pub fn renew(&mut self, now: Now) {
        let unix_s = now.unix_ms / 1000;
        if !self.own.is_empty() && self.signed_unix_s + self.renewed_every_s > unix_s {
            return;
        }
        self.signed_unix_s = unix_s;
        let network = self.network;
        let sign = |(identity, addr): &(Identity, SocketAddr)| ListItem {
            record: record_of(identity, &network, *addr, now.unix_ms, now.unix_ms),
            proven: 1,
        };
        self.own = self.members.iter().map(sign).collect();
        self.invented = self.made_up.iter().map(sign).collect();
    }

    /// Takes in what a member heard.
    pub fn learn(&mut self, heard: impl IntoIterator<Item = Signed<PeerRecord>>) {
        for record in heard {
            let Some((_, addr)) = record.value.addrs().next() else {
                continue;
            };
            if let Some(at) = self.known.get(&record.value.id) {
                if let Some(item) = self.latest.get_mut(*at)
                    && item.record.value.version < record.value.version
                {
                    item.record = record;
                    self.targets[*at].1 = addr;
                }
                continue;
            }
            if self.ids.contains(&record.value.id) || self.targets.len() >= MAX_TARGETS {
                continue;
            }
            // Last, since to check a key is dear.
            let Ok(peer) = PeerId::from_bytes(&record.value.id) else {
                continue;
            };
            self.known.insert(record.value.id, self.targets.len());
            self.targets.push((peer, addr));
            if self.latest.len() < MAX_RECORDS {
                self.latest.push(ListItem { record, proven: 1 });
            }
        }
    }

    /// Whether a peer is one of us.
    #[must_use]
    pub fn is_member(&self, peer: &PeerId) -> bool {
        self.ids.contains(peer)
    }
}
