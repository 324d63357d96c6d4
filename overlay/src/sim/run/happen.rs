//! What a description says happens, done to the world.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::{Run, Step};
use crate::sim::scenario::{Happening, ScenarioError};
use crate::sim::world::Doom;

impl Run<'_> {
    pub(super) fn happen(&mut self, what: Happening) -> Result<(), ScenarioError> {
        match what {
            Happening::Crash { fraction } => {
                for index in self.draw(fraction) {
                    self.world.crash(index);
                    self.crashed.push(index);
                }
            }
            Happening::Leave { fraction } => {
                for index in self.draw(fraction) {
                    self.say_goodbye(index);
                    self.crashed.push(index);
                }
            }
            Happening::CrashInCommit { fraction } => {
                for index in self.draw(fraction) {
                    let doom = if self.fate.random() {
                        Doom::Before
                    } else {
                        Doom::After
                    };
                    self.world.doom(index, Some(doom));
                    self.crashed.push(index);
                }
            }
            Happening::Restart => {
                for index in std::mem::take(&mut self.crashed) {
                    self.world.doom(index, None);
                    self.start(index)?;
                }
            }
            Happening::Stall { fraction, for_s } => {
                for index in self.draw(fraction) {
                    self.world.stall(index, Duration::from_secs_f64(for_s));
                }
            }
            Happening::Slow {
                fraction,
                for_s,
                by_s,
            } => {
                for index in self.draw(fraction) {
                    let [span, by] = [for_s, by_s].map(Duration::from_secs_f64);
                    self.world.slow(index, span, by);
                }
            }
            Happening::Lossy { fraction, loss } => {
                for index in self.draw(fraction) {
                    self.world.lose(index, loss);
                }
            }
            Happening::SeedsDie => {
                for index in 0..self.scenario.seeds {
                    self.world.crash(index);
                }
            }
            Happening::Clock { fraction, by_s } => {
                for index in self.draw(fraction) {
                    self.world.step_clock(index, (by_s * 1e3) as i64);
                    self.stepped.push((index, by_s));
                }
            }
            Happening::ClocksRight => {
                for (index, by_s) in std::mem::take(&mut self.stepped) {
                    self.world.step_clock(index, -(by_s * 1e3) as i64);
                }
            }
            Happening::Move { fraction } => {
                for index in self.draw(fraction) {
                    let addr = self.free_address();
                    self.world.move_to(index, addr);
                }
            }
            Happening::Outage { share } => self.world.split_pairs(share),
            Happening::Partition { groups, one_way } => {
                let mut group = Vec::with_capacity(self.world.len());
                for _ in 0..self.world.len() {
                    let mut draw: f64 = self.fate.random();
                    let mut mine = 0;
                    for part in &groups {
                        if draw < *part {
                            break;
                        }
                        draw -= part;
                        mine += 1;
                    }
                    group.push(u8::try_from(mine.min(groups.len() - 1)).unwrap_or(u8::MAX));
                }
                self.world.split(group, one_way);
            }
            Happening::Heal => self.world.heal(),
            Happening::Join { nodes, over_s } => {
                let now = self.world.time().seconds();
                for n in 0..nodes {
                    let index = self.world.len();
                    let who = self.cast.who(index, false);
                    self.world.add(who);
                    self.at(now + over_s * n as f64 / nodes as f64, Step::Start(index));
                }
            }
        }
        Ok(())
    }

    /// An address that nobody has, in a prefix of its own.
    fn free_address(&mut self) -> std::net::SocketAddr {
        loop {
            let [a, b, c]: [u8; 3] = self.fate.random();
            // As those of worlds where prefixes do not count; 198 is in no other use here.
            let addr = std::net::SocketAddr::from(([198, a, b, c], 4100));
            if self.world.at(&addr).is_none() {
                return addr;
            }
        }
    }

    /// A fraction of the honest nodes that are up, at random.
    fn draw(&mut self, fraction: f64) -> Vec<usize> {
        let mut up: Vec<usize> = self
            .world
            .hosts()
            .filter(|host| host.is_honest())
            .map(|host| host.index() as usize)
            .collect();
        up.shuffle(&mut self.fate);
        up.truncate((up.len() as f64 * fraction).round() as usize);
        up
    }
}
