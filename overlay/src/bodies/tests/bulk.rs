//! Bulk: who is served, who is turned away, and where those go.

use super::*;
use crate::wire::{Busy, short_id};

/// Two copies at once, of bodies above two chunks.
fn config() -> Config {
    Config {
        bulk_from: 2 * CHUNK_LEN,
        bulk_share: 8 * CHUNK_LEN,
        ..Config::default()
    }
}

impl Fixture {
    /// Whom bulk was said to have begun to come to here, and who was turned away, since the last look.
    fn told(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut part, mut busy) = (Vec::new(), Vec::new());
        self.sent.retain(|(link, message)| match message {
            Message::Part(_) => {
                part.push(*link);
                false
            }
            Message::Busy(_) => {
                busy.push(*link);
                false
            }
            _ => true,
        });
        (part, busy)
    }

    fn busy(&mut self, link: u64, large: &Large) {
        let busy = Busy {
            id: large.id.to_bytes(),
        };
        let mut cx = self.bench.cx();
        self.part.on_busy(LinkId(link), &busy, &self.links, &mut cx);
        self.drain();
    }

    fn has_part(&mut self, link: u64, large: &Large) {
        self.news(News::Holder(Holding {
            id: large.id,
            link: LinkId(link),
            has: Has::Part,
            hops: None,
            follows: false,
        }));
    }
}

#[test]
fn so_many_copies_of_bulk_leave_a_node_at_once() {
    let default = Config::default();
    assert_eq!(default.copies_at_once(256 << 10), None, "of as many as ask");
    assert_eq!(default.copies_at_once((256 << 10) + 1), Some(13));
    assert_eq!(default.copies_at_once((1 << 20) + 4), Some(3));
    assert_eq!(default.copies_at_once(16 << 20), Some(2), "two at least");

    let mut it = Fixture::new(6, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.at_hand(&large);
    let room = crate::input::Lane::Bulk;
    for link in 1..=6 {
        it.bench.out.set_room(LinkId(link), room, 0);
    }
    it.want(1, &large, 0, 4);
    it.want(2, &large, 0, 4);
    it.want(3, &large, 0, 4);
    it.want(1, &large, 2, 4);
    assert_eq!(it.told(), (vec![], vec![3]));
    let subscribed: Vec<u64> = it.part.take_subscribed().iter().map(|it| it.0.0).collect();
    assert_eq!(subscribed, [1, 2, 1]);
    // A copy that is done, or not wanted any more, makes room for another.
    it.room(1);
    assert_eq!(it.served().len(), 4);
    it.want(3, &large, 0, 4);
    it.want(4, &large, 0, 4);
    assert_eq!(it.told(), (vec![], vec![4]));
    it.unwant(2, &large, 0, 4);
    it.want(4, &large, 0, 4);
    assert_eq!(it.told(), (vec![], vec![]));
}

#[test]
fn who_never_reads_keeps_nobody_out_for_long() {
    let mut it = Fixture::new(4, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.at_hand(&large);
    for link in [1, 2] {
        it.bench
            .out
            .set_room(LinkId(link), crate::input::Lane::Bulk, 0);
        it.want(link, &large, 0, 4);
    }
    it.want(3, &large, 0, 4);
    assert_eq!((it.told(), it.served()), ((vec![], vec![3]), vec![]));
    // Two copies of 131 kB at 1 MB/s; to ask again wins no time.
    it.wait(200 * MS);
    it.want(1, &large, 0, 4);
    it.want(2, &large, 0, 4);
    it.wait(61 * MS);
    it.want(3, &large, 0, 4);
    assert_eq!(it.told(), (vec![], vec![3]));
    it.wait(2 * MS);
    it.want(3, &large, 0, 4);
    assert_eq!((it.told(), it.served().len()), ((vec![], vec![]), 4));
    // They are served on when they read after all.
    it.room(1);
    assert_eq!(it.served().len(), 4);
}

#[test]
fn who_is_turned_away_asks_those_who_have_begun_to_get_it() {
    let mut it = Fixture::new(6, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.head(1, &large, false);
    it.holds(2, &large, false, Some(3), false);
    assert_eq!(it.asks(), [(1, 0, 4)]);
    // Link 3 waits for what comes over link 1: nothing does.
    it.want(3, &large, 0, 4);
    it.busy(1, &large);
    assert_eq!(it.told(), (vec![], vec![3]));
    assert_eq!(it.asks(), [], "link 2 has as little as we");
    it.want(4, &large, 0, 4);
    assert_eq!(it.told(), (vec![], vec![4]), "nothing is on its way");
    it.has_part(5, &large);
    assert_eq!(it.asks(), [(5, 0, 4)]);
    it.want(4, &large, 0, 4);
    it.chunk(5, &large, 0);
    assert_eq!(it.served(), [(4, 0)]);
    assert_eq!(
        it.told(),
        (vec![1, 2, 3, 6], vec![]),
        "but those it comes from or goes to"
    );
    it.chunk(5, &large, 1);
    assert_eq!(it.told(), (vec![], vec![]), "once");
    // Turned away on the way: it is asked again, a while later, for what is missing, and who waits goes on waiting.
    it.busy(5, &large);
    it.wait(99 * MS);
    assert_eq!(it.asks(), []);
    it.wait(MS);
    assert_eq!(it.asks(), [(5, 2, 4)]);
    assert_eq!(it.told(), (vec![], vec![]));
    it.chunk(5, &large, 2);
    it.chunk(5, &large, 3);
    let brought = it.part.take_brought().remove(0);
    assert!(brought.bulk);
    assert_eq!(it.bench.stats.bodies.busy, 2);
    // Words about what is not wanted, or was not asked, change nothing.
    it.busy(2, &large);
    assert_eq!(it.bench.stats.bodies.busy, 2);
}

#[test]
fn those_without_anything_are_asked_when_others_had_time_to_say_that_they_have_some() {
    let mut it = Fixture::new(3, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.head(1, &large, false);
    it.asks();
    it.busy(1, &large);
    let usual = it.part.patience(2 * MS, 0);
    it.holds(2, &large, false, None, false);
    it.wait(usual - MS);
    assert_eq!(it.asks(), []);
    it.wait(2 * MS);
    assert_eq!(it.asks().len(), 1);
}

#[test]
fn who_sends_all_bulk_of_an_author_is_waited_for() {
    let mut it = Fixture::new(3, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.head_fed(1, &large, Some(2));
    assert_eq!(it.asks(), [], "link 2 sends it without being asked");
    for index in 0..4 {
        it.chunk(2, &large, index);
    }
    assert_eq!(it.part.take_brought().remove(0).by, LinkId(2));
    assert_eq!(it.asks(), []);
    // It does not: then whoever brought the head is asked.
    let second = super::large(9, 2, 4 * CHUNK_LEN);
    it.head_fed(1, &second, Some(2));
    it.wait(599 * MS);
    assert_eq!(it.asks(), []);
    it.wait(MS);
    assert_eq!(it.asks(), [(1, 0, 4)]);
}

#[test]
fn part_names_the_body_under_the_key_of_each_neighbor() {
    let mut it = Fixture::new(2, config());
    let large = large(9, 1, 4 * CHUNK_LEN);
    it.head(1, &large, false);
    it.chunk(1, &large, 0);
    let key = it.links.get(LinkId(2)).unwrap().announce_key;
    let part = it.sent.iter().find_map(|(link, message)| match message {
        Message::Part(part) => Some((*link, part.ids.to_vec())),
        _ => None,
    });
    assert_eq!(part, Some((2, vec![short_id(&key, &large.id)])));
}
