//! From a QUIC handshake to an open link: hello, accept, refuse, and which of two connections to one peer is kept.
//!
//! A peer counts only when its hello (or accept) has been read: in TLS 1.3 the dialler's handshake succeeds before the acceptor
//! has judged it. Crossing dials: if both want to be neighbors, the connection that the smaller id dialled becomes the
//! neighbor and the other one serves as a visit, so that both ends still prove each other's address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{PeerId, Signed, Verified};

use super::dials::kind_for;
use super::{Change, Code, Link, Neighbors, Phase};
use crate::conduct::Conduct;
use crate::cx::Cx;
use crate::input::{DialId, Lane, LinkId};
use crate::peers::{Book, Dialing};
use crate::wire::{
    Accept, Hello, Message, PeerRecord, Purpose, Refuse, RetryAfter, VERSION, WireAddr,
};

/// A greeting under way.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    /// Our dial; `None` = the peer dialled us.
    pub(super) dial: Option<(DialId, Dialing)>,
    /// When we give up.
    pub(super) deadline: Instant,
}

impl Neighbors {
    /// A QUIC handshake finished.
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one input, and the data it touches"
    )]
    pub fn on_connected(
        &mut self,
        id: LinkId,
        peer: PeerId,
        addr: SocketAddr,
        local: Option<SocketAddr>,
        dialed: Option<DialId>,
        rtt: Duration,
        book: &mut Book,
        conduct: &Conduct,
        cx: &mut Cx<'_>,
    ) {
        cx.stats.neighbors.connected += 1;
        cx.out.open(id);
        let dial = dialed.and_then(|dial| Some((dial, book.dial_ended(dial)?)));
        let now = cx.now.mono;
        let note = |local| {
            self.own_address
                .note(local, cx.config.addresses, &self.links)
        };
        if local.is_some_and(note) {
            self.advertise(cx); // the greeting that follows carries the own record
        }
        let wanted = dial
            .as_ref()
            .map_or(Purpose::Visit, |(_, dialing)| kind_for(dialing.purpose));
        self.links.insert(
            id,
            Link {
                peer,
                addr,
                local,
                outbound: dialed.is_some(),
                phase: Phase::Greeting,
                kind: wanted,
                since: now,
                neighbor_since: None,
                last_in: now,
                rtt,
                announce_key: [0; 16],
                clock_offset_ms: 0,
                observed: None,
                newest: None,
                usefulness: 0,
            },
        );
        let deadline = now + cx.config.neighbors.greeting_timeout;
        self.greetings.insert(id, Greeting { dial, deadline });

        if peer == cx.me() {
            book.note_own_addr(addr, cx);
            cx.stats.neighbors.refused_own_key += 1;
            self.clone_seen |= dialed.is_none();
            self.close(id, Code::Myself, book, cx);
        } else if self.leaving {
            self.close(id, Code::Leaving, book, cx);
        } else if conduct.is_banned(&peer, cx.now) {
            cx.stats.neighbors.refused_banned += 1;
            self.close(id, Code::Banned, book, cx);
        } else if dialed.is_some() {
            self.greet(id, peer, addr, wanted, book, cx);
        } else if conduct.refused_softly(&peer, cx.now).is_some() {
            // It was told when to come back; its hello is not even read.
            cx.stats.neighbors.refused_early += 1;
            self.close(id, Code::Busy, book, cx);
        } else if let Some(code) = self.no_room_for(id, addr, book, cx) {
            cx.stats.neighbors.refused_full += 1;
            self.close(id, code, book, cx);
        }
    }

    /// Says hello on a connection we dialled.
    fn greet(
        &mut self,
        id: LinkId,
        peer: PeerId,
        addr: SocketAddr,
        wanted: Purpose,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        if self.links.outbound_to(&peer).is_some() {
            // A second dial of ours to the same peer; the first one is open and has proved what there was to prove.
            cx.stats.neighbors.refused_duplicate += 1;
            self.close(id, Code::Duplicate, book, cx);
            return;
        }
        let purpose = if self.links.is_neighbor(&peer) {
            Purpose::Visit
        } else {
            wanted
        };
        let announce_key = self.announce_key(id, cx);
        self.links.update(id, |link| link.kind = purpose);
        let hello = Hello {
            min_version: VERSION,
            max_version: VERSION,
            features: 0,
            network: *cx.network.as_bytes(),
            purpose,
            record: self.own.signed(),
            unix_ms: cx.now.unix_ms,
            observed: WireAddr(addr),
            announce_key,
        };
        cx.send(id, Lane::Control, &Message::Hello(Box::new(hello)));
    }

    /// One key for all links: ids are announced to us under it, so a message is looked up by one short id only.
    fn announce_key(&self, _id: LinkId, cx: &Cx<'_>) -> [u8; 16] {
        *cx.announce_key
    }

    /// The dialler's hello.
    pub fn on_hello(
        &mut self,
        id: LinkId,
        hello: &Hello,
        book: &mut Book,
        conduct: &mut Conduct,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Some(link) = self.links.get(id) else {
            return Ok(());
        };
        if link.phase == Phase::Closing {
            return Ok(());
        }
        if link.outbound || !self.greetings.contains_key(&id) {
            return Err(Code::Protocol);
        }
        let (peer, addr) = (link.peer, link.addr);
        let offset = clock_offset(hello.unix_ms, cx);
        let verified = match self.judge_hello(id, &peer, hello, cx) {
            Ok(record) => record,
            Err((code, seconds)) => {
                let retry_after = RetryAfter::from_secs(seconds);
                match code {
                    Code::Duplicate => cx.stats.neighbors.refused_duplicate += 1,
                    Code::Full => cx.stats.neighbors.refused_full += 1,
                    _ => cx.stats.neighbors.refused_other += 1,
                }
                if code != Code::Duplicate {
                    // (The older connection may be gone sooner than we said.)
                    conduct.refuse_softly(peer, retry_after.duration(), cx);
                }
                self.refuse(id, code, retry_after, book, cx);
                return Ok(());
            }
        };
        let purpose = self.grant(id, &peer, addr, hello.purpose, book, cx);
        let accept = Accept {
            version: VERSION,
            features: 0,
            purpose,
            record: self.own.signed(),
            unix_ms: cx.now.unix_ms,
            observed: WireAddr(addr),
            announce_key: self.announce_key(id, cx),
        };
        cx.send(id, Lane::Control, &Message::Accept(Box::new(accept)));
        self.greetings.remove(&id);
        self.links.update(id, |link| {
            link.phase = Phase::Open;
            link.kind = Purpose::Visit;
            link.announce_key = hello.announce_key;
            link.clock_offset_ms = offset;
            link.observed = Some(hello.observed.0);
        });
        cx.stats.neighbors.opened += 1;
        self.changes.push(Change::Opened {
            link: id,
            peer,
            addr,
            record: verified,
            dial: None,
        });
        if purpose == Purpose::Neighbor {
            self.neighbor_up(id, cx);
        }
        self.upkeep
            .watch_idle(id, cx.config.neighbors.visit_idle * 3, cx.now.mono);
        Ok(())
    }

    fn judge_hello(
        &mut self,
        id: LinkId,
        peer: &PeerId,
        hello: &Hello,
        cx: &mut Cx<'_>,
    ) -> Result<Verified<PeerRecord>, (Code, u16)> {
        if hello.network != *cx.network.as_bytes() {
            return Err((Code::WrongNetwork, 3600));
        }
        if hello.min_version > VERSION || hello.max_version < VERSION {
            return Err((Code::Version, 3600));
        }
        let record = own_record_of(peer, &hello.record, cx).ok_or((Code::BadRecord, 60))?;
        self.links.note_shown(peer, &record);
        let older = self
            .links
            .of_peer(peer)
            .find(|(other, link)| *other != id && !link.outbound && link.phase != Phase::Closing);
        if let Some((older, link)) = older {
            // The peer may have restarted, or someone may hold a copy of its key: the older connection stays if it lives.
            let alive_to = link.last_in + cx.config.neighbors.ping_timeout;
            if link.is_open() && alive_to < cx.now.mono {
                self.ping(older, cx);
            }
            return Err((Code::Duplicate, 3));
        }
        Ok(record)
    }

    /// What the peer gets of what it asked for.
    fn grant(
        &mut self,
        id: LinkId,
        peer: &PeerId,
        addr: SocketAddr,
        wanted: Purpose,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Purpose {
        if wanted == Purpose::Visit {
            return Purpose::Visit;
        }
        if self.links.is_neighbor(peer) || (self.asks(peer, book) && cx.me() < *peer) {
            return Purpose::Visit;
        }
        if self.no_inbound_slot(id, addr, book, cx) {
            Purpose::Visit
        } else {
            Purpose::Neighbor
        }
    }

    /// Whether we are ourselves on the way to become a neighbor of this peer.
    fn asks(&self, peer: &PeerId, book: &Book) -> bool {
        book.is_dialing_neighbor(peer)
            || self.links.of_peer(peer).any(|(id, link)| {
                link.outbound
                    && (self.requests.contains_key(&id)
                        || (self.greetings.contains_key(&id) && link.kind == Purpose::Neighbor))
            })
    }

    /// The acceptor's yes.
    pub fn on_accept(
        &mut self,
        id: LinkId,
        accept: &Accept,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Some(link) = self.links.get(id) else {
            return Ok(());
        };
        if link.phase == Phase::Closing {
            return Ok(());
        }
        let (peer, addr, asked) = (link.peer, link.addr, link.kind);
        if !link.outbound
            || accept.version != VERSION
            || (asked == Purpose::Visit && accept.purpose != asked)
        {
            return Err(Code::Protocol);
        }
        let Some(greeting) = self.greetings.remove(&id) else {
            return Err(Code::Protocol);
        };
        let Some(record) = own_record_of(&peer, &accept.record, cx) else {
            self.greeting_failed(greeting, Err(Code::BadRecord), book, cx);
            return Err(Code::BadRecord);
        };
        self.links.note_shown(&peer, &record);
        let offset = clock_offset(accept.unix_ms, cx);
        self.links.update(id, |link| {
            link.phase = Phase::Open;
            link.kind = Purpose::Visit;
            link.announce_key = accept.announce_key;
            link.clock_offset_ms = offset;
            link.observed = Some(accept.observed.0);
        });
        cx.stats.neighbors.opened += 1;
        book.proven(peer, addr, record.clone(), cx);
        self.clock.note(&peer, addr, offset, accept.observed.0, cx);
        let dial = greeting
            .dial
            .as_ref()
            .map(|(dial, dialing)| (*dial, dialing.purpose));
        self.upkeep
            .dial_succeeded(&peer, dial.map(|(_, purpose)| purpose), cx);
        self.changes.push(Change::Opened {
            link: id,
            peer,
            addr,
            record,
            dial,
        });
        if accept.purpose == Purpose::Neighbor && !self.links.is_neighbor(&peer) {
            if self.has_room_outbound(&peer, cx) {
                self.neighbor_up(id, cx);
            } else {
                // Others were dialled in its stead when it was slow to answer. It counts us as a neighbor, so a visit would not do.
                self.close(id, Code::Rotated, book, cx);
                return Ok(());
            }
        }
        self.upkeep
            .watch_idle(id, cx.config.neighbors.visit_idle, cx.now.mono);
        self.bridge(id, dial.map(|(_, purpose)| purpose), book, cx);
        Ok(())
    }

    /// Whether a peer that we dialled may still become an outbound neighbor. Those who are to be kept whatever happens always may.
    pub(super) fn has_room_outbound(&self, peer: &PeerId, cx: &Cx<'_>) -> bool {
        self.links.outbound_neighbors() < cx.config.neighbors.outbound
            || cx.config.persistent.iter().any(|seed| seed.peer == *peer)
    }

    /// The acceptor's no: the peer is left alone for as long as it asks (at most [`RetryAfter::LONGEST`]), and for our own back-off
    /// in any case.
    pub fn on_refuse(
        &mut self,
        id: LinkId,
        refuse: Refuse,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Some(link) = self.links.get(id) else {
            return Ok(());
        };
        if link.phase == Phase::Closing {
            return Ok(());
        }
        let Some((dial, dialing)) = self
            .greetings
            .remove(&id)
            .and_then(|greeting| greeting.dial)
        else {
            return Err(Code::Protocol);
        };
        cx.stats.neighbors.dials_refused += 1;
        let (reason, wait) = (Code::from_u16(refuse.code), refuse.retry_after.duration());
        self.dial_failed(dial, dialing, Err(reason), wait, book, cx);
        self.close(id, Code::Goodbye, book, cx);
        Ok(())
    }

    fn refuse(
        &mut self,
        id: LinkId,
        code: Code,
        retry_after: RetryAfter,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        cx.send(
            id,
            Lane::Control,
            &Message::Refuse(Refuse {
                code: code.to_u16(),
                retry_after,
            }),
        );
        self.close(id, code, book, cx);
    }

    /// Either end asks on an open link to become neighbors.
    pub fn on_neighbor_request(&mut self, id: LinkId, book: &mut Book, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(id).filter(|link| link.is_open()) else {
            return;
        };
        let (peer, addr) = (link.peer, link.addr);
        let crossing = self.requests.contains_key(&id);
        let room = !link.outbound || self.has_room_outbound(&peer, cx);
        let granted = link.is_neighbor()
            || (room && crossing)
            || (room
                && !self.leaving
                && self.grant(id, &peer, addr, Purpose::Neighbor, book, cx) == Purpose::Neighbor);
        let code = (!granted).then_some(Code::Full.to_u16());
        cx.send(id, Lane::Control, &Message::NeighborReply(code));
        if granted && !self.links.is_neighbor(&peer) {
            self.neighbor_up(id, cx);
        }
    }

    /// The answer to our request to become neighbors.
    pub fn on_neighbor_reply(
        &mut self,
        id: LinkId,
        refused: Option<u16>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        // A lane may be slow: an answer that comes after its time was asked for all the same.
        if self.requests.remove(&id).is_none() && !self.overdue.remove(&id) {
            return Err(Code::Protocol);
        }
        let Some(link) = self.links.get(id).filter(|link| link.is_open()) else {
            return Ok(());
        };
        let (peer, outbound) = (link.peer, link.outbound);
        if refused.is_some() {
            cx.stats.neighbors.dials_refused += 1;
            self.upkeep.refused(&peer, cx);
            return Ok(());
        }
        if self.links.is_neighbor(&peer) {
            return Ok(());
        }
        if !outbound || self.has_room_outbound(&peer, cx) {
            self.neighbor_up(id, cx);
        } else {
            // Others have taken the room since we asked; the peer counts us as a neighbor from now on.
            self.close(id, Code::Rotated, book, cx);
        }
        Ok(())
    }

    /// Greetings and requests whose time is up.
    pub(super) fn expire_greetings(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let late: Vec<LinkId> = self
            .greetings
            .iter()
            .filter(|(_, g)| g.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            cx.stats.neighbors.greeting_timeouts += 1;
            self.close(id, Code::Timeout, book, cx);
        }
        let overdue = self.requests.extract_if(.., |_, deadline| *deadline <= now);
        self.overdue.extend(overdue.map(|(id, _)| id));
    }
}

/// The record a peer shows of itself. Its date is not judged here: the peer is present, and one of the two clocks may be off,
/// which `ClockWatch` is there to find out; the book does not pass on what is out of date.
fn own_record_of(
    peer: &PeerId,
    record: &Signed<PeerRecord>,
    cx: &mut Cx<'_>,
) -> Option<Verified<PeerRecord>> {
    if record.value.id != *peer.as_bytes() {
        return None;
    }
    record.clone().verify(cx.network, cx.keys).ok()
}

fn clock_offset(theirs_ms: u64, cx: &Cx<'_>) -> i64 {
    i64::try_from(i128::from(theirs_ms) - i128::from(cx.now.unix_ms)).unwrap_or(i64::MAX)
}
