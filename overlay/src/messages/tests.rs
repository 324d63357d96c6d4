//! Tests of the room as a whole; the pieces have their own.

use std::time::Duration;

use bytes::Bytes;
use crypto::{Identity, MessageId, Signed, Verified};

use super::*;
use crate::action::{Action, Delivery, Event, Receipt, Row};
use crate::input::{LinkId, Token, Verdict};
use crate::restored::{Restored, RestoredMessage};
use crate::testing::{Bench, identity, peer};
use crate::wire::{self, Gossip, Message, body_of};

const MINUTE_MS: u64 = 60_000;

/// A node's message room with a store that answers when told.
struct Node {
    bench: Bench,
    messages: Messages,
    unstored: Vec<(Token, Row)>,
    stored: Vec<Row>,
    events: Vec<Event>,
    loads: Vec<Token>,
}

impl Node {
    fn new(config: Config, restored: &Restored) -> Self {
        let mut bench = Bench::new(0);
        bench.config.messages = config;
        let messages = Messages::new(restored, &mut bench.cx());
        let mut node = Self {
            bench,
            messages,
            unstored: Vec::new(),
            stored: Vec::new(),
            events: Vec::new(),
            loads: Vec::new(),
        };
        node.drain();
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
                Action::Load { token, .. } => self.loads.push(token),
                other => panic!("{other:?}"),
            }
        }
    }

    fn tick(&mut self) {
        self.messages.on_timeout(&mut self.bench.cx());
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
        let gossip = gossip(message);
        let frame = wire::encode(&Message::Gossip(Box::new(gossip.clone())));
        let admission = admit(
            gossip,
            frame,
            (LinkId(1), peer(9)),
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

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

fn payload(header: &MessageHeader) -> Bytes {
    Bytes::from(format!(
        "{}-{}-{}",
        header.seq, header.prev_seq, header.count
    ))
}

/// The body of a test message says which it is; `salt` makes a different message with the same number.
fn entries(seq: u64, salt: u64) -> Vec<Bytes> {
    vec![Bytes::from(format!("{seq}/{salt}"))]
}

fn message_at(
    author: &Identity,
    seq: u64,
    prev_seq: u64,
    salt: u64,
    unix_ms: u64,
) -> Verified<MessageHeader> {
    let (body_len, body_root) = body_of(&entries(seq, salt));
    let header = MessageHeader {
        author: author.id().to_bytes(),
        seq,
        prev_seq,
        published_unix_ms: unix_ms,
        topic: topic("news"),
        count: 1,
        body_len,
        body_root,
    };
    Signed::sign(header, author, &crypto::NetworkId::from_name("test")).unwrap()
}

fn message(author: u32, seq: u64, prev_seq: u64) -> Verified<MessageHeader> {
    message_at(
        &identity(author),
        seq,
        prev_seq,
        0,
        crate::testing::START_UNIX_MS,
    )
}

fn gossip(message: &Verified<MessageHeader>) -> Gossip {
    let salt = (0..100)
        .find(|salt| body_of(&entries(message.seq, *salt)).1 == message.body_root)
        .unwrap();
    Gossip {
        signed: message.signed().clone(),
        entries: entries(message.seq, salt),
    }
}

fn id(message: &MessageHeader) -> MessageId {
    message.id(&crypto::NetworkId::from_name("test"))
}

#[test]
fn a_message_is_delivered_once_in_order_and_passed_on() {
    let mut node = Node::ready(Config::default());
    for (seq, prev) in [(1, 0), (2, 1), (5, 2)] {
        assert!(matches!(
            node.receive(&message(1, seq, prev), false),
            Admission::Arrival(_)
        ));
    }
    assert!(matches!(
        node.receive(&message(1, 2, 1), false),
        Admission::Duplicate(_)
    ));
    assert_eq!(node.messages.take_accepted().len(), 3);
    let deliveries = node.deliveries();
    assert_eq!(
        deliveries
            .iter()
            .map(|d| (d.cursor, d.seq, d.gap))
            .collect::<Vec<_>>(),
        [(1, 1, false), (2, 2, false), (3, 5, false)]
    );
    assert_eq!(deliveries[0].payload, "1/0");
    assert_eq!(node.bench.stats.messages.duplicates, 1);
}
