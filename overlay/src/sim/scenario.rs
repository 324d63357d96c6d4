//! What to simulate: a description that people can write, and what is wrong with one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::bar::Bar;
pub use super::happening::{Event, Happening};
use super::spread::load;
pub use super::spread::load::Authors;
use crate::rules::{self, Rule};

/// A world and what happens in it. All keys are on one level, so that each can be set from a command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What question it answers, in a sentence or two.
    pub about: String,

    /// Nodes in all, hostile ones included.
    pub nodes: usize,
    /// Fraction of `nodes` that are hostile, 0 to 0.9.
    pub byzantine: f64,
    /// Simulated seconds.
    pub duration_s: f64,
    /// Figures over time are taken every so many seconds, and the end figures are means over the last quarter of them where it says so.
    pub measure_every_s: f64,

    /// How nodes begin.
    pub start: Start,
    /// Nodes that each has heard of that starts warm, at random; 0 = all of them.
    pub warm_heard: usize,
    /// Nodes start evenly spread over so many seconds, where they start cold.
    pub join_s: f64,
    /// Honest, long-lived nodes that every other node is configured with as seeds; at least 1, or 0 where `poisoned` says how nodes
    /// begin without any.
    pub seeds: usize,
    /// How the addresses of nodes are spread over prefixes.
    pub addresses: Addresses,
    /// Nodes are told where others can dial them; else they learn it from what their peers see.
    pub addresses_known: bool,
    /// Fraction of honest nodes that cannot be dialled from outside, 0 to 1.
    pub undialable: f64,

    /// One-way delays between places, least and most, milliseconds.
    pub delay_ms: (f64, f64),
    /// What the delay between two places follows.
    pub delays: Delays,
    /// Standard deviation of the logarithm of the jitter factor on each packet's delay.
    pub jitter: f64,
    /// Probability that a packet is lost, 0 to 0.5. On a stream it costs a retransmission.
    pub loss: f64,
    /// Probability that a packet is lost while a burst of losses lasts, 0 to 1. Each direction of each path has its own bursts.
    pub burst_loss: f64,
    /// Mean length of a burst, seconds.
    pub burst_s: f64,
    /// Mean time from the end of a burst to the next, seconds.
    pub burst_every_s: f64,
    /// Probability that a datagram arrives twice, 0 to 0.5.
    pub duplicate: f64,
    /// Probability that a datagram is held back behind later ones, 0 to 0.5.
    pub reorder: f64,
    /// What a node can send, bytes per second; 0 = no limit.
    pub uplink: u64,

    /// What the hostile nodes do.
    pub adversary: Adversary,
    /// Exchanges that a hostile node starts per period (F), for those that flood.
    pub force: f64,
    /// Honest nodes that a targeted attack aims at.
    pub victims: usize,
    /// Fraction of an honest node's first contacts that are hostile, 0 to 1 (beside the seeds; 0 = seeds only).
    pub poisoned: f64,
    /// First contacts of an honest node when `poisoned` is above 0.
    pub contacts: usize,
    /// How the addresses of hostile nodes are spread.
    pub hostile_addresses: HostileAddresses,
    /// Hostile nodes behave until this second.
    pub attack_at_s: f64,

    /// New nodes per second (Poisson).
    pub joins_per_s: f64,
    /// Mean length of a session, seconds; 0 = nobody leaves.
    pub session_mean_s: f64,
    /// Shape of the Weibull distribution of sessions; below 1 = many short ones.
    pub session_shape: f64,
    /// Share of the nodes whose stay ends that say goodbye.
    pub announced: f64,
    /// What happens when.
    pub events: Vec<Event>,

    /// Bytes of each message that is published; 0 = nothing is.
    pub payload: usize,
    /// Messages per second, all authors together.
    pub rate: f64,
    /// Publishing begins at this second, with the warm-up if there is one.
    pub publish_at_s: f64,
    /// Seconds of publishing that are measured.
    pub publish_for_s: f64,
    /// Who publishes.
    pub authors: Authors,
    /// How many authors there are where they are warm.
    pub author_count: usize,
    /// Messages that each warm author has published before measuring begins.
    pub warm_messages: usize,

    /// What the honest nodes are.
    pub player: Player,
    /// Slots of the memory (m), or entries of the view; 0 = the player's default, here and below.
    pub slots: usize,
    /// Records asked for in an exchange (L), or exchanged in a shuffle of Cyclon.
    pub list: u8,
    /// Records asked for while young.
    pub list_young: u8,
    /// Records pushed with a call.
    pub push: usize,
    /// Mean time between exchanges, seconds.
    pub period_s: f64,
    /// Exchanges per reset of a slot.
    pub exchanges_per_reset: u32,
    /// Most proven peers that a node keeps.
    pub proven: usize,
    /// Most records kept that were only heard.
    pub heard: usize,
    /// Most archived peers.
    pub archive: usize,
    /// Outbound neighbors (RF).
    pub outbound: usize,
    /// Most inbound neighbors.
    pub inbound: usize,
    /// Longest body that travels in one frame with its header, bytes.
    pub inline: usize,
    /// Rules that honest nodes do without, to see what each is for; in a file or on a command line one name will do for a list.
    #[serde(deserialize_with = "rules::one_or_more")]
    pub without: Vec<Rule>,

    /// What the figures must reach.
    pub bars: Vec<Bar>,
}

