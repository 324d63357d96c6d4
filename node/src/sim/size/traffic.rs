//! What membership costs a dialable node, split by cause. Nothing is published here: messages come on top.

use overlay::Config;
use overlay::wire::MAX_LIST;
use serde::Serialize;

use super::Question;
use super::steady::{Steady, distinct};
use super::wire::{self, Bytes};

/// Bytes per second by cause.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Traffic {
    /// Exchanges that the node starts.
    pub(crate) started: Bytes,
    /// Exchanges of honest nodes that it answers.
    pub(crate) answered: Bytes,
    /// Calls of hostile nodes, answered and refused.
    pub(crate) hostile: Bytes,
    /// Dials that prove peers, of this node and of others: candidates, feelers, the census; and those at callers whom nobody can dial.
    pub(crate) dials: Bytes,
    /// Links: keep-alives, pings, reconciliation of equal logs, rotation.
    pub(crate) links: Bytes,
    /// Who comes and goes: the fast starts of newcomers, dials at nodes that have gone, new links.
    pub(crate) churn: Bytes,
    /// All of it.
    pub(crate) total: Bytes,
}

/// What a fast start costs, once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FastStart {
    /// Exchanges that are answered.
    pub(crate) exchanges: f64,
    /// Peers that are proven.
    pub(crate) proofs: f64,
    /// How long it lasts, seconds.
    pub(crate) seconds: f64,
    /// What the joiner sends and receives.
    pub(crate) bytes: Bytes,
}

/// The round trip that times of the fast start are counted with, seconds: the mean of the simulator's delays, 5 to 110 ms one way.
const ROUND_TRIP: f64 = 0.115;
/// The part of the network that it stops at, as `settle_won` says of itself.
const HEARD: f64 = 0.99;

impl FastStart {
    /// Of a node that knows nobody and joins alone.
    ///
    /// It goes on until two things are done. What it hears of must be the whole network but a hundredth, with lists of `list_young` at
    /// random from it (what an honest list names is new with the chance that it is not known yet: coverage is exponential). And whom it
    /// hears of must be proven: dials go at `dials_per_s_young`, those of the exchanges included, while as many exchanges are under
    /// way as may be, each for three round trips. `settle_answers` barren ones end it.
    pub(super) fn new(steady: &Steady, config: &Config) -> Self {
        let sampling = &config.sampling;
        let list = f64::from(sampling.list_young)
            .min(MAX_LIST as f64)
            .min((steady.others - 1.0).max(1.0));
        let honest = (1.0 - steady.share) * (1.0 - steady.dead);
        let hear = -(1.0 - HEARD).ln() * steady.others / (list * honest.powi(2));
        let pace = sampling.parallel_opened.max(1) as f64 / (3.0 * ROUND_TRIP);
        let dials = config.peers.dials_per_s_young as f64;
        let proofs = steady.members;
        let prove = proofs / (dials - pace).max(dials / 4.0);
        let settle = sampling.settle_answers as f64;
        let most = sampling.young_most.as_secs_f64();
        let exchanges = (hear.max(prove * pace) + settle).min(most * pace);
        let seconds = (exchanges / pace).max(sampling.young_least.as_secs_f64());
        let question = wire::exchange(steady.push, list);
        // Most who are asked have just been proven, over the same link.
        let bytes = question * exchanges + wire::proof() * (proofs + settle);
        Self {
            exchanges,
            proofs,
            seconds,
            bytes,
        }
    }
}

/// A newcomer is known at once to those whom its fast start asks and who would give it a slot. From there its record spreads as a rumour:
/// the more memories hold it, the more lists name it, so its number grows logistically (Demers et al. 1987).
pub(super) fn known_half(steady: &Steady, config: &Config) -> f64 {
    let nodes = steady.dialable + steady.hostile;
    let start = FastStart::new(steady, config);
    let asked = distinct(nodes, start.exchanges) / nodes;
    let spread = if asked < 0.5 {
        ((1.0 - asked) / asked).ln() / growth(steady)
    } else {
        0.0
    };
    start.seconds + spread
}

