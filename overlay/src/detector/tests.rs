//! The detector by itself: one node, links that say nothing, and time that the test moves.

use std::time::Duration;

use super::looks::{MAX_LOOKS, MAX_LOOKS_EACH};
use super::*;
use crate::action::Event;
use crate::input::Lane;
use crate::neighbors::{Change, Code, Down, Links};
use crate::testing::{Bench, neighbor, peer};
use crate::wire::{Look, Message};

const MS: Duration = Duration::from_millis(1);

struct Node {
    bench: Bench,
    links: Links,
    detector: Detector,
    events: Vec<Event>,
    sent: Vec<(LinkId, Lane, Message)>,
}

/// A node with neighbors 1 to `count`, all dialled by it.
fn node(count: u64) -> Node {
    let mut node = Node {
        bench: Bench::new(0),
        links: Links::default(),
        detector: Detector::default(),
        events: Vec::new(),
        sent: Vec::new(),
    };
    for id in 1..=count {
        let who = peer(u32::try_from(id).unwrap());
        let link = LinkId(id);
        node.links.insert(link, neighbor(who, node.bench.now.mono));
        let up = Change::NeighborUp { link, peer: who };
        node.bench.out.open(link);
        // Nothing has been lost for long.
        for _ in 0..1000 {
            node.detector.losses.answered(true);
        }
        node.detector
            .on_change(&up, &node.links, &mut node.bench.cx());
    }
    node
}

impl Node {
    /// Time passes, and every timer is heeded.
    fn pass(&mut self, span: Duration) {
        let until = self.bench.now.mono + span;
        while let Some(at) = self.detector.next_timeout().filter(|at| *at <= until) {
            let by = at.saturating_duration_since(self.bench.now.mono);
            self.bench.advance(by);
            self.tick();
        }
        let rest = until.saturating_duration_since(self.bench.now.mono);
        self.bench.advance(rest);
    }

    fn tick(&mut self) {
        self.detector.on_timeout(&self.links, &mut self.bench.cx());
        self.detector.check(&self.bench.config.detector);
        self.collect();
    }