/// How nodes begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Knowing only their seeds, or first contacts.
    #[default]
    Cold,
    /// All at once, each with the memory of one that has heard of every node that can be dialled, hostile ones included: the end that a
    /// long fast start comes to. Links are made as ever. Nobody has seeds; who crashed and starts again starts from what it stored.
    Warm,
}

/// What the delay between two places follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delays {
    /// Their distance on a map whose edges meet.
    #[default]
    Map,
    /// A draw of its own for each pair, uniform.
    Random,
}

/// How addresses are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addresses {
    /// No groups count: the preset `local`.
    #[default]
    Local,
    /// Each node in a /16 of its own, as far as they go, and as many in each /8 where their number can be divided so.
    Flat,
    /// A Zipf distribution over 120 /8, then over their /16.
    Zipf,
}

/// How hostile addresses are spread, where groups count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostileAddresses {
    /// As those of honest nodes.
    #[default]
    AsHonest,
    /// All in one /24.
    OneSlash24,
    /// All in one /16.
    OneSlash16,
    /// Over the prefixes of one large operator: 5,739 blocks in few /8.
    LargestAs,
}

/// What hostile nodes do. Each speaks the real codec and reads no honest state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adversary {
    /// Nothing: they are ordinary nodes, only counted.
    #[default]
    Honest,
    /// Start `force` exchanges per period each, push and answer with hostile records only.
    Flood,
    /// Answer with hostile records only; start as many exchanges as an honest node.
    Lie,
    /// Keep to the protocol, but hand on hostile records only and drop honest ones.
    SilentBias,
    /// As `Flood`, all effort at the `victims`.
    Targeted,
    /// As `SilentBias` until `attack_at_s`, then as `Flood`.
    Delayed,
    /// Hand on records that honest nodes signed one and four hours before the world began, when each of them was at another port.
    Replay,
    /// Hand on records of their own that point at a victim's address.
    AddressPoison,
    /// Hand on signed records of identities at addresses where nobody is.
    Invent,
    /// Accept, then never answer.
    Refuse,
    /// Take messages as honest nodes do, and pass none on: neither pushed, nor announced, nor asked for.
    Silent,
    /// Take messages as honest nodes do, announce each to everybody as soon as it is here, and never serve one.
    Bait,
    /// Ask everybody for everything and serve nobody.
    Leech,
    /// Lie about who is alive: vouch for everybody who is looked for, ask for looks at the living, close links to them as if they were
    /// dead, and repeat answers that nobody asked for.
    Accuse,
    /// Answer nothing for 25 seconds of every two minutes, all at the same time, and come back.
    PlayDead,
}

