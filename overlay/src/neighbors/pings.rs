//! Whether an older connection of a peer still lives, when a newer one comes.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::RngExt as _;

use super::{Code, Neighbors};
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::peers::Book;
use crate::wire::Message;

/// Pings under way, at most one a link: its number, and when it was sent.
pub(super) type Pings = BTreeMap<LinkId, (u64, Instant)>;

impl Neighbors {
    /// The other end asks whether we are there.
    pub fn on_ping(&mut self, link: LinkId, nonce: u64, cx: &mut Cx<'_>) {
        cx.send(link, Lane::Control, &Message::Pong(nonce));
    }

    /// The answer to a ping of ours; an unasked one is ignored.
    pub fn on_pong(&mut self, id: LinkId, nonce: u64, cx: &mut Cx<'_>) {
        let asked = self.pings.get(&id).filter(|(asked, _)| *asked == nonce);
        if let Some((_, sent)) = asked {
            let rtt = cx.now.mono.saturating_duration_since(*sent);
            self.pings.remove(&id);
            self.measured(id, rtt);
        }
    }

    /// Closes the link unless the peer answers in time.
    pub(super) fn ping(&mut self, id: LinkId, cx: &mut Cx<'_>) {
        if self.pings.contains_key(&id) {
            return;
        }
        let nonce = cx.rng.random();
        if cx.send(id, Lane::Control, &Message::Ping(nonce)) {
            self.pings.insert(id, (nonce, cx.now.mono));
            self.upkeep
                .wake_at(cx.now.mono + cx.config.neighbors.ping_timeout);
        }
    }

    pub(super) fn expire_pings(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let (now, timeout) = (cx.now.mono, cx.config.neighbors.ping_timeout);
        let pings = self.pings.iter();
        let late: Vec<LinkId> = pings
            .filter(|(_, (_, sent))| *sent + timeout <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            cx.stats.neighbors.ping_timeouts += 1;
            self.close(id, Code::Timeout, book, cx);
        }
    }
}
