//! Large messages: their heads travel the tree as small messages do, and what comes of it is told to `bodies`.

use bytes::Bytes;
use crypto::MessageId;

use super::Broadcast;
use super::copies::Copied;
use super::slots::{Slot, Slots};
use crate::bodies::{Bodies, Brought, Has, Holding, News, Wanted};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Accepted, Admission, Messages, admit};
use crate::neighbors::{Code, Links};
use crate::wire::{Branch, Busy, Have, Head, Message, Part};

impl Broadcast {
    /// The head of a large message came live. What is verified and new is passed on at once, unless the application is to
    /// judge it first, and its body is wanted.
    #[expect(
        clippy::too_many_arguments,
        reason = "a frame, and what it is held against"
    )]
    pub fn on_head(
        &mut self,
        link: LinkId,
        head: Head,
        frame: Bytes,
        links: &Links,
        messages: &Messages,
        bodies: &Bodies,
        cx: &mut Cx<'_>,
    ) {
        let Some(peer) = links.get(link).map(|link| link.peer) else {
            return;
        };
        let Head {
            signed,
            manifest,
            hops,
            follows,
        } = head;
        let (author, len) = (signed.value.author, frame.len());
        let id = signed.value.id(cx.network);
        let holding = Holding {
            id,
            link,
            has: Has::Head,
            hops: Some(hops),
            follows,
        };
        let admission = if bodies.has(&id) {
            Admission::Duplicate(id)
        } else {
            admit(signed, Vec::new(), frame, (link, peer), false, messages, cx)
        };
        let copied = match admission {
            Admission::Arrival(arrival) => {
                self.on_copy(link, id, author, len, Copied::First, links, cx);
                self.wanted(*arrival, manifest, holding, cx);
                return;
            }
            Admission::Duplicate(_) => Copied::Again,
            Admission::Refused(_) => Copied::Refused,
            Admission::BadSignature => {
                cx.stats.broadcast.copies += 1;
                cx.stats.broadcast.bad_signatures += 1;
                self.faults.push((link, Code::BadSignature));
                return;
            }
        };
        self.on_copy(link, id, author, len, copied, links, cx);
        self.news.push(News::Holder(holding));
    }

    /// A new head.
    fn wanted(
        &mut self,
        arrival: crate::messages::Arrival,
        manifest: crypto::Manifest,
        holding: Holding,
        cx: &mut Cx<'_>,
    ) {
        let (id, link) = (holding.id, holding.link);
        let len = manifest.body_len();
        let bulk = cx.config.bodies.copies_at_once(len).is_some();
        let feeder = (self.authors.get(&arrival.header.author)).and_then(|state| state.feeder);
        let feeder = feeder.and_then(|slot| self.slots.link(slot));
        let judged = &cx.config.messages.validated_topics;
        let accepted = (!judged.contains(&arrival.header.topic)).then(|| Accepted {
            id,
            author: arrival.header.signer(),
            published_unix_ms: arrival.header.published_unix_ms,
            frame: arrival.frame.clone(),
            body_len: Some(len),
            from: Some(link),
            repaired: false,
        });
        self.news.push(News::Wanted(Box::new(Wanted {
            arrival,
            manifest,
            holding,
            feeder: feeder.filter(|_| bulk),
        })));
        if let Some(recent) = self
            .recent
            .number(&Self::short(&id, cx))
            .and_then(|number| self.recent.get_mut(number))
        {
            recent.large = true;
            recent.hops = holding.hops.unwrap_or(u8::MAX).saturating_add(1);
            let shown = recent.shown;
            for (other, edge) in &self.edges {
                if *other != link && shown.has(edge.slot) {
                    self.news.push(holder(id, *other, Has::Head));
                }
            }
        }
        if let Some(accepted) = accepted {
            self.spread(&accepted, cx);
        }
    }

    /// The body of a message whose head has been spread is whole: whoever may lack it is told, those included that brought us
    /// the head. Returns whether there is such a message.
    pub(super) fn whole(&mut self, number: u64, cx: &mut Cx<'_>) -> bool {
        let Some(recent) = self.recent.get_mut(number).filter(|it| it.accepted) else {
            return false;
        };
        recent.whole = true;
        let known = recent.served;
        let untold: Vec<LinkId> = self
            .edges
            .iter()
            .filter(|(_, edge)| !known.has(edge.slot))
            .map(|(link, _)| *link)
            .collect();
        for link in untold {
            self.queue_announcement(link, number, cx);
        }
        true
    }

    /// A neighbor has these large messages, their bodies included.
    pub fn on_have(&mut self, link: LinkId, have: &Have, links: &Links, cx: &mut Cx<'_>) {
        if let Some(slot) = self.edges.get(&link).map(|edge| edge.slot) {
            for short in have.ids.iter() {
                let recent = (self.recent.number(short)).and_then(|it| self.recent.get_mut(it));
                if let Some(recent) = recent {
                    recent.served.insert(slot);
                }
            }
        }
        self.heard_of(link, &have.ids, Has::Whole, links, cx);
    }

    /// Bulk has begun to come to a neighbor.
    pub fn on_part(&mut self, link: LinkId, part: &Part, links: &Links, cx: &mut Cx<'_>) {
        self.heard_of(link, &part.ids, Has::Part, links, cx);
    }

    /// Bulk goes to those who asked for all bulk of its author, few at once; the others have to look for somebody else.
    pub(super) fn feed(&mut self, id: MessageId, number: u64, len: usize, cx: &mut Cx<'_>) {
        let Some(most) = cx.config.bodies.copies_at_once(len) else {
            return;
        };
        let Some(recent) = self.recent.get_mut(number) else {
            return;
        };
        recent.bulk = true;
        let (served, author) = (recent.served, recent.author);
        let Some(state) = self.authors.get(&author) else {
            return;
        };
        let fed = |slot: &Slot| state.out_bulk.has(*slot) && !served.has(*slot);
        let fed: Vec<(LinkId, Slot)> = self
            .edges
            .iter()
            .map(|(link, edge)| (*link, edge.slot))
            .filter(|(_, slot)| fed(slot))
            .collect();
        for (link, _) in fed.iter().take(most) {
            self.follow(id, *link, number);
        }
        for (link, _) in fed.iter().skip(most) {
            let busy = Busy { id: id.to_bytes() };
            Self::control(*link, &Message::Busy(busy), cx);
        }
    }

    /// A neighbor subscribed to a body: it is to have this author's next one without asking, as long as it takes the author from
    /// us.
    pub fn on_subscribed(&mut self, link: LinkId, id: &MessageId, cx: &Cx<'_>) {
        let Some(slot) = self.edges.get(&link).map(|edge| edge.slot) else {
            return;
        };
        let number = self.recent.number(&Self::short(id, cx));
        let Some(recent) = number.and_then(|number| self.recent.get_mut(number)) else {
            return;
        };
        recent.served.insert(slot);
        if !recent.bulk
            && let Some(state) = self.authors.get_mut(&recent.author)
            && !state.out_pruned.has(slot)
        {
            state.out_follow.insert(slot);
        }
    }

    /// A body is whole. If the author's supplier kept us waiting for it, whoever brought it takes its place.
    pub fn on_brought(&mut self, brought: &Brought, cx: &mut Cx<'_>) {
        let Some(by) = self.edges.get(&brought.by).map(|edge| edge.slot) else {
            return;
        };
        let number = self.recent.number(&Self::short(&brought.id, cx));
        if let Some(recent) = number.and_then(|number| self.recent.get_mut(number)) {
            recent.served.insert(by);
        }
        if brought.bulk {
            return self.fed(brought.by, by, brought.author, cx);
        }
        let supplier = (self.authors.get(&brought.author)).and_then(|state| state.supplier);
        let failed = brought.late.iter().find(|link| {
            let slot = self.edges.get(link).map(|edge| edge.slot);
            slot.is_some() && slot == supplier && slot != Some(by)
        });
        if let Some(failed) = failed {
            cx.stats.broadcast.supplier_failures += 1;
            self.make_supplier(&brought.author, by, cx);
            self.graft_author(brought.by, &brought.author, cx);
            if let Some(slot) = supplier {
                self.prune(*failed, slot, brought.author, cx);
            }
        }
    }

    /// Who brought bulk of an author is to send the next without being asked.
    fn fed(&mut self, link: LinkId, by: Slot, author: [u8; 32], cx: &mut Cx<'_>) {
        let Some(state) = self.authors.get_mut(&author) else {
            return;
        };
        let old = state.feeder.replace(by);
        if old == Some(by) {
            return;
        }
        Self::send_graft(link, Branch::Bulk(author), cx);
        if let Some(old) = old.and_then(|slot| self.slots.link(slot)) {
            Self::send_prune(old, Branch::Bulk(author), cx);
        }
    }

    /// What is to be told to `bodies`.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

/// News that a link has a large message.
pub(super) const fn holder(id: MessageId, link: LinkId, has: Has) -> News {
    News::Holder(Holding {
        id,
        link,
        has,
        hops: None,
        follows: false,
    })
}

/// Neighbors that the body of a message follows the head to.
pub(super) fn followed(large: bool, follow: Slots) -> Slots {
    if large { follow } else { Slots::default() }
}
