//! Tests of the room as a whole; the pieces have their own.

use std::time::Duration;

use bytes::Bytes;
use crypto::{Identity, MessageId, NetworkId, Signed, Verified};
use proptest::prelude::*;

use super::*;
use crate::action::{Action, Delivery, Event, Key, Receipt, Row};
use crate::conduct::AuthorPolicy;
use crate::input::{LinkId, Now, Token, Verdict};
use crate::restored::{Restored, RestoredMessage};
use crate::testing::{Bench, identity, peer};
use crate::wire::{self, Gossip, Message, Point, body_of};

mod order;
mod publishing;
mod window;

const START: u64 = crate::testing::START_UNIX_MS;
const HOUR_MS: u64 = 3_600_000;

/// A node's message room with a store that answers when told.
struct Node {
    bench: Bench,
    messages: Messages,
    unstored: Vec<(Token, Row)>,
    stored: Vec<Row>,
    events: Vec<Event>,
    loads: Vec<(Token, Key)>,
    /// Where repair is at work.
    sought: Option<Point>,
}

impl Node {
    fn new(config: Config, restored: &Restored) -> Self {
        let now = Bench::new(0).now;
        Self::at(config, restored, now)
    }

    fn at(config: Config, restored: &Restored, now: Now) -> Self {
        let mut bench = Bench::new(0);
        bench.now = now;
        bench.config.messages = config;
        let messages = Messages::new(restored, &mut bench.cx());
        let mut node = Self {
            bench,
            messages,
            unstored: Vec::new(),
            stored: Vec::new(),
            events: Vec::new(),
            loads: Vec::new(),
            sought: None,
        };
        node.drain();
        node
    }

    /// The same node after a restart, with what its store holds; `lost` rows at the end never became durable.
    fn restart(&self, lost: usize) -> Self {
        let mut rows = self.stored.clone();
        rows.truncate(rows.len().saturating_sub(lost));
        let mut node = Self::at(
            self.bench.config.messages.clone(),
            &restored(&rows),
            self.bench.now,
        );
        node.stored = rows;
        node
    }

    /// A node whose first reservations are durable.
    fn ready(config: Config) -> Self {
        let mut node = Self::new(config, &Restored::default());
        node.tick();
        node.store();
        node
    }

