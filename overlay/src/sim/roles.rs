//! Who sits at a host: the node itself, a hostile one, or another algorithm.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{PeerId, Signed};

use super::adversary::{Accuser, Clique, Feigner, Plan, Puppet, Taker};
use super::cast::Cast;
use super::classic::cyclon::Sent;
use super::classic::framework::Kind;
use super::classic::{NaiveCap, Rules, Shuffler};
use super::crowd::Crowd;
use super::scenario::{self, Adversary, Scenario, ScenarioError, Start};
use super::talk::{Talk, record_of};
use super::world::streams::{Purpose, seed_of, stream};
use super::world::{Actor, Player, START_UNIX_MS, World};
use crate::input::Now;
use crate::overlay::Overlay;
use crate::wire::{MAX_LIST, PeerRecord, RECORD_REISSUE_S};

/// Entries of a view of the shuffling protocols (c): that of the push-pull framework's paper, and between Cyclon's 20 and 50.
const VIEW: usize = 30;
/// Entries that Cyclon exchanges (l): the most that its paper tries.
const EXCHANGE: usize = 8;
/// Slots of the naive ranked slots (v): the least with which BASALT stands a third of hostile nodes.
const NAIVE_SLOTS: usize = 50;

/// Records that others signed before the world began, as a replay hands them on: so long ago, milliseconds. The first kind still counts.
const BEFORE_MS: [u64; 2] = [3_600_000, 4 * 3_600_000];
/// The port at which everybody was then, and at which nobody is now.
const PORT_BEFORE: u16 = 9;

/// Whether hostile nodes do anything.
pub(super) fn has_adversary(scenario: &Scenario) -> bool {
    scenario.adversary != Adversary::Honest && scenario.hostile() > 0
}

/// What is needed to make a player.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) cast: &'a Cast<'a>,
    pub(super) world: &'a World,
    pub(super) clique: &'a Arc<Clique>,
    /// Whom memories are filled from that start warm.
    pub(super) crowd: &'a Crowd,
}

