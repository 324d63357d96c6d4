//! The state into which a node with given settings settles: how many others it holds, how often it is called, dialled, and left.
//!
//! Addresses are taken to be spread over many prefixes, or not to count; where many share a prefix, fewer peers hold more slots.

use overlay::Config;
use overlay::sampling::{LISTS, SHORTEST};
use overlay::sim::adversary::KEPT;
use overlay::wire::MAX_LIST;

use super::Question;
use super::share::Sight;
use super::traffic::known_half;

/// How long a dial waits for an answer, and how soon a lost link is noticed, seconds: those of the node's transport, which the
/// simulator's worlds have too.
const DIAL_TIMEOUT: f64 = 5.0;
const LINK_LOST: f64 = 20.0;

/// Populations and rates; times are in seconds, rates per second.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    /// Honest nodes that can be dialled, and that cannot; hostile ones.
    pub(super) dialable: f64,
    pub(super) undialable: f64,
    pub(super) hostile: f64,
    /// Others that can be dialled.
    pub(super) others: f64,
    /// Distinct members of the memory.
    pub(super) members: f64,
    /// The adversary's share of the memory.
    pub(super) share: f64,
    /// Part of the memory that names nodes which are gone.
    pub(super) dead: f64,
    /// From a node's end until it has left the memories.
    pub(super) leaves: f64,
    /// Dials at those who have gone, and at callers whom nobody can dial.
    pub(super) vain: f64,
    pub(super) unreachable: f64,
    /// Visits that are begun.
    pub(super) visits: f64,
    /// Part of them that is answered.
    pub(super) answered: f64,
    /// Part of them that needs no dial.
    pub(super) riding: f64,
    /// Visits of honest nodes that a dialable node answers.
    pub(super) visited: f64,
    /// Calls of hostile nodes that are answered, and that are refused because the caller has a link already.
    pub(super) assaulted: f64,
    pub(super) refused: f64,
    /// Resets of a slot.
    pub(super) resets: f64,
    /// Peers proven at a time.
    pub(super) proven: f64,
    /// Dials that only prove: candidates of lists and callers, feelers, the census.
    pub(super) candidates: f64,
    pub(super) feelers: f64,
    pub(super) census: f64,
    /// Outbound links, those of other honest nodes, and those of hostile ones.
    pub(super) outbound: f64,
    pub(super) inbound: f64,
    pub(super) intruding: f64,
    /// Links that each hostile node keeps where there is room.
    pub(super) kept: f64,
    /// Records in a list of an honest node to another and to a hostile one, and in one of a hostile node.
    pub(super) list: f64,
    pub(super) assault_list: f64,
    pub(super) hostile_list: f64,
    /// Records pushed with a call.
    pub(super) push: f64,
    /// How often a second lists name a given honest node.
    pub(super) named: f64,
    /// Time from one seed of a slot to the next.
    pub(super) slot_life: f64,
}

impl Steady {
    /// Of a node with these settings in the world of the question.
    pub(super) fn new(question: &Question, config: &Config) -> Self {
        let steady = Self::with_late(question, config, 0.0);
        if question.churn.is_none() {
            return steady;
        }
        // Where nodes come and go, it counts how long it takes until they are known.
        let late = known_half(&steady, config);
        Self::with_late(question, config, late)
    }

