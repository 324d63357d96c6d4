//! What leaves: pushes, what is owed while a lane is full, announcements, answers to grafts.

use bytes::Bytes;
use crypto::MessageId;

use super::heads::followed;
use super::slots::Slots;
use super::{Broadcast, Unsent};
use crate::bodies::News;
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::messages::Accepted;
use crate::wire::{
    self, Announce, Bounded, Graft, Have, MAX_ANNOUNCE, Message, ShortId, head_for, short_id,
};

/// Repaired messages older than this (by their signed date) are not announced, milliseconds.
const NEWS_MS: u64 = 120_000;
/// An own message is kept for neighbors to come until it went to so many.
const UNSENT_TO: usize = 2;
/// Having gone to one neighbor, it is kept for this long.
const UNSENT_SECS: u64 = 60;

/// Looks up the frame of a recent message.
pub type Frames<'a> = &'a dyn Fn(&MessageId) -> Option<Bytes>;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    /// The lane took it.
    Sent,
    /// It waits for room.
    Owed,
    /// Too much waits already.
    Full,
}

impl Broadcast {
    /// A message was decided in favour: pushes it to whom it is for and announces it to the others. Returns how many neighbors'
    /// lanes took it at once.
    pub fn on_accepted(&mut self, accepted: &Accepted, cx: &mut Cx<'_>) -> usize {
        if accepted.body_len.is_some()
            && let Some(number) = self.recent.number(&Self::short(&accepted.id, cx))
            && self.whole(number, cx)
        {
            return 0; // its head has been spread before
        }
        let taken = self.spread(accepted, cx);
        if let Some(len) = accepted.body_len {
            if accepted.from.is_none() && !accepted.repaired {
                self.news.push(News::Published { len });
            }
            let number = self.recent.number(&Self::short(&accepted.id, cx));
            if let Some(recent) = number.and_then(|number| self.recent.get_mut(number)) {
                recent.whole = true;
            }
        }
        taken
    }

    /// Pushes a message, or the head of a large one, to whom it is for and announces it to the others. Returns how many
    /// neighbors' lanes took it at once.
    pub(super) fn spread(&mut self, accepted: &Accepted, cx: &mut Cx<'_>) -> usize {
        let now = cx.now.mono;
        let own = accepted.from.is_none() && !accepted.repaired;
        let short = Self::short(&accepted.id, cx);
        if accepted.repaired {
            if self.missing.has(&short) {
                self.missing.arrived(&short, None, now);
            }
            if cx.now.unix_ms.saturating_sub(accepted.published_unix_ms) > NEWS_MS {
                return 0;
            }
        }
        let author = *accepted.author.as_bytes();
        let number = self.enter(short, accepted.id, author, cx);
        let from = accepted.from.and_then(|link| self.edges.get(&link));
        let from = from.map(|edge| edge.slot);
        let (state, forgotten) = self.authors.touch(author, cx.config.broadcast.authors);
        cx.stats.broadcast.authors_forgotten += forgotten as u64;
        state.last = number;
        let (pruned, grafted) = (state.out_pruned, state.out_grafted);
        let large = accepted.body_len.is_some();
        let bulk = |len| cx.config.bodies.copies_at_once(len).is_some();
        let bulk = accepted.body_len.filter(|len| bulk(*len));
        let follow = followed(large && bulk.is_none(), state.out_follow);
        let Some(recent) = self.recent.get_mut(number) else {
            return 0;
        };
        recent.accepted = true;
        recent.own = own;
        recent.large = large;
        let hops = recent.hops;
        if let Some(slot) = from {
            recent.shown.insert(slot);
        }
        let (shown, sent) = (recent.shown, recent.sent);
        let lane = if own { Lane::Own } else { Lane::Forwarded };
        let mut taken = 0;
        let mut reached = Slots::default();
        let mut owed = 0;
        let links: Vec<LinkId> = self.edges.keys().copied().collect();
        for link in links {
            let Some(edge) = self.edges.get(&link) else {
                continue;
            };
            let slot = edge.slot;
            if shown.has(slot) || sent.has(slot) {
                continue;
            }
            let wanted = !pruned.has(slot) && (edge.out_default || grafted.has(slot) || own);
            if !wanted || accepted.repaired {
                self.queue_announcement(link, number, cx);
                continue;
            }
            let frame = if large {
                &head_for(&accepted.frame, hops, follow.has(slot))
            } else {
                &accepted.frame
            };
            match self.push(link, number, lane, frame, cx) {
                Pushed::Sent => {
                    if follow.has(slot) {
                        self.follow(accepted.id, link, number);
                    }
                    reached.insert(slot);
                    taken += 1;
                }
                Pushed::Owed => {
                    reached.insert(slot);
                    owed += 1;
                }
                Pushed::Full => self.queue_announcement(link, number, cx),
            }
        }
        if let Some(recent) = self.recent.get_mut(number) {
            recent.sent = reached;
        }
        if let Some(len) = bulk.filter(|_| !accepted.repaired) {
            self.feed(accepted.id, number, len, cx);
        }
        if own && taken + owed < UNSENT_TO {
            self.keep_unsent(accepted, taken + owed, cx);
        }
        taken
    }

