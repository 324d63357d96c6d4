//! Running a scenario: who starts when, what happens when, what is measured when.

mod happen;
mod stays;
#[cfg(test)]
mod steady;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom as _;

use self::stays::{exponential, rest_of_stay, weibull};
use super::adversary::{Clique, Puppet};
use super::cast::Cast;
use super::crowd::Crowd;
use super::invariants::Checker;
use super::outcome::{Outcome, Progress};
use super::roles::{self, Roles};
use super::scenario::{Happening, Scenario, ScenarioError, Start};
use super::spread::Spread;
use super::watch::Watch;
use super::world::streams::{Purpose, WORLD, stream};
use super::world::{Player, Time, World};
use crate::input::{Command, Input, Now};

/// Hostile nodes bring together what they know this often, simulated seconds.
const CONSPIRE_S: f64 = 5.0;

/// Something the run does to the world.
#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    /// All start, warm.
    StartWarm,
    Happen(Happening),
    /// A new node by Poisson arrival; the next one follows.
    Arrive,
    /// Hostile nodes bring together what they know.
    Conspire,
    /// A session ends.
    Leave {
        host: usize,
        starts: u32,
        /// It says so first, and is gone when that is out.
        announced: bool,
    },
    Measure,
    /// A second has passed.
    Second,
    /// The message of this number is published.
    Publish(usize),
    /// Messages are measured from now on.
    Watch,
}

/// A node that says goodbye is gone after so long, seconds: as long as the daemon takes at most.
const LEAVE_S: f64 = 2.0;

/// One run under way.
#[derive(Debug)]
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    cast: Cast<'a>,
    pub(super) world: World,
    steps: BTreeMap<(Time, u64), Step>,
    number: u64,
    pub(super) watch: Watch,
    pub(super) checker: Checker,
    crashed: Vec<usize>,
    /// Whose clock has jumped, and by how many seconds.
    stepped: Vec<(usize, f64)>,
    fate: ChaCha12Rng,
    clique: Arc<Clique>,
    threads: usize,
    /// For those that start warm; empty where nobody does.
    crowd: Crowd,
    /// The messages, where any are published.
    spread: Option<Spread>,
}

/// Runs a scenario with one seed. `threads` changes how fast it runs and nothing else; `progress` hears of every measured moment.
///
/// # Errors
/// The scenario is not sound.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, ScenarioError> {
    scenario.check()?;
    let mut run = Run::new(scenario, seed, threads);
    run.plan();
    run.until(Time::from_seconds(scenario.duration_s), progress)?;
    Ok(run.finish())
}

