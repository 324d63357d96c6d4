//! The push-pull exchange from its caller's end: whom to visit, and what to take from the answer.

use std::net::SocketAddr;
use std::time::Instant;

use crypto::{PeerId, Verified};
use rand::seq::SliceRandom as _;

use super::young::Young;
use super::{Sampling, Stage, Visit};
use crate::action::Target;
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::neighbors::{Change, Code, Link, Links};
use crate::peers::{Book, DialPurpose, Heard, MAX_GONE, Marks, Source};
use crate::rules::Rule;
use crate::wire::{
    Bounded, ExchangeReply, ExchangeRequest, ListItem, MAX_LIST, Message, PeerRecord,
};

impl Sampling {
    /// A fact about links.
    pub fn on_change(
        &mut self,
        change: &Change,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        self.absorb(book, cx);
        match change {
            Change::Opened {
                link,
                peer,
                dial: Some((_, purpose)),
                ..
            } => self.on_outbound(*link, *peer, *purpose, own, book, links, cx),
            Change::DialFailed { dial, peer, .. } => {
                let ours = |visit: &Visit| visit.stage == Stage::Dialing(*dial);
                if self.visits.get(peer).is_some_and(ours) {
                    self.visits.remove(peer);
                    cx.stats.sampling.visits_failed += 1;
                }
            }
            Change::Closed { link, peer } => {
                self.asked.remove(link);
                let ours = |visit: &Visit| visit.stage == Stage::Asked(*link);
                if self.visits.get(peer).is_some_and(ours) {
                    self.visits.remove(peer);
                    cx.stats.sampling.visits_failed += 1;
                }
            }
            Change::Opened { .. } | Change::NeighborUp { .. } | Change::NeighborDown { .. } => {}
        }
        if matches!(change, Change::Opened { .. } | Change::DialFailed { .. }) {
            self.pump(book, cx);
        }
    }