    /// A head went out with the promise that the body follows.
    pub(super) fn follow(&mut self, id: MessageId, link: LinkId, number: u64) {
        self.news.push(News::Follow { id, link });
        let slot = self.edges.get(&link).map(|edge| edge.slot);
        if let (Some(slot), Some(recent)) = (slot, self.recent.get_mut(number)) {
            recent.served.insert(slot);
        }
    }

    /// The number of a message in the table of recent ones, where it is entered if need be.
    pub(super) fn enter(
        &mut self,
        short: ShortId,
        id: MessageId,
        author: [u8; 32],
        cx: &Cx<'_>,
    ) -> u64 {
        let max = cx.config.broadcast.recent;
        self.recent.insert(short, id, author, cx.now.mono, max)
    }

    /// Sends a frame, or owes it.
    fn push(
        &mut self,
        link: LinkId,
        number: u64,
        lane: Lane,
        frame: &Bytes,
        cx: &mut Cx<'_>,
    ) -> Pushed {
        let max = cx.config.broadcast.owed;
        let Some(edge) = self.edges.get_mut(&link) else {
            return Pushed::Full;
        };
        if edge.owed(lane).is_empty() && cx.send_bytes(link, lane, frame.clone()) {
            edge.moved = cx.now.mono;
            cx.stats.broadcast.pushed += 1;
            return Pushed::Sent;
        }
        if edge.owed(lane).len() >= max {
            cx.stats.broadcast.owed_full += 1;
            return Pushed::Full;
        }
        edge.owed(lane).push_back(number);
        cx.stats.broadcast.owed += 1;
        Pushed::Owed
    }

    /// A lane has room again: what is owed goes out, but for what the peer got elsewhere meanwhile.
    pub fn on_room(&mut self, link: LinkId, lane: Lane, frames: Frames<'_>, cx: &mut Cx<'_>) {
        if lane == Lane::Control {
            self.announce(link, cx);
            return;
        }
        if !matches!(lane, Lane::Own | Lane::Forwarded) {
            return;
        }
        let Some(edge) = self.edges.get_mut(&link) else {
            return;
        };
        edge.moved = cx.now.mono;
        let slot = edge.slot;
        let mut unwanted = Vec::new();
        while let Some(number) = edge.owed(lane).front().copied() {
            let counters = &mut cx.stats.broadcast;
            match self.recent.get_mut(number) {
                None => counters.owed_gone += 1,
                Some(recent) if recent.shown.has(slot) => counters.owed_needless += 1,
                Some(recent)
                    if (self.authors.get(&recent.author))
                        .is_some_and(|state| state.out_pruned.has(slot)) =>
                {
                    // Somebody else supplies it by now: it is told, and asks if it must.
                    counters.owed_needless += 1;
                    recent.sent.remove(slot);
                    unwanted.push(number);
                }
                Some(recent) => match frames(&recent.id) {
                    None => counters.owed_gone += 1,
                    Some(frame) => {
                        // Its body may be asked for: what waited has no need to hurry.
                        let frame = if recent.large {
                            head_for(&frame, recent.hops, false)
                        } else {
                            frame
                        };
                        if !cx.send_bytes(link, lane, frame) {
                            break;
                        }
                        cx.stats.broadcast.owed_sent += 1;
                    }
                },
            }
            edge.owed(lane).pop_front();
        }
        for number in unwanted {
            self.queue_announcement(link, number, cx);
        }
    }

