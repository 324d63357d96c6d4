//! A node of Cyclon or of the push-pull framework in a simulated world.
//!
//! It speaks the node's own wire: a shuffle is an exchange whose request brings the caller's record, signed for this shuffle, and its list,
//! and whose reply brings the list of the called. A record's date is an entry's age, so that, unlike in the papers, nobody can make
//! another's entry younger. Nothing else is made safer than it was published.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{NetworkId, PeerId, VerdictMemo};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use super::cyclon::{Cyclon, Sent};
use super::descriptors::{Descriptors, Held};
use super::framework::{Framework, Kind};
use super::{Entry, Shuffle};
use crate::action::Action;
use crate::input::{Input, LinkId, Now};
use crate::neighbors::Code;
use crate::sim::adversary::Clique;
use crate::sim::talk::{Said, Talk};
use crate::sim::world::{Actor, Known};
use crate::wire::{ExchangeReply, ExchangeRequest, Purpose};

/// Which protocol it is, and with which parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Rules {
    Cyclon {
        /// Entries in a view (c).
        size: usize,
        /// Entries exchanged (l).
        exchange: usize,
        /// When it stops knowing what it sends.
        sent: Sent,
    },
    Framework(Kind),
}

#[derive(Debug)]
enum State {
    Cyclon(Cyclon),
    Framework(Framework),
}

/// A shuffle that this node began.
#[derive(Debug)]
struct Call {
    shuffle: Shuffle,
    peer: PeerId,
    link: Option<LinkId>,
}

/// A node of one of the shuffling protocols.
#[derive(Debug)]
pub(in crate::sim) struct Shuffler {
    talk: Talk,
    rules: Rules,
    state: State,
    descriptors: Descriptors,
    contacts: Vec<(PeerId, SocketAddr)>,
    /// A hostile node of Cyclon that conforms but for its choices: it forgets who is not of the clique, and names those who are first.
    bias: Option<Arc<Clique>>,
    rng: ChaCha12Rng,
    period: Duration,
    next: Instant,
    call: Option<Call>,
    answered: u64,
}

impl Shuffler {
    /// A node that knows `contacts` at first and begins a shuffle every `period`, at a random moment of it.
    #[expect(clippy::too_many_arguments, reason = "what a node is made of")]
    pub(in crate::sim) fn new(
        talk: Talk,
        rules: Rules,
        network: NetworkId,
        memo: Arc<VerdictMemo>,
        contacts: Vec<(PeerId, SocketAddr)>,
        bias: Option<Arc<Clique>>,
        period: Duration,
        mut rng: ChaCha12Rng,
        now: Now,
    ) -> Self {
        let mut descriptors = Descriptors::new(talk.me(), network, memo, period);
        let state = begin_with(rules, &contacts, &mut descriptors);
        let next = now.mono + period.mul_f64(rng.random());
        Self {
            talk,
            rules,
            state,
            descriptors,
            contacts,
            bias,
            rng,
            period,
            next,
            call: None,
            answered: 0,
        }
    }

    fn entries(&self) -> &[Entry] {
        match &self.state {
            State::Cyclon(node) => node.view(),
            State::Framework(node) => node.view(),
        }
    }

    /// The round begins.
    fn tick(&mut self, now: Now) {
        self.next += self.period;
        if self.call.is_some() {
            match self.rules {
                // "Q is dead": who has not answered within a round is given up; its entry went when it was called.
                Rules::Cyclon { .. } => self.give_up(),
                // The active thread of the paper waits for the answer, without a bound.
                Rules::Framework(_) => return,
            }
        }
        if let (Some(clique), State::Cyclon(node)) = (&self.bias, &mut self.state) {
            let descriptors = &self.descriptors;
            node.retain(|id| is_of(clique, descriptors, id));
        }
        if self.entries().is_empty() {
            self.state = begin_with(self.rules, &self.contacts, &mut self.descriptors);
        }
        let Some(shuffle) = self.begin() else { return };
        let Some(Held { peer, addr, .. }) = self.descriptors.get(shuffle.to).cloned() else {
            return;
        };
        // The entry of itself that goes along is new.
        self.talk.issue(now);
        let link = None;
        self.call = Some(Call {
            shuffle,
            peer,
            link,
        });
        if !self.talk.dial(peer, addr, Purpose::Visit) {
            self.unanswered();
        }
    }

    fn begin(&mut self) -> Option<Shuffle> {
        let (bias, descriptors) = (&self.bias, &self.descriptors);
        let prefer = |id| bias.as_ref().is_some_and(|c| is_of(c, descriptors, id));
        match &mut self.state {
            State::Cyclon(node) => node.begin(prefer, &mut self.rng),
            State::Framework(node) => node.begin(&mut self.rng),
        }
    }

