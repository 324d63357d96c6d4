//! Where actions go: links, dials, the store, the application. Executing one never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlay::action::{Delivery, Target};
use overlay::input::Verdict;
use overlay::wire::{self, MessageHeader};
use overlay::{Action, Event, Input, Lane, LinkId, Row, Token};
use tokio::sync::broadcast;

use super::Publisher;
use super::validate::Validators;
use crate::faults::{self, FaultPoint};
use crate::handle::NodeEvent;
use crate::snapshot::Counters;
use crate::store::StoreHandle;
use crate::subscription::Subscribers;
use crate::transport::link::Link;
use crate::transport::{Arrived, Transport};

pub(crate) struct Ports {
    pub(crate) links: BTreeMap<LinkId, Link>,
    last_link: u64,
    pub(crate) transport: Transport,
    pub(crate) store: StoreHandle,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) publisher: Publisher,
    validators: Validators,
    counters: Arc<Counters>,
    /// Messages on their way to the store: token and last cursor.
    unwritten: VecDeque<(Token, u64)>,
    /// What the core is to be told next.
    pub(crate) feedback: VecDeque<Input>,
}

impl Ports {
    pub(crate) fn new(
        transport: Transport,
        store: StoreHandle,
        subscribers: Arc<Subscribers>,
        events: broadcast::Sender<NodeEvent>,
        publisher: Publisher,
        validators: Validators,
    ) -> Self {
        let counters = transport.shared.counters.clone();
        Self {
            links: BTreeMap::new(),
            last_link: 0,
            transport,
            store,
            subscribers,
            events,
            publisher,
            validators,
            counters,
            unwritten: VecDeque::new(),
            feedback: VecDeque::new(),
        }
    }

    /// Gives a new connection its id and begins to read it; returns what the core is to be told.
    pub(crate) fn arrived(&mut self, arrived: Arrived) -> Input {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let rtt = arrived.connection.rtt();
        let local = self.transport.own_end(arrived.addr);
        self.transport.shared.inbox.open(link);
        self.links.insert(
            link,
            Link::start(
                link,
                arrived.connection,
                arrived.place,
                self.transport.shared.clone(),
            ),
        );
        Input::Connected {
            link,
            peer: arrived.peer,
            addr: arrived.addr,
            local,
            dialed: arrived.dialed,
            rtt,
        }
    }

    /// A frame has come in: the answer to a greeting of ours opens the connection.
    pub(crate) fn received(&mut self, link: LinkId, lane: Lane, frame: &Bytes) {
        if lane == Lane::Control && wire::tag_of(frame) == Some(wire::tag::ACCEPT) {
            self.greeted(link);
        }
    }

    fn greeted(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.widen();
            self.transport.shared.inbox.greeted(id);
        }
    }

    /// How much room a lane has now.
    pub(crate) fn room(&self, link: LinkId, lane: Lane) -> Option<Input> {
        let free_bytes = self.links.get(&link)?.room(lane);
        Some(Input::Lane {
            link,
            lane,
            free_bytes,
        })
    }

    /// Every row up to `token` is durable.
    pub(crate) fn persisted(&mut self, token: Token) {
        let mut durable = None;
        while let Some((_, cursor)) = self
            .unwritten
            .pop_front_if(|(written, _)| *written <= token)
        {
            durable = Some(cursor);
        }
        if let Some(cursor) = durable {
            self.subscribers.durable(cursor);
        }
    }

    pub(crate) fn execute(&mut self, action: Action) {
        match action {
            Action::Send { link, lane, bytes } => self.send(link, lane, bytes),
            Action::Dial { dial, peer, target } => self.transport.dial(dial, peer, target),
            Action::Close { link, code } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.close(code);
                }
            }
            Action::Persist { token, row } => {
                if let Row::Message(message) = &row {
                    let entries = message.entries.len() as u64;
                    let last = message
                        .first_cursor
                        .saturating_add(entries)
                        .saturating_sub(1);
                    self.unwritten.push_back((token, last));
                }
                self.store.persist(token, row);
            }
            Action::Load { token, key } => self.store.load(token, key),
            Action::Emit(event) => self.emit(event),
        }
    }

    fn send(&mut self, id: LinkId, lane: Lane, frame: Bytes) {
        faults::hit(FaultPoint::BeforeSend);
        let Some(link) = self.links.get_mut(&id) else {
            Counters::hit(&self.counters.sends_dropped);
            return;
        };
        let accepts = lane == Lane::Control && wire::tag_of(&frame) == Some(wire::tag::ACCEPT);
        if link.send(lane, frame) {
            if accepts {
                self.greeted(id);
            }
        } else {
            // The core keeps account, so this is rare; what was dropped is healed by repair.
            Counters::hit(&self.counters.sends_dropped);
            self.feedback.extend(self.room(id, lane));
        }
    }

    fn emit(&mut self, event: Event) {
        let event = match event {
            Event::Delivered(delivery) => return self.deliver(delivery),
            Event::Published { token, result } => {
                faults::hit(FaultPoint::BeforeAck);
                return self.publisher.published(token, result);
            }
            Event::Validate {
                token,
                header,
                entries,
            } => return self.ask(token, &header, &entries),
            Event::Equivocation { evidence } => NodeEvent::Equivocation { evidence },
            Event::NeighborUp {
                peer,
                addr,
                outbound,
            } => NodeEvent::NeighborUp {
                peer,
                addr,
                outbound,
            },
            Event::NeighborDown { peer, why } => NodeEvent::NeighborDown { peer, why },
            Event::Suspected { peer, silent } => NodeEvent::Suspected { peer, silent },
            Event::Failed {
                peer,
                silent,
                alive_elsewhere,
            } => NodeEvent::Failed {
                peer,
                silent,
                alive_elsewhere,
            },
            Event::Recovered { peer, silent } => NodeEvent::Recovered { peer, silent },
            Event::Isolated => NodeEvent::Isolated,
            Event::Rejoined { after } => NodeEvent::Rejoined { after },
            Event::SeedFailed {
                peer,
                target,
                reason,
                retry_in_ms,
            } => NodeEvent::SeedFailed {
                peer,
                target: match target {
                    Target::Addr(addr) => addr.to_string(),
                    Target::Name(name) => name.to_string(),
                },
                reason,
                retry_in: Duration::from_millis(retry_in_ms),
            },
            Event::ClockSkew { offset_ms } => NodeEvent::ClockSkew { offset_ms },
            Event::CloneDetected => NodeEvent::CloneDetected,
        };
        self.announce(event);
    }

    /// Hands an event to whoever listens.
    pub(crate) fn announce(&self, event: NodeEvent) {
        tracing::debug!(?event, "event");
        let _ = self.events.send(event); // nobody needs to listen
    }

    fn deliver(&self, delivery: Delivery) {
        faults::hit(FaultPoint::BeforeEmit);
        self.subscribers.deliver(delivery);
    }

    fn ask(&mut self, token: Token, header: &MessageHeader, entries: &[Bytes]) {
        if !self.validators.ask(token, header, entries) {
            self.feedback.push_back(Input::Verdict {
                token,
                verdict: Verdict::Accept,
            });
        }
    }
}