impl<'a> Run<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64, threads: usize) -> Self {
        let cast = Cast::new(scenario, seed);
        let mut world = World::new(scenario, seed, threads);
        let honest = scenario.nodes - scenario.hostile();
        for index in 0..scenario.nodes {
            world.add(cast.who(index, index >= honest));
        }
        let mut fate = stream(seed, WORLD, Purpose::Fate);
        let mut victims: Vec<usize> = (scenario.seeds.min(honest)..honest).collect();
        victims.shuffle(&mut fate);
        victims.truncate(scenario.victims);
        let clique = Arc::new(roles::clique_of(scenario, &world, &victims));
        let crowd = match scenario.start {
            Start::Cold => Crowd::default(),
            Start::Warm => Crowd::of(&world),
        };
        Self {
            scenario,
            cast,
            world,
            steps: BTreeMap::new(),
            number: 0,
            watch: Watch::new(seed, victims.into_iter().collect::<BTreeSet<_>>()),
            checker: Checker::default(),
            crashed: Vec::new(),
            stepped: Vec::new(),
            fate,
            clique,
            threads: threads.max(1),
            crowd,
            spread: Spread::new(scenario, seed),
        }
    }

    /// Carries out everything that is due up to `end`, and lets time pass until then.
    pub(super) fn until(
        &mut self,
        end: Time,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), ScenarioError> {
        while let Some(entry) = self.steps.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), step) = entry.remove_entry();
            self.world.run_until(at);
            let measured = matches!(step, Step::Measure);
            self.step(step)?;
            if measured {
                progress(self.progress());
            }
        }
        self.world.run_until(end);
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress {
            simulated_s: self.world.time().seconds(),
            of_s: self.scenario.duration_s,
            events: self.world.events(),
            alive: self
                .world
                .hosts()
                .filter(|host| host.player().is_some())
                .count(),
        }
    }

    fn finish(mut self) -> Outcome {
        let mut outcome = self.watch.finish(&self.world, self.scenario, &self.checker);
        if let Some(spread) = self.spread {
            spread.finish(&mut self.world, &mut outcome);
        }
        outcome
    }

    fn at(&mut self, seconds: f64, step: Step) {
        self.number += 1;
        self.steps
            .insert((Time::from_seconds(seconds), self.number), step);
    }

    /// Everything that is known beforehand.
    pub(super) fn plan(&mut self) {
        let order = self.cast.start_order();
        let later = order.len().saturating_sub(self.scenario.seeds).max(1);
        if self.scenario.start == Start::Warm {
            self.at(0.0, Step::StartWarm);
        } else {
            for (place, index) in order.into_iter().enumerate() {
                let after = place.saturating_sub(self.scenario.seeds.saturating_sub(1)) as f64;
                let at = self.scenario.join_s * after / later as f64;
                self.at(at, Step::Start(index));
            }
        }
        for event in self.scenario.events.clone() {
            self.at(event.at_s, Step::Happen(event.what));
        }
        if self.scenario.joins_per_s > 0.0 {
            let wait = exponential(1.0 / self.scenario.joins_per_s, &mut self.fate);
            self.at(wait, Step::Arrive);
        }
        if roles::has_adversary(self.scenario) {
            self.at(0.0, Step::Conspire);
        }
        if let Some(spread) = &self.spread {
            let plan = spread.plan();
            let publish = plan.messages.iter().enumerate();
            let publish = publish.map(|(number, message)| (message.at, Step::Publish(number)));
            let steps = std::iter::once((plan.measured_from, Step::Watch)).chain(publish);
            for (at, step) in steps {
                self.number += 1;
                self.steps.insert((at, self.number), step);
            }
        }
        self.at(1.0, Step::Second);
        let every = self.scenario.measure_every_s;
        let moments = (self.scenario.duration_s / every).floor() as u64;
        for moment in 1..=moments {
            self.at(moment as f64 * every, Step::Measure);
        }
    }

    fn step(&mut self, step: Step) -> Result<(), ScenarioError> {
        let now = self.world.time().seconds();
        match step {
            Step::Start(index) => self.start(index)?,
            Step::StartWarm => self.start_warm()?,
            Step::Happen(what) => self.happen(what)?,
            Step::Arrive => {
                let index = self.world.len();
                let who = self.cast.who(index, false);
                self.world.add(who);
                self.start(index)?;
                let wait = exponential(1.0 / self.scenario.joins_per_s, &mut self.fate);
                self.at(now + wait, Step::Arrive);
            }
            Step::Leave {
                host,
                starts,
                announced,
            } => {
                let same = self.world.host(host).starts() == starts;
                if same && announced {
                    self.say_goodbye(host);
                } else if same {
                    self.world.crash(host);
                }
            }
            Step::Conspire => {
                self.conspire();
                self.at(now + CONSPIRE_S, Step::Conspire);
            }
            Step::Measure => self.measure(),
            Step::Second => {
                self.watch.second(&self.world, self.scenario);
                if let Some(spread) = &mut self.spread {
                    spread.gather(&mut self.world);
                }
                self.at(now + 1.0, Step::Second);
            }
            Step::Publish(number) => {
                if let Some(spread) = &self.spread {
                    spread.publish(number, &mut self.world);
                }
            }
            Step::Watch => {
                if let Some(spread) = &mut self.spread {
                    spread.begin(&mut self.world);
                }
            }
        }
        Ok(())
    }

    /// Takes figures and looks at all invariants.
    pub(super) fn measure(&mut self) {
        self.watch.measure(&mut self.world, self.scenario);
        self.checker
            .inspect(&mut self.world, self.scenario, self.watch.ids());
    }

    /// Starts a host, unless it is up, with what its disk holds.
    pub(super) fn start(&mut self, index: usize) -> Result<(), ScenarioError> {
        if self.world.host(index).player().is_some() {
            return Ok(());
        }
        let player = self.player(index)?;
        self.start_with(index, player);
        Ok(())
    }

    /// Starts everybody at once. What each has heard of is much to rank, so they are made on as many threads as the run has.
    fn start_warm(&mut self) -> Result<(), ScenarioError> {
        let all: Vec<usize> = (0..self.world.len()).collect();
        let part = all.len().div_ceil(self.threads).max(1);
        let run = &*self;
        let made: Vec<Result<Vec<Player>, ScenarioError>> = std::thread::scope(|scope| {
            let making: Vec<_> = all
                .chunks(part)
                .map(|part| {
                    scope.spawn(move || part.iter().map(|index| run.player(*index)).collect())
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(players) => players,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            making.into_iter().map(join).collect()
        });
        let mut index = 0;
        for players in made {
            for player in players? {
                self.start_with(index, player);
                index += 1;
            }
        }
        Ok(())
    }

    fn start_with(&mut self, index: usize, player: Player) {
        self.world.start(index, player);
        let mean = self.scenario.session_mean_s;
        if mean > 0.0 && index >= self.scenario.seeds && !self.world.host(index).who().hostile {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let mut life = stream(self.world.seed(), number, Purpose::Life);
            let starts = self.world.host(index).starts();
            let shape = self.scenario.session_shape;
            // Those who are there from the beginning have been for a while: else most of them would be gone soon, where many stays are short.
            let session = if index < self.scenario.nodes && starts == 1 {
                rest_of_stay(mean, shape, &mut life)
            } else {
                weibull(mean, shape, &mut life)
            };
            let share = self.scenario.announced;
            let announced = share > 0.0 && life.random::<f64>() < share;
            let now = self.world.time().seconds();
            self.at(
                now + session,
                Step::Leave {
                    host: index,
                    starts,
                    announced,
                },
            );
        }
    }

    /// A node leaves as one that is told to stop.
    fn say_goodbye(&mut self, host: usize) {
        self.world.tell(host, Input::Command(Command::Leave));
        let now = self.world.time().seconds();
        let starts = self.world.host(host).starts();
        self.at(
            now + LEAVE_S,
            Step::Leave {
                host,
                starts,
                announced: false,
            },
        );
    }

    /// Brings together what hostile nodes have heard.
    fn conspire(&mut self) {
        let mut heard = Vec::new();
        for index in 0..self.world.len() {
            if let Some(puppet) = self.puppet(index) {
                heard.append(&mut puppet.take_heard());
            }
        }
        let now = self.world.now();
        let clique = Arc::make_mut(&mut self.clique);
        clique.renew(now);
        clique.learn(heard);
        let clique = self.clique.clone();
        for index in 0..self.world.len() {
            if let Some(puppet) = self.puppet(index) {
                puppet.share(&clique);
            }
        }
    }

    fn puppet(&mut self, index: usize) -> Option<&mut Puppet> {
        match self.world.player_mut(index)? {
            Player::Other(actor) => actor.as_any().downcast_mut(),
            Player::Node(_) => None,
        }
    }

    fn player(&self, index: usize) -> Result<Player, ScenarioError> {
        self.player_at(index, self.world.now_at(index))
    }

    /// The player of a host whose clock shows `now` when it starts.
    pub(in crate::sim) fn player_at(
        &self,
        index: usize,
        now: Now,
    ) -> Result<Player, ScenarioError> {
        let roles = Roles {
            scenario: self.scenario,
            cast: &self.cast,
            world: &self.world,
            clique: &self.clique,
            crowd: &self.crowd,
        };
        roles.player(index, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::Adversary;

    fn outcome(scenario: &Scenario, seed: u64, threads: usize) -> Outcome {
        run(scenario, seed, threads, &mut |_| {}).expect("a sound scenario")
    }

    /// Everything at once: loss, duplicates, reordering, a partition, crashes that start again, a stall, joins, hostile nodes.
    fn rough() -> Scenario {
        let event = |at_s, what| super::super::scenario::Event { at_s, what };
        Scenario {
            nodes: 20,
            byzantine: 0.2,
            adversary: Adversary::Flood,
            force: 3.0,
            duration_s: 50.0,
            measure_every_s: 10.0,
            join_s: 2.0,
            loss: 0.02,
            duplicate: 0.02,
            reorder: 0.05,
            joins_per_s: 0.05,
            events: vec![
                event(10.0, Happening::Crash { fraction: 0.2 }),
                event(
                    15.0,
                    Happening::Stall {
                        fraction: 0.2,
                        for_s: 3.0,
                    },
                ),
                event(
                    20.0,
                    Happening::Partition {
                        groups: vec![0.5, 0.5],
                        one_way: false,
                    },
                ),
                event(30.0, Happening::Heal),
                event(31.0, Happening::Restart),
            ],
            ..Scenario::default()
        }
    }

    #[test]
    fn a_run_repeats_exactly_however_many_threads_it_has() {
        let scenario = rough();
        let one = outcome(&scenario, 7, 1);
        assert!(one.events > 1000, "{}", one.events);
        for threads in [1, 2, 3] {
            assert_eq!(outcome(&scenario, 7, threads), one, "{threads} threads");
        }
        assert_ne!(outcome(&scenario, 8, 1).event_hash, one.event_hash);
    }

    #[test]
    fn a_network_joins_and_survives_crashes() {
        let event = |at_s, what| super::super::scenario::Event { at_s, what };
        let scenario = Scenario {
            nodes: 30,
            duration_s: 120.0,
            measure_every_s: 5.0,
            join_s: 2.0,
            events: vec![event(20.0, Happening::Crash { fraction: 0.5 })],
            ..Scenario::default()
        };
        let outcome = outcome(&scenario, 1, 1);
        let metric = |name: &str| outcome.metrics[name];
        assert_eq!(metric("alive"), 15.0);
        assert_eq!(metric("largest_component"), 1.0);
        assert_eq!(metric("isolated"), 0.0);
        assert!(metric("links_min") >= 3.0, "{}", metric("links_min"));
        assert!(metric("heal_seconds") <= 60.0, "{}", metric("heal_seconds"));
    }

    #[test]
    fn who_floods_gets_no_more_than_its_share_of_the_memory() {
        let scenario = Scenario {
            nodes: 40,
            byzantine: 0.25,
            adversary: Adversary::Flood,
            force: 10.0,
            duration_s: 120.0,
            measure_every_s: 30.0,
            join_s: 2.0,
            ..Scenario::default()
        };
        let outcome = outcome(&scenario, 1, 2);
        let share = outcome.metrics["share"];
        // 256 slots over 40 nodes: all are known, and the rest is the chance of the draw.
        assert!((0.15..=0.35).contains(&share), "share {share}");
        assert_eq!(outcome.metrics["isolated"], 0.0);
    }

    #[test]
    fn who_starts_warm_knows_a_fair_draw_of_all_and_stays_that_way() {
        let scenario = Scenario {
            nodes: 200,
            byzantine: 0.2,
            adversary: Adversary::Flood,
            force: 10.0,
            start: Start::Warm,
            duration_s: 60.0,
            measure_every_s: 5.0,
            ..Scenario::default()
        };
        let outcome = outcome(&scenario, 1, 2);
        assert_eq!(
            outcome.event_hash,
            self::outcome(&scenario, 1, 1).event_hash
        );
        let first = |name: &str| outcome.series[name][0].1;
        assert_eq!(first("slots_filled"), 256.0);
        for share in [first("share"), outcome.metrics["share"]] {
            // 160 nodes of 256 draws: the standard error is .002, what they have in common apart.
            assert!((0.18..=0.22).contains(&share), "share {share}");
        }
        let spread = outcome.metrics["in_degree_variance_ratio"];
        assert!((0.7..=1.4).contains(&spread), "{spread}");
        let size = outcome.metrics["size_ratio"];
        assert!((0.9..=1.1).contains(&size), "{size}");
        assert_eq!(outcome.metrics["isolated"], 0.0);
        assert_eq!(outcome.metrics["largest_component"], 1.0);
        assert!(outcome.metrics["links_min"] >= 10.0);
        assert_eq!(outcome.metrics["violations"], 0.0);
        // No fast start: an exchange in ten seconds, and few dials for what is new.
        let dials = outcome.counters["peers.dials"];
        assert!(dials <= 60.0, "{dials} dials");
    }
}
