//! Bulk: few copies of a body leave a node at once. Who comes too late is told so, and asks those who have begun to get it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use super::assembly::Body;
use super::part::Bodies;
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::neighbors::Links;
use crate::wire::{Bounded, Busy, Message, Part, short_id};

/// A neighbor that turned us away is not asked again before. A guess: the time of one copy of 1 MiB at 100 Mbit/s, roughly.
const BUSY: Duration = Duration::from_millis(100);
/// Bytes per second at which all promised copies of a body are through in time; one that takes longer is served on, but keeps nobody out:
/// else as many neighbors as there are copies would, by asking first and never reading. A guess: 10 Mbit/s and some headers.
const PROMISED: f64 = 1e6;

impl Bodies {
    /// A neighbor does not send what it was asked for, now. Whoever waits for us to pass it on had better ask others.
    pub fn on_busy(&mut self, link: LinkId, busy: &Busy, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let id = MessageId::from_bytes(busy.id);
        let Some(body) = self.wanted.get_mut(&id) else {
            return;
        };
        let before = body.asks.len();
        body.asks.retain(|ask| ask.link != link);
        if body.asks.len() == before {
            return;
        }
        cx.stats.bodies.busy += 1;
        body.refused.get_or_insert(now);
        if let Some(holder) = body.holder(link) {
            holder.busy = Some(now + BUSY);
            holder.tried = holder.tried.saturating_sub(1);
            holder.late = true;
        }
        if body.is_unrooted() {
            self.turn_away(&id, cx);
        }
        self.attend(id, links, cx);
    }

    /// Whether a body is bulk of which enough copies are under way already, or none is under way to us.
    pub(super) fn is_busy(
        &self,
        link: LinkId,
        id: &MessageId,
        cached: Option<usize>,
        cx: &Cx<'_>,
    ) -> bool {
        let wanted = self.wanted.get(id);
        let whole = || self.whole.get(id)?.body.as_ref().map(Bytes::len);
        let Some(len) = wanted.map(Body::len).or_else(whole).or(cached) else {
            return false;
        };
        let Some(most) = cx.config.bodies.copies_at_once(len) else {
            return false;
        };
        let term = Duration::from_secs_f64(len as f64 * most as f64 / PROMISED);
        let in_time = |since: &Instant| cx.now.mono.saturating_duration_since(*since) < term;
        let others = self.subscribers.get(id).map_or(0, |links| {
            let others = links.iter().filter(|(other, _)| **other != link);
            others.filter(|(_, since)| in_time(since)).count()
        });
        others >= most || wanted.is_some_and(Body::is_unrooted)
    }

    pub(super) fn say_busy(link: LinkId, id: &MessageId, cx: &mut Cx<'_>) {
        cx.stats.bodies.turned_away += 1;
        let busy = Busy { id: id.to_bytes() };
        cx.send(link, Lane::Control, &Message::Busy(busy));
    }

    /// Sends away who waits for a body.
    fn turn_away(&mut self, id: &MessageId, cx: &mut Cx<'_>) {
        for link in self.subscribers.remove(id).unwrap_or_default().into_keys() {
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.jobs.retain(|job| job.id != *id);
            }
            Self::say_busy(link, id, cx);
        }
    }

    /// Tells neighbors that bulk has begun to come, but for those who bring it, get it from us, or have it.
    pub(super) fn tell_part(&self, id: &MessageId, links: &Links, cx: &mut Cx<'_>) {
        let body = self.wanted.get(id);
        let served = self.subscribers.get(id);
        for (link, row) in links.neighbors() {
            let brings = body.is_some_and(|body| body.has_or_brings(link));
            if brings || served.is_some_and(|served| served.contains_key(&link)) {
                continue;
            }
            let ids = Bounded::truncated(vec![short_id(&row.announce_key, id)]);
            cx.send(link, Lane::Control, &Message::Part(Part { ids }));
        }
    }
}
