//! Which settings reach the goals.
//!
//! Memory is free where bandwidth is not, so what a larger or more hostile network needs more of is taken in this order: slots, then
//! records in a list, then exchanges per reset (which makes samples rarer). What is not needed stays at its default.

use std::time::Duration;

use overlay::Config;
use overlay::config::SPARE_LINKS;
use overlay::wire::MAX_LIST;

use super::Question;
use super::guarantees::{CUT_OFF, Goal, Guarantees, SHARE_ABOVE};
use super::steady::Steady;
use super::traffic::Traffic;

/// Most slots: at the default period, members are then still visited before their proofs run out.
const MOST_SLOTS: usize = 1024;
const SLOTS_STEP: usize = 64;
const LIST_STEP: u8 = 8;
/// Most exchanges per reset: with more, a sample is seen every quarter of an hour or less often. A guess.
const MOST_PER_RESET: u32 = 80;
/// A share that is less by this is not less.
const NOTHING: f64 = 1e-6;
/// Most outbound neighbors that may be set.
const MOST_OUTBOUND: usize = 64;
/// Periods to try, seconds; a guess at what is worth telling apart. Below the default they answer to churn, above it to a budget.
const PERIODS: [f64; 15] = [
    60.0, 45.0, 30.0, 20.0, 15.0, 12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0,
];

/// Settings and what comes of them.
#[derive(Clone, Debug)]
pub(super) struct Sizing {
    pub(super) config: Config,
    pub(super) steady: Steady,
    pub(super) traffic: Traffic,
    pub(super) guarantees: Guarantees,
    pub(super) goals: Vec<Goal>,
}

/// The best there is.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) sizing: Sizing,
    /// Where a budget is too small: what the cheapest settings cost that meet every other goal.
    pub(super) cheapest: Option<f64>,
}

impl Sizing {
    pub(super) fn new(question: &Question, config: Config) -> Self {
        let steady = Steady::new(question, &config);
        let traffic = Traffic::new(question, &steady, &config);
        let guarantees = Guarantees::new(question, &steady, &config);
        let mut goals = guarantees.goals(question, &config).to_vec();
        if let Some(budget) = question.budget {
            let (value, most) = (traffic.total.most(), budget as f64);
            goals.push(Goal {
                name: "budget",
                value,
                most,
                met: value <= most,
            });
        }
        Self {
            config,
            steady,
            traffic,
            guarantees,
            goals,
        }
    }

    /// Goals that are missed, the budget not counted.
    fn missed(&self) -> usize {
        let missed = |goal: &&Goal| !goal.met && goal.name != "budget";
        self.goals.iter().filter(missed).count()
    }

    fn bytes(&self) -> f64 {
        self.traffic.total.most()
    }

    fn is_within(&self, question: &Question) -> bool {
        question
            .budget
            .is_none_or(|budget| self.bytes() <= budget as f64)
    }
}

/// The settings for a question.
pub(super) fn choose(question: &Question) -> Choice {
    let usual = quickened(question);
    if question.budget.is_none() {
        return Choice {
            sizing: usual,
            cheapest: None,
        };
    }
    let lists = (LIST_STEP..=MAX_LIST as u8).step_by(usize::from(LIST_STEP));
    let all: Vec<Sizing> = lists
        .flat_map(|list| {
            let periods = PERIODS.into_iter().map(Duration::from_secs_f64);
            periods.map(move |period| at(question, period, list))
        })
        .chain([usual.clone()])
        .collect();
    let cheapest = all
        .iter()
        .filter(|sizing| sizing.missed() == 0)
        .map(Sizing::bytes)
        .min_by(f64::total_cmp);
    let within = || all.iter().filter(|sizing| sizing.is_within(question));
    // As few goals missed as may be; then as quick, then as talkative as the budget allows.
    let best = within().min_by(|a, b| {
        let order = |sizing: &Sizing| {
            let sampling = &sizing.config.sampling;
            (sizing.missed(), sampling.period, u8::MAX - sampling.list)
        };
        order(a).cmp(&order(b))
    });
    // Where nothing is within the budget: the cheapest of those that miss least.
    let dear = || {
        let least = |a: &&Sizing, b: &&Sizing| {
            (a.missed().cmp(&b.missed())).then(a.bytes().total_cmp(&b.bytes()))
        };
        all.iter().min_by(least)
    };
    let sizing = best.or_else(dear).cloned().unwrap_or(usual);
    let fits = sizing.missed() == 0 && sizing.is_within(question);
    Choice {
        sizing,
        cheapest: cheapest.filter(|_| !fits),
    }
}

