//! Heads of large messages: one node, its neighbors played by the test.

use std::time::Duration;

use bytes::Bytes;
use crypto::{Manifest, MessageId, Signed};

use crate::action::Action;
use crate::bodies::{Bodies, Brought, Has, News};
use crate::broadcast::Broadcast;
use crate::input::{Lane, LinkId};
use crate::messages::{Accepted, Messages};
use crate::neighbors::{Change, Code, Link, Links};
use crate::restored::Restored;
use crate::testing::{Bench, identity, neighbor, peer};
use crate::wire::{
    self, Announce, Bounded, Branch, Graft, Have, Head, Message, MessageHeader, Prune, body_bytes,
    short_id,
};

struct Fixture {
    bench: Bench,
    links: Links,
    part: Broadcast,
    messages: Messages,
    bodies: Bodies,
}

const KEY: [u8; 16] = [3; 16];

/// A large message of author `n` as it arrives: not passed on yet, without its body.
fn head(bench: &Bench, n: u32, seq: u64) -> Head {
    let identity = identity(n);
    let body = body_bytes(&[vec![seq as u8; 5000].into()]);
    let manifest = Manifest::of(&body).unwrap();
    let header = MessageHeader {
        author: identity.id().to_bytes(),
        seq,
        prev_seq: seq - 1,
        published_unix_ms: bench.now.unix_ms,
        topic: "text".parse().unwrap(),
        count: 1,
        body_len: u32::try_from(body.len()).unwrap(),
        body_root: manifest.root(),
    };
    let signed = Signed::sign(header, &identity, &bench.network).unwrap();
    Head {
        signed: signed.into_signed(),
        manifest,
        hops: 2,
        follows: false,
    }
}

impl Fixture {
    /// Neighbors 1 to `count`; those in `eager` have asked for everything.
    fn new(count: u64, eager: &[u64]) -> Self {
        let mut bench = Bench::new(0);
        let messages = Messages::new(&Restored::default(), &mut bench.cx());
        let mut it = Self {
            bodies: Bodies::new(bench.now.mono),
            messages,
            bench,
            links: Links::default(),
            part: Broadcast::new(),
        };
        for n in 1..=count {
            let row = Link {
                rtt: Duration::from_millis(n),
                announce_key: KEY,
                ..neighbor(peer(u32::try_from(n).unwrap()), it.bench.now.mono)
            };
            let change = Change::NeighborUp {
                link: LinkId(n),
                peer: row.peer,
            };
            it.links.insert(LinkId(n), row);
            it.bench.out.open(LinkId(n));
            it.part.on_change(&change, &it.links, &mut it.bench.cx());
        }
        for link in eager {
            it.graft(*link, Branch::Default);
        }
        it.bench.actions();
        it
    }

    fn graft(&mut self, link: u64, branch: Branch) {
        let graft = Graft {
            branch: Some(branch),
            ids: Bounded::default(),
            once: false,
        };
        let none = |_: &MessageId| None;
        let mut cx = self.bench.cx();
        self.part.on_graft(LinkId(link), &graft, &none, &mut cx);
    }

    fn receive(&mut self, link: u64, head: &Head) -> MessageId {
        let frame = wire::encode(&Message::Head(Box::new(head.clone())));
        let id = head.signed.value.id(&self.bench.network);
        self.part.on_head(
            LinkId(link),
            head.clone(),
            frame,
            &self.links,
            &self.messages,
            &self.bodies,
            &mut self.bench.cx(),
        );
        id
    }

    /// The body is whole, and `messages` agrees.
    fn whole(&mut self, head: &Head, from: Option<u64>) {
        let accepted = Accepted {
            id: head.signed.value.id(&self.bench.network),
            author: peer(0),
            published_unix_ms: self.bench.now.unix_ms,
            frame: wire::encode(&Message::Head(Box::new(head.clone()))),
            body_len: Some(head.manifest.body_len()),
            from: from.map(LinkId),
            repaired: false,
        };
        self.part.on_accepted(&accepted, &mut self.bench.cx());
    }

    fn pass(&mut self, time: Duration) {
        self.bench.advance(time);
        self.part.on_timeout(&self.links, &mut self.bench.cx());
    }