    /// Where lists do not name a node for so long after its start.
    fn with_late(question: &Question, config: &Config, late: f64) -> Self {
        let (sampling, neighbors) = (&config.sampling, &config.neighbors);
        let nodes = f64::from(question.nodes);
        let hostile = question.hostile();
        let dialable = (nodes - hostile).max(1.0);
        let undialable = question.undialable_nodes();
        let honest = dialable + undialable;
        let others = (nodes - 1.0).max(1.0);
        let session = question.session_s();
        let ends = session.recip();
        let period = sampling.period.as_secs_f64();

        // Each of m slots draws among all others: the expected number of distinct draws.
        let members = distinct(others, sampling.slots as f64);
        // One visit a period, to each member in turn. Who ended since its last turn does not answer this one.
        let turn = members * period;
        // Hostile nodes stay.
        let mortal = 1.0 - hostile / nodes;
        let answered = 1.0 + mortal * (-turn * ends).exp_m1();
        let Gone { dead, leaves } = Gone::new(session, members, mortal, turn, config);
        let deaths = members * (mortal - dead) * ends;

        let visits = period.recip();
        let per_reset = f64::from(sampling.exchanges_per_reset.max(5));
        let resets = visits * answered / per_reset;
        let slot_life = sampling.slots as f64 / resets;
        let outbound = (neighbors.outbound as f64).min(members);
        let inbound = (outbound * honest / nodes).min(neighbors.inbound as f64);
        let kept = if question.force > 0.0 {
            (KEPT as f64).min(dialable)
        } else {
            0.0
        };
        let room = (neighbors.inbound as f64 - inbound).max(0.0);
        let intruding = (kept * hostile / dialable).min(room);
        // Whom nobody can dial does not know: its record names the address that its neighbors see, and it is called as often.
        let called = hostile * question.force / super::ROUND.as_secs_f64() / honest;
        let linked = if hostile > 0.0 {
            (intruding / hostile).min(1.0)
        } else {
            0.0
        };
        let assaulted = called * (1.0 - linked);
        // Those who answer give no more records than they earn, whoever asks; honest callers are taken to be as many as the honest are.
        let part = rationed(visits * answered * honest / nodes, assaulted, sampling);
        let named_most = (others - 1.0).max(0.0);
        let list = given(sampling.list.into(), part).min(named_most);
        let assault_list = given(MAX_LIST as f64, part).min(named_most);

        let mut feelers = 2.0 / (sampling.feeler.0 + sampling.feeler.1).as_secs_f64();
        let valid = config.peers.proof_valid.as_secs_f64();
        let capacity = (config.peers.proven as f64).min(others);
        let (candidates, proven) = settle(capacity, |proven| {
            // A slot that was reset, or lost its holder, is filled with the least of those proven; of those that lists name later, each
            // new least is dialled: of n draws in random order about ln n are the least so far. And newcomers win as many members'
            // slots as members end.
            let freed = resets + sampling.slots as f64 * (mortal - dead) * ends;
            let records = (others / proven.max(1.0)).ln().max(0.0) * freed;
            let candidates = records + deaths;
            let for_a_while = valid.min(session);
            (candidates, members + (candidates + feelers) * for_a_while)
        });
        if proven >= others && !session.is_finite() {
            feelers = 0.0;
        }
        // The last visit, the dials that follow it, and candidates who have gone, as large a part of all as of the memory.
        let vain = visits * (1.0 - answered)
            + (deaths * again(config)).min(rechecks(config))
            + candidates * dead / (1.0 - dead).max(1e-9);
        // Who calls is dialled back if it would win a slot; hours later, when it calls again, its address rests no more.
        let unreachable = undialable * visits * answered / nodes * members / others;
        // The census counts as many again by flat ranks; who holds no slot as well is dialled in the second half of its proof.
        let census = members * (1.0 - members / others) / (valid / 2.0);

        let named = list / dialable * visits * answered * (1.0 - dead);
        let share = Sight {
            // Of a small network the fraction may come to no whole node.
            byzantine: hostile / nodes,
            named,
            calls: visits * answered / nodes,
            life: slot_life,
            known: (proven * (1.0 - dead) / others).min(1.0),
            session,
            late,
        }
        .share();

        Self {
            dialable,
            undialable,
            hostile,
            others,
            members,
            share,
            dead,
            leaves,
            vain,
            unreachable,
            visits,
            answered,
            riding: (outbound / members).min(1.0),
            visited: visits * answered * honest * (1.0 - share) / dialable,
            assaulted,
            refused: called * linked,
            resets,
            proven,
            candidates,
            feelers,
            census,
            outbound,
            inbound,
            intruding,
            kept,
            list,
            assault_list,
            hostile_list: f64::from(sampling.list).min(MAX_LIST as f64).min(hostile),
            push: (sampling.push as f64).min(named_most),
            named: named * (1.0 - share).powi(2),
            slot_life,
        }
    }

    /// Honest nodes.
    pub(super) fn honest(&self) -> f64 {
        self.dialable + self.undialable
    }

    /// Honest callers for each dialable node, hostile ones among the dialable: how often an average honest node's dials arrive here.
    pub(super) fn callers(&self) -> f64 {
        self.honest() / (self.dialable + self.hostile)
    }

    /// Part of a node's links that is missing because the other end has gone and nobody has noticed yet.
    pub(super) fn links_lost(session: f64) -> f64 {
        if session.is_finite() {
            LINK_LOST / (session + LINK_LOST)
        } else {
            0.0
        }
    }
}

/// How many records of those that it wants a caller gets, when the longest list is cut to this part.
fn given(want: f64, part: f64) -> f64 {
    let longest = MAX_LIST as f64 * part;
    want.min(longest.max(SHORTEST as f64))
}