    /// Puts a message on a link's next announcement.
    pub(super) fn queue_announcement(&mut self, link: LinkId, number: u64, cx: &mut Cx<'_>) {
        let config = &cx.config.broadcast;
        let Some(edge) = self.edges.get_mut(&link) else {
            return;
        };
        if edge.pending.len() >= config.pending {
            cx.stats.broadcast.pending_full += 1;
            return;
        }
        edge.pending.push(number);
        let full = edge.pending.len() >= MAX_ANNOUNCE;
        let recent = self.recent.get(number);
        let soon = edge.soon() || recent.is_some_and(|recent| recent.large && recent.whole);
        edge.hurried |= soon;
        let due = &mut self.announce_at[usize::from(soon)];
        if due.is_none() {
            let gather = if soon {
                config.announce_soon
            } else {
                config.announce_late
            };
            *due = Some(cx.now.mono + gather);
        }
        if full {
            self.announce(link, cx);
        }
    }

    /// Announces what waits, but for what the peer has shown to have by now. Announcements leave half of the control lane free:
    /// a peer that does not read is not told more, and its grafts and prunes still find room.
    pub(super) fn announce(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let Some(edge) = self.edges.get_mut(&link) else {
            return;
        };
        if edge.pending.is_empty()
            || cx.out.room(link, Lane::Control) < Lane::Control.capacity() / 2
        {
            return;
        }
        edge.hurried = false;
        let (slot, key) = (edge.slot, edge.key);
        let mut ids = Vec::with_capacity(edge.pending.len());
        let mut whole = Vec::new();
        for number in edge.pending.drain(..) {
            let Some(recent) = self.recent.get_mut(number) else {
                continue;
            };
            if recent.large && recent.whole {
                if recent.served.insert(slot) {
                    whole.push(short_id(&key, &recent.id));
                }
            } else if !recent.shown.has(slot) && !recent.sent.has(slot) {
                ids.push(short_id(&key, &recent.id));
            }
        }
        for some in whole.chunks(MAX_ANNOUNCE) {
            cx.stats.broadcast.announced += some.len() as u64;
            cx.stats.broadcast.announced_whole += some.len() as u64;
            let have = Have {
                ids: Bounded::truncated(some.to_vec()),
            };
            Self::control(link, &Message::Have(have), cx);
        }
        for some in ids.chunks(MAX_ANNOUNCE) {
            cx.stats.broadcast.announced += some.len() as u64;
            let announce = Announce {
                ids: Bounded::truncated(some.to_vec()),
            };
            Self::control(link, &Message::Announce(announce), cx);
        }
    }

