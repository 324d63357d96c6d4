//! One node, its links played by the test.

use std::time::Duration;

use bytes::Bytes;
use crypto::{CHUNK_LEN, Manifest, MessageId, Signed};

use super::peer::Peer;
use super::*;
use crate::action::{Action, Key, Row};
use crate::input::Token;
use crate::messages::{Messages, StoredMessage};
use crate::neighbors::{Change, Code, Link, Links};
use crate::restored::Restored;
use crate::testing::{Bench, identity, neighbor, peer};
use crate::wire::{
    self, Cancel, Chunk, Head, Message, MessageHeader, Want, body_bytes, entries_of,
};

mod bulk;
mod caps;

const MS: Duration = Duration::from_millis(1);

struct Fixture {
    bench: Bench,
    links: Links,
    messages: Messages,
    part: Bodies,
    loads: Vec<(Token, MessageId)>,
    /// What was sent and not looked at.
    sent: Vec<(u64, Message)>,
}

/// A large message and its body.
#[derive(Clone)]
struct Large {
    id: MessageId,
    signed: crypto::Verified<MessageHeader>,
    manifest: Manifest,
    body: Bytes,
    frame: Bytes,
}

/// Message `n` of an author, its body `len` bytes of one entry.
fn large(author: u32, n: u64, len: usize) -> Large {
    let entry: Vec<u8> = (0..len - 4).map(|i| (i / 7) as u8 ^ n as u8).collect();
    let body = Bytes::from(body_bytes(&[entry.into()]));
    let manifest = Manifest::of(&body).unwrap();
    let header = MessageHeader {
        author: peer(author).to_bytes(),
        seq: n,
        prev_seq: n - 1,
        published_unix_ms: crate::testing::START_UNIX_MS,
        topic: "t".parse().unwrap(),
        count: 1,
        body_len: u32::try_from(len).unwrap(),
        body_root: manifest.root(),
    };
    let network = Bench::new(0).network;
    let signed = Signed::sign(header, &identity(author), &network).unwrap();
    let frame = wire::encode(&Message::Head(Box::new(Head {
        signed: signed.signed().clone(),
        manifest: manifest.clone(),
        hops: 3,
        follows: false,
    })));
    Large {
        id: signed.id(&network),
        signed,
        manifest,
        body,
        frame,
    }
}

impl Large {
    fn chunk(&self, index: usize) -> Bytes {
        let bytes = self.body.slice(self.manifest.range(index).unwrap());
        let index = u16::try_from(index).unwrap();
        wire::encode(&Message::Chunk(Chunk {
            id: self.id.to_bytes(),
            index,
            bytes,
        }))
    }
}

impl Fixture {
    /// With links 1 to `count`, link `n` with a round trip of `n` milliseconds.
    fn new(count: u64, config: Config) -> Self {
        let mut bench = Bench::new(0);
        bench.config.bodies = config;
        let messages = Messages::new(&Restored::default(), &mut bench.cx());
        bench.actions();
        let mut it = Self {
            part: Bodies::new(bench.now.mono),
            bench,
            links: Links::default(),
            messages,
            loads: Vec::new(),
            sent: Vec::new(),
        };
        for n in 1..=count {
            let row = Link {
                rtt: MS * u32::try_from(n).unwrap(),
                ..neighbor(peer(u32::try_from(n).unwrap()), it.bench.now.mono)
            };
            it.links.insert(LinkId(n), row);
            it.bench.out.open(LinkId(n));
            let now = it.bench.now.mono;
            let peer = Peer::new(&it.bench.config.bodies, now);
            it.part.peers.insert(LinkId(n), peer);
        }
        it
    }

    fn news(&mut self, news: News) {
        let mut cx = self.bench.cx();
        self.part
            .on_news(news, &self.messages, &self.links, &mut cx);
        self.drain();
    }

    /// A head comes over a link for the first time.
    fn head(&mut self, link: u64, large: &Large, follows: bool) {
        self.header(link, large, follows, None);
    }

    /// A head comes over a link, and another one sends all bulk of its author.
    fn head_fed(&mut self, link: u64, large: &Large, feeder: Option<u64>) {
        self.header(link, large, false, feeder);
    }