/// The part to which the longest list is cut in balance: records are given at the rate at which they are earned, `LISTS.1` lists as long as one's own
/// in a period, where so many honest and hostile callers a second ask for more; but never fewer than the shortest list has.
fn rationed(honest: f64, hostile: f64, sampling: &overlay::sampling::Config) -> f64 {
    let own = f64::from(sampling.list).max(1.0);
    let earned = LISTS.1 * own / sampling.period.as_secs_f64();
    let spent = |part| honest * given(own, part) + hostile * given(MAX_LIST as f64, part);
    if spent(1.0) <= earned {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if spent(middle) > earned {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

/// What of a memory has gone, and how long it stays there after its end.
struct Gone {
    dead: f64,
    leaves: f64,
}

impl Gone {
    /// Where each of `members`, of which a part is `mortal`, is visited every `turn` seconds.
    ///
    /// Who has gone is found at its turn, half a round later on average, and dialled again until it is given up: what fails rests, each
    /// time for twice as long, and there is a look every now and then. Or a newcomer takes its slot before: as many come as go, so a
    /// slot is taken as often as its holder ends. In balance as many go as are forgotten.
    fn new(session: f64, members: f64, mortal: f64, turn: f64, config: &Config) -> Self {
        let look = config.sampling.recheck.as_secs_f64();
        let rest = config.peers.rest_shortest.as_secs_f64();
        let rests: f64 = (1..config.peers.dead_after)
            .map(|n| rest * f64::from(1_u32 << (n - 1).min(20)) + look / 2.0 + DIAL_TIMEOUT)
            .sum();
        let found = turn / 2.0 + DIAL_TIMEOUT + rests;
        if session.is_infinite() {
            return Self {
                dead: 0.0,
                leaves: found,
            };
        }
        let dead = mortal * found / (session + found * (1.0 + mortal));
        // Where more end than looks can dial, those who have gone pile up.
        let most = rechecks(config) / again(config).max(1.0);
        let piled = (mortal - session * most / members) / (1.0 + mortal);
        let dead = dead.max(piled);
        Self {
            dead,
            leaves: session * dead / (mortal - dead).max(1e-9),
        }
    }
}

/// Dials after the first failure until a peer is given up.
fn again(config: &Config) -> f64 {
    f64::from(config.peers.dead_after.saturating_sub(1))
}

/// Most of those dials, each second.
fn rechecks(config: &Config) -> f64 {
    config.sampling.rechecks as f64 / config.sampling.recheck.as_secs_f64()
}

/// Expected number of distinct ones among so many draws from `of`.
pub(super) fn distinct(of: f64, draws: f64) -> f64 {
    if of <= 1.0 {
        return of;
    }
    of * -(draws * (-of.recip()).ln_1p()).exp_m1()
}

/// The number of proven peers that keeps itself up, at most `capacity`: `rates` says which rate of dials it needs and how many that
/// makes. More proven peers need fewer dials, so halving the interval finds it.
fn settle(capacity: f64, rates: impl Fn(f64) -> (f64, f64)) -> (f64, f64) {
    let (mut low, mut high) = (1.0, capacity.max(1.0));
    if rates(high).1 < high {
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if rates(middle).1 > middle {
                low = middle;
            } else {
                high = middle;
            }
        }
    }
    (rates(high).0, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::size::tests::question;

    #[test]
    fn distinct_draws() {
        assert!((distinct(99.0, 256.0) - 99.0 * (1.0 - (98.0_f64 / 99.0).powi(256))).abs() < 1e-9);
        assert_eq!(distinct(1.0, 256.0), 1.0);
        assert!((distinct(1e6, 256.0) - 256.0).abs() < 0.1);
    }

    /// A settled small network knows all of itself; a large one as many as its dials keep proven.
    #[test]
    fn proven_peers_keep_themselves_up() {
        let of = |nodes| Steady::new(&question(nodes, 0.0), &Config::default());
        let small = of(300);
        assert_eq!((small.proven, small.feelers), (299.0, 0.0));
        assert!(small.candidates < 1e-9);
        let large = of(100_000);
        assert!(
            large.proven > 512.0 && large.proven <= 2048.0,
            "{}",
            large.proven
        );
        let (rate, fixed) = settle(1000.0, |proven| (1.0, 500.0 - proven / 4.0));
        assert_eq!(rate, 1.0);
        assert!((fixed - 400.0).abs() < 1e-6);
    }

    /// A flood draws what a node earns in a period and no more, until every list is as short as lists get.
    #[test]
    fn lists_are_rationed() {
        let sampling = Config::default().sampling;
        assert_eq!(rationed(0.1, 0.0, &sampling), 1.0);
        assert_eq!(rationed(0.1, 0.05, &sampling), 1.0);
        let part = rationed(0.08, 0.25, &sampling);
        let records = 0.08 * given(32.0, part) + 0.25 * given(64.0, part);
        assert!(
            (records - 6.4).abs() < 1e-6 && part < 0.5,
            "{part}: {records}"
        );
        let flooded = rationed(0.08, 25.0, &sampling);
        assert_eq!((given(32.0, flooded), given(64.0, flooded)), (8.0, 8.0));
        assert_eq!(given(4.0, 0.0), 4.0);
    }

    /// The more leave, the more of the memory has left; at last dials cannot keep up.
    #[test]
    fn the_dead_pile_up() {
        let dead = |minutes: u64| {
            let mut asked = question(1000, 0.0);
            asked.churn = Some(std::time::Duration::from_secs(60 * minutes));
            Steady::new(&asked, &Config::default()).dead
        };
        let rising = [24 * 60, 120, 60, 30, 10, 5].map(dead);
        assert!(rising.is_sorted(), "{rising:?}");
        assert!(rising[0] < 0.02 && rising[5] > 0.4, "{rising:?}");
        assert_eq!(
            Steady::new(&question(1000, 0.0), &Config::default()).dead,
            0.0
        );
    }
}