    /// A dial of ours succeeded: it may have been for a visit, and while young every open link is worth one.
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one change, and the data it touches"
    )]
    fn on_outbound(
        &mut self,
        link: LinkId,
        peer: PeerId,
        purpose: DialPurpose,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        if !links.get(link).is_some_and(Link::is_open) {
            return;
        }
        let meant = match self.visits.get(&peer).map(|visit| visit.stage) {
            Some(Stage::Dialing(_)) => true,
            Some(Stage::Asked(_)) => return,
            None => false,
        };
        let asked_and_left = matches!(
            purpose,
            DialPurpose::Seed
                | DialPurpose::Persistent
                | DialPurpose::Anchor
                | DialPurpose::Archive
        );
        let room = self.visits.len() < cx.config.sampling.parallel_opened;
        let rich = self.young.as_ref().is_some_and(Young::is_rich);
        if meant || (room && (asked_and_left || rich)) {
            self.visits.remove(&peer);
            self.ask(link, peer, own, book, cx);
        }
    }

    /// Begins visits to the members whose proofs are oldest.
    pub(super) fn visit_members(
        &mut self,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        if let Some(young) = &mut self.young {
            young.give_up_lost(book);
        }
        self.next_exchange = Some(self.next_tick(cx));
        let parallel = cx.config.sampling.parallel.max(1);
        // One visit a period, but two under way, so that one silent member does not stop the clock.
        let (mut budget, most) = if self.is_young() {
            (parallel, parallel)
        } else {
            (1, parallel.div_ceil(4).max(2))
        };
        let mut order = self.by_age(book, cx);
        if !cx.rules.hold(Rule::OldestFirst) {
            order.shuffle(cx.rng);
        }
        while budget > 0 && self.visits.len() < most {
            let Some((_, _, peer)) = order.pop() else {
                break;
            };
            // Who may be dead is dialled again by `recheck`, not visited.
            let doubtful = book.failures_of(&peer) > 0 && links.outbound_to(&peer).is_none();
            if doubtful || self.visits.contains_key(&peer) || book.is_dialing(&peer) {
                continue;
            }
            budget -= usize::from(self.visit(peer, own, book, links, cx));
        }
    }

    /// Members in the reverse order of their turn, those left out who were visited a moment ago: oldest proof (or last visit, where a visit
    /// could not renew it) last, the least used last among equals.
    fn by_age(&self, book: &Book, cx: &Cx<'_>) -> Vec<(Instant, u64, PeerId)> {
        let now = cx.now.mono;
        let spacing = cx.config.sampling.fast_period;
        let turns = self.view.memory.turns().into_iter();
        let mut order: Vec<(Instant, u64, PeerId)> = turns
            .filter(|turn| {
                turn.visited
                    .is_none_or(|at| now.saturating_duration_since(at) >= spacing)
            })
            .filter_map(|turn| {
                let proven = book.proven_at(&turn.peer)?;
                let at = turn.visited.map_or(proven, |at| at.max(proven));
                Some((at, turn.uses, turn.peer))
            })
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        order
    }

    /// Begins a visit: over the open link that we dialled, else by a dial. False when nothing came of it.
    fn visit(
        &mut self,
        peer: PeerId,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> bool {
        self.view.memory.visited(&peer, cx.now.mono);
        let open = links.outbound_to(&peer);
        if let Some((link, _)) = open {
            return self.ask(link, peer, own, book, cx);
        }
        let Some(addr) = book.proven_addr(&peer) else {
            return false;
        };
        match book.try_dial(peer, Target::Addr(addr), DialPurpose::Exchange, cx) {
            Ok(dial) => {
                self.begin(peer, Stage::Dialing(dial), cx);
                true
            }
            Err(_) => {
                cx.stats.sampling.visits_refused += 1;
                false
            }
        }
    }

    fn begin(&mut self, peer: PeerId, stage: Stage, cx: &mut Cx<'_>) {
        let deadline = cx.now.mono + cx.config.sampling.visit_timeout;
        self.visits.insert(peer, Visit { stage, deadline });
        self.view.memory.used(&peer);
    }

    /// Sends the request of an exchange.
    fn ask(
        &mut self,
        link: LinkId,
        peer: PeerId,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> bool {
        // One question at a time on a link; one that came too late for its visit may still be answered.
        if self.asked.contains_key(&link) {
            return false;
        }
        let config = &cx.config.sampling;
        let want = if self.is_young() {
            config.list_young
        } else {
            config.list
        };
        let want = usize::from(want).min(MAX_LIST);
        let mut list = self.view.share(config.push, 0, &peer, book, cx.rng, cx.now);
        list.extend(book.gone(MAX_GONE, cx));
        let request = ExchangeRequest {
            record: own.signed().clone(),
            want: u8::try_from(want).unwrap_or(u8::MAX),
            list: Bounded::truncated(list),
        };
        let want = request.want;
        if !cx.send(
            link,
            Lane::Control,
            &Message::ExchangeRequest(Box::new(request)),
        ) {
            cx.stats.sampling.visits_refused += 1;
            return false;
        }
        cx.stats.sampling.exchanges += 1;
        if let Some(young) = &mut self.young {
            young.begun(cx.now.mono);
        }
        self.asked.insert(link, want);
        self.begin(peer, Stage::Asked(link), cx);
        true
    }

    /// Visits whose time is up count as failed dials. The answer may still come: it is taken as any other.
    pub(super) fn expire_visits(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let late: Vec<(PeerId, Stage)> = self
            .visits
            .iter()
            .filter(|(_, visit)| visit.deadline <= now)
            .map(|(peer, visit)| (*peer, visit.stage))
            .collect();
        for (peer, stage) in late {
            self.visits.remove(&peer);
            cx.stats.sampling.visits_timed_out += 1;
            // A dial that hangs is the driver's to report.
            if matches!(stage, Stage::Asked(_)) {
                book.unanswered(&peer, cx);
            }
        }
        self.absorb(book, cx);
    }

    /// The answer to an exchange we started.
    ///
    /// # Errors
    /// The other end is at fault: an answer to no question or longer than asked for, a record that is not its own or not good, a
    /// list with a bad signature.
    pub fn on_reply(
        &mut self,
        link: LinkId,
        reply: ExchangeReply,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Some((peer, addr)) = open_end(link, links) else {
            return Ok(());
        };
        let want = self.asked.remove(&link).ok_or(Code::Protocol)?;
        let ours = |visit: &Visit| visit.stage == Stage::Asked(link);
        if self.visits.get(&peer).is_some_and(ours) {
            self.visits.remove(&peer);
        }
        if reply.list.len() > usize::from(want) {
            return Err(Code::Protocol);
        }
        if reply.record.value.id != *peer.as_bytes() {
            return Err(Code::BadRecord);
        }
        let newer = book.check(&reply.record, cx).map_err(|_| Code::BadRecord)?;
        if let Some(record) = newer.or_else(|| book.record_of(&peer).cloned()) {
            book.renewed(peer, addr, record, cx);
        }
        cx.stats.sampling.answered += 1;
        cx.stats.sampling.answered_empty += u64::from(reply.list.is_empty());
        let found = self.pull(peer, &reply.list, own, book, cx)?;
        self.absorb(book, cx);
        self.judge_yield(found, cx);
        self.answered(book, cx);
        self.pump(book, cx);
        Ok(())
    }

    /// Takes what is new and would win a slot from a list we asked for; returns how many.
    fn pull(
        &mut self,
        from: PeerId,
        list: &[ListItem],
        own: &Verified<PeerRecord>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<usize, Code> {
        let mut found = 0;
        self.hear_of_gone(list, book, cx)?;
        let repeats = repeats(list);
        for (n, item) in list.iter().enumerate() {
            if item.proven == 0 {
                continue;
            }
            cx.stats.sampling.pulled += 1;
            if repeats >> n & 1 == 1 {
                cx.stats.sampling.repeated += 1;
                continue;
            }
            if self.is_of_clone(item, own, cx)? {
                continue;
            }
            let record = &item.record.value;
            let known = book.version_of(&record.id);
            let proven = book.is_proven(&record.id);
            let news = known.is_none_or(|version| version < record.version);
            // Whoever would have won nothing when it was first heard of may win a slot that has been reset since.
            let winning = if news || !proven {
                self.winning(item, book)
            } else {
                None
            };
            // A proven peer that has moved keeps its place in the queue; a spare that only has a newer record stays a spare.
            let wins = winning.is_some() || proven;
            let heard = self.hear(from, item, known, wins, book, cx)?;
            if let Some((addr, marks)) = winning
                && (heard == Some(Heard::New)
                    || (heard == Some(Heard::Known) && book.promote(&record.id)))
            {
                cx.stats.sampling.pulled_winners += 1;
                found += 1;
                if let (Some(young), Some(peer)) = (&mut self.young, book.candidate_of(&record.id))
                {
                    young.hope(peer, addr, &marks);
                }
            }
        }
        Ok(found)
    }

    /// Where the peer of an item is said to be proven and would win a slot, and what it is ranked by there.
    pub(super) fn winning(&self, item: &ListItem, book: &Book) -> Option<(SocketAddr, Marks)> {
        let record = &item.record.value;
        record
            .addrs()
            .filter(|(bit, _)| item.proven & bit != 0)
            .map(|(_, addr)| (addr, book.marks(&record.id, addr)))
            .find(|(_, marks)| self.would_win(marks))
    }

    /// Whether an item is a record of our own that we never issued. (Older ones of ours come round for hours and say nothing.)
    pub(super) fn is_of_clone(
        &mut self,
        item: &ListItem,
        own: &Verified<PeerRecord>,
        cx: &mut Cx<'_>,
    ) -> Result<bool, Code> {
        let record = &item.record.value;
        if record.id != own.id || record.version <= own.version {
            return Ok(false);
        }
        let signed = item.record.clone().verify(cx.network, cx.keys);
        cx.stats.peers.bad_signatures += u64::from(signed.is_err());
        signed.map_err(|_| Code::BadSignature)?;
        cx.stats.sampling.clone_records += 1;
        self.clone_seen = true;
        Ok(true)
    }

    /// Hears one item of a list, if there is room for it; a signature is only checked then. `known` is the version of the record in the
    /// book.
    pub(super) fn hear(
        &self,
        from: PeerId,
        item: &ListItem,
        known: Option<u64>,
        wins: bool,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Heard>, Code> {
        let record = &item.record.value;
        match known {
            Some(version) if version >= record.version => {
                cx.stats.peers.known += 1;
                return Ok(Some(Heard::Known));
            }
            Some(_) => {}
            None => {
                if !record.is_current(cx.now.unix_ms / 1000) {
                    cx.stats.peers.stale += 1;
                    return Ok(Some(Heard::Stale));
                }
                if !book.room_for(&from, wins) {
                    cx.stats.peers.over_cap += 1;
                    return Ok(Some(Heard::Full));
                }
            }
        }
        let checked = book
            .check(&item.record, cx)
            .map_err(|_| Code::BadSignature)?;
        let Some(record) = checked else {
            return Ok(Some(Heard::Known));
        };
        // A list proves nothing to us, but it says which addresses are worth a dial; one that names none is none.
        let bits = item.proven & 3;
        if bits == 0 {
            return Ok(None);
        }
        Ok(Some(book.heard(
            record,
            bits,
            Source::List { from, wins },
            cx,
        )))
    }
}

/// One bit for each item of a list whose id an earlier item has too. A list has at most 64 items.
pub(super) fn repeats(list: &[ListItem]) -> u64 {
    const { assert!(MAX_LIST <= 64) };
    let first = |id: &[u8; 32]| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id[..8]);
        u64::from_be_bytes(bytes)
    };
    let mut order: Vec<(u64, &[u8; 32], usize)> = list
        .iter()
        .enumerate()
        .map(|(n, item)| (first(&item.record.value.id), &item.record.value.id, n))
        .collect();
    order.sort_unstable();
    let same = order.windows(2).filter(|pair| pair[0].1 == pair[1].1);
    same.fold(0, |bits, pair| bits | 1 << (pair[1].2 % 64))
}

/// The other end of an open link.
pub(super) fn open_end(link: LinkId, links: &Links) -> Option<(PeerId, SocketAddr)> {
    let link = links.get(link).filter(|link| link.is_open())?;
    Some((link.peer, link.addr))
}
