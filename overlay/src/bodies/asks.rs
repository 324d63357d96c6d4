//! Whom to ask for what: the first subscription, a second one when it is late, parts of a long body from several.

use std::ops::Range;
use std::time::Instant;

use crypto::MessageId;

use super::assembly::{Ask, Body};
use super::part::{Bodies, span};
use super::{Has, Holding};
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::neighbors::Links;
use crate::wire::{Cancel, Message, Want};

/// Subscriptions for one body open at a time.
const MAX_OPEN: usize = 3;
/// So many times a body is given memory although nothing of it came.
const YIELDS: u8 = 3;
/// Waiting for memory may take so many times as long as waiting for a chunk.
const WAIT_FOR_MEMORY: u32 = 20;
/// How often a late subscription is waited for again because its link is busy delivering.
const BUSY_WAITS: u8 = 8;
/// Bodies from this many chunks on (above 64 KiB) are split between neighbors.
const SPLIT_FROM: usize = 3;
/// Chunks that may be under way on a link already: a lane and the transport's window. They are not moved.
const UNDER_WAY: usize = 32;

impl Ask {
    pub(super) fn new(link: LinkId, chunks: Range<usize>, now: Instant, look: Instant) -> Self {
        Self {
            link,
            chunks,
            at: now,
            look,
            checked: now,
            under_way: false,
            brought: 0,
            waits: 0,
            late: false,
        }
    }
}

impl Bodies {
    /// Looks after a body: who is late, what nobody is at work on, when to look again; or gives it up.
    pub(super) fn attend(&mut self, id: MessageId, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let Some(mut body) = self.wanted.remove(&id) else {
            return;
        };
        self.due.remove(&(body.due, id));
        let config = &cx.config.bodies;
        let (patience, long) = (config.give_up, config.give_up * WAIT_FOR_MEMORY);
        if body.active {
            self.judge(&mut body, links, cx);
            let late = body.asks.iter().any(|ask| ask.late);
            if late && self.yield_memory(&mut body, id, now) {
                for ask in std::mem::take(&mut body.asks) {
                    self.cancel(ask.link, &id, ask.chunks, cx);
                }
            }
        }
        let give_up = match body.active {
            true => body.progress + patience,
            false => body.since + long,
        };
        body.due = if body.active {
            let again = self.cover(id, &mut body, links, cx);
            let looks = body.asks.iter().filter(|ask| !ask.late).map(|ask| ask.look);
            looks.chain(again).min().unwrap_or(give_up).min(give_up)
        } else {
            give_up
        };
        let over = give_up <= now || body.yields >= YIELDS;
        self.due.insert((body.due, id));
        self.wanted.insert(id, body);
        if over && let Some(body) = self.remove(&id) {
            cx.stats.bodies.abandoned += 1;
            for ask in body.asks {
                self.cancel(ask.link, &id, ask.chunks, cx);
            }
            self.release(&id);
        }
    }

    /// Which subscriptions are late. One whose link delivers other things meanwhile has some time more.
    fn judge(&mut self, body: &mut Body, links: &Links, cx: &mut Cx<'_>) {
        let (now, least) = (cx.now.mono, body.patience());
        for ask in body
            .asks
            .iter_mut()
            .filter(|ask| !ask.late && ask.look <= now)
        {
            let Some(peer) = self.peers.get_mut(&ask.link) else {
                continue;
            };
            if ask.waits < BUSY_WAITS && peer.active > ask.checked {
                ask.waits += 1;
                ask.checked = now;
                let rtt = links.get(ask.link).map(|link| link.rtt);
                let usual = super::part::patience(&self.answer, rtt.unwrap_or_default(), 0);
                ask.look = now + usual.max(least);
                continue;
            }
            cx.stats.bodies.late += 1;
            ask.late = true;
            peer.broke();
            if let Some(holder) = body.holders.iter_mut().find(|it| it.link == ask.link) {
                holder.late = true;
            }
        }
    }

