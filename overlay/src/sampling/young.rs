//! The fast start of a node that knows nobody: quick exchanges, several at a time, until they bring little that is new.
//!
//! Of a thousand peers named one after the other, several hundred would win a slot when they are named, but few keep it. So the
//! fast start gathers before it dials: its hopes are ranked among each other, and who has been outranked before its turn comes is
//! not dialled.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crypto::PeerId;
use rand::RngExt as _;

use super::memory::Memory;
use super::{Config, Sampling};
use crate::cx::Cx;
use crate::peers::{Book, Marks};

/// The fast start.
#[derive(Debug)]
pub(super) struct Young {
    since: Option<Instant>,
    /// Answers in a row that brought nothing new.
    barren: u32,
    /// What each of the last answers brought, the newest last: candidates that would win a slot, and peers proven to have won one since
    /// the answer before. Liars can name candidates for ever, so only the proven keep the fast start going.
    yields: VecDeque<(u32, u32)>,
    /// Peers that won a slot since the last answer.
    winners: u32,
    /// The memory as it would be if everyone heard of were proven, under the same seeds. A hope that fails leaves its slots to others.
    hopes: Memory,
}

impl Young {
    /// With the proven members of `memory`.
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            since: None,
            barren: 0,
            yields: VecDeque::new(),
            winners: 0,
            hopes: memory.clone(),
        }
    }

    /// The first question has been asked.
    pub(super) fn begun(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether a peer of these marks would win a slot from all who are proven or hoped for.
    pub(super) fn would_win(&self, marks: &Marks) -> bool {
        self.hopes.would_win(marks)
    }

    /// A peer became a candidate.
    pub(super) fn hope(&mut self, peer: PeerId, addr: SocketAddr, marks: &Marks) {
        self.hopes.offer(peer, addr, marks);
    }

    /// A peer has been proven, whether hoped for or not, and has won so many slots of the memory.
    pub(super) fn proven(&mut self, peer: PeerId, addr: SocketAddr, marks: &Marks, won: usize) {
        self.winners += u32::from(won > 0);
        if self.hopes.addr_of(&peer).is_some_and(|old| old != addr) {
            self.hopes.remove(&peer);
        }
        self.hopes.offer(peer, addr, marks);
    }

    /// Whether a candidate still holds a slot or a place in the census among the hopes.
    pub(super) fn hopes_for(&self, peer: &PeerId) -> bool {
        self.hopes.counts(peer)
    }

    /// Hopes that are neither proven nor candidates any more leave their slots to the proven.
    pub(super) fn give_up_lost(&mut self, book: &Book) {
        let lost = self
            .hopes
            .counted()
            .into_iter()
            .filter(|peer| book.version_of(peer.as_bytes()).is_none());
        for peer in lost {
            self.hopes.remove(&peer);
        }
        if self.hopes.needs_refill() {
            self.hopes.refill(book.proven_peers());
        }
    }

    fn answered(&mut self, found: u32, config: &Config) {
        self.barren = if found == 0 { self.barren + 1 } else { 0 };
        self.yields
            .push_back((found, std::mem::take(&mut self.winners)));
        while self.yields.len() > config.settle_answers.max(1) {
            self.yields.pop_front();
        }
    }

    fn is_settled(&self, config: &Config) -> bool {
        self.yields.len() >= config.settle_answers.max(1)
            && self.yields.iter().map(|(_, won)| won).sum::<u32>() < config.settle_won
    }

    /// Whether every link that opens is worth a question: the last answers brought a candidate or more each.
    pub(super) fn is_rich(&self) -> bool {
        let found = self.yields.iter().map(|(found, _)| *found as usize);
        found.sum::<usize>() >= self.yields.len()
    }
}

impl Sampling {
    /// Whether a peer of these marks would win a slot, or a place in the census, were it proven; while young, from those hoped for too.
    pub(super) fn would_win(&self, marks: &Marks) -> bool {
        match &self.young {
            Some(young) => young.would_win(marks),
            None => self.view.memory.would_win(marks),
        }
    }

    pub(super) fn begin_again(&mut self, cx: &mut Cx<'_>) {
        if self.young.is_none() {
            cx.stats.sampling.young_again += 1;
        }
        self.young = Some(Young::new(&self.view.memory));
    }

    /// An answer brought `found` candidates that would win: whether the fast start goes on, or begins anew.
    pub(super) fn judge_yield(&mut self, found: usize, cx: &mut Cx<'_>) {
        let config = &cx.config.sampling;
        cx.stats.sampling.barren += u64::from(found == 0);
        if let Some(young) = &mut self.young {
            young.answered(u32::try_from(found).unwrap_or(u32::MAX), config);
            return;
        }
        let rested = self
            .was_young
            .is_none_or(|at| cx.now.mono.saturating_duration_since(at) >= config.young_again);
        if rested && found >= (self.view.len() / 4).max(4) {
            self.begin_again(cx);
        }
    }

    /// Ends the fast start when it is over.
    pub(super) fn age(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let config = &cx.config.sampling;
        let Some(young) = &self.young else { return };
        let Some(since) = young.since else { return };
        let age = cx.now.mono.saturating_duration_since(since);
        let settled = young.is_settled(config) && age >= config.young_least;
        if settled || age >= config.young_most {
            self.young = None;
            self.was_young = Some(cx.now.mono);
            self.view.settled = Some(cx.now.mono);
            book.set_young(book.proven_len() < config.tiny);
        }
    }

    pub(super) fn next_tick(&self, cx: &mut Cx<'_>) -> Instant {
        let config = &cx.config.sampling;
        let mean = match &self.young {
            Some(young) => (config.fast_period * (1 + young.barren.min(64))).min(config.period),
            None => config.period,
        };
        cx.now.mono + mean.mul_f64(cx.rng.random_range(0.5..1.5))
    }
}