    fn collect(&mut self) {
        for action in self.bench.actions() {
            match action {
                crate::Action::Send { link, lane, bytes } => {
                    let message = crate::wire::decode(&bytes).unwrap();
                    self.sent.push((link, lane, message));
                }
                crate::Action::Emit(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Any frame comes from a neighbor.
    fn hear(&mut self, link: u64) {
        let link = LinkId(link);
        let last = self.links.get(link).unwrap().last_in;
        let silent = self.bench.now.mono - last;
        self.links.touch(link, self.bench.now.mono);
        self.detector.on_frame(link, silent, &mut self.bench.cx());
        self.detector.check(&self.bench.config.detector);
        self.collect();
    }

    /// The probes sent on a link since the last call, and whether each was a datagram.
    fn probes(&mut self, link: u64) -> Vec<bool> {
        let sent = std::mem::take(&mut self.sent);
        let of_link = sent.iter().filter(|(to, ..)| *to == LinkId(link));
        of_link
            .filter(|(_, _, message)| matches!(message, Message::Probe(_)))
            .map(|(_, lane, _)| *lane == Lane::Datagram)
            .collect()
    }

    fn look_sent(&self) -> Option<(LinkId, Look)> {
        self.sent.iter().find_map(|(to, _, message)| match message {
            Message::Look(look) => Some((*to, *look)),
            _ => None,
        })
    }
}

#[test]
fn a_silent_neighbor_is_probed_suspected_and_given_up() {
    let mut node = node(1);
    let config = Config::default();
    node.pass(config.idle + config.patience.0 - MS);
    assert_eq!(node.probes(1), []);
    node.pass(MS);
    assert_eq!(node.probes(1), [true]);
    node.pass(config.patience.0);
    assert_eq!(
        node.probes(1),
        [false],
        "a stream may work where datagrams do not"
    );
    assert!(!node.detector.is_suspected(LinkId(1)));
    node.pass(config.patience.0);
    assert!(matches!(node.events[..], [Event::Suspected { .. }]));
    assert!(node.detector.is_suspected(LinkId(1)));
    node.pass(config.patience.0 * 4 - MS);
    assert_eq!(node.probes(1), [true, false, true, false]);
    assert_eq!(node.detector.take_failed(), []);
    node.pass(MS);
    assert_eq!(node.detector.take_failed(), [LinkId(1)]);
    let all = config.idle + config.patience.0 * 7;
    assert!(matches!(
        node.events[1..],
        [Event::Failed { silent, alive_elsewhere: false, .. }] if silent == all
    ));
    assert_eq!(node.detector.next_timeout(), None, "nothing is kept of it");
}

#[test]
fn any_frame_ends_the_suspicion_and_only_an_answer_measures() {
    let mut node = node(1);
    node.pass(Duration::from_millis(4500));
    assert!(node.detector.is_suspected(LinkId(1)));
    node.hear(1);
    assert!(!node.detector.is_suspected(LinkId(1)));
    assert!(matches!(
        node.events[..],
        [Event::Suspected { .. }, Event::Recovered { silent, .. }] if silent == Duration::from_millis(4500)
    ));
    let Some(&(_, _, Message::Probe(number))) = node.sent.last() else {
        panic!("{:?}", node.sent);
    };
    let answer = |node: &mut Node, number| {
        node.detector
            .on_probe_ack(LinkId(1), number, &mut node.bench.cx())
    };
    assert_eq!(
        answer(&mut node, number.wrapping_add(1)),
        None,
        "none of ours"
    );
    assert!(
        answer(&mut node, number.wrapping_sub(1)).is_some(),
        "the one before"
    );
    assert!(answer(&mut node, number).is_some());
    assert_eq!(answer(&mut node, number), None, "once");
}

#[test]
fn what_is_heard_often_is_never_probed() {
    let mut node = node(2);
    for _ in 0..100 {
        node.pass(Duration::from_secs(3));
        node.hear(1);
        node.hear(2);
    }
    assert!(node.sent.is_empty());
    assert_eq!(node.bench.stats.detector.probed, 0);
}

#[test]
fn the_ends_take_turns() {
    let mut node = node(1);
    node.detector
        .on_probe(LinkId(1), Lane::Datagram, 7, &mut node.bench.cx());
    node.hear(1);
    assert!(matches!(
        node.sent[..],
        [(LinkId(1), Lane::Datagram, Message::ProbeAck(7))]
    ));
    // The other end has begun this time, so it is for this one to begin the next time, and then for the other one again.
    let config = Config::default();
    for wait in [config.idle, config.idle + config.patience.0] {
        node.pass(wait - MS);
        assert_eq!(node.probes(1), []);
        node.pass(MS);
        assert_eq!(node.probes(1), [true]);
        node.hear(1);
    }
}

#[test]
fn three_neighbors_of_our_choice_are_asked_and_their_word_counts_once() {
    let mut node = node(9);
    for id in 5..=9 {
        // Whoever dialled us may be anybody.
        let mut link = node.links.remove(LinkId(id)).unwrap();
        link.outbound = false;
        node.links.insert(LinkId(id), link);
    }
    node.pass(Duration::from_secs(3));
    for id in 2..=9 {
        node.hear(id);
    }
    node.pass(Duration::from_millis(1200));
    let asked: Vec<LinkId> = node
        .sent
        .iter()
        .filter(|(_, _, message)| matches!(message, Message::Look(_)))
        .map(|(to, ..)| *to)
        .collect();
    assert_eq!(asked.len(), 3);
    assert!(
        asked.iter().all(|link| (2..=4).contains(&link.0)),
        "{asked:?}"
    );
    let (helper, look) = node.look_sent().unwrap();
    assert_eq!(look.target, *peer(1).as_bytes());
    let seen = |node: &mut Node, from, number| {
        node.detector.on_seen(from, number, &mut node.bench.cx());
    };
    seen(&mut node, LinkId(9), look.number);
    seen(&mut node, helper, look.number.wrapping_add(1));
    assert_eq!(node.bench.stats.detector.stray_alibis, 2);
    seen(&mut node, helper, look.number);
    for _ in 0..20 {
        for id in 2..=9 {
            node.hear(id);
        }
        seen(&mut node, helper, look.number);
        node.pass(Duration::from_millis(200));
    }
    assert_eq!(node.bench.stats.detector.alibis, 1, "put off once");
    assert_eq!(node.detector.take_failed(), [LinkId(1)]);
    let failed = node.events.last();
    assert!(
        matches!(failed, Some(Event::Failed { alive_elsewhere: true, silent, .. })
            if *silent == Duration::from_millis(3800 + 300 * 10)),
        "{failed:?}"
    );
}

#[test]
fn a_look_is_answered_when_the_peer_is_heard_and_not_before() {
    let mut node = node(3);
    let look = Look {
        number: 99,
        target: *peer(1).as_bytes(),
    };
    let ask = |node: &mut Node, look| {
        let (links, cx) = (&node.links, &mut node.bench.cx());
        node.detector.on_look(LinkId(2), look, links, cx);
        node.collect();
    };
    ask(&mut node, look);
    assert_eq!(node.probes(1), [true], "a look of our own");
    node.pass(100 * MS);
    node.hear(3);
    assert!(node.sent.is_empty());
    node.hear(1);
    assert!(matches!(
        node.sent[..],
        [(LinkId(2), Lane::Control, Message::Seen(99))]
    ));
    node.hear(1);
    assert_eq!(node.sent.len(), 1, "once");
    // Nobody we know; and somebody asks for itself.
    for target in [peer(9), peer(2)] {
        let target = *target.as_bytes();
        ask(&mut node, Look { number: 1, target });
    }
    assert_eq!(node.bench.stats.detector.looks_refused, 2);
    assert_eq!(node.sent.len(), 1);
}

#[test]
fn looks_are_bounded_for_each_and_in_all() {
    let mut node = node(10);
    let target = *peer(1).as_bytes();
    for asker in 2..=10 {
        for number in 0..100 {
            let look = Look { number, target };
            let (links, cx) = (&node.links, &mut node.bench.cx());
            node.detector.on_look(LinkId(asker), look, links, cx);
            node.detector.check(&node.bench.config.detector);
        }
        let most = MAX_LOOKS.min(MAX_LOOKS_EACH * (asker as usize - 1));
        assert_eq!(node.detector.looks.len(), most);
    }
    node.collect();
    assert_eq!(node.probes(1).len(), 1, "nobody is probed the more for it");
    let down = Change::NeighborDown {
        link: LinkId(1),
        peer: peer(1),
        why: Down::TimedOut,
    };
    node.detector
        .on_change(&down, &node.links, &mut node.bench.cx());
    assert_eq!(node.detector.looks.len(), 0);
}

#[test]
fn a_visitor_asks_for_no_look() {
    let mut node = node(2);
    let mut link = node.links.remove(LinkId(2)).unwrap();
    link.kind = crate::wire::Purpose::Visit;
    node.links.insert(LinkId(2), link);
    let target = *peer(1).as_bytes();
    let look = Look { number: 1, target };
    let cx = &mut node.bench.cx();
    node.detector.on_look(LinkId(2), look, &node.links, cx);
    assert_eq!(node.bench.stats.detector.looks_refused, 1);
    node.collect();
    assert_eq!(node.probes(1), []);
}

#[test]
fn a_node_that_wakes_late_listens_before_it_judges() {
    let mut node = node(3);
    node.pass(Duration::from_millis(4500));
    assert!(node.detector.is_suspected(LinkId(1)));
    // The process stands still; what was answered meanwhile is unread.
    node.bench.advance(Duration::from_secs(10));
    node.tick();
    assert_eq!(node.detector.take_failed(), []);
    assert_eq!(node.detector.health.score(node.bench.now.mono), 8);
    for id in 1..=3 {
        node.hear(id);
    }
    node.probes(1);
    // And has more patience for a while: nine times as much.
    let begun = node.bench.now.mono;
    node.pass(Duration::from_millis(3800 + 2 * 2000));
    assert_eq!(node.probes(1), [true, false]);
    assert!(
        node.detector.health.score(begun) == 8
            && node.detector.health.score(node.bench.now.mono) < 8
    );
    node.pass(Duration::from_secs(60));
    assert_eq!(node.detector.health.score(node.bench.now.mono), 0);
    assert_eq!(node.detector.take_failed().len(), 3);
}

#[test]
fn patience_follows_the_link_s_own_history() {
    let mut node = node(1);
    let slow = Duration::from_millis(900);
    for _ in 0..20 {
        node.pass(Duration::from_millis(3800));
        let Some(&(_, _, Message::Probe(number))) = node.sent.last() else {
            panic!("{:?}", node.sent);
        };
        node.pass(slow);
        node.detector
            .on_probe_ack(LinkId(1), number, &mut node.bench.cx());
        node.hear(1);
        node.sent.clear();
    }
    let suspected = node.bench.stats.detector.suspected;
    assert!(suspected < 10, "{suspected}");
    node.pass(Duration::from_millis(3800) + slow);
    assert_eq!(node.probes(1), [true], "an answer takes that long there");
}

#[test]
fn where_much_is_lost_the_silent_have_more_time() {
    let mut node = node(1);
    for _ in 0..30 {
        node.detector.losses.answered(false);
    }
    let config = Config::default();
    node.pass(config.idle + config.patience.0);
    node.probes(1);
    node.pass(config.patience.0 * 18 - MS);
    assert_eq!(node.probes(1).len(), 17);
    assert_eq!(node.detector.take_failed(), []);
    node.pass(MS);
    assert_eq!(node.detector.take_failed(), [LinkId(1)]);
}

/// Time passes, while all of these answer what they are asked, at once or not before the second probe.
fn answering(node: &mut Node, span: Duration, at_once: &[u64], late: &[u64]) {
    let until = node.bench.now.mono + span;
    while node.bench.now.mono < until {
        node.pass(MS * 50);
        for (link, lane, message) in std::mem::take(&mut node.sent) {
            let heard =
                at_once.contains(&link.0) || (late.contains(&link.0) && lane == Lane::Control);
            if heard && matches!(message, Message::Probe(_)) {
                node.hear(link.0);
            }
        }
    }
}

#[test]
fn a_third_of_the_neighbors_can_pretend_to_lose_much_and_gains_nothing_for_the_dead() {
    let config = Config::default();
    let mut node = node(12);
    let honest: Vec<u64> = (1..=8).collect();
    answering(
        &mut node,
        Duration::from_secs(260),
        &honest,
        &[9, 10, 11, 12],
    );
    assert_eq!(node.detector.take_failed(), []);
    // One of either kind dies.
    answering(
        &mut node,
        config.idle + config.patience.0 * 8,
        &honest[1..],
        &[9, 10, 11],
    );
    assert_eq!(node.detector.take_failed(), [LinkId(1)]);
    answering(
        &mut node,
        config.patience.0 * 13,
        &honest[1..],
        &[9, 10, 11],
    );
    assert_eq!(
        node.detector.take_failed(),
        [LinkId(12)],
        "it has more time itself"
    );
}

#[test]
fn only_neighbors_that_we_chose_can_tell_us_that_we_are_slow() {
    for (outbound, why, score) in [
        (true, Down::ByPeer(Code::Failed), 1),
        (true, Down::ByPeer(Code::Rotated), 0),
        (true, Down::ByUs(Code::Failed), 0),
        (false, Down::ByPeer(Code::Failed), 0),
    ] {
        let mut node = node(0);
        let (link, who) = (LinkId(1), peer(1));
        let mut row = neighbor(who, node.bench.now.mono);
        row.outbound = outbound;
        node.links.insert(link, row);
        let peer = who;
        for change in [
            Change::NeighborUp { link, peer },
            Change::NeighborDown { link, peer, why },
            // Once it is a neighbor no more it has no word.
            Change::NeighborDown { link, peer, why },
        ] {
            let cx = &mut node.bench.cx();
            node.detector.on_change(&change, &node.links, cx);
        }
        let now = node.bench.now.mono;
        assert_eq!(node.detector.health.score(now), score, "{outbound} {why:?}");
    }
}