    /// The peer wants a branch pushed, or messages that were announced to it.
    pub fn on_graft(&mut self, link: LinkId, graft: &Graft, frames: Frames<'_>, cx: &mut Cx<'_>) {
        if let Some(branch) = &graft.branch {
            self.branch_grafted(link, branch, cx);
        }
        cx.stats.broadcast.requested += graft.ids.len() as u64;
        for short in graft.ids.iter() {
            let Some(edge) = self.edges.get_mut(&link) else {
                return;
            };
            let slot = edge.slot;
            let number = edge.find(short, &self.recent);
            let found =
                number.and_then(|number| self.recent.get_mut(number).map(|it| (number, it)));
            let Some((number, recent)) = found.filter(|(_, it)| it.accepted) else {
                cx.stats.broadcast.not_served += 1;
                continue;
            };
            // What is asked for is wanted by its author from now on, unless only this once.
            if !graft.once
                && graft.branch.is_none()
                && let Some(state) = self.authors.get_mut(&recent.author)
            {
                state.out_pruned.remove(slot);
                state.out_grafted.insert(slot);
            }
            if recent.sent.has(slot) {
                cx.stats.broadcast.not_served += 1;
                continue;
            }
            let Some(frame) = frames(&recent.id) else {
                cx.stats.broadcast.not_served += 1;
                continue;
            };
            if !edge.pay(frame.len(), cx.now.mono) {
                cx.stats.broadcast.over_budget += 1;
                continue;
            }
            recent.sent.insert(slot);
            let lane = if recent.own {
                Lane::Own
            } else {
                Lane::Forwarded
            };
            let (id, large, follows) = (recent.id, recent.large, recent.large && !recent.bulk);
            let frame = if large {
                head_for(&frame, recent.hops, follows)
            } else {
                frame
            };
            cx.stats.broadcast.served += 1;
            match self.push(link, number, lane, &frame, cx) {
                Pushed::Sent if follows => self.follow(id, link, number),
                Pushed::Full => {
                    if let Some(recent) = self.recent.get_mut(number) {
                        recent.sent.remove(slot);
                    }
                }
                Pushed::Sent | Pushed::Owed => {}
            }
        }
    }

    /// Keeps an own message for neighbors to come. When too many or too large, the oldest is dropped (and counted).
    fn keep_unsent(&mut self, accepted: &Accepted, to: usize, cx: &mut Cx<'_>) {
        let config = &cx.config.broadcast;
        self.unsent_bytes += accepted.frame.len();
        self.unsent.push_back(Unsent {
            id: accepted.id,
            frame: accepted.frame.clone(),
            to,
            since: (to > 0).then_some(cx.now.mono),
        });
        while self.unsent.len() > config.unsent || self.unsent_bytes > config.unsent_bytes {
            let Some(old) = self.unsent.pop_front() else {
                break;
            };
            self.unsent_bytes = self.unsent_bytes.saturating_sub(old.frame.len());
            cx.stats.broadcast.unsent_dropped += u64::from(old.to == 0);
        }
    }

    /// Gives a new neighbor the own messages that too few have.
    pub(super) fn push_unsent(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let author = *cx.me().as_bytes();
        for mut unsent in std::mem::take(&mut self.unsent) {
            let old = |at| now.saturating_duration_since(at).as_secs() >= UNSENT_SECS;
            if unsent.since.is_some_and(old) {
                self.unsent_bytes = self.unsent_bytes.saturating_sub(unsent.frame.len());
                continue;
            }
            let number = self.enter(Self::short(&unsent.id, cx), unsent.id, author, cx);
            let Some(edge) = self.edges.get(&link) else {
                return;
            };
            let slot = edge.slot;
            let has = self.recent.get(number).is_some_and(|it| it.shown.has(slot));
            let large = wire::tag_of(&unsent.frame) == Some(wire::tag::HEAD);
            if has || self.push(link, number, Lane::Own, &unsent.frame, cx) != Pushed::Full {
                unsent.to += 1;
                unsent.since.get_or_insert(now);
                if let Some(recent) = self.recent.get_mut(number) {
                    recent.accepted = true;
                    recent.own = true;
                    recent.large = large;
                    recent.whole = large;
                    recent.sent.insert(slot);
                }
            }
            if unsent.to >= UNSENT_TO {
                self.unsent_bytes = self.unsent_bytes.saturating_sub(unsent.frame.len());
            } else {
                self.unsent.push_back(unsent);
            }
        }
    }
}