    /// Asks for what nobody is at work on. Returns when to try again, if something is left.
    fn cover(
        &mut self,
        id: MessageId,
        body: &mut Body,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> Option<Instant> {
        let now = cx.now.mono;
        while let Some(chunks) = body.uncovered() {
            let (link, tried, ready) = self.choose(body, links, now)?;
            if ready > now {
                return Some(ready);
            }
            // Asked again, its old subscription is part of the new one.
            body.asks.retain(|ask| ask.link != link);
            if body.asks.len() >= MAX_OPEN {
                let oldest = body.asks.iter().position(|ask| ask.late)?;
                let ask = body.asks.remove(oldest);
                self.cancel(ask.link, &id, ask.chunks, cx);
            }
            if !subscribe(link, &id, &chunks, cx) {
                return Some(now + super::part::PATIENCE_MIN);
            }
            let rtt = links.get(link).map(|link| link.rtt).unwrap_or_default();
            let look = now + self.patience(rtt, tried).max(body.patience());
            body.asks.push(Ask::new(link, chunks, now, look));
            if let Some(holder) = body.holder(link) {
                holder.tried = holder.tried.saturating_add(1);
            }
        }
        None
    }

    /// The next to ask, how often it was asked, and from when on: asked least often, trusted, with the whole body, near.
    fn choose(&self, body: &Body, links: &Links, now: Instant) -> Option<(LinkId, u8, Instant)> {
        let candidates = body.holders.iter().filter_map(|holder| {
            let open = body.asks.iter().find(|ask| ask.link == holder.link);
            if open.is_some_and(|ask| !ask.late) {
                return None; // it is at work on another part
            }
            let distrusted = self.peers.get(&holder.link)?.is_distrusted();
            let rtt = links.get(holder.link)?.rtt;
            // Others get the time of an answer to show up before a liar is asked; one that is late, before it is asked again.
            let ready = match open {
                Some(ask) => ask.look + self.patience(rtt, holder.tried),
                None if distrusted && holder.tried == 0 => body.since + self.patience(rtt, 0),
                None => body.since,
            };
            // Where nodes turn away whom they cannot serve, whoever has nothing yet is asked after those who have, lest two wait for
            // each other; and one that is free before one that would be preferred.
            let rooted = holder.has >= if body.bulk { Has::Part } else { Has::Whole };
            let mut ready = holder.busy.map_or(ready, |busy| ready.max(busy));
            if let Some(refused) = body.refused.filter(|_| !rooted) {
                ready = ready.max(refused + self.patience(rtt, 0));
            }
            let turn = if body.bulk { ready.max(now) } else { now };
            let rank = holder.tried.saturating_add(2 * u8::from(distrusted));
            Some(((turn, rank, !rooted, rtt), holder.link, holder.tried, ready))
        });
        let (_, link, tried, ready) = candidates.min_by_key(|(rank, ..)| *rank)?;
        Some((link, tried, ready))
    }

    /// Takes chunks off a link that was to send them.
    pub(super) fn cancel(
        &self,
        link: LinkId,
        id: &MessageId,
        chunks: Range<usize>,
        cx: &mut Cx<'_>,
    ) {
        if let Some((from, to)) = span(&chunks) {
            cx.stats.bodies.cancels_out += 1;
            let cancel = Cancel {
                id: id.to_bytes(),
                from,
                to,
            };
            cx.send(link, Lane::Control, &Message::Cancel(cancel));
        }
    }

    /// Moves the latter half of what a neighbor is still to send to another one, which had the header in fewer steps than we
    /// or has the whole body.
    pub(super) fn split(&mut self, holding: &Holding, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let trusted = (self.peers.get(&holding.link)).is_some_and(|peer| !peer.is_distrusted());
        let Some(body) = self.wanted.get_mut(&holding.id).filter(|body| body.active) else {
            return;
        };
        let upstream =
            holding.has == Has::Whole || holding.hops.is_some_and(|hops| hops < body.hops);
        if !trusted
            || !upstream
            || body.bulk
            || body.manifest.len() < SPLIT_FROM
            || body.asks.len() >= MAX_OPEN
            || body.asks.iter().any(|ask| ask.link == holding.link)
        {
            return;
        }
        let left = |ask: &Ask| {
            let missing = body.missing(ask.chunks.clone())?;
            // What was asked for less than a round trip ago is not under way yet.
            let rtt = links.get(ask.link).map(|link| link.rtt).unwrap_or_default();
            let under_way = ask.under_way || now >= ask.at + rtt;
            let first = missing.start + if under_way { UNDER_WAY } else { 0 };
            let middle = (missing.start + missing.end).div_ceil(2).max(first);
            (middle < missing.end && middle > missing.start).then_some(middle..missing.end)
        };
        let most = body.asks.iter().enumerate().filter(|(_, ask)| !ask.late);
        let most = most.filter_map(|(at, ask)| Some((at, left(ask)?)));
        let Some((at, tail)) = most.max_by_key(|(_, tail)| tail.len()) else {
            return;
        };
        if !subscribe(holding.link, &holding.id, &tail, cx) {
            return;
        }
        cx.stats.bodies.splits += 1;
        let from = &mut body.asks[at];
        let (link, look) = (from.link, from.look);
        from.chunks.end = tail.start;
        body.asks
            .push(Ask::new(holding.link, tail.clone(), now, look.max(now)));
        if let Some(holder) = body.holder(holding.link) {
            holder.tried = holder.tried.saturating_add(1);
        }
        self.cancel(link, &holding.id, tail, cx);
    }
}

/// Sends a subscription. Where it finds no room the link is stalled and closes at the end of the step.
fn subscribe(link: LinkId, id: &MessageId, chunks: &Range<usize>, cx: &mut Cx<'_>) -> bool {
    let Some((from, to)) = span(chunks) else {
        return false;
    };
    let want = Want {
        id: id.to_bytes(),
        from,
        to,
    };
    cx.stats.bodies.wants_out += 1;
    cx.send(link, Lane::Control, &Message::Want(want))
}
