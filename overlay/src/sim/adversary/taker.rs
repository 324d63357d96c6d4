//! Hostile nodes that attack the spreading of messages. In membership each is an honest node: a core of the real code makes and keeps
//! its links. What its neighbors hear of messages is made here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crypto::NetworkId;

use crate::action::Action;
use crate::input::{Input, Lane, LinkId, Now};
use crate::overlay::Overlay;
use crate::sim::scenario::Adversary;
use crate::sim::world::Actor;
use crate::wire::{
    self, Announce, Bounded, Branch, Glance, Graft, Have, Message, Want, glance, id_of, short_id,
    tag,
};

/// The latest messages that one remembers to have announced.
const SEEN: usize = 16_384;

/// One hostile node that takes messages.
#[derive(Debug)]
pub struct Taker {
    core: Box<Overlay>,
    attack: Adversary,
    network: NetworkId,
    /// It behaves until then.
    from: Instant,
    out: VecDeque<Action>,
    /// Neighbors that were asked for everything.
    asked: BTreeSet<LinkId>,
    seen: BTreeSet<(u64, u64)>,
    seen_order: VecDeque<(u64, u64)>,
    /// Bytes that the core thinks are under way and that were never sent.
    dropped: BTreeMap<(LinkId, Lane), usize>,
}

impl Taker {
    /// Sits at the doors of this core, which belongs to `network`, and attacks as `attack` says from a moment on.
    #[must_use]
    pub(in crate::sim) fn new(
        core: Box<Overlay>,
        attack: Adversary,
        network: NetworkId,
        from: Instant,
    ) -> Self {
        Self {
            core,
            attack,
            network,
            from,
            out: VecDeque::new(),
            asked: BTreeSet::new(),
            seen: BTreeSet::new(),
            seen_order: VecDeque::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// Whether the core does not get to know of this frame.
    const fn keeps_from_core(&self, tag: u8) -> bool {
        // All others' cores take part: they decide what is missing, ask for it, and tell who need not push.
        matches!(self.attack, Adversary::Leech) && tag::is_dissemination(tag)
    }

    /// Whether a frame of the core's does not leave.
    const fn keeps_in(&self, tag: u8) -> bool {
        match self.attack {
            Adversary::Silent | Adversary::Bait => {
                let asks = matches!(
                    tag,
                    tag::GRAFT | tag::PRUNE | tag::WANT | tag::CANCEL | tag::RECONCILE | tag::FETCH
                );
                tag::is_dissemination(tag) && !asks
            }
            _ => tag::is_dissemination(tag),
        }
    }

    /// Takes what the core wants done, but for what it shall not say.
    fn take(&mut self, attacks: bool) {
        while let Some(action) = self.core.poll_action() {
            if attacks
                && let Action::Send { link, lane, bytes } = &action
                && bytes.get(1).is_some_and(|tag| self.keeps_in(*tag))
            {
                *self.dropped.entry((*link, *lane)).or_default() += bytes.len();
            } else {
                self.out.push_back(action);
            }
        }
    }

    /// Gives the core's lanes back what never went out, before the core holds them to be full.
    fn give_back(&mut self, now: Now) {
        let full = |((link, lane), bytes): (&(LinkId, Lane), &usize)| {
            (*bytes > lane.capacity() / 4).then_some((*link, *lane))
        };
        let lanes: Vec<(LinkId, Lane)> = self.dropped.iter().filter_map(full).collect();
        for (link, lane) in lanes {
            self.dropped.remove(&(link, lane));
            let free_bytes = lane.capacity();
            let input = Input::Lane {
                link,
                lane,
                free_bytes,
            };
            self.core.handle(now, input);
            self.take(true);
        }
    }

    /// Asks new neighbors for everything.
    fn ask_for_everything(&mut self) {
        let links = self.core.rooms().links;
        let now: BTreeSet<LinkId> = links.neighbors().map(|(link, _)| link).collect();
        let new: Vec<LinkId> = now.difference(&self.asked).copied().collect();
        self.asked = now;
        for link in new {
            let graft = Graft {
                branch: Some(Branch::Default),
                ids: Bounded::default(),
                once: false,
            };
            self.say(link, &Message::Graft(graft));
        }
    }

    fn say(&mut self, link: LinkId, message: &Message) {
        self.out.push_back(Action::Send {
            link,
            lane: Lane::Control,
            bytes: wire::encode(message),
        });
    }

    /// Asks a neighbor for all that it has just told of: each message, and each body, is asked of everybody who has it.
    fn take_everything(&mut self, link: LinkId, bytes: &bytes::Bytes) {
        let asks = |tag: &u8| matches!(*tag, tag::ANNOUNCE | tag::HAVE | tag::HEAD);
        if !bytes.get(1).is_some_and(asks) {
            return;
        }
        let asked = match wire::decode(bytes) {
            Ok(Message::Announce(Announce { ids }) | Message::Have(Have { ids })) => {
                Message::Graft(Graft {
                    branch: None,
                    ids,
                    once: false,
                })
            }
            Ok(Message::Head(head)) if !head.follows => Message::Want(Want {
                id: head.signed.value.id(&self.network).to_bytes(),
                from: 0,
                to: u16::try_from(head.manifest.len()).unwrap_or(u16::MAX),
            }),
            _ => return,
        };
        self.say(link, &asked);
    }

    /// A neighbor sent something about messages.
    fn heard(&mut self, link: LinkId, bytes: &bytes::Bytes) {
        if self.attack == Adversary::Leech {
            self.take_everything(link, bytes);
        }
        if self.attack != Adversary::Bait {
            return;
        }
        let (name, large) = match glance(bytes) {
            Some(Glance::Whole { name, .. }) => (name, false),
            Some(Glance::Head { name }) => (name, true),
            Some(Glance::Chunk { .. }) | None => return,
        };
        if !self.seen.insert(name) {
            return;
        }
        self.seen_order.push_back(name);
        if self.seen_order.len() > SEEN
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        let Some(id) = id_of(bytes, &self.network) else {
            return;
        };
        let links = self.core.rooms().links.neighbors();
        let keys: Vec<(LinkId, [u8; 16])> = links
            .filter(|(other, _)| *other != link)
            .map(|(other, row)| (other, row.announce_key))
            .collect();
        for (other, key) in keys {
            let ids = Bounded::truncated(vec![short_id(&key, &id)]);
            // That the body is there too is the better bait.
            let message = if large {
                Message::Have(Have { ids })
            } else {
                Message::Announce(Announce { ids })
            };
            self.say(other, &message);
        }
    }
}

impl Actor for Taker {
    fn handle(&mut self, now: Now, input: Input) {
        let attacks = now.mono >= self.from;
        if let Input::Frame { link, bytes, .. } = &input
            && attacks
        {
            self.heard(*link, bytes);
            if bytes.get(1).is_some_and(|tag| self.keeps_from_core(*tag)) {
                return;
            }
        }
        self.core.handle(now, input);
        self.take(attacks);
        if !attacks {
            return;
        }
        if self.attack == Adversary::Leech {
            self.ask_for_everything();
        } else {
            self.give_back(now);
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.core.next_timeout()
    }

    fn core(&self) -> Option<&Overlay> {
        Some(&self.core)
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
