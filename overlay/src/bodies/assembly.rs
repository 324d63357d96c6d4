//! One body on its way: its chunks, who has it, and who was asked for what.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::Manifest;

use super::{Has, Holding, Wanted};
use crate::input::LinkId;
use crate::messages::Arrival;

/// The least wait for bulk: its chunks come behind those of other copies in somebody's uplink. A guess: 20 chunks of 32 KiB at
/// 10 Mbit/s.
const BULK_PATIENCE: Duration = Duration::from_millis(600);

/// Somebody who has the header, or more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) link: LinkId,
    pub(super) has: Has,
    pub(super) hops: Option<u8>,
    /// How often it was asked.
    pub(super) tried: u8,
    /// It kept us waiting.
    pub(super) late: bool,
    /// It turned us away, and is not to be asked again before.
    pub(super) busy: Option<Instant>,
    /// Chunks it brought.
    pub(super) brought: u32,
}

/// An open subscription of ours.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) link: LinkId,
    pub(super) chunks: Range<usize>,
    pub(super) at: Instant,
    /// When it is late unless something comes.
    pub(super) look: Instant,
    /// Since when the link must have delivered anything to count as busy.
    pub(super) checked: Instant,
    /// Chunks may be on the link already.
    pub(super) under_way: bool,
    /// Chunks it brought.
    pub(super) brought: u32,
    /// How often it was waited for because its link was busy.
    pub(super) waits: u8,
    pub(super) late: bool,
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) arrival: Arrival,
    pub(super) manifest: Manifest,
    /// In how many steps the header came here.
    pub(super) hops: u8,
    /// Few copies of it leave a node at once.
    pub(super) bulk: bool,
    /// When somebody first turned us away.
    pub(super) refused: Option<Instant>,
    /// The frames of its chunks, as they came. None while it waits for memory.
    frames: Vec<Option<Bytes>>,
    left: usize,
    /// Memory is reserved for it.
    pub(super) active: bool,
    /// How often it gave its memory to others because nothing of it came.
    pub(super) yields: u8,
    /// Since when it is wanted, or waits for memory again.
    pub(super) since: Instant,
    /// When something new came last.
    pub(super) progress: Instant,
    pub(super) holders: Vec<Holder>,
    pub(super) asks: Vec<Ask>,
    /// When to look after it.
    pub(super) due: Instant,
}

impl Body {
    pub(super) fn new(wanted: Wanted, bulk: bool, now: Instant) -> Self {
        let Wanted {
            arrival,
            manifest,
            holding,
            ..
        } = wanted;
        Self {
            arrival,
            hops: holding.hops.unwrap_or(u8::MAX - 1).saturating_add(1),
            bulk,
            refused: None,
            frames: Vec::new(),
            left: manifest.len(),
            manifest,
            active: false,
            yields: 0,
            since: now,
            progress: now,
            holders: Vec::new(),
            asks: Vec::new(),
            due: now,
        }
    }

