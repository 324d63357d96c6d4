//! The push-pull exchange from the end that is called: whom to answer, and whom to believe.

use std::net::SocketAddr;

use crypto::{PeerId, Verified};

use super::Sampling;
use super::exchange::{open_end, repeats};
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::neighbors::{Code, Links};
use crate::peers::{Book, Group, Heard, Source};
use crate::rules::Rule;
use crate::wire::{
    Bounded, ExchangeReply, ExchangeRequest, ListItem, MAX_LIST, Message, PeerRecord,
};

impl Sampling {
    /// Somebody calls.
    ///
    /// # Errors
    /// The other end is at fault: a record that is not its own or not good, a list with a bad signature; or it does not read.
    pub fn on_request(
        &mut self,
        link: LinkId,
        request: ExchangeRequest,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Some((peer, addr)) = open_end(link, links) else {
            return Ok(());
        };
        if request.record.value.id != *peer.as_bytes() {
            return Err(Code::BadRecord);
        }
        book.in_touch(cx.now.mono);
        let config = &cx.config.sampling;
        let known = book.proven_len();
        if !self.callers.admit(peer, known, config, cx.now.mono) {
            cx.stats.sampling.calls_refused += 1;
            return answer(link, own, Vec::new(), cx);
        }
        cx.stats.sampling.calls += 1;
        let newer = book
            .check(&request.record, cx)
            .map_err(|_| Code::BadRecord)?;
        match newer {
            Some(record) if book.is_proven(&peer) => {
                book.heard(record, 0, Source::Caller, cx);
            }
            Some(record) => self.note_caller(record, addr, book, cx),
            None => {
                if !book.is_proven(&peer)
                    && let Some(record) = book.record_of(&peer).cloned()
                {
                    self.note_caller(record, addr, book, cx);
                }
            }
        }
        let ranked = !cx.rules.hold(Rule::OwnExchanges);
        let most = if ranked {
            MAX_LIST
        } else {
            cx.config.sampling.push
        };
        self.hear_of_gone(&request.list, book, cx)?;
        let pushed = &request.list[..request.list.len().min(most)];
        let repeats = repeats(pushed);
        for (n, item) in pushed.iter().enumerate() {
            if repeats >> n & 1 == 1 {
                cx.stats.sampling.repeated += 1;
                continue;
            }
            if item.proven == 0 {
                continue;
            }
            if self.is_of_clone(item, own, cx)? {
                continue;
            }
            let known = book.version_of(&item.record.value.id);
            let wins = ranked && (known.is_some() || self.winning(item, book).is_some());
            match self.hear(peer, item, known, wins, book, cx)? {
                Some(Heard::New) => cx.stats.sampling.pushed += 1,
                Some(Heard::Full) => cx.stats.sampling.pushed_over_room += 1,
                _ => {}
            }
        }
        self.absorb(book, cx);
        let want = usize::from(request.want).min(MAX_LIST);
        let given = self.callers.ration(want, &cx.config.sampling, cx.now.mono);
        cx.stats.sampling.calls_rationed += u64::from(given < want);
        let newest = if cx.rules.hold(Rule::NewcomersFirst) {
            given / 2
        } else {
            0
        };
        let mut list = self.view.share(given, newest, &peer, book, cx.rng, cx.now);
        let gone = book.gone(given / 4, cx);
        list.truncate(given - gone.len());
        list.extend(gone);
        let shown = request.record.value.version;
        if let Some(newer) = newer_than(shown, &peer, link, book, links) {
            list.insert(0, newer);
            list.truncate(given);
        }
        answer(link, own, list, cx)
    }

    /// A caller wants to be believed: it waits for the end of the window, when some of those who called are dialled back.
    fn note_caller(
        &mut self,
        record: Verified<PeerRecord>,
        from: SocketAddr,
        book: &Book,
        cx: &mut Cx<'_>,
    ) {
        if record.addrs().next().is_none() {
            return;
        }
        let config = &cx.config.sampling;
        let tiny = book.proven_len() < config.tiny;
        let window = if tiny || self.is_young() {
            config.window_young
        } else {
            config.window
        };
        let quota = if tiny {
            config.believed
        } else {
            config.believed / 4
        };
        // The group is that of the address the call came from; the one in the record is only a claim.
        let group = book.group_of(from);
        let quota = if group == Group::ALL {
            config.believed
        } else {
            quota
        };
        let lost = self
            .callers
            .note(record, &group, quota, config.believed, cx.now.mono + window);
        cx.stats.sampling.callers_left_out += lost as u64;
    }

    /// The window of callers is over: those drawn become candidates, if they would win a slot.
    pub(super) fn believe_callers(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let (drawn, left_out) = self.callers.draw(cx.config.sampling.believed, cx.rng);
        cx.stats.sampling.callers_left_out += left_out as u64;
        for record in drawn {
            let peer = record.signer();
            let winning = record
                .addrs()
                .map(|(_, addr)| (addr, book.marks(peer.as_bytes(), addr)))
                .find(|(_, marks)| self.would_win(marks));
            if let Some((addr, marks)) = winning {
                let heard = book.heard(record, 0, Source::Caller, cx);
                if let Some(young) = &mut self.young
                    && heard == Heard::New
                {
                    young.hope(peer, addr, &marks);
                }
            } else {
                cx.stats.sampling.callers_ranked_out += 1;
            }
        }
    }
}

/// A record of the caller's own that is newer than the one it shows: then two nodes run with its key, and it should know. Its
/// bits only say which addresses it has, since nobody is to dial them on the caller's behalf.
fn newer_than(
    shown: u64,
    caller: &PeerId,
    link: LinkId,
    book: &Book,
    links: &Links,
) -> Option<ListItem> {
    let greeted = links.get(link).and_then(|link| link.newest.as_ref());
    let known = book.record_of(caller);
    let newest = greeted
        .into_iter()
        .chain(known)
        .filter(|record| record.version > shown)
        .max_by_key(|record| record.version)?;
    let proven = newest.addrs().fold(0, |bits, (bit, _)| bits | bit);
    // (One without an address is what this very node said when it left.)
    (proven != 0).then(|| ListItem {
        record: newest.signed().clone(),
        proven,
    })
}

fn answer(
    link: LinkId,
    own: &Verified<PeerRecord>,
    list: Vec<ListItem>,
    cx: &mut Cx<'_>,
) -> Result<(), Code> {
    let reply = ExchangeReply {
        record: own.signed().clone(),
        list: Bounded::truncated(list),
    };
    let reply = Message::ExchangeReply(Box::new(reply));
    if cx.send(link, Lane::Control, &reply) {
        Ok(())
    } else {
        Err(Code::Stalled)
    }
}