    /// Heads sent: to whom, in how many steps, whether the body follows.
    fn heads(&mut self) -> Vec<(u64, u8, bool)> {
        let mut heads = Vec::new();
        for action in self.bench.actions() {
            if let Action::Send { link, lane, bytes } = action
                && let Ok(Message::Head(head)) = wire::decode(&bytes)
            {
                assert!(matches!(lane, Lane::Own | Lane::Forwarded));
                heads.push((link.0, head.hops, head.follows));
            }
        }
        heads
    }

    /// Links told by announcement, and by `Have`.
    fn told(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut announced, mut have) = (Vec::new(), Vec::new());
        for action in self.bench.actions() {
            if let Action::Send { link, bytes, .. } = action {
                match wire::decode(&bytes) {
                    Ok(Message::Announce(_)) => announced.push(link.0),
                    Ok(Message::Have(_)) => have.push(link.0),
                    _ => {}
                }
            }
        }
        (announced, have)
    }

    /// Who was named as a holder, and whether of the body.
    fn holders(&mut self) -> Vec<(u64, bool)> {
        let news = self.part.take_news().into_iter();
        news.filter_map(|news| match news {
            News::Holder(holding) => Some((holding.link.0, holding.has == Has::Whole)),
            News::Wanted(wanted) => Some((wanted.holding.link.0, false)),
            _ => None,
        })
        .collect()
    }

    fn follows(&mut self) -> Vec<u64> {
        let news = self.part.take_news().into_iter();
        news.filter_map(|news| match news {
            News::Follow { link, .. } => Some(link.0),
            _ => None,
        })
        .collect()
    }
}

/// What can be fetched from us is told everybody within this.
const SOON: Duration = Duration::from_millis(50);
const WHILE: Duration = Duration::from_millis(200);

#[test]
fn a_head_is_passed_on_before_its_body_is_here() {
    let mut it = Fixture::new(5, &[2, 3]);
    let head = head(&it.bench, 50, 1);
    let id = it.receive(1, &head);
    assert_eq!(it.heads(), [(2, 3, false), (3, 3, false)], "one step more");
    assert!(
        it.part.take_arrivals().is_empty(),
        "nothing to decide on yet"
    );
    assert!(matches!(&it.part.take_news()[..], [News::Wanted(wanted)] if wanted.holding.id == id));
    it.pass(WHILE);
    assert_eq!(it.told(), (vec![4, 5], vec![]));
}

#[test]
fn the_application_judges_before_a_head_is_passed_on() {
    let mut it = Fixture::new(3, &[2]);
    let topic = "text".parse().unwrap();
    it.bench.config.messages.validated_topics.insert(topic);
    let head = head(&it.bench, 50, 1);
    it.receive(1, &head);
    it.pass(WHILE);
    assert!(it.bench.actions().is_empty());
    it.whole(&head, Some(1));
    assert_eq!(it.heads(), [(2, 3, false)]);
    it.pass(WHILE);
    assert_eq!(it.told(), (vec![], vec![3]));
}

#[test]
fn whoever_may_lack_the_body_is_told_once_the_one_that_brought_the_head_included() {
    let mut it = Fixture::new(6, &[2, 3]);
    let head = head(&it.bench, 50, 1);
    let id = it.receive(1, &head);
    it.part.on_subscribed(LinkId(3), &id, &it.bench.cx()); // it gets the body from here
    let have = |it: &Fixture| Have {
        ids: Bounded::truncated(vec![short_id(&it.bench.announce_key, &id)]),
    };
    let have = have(&it);
    it.part
        .on_have(LinkId(5), &have, &it.links, &mut it.bench.cx());
    it.part.on_brought(
        &Brought {
            id,
            author: head.signed.value.author,
            by: LinkId(6),
            late: vec![],
            bulk: false,
        },
        &mut it.bench.cx(),
    );
    it.pass(WHILE);
    it.bench.actions();
    it.whole(&head, Some(1));
    it.pass(SOON);
    assert_eq!(it.told(), (vec![], vec![1, 2, 4]));
    it.whole(&head, Some(1));
    it.pass(WHILE);
    assert_eq!(it.told(), (vec![], vec![]), "once");
}

