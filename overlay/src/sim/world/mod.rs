//! The world: hosts, the paths between them, and one order of events.
//!
//! Events are ordered by (time, cause, number), where the cause is the host that made the event. Hosts may be spread over threads:
//! see `shard`. Faults act between windows, on the world as a whole.

mod connections;
pub mod cost;
mod disk;
mod end;
mod event;
mod frames;
mod ground;
mod host;
mod player;
mod shard;
mod slow;
mod step;
pub mod streams;
#[cfg(test)]
mod tests;
mod time;
mod uplink;
mod weather;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{NetworkId, PeerId, VerdictMemo};
use rand::RngExt as _;

pub use ground::START_UNIX_MS;
pub use host::{Delivered, Dialed, Doom, Host, Traffic, Verdict, Who, Word};
pub use player::{Actor, Known, Player};
pub use time::Time;

use event::{Causes, Event, Sink, What};
use ground::{Between, Ground, IDLE_TIMEOUT, Paths, Split};
use shard::Shard;
use streams::{Purpose, WORLD, stream};
use time::Due;

use super::invariants::Guard;
use super::scenario::Scenario;
use super::spread::tap::{Noted, Tap};
use crate::input::{Input, LinkId, Lost, Now};
use crate::restored::Restored;

/// A world of hosts in virtual time.
#[derive(Debug)]
pub struct World {
    ground: Ground,
    shards: Vec<Shard>,
    hosts: usize,
    time: Time,
    causes: Causes,
    splits: u32,
    healed_at: Option<Time>,
    keep_peers: bool,
    /// Hosts note how messages spread.
    taps: bool,
}

