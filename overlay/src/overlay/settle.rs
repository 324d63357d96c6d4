//! The facts of a step, on their way down.

use super::Parts;
use crate::cx::Cx;
use crate::neighbors::{Change, Code};

impl Parts {
    /// What is known of large messages goes down to who gets and serves their bodies.
    fn news(&mut self, cx: &mut Cx<'_>) {
        let news = self.broadcast.take_news().into_iter();
        for news in news.chain(self.repair.take_news()) {
            let links = self.neighbors.links();
            self.bodies.on_news(news, &self.messages, links, cx);
        }
    }

    /// Hands down the facts of this step, once, in a fixed order.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        for change in self.neighbors.take_changes() {
            let (own, links) = (self.neighbors.own().record(), self.neighbors.links());
            self.detector.on_change(&change, links, cx);
            self.sampling
                .on_change(&change, own, &mut self.book, links, cx);
            self.broadcast.on_change(&change, links, cx);
            self.repair.on_change(&change, &self.messages, links, cx);
            self.bodies.on_change(&change, links, cx);
            if let Change::Opened { link, peer, .. } = &change
                && self.repair.awaits_visit()
                && links.get(*link).is_some_and(|link| link.outbound)
                && self
                    .sampling
                    .view()
                    .peers()
                    .any(|(other, _)| other == *peer)
            {
                self.repair.on_visit(*link, &self.messages, links, cx);
            }
        }
        if self.neighbors.take_clone_seen() | self.sampling.take_clone_seen() {
            self.messages.clone_detected(cx);
        }
        self.news(cx);
        for arrival in self
            .broadcast
            .take_arrivals()
            .into_iter()
            .chain(self.repair.take_arrivals())
            .chain(self.bodies.take_arrivals())
        {
            self.messages.on_arrival(arrival, cx);
        }
        for (link, id) in self.bodies.take_subscribed() {
            self.broadcast.on_subscribed(link, &id, cx);
        }
        for brought in self.bodies.take_brought() {
            self.broadcast.on_brought(&brought, cx);
        }
        for accepted in self.messages.take_accepted() {
            let id = accepted.id;
            let taken = self.broadcast.on_accepted(&accepted, cx);
            self.messages.note_neighbors(&id, taken);
        }
        for hole in self.messages.take_holes() {
            self.repair
                .on_hole(hole, &self.messages, self.neighbors.links(), cx);
        }
        self.news(cx);
        let rejected = self.messages.take_rejected().into_iter();
        let faults = self.broadcast.take_faults().into_iter();
        let faults = faults.chain(self.bodies.take_faults());
        for (link, code) in faults.chain(rejected.map(|link| (link, Code::Invalid))) {
            if let Some(peer) = self.neighbors.links().get(link).map(|link| link.peer) {
                self.fault(link, &peer, code, cx);
            }
        }
        for (link, first_deliveries) in self.broadcast.take_credits() {
            self.neighbors.credit(link, first_deliveries);
        }
        for stalled in cx.out.take_stalled() {
            cx.stats.neighbors.stalled += 1;
            self.neighbors
                .close(stalled, Code::Stalled, &mut self.book, cx);
        }
    }
}
