//! One hostile node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{PeerId, Signed};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::index::sample;

use super::Clique;
use crate::action::Action;
use crate::input::{Input, Now};
use crate::neighbors::Code;
use crate::sim::scenario::Adversary;
use crate::sim::talk::{Said, Talk};
use crate::sim::world::Actor;
use crate::wire::{ListItem, MAX_LIST, PeerRecord, Purpose};

/// Links kept as a neighbor, beside those that others asked for.
pub const KEPT: usize = 64;
/// One call in so many asks to become a neighbor.
const NEIGHBOR_EVERY: u32 = 4;
/// Records heard and not yet brought to the clique.
const MAX_HEARD: usize = 256;

/// What a hostile node does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Which attack.
    pub attack: Adversary,
    /// Exchanges started per `period`.
    pub force: f64,
    /// The period of honest nodes.
    pub period: Duration,
    /// It behaves until then.
    pub from: Instant,
    /// Records handed on with a call.
    pub push: usize,
}

/// One hostile node.
#[derive(Debug)]
pub struct Puppet {
    talk: Talk,
    plan: Plan,
    clique: Arc<Clique>,
    rng: ChaCha12Rng,
    next_call: Instant,
    contacts: Vec<(PeerId, SocketAddr)>,
    heard: Vec<Signed<PeerRecord>>,
}

impl Puppet {
    /// A hostile node that knows `contacts` at first.
    #[must_use]
    pub(in crate::sim) fn new(
        talk: Talk,
        plan: Plan,
        clique: Arc<Clique>,
        contacts: Vec<(PeerId, SocketAddr)>,
        mut rng: ChaCha12Rng,
        now: Now,
    ) -> Self {
        let wait = plan.period.mul_f64(rng.random());
        Self {
            talk,
            plan,
            clique,
            rng,
            next_call: now.mono + wait,
            contacts,
            heard: Vec::new(),
        }
    }

    /// Takes what it heard and gives it what all know.
    pub fn share(&mut self, clique: &Arc<Clique>) {
        self.clique = clique.clone();
    }

    /// What it heard since it was last asked.
    pub fn take_heard(&mut self) -> Vec<Signed<PeerRecord>> {
        std::mem::take(&mut self.heard)
    }

    /// What it does now.
    fn attack(&self, now: Now) -> Adversary {
        match self.plan.attack {
            Adversary::Delayed if now.mono < self.plan.from => Adversary::Honest,
            Adversary::Delayed => Adversary::Flood,
            _ if now.mono < self.plan.from => Adversary::Honest,
            attack => attack,
        }
    }

    fn hear(&mut self, record: &Signed<PeerRecord>) {
        if self.heard.len() < MAX_HEARD {
            self.heard.push(record.clone());
        }
    }

    /// The records that it names.
    fn list(&mut self, want: usize, now: Now) -> Vec<ListItem> {
        let want = want.min(MAX_LIST);
        let clique = self.clique.clone();
        match self.attack(now) {
            Adversary::Refuse => Vec::new(),
            Adversary::Replay => self.draw(&clique.old, want),
            Adversary::AddressPoison | Adversary::Invent => self.draw(&clique.invented, want),
            // Good manners: what it knows, in the proportion in which it knows it.
            Adversary::Honest => {
                let (own, others) = (clique.own.len(), clique.latest.len());
                let mine = want * own / (own + others).max(1);
                let mut list = self.draw(&clique.own, mine);
                list.extend(self.draw(&clique.latest, want - mine));
                list
            }
            Adversary::Flood
            | Adversary::Lie
            | Adversary::SilentBias
            | Adversary::Targeted
            | Adversary::Delayed
            // These are takers and name nobody.
            | Adversary::Silent
            | Adversary::Bait
            | Adversary::Leech
            | Adversary::Accuse
            | Adversary::PlayDead => self.draw(&clique.own, want),
        }
    }

    /// So many of them in random order.
    fn draw(&mut self, from: &[ListItem], want: usize) -> Vec<ListItem> {
        let drawn = sample(&mut self.rng, from.len(), want.min(from.len()));
        drawn.into_iter().map(|at| from[at].clone()).collect()
    }

    fn call(&mut self, now: Now) {
        let attack = self.attack(now);
        let target = match attack {
            Adversary::Targeted => pick(&self.clique.victims, &mut self.rng),
            _ => pick(&self.clique.targets, &mut self.rng),
        };
        let target = target.or_else(|| pick(&self.contacts, &mut self.rng));
        let force = match attack {
            Adversary::Flood | Adversary::Targeted => self.plan.force,
            _ => 1.0,
        };
        let wait = self.plan.period.div_f64(force.max(1e-3));
        self.next_call = now.mono + wait.mul_f64(self.rng.random_range(0.5..1.5));
        let Some((peer, addr)) = target else { return };
        let kept = self
            .talk
            .partners
            .values()
            .filter(|partner| partner.ours && partner.purpose == Purpose::Neighbor)
            .count();
        let neighbor = kept < KEPT && self.rng.random_ratio(1, NEIGHBOR_EVERY);
        let purpose = if neighbor {
            Purpose::Neighbor
        } else {
            Purpose::Visit
        };
        if self.talk.dialing() < 64 {
            self.talk.dial(peer, addr, purpose);
        }
    }

    fn said(&mut self, said: Said, now: Now) {
        match said {
            Said::Opened { link, record, .. } => {
                self.hear(&record);
                if self.talk.is_ours(link) {
                    let push = self.list(self.plan.push, now);
                    let want = MAX_LIST as u8;
                    self.talk.ask(link, want, push, now);
                }
            }
            Said::Asked { link, request } => {
                self.hear(&request.record);
                if self.attack(now) != Adversary::Refuse {
                    let list = self.list(request.want.into(), now);
                    self.talk.answer(link, list, now);
                }
            }
            Said::Answered { link, reply } => {
                for item in reply.list.iter() {
                    self.hear(&item.record);
                }
                let visit = self
                    .talk
                    .partners
                    .get(&link)
                    .is_some_and(|partner| partner.purpose == Purpose::Visit);
                if visit {
                    self.talk.close(link, Code::Idle);
                }
            }
            Said::Failed { .. } | Said::Closed { .. } => {}
        }
    }
}

fn pick(from: &[(PeerId, SocketAddr)], rng: &mut ChaCha12Rng) -> Option<(PeerId, SocketAddr)> {
    (!from.is_empty()).then(|| from[rng.random_range(0..from.len())])
}

impl Actor for Puppet {
    fn handle(&mut self, now: Now, input: Input) {
        if let Some(said) = self.talk.handle(now, input) {
            self.said(said, now);
        }
        if self.next_call <= now.mono {
            self.call(now);
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.talk.poll_action()
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next_call)
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