    fn header(&mut self, link: u64, large: &Large, follows: bool, feeder: Option<u64>) {
        let from = (LinkId(link), peer(u32::try_from(link).unwrap()));
        let arrival = Arrival {
            id: large.id,
            header: large.signed.clone(),
            entries: Vec::new(),
            body: None,
            frame: large.frame.clone(),
            from: Some(from),
            repaired: false,
        };
        self.news(News::Wanted(Box::new(Wanted {
            arrival,
            manifest: large.manifest.clone(),
            holding: Holding {
                id: large.id,
                link: LinkId(link),
                has: Has::Head,
                hops: Some(3),
                follows,
            },
            feeder: feeder.map(LinkId),
        })));
    }

    fn holds(&mut self, link: u64, large: &Large, whole: bool, hops: Option<u8>, follows: bool) {
        self.news(News::Holder(Holding {
            id: large.id,
            link: LinkId(link),
            has: if whole { Has::Whole } else { Has::Head },
            hops,
            follows,
        }));
    }

    fn frame(&mut self, link: u64, frame: &Bytes) {
        let message = wire::decode(frame).unwrap();
        let (id, links) = (LinkId(link), &self.links);
        let mut cx = self.bench.cx();
        match message {
            Message::Chunk(chunk) => {
                self.part.on_chunk(id, chunk, frame.clone(), links, &mut cx);
            }
            Message::Want(want) => self.part.on_want(id, &want, &self.messages, &mut cx),
            Message::Cancel(cancel) => self.part.on_cancel(id, &cancel, &mut cx),
            other => panic!("{other:?}"),
        }
        self.drain();
    }

    fn chunk(&mut self, link: u64, large: &Large, index: usize) {
        self.frame(link, &large.chunk(index));
    }

    fn want(&mut self, link: u64, large: &Large, from: u16, to: u16) {
        let id = large.id.to_bytes();
        self.frame(link, &wire::encode(&Message::Want(Want { id, from, to })));
    }

    fn unwant(&mut self, link: u64, large: &Large, from: u16, to: u16) {
        let id = large.id.to_bytes();
        self.frame(
            link,
            &wire::encode(&Message::Cancel(Cancel { id, from, to })),
        );
    }

    /// A message is at hand whole, as if published here.
    fn at_hand(&mut self, large: &Large) {
        let arrival = Arrival {
            id: large.id,
            header: large.signed.clone(),
            entries: entries_of(&large.body, 1).unwrap(),
            body: Some(large.body.clone()),
            frame: large.frame.clone(),
            from: None,
            repaired: false,
        };
        self.messages.on_arrival(arrival, &mut self.bench.cx());
        self.messages.take_accepted();
        self.bench.actions();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.bench.now.mono + time;
        while let Some(due) = self.part.next_timeout().filter(|due| *due <= end) {
            let step = due.saturating_duration_since(self.bench.now.mono);
            self.bench.advance(step);
            self.part.on_timeout(&self.links, &mut self.bench.cx());
            self.drain();
        }
        let rest = end.saturating_duration_since(self.bench.now.mono);
        self.bench.advance(rest);
    }

    fn drain(&mut self) {
        for action in self.bench.actions() {
            match action {
                Action::Send { link, bytes, .. } => {
                    let message = wire::decode(&bytes).unwrap();
                    self.sent.push((link.0, message));
                }
                Action::Load {
                    token,
                    key: Key::Message(id),
                } => self.loads.push((token, id)),
                _ => {}
            }
        }
    }

    fn loaded(&mut self, large: Option<&Large>) {
        let (token, _) = self.loads.remove(0);
        let row = large.map(|large| {
            Row::Message(StoredMessage {
                id: large.id,
                first_cursor: 1,
                signed: large.signed.signed().clone(),
                entries: entries_of(&large.body, 1).unwrap(),
                gap: false,
                equivocation: false,
            })
        });
        let mut cx = self.bench.cx();
        assert!(self.part.on_loaded(token, row.as_ref(), &mut cx));
        self.drain();
    }