    /// How long a subscription to it is waited for at least: whoever takes one to bulk and cannot serve it says so.
    pub(super) const fn patience(&self) -> Duration {
        if self.bulk {
            BULK_PATIENCE
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn len(&self) -> usize {
        self.manifest.body_len()
    }

    /// What it takes beside the body.
    pub(super) fn head_cost(&self) -> usize {
        self.arrival.cost() + 32 * self.manifest.len() + 512
    }

    /// Memory is reserved: chunks may come.
    pub(super) fn activate(&mut self) {
        self.active = true;
        self.frames = vec![None; self.manifest.len()];
    }

    /// Gives the memory back; nothing had come.
    pub(super) fn deactivate(&mut self, now: Instant) {
        self.active = false;
        self.frames = Vec::new();
        self.yields = self.yields.saturating_add(1);
        self.since = now;
    }

    /// Whether no chunk has come.
    pub(super) fn is_empty(&self) -> bool {
        self.left == self.manifest.len()
    }

    /// Whether nothing of it is here, and nobody is at work on it who did not keep us waiting.
    pub(super) fn is_unrooted(&self) -> bool {
        self.is_empty() && self.asks.iter().all(|ask| ask.late)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The frame of a chunk that is here.
    pub(super) fn frame(&self, index: usize) -> Option<&Bytes> {
        self.frames.get(index)?.as_ref()
    }

    /// Keeps the frame of a chunk that was checked.
    pub(super) fn put(&mut self, index: usize, frame: Bytes, now: Instant) {
        if let Some(place @ None) = self.frames.get_mut(index) {
            *place = Some(frame);
            self.left -= 1;
            self.progress = now;
        }
    }

    /// The body, once it is complete. A body of one chunk stays where it came; others are copied into one piece.
    pub(super) fn assemble(&mut self) -> Bytes {
        let frames = std::mem::take(&mut self.frames);
        let chunk = |(index, frame): (usize, &Option<Bytes>)| {
            let len = self.manifest.range(index)?.len();
            let frame = frame.as_ref()?;
            Some(frame.slice(frame.len().checked_sub(len)?..))
        };
        let mut chunks = frames.iter().enumerate().filter_map(chunk);
        if frames.len() == 1 {
            return chunks.next().unwrap_or_default();
        }
        let mut body = Vec::with_capacity(self.len());
        for chunk in chunks {
            body.extend_from_slice(&chunk);
        }
        body.into()
    }

    /// Notes what a link has. Holders are capped; when full, one with the whole body takes the place of one without.
    pub(super) fn note(&mut self, holding: &Holding, max: usize) {
        if let Some(known) = self.holder(holding.link) {
            known.has = known.has.max(holding.has);
            known.hops = known.hops.or(holding.hops);
            return;
        }
        let holder = Holder {
            link: holding.link,
            has: holding.has,
            hops: holding.hops,
            tried: 0,
            late: false,
            busy: None,
            brought: 0,
        };
        if self.holders.len() < max.max(1) {
            self.holders.push(holder);
        } else if holding.has > Has::Head {
            let asks = &self.asks;
            let idle = |it: &&mut Holder| {
                it.has < holding.has && asks.iter().all(|ask| ask.link != it.link)
            };
            if let Some(place) = self.holders.iter_mut().find(idle) {
                *place = holder;
            }
        }
    }

    pub(super) fn holder(&mut self, link: LinkId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|it| it.link == link)
    }

    /// Whether a link has all of it, or brings some.
    pub(super) fn has_or_brings(&self, link: LinkId) -> bool {
        let whole = |it: &Holder| it.link == link && it.has == Has::Whole;
        self.holders.iter().any(whole) || self.asks.iter().any(|ask| ask.link == link)
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) -> bool {
        let before = self.holders.len() + self.asks.len();
        self.holders.retain(|it| it.link != link);
        self.asks.retain(|ask| ask.link != link);
        self.holders.len() + self.asks.len() < before
    }

    /// The missing chunks of a range, from the first to the last.
    pub(super) fn missing(&self, chunks: Range<usize>) -> Option<Range<usize>> {
        let missing = |index: &usize| self.frame(*index).is_none();
        let first = chunks.clone().find(missing)?;
        let last = chunks.rev().find(missing)?;
        Some(first..last + 1)
    }

    /// The first run of chunks that are missing and that nobody is at work on.
    pub(super) fn uncovered(&self) -> Option<Range<usize>> {
        let covered = |index: usize| {
            let at_work = |ask: &Ask| !ask.late && ask.chunks.contains(&index);
            self.asks.iter().any(at_work)
        };
        let open = |index: &usize| self.frame(*index).is_none() && !covered(*index);
        let all = 0..self.manifest.len();
        let first = all.clone().find(open)?;
        let end = (first..all.end).find(|index| !open(index));
        Some(first..end.unwrap_or(all.end))
    }
}