#[test]
fn who_asked_for_a_body_has_the_next_one_without_asking_until_it_prunes() {
    let mut it = Fixture::new(4, &[2, 3]);
    let (first, second) = (head(&it.bench, 50, 1), head(&it.bench, 50, 2));
    let id = it.receive(1, &first);
    it.part.on_subscribed(LinkId(2), &id, &it.bench.cx());
    it.bench.actions();
    it.part.take_news();
    it.receive(1, &second);
    assert_eq!(it.heads(), [(2, 3, true), (3, 3, false)]);
    assert_eq!(it.follows(), [2]);
    // One that grafts the author wants its bodies; one that prunes it does not.
    let author = Branch::Author(first.signed.value.author);
    it.graft(3, author);
    let prune = Prune { branch: author };
    it.part.on_prune(LinkId(2), &prune, &mut it.bench.cx());
    it.receive(1, &head(&it.bench, 50, 3));
    assert_eq!(it.heads(), [(3, 3, true)]);
    assert_eq!(it.follows(), [3]);
    // Nor is it taken for a subscription to the author when it asks this once.
    it.part.on_subscribed(LinkId(2), &id, &it.bench.cx());
    it.graft(2, Branch::Default);
    it.receive(1, &head(&it.bench, 50, 4));
    assert_eq!(it.heads(), [(3, 3, true)]);
}

#[test]
fn an_announced_head_that_is_asked_for_brings_its_body_along() {
    let mut it = Fixture::new(2, &[]);
    let head = head(&it.bench, 50, 1);
    let id = it.receive(1, &head);
    let frame = wire::encode(&Message::Head(Box::new(head)));
    it.bench.actions();
    it.part.take_news();
    let graft = Graft {
        branch: None,
        ids: Bounded::truncated(vec![short_id(&KEY, &id)]),
        once: true,
    };
    let frames = |_: &MessageId| Some(frame.clone());
    it.part
        .on_graft(LinkId(2), &graft, &frames, &mut it.bench.cx());
    assert_eq!(it.heads(), [(2, 3, true)]);
    assert_eq!(it.follows(), [2]);
}

#[test]
fn all_who_know_of_a_body_are_named_as_holders() {
    let mut it = Fixture::new(6, &[]);
    let head = head(&it.bench, 50, 1);
    let id = head.signed.value.id(&it.bench.network);
    let ids: Bounded<_, 256> = Bounded::truncated(vec![short_id(&it.bench.announce_key, &id)]);
    let announce = Announce { ids: ids.clone() };
    let hear = |it: &mut Fixture, link: u64| {
        let mut cx = it.bench.cx();
        it.part
            .on_announce(LinkId(link), &announce, &it.links, &mut cx);
    };
    hear(&mut it, 2);
    it.receive(1, &head);
    assert_eq!(it.holders(), [(1, false), (2, false)]);
    hear(&mut it, 3);
    it.part
        .on_have(LinkId(4), &Have { ids }, &it.links, &mut it.bench.cx());
    it.receive(5, &head);
    assert_eq!(it.holders(), [(3, false), (4, true), (5, false)]);
    it.whole(&head, Some(1));
    hear(&mut it, 6);
    assert_eq!(it.holders(), [], "nobody needs to know any more");
}

#[test]
fn a_supplier_that_keeps_a_body_waiting_is_replaced_by_who_brought_it() {
    let mut it = Fixture::new(3, &[]);
    let head = head(&it.bench, 50, 1);
    let id = it.receive(1, &head);
    it.bench.actions();
    let author = head.signed.value.author;
    let brought = |by, late: &[u64]| Brought {
        id,
        author,
        by: LinkId(by),
        late: late.iter().map(|link| LinkId(*link)).collect(),
        bulk: false,
    };
    it.part.on_brought(&brought(1, &[2]), &mut it.bench.cx());
    assert!(
        it.bench.actions().is_empty(),
        "the supplier itself brought it"
    );
    it.part.on_brought(&brought(3, &[1]), &mut it.bench.cx());
    let sent = it.bench.sent();
    assert!(matches!(
        &sent[..],
        [(LinkId(3), _, Message::Graft(graft)), (LinkId(1), _, Message::Prune(prune))]
            if graft.branch == Some(Branch::Author(author)) && prune.branch == Branch::Author(author)
    ));
    assert_eq!(it.bench.stats.broadcast.supplier_failures, 1);
}

