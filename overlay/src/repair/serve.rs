//! Serving what others ask for: in the order asked, within a budget per link, as their lane has room.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use crate::action::{Action, Key, Row};
use crate::collections::TokenBucket;
use crate::cx::{Cx, FRAME_OVERHEAD};
use crate::input::{Lane, LinkId, Token};
use crate::messages::{MAX_INLINE, Messages, packed};
use crate::wire::{Bounded, FetchMissing, MAX_FETCH, MAX_FRAME, Message};

/// Rows read ahead for one link.
const READ_AHEAD: usize = 8;
/// Rows read at once while they are long ones.
const LONG_LOADS: usize = 2;
/// Until it is looked again whether the store is free.
const RETRY: Duration = Duration::from_millis(5);
/// What an id that is not here costs of a link's budget, bytes: nobody asks for many of them in good faith.
const MISS_COST: u64 = 4096;

#[derive(Debug)]
enum Slot {
    Waiting,
    Loading,
    Ready(Bytes),
    Missing,
}

#[derive(Debug)]
struct Customer {
    queue: VecDeque<(MessageId, Slot)>,
    missing: Vec<[u8; 32]>,
    budget: TokenBucket,
    /// When the budget allows more.
    wake: Option<Instant>,
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// What is asked of us, by links that have asked at all. Capped per link (ids) and over all (rows read and not sent).
#[derive(Debug)]
pub(super) struct Serve {
    links: BTreeMap<LinkId, Customer>,
    loads: BTreeMap<Token, (LinkId, MessageId)>,
    /// The last row read was a long one.
    long: bool,
    /// Rows read, or being read, that were not sent yet.
    held: usize,
    /// No customer's `wake` is earlier.
    wake: Option<Instant>,
}

impl Serve {
    pub(super) fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            loads: BTreeMap::new(),
            long: false,
            held: 0,
            wake: None,
        }
    }

    /// A link is gone; returns whether it had asked for anything.
    pub(super) fn closed(&mut self, link: LinkId) -> bool {
        let Some(customer) = self.links.remove(&link) else {
            return false;
        };
        let ready = |(_, slot): &&(MessageId, Slot)| matches!(slot, Slot::Ready(_));
        self.held -= customer.queue.iter().filter(ready).count();
        // Rows still being read are given up when they come.
        true
    }

    /// An open link asks for messages.
    pub(super) fn asked(
        &mut self,
        link: LinkId,
        ids: Vec<[u8; 32]>,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) {
        let config = &cx.config.repair;
        let customer = self.links.entry(link).or_insert_with(|| Customer {
            queue: VecDeque::new(),
            missing: Vec::new(),
            budget: TokenBucket::new(
                config.serve_burst.max(MAX_FRAME as u64),
                config.serve_per_sec,
                cx.now.mono,
            ),
            wake: None,
        });
        cx.stats.repair.asked += ids.len() as u64;
        for id in ids {
            if customer.queue.len() < cx.config.repair.max_queue {
                customer
                    .queue
                    .push_back((MessageId::from_bytes(id), Slot::Waiting));
            } else {
                cx.stats.repair.not_served += 1;
                customer.refuse(id);
            }
        }
        self.pump(link, messages, cx);
    }

    /// Takes a row read from the store. Call [`pump_due`](Self::pump_due) afterwards.
    pub(super) fn on_loaded(&mut self, token: Token, row: Option<Row>, cx: &mut Cx<'_>) {
        let Some((link, id)) = self.loads.remove(&token) else {
            return;
        };
        let slot = self.links.get_mut(&link).and_then(|customer| {
            customer.wake = Some(cx.now.mono);
            self.wake = Some(cx.now.mono);
            let loading = |(other, slot): &&mut (MessageId, Slot)| {
                *other == id && matches!(slot, Slot::Loading)
            };
            customer.queue.iter_mut().find(loading)
        });
        let Some((_, slot)) = slot else {
            self.held -= 1;
            return;
        };
        if let Some(Row::Message(stored)) = row {
            self.long = stored.signed.value.body_len as usize > MAX_INLINE;
            // Of a large message the head: its body is asked for in its own time.
            *slot = Slot::Ready(packed(stored.signed, stored.entries, MAX_INLINE).0);
        } else {
            self.held -= 1;
            *slot = Slot::Missing;
        }
    }

    /// Serves the links whose rows have come or whose budget allows more.
    pub(super) fn pump_due(&mut self, messages: &Messages, cx: &mut Cx<'_>) {
        if self.wake.is_none_or(|at| cx.now.mono < at) {
            return;
        }
        let due: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, customer)| customer.wake.is_some_and(|at| at <= cx.now.mono))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            self.pump(link, messages, cx);
        }
        self.wake = self
            .links
            .values()
            .filter_map(|customer| customer.wake)
            .min();
    }

    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// Serves a link as far as rows, budget and room allow.
    pub(super) fn pump(&mut self, link: LinkId, messages: &Messages, cx: &mut Cx<'_>) {
        let Some(customer) = self.links.get_mut(&link) else {
            return;
        };
        customer.wake = None;
        let mut blocked = false;
        while let Some((id, slot)) = customer.queue.front() {
            let frame = match slot {
                Slot::Ready(frame) => Some(frame.clone()),
                Slot::Waiting => messages.to_serve(id),
                Slot::Loading | Slot::Missing => None,
            };
            if let Some(frame) = frame {
                let size = frame.len() as u64;
                if cx.out.room(link, Lane::Bulk) < frame.len() + FRAME_OVERHEAD {
                    blocked = true; // on_room comes
                    break;
                }
                if !customer.budget.take(size, cx.now.mono) {
                    customer.wake = customer.budget.ready_at(size);
                    self.wake = earlier(self.wake, customer.wake);
                    blocked = true;
                    break;
                }
                cx.send_bytes(link, Lane::Bulk, frame);
                cx.stats.repair.served += 1;
                cx.stats.repair.served_bytes += size;
            } else if matches!(slot, Slot::Missing) {
                let id = id.to_bytes();
                cx.stats.repair.not_served += 1;
                customer.refuse(id);
                let cost = MISS_COST.min(customer.budget.available(cx.now.mono));
                customer.budget.take(cost, cx.now.mono);
            } else {
                break;
            }
            if let Some((_, Slot::Ready(_))) = customer.queue.pop_front() {
                self.held -= 1;
            }
        }
        if blocked {
            self.held -= customer.put_back();
        } else {
            self.read_ahead(link, messages, cx);
        }
        if let Some(customer) = self.links.get_mut(&link) {
            customer.send_refusals(link, cx);
        }
    }

    /// Asks the store for the next few rows of a link, in order.
    fn read_ahead(&mut self, link: LinkId, messages: &Messages, cx: &mut Cx<'_>) {
        let Some(customer) = self.links.get_mut(&link) else {
            return;
        };
        for (id, slot) in customer.queue.iter_mut().take(READ_AHEAD) {
            if !matches!(slot, Slot::Waiting) || messages.to_serve(id).is_some() {
                continue;
            }
            let most = if self.long { LONG_LOADS } else { usize::MAX };
            if self.held >= cx.config.repair.max_loads || self.loads.len() >= most {
                // Others are first.
                customer.wake = Some(cx.now.mono + RETRY);
                self.wake = earlier(self.wake, customer.wake);
                return;
            }
            let token = cx.out.token();
            cx.out.push(Action::Load {
                token,
                key: Key::Message(*id),
            });
            cx.stats.repair.loads += 1;
            self.loads.insert(token, (link, *id));
            self.held += 1;
            *slot = Slot::Loading;
        }
    }
}

impl Customer {
    /// Gives up the rows that were read, to be read again: who does not read must not keep others from being served.
    /// Returns how many.
    fn put_back(&mut self) -> usize {
        let mut rows = 0;
        for (_, slot) in self.queue.iter_mut().take(READ_AHEAD) {
            if matches!(slot, Slot::Ready(_)) {
                *slot = Slot::Waiting;
                rows += 1;
            }
        }
        rows
    }

    fn refuse(&mut self, id: [u8; 32]) {
        // One frame's worth; who asks for more than the queue holds is not owed an answer to each.
        if self.missing.len() < MAX_FETCH {
            self.missing.push(id);
        }
    }

    fn send_refusals(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let frame = MAX_FETCH * 32 + 8 + FRAME_OVERHEAD;
        if self.missing.is_empty() || cx.out.room(link, Lane::Bulk) < frame {
            return;
        }
        let ids = Bounded::truncated(std::mem::take(&mut self.missing));
        cx.send(
            link,
            Lane::Bulk,
            &Message::FetchMissing(FetchMissing { ids }),
        );
    }
}