    fn give_up(&mut self) {
        if let Some(link) = self.call.take().and_then(|call| call.link) {
            self.talk.close(link, Code::Timeout);
        }
    }

    /// The call came to nothing.
    fn unanswered(&mut self) {
        self.call = None;
        if let State::Framework(node) = &mut self.state {
            node.finish(&[], &mut self.rng);
        }
    }

    fn said(&mut self, said: Said, now: Now) {
        match said {
            Said::Opened { link, peer, record } => {
                let theirs = !self.talk.is_ours(link);
                match &mut self.call {
                    _ if theirs => {}
                    Some(call) if call.peer == peer => {
                        call.link = Some(link);
                        let list = self.descriptors.items(&call.shuffle.list);
                        let want = u8::try_from(call.shuffle.list.len()).unwrap_or(u8::MAX);
                        self.talk.ask(link, want.max(1), list, now);
                        self.descriptors.take(record, now);
                    }
                    // It was given up meanwhile.
                    _ => self.talk.close(link, Code::Idle),
                }
            }
            Said::Asked { link, request } => self.asked(link, *request, now),
            Said::Answered { link, reply } => self.replied(link, *reply, now),
            Said::Failed { peer } => {
                if self.call.as_ref().is_some_and(|call| call.peer == peer) {
                    self.unanswered();
                }
            }
            Said::Closed { link } => {
                let ours = |call: &Call| call.link == Some(link);
                if self.call.as_ref().is_some_and(ours) {
                    self.unanswered();
                }
            }
        }
    }

    fn asked(&mut self, link: LinkId, request: ExchangeRequest, now: Now) {
        let listed = request.list.iter().map(|item| item.record.clone());
        let records = std::iter::once(request.record.clone()).chain(listed);
        let list = self.descriptors.take_all(records, now);
        let (bias, descriptors) = (&self.bias, &self.descriptors);
        let prefer = |id| bias.as_ref().is_some_and(|c| is_of(c, descriptors, id));
        let reply = match &mut self.state {
            State::Cyclon(node) => node.answer(&list, prefer, &mut self.rng),
            State::Framework(node) => {
                // Its answer brings a new entry of itself too.
                self.talk.issue(now);
                node.answer(&list, &mut self.rng)
            }
        };
        let items = self.descriptors.items(&reply);
        self.talk.answer(link, items, now);
    }

    fn replied(&mut self, link: LinkId, reply: ExchangeReply, now: Now) {
        self.talk.close(link, Code::Idle);
        let Some(call) = self.call.take_if(|call| call.link == Some(link)) else {
            return;
        };
        self.answered += 1;
        let listed = reply.list.iter().map(|item| item.record.clone());
        match &mut self.state {
            State::Cyclon(node) => {
                let list = self.descriptors.take_all(listed, now);
                node.finish(&call.shuffle, &list);
            }
            State::Framework(node) => {
                let records = std::iter::once(reply.record.clone()).chain(listed);
                let list = self.descriptors.take_all(records, now);
                node.finish(&list, &mut self.rng);
            }
        }
    }

    /// Forgets the records that no entry needs any more.
    fn tidy(&mut self) {
        let mut used: Vec<u32> = self.entries().iter().map(|entry| entry.id).collect();
        if let Some(call) = &self.call {
            used.push(call.shuffle.to);
            used.extend(call.shuffle.list.iter().map(|entry| entry.id));
        }
        self.descriptors.keep(|id| used.contains(&id));
    }
}

fn begin_with(
    rules: Rules,
    contacts: &[(PeerId, SocketAddr)],
    descriptors: &mut Descriptors,
) -> State {
    let contacts = contacts.iter();
    let met = contacts.map(|(peer, addr)| descriptors.meet(*peer, *addr));
    match rules {
        Rules::Cyclon {
            size,
            exchange,
            sent,
        } => State::Cyclon(Cyclon::new(Descriptors::ME, size, exchange, sent, met)),
        Rules::Framework(kind) => State::Framework(Framework::new(Descriptors::ME, kind, met)),
    }
}

fn is_of(clique: &Clique, descriptors: &Descriptors, id: u32) -> bool {
    let held = descriptors.get(id);
    held.is_some_and(|held| clique.is_member(&held.peer))
}

impl Actor for Shuffler {
    fn handle(&mut self, now: Now, input: Input) {
        let said = self.talk.handle(now, input);
        let due = self.next <= now.mono;
        let changes = due || said.is_some();
        if let Some(said) = said {
            self.said(said, now);
        }
        if due {
            self.tick(now);
        }
        if changes {
            self.tidy();
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.talk.poll_action()
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn view(&self) -> Vec<Known> {
        let held = self.entries().iter();
        held.filter_map(|entry| self.descriptors.get(entry.id))
            .map(|held| held.known(1))
            .collect()
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