/// What honest nodes are. All but the first are there for comparison only: they have a view and nothing else, no links and no messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Player {
    /// The node itself.
    #[default]
    Overlay,
    /// Cyclon (Voulgaris, Gavidia, van Steen 2005); by default with views of 30, of which 8 are exchanged.
    Cyclon,
    /// The push-pull framework (Jelasity et al. 2007) with views of 30 and healer settings: the oldest entries go.
    Healer,
    /// The same with swapper settings: what was sent goes.
    Swapper,
    /// Ranked slots (BASALT, Auvolat et al. 2023), 50 by default, that believe whole lists, and the first two callers of a round.
    NaiveCap,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: String::new(),
            about: String::new(),
            nodes: 1000,
            byzantine: 0.0,
            duration_s: 3600.0,
            measure_every_s: 60.0,
            start: Start::Cold,
            warm_heard: 0,
            join_s: 10.0,
            seeds: 3,
            addresses: Addresses::Local,
            addresses_known: true,
            undialable: 0.0,
            delay_ms: (5.0, 110.0),
            delays: Delays::Map,
            jitter: 0.1,
            loss: 0.0,
            burst_loss: 0.0,
            burst_s: 0.5,
            burst_every_s: 9.5,
            duplicate: 0.0,
            reorder: 0.0,
            uplink: 0,
            adversary: Adversary::Honest,
            force: 1.0,
            victims: 0,
            poisoned: 0.0,
            contacts: 8,
            hostile_addresses: HostileAddresses::AsHonest,
            attack_at_s: 0.0,
            joins_per_s: 0.0,
            session_mean_s: 0.0,
            session_shape: 0.5,
            announced: 0.0,
            events: Vec::new(),
            payload: 0,
            rate: 200.0,
            publish_at_s: 30.0,
            publish_for_s: 60.0,
            authors: Authors::Warm,
            author_count: 200,
            warm_messages: 60,
            player: Player::Overlay,
            slots: 0,
            list: 0,
            list_young: 0,
            push: 0,
            period_s: 0.0,
            exchanges_per_reset: 0,
            proven: 0,
            heard: 0,
            archive: 0,
            outbound: 0,
            inbound: 0,
            inline: 0,
            without: Vec::new(),
            bars: Vec::new(),
        }
    }
}

/// Why a scenario cannot be run: the key and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ScenarioError {
    /// The key as it is written in the file.
    pub key: &'static str,
    /// What is allowed.
    pub problem: String,
}