/// How fast a rumour begins to grow, for each who knows it, a second. Half of a list are those who entered the memory last: as long as
/// a newcomer is one of them, all lists name it, later as many as name a node that all know, in the other half. The rate at which those who heard of
/// it so long ago, or so recently, make all who hear of it now (Euler and Lotka's equation).
fn growth(steady: &Steady) -> f64 {
    let half = steady.list / 2.0;
    let later = steady.named / 2.0;
    let first = steady.named * (steady.members / steady.list.max(1.0)).max(1.0);
    let window = half / steady.candidates.max(1e-9);
    let mut rate = first;
    for _ in 0..60 {
        rate = later + (first - later) * -(-rate * window).exp_m1();
    }
    rate.max(1e-9)
}

impl Traffic {
    /// Of a dialable honest node in the steady state.
    pub(super) fn new(question: &Question, steady: &Steady, config: &Config) -> Self {
        let proof = wire::proof();
        let visit = |answer| wire::exchange(steady.push, answer) + proof * (1.0 - steady.riding);
        let honest = visit(steady.list);
        let asked = honest * (1.0 - steady.share) + visit(steady.hostile_list) * steady.share;
        let started = asked * (steady.visits * steady.answered);
        let answered = honest.mirrored() * steady.visited;

        let pushed = steady.push.min(steady.hostile);
        let assault = wire::exchange(pushed, steady.assault_list) + proof;
        let hostile =
            assault.mirrored() * steady.assaulted + wire::refused().mirrored() * steady.refused;

        let proofs = steady.candidates + steady.feelers + steady.census;
        let dials = (proof + proof.mirrored() * steady.callers()) * proofs
            + wire::silent_dial() * steady.unreachable;
        let links = links(steady, config);
        let churn = churn(question, steady, config);
        let total = [started, answered, hostile, dials, links, churn]
            .into_iter()
            .sum();
        Self {
            started,
            answered,
            hostile,
            dials,
            links,
            churn,
            total,
        }
    }

    /// The causes with their names.
    pub(super) const fn causes(&self) -> [(&'static str, Bytes); 6] {
        [
            ("exchanges started", self.started),
            ("exchanges answered", self.answered),
            ("hostile calls", self.hostile),
            ("dials that prove peers", self.dials),
            ("links kept", self.links),
            ("comings and goings", self.churn),
        ]
    }
}

/// The ends of a silent link probe in turn; hostile ones only answer, and we wait a little longer for them to begin.
fn links(steady: &Steady, config: &Config) -> Bytes {
    let idle = config.detector.idle.as_secs_f64();
    let honest = (wire::probe() + wire::probe().mirrored()) * (0.5 / idle);
    let intruder = wire::probe() * (idle + config.detector.patience.0.as_secs_f64()).recip();
    let kept =
        honest * steady.outbound + honest.mirrored() * steady.inbound + intruder * steady.intruding;
    // Each end reconciles with one of its links in turn; about as many sessions come from others.
    let sessions = config.repair.period.as_secs_f64().recip();
    let session = (wire::equal_logs() + wire::equal_logs().mirrored()) * sessions;
    let (least, most) = config.neighbors.rotation;
    let rotations = 2.0 / (least + most).as_secs_f64();
    let rotation = wire::proof() + wire::proof().mirrored() * steady.callers();
    kept + session + rotation * rotations
}

/// A newcomer's fast start is spread over the dialable nodes; nobody answers a dial at those who have gone; links to them are made anew.
fn churn(question: &Question, steady: &Steady, config: &Config) -> Bytes {
    let session = question.session_s();
    if !session.is_finite() {
        return Bytes::default();
    }
    let start = FastStart::new(steady, config);
    let newcomers = start.bytes.mirrored() * (steady.callers() / session);
    let gone = wire::silent_dial() * steady.vain;
    let relinked = (wire::proof() + wire::proof().mirrored() * steady.callers())
        * (steady.outbound * (1.0 - steady.share) / session);
    newcomers + gone + relinked
}