impl Roles<'_> {
    /// The player of host number `index`, as it starts; a node's clock shows `now`.
    ///
    /// # Errors
    /// The settings of a node contradict each other.
    pub(super) fn player(&self, index: usize, now: Now) -> Result<Player, ScenarioError> {
        let hostile = self.world.host(index).who().hostile && has_adversary(self.scenario);
        let cyclon = self.scenario.player == scenario::Player::Cyclon;
        let actor: Box<dyn Actor> = match self.scenario.player {
            // Silent bias is to keep to the protocol, which is for Cyclon to say.
            _ if hostile && cyclon && self.scenario.adversary == Adversary::SilentBias => {
                Box::new(self.shuffler(index, Some(self.clique.clone())))
            }
            _ if hostile && self.scenario.adversary.is_on_messages() => {
                Box::new(self.taker(index, now)?)
            }
            _ if hostile && self.scenario.adversary == Adversary::Accuse => {
                Box::new(Accuser::new(self.core(index, now)?, self.attack_at(now)))
            }
            _ if hostile && self.scenario.adversary == Adversary::PlayDead => {
                Box::new(Feigner::new(self.core(index, now)?, self.attack_at(now)))
            }
            _ if hostile => Box::new(self.puppet(index)),
            scenario::Player::Overlay => return Ok(Player::Node(self.core(index, now)?)),
            scenario::Player::NaiveCap => Box::new(self.naive_cap(index)),
            scenario::Player::Cyclon | scenario::Player::Healer | scenario::Player::Swapper => {
                Box::new(self.shuffler(index, None))
            }
        };
        Ok(Player::Other(actor))
    }

    fn taker(&self, index: usize, now: Now) -> Result<Taker, ScenarioError> {
        let core = self.core(index, now)?;
        let network = self.world.network();
        let attack = self.scenario.adversary;
        Ok(Taker::new(core, attack, network, self.attack_at(now)))
    }

    /// When hostile nodes begin.
    fn attack_at(&self, now: Now) -> Instant {
        let since = self.world.time().seconds();
        now.mono + Duration::from_secs_f64((self.scenario.attack_at_s - since).max(0.0))
    }

    fn core(&self, index: usize, now: Now) -> Result<Box<Overlay>, ScenarioError> {
        let host = self.world.host(index);
        let config = self.cast.config(index, self.world);
        let purpose = Purpose::Core(host.starts());
        let seed = seed_of(self.world.seed(), host.index(), purpose);
        let mut overlay = Overlay::under(
            crate::rules::Rules::without(&self.scenario.without),
            host.who().identity.clone(),
            self.world.network(),
            config,
            seed,
            now,
            self.world.restored(index),
        )
        .map_err(|error| ScenarioError {
            key: "outbound",
            problem: error.to_string(),
        })?;
        overlay.share_verdicts(self.world.memo());
        let warm = self.scenario.start == Start::Warm && index < self.scenario.nodes;
        if warm && host.starts() == 0 {
            let most = self.scenario.warm_heard;
            overlay.warm(now, self.crowd.heard(index, most, self.world));
        }
        overlay.take_emitted();
        Ok(Box::new(overlay))
    }

    fn talk(&self, index: usize) -> Talk {
        let who = self.world.host(index).who();
        Talk::new(who.identity.clone(), self.world.network(), who.addr)
    }

    fn contacts(&self, contacts: impl IntoIterator<Item = usize>) -> Vec<(PeerId, SocketAddr)> {
        let contacts = contacts.into_iter();
        let who = contacts.map(|contact| self.world.host(contact).who());
        who.map(|who| (who.identity.id(), who.addr)).collect()
    }

    fn puppet(&self, index: usize) -> Puppet {
        let scenario = self.scenario;
        let now = self.world.now();
        let plan = Plan {
            attack: scenario.adversary,
            force: scenario.force,
            period: period_of(scenario),
            from: self.attack_at(now),
            push: match scenario.player {
                // It takes no more of a caller's list than this.
                scenario::Player::Overlay => self.cast.config(index, self.world).sampling.push,
                _ => MAX_LIST,
            },
        };
        let contacts = self.contacts(0..scenario.seeds);
        let number = self.world.host(index).index();
        let rng = stream(self.world.seed(), number, Purpose::Hostile);
        let talk = self.talk(index);
        Puppet::new(talk, plan, self.clique.clone(), contacts, rng, now)
    }

    fn shuffler(&self, index: usize, bias: Option<Arc<Clique>>) -> Shuffler {
        let scenario = self.scenario;
        let or = |value: usize, default| if value > 0 { value } else { default };
        let size = or(scenario.slots, VIEW);
        let rules = match scenario.player {
            scenario::Player::Healer => Rules::Framework(Kind::healer(size)),
            scenario::Player::Swapper => Rules::Framework(Kind::swapper(size)),
            _ => Rules::Cyclon {
                size,
                exchange: or(scenario.list.into(), EXCHANGE),
                sent: Sent::Given,
            },
        };
        let host = self.world.host(index);
        let purpose = if bias.is_some() {
            Purpose::Hostile
        } else {
            Purpose::Core(host.starts())
        };
        Shuffler::new(
            self.talk(index),
            rules,
            self.world.network(),
            self.world.memo(),
            self.contacts(self.cast.contacts(index)),
            bias,
            period_of(scenario),
            stream(self.world.seed(), host.index(), purpose),
            self.world.now(),
        )
    }

    fn naive_cap(&self, index: usize) -> NaiveCap {
        let scenario = self.scenario;
        let host = self.world.host(index);
        NaiveCap::new(
            self.talk(index),
            self.world.network(),
            self.world.memo(),
            if scenario.slots > 0 {
                scenario.slots
            } else {
                NAIVE_SLOTS
            },
            self.contacts(self.cast.contacts(index)),
            period_of(scenario),
            scenario.exchanges_per_reset,
            stream(
                self.world.seed(),
                host.index(),
                Purpose::Core(host.starts()),
            ),
            self.world.now(),
        )
    }
}

fn period_of(scenario: &Scenario) -> Duration {
    if scenario.period_s > 0.0 {
        Duration::from_secs_f64(scenario.period_s)
    } else {
        crate::sampling::Config::default().period
    }
}

/// The hostile nodes' common knowledge at the beginning.
pub(super) fn clique_of(scenario: &Scenario, world: &World, victims: &[usize]) -> Clique {
    let members = world
        .hosts()
        .filter(|host| host.who().hostile)
        .map(|host| (host.who().identity.clone(), host.who().addr))
        .collect();
    let victims = victims
        .iter()
        .map(|index| world.host(*index))
        .map(|host| (host.id(), host.who().addr))
        .collect();
    let renewed_every_s = match scenario.player {
        scenario::Player::Overlay => RECORD_REISSUE_S,
        // Who believes in ages gets the youngest there are.
        _ => period_of(scenario).as_secs(),
    };
    let mut clique = Clique::new(world.network(), members, victims, renewed_every_s);
    match scenario.adversary {
        Adversary::AddressPoison => clique.invent(world.seed(), 4 * scenario.nodes, true),
        Adversary::Invent => clique.invent(world.seed(), 4 * scenario.nodes, false),
        Adversary::Replay => clique.remember(records_before(world)),
        _ => {}
    }
    clique
}

/// What honest nodes signed before the world began: history, not state.
fn records_before(world: &World) -> Vec<Signed<PeerRecord>> {
    let honest = world.hosts().filter(|host| !host.who().hostile);
    honest
        .zip(BEFORE_MS.into_iter().cycle())
        .map(|(host, before_ms)| {
            let who = host.who();
            let addr = SocketAddr::new(who.addr.ip(), PORT_BEFORE);
            let unix_ms = START_UNIX_MS - before_ms;
            record_of(&who.identity, &world.network(), addr, unix_ms, unix_ms)
        })
        .collect()
}