    /// Subscriptions sent since the last look, as (link, first chunk, end); those taken back as (link, end, first).
    fn asks(&mut self) -> Vec<(u64, u16, u16)> {
        let control = |(_, message): &mut (u64, Message)| {
            matches!(message, Message::Want(_) | Message::Cancel(_))
        };
        let sent = self.sent.extract_if(.., control);
        sent.map(|(link, message)| match message {
            Message::Want(want) => (link, want.from, want.to),
            Message::Cancel(cancel) => (link, cancel.to, cancel.from),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    /// Chunks sent since the last look.
    fn served(&mut self) -> Vec<(u64, u16)> {
        let chunk = |(_, message): &mut (u64, Message)| matches!(message, Message::Chunk(_));
        let sent = self.sent.extract_if(.., chunk);
        sent.map(|(link, message)| match message {
            Message::Chunk(chunk) => (link, chunk.index),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn room(&mut self, link: u64) {
        let (link, lane) = (LinkId(link), crate::input::Lane::Bulk);
        self.bench.out.set_room(link, lane, lane.capacity());
        self.part.on_room(link, lane, &mut self.bench.cx());
        self.drain();
    }

    fn close(&mut self, link: u64) {
        let change = Change::Closed {
            link: LinkId(link),
            peer: peer(u32::try_from(link).unwrap()),
        };
        self.links.remove(LinkId(link));
        self.bench.out.forget(LinkId(link));
        self.part
            .on_change(&change, &self.links, &mut self.bench.cx());
        self.drain();
    }
}

#[test]
fn a_body_is_asked_of_whoever_brought_its_header_and_passed_on_as_it_comes() {
    let mut it = Fixture::new(4, Config::default());
    let large = large(9, 1, 3 * CHUNK_LEN - 5);
    it.head(1, &large, false);
    assert_eq!(it.asks(), [(1, 0, 3)]);
    it.want(3, &large, 0, 3);
    it.want(4, &large, 1, 2);
    assert_eq!(it.part.take_subscribed().len(), 2);
    assert_eq!(it.served(), []);
    it.chunk(1, &large, 0);
    assert_eq!(it.served(), [(3, 0)], "cut through");
    it.chunk(1, &large, 1);
    assert_eq!(it.served(), [(3, 1), (4, 1)]);
    assert!(it.part.take_arrivals().is_empty());
    it.chunk(1, &large, 2);
    assert_eq!(it.served(), [(3, 2)]);
    let arrivals = it.part.take_arrivals();
    assert_eq!(arrivals.len(), 1);
    assert_eq!(arrivals[0].body.as_ref(), Some(&large.body));
    assert_eq!(arrivals[0].entries[0], large.body.slice(4..));
    let brought = it.part.take_brought().remove(0);
    assert_eq!((brought.by, brought.late), (LinkId(1), vec![]));
    assert_eq!(it.part.memory(), (0, 0, 0), "nothing is kept");
    assert_eq!(it.asks(), [], "nothing to take back");
    // A later subscriber is served from what `messages` keeps.
    it.at_hand(&large);
    it.want(2, &large, 0, 3);
    assert_eq!(it.served(), [(2, 0), (2, 1), (2, 2)]);
    assert_eq!(it.part.memory(), (0, 0, 0));
}

#[test]
fn chunks_come_in_any_order() {
    let mut it = Fixture::new(1, Config::default());
    let large = large(9, 1, 5 * CHUNK_LEN + 1);
    it.head(1, &large, true);
    assert_eq!(it.asks(), [], "it follows by itself");
    for index in [3, 0, 5, 1, 4, 2] {
        it.chunk(1, &large, index);
        it.chunk(1, &large, index);
    }
    let arrivals = it.part.take_arrivals();
    assert_eq!(arrivals[0].body.as_ref(), Some(&large.body));
    let stats = &it.bench.stats.bodies;
    assert_eq!((stats.chunks, stats.completed), (6, 1));
    assert_eq!(stats.duplicates + stats.unasked, 6);
}

#[test]
fn nothing_that_was_not_checked_is_kept_or_passed_on() {
    let mut it = Fixture::new(3, Config::default());
    let large = large(9, 1, 2 * CHUNK_LEN);
    it.head(1, &large, false);
    it.want(3, &large, 0, 2);
    let good = large.chunk(0);
    for at in [40, good.len() / 2, good.len() - 1] {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        it.frame(1, &bad.into());
        assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
    }
    // The second chunk under the name of the first, and one beyond the last.
    for (index, at) in [(1, 0), (0, 2), (0, u16::MAX)] {
        let Ok(Message::Chunk(chunk)) = wire::decode(&large.chunk(index)) else {
            panic!("no chunk");
        };
        let bad = Message::Chunk(Chunk { index: at, ..chunk });
        it.frame(1, &wire::encode(&bad));
        assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
    }
    assert_eq!(it.served(), []);
    assert_eq!(it.bench.stats.bodies.chunks, 0);
    assert_eq!(it.bench.stats.bodies.bad_chunks, 6);
}

#[test]
fn a_late_subscription_is_doubled_and_the_loser_cancelled() {
    let mut it = Fixture::new(4, Config::default());
    let large = large(9, 1, 2 * CHUNK_LEN);
    it.head(1, &large, false);
    it.holds(2, &large, false, None, false);
    it.holds(3, &large, true, None, false);
    assert_eq!(it.asks(), [(1, 0, 2)]);
    it.wait(Duration::from_millis(300));
    assert_eq!(
        it.asks(),
        [(3, 0, 2)],
        "who has it is asked first; the old one stays open"
    );
    it.chunk(3, &large, 0);
    assert_eq!(
        it.asks(),
        [(1, 2, 0)],
        "moving a subscription takes back the old one"
    );
    it.chunk(3, &large, 1);
    assert_eq!(it.asks(), []);
    let brought = it.part.take_brought().remove(0);
    assert_eq!((brought.by, brought.late), (LinkId(3), vec![LinkId(1)]));
    // And the other way round: the late one wins after all.
    let second = self::large(9, 2, 2 * CHUNK_LEN);
    it.head(1, &second, false);
    it.holds(3, &second, true, None, false);
    it.wait(Duration::from_millis(250));
    it.asks();
    it.chunk(1, &second, 0);
    assert_eq!(it.asks(), [(3, 2, 0)]);
    it.chunk(1, &second, 1);
    assert_eq!(it.part.take_arrivals().len(), 2);
}

#[test]
fn who_announces_and_never_serves_is_asked_last() {
    let mut it = Fixture::new(3, Config::default());
    for n in 1..=2 {
        let bait = large(9, n, CHUNK_LEN);
        it.head(1, &bait, false);
        assert_eq!(it.asks(), [(1, 0, 1)]);
        it.holds(2, &bait, false, None, false);
        it.wait(Duration::from_millis(400));
        it.chunk(2, &bait, 0);
        it.asks();
    }
    let next = large(9, 3, CHUNK_LEN);
    it.head(1, &next, false);
    assert_eq!(
        it.asks(),
        [],
        "others have the time of an answer to show up"
    );
    it.holds(3, &next, false, None, false);
    assert_eq!(it.asks(), [(3, 0, 1)]);
    it.chunk(3, &next, 0);
    // With nobody else it is asked all the same: better a doubtful one than none.
    let only = large(9, 4, CHUNK_LEN);
    it.head(1, &only, false);
    it.asks();
    it.wait(Duration::from_millis(500));
    assert_eq!(it.asks().first(), Some(&(1, 0, 1)));
    it.chunk(1, &only, 0);
    assert_eq!(it.part.take_arrivals().len(), 4);
}

#[test]
fn one_silent_holder_is_asked_again_and_no_answer_ends_it() {
    let mut it = Fixture::new(2, Config::default());
    let large = large(9, 1, CHUNK_LEN);
    it.head(1, &large, false);
    it.wait(Duration::from_secs(29));
    let asks = it.asks();
    assert!(
        asks.len() >= 4 && asks.iter().all(|ask| *ask == (1, 0, 1)),
        "{asks:?}"
    );
    assert!(asks.len() <= 40, "with growing waits: {}", asks.len());
    it.want(2, &large, 0, 1);
    it.wait(Duration::from_secs(2));
    assert!(!it.part.has(&large.id));
    assert_eq!(it.bench.stats.bodies.abandoned, 1);
    assert_eq!(it.part.memory(), (0, 0, 0));
    assert!(it.part.subscribers.is_empty() && it.part.next_timeout().is_none());
}

#[test]
fn what_follows_and_is_not_needed_is_cancelled() {
    let mut it = Fixture::new(3, Config::default());
    let large = large(9, 1, 2 * CHUNK_LEN);
    it.head(1, &large, true);
    it.holds(2, &large, false, Some(4), true);
    assert_eq!(it.asks(), [(2, 2, 0)]);
    it.chunk(1, &large, 0);
    it.chunk(1, &large, 1);
    it.holds(3, &large, false, Some(4), true);
    assert_eq!(it.asks(), [(3, u16::MAX, 0)], "it is whole");
}

#[test]
fn chunks_that_overtake_their_head_wait_for_it() {
    let mut it = Fixture::new(2, Config::default());
    let large = large(9, 1, 3 * CHUNK_LEN);
    it.chunk(1, &large, 0);
    it.chunk(1, &large, 1);
    it.chunk(2, &large, 2);
    assert_eq!(it.bench.stats.bodies.chunks, 0);
    it.head(1, &large, true);
    assert_eq!(
        it.bench.stats.bodies.chunks, 2,
        "those of the link that the body follows on"
    );
    it.chunk(1, &large, 2);
    assert_eq!(it.part.take_arrivals()[0].body.as_ref(), Some(&large.body));
    assert_eq!((it.bench.stats.bodies.early, it.asks()), (2, vec![]));
    // What comes after a body is whole does not wait for anything.
    it.chunk(2, &large, 2);
    assert_eq!(it.part.early.len(), 1, "the one before it was");
    it.wait(Duration::from_secs(2));
    assert_eq!((it.part.early.len(), it.bench.stats.bodies.unasked), (0, 2));
    // A chunk that is not of its body is found out then.
    let next = self::large(9, 2, CHUNK_LEN);
    let mut bad = next.chunk(0).to_vec();
    bad[100] ^= 1;
    it.frame(1, &bad.into());
    it.head(1, &next, true);
    assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
}

/// All chunks came before the head, so that the body is whole in the step in which it is promised to others.
#[test]
fn a_body_that_is_whole_at_once_is_sent_to_whom_it_follows() {
    let mut it = Fixture::new(3, Config::default());
    let large = large(9, 1, 2 * CHUNK_LEN);
    it.chunk(1, &large, 0);
    it.chunk(1, &large, 1);
    it.head(1, &large, true);
    it.news(News::Follow {
        id: large.id,
        link: LinkId(3),
    });
    assert_eq!(it.served(), [(3, 0), (3, 1)]);
    assert!(it.loads.is_empty(), "the store has it not yet");
    assert_eq!(it.part.take_arrivals().len(), 1);
    assert_eq!(it.part.memory(), (0, 0, 0));
}

#[test]
fn long_bodies_are_split_between_neighbors_that_had_the_header_sooner() {
    let mut it = Fixture::new(5, Config::default());
    let two = large(9, 1, 2 * CHUNK_LEN);
    it.head(1, &two, false);
    it.holds(2, &two, true, Some(1), false);
    assert_eq!(it.asks(), [(1, 0, 2)], "64 KiB are not split");
    let large = large(9, 2, 8 * CHUNK_LEN);
    it.head(1, &large, false); // in 3 steps: here it is in 4
    it.asks();
    it.holds(2, &large, false, Some(4), false);
    assert_eq!(it.asks(), [], "it may wait for us");
    it.holds(3, &large, false, Some(3), false);
    assert_eq!(it.asks(), [(3, 4, 8), (1, 8, 4)]);
    it.holds(4, &large, true, None, false);
    assert_eq!(it.asks().len(), 2, "a third part");
    it.holds(5, &large, true, None, false);
    assert_eq!(it.asks(), [], "three are enough");
    assert_eq!(it.bench.stats.bodies.splits, 2);
    // Each sends its part, and nothing comes twice.
    let parts: Vec<(u64, std::ops::Range<usize>)> = it.part.wanted[&large.id]
        .asks
        .iter()
        .map(|ask| (ask.link.0, ask.chunks.clone()))
        .collect();
    for (link, chunks) in parts {
        for index in chunks {
            it.chunk(link, &large, index);
        }
    }
    assert_eq!(it.part.take_arrivals()[0].body.as_ref(), Some(&large.body));
    assert_eq!(it.bench.stats.bodies.duplicates, 0);
}

#[test]
fn what_may_be_under_way_is_not_moved() {
    let config = Config {
        bulk_from: usize::MAX,
        ..Config::default()
    };
    let mut it = Fixture::new(2, config);
    let large = large(9, 1, 56 * CHUNK_LEN);
    it.head(1, &large, true);
    for index in 0..20 {
        it.chunk(1, &large, index);
    }
    it.holds(2, &large, true, None, false);
    assert_eq!(it.asks(), [(2, 52, 56), (1, 56, 52)]);
    for index in 20..24 {
        it.chunk(1, &large, index);
    }
    it.close(2);
    assert_eq!(
        it.asks(),
        [],
        "the other has a part, and takes this one after it"
    );
    for index in 24..52 {
        it.chunk(1, &large, index);
    }
    it.wait(Duration::from_millis(1000));
    assert_eq!(it.asks(), [(1, 52, 56)]);
    let mut it = Fixture::new(2, Config::default());
    let large = self::large(9, 2, 8 * CHUNK_LEN);
    it.head(1, &large, false);
    it.asks();
    it.wait(3 * MS);
    it.holds(2, &large, true, None, false);
    assert_eq!(it.asks(), [], "asked for more than a round trip ago");
}

#[test]
fn when_a_link_closes_another_is_asked_at_once() {
    let mut it = Fixture::new(3, Config::default());
    let large = large(9, 1, CHUNK_LEN);
    it.head(1, &large, false);
    it.holds(2, &large, false, None, false);
    it.want(1, &large, 0, 1);
    it.asks();
    it.close(1);
    assert_eq!(it.asks(), [(2, 0, 1)]);
    assert!(it.part.subscribers.is_empty());
    it.close(2);
    assert_eq!(it.asks(), []);
    it.holds(3, &large, false, None, false);
    assert_eq!(it.asks(), [(3, 0, 1)]);
}

#[test]
fn a_full_lane_is_waited_for_and_cancels_are_heeded() {
    let mut it = Fixture::new(2, Config::default());
    let large = large(9, 1, 30 * CHUNK_LEN);
    it.at_hand(&large);
    it.news(News::Follow {
        id: large.id,
        link: LinkId(1),
    });
    let first = it.served();
    assert_eq!(first.len(), 7, "as many as the lane takes");
    it.unwant(1, &large, 10, 20);
    let mut got: Vec<u16> = first.iter().map(|(_, index)| *index).collect();
    for _ in 0..5 {
        it.room(1);
        got.extend(it.served().iter().map(|(_, index)| *index));
    }
    let expected: Vec<u16> = (0..10).chain(20..30).collect();
    assert_eq!(got, expected);
    assert_eq!(it.part.memory(), (0, 0, 0));
}

#[test]
fn what_is_only_in_the_store_is_read_for_who_wants_it() {
    let mut it = Fixture::new(3, Config::default());
    let large = large(9, 1, 2 * CHUNK_LEN);
    it.want(1, &large, 0, 2);
    it.want(2, &large, 1, 2);
    assert_eq!(it.loads.len(), 1, "once for both");
    it.loaded(Some(&large));
    assert_eq!(it.served(), [(1, 0), (1, 1), (2, 1)]);
    assert_eq!(it.part.memory(), (0, 0, 0));
    it.want(1, &large, 0, 2);
    it.loaded(None);
    assert_eq!(it.served(), []);
    assert_eq!(it.bench.stats.bodies.not_served, 1);
    assert!(it.part.subscribers.is_empty() && it.part.whole.is_empty());
}