#[test]
fn a_head_with_a_bad_signature_is_a_fault_and_not_passed_on() {
    let mut it = Fixture::new(3, &[2]);
    let mut forged = head(&it.bench, 50, 1);
    forged.signed.signature[0] ^= 1;
    it.receive(1, &forged);
    assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
    // Other hashes are another root, which nobody signed.
    let good = head(&it.bench, 50, 1);
    let frame = wire::encode(&Message::Head(Box::new(good.clone())));
    let mut changed = frame.to_vec();
    let at = changed.len() - 10;
    changed[at] ^= 1;
    let Ok(Message::Head(changed)) = wire::decode(&Bytes::from(changed)) else {
        panic!("no head");
    };
    it.receive(1, &changed);
    assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
    assert!(it.bench.actions().is_empty() && it.part.take_news().is_empty());
    it.receive(3, &good);
    assert_eq!(it.heads().len(), 1, "the forged ones censor nothing");
}

#[test]
fn bulk_goes_to_those_who_asked_for_all_of_it_few_at_once_whoever_has_the_head() {
    let mut it = Fixture::new(5, &[2]);
    it.bench.config.bodies.bulk_from = 4000;
    it.bench.config.bodies.bulk_share = 0;
    let (first, second) = (head(&it.bench, 50, 1), head(&it.bench, 50, 2));
    let id = it.receive(1, &first);
    it.part.on_subscribed(LinkId(2), &id, &it.bench.cx());
    let author = first.signed.value.author;
    for link in [3, 4, 5, 2] {
        it.graft(link, Branch::Bulk(author));
    }
    it.bench.actions();
    it.part.take_news();
    it.receive(1, &second);
    let mut busy = Vec::new();
    for action in it.bench.actions() {
        if let Action::Send { link, bytes, .. } = action {
            match wire::decode(&bytes) {
                Ok(Message::Busy(_)) => busy.push(link.0),
                Ok(Message::Head(head)) => assert!(!head.follows && link.0 == 2),
                _ => {}
            }
        }
    }
    assert_eq!((it.follows(), busy), (vec![2, 3], vec![4, 5]));
    let branch = Branch::Bulk(author);
    it.part
        .on_prune(LinkId(3), &Prune { branch }, &mut it.bench.cx());
    it.receive(1, &head(&it.bench, 50, 3));
    assert_eq!(it.follows(), [2, 4]);
    // Who sends the messages is another matter.
    it.graft(5, Branch::Author(author));
    it.bench.actions();
    it.receive(1, &head(&it.bench, 50, 4));
    assert_eq!(it.heads(), [(2, 3, false), (5, 3, false)]);
}

#[test]
fn who_brought_bulk_is_asked_for_all_of_the_author() {
    let mut it = Fixture::new(3, &[]);
    it.bench.config.bodies.bulk_from = 4000;
    let first = head(&it.bench, 50, 1);
    let author = first.signed.value.author;
    let id = it.receive(1, &first);
    it.bench.actions();
    let branch = Branch::Bulk(author);
    let brought = |it: &mut Fixture, by| {
        let brought = Brought {
            id,
            author,
            by: LinkId(by),
            late: vec![LinkId(1)],
            bulk: true,
        };
        it.part.on_brought(&brought, &mut it.bench.cx());
        let mut asked = Vec::new();
        for action in it.bench.actions() {
            if let Action::Send { link, bytes, .. } = action {
                match wire::decode(&bytes) {
                    Ok(Message::Graft(graft)) if graft.branch == Some(branch) => {
                        asked.push((link.0, true));
                    }
                    Ok(Message::Prune(prune)) if prune.branch == branch => {
                        asked.push((link.0, false));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        asked
    };
    assert_eq!(brought(&mut it, 2), [(2, true)]);
    assert_eq!(brought(&mut it, 2), [], "it knows");
    assert_eq!(brought(&mut it, 3), [(3, true), (2, false)]);
    it.part.take_news();
    it.receive(1, &head(&it.bench, 50, 2));
    let feeder = it.part.take_news().into_iter().find_map(|news| match news {
        News::Wanted(wanted) => Some(wanted.feeder),
        _ => None,
    });
    assert_eq!(feeder, Some(Some(LinkId(3))));
}