impl Scenario {
    /// Checks every key against its range.
    ///
    /// # Errors
    /// The first key out of range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |key, problem: &str| {
            Err(ScenarioError {
                key,
                problem: problem.to_owned(),
            })
        };
        if !(2..=1_000_000).contains(&self.nodes) {
            return wrong("nodes", "2 to 1000000");
        }
        for (key, value, most) in [
            ("byzantine", self.byzantine, 0.9),
            ("undialable", self.undialable, 1.0),
            ("poisoned", self.poisoned, 1.0),
            ("loss", self.loss, 0.5),
            ("burst_loss", self.burst_loss, 1.0),
            ("duplicate", self.duplicate, 0.5),
            ("reorder", self.reorder, 0.5),
        ] {
            if !(0.0..=most).contains(&value) {
                return wrong(key, &format!("a fraction from 0 to {most}"));
            }
        }
        for (key, value, least, most) in [
            ("duration_s", self.duration_s, 1.0, 1e7),
            ("measure_every_s", self.measure_every_s, 0.1, 1e6),
            ("join_s", self.join_s, 0.0, 1e6),
            ("jitter", self.jitter, 0.0, 2.0),
            ("burst_s", self.burst_s, 0.001, 1e6),
            ("burst_every_s", self.burst_every_s, 0.001, 1e6),
            ("force", self.force, 0.0, 1e4),
            ("attack_at_s", self.attack_at_s, 0.0, 1e7),
            ("joins_per_s", self.joins_per_s, 0.0, 1e5),
            ("session_mean_s", self.session_mean_s, 0.0, 1e9),
            ("session_shape", self.session_shape, 0.1, 10.0),
            ("announced", self.announced, 0.0, 1.0),
            ("period_s", self.period_s, 0.0, 1e5),
        ] {
            if !(least..=most).contains(&value) {
                return wrong(key, &format!("{least} to {most}"));
            }
        }
        let (least, most) = self.delay_ms;
        if !(1.0..=10_000.0).contains(&least) || !(least..=10_000.0).contains(&most) {
            let problem = "two numbers from 1 to 10000, the smaller one first";
            return wrong("delay_ms", problem);
        }
        let honest = self.nodes - self.hostile();
        if self.seeds == 0 && self.poisoned == 0.0 {
            return wrong("seeds", "at least 1 (0 only where poisoned is above 0)");
        }
        if self.seeds > honest {
            return wrong("seeds", "at most as many as honest nodes");
        }
        if self.poisoned > 0.0 && !(1..=1000).contains(&self.contacts) {
            return wrong("contacts", "1 to 1000 where poisoned is above 0");
        }
        let ours = self.player == Player::Overlay && self.addresses == Addresses::Local;
        if self.start == Start::Warm && !(ours && self.poisoned == 0.0) {
            let only =
                "warm only with player = \"overlay\", addresses = \"local\" and poisoned = 0";
            return wrong("start", only);
        }
        let slots = match self.slots {
            0 => crate::sampling::Config::default().slots,
            slots => slots,
        };
        if self.proven > 0 && self.proven <= slots {
            return wrong("proven", "0, or more than there are slots");
        }
        if self.victims > honest {
            return wrong("victims", "at most as many as honest nodes");
        }
        if !self.without.is_empty() && self.player != Player::Overlay {
            return wrong("without", "nothing, where player is not overlay");
        }
        if self.adversary == Adversary::Targeted && self.victims == 0 {
            return wrong("victims", "a targeted attack needs at least 1");
        }
        for event in &self.events {
            event.check(self.duration_s)?;
        }
        load::check(self)?;
        self.bars.iter().try_for_each(Bar::check)
    }

    /// How many of the nodes are hostile.
    #[must_use]
    pub fn hostile(&self) -> usize {
        (self.nodes as f64 * self.byzantine).round() as usize
    }

    /// Whether nodes that crashed start again, so that what they stored matters.
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.events
            .iter()
            .any(|event| event.what == Happening::Restart)
    }

    /// How long the run is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_key(change: impl FnOnce(&mut Scenario)) -> &'static str {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        scenario.check().expect_err("out of range").key
    }

    #[test]
    fn the_default_is_in_range() {
        assert_eq!(Scenario::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        assert_eq!(wrong_key(|s| s.nodes = 1), "nodes");
        assert_eq!(wrong_key(|s| s.byzantine = f64::NAN), "byzantine");
        assert_eq!(wrong_key(|s| s.duration_s = f64::INFINITY), "duration_s");
        assert_eq!(wrong_key(|s| s.delay_ms = (5.0, 4.0)), "delay_ms");
        assert_eq!(wrong_key(|s| s.adversary = Adversary::Targeted), "victims");
        assert_eq!(wrong_key(|s| s.seeds = 1001), "seeds");
        let late = Event {
            at_s: 1e6,
            what: Happening::Heal,
        };
        assert_eq!(wrong_key(|s| s.events = vec![late]), "events");
    }

    #[test]
    fn only_a_node_does_without_rules() {
        let mut scenario = Scenario {
            without: vec![Rule::OwnDial],
            ..Scenario::default()
        };
        assert_eq!(scenario.check(), Ok(()));
        scenario.player = Player::Cyclon;
        assert_eq!(scenario.check().unwrap_err().key, "without");
    }

    #[test]
    fn nodes_begin_with_seeds_or_with_contacts() {
        assert_eq!(wrong_key(|s| s.seeds = 0), "seeds");
        let mut scenario = Scenario {
            seeds: 0,
            poisoned: 0.9,
            ..Scenario::default()
        };
        assert_eq!(scenario.check(), Ok(()));
        scenario.contacts = 0;
        assert_eq!(scenario.check().unwrap_err().key, "contacts");
    }

    #[test]
    fn a_bar_has_a_name_and_a_limit() {
        let bar = Bar {
            metric: "share".to_owned(),
            ..Bar::default()
        };
        assert_eq!(wrong_key(|s| s.bars = vec![bar.clone()]), "bars");
        let most = Some(f64::NAN);
        assert_eq!(wrong_key(|s| s.bars = vec![Bar { most, ..bar }]), "bars");
        let most = Some(1.0);
        let nameless = Bar {
            most,
            ..Bar::default()
        };
        assert_eq!(wrong_key(|s| s.bars = vec![nameless]), "bars");
    }

    #[test]
    fn a_relative_bar_follows_the_hostile_fraction() {
        let bar = Bar {
            metric: "share".to_owned(),
            above_byzantine: Some(0.25),
            ..Bar::default()
        };
        assert_eq!(bar.limits(0.25), (None, Some(0.5)));
        let bar = Bar {
            most: Some(0.375),
            least: Some(0.1),
            ..bar
        };
        assert_eq!(bar.limits(0.25), (Some(0.1), Some(0.375)));
    }
}
