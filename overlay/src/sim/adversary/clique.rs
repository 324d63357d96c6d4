//! What hostile nodes know in common.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use crypto::{Identity, NetworkId, PeerId, Signed};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use crate::input::Now;
use crate::sim::talk::record_of;
use crate::sim::world::streams::{Purpose, WORLD, stream};
use crate::wire::{ListItem, PeerRecord, RECORD_REISSUE_S};

/// Honest peers remembered.
const MAX_TARGETS: usize = 200_000;
/// Old records of others kept for replay.
const MAX_OLD: usize = 4096;
/// Identities made up.
const INVENTED: usize = 2048;

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
    /// Records of honest nodes as they were first seen.
    pub(super) old: Vec<ListItem>,
    /// Honest nodes and where they are.
    pub(super) targets: Vec<(PeerId, SocketAddr)>,
    known: BTreeSet<PeerId>,
    /// Whom the attack is aimed at; all, if empty.
    pub(super) victims: Vec<(PeerId, SocketAddr)>,
    made_up: Vec<(Identity, SocketAddr)>,
    signed_unix_s: u64,
}

impl Clique {
    /// The clique of these members, aimed at `victims`.
    #[must_use]
    pub fn new(
        network: NetworkId,
        members: Vec<(Identity, SocketAddr)>,
        victims: Vec<(PeerId, SocketAddr)>,
    ) -> Self {
        Self {
            network,
            ids: members.iter().map(|(identity, _)| identity.id()).collect(),
            members,
            own: Vec::new(),
            invented: Vec::new(),
            old: Vec::new(),
            targets: Vec::new(),
            known: BTreeSet::new(),
            victims,
            made_up: Vec::new(),
            signed_unix_s: 0,
        }
    }

    /// Makes up identities: at the victims' addresses if `at_victims`, else at addresses where nobody is.
    pub fn invent(&mut self, seed: u64, at_victims: bool) {
        let mut rng: ChaCha12Rng = stream(seed, WORLD, Purpose::Invented);
        self.made_up = (0..INVENTED)
            .map(|_| {
                let mut key = [0; 32];
                rng.fill(&mut key);
                let addr = if at_victims && !self.victims.is_empty() {
                    self.victims[rng.random_range(0..self.victims.len())].1
                } else {
                    Self::nowhere(&mut rng)
                };
                (Identity::from_seed(&key), addr)
            })
            .collect();
    }

    /// An address where nobody is.
    pub(super) fn nowhere(rng: &mut ChaCha12Rng) -> SocketAddr {
        let (first, rest) = (rng.random_range(20..90), rng.random::<[u8; 3]>());
        (Ipv4Addr::new(first, rest[0], rest[1], rest[2]), 9).into()
    }

    /// Signs the records anew when it is time.
    pub fn renew(&mut self, now: Now) {
        let unix_s = now.unix_ms / 1000;
        if !self.own.is_empty() && self.signed_unix_s + RECORD_REISSUE_S > unix_s {
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
            if self.targets.len() >= MAX_TARGETS {
                return;
            }
            // Most are known, and to check a key is dear.
            let id = &record.value.id;
            if self.ids.contains(id) || self.known.contains(id) {
                continue;
            }
            let Some((_, addr)) = record.value.addrs().next() else {
                continue;
            };
            let Ok(peer) = PeerId::from_bytes(id) else {
                continue;
            };
            self.known.insert(peer);
            self.targets.push((peer, addr));
            if self.old.len() < MAX_OLD {
                self.old.push(ListItem { record, proven: 1 });
            }
        }
    }

    /// Whether a peer is one of us.
    #[must_use]
    pub fn is_member(&self, peer: &PeerId) -> bool {
        self.ids.contains(peer)
    }
}