impl World {
    /// A world without hosts. `threads` changes how fast it runs and nothing else.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64, threads: usize) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a start for virtual time; only differences matter"
        )]
        let start = Instant::now();
        Self {
            ground: Ground {
                seed,
                start,
                network: NetworkId::from_name("simulation"),
                memo: Arc::new(VerdictMemo::new()),
                paths: Paths::new(scenario),
                places: Vec::new(),
                directory: std::collections::BTreeMap::new(),
                split: None,
            },
            shards: (0..threads.max(1)).map(|_| Shard::new()).collect(),
            hosts: 0,
            time: Time::default(),
            causes: Causes::new(WORLD),
            splits: 0,
            healed_at: None,
            keep_peers: scenario.restarts(),
            taps: scenario.payload > 0,
        }
    }

    /// The time it is.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.time
    }

    /// The time it is, as a core is told.
    #[must_use]
    pub fn now(&self) -> Now {
        self.ground.now(self.time)
    }

    /// What the clock showed then.
    #[cfg(test)]
    pub(in crate::sim) fn unix_ms_at(&self, time: Time) -> u64 {
        self.ground.now(time).unix_ms
    }

    /// The seed of all streams.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.ground.seed
    }

    /// The network all hosts belong to.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.ground.network
    }

    /// The memo of signature checks that all cores here share.
    #[must_use]
    pub fn memo(&self) -> Arc<VerdictMemo> {
        self.ground.memo.clone()
    }

    /// Number of hosts, those that are down included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.hosts
    }

    /// Whether there are no hosts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts == 0
    }

    /// All hosts in order.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        (0..self.hosts).map(|index| self.host(index))
    }

    /// A host by its number.
    ///
    /// # Panics
    /// There is no such host.
    #[must_use]
    pub fn host(&self, index: usize) -> &Host {
        let shards = self.shards.len();
        &self.shards[index % shards].hosts[index / shards]
    }

    fn host_mut(&mut self, index: usize) -> &mut Host {
        let shards = self.shards.len();
        &mut self.shards[index % shards].hosts[index / shards]
    }

    /// Who sits at a host, to be changed between windows.
    pub fn player_mut(&mut self, index: usize) -> Option<&mut Player> {
        self.host_mut(index).player.as_mut()
    }

    /// Adds a host that is down. Its place on the map comes from its own stream.
    pub fn add(&mut self, who: Who) -> usize {
        let index = self.hosts;
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut place = stream(self.ground.seed, number, Purpose::Place);
        self.ground.places.push((place.random(), place.random()));
        self.ground.directory.insert(who.addr, number);
        let mut host = Host::new(number, who, self.keep_peers, self.ground.seed);
        let network = self.ground.network;
        host.tap = (self.taps).then(|| Box::new(Tap::new(&host.id(), network)));
        let shards = self.shards.len();
        self.shards[index % shards].hosts.push(host);
        self.hosts += 1;
        index
    }

    /// What a host's disk holds.
    #[must_use]
    pub fn restored(&self, index: usize) -> Restored {
        self.host(index).disk.restored()
    }

    /// What a host noted of messages since the last call.
    pub(in crate::sim) fn take_notes(&mut self, index: usize) -> Vec<Noted> {
        let tap = self.host_mut(index).tap.as_mut();
        tap.map(|tap| tap.take()).unwrap_or_default()
    }

    /// What a host said of its neighbors since the last call.
    pub(in crate::sim) fn take_verdicts(&mut self, index: usize) -> Vec<Verdict> {
        std::mem::take(&mut self.host_mut(index).verdicts)
    }

    /// One-way delay between two hosts without jitter, microseconds.
    #[must_use]
    pub fn base_delay_us(&self, from: u32, to: u32) -> u32 {
        self.ground.base_delay_us(from, to) as u32
    }

    /// Who listens at an address.
    #[must_use]
    pub fn at(&self, addr: &std::net::SocketAddr) -> Option<usize> {
        self.ground.directory.get(addr).map(|index| *index as usize)
    }

    /// Starts a host with this player, now.
    pub fn start(&mut self, index: usize, player: Player) {
        let time = self.time;
        self.with(index, |host, ground, sink| {
            host.start(player, time, ground, sink);
        });
    }

    /// Gives a host's player an input, now; one that stands still gets it when it moves again.
    pub fn tell(&mut self, index: usize, input: Input) {
        let time = self.time;
        self.with(index, |host, ground, sink| {
            host.ask(input, time, ground, sink);
        });
    }

    /// Does something to one host from outside of a window.
    fn with(&mut self, index: usize, act: impl FnOnce(&mut Host, &Ground, &mut Sink<'_>)) {
        let shards = self.shards.len();
        let shard = index % shards;
        let mut post: Vec<Vec<Due<Event>>> = (0..shards).map(|_| Vec::new()).collect();
        let of = &mut self.shards[shard];
        let mut sink = Sink {
            shards,
            shard,
            queue: &mut of.queue,
            post: &mut post,
        };
        act(&mut of.hosts[index / shards], &self.ground, &mut sink);
        for (to, letters) in post.into_iter().enumerate() {
            for letter in letters {
                self.shards[to].queue.push(letter);
            }
        }
    }

    fn schedule(&mut self, to: u32, what: What, at: Time) {
        let key = self.causes.at(at);
        let shard = to as usize % self.shards.len();
        let what = Event { to, what };
        self.shards[shard].queue.push(Due { key, what });
    }

    /// Power off, without a word: what was not durable is lost, and the other ends of its connections notice by their idle timeout.
    pub fn crash(&mut self, index: usize) {
        let (now, at) = (self.time, self.time.after(IDLE_TIMEOUT));
        for (host, link) in self.host_mut(index).crash(now) {
            let reason = Lost::TimedOut;
            self.schedule(host, What::Cut { link, reason }, at);
        }
    }

    /// The host dies when rows are on their way to its disk the next time: after `Persist` and before `Persisted`. `None` = not
    /// after all.
    pub fn doom(&mut self, index: usize, doom: Option<Doom>) {
        self.host_mut(index).doom(doom);
    }

    /// The host stands still for a while; what reaches it waits. Connections die when it takes longer than their idle timeout.
    pub fn stall(&mut self, index: usize, span: Duration) {
        let until = self.time.after(span);
        let host = self.host_mut(index);
        if host.player.is_none() {
            return;
        }
        host.stall(until);
        let number = host.index;
        if span > IDLE_TIMEOUT {
            let far: Vec<(u32, LinkId)> =
                host.ends.values().map(|end| (end.host, end.far)).collect();
            let near: Vec<LinkId> = host.ends.keys().copied().collect();
            let at = self.time.after(IDLE_TIMEOUT);
            for (host, link) in far
                .into_iter()
                .chain(near.into_iter().map(|link| (number, link)))
            {
                let reason = Lost::TimedOut;
                self.schedule(host, What::Cut { link, reason }, at);
            }
        }
        self.schedule(number, What::Resume, until);
    }

    /// From now on so much of what the host sends is lost, on top of what is lost everywhere.
    pub fn lose(&mut self, index: usize, loss: f64) {
        let host = self.host_mut(index);
        host.lossy = loss;
        host.faulty |= loss > 0.0;
    }

    /// For a while the host gets to handle what reaches it, and its own timers, up to so much later.
    pub fn slow(&mut self, index: usize, span: Duration, by: Duration) {
        let until = self.time.after(span);
        let host = self.host_mut(index);
        host.slow = Some(slow::Slow::new(until, by));
        host.faulty = true;
    }

    /// The host's wall clock jumps by so much.
    pub fn step_clock(&mut self, index: usize, by_ms: i64) {
        let host = self.host_mut(index);
        host.clock_ms = host.clock_ms.saturating_add(by_ms);
    }

    /// What a host is told when it starts now.
    #[must_use]
    pub fn now_at(&self, index: usize) -> Now {
        self.host(index).now(&self.ground, self.time)
    }

    /// The host has another address from now on. Nothing passes any more on the connections it has, and neither end is told.
    pub fn move_to(&mut self, index: usize, addr: std::net::SocketAddr) {
        let host = self.host_mut(index);
        let (number, old) = (host.index, std::mem::replace(&mut host.who.addr, addr));
        let mut lost: Vec<(u32, LinkId)> = Vec::new();
        for (link, end) in &mut host.ends {
            end.lost = true;
            lost.push((number, *link));
            lost.push((end.host, end.far));
        }
        self.ground.directory.remove(&old);
        self.ground.directory.insert(addr, number);
        let at = self.time.after(IDLE_TIMEOUT);
        for (host, link) in lost {
            if let Some(end) = self.host_mut(host as usize).ends.get_mut(&link) {
                end.lost = true;
            }
            let reason = Lost::TimedOut;
            self.schedule(host, What::Cut { link, reason }, at);
        }
    }

    /// Splits the network: hosts of different groups do not reach each other, or, one way, nothing passes from group 0 to the others.
    /// Replaces an earlier split. Hosts added later belong to group 0.
    pub fn split(&mut self, group: Vec<u8>, one_way: bool) {
        self.part(Between::Groups { group, one_way });
    }

    /// Nothing passes between this share of all pairs of hosts, which chance draws. Replaces an earlier split.
    pub fn split_pairs(&mut self, share: f64) {
        self.part(Between::Pairs(share));
    }

    fn part(&mut self, between: Between) {
        self.splits += 1;
        let number = self.splits;
        self.ground.split = Some(Split { between, number });
        let mut dead = Vec::new();
        for host in self.hosts() {
            for (link, end) in &host.ends {
                let blocked = !self.ground.reaches(host.index, end.host)
                    || !self.ground.reaches(end.host, host.index);
                if blocked {
                    dead.push((host.index, *link));
                }
            }
        }
        let at = self.time.after(IDLE_TIMEOUT);
        for (host, link) in dead {
            let split = number;
            self.schedule(host, What::IdleCut { link, split }, at);
        }
        self.release();
    }

    /// Ends all splits; what waited on connections that still live is sent.
    pub fn heal(&mut self) {
        if self.ground.split.take().is_some() {
            self.healed_at = Some(self.time);
        }
        self.release();
    }

    /// Whether the network is split now.
    #[must_use]
    pub const fn is_split(&self) -> bool {
        self.ground.split.is_some()
    }

    /// Whether two hosts reach each other, both ways, as far as splits go.
    #[must_use]
    pub fn connects(&self, one: u32, other: u32) -> bool {
        self.ground.reaches(one, other) && self.ground.reaches(other, one)
    }

    /// When the last split ended, if there was one.
    #[must_use]
    pub const fn healed_at(&self) -> Option<Time> {
        self.healed_at
    }

    /// What the invariants keep about a host, after a look at everything.
    pub(in crate::sim) fn guard_of(&mut self, index: usize) -> &mut Guard {
        let host = self.host_mut(index);
        if let Some(Player::Node(node)) = &host.player {
            host.guard.look(node);
        }
        &mut host.guard
    }

    /// A disk that lost everything.
    #[cfg(test)]
    pub(in crate::sim) fn wipe(&mut self, index: usize) {
        self.host_mut(index).disk = disk::Disk::new(true);
    }

    /// Sends what waits and is not blocked now.
    fn release(&mut self) {
        let time = self.time;
        for index in 0..self.hosts {
            self.with(index, |host, ground, sink| host.release(time, ground, sink));
        }
    }

    /// Lets time pass until `until`; what is due at that very moment waits for the next run.
    pub fn run_until(&mut self, until: Time) {
        if until > self.time {
            shard::run(&mut self.shards, until, &self.ground);
            self.time = until;
        }
    }

    /// Events handled so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.shards.iter().map(|shard| shard.events).sum()
    }

    /// A hash over everything that reached any player, in order: equal for two runs with one seed, however many threads they had.
    #[must_use]
    pub fn event_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for host in self.hosts() {
            hasher.update(&host.hash.to_le_bytes());
            hasher.update(&host.handled.to_le_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Which host has this id.
    #[must_use]
    pub fn index_of_ids(&self) -> std::collections::BTreeMap<PeerId, usize> {
        self.hosts()
            .enumerate()
            .map(|(index, host)| (host.id(), index))
            .collect()
    }
}
