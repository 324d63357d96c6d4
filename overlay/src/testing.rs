//! A context for the tests of single parts: fixed identity, seeded randomness, time that the test moves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{Identity, KeyCache, NetworkId, PeerId};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

use crate::action::{Action, Event, Row};
use crate::config::{AddressPreset, Config};
use crate::cx::{Cx, Outbox};
use crate::input::{Lane, LinkId, Now};
use crate::neighbors::{Link, Phase};
use crate::rules::Rules;
use crate::stats::Stats;
use crate::wire::{self, Message, Purpose};

/// Everything a part may use, owned.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) now: Now,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) out: Outbox,
    pub(crate) stats: Stats,
    pub(crate) config: Config,
    pub(crate) keys: KeyCache,
    pub(crate) identity: Identity,
    pub(crate) network: NetworkId,
    pub(crate) announce_key: [u8; 16],
}

/// The wall clock of every bench at its start: 2026-01-01T00:00:00Z.
pub(crate) const START_UNIX_MS: u64 = 1_767_225_600_000;

/// Identity number `n` of the tests.
pub(crate) fn identity(n: u32) -> Identity {
    Identity::from_seed(blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// The id of [`identity`] number `n`.
pub(crate) fn peer(n: u32) -> PeerId {
    identity(n).id()
}

/// An open link to a neighbor that we dialled now; a test changes what it is about.
pub(crate) fn neighbor(peer: PeerId, now: Instant) -> Link {
    Link {
        peer,
        addr: SocketAddr::from(([127, 0, 0, 1], 1)),
        local: None,
        outbound: true,
        phase: Phase::Open,
        kind: Purpose::Neighbor,
        since: now,
        neighbor_since: Some(now),
        last_in: now,
        rtt: Duration::from_millis(10),
        announce_key: [0; 16],
        clock_offset_ms: 0,
        observed: None,
        newest: None,
        usefulness: 0,
    }
}

impl Bench {
    /// The bench of node number `n`, on a `Local` network unless its config is changed.
    pub(crate) fn new(n: u32) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a start for the test's own time; only differences matter"
        )]
        let mono = Instant::now();
        Self {
            now: Now {
                mono,
                unix_ms: START_UNIX_MS,
            },
            rng: ChaCha12Rng::seed_from_u64(u64::from(n)),
            out: Outbox::default(),
            stats: Stats::default(),
            config: Config {
                addresses: AddressPreset::Local,
                ..Config::default()
            },
            keys: KeyCache::new(1024),
            identity: identity(n),
            network: NetworkId::from_name("test"),
            announce_key: [7; 16],
        }
    }

    /// The context of a step.
    pub(crate) fn cx(&mut self) -> Cx<'_> {
        Cx {
            now: self.now,
            rng: &mut self.rng,
            out: &mut self.out,
            stats: &mut self.stats,
            config: &self.config,
            keys: &mut self.keys,
            identity: &self.identity,
            network: &self.network,
            announce_key: &self.announce_key,
            rules: Rules::ALL,
        }
    }

    /// Lets time pass on both clocks.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now.mono += by;
        self.now.unix_ms +=
            u64::try_from(by.as_millis()).expect("a test lasts less than 500 million years");
    }

    /// Takes all actions.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.out.pop()).collect()
    }

    /// Takes all actions and keeps the frames sent, decoded.
    pub(crate) fn sent(&mut self) -> Vec<(LinkId, Lane, Message)> {
        self.actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Send { link, lane, bytes } => {
                    Some((link, lane, wire::decode(&bytes).expect("own frames decode")))
                }
                _ => None,
            })
            .collect()
    }

    /// Takes all actions and keeps the events.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Emit(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// Takes all actions and keeps the rows to be made durable.
    pub(crate) fn rows(&mut self) -> Vec<Row> {
        self.actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Persist { row, .. } => Some(row),
                _ => None,
            })
            .collect()
    }
}