/// The longest period up to the default with which as few goals are missed as may be: a shorter one finds the dead sooner.
fn quickened(question: &Question) -> Sizing {
    let default = Config::default().sampling;
    let mut best = at(question, default.period, default.list);
    for period in PERIODS.map(Duration::from_secs_f64) {
        if best.missed() == 0 {
            break;
        }
        if period < default.period {
            let quicker = at(question, period, default.list);
            if quicker.missed() < best.missed() {
                best = quicker;
            }
        }
    }
    best
}

/// With this period, lists of at least so many, and of everything else as much as the goals need.
fn at(question: &Question, period: Duration, list: u8) -> Sizing {
    let mut config = Config::default();
    config.sampling.period = period;
    config.sampling.list = list;
    if config.sampling.push > usize::from(list) {
        config.sampling.push = list.into();
    }
    let share = |config: &Config| Steady::new(question, config).share;
    let mut held = share(&config);
    while held > question.byzantine + SHARE_ABOVE {
        // Where nodes come and go, more slots also hold more that have gone: then it is up to the next that helps.
        let next = more(question, &config)
            .into_iter()
            .map(|more| (share(&more), more))
            .find(|(less, _)| *less < held - NOTHING);
        let Some((less, more)) = next else { break };
        (config, held) = (more, less);
    }
    let needed = links(question, &config);
    config.neighbors.outbound = config.neighbors.outbound.max(needed);
    let steady = Steady::new(question, &config);
    pools(&mut config, &steady);
    Sizing::new(question, config)
}

/// Larger settings, those that cost least first.
fn more(question: &Question, config: &Config) -> Vec<Config> {
    let with = |change: &dyn Fn(&mut overlay::sampling::Config)| {
        let mut more = config.clone();
        change(&mut more.sampling);
        more
    };
    let now = &config.sampling;
    let mut all = Vec::new();
    if now.slots + SLOTS_STEP <= MOST_SLOTS {
        all.push(with(&|sampling| sampling.slots += SLOTS_STEP));
    }
    // With a budget the length of lists is chosen outside. Under a flood longer lists may help only from some length on, since callers
    // get what those who answer earn.
    if question.budget.is_none() {
        let longer = (now.list..=MAX_LIST as u8).step_by(usize::from(LIST_STEP));
        all.extend(
            longer
                .skip(1)
                .map(|list| with(&|sampling| sampling.list = list)),
        );
    }
    if now.exchanges_per_reset < MOST_PER_RESET {
        all.push(with(&|sampling| sampling.exchanges_per_reset += 1));
    }
    all
}

/// The least number of outbound neighbors with which nobody is cut off.
fn links(question: &Question, config: &Config) -> usize {
    // Nothing else of the steady state that counts here depends on them, and the pool of inbound links is made large enough afterwards.
    let steady = Steady::new(question, config);
    let enough = |outbound: &usize| {
        let mut steady = steady.clone();
        steady.outbound = (*outbound as f64).min(steady.members);
        Guarantees::new(question, &steady, config).cut_off <= CUT_OFF
    };
    // Nobody has more neighbors than there are others.
    let most = MOST_OUTBOUND.min(steady.members.ceil() as usize);
    (1..=most).find(enough).unwrap_or(most)
}

/// Room for the links of others: those of honest nodes are a Poisson number, six standard deviations of which are never exceeded; hostile
/// ones keep what they get. And beyond all links, for visits: those that come in the time of two, and the spare ones.
fn pools(config: &mut Config, steady: &Steady) {
    let neighbors = &mut config.neighbors;
    let expected = steady.outbound * steady.callers();
    let hostile = steady.kept * steady.hostile / steady.dialable;
    let most = expected + 6.0 * expected.sqrt() + hostile;
    neighbors.inbound = neighbors.inbound.max((most.ceil() as usize).min(4096));
    // A visit ends some 4 s after its dial, one that was only dialled to prove somebody as well.
    let calls = steady.visited + steady.assaulted + steady.refused + steady.visits;
    let visits = (2.0 * 4.0 * calls).ceil() as usize + SPARE_LINKS;
    let links = neighbors.outbound + neighbors.inbound + visits;
    neighbors.max_links = neighbors.max_links.max(links.next_multiple_of(64));
}