    fn drain(&mut self) {
        for action in self.bench.actions() {
            match action {
                Action::Persist { token, row } => self.unstored.push((token, row)),
                Action::Emit(event) => self.events.push(event),
                Action::Load { token, key } => self.loads.push((token, key)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn tick(&mut self) {
        let sought = self.sought;
        self.messages.on_timeout(&|| sought, &mut self.bench.cx());
        self.drain();
    }

    fn wait(&mut self, by: Duration) {
        self.bench.advance(by);
        self.tick();
    }

    /// Makes everything durable.
    fn store(&mut self) {
        while !self.unstored.is_empty() {
            let mut last = Token(0);
            for (token, row) in std::mem::take(&mut self.unstored) {
                last = token;
                self.stored.push(row);
            }
            self.messages.on_persisted(last, &mut self.bench.cx());
            self.drain();
        }
    }

    fn receive(&mut self, message: &Verified<MessageHeader>, repaired: bool) -> Admission {
        self.receive_from(9, gossip(message), repaired)
    }

    fn receive_from(&mut self, whom: u32, gossip: Gossip, repaired: bool) -> Admission {
        let frame = wire::encode(&Message::Gossip(Box::new(gossip.clone())));
        let admission = admit(
            gossip.signed,
            gossip.entries,
            frame,
            (LinkId(u64::from(whom)), peer(whom)),
            repaired,
            &self.messages,
            &mut self.bench.cx(),
        );
        if let Admission::Arrival(arrival) = &admission {
            self.messages
                .on_arrival(Arrival::clone(arrival), &mut self.bench.cx());
        }
        self.drain();
        admission
    }

    fn publish(&mut self, token: u64, payloads: Vec<Bytes>) {
        self.messages
            .publish(Token(token), topic("news"), payloads, &mut self.bench.cx());
        self.drain();
    }

    fn deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.events)
            .into_iter()
            .filter_map(|event| match event {
                Event::Delivered(delivery) => Some(delivery),
                _ => None,
            })
            .collect()
    }

    fn delivered_seqs(&mut self) -> Vec<(u64, bool)> {
        self.deliveries()
            .iter()
            .map(|delivery| (delivery.seq, delivery.gap))
            .collect()
    }

    fn published(&mut self) -> Vec<(Token, Result<Receipt, PublishError>)> {
        std::mem::take(&mut self.events)
            .into_iter()
            .filter_map(|event| match event {
                Event::Published { token, result } => Some((token, result)),
                _ => None,
            })
            .collect()
    }
}

/// What a store that keeps these rows hands to the next start.
fn restored(rows: &[Row]) -> Restored {
    let mut restored = Restored::default();
    for row in rows {
        match row {
            Row::Message(stored) => {
                let header = &stored.signed.value;
                restored.messages.push(RestoredMessage {
                    id: stored.id,
                    author: PeerId::from_bytes(&header.author).unwrap(),
                    seq: header.seq,
                    published_unix_ms: header.published_unix_ms,
                    bytes: stored.retention_bytes(),
                    first_cursor: stored.first_cursor,
                    entries: stored.entries.len() as u32,
                    equivocation: stored.equivocation,
                });
            }
            Row::Decided {
                id,
                published_unix_ms,
            } => restored.decided.push((*id, *published_unix_ms)),
            Row::Forget {
                low_edge_ms,
                pruned,
            } => {
                restored.low_edge_ms = *low_edge_ms;
                let keep = |unix_ms: u64| unix_ms >= *low_edge_ms;
                restored.messages.retain(|m| keep(m.published_unix_ms));
                restored.decided.retain(|(_, unix_ms)| keep(*unix_ms));
                for id in pruned {
                    if let Some(at) = restored.messages.iter().position(|m| m.id == *id) {
                        let message = restored.messages.remove(at);
                        restored.decided.push((*id, message.published_unix_ms));
                    }
                }
            }
            Row::ReserveCursors { cursor } => restored.next_cursor = *cursor,
            Row::ReserveSeqs { seq } => restored.next_seq = *seq,
            Row::RecordVersion { .. } | Row::Evidence { .. } | Row::Peer(_) => {}
        }
    }
    restored
}

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

/// The body of a test message says which it is; `salt` makes a different message with the same number.
fn entries(seq: u64, salt: u64, size: usize) -> Vec<Bytes> {
    let mut text = format!("{seq}/{salt}").into_bytes();
    text.resize(text.len().max(size), b'.');
    vec![text.into()]
}

fn header(author: &Identity, seq: u64, prev_seq: u64, entries: &[Bytes]) -> MessageHeader {
    let (body_len, body_root) = body_of(entries);
    MessageHeader {
        author: author.id().to_bytes(),
        seq,
        prev_seq,
        published_unix_ms: START,
        topic: topic("news"),
        count: entries.len() as u16,
        body_len,
        body_root,
    }
}

fn sign(header: MessageHeader, author: &Identity) -> Verified<MessageHeader> {
    Signed::sign(header, author, &NetworkId::from_name("test")).unwrap()
}

fn message(author: u32, seq: u64, prev_seq: u64) -> Verified<MessageHeader> {
    salted(author, seq, prev_seq, 0)
}

fn salted(author: u32, seq: u64, prev_seq: u64, salt: u64) -> Verified<MessageHeader> {
    let author = identity(author);
    sign(
        header(&author, seq, prev_seq, &entries(seq, salt, 0)),
        &author,
    )
}

fn dated(author: u32, seq: u64, unix_ms: u64) -> Verified<MessageHeader> {
    let author = identity(author);
    let mut header = header(&author, seq, seq - 1, &entries(seq, 0, 0));
    header.published_unix_ms = unix_ms;
    sign(header, &author)
}

/// A message with its entries, which are found by trying.
fn gossip(message: &Verified<MessageHeader>) -> Gossip {
    let size = message.body_len as usize - 4;
    let entries = (0..100)
        .map(|salt| entries(message.seq, salt, size))
        .find(|entries| body_of(entries).1 == message.body_root)
        .unwrap();
    Gossip {
        signed: message.signed().clone(),
        entries,
    }
}

fn id(message: &MessageHeader) -> MessageId {
    message.id(&NetworkId::from_name("test"))
}

#[test]
fn a_message_is_delivered_once_and_passed_on() {
    let mut node = Node::ready(Config::default());
    for (seq, prev) in [(1, 0), (2, 1), (5, 2)] {
        let admission = node.receive(&message(1, seq, prev), false);
        assert!(matches!(admission, Admission::Arrival(_)));
    }
    let admission = node.receive(&message(1, 2, 1), false);
    assert!(matches!(admission, Admission::Duplicate(_)));
    let accepted = node.messages.take_accepted();
    assert_eq!(accepted.len(), 3);
    assert_eq!(
        accepted[0].frame,
        node.messages.frame(&accepted[0].id).unwrap()
    );
    let deliveries = node.deliveries();
    let seen: Vec<_> = deliveries
        .iter()
        .map(|d| (d.cursor, d.seq, d.gap))
        .collect();
    assert_eq!(seen, [(1, 1, false), (2, 2, false), (3, 5, false)]);
    assert_eq!(deliveries[0].payload, "1/0");
    assert_eq!(deliveries[0].author, peer(1));
    assert_eq!(node.bench.stats.messages.duplicates, 1);
}

#[test]
fn cheap_checks_come_before_costly_ones() {
    let mut node = Node::ready(Config::default());
    node.bench.config.conduct.authors = AuthorPolicy::AllowList([peer(1)].into());
    let forged = |message: &Verified<MessageHeader>| {
        let mut gossip = gossip(message);
        gossip.signed.signature[3] ^= 1;
        gossip
    };
    // Each message has every fault of the ones after it.
    let mut all_wrong = header(&identity(2), 7, 7, &entries(7, 0, 0));
    all_wrong.published_unix_ms = START + AHEAD_MS + 1;
    let all_wrong = sign(all_wrong, &identity(2));
    let ahead = dated(2, 7, START + AHEAD_MS + 1);
    let other = message(2, 7, 6);
    for (message, expected) in [
        (all_wrong, Refused::BadHeader),
        (ahead, Refused::TooNew),
        (other, Refused::NotAdmitted),
    ] {
        match node.receive_from(9, forged(&message), false) {
            Admission::Refused(found) => assert_eq!(found, expected),
            found => panic!("{found:?} instead of {expected:?}"),
        }
    }
    let good = message(1, 7, 0);
    let admission = node.receive_from(9, forged(&good), false);
    assert!(matches!(admission, Admission::BadSignature));
    // The bad copy did not censor the true one.
    let admission = node.receive(&good, false);
    assert!(matches!(admission, Admission::Arrival(_)));
    // A known message is a duplicate before anything else is looked at.
    node.bench.config.conduct.authors = AuthorPolicy::AllowList([peer(3)].into());
    let admission = node.receive_from(9, forged(&good), false);
    assert!(matches!(admission, Admission::Duplicate(_)));
    assert_eq!(node.delivered_seqs(), [(7, false)]);
    let stats = &node.bench.stats.messages;
    assert_eq!(
        (
            stats.bad_header,
            stats.too_new,
            stats.not_admitted,
            stats.bad_signatures
        ),
        (1, 1, 1, 1)
    );
}

/// A message is whole or not at all: another network's is no message here.
#[test]
fn a_message_signed_for_another_network_is_refused() {
    let mut node = Node::ready(Config::default());
    let author = identity(1);
    let header = header(&author, 1, 0, &entries(1, 0, 0));
    let message = Signed::sign(header, &author, &NetworkId::from_name("other")).unwrap();
    assert!(matches!(
        node.receive(&message, false),
        Admission::BadSignature
    ));
}

fn validating() -> Config {
    Config {
        validated_topics: [topic("news")].into(),
        ..Config::default()
    }
}

impl Node {
    /// The tokens of the questions asked since the last call.
    fn questions(&mut self) -> Vec<Token> {
        let ask = |event: &Event| match event {
            Event::Validate { token, .. } => Some(*token),
            _ => None,
        };
        let tokens = self.events.iter().filter_map(ask).collect();
        self.events.retain(|event| ask(event).is_none());
        tokens
    }

    fn verdict(&mut self, token: Token, verdict: Verdict) {
        self.messages
            .on_verdict(token, verdict, &mut self.bench.cx());
        self.drain();
    }
}

#[test]
fn a_validated_message_waits_for_its_verdict() {
    let mut node = Node::ready(validating());
    for n in 1..=3 {
        node.receive(&message(1, n, n - 1), false);
    }
    let questions = node.questions();
    assert_eq!(questions.len(), 3);
    assert!(node.deliveries().is_empty());
    assert!(node.messages.take_accepted().is_empty());
    let admission = node.receive(&message(1, 1, 0), false);
    assert!(matches!(admission, Admission::Duplicate(_)));
    // Ignored and rejected ones are decided, and leave no hole.
    node.verdict(questions[2], Verdict::Accept);
    assert_eq!(node.messages.take_rejected(), []);
    node.verdict(questions[1], Verdict::Reject);
    assert_eq!(node.messages.take_rejected(), [LinkId(9)]);
    assert!(node.deliveries().is_empty(), "3 waits for 1, as 2 does");
    node.verdict(questions[0], Verdict::Ignore);
    assert_eq!(node.messages.take_rejected(), [], "costs nothing");
    assert_eq!(node.delivered_seqs(), [(3, false)]);
    assert_eq!(node.messages.take_accepted().len(), 1);
    assert_eq!(node.messages.decided().len(), 3);
    for n in 1..=3 {
        let admission = node.receive(&message(1, n, n - 1), false);
        assert!(matches!(admission, Admission::Duplicate(_)), "{n}");
    }
    // After a restart too.
    node.store();
    let mut node = node.restart(0);
    for n in 1..=3 {
        let admission = node.receive(&message(1, n, n - 1), false);
        assert!(matches!(admission, Admission::Duplicate(_)), "{n}");
    }
    // An answer to nothing changes nothing.
    node.verdict(questions[0], Verdict::Accept);
    assert!(node.deliveries().is_empty());
}

#[test]
fn an_undecided_message_is_taken_again() {
    let mut node = Node::ready(validating());
    node.receive(&message(1, 1, 0), false);
    node.wait(Duration::from_millis(1999));
    assert_eq!(node.bench.stats.messages.undecided, 0);
    assert!(node.messages.next_timeout() <= Some(node.bench.now.mono + Duration::from_millis(1)));
    node.wait(Duration::from_millis(1));
    assert_eq!(node.bench.stats.messages.undecided, 1);
    let late = node.questions()[0];
    node.verdict(late, Verdict::Accept);
    assert!(node.deliveries().is_empty(), "too late");
    let admission = node.receive(&message(1, 1, 0), false);
    assert!(matches!(admission, Admission::Arrival(_)));
    let question = node.questions()[0];
    node.verdict(question, Verdict::Accept);
    assert_eq!(node.delivered_seqs(), [(1, false)]);
}

#[test]
fn verdicts_are_capped_by_count_and_bytes() {
    let config = Config {
        max_verdicts: 3,
        max_verdict_bytes: 4096,
        ..validating()
    };
    let mut node = Node::ready(config);
    for n in 1..=5 {
        node.receive(&message(1, n, n - 1), false);
    }
    assert_eq!(node.questions().len(), 3);
    assert_eq!(node.bench.stats.messages.verdicts_full, 2);
    node.wait(Duration::from_secs(2));
    let author = identity(2);
    for n in 1..=3 {
        let body = entries(n, 0, 1500);
        let message = sign(header(&author, n, n - 1, &body), &author);
        node.receive(&message, false);
    }
    assert_eq!(node.questions().len(), 2, "two of 1.8 kB fit, three do not");
    assert_eq!(node.bench.stats.messages.verdicts_full, 3);
}

#[test]
fn the_recent_frames_are_capped_by_bytes_and_time() {
    let config = Config {
        recent_bytes: 3000,
        ..Config::default()
    };
    let mut node = Node::ready(config);
    let messages: Vec<_> = (1..=10).map(|n| message(1, n, n - 1)).collect();
    for message in &messages {
        node.receive(message, false);
        assert!(node.messages.recent.bytes() <= 3000);
    }
    assert!(node.messages.frame(&id(&messages[9])).is_some());
    assert!(node.messages.frame(&id(&messages[0])).is_none());
    node.wait(Duration::from_secs(60));
    assert!(node.messages.frame(&id(&messages[9])).is_none());
    assert_eq!(node.messages.recent.bytes(), 0);
}
