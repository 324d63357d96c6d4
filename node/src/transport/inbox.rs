//! What waits for the driver: frames by class and link, and everything else.
//!
//! One queue per class and link, served round robin over the links, the urgent class first but never alone. A link that has
//! filled its share of a class makes its own reader wait, and with it, through QUIC's flow control, its peer; the others
//! notice nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use overlay::input::{DialError, Lost, Verdict};
use overlay::{DialId, Lane, LinkId, Token};
use tokio::sync::Notify;

use super::Arrived;
use crate::snapshot::Counters;
use crate::store::StoreEvent;

/// Kinds of frames that wait apart from each other: control, live messages, catch-up.
const CLASSES: usize = 3;
/// Bytes of frames of each class that may wait for one link, beyond the batch that crosses the line. A guess: a few of the
/// longest frames, so that 100 links at their limit take 32 MiB.
const SHARE: [usize; CLASSES] = [64 * 1024, 128 * 1024, 128 * 1024];
/// What a waiting frame counts for beside its bytes.
const FRAME_COST: usize = 64;
/// Frames of one link served before the next link's turn.
const QUANTUM: usize = 16;

fn class_of(lane: Lane) -> usize {
    match lane {
        Lane::Datagram | Lane::Control => 0,
        Lane::Own | Lane::Forwarded => 1,
        Lane::Bulk => 2,
    }
}

/// What waits beside frames.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection came up.
    Arrived(Box<Arrived>),
    /// A dial came to nothing.
    DialFailed(DialId, DialError),
    /// The store has something to say.
    Store(Box<StoreEvent>),
    /// A validator has answered.
    Verdict(Token, Verdict),
}

/// One piece of work for the driver.
#[derive(Debug)]
pub(crate) enum Work {
    Event(Event),
    Frame(LinkId, Lane, Bytes),
    /// A lane has drained; its room is to be looked up now.
    Room(LinkId, Lane),
    /// A connection is gone, and all its frames have been served.
    Gone(LinkId, Lost),
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(Lane, Bytes)>,
    bytes: usize,
    /// In the round of its class.
    queued: bool,
}

#[derive(Debug)]
struct LinkQueues {
    queues: [Queue; CLASSES],
    /// The greeting is over. Lanes are streams of their own and may overtake each other, so until then all but the urgent
    /// class waits: what follows an accept must not arrive before it.
    greeted: bool,
    /// The connection ended before that.
    deaf: bool,
    gone: Option<Lost>,
    room: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<LinkId, LinkQueues>,
    /// Links with frames of each class, in the order of their turn.
    rounds: [VecDeque<LinkId>; CLASSES],
    /// Bounded by what causes them: dials, connections and loads in flight, one report of the store per commit.
    events: VecDeque<Event>,
    rooms: Vec<(LinkId, Lane)>,
    gone: Vec<(LinkId, Lost)>,
}

/// The driver's inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Notify,
    counters: Arc<Counters>,
}

impl Inbox {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            counters,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a place for the frames of a link.
    pub(crate) fn open(&self, link: LinkId) {
        self.lock().links.insert(
            link,
            LinkQueues {
                queues: Default::default(),
                greeted: false,
                deaf: false,
                gone: None,
                room: Arc::new(Notify::new()),
            },
        );
    }

    /// Says that the greeting of a link is over.
    pub(crate) fn greeted(&self, link: LinkId) {
        let mut state = self.lock();
        let State { links, rounds, .. } = &mut *state;
        let Some(queues) = links.get_mut(&link) else {
            return;
        };
        queues.greeted = !queues.deaf;
        for (queue, round) in queues.queues.iter_mut().zip(rounds) {
            if !queue.queued && !queue.frames.is_empty() {
                queue.queued = true;
                round.push_back(link);
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Queues something beside frames.
    pub(crate) fn event(&self, event: Event) {
        self.lock().events.push_back(event);
        self.wake.notify_one();
    }

    /// Says that a lane has drained.
    pub(crate) fn room(&self, link: LinkId, lane: Lane) {
        self.lock().rooms.push((link, lane));
        self.wake.notify_one();
    }

    /// Says that a connection has ended and its readers are about to. What waits for a greeting waits in vain: an accept
    /// among the urgent frames would come too late.
    pub(crate) fn ended(&self, link: LinkId) {
        let mut state = self.lock();
        let Some(queues) = state.links.get_mut(&link) else {
            return;
        };
        if !queues.greeted {
            queues.deaf = true;
            for queue in &mut queues.queues[1..] {
                queue.frames.clear();
                queue.bytes = 0;
            }
            queues.room.notify_waiters();
        }
    }

    /// Says that a connection is gone, after the last of its frames was queued; served after them.
    pub(crate) fn gone(&self, link: LinkId, reason: Lost) {
        let mut state = self.lock();
        if let Some(queues) = state.links.get_mut(&link) {
            queues.gone = Some(reason);
            state.retire(link);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Queues frames of one lane, in order; waits while the link's share is full. `frames` is left empty.
    pub(crate) async fn frames(&self, link: LinkId, lane: Lane, frames: &mut Vec<Bytes>) {
        let class = class_of(lane);
        let mut waited = false;
        loop {
            let room = {
                let mut state = self.lock();
                let State { links, rounds, .. } = &mut *state;
                let Some(queues) = links.get_mut(&link) else {
                    frames.clear(); // the driver has let go of the link
                    return;
                };
                if queues.deaf && class > 0 {
                    frames.clear();
                    return;
                }
                let queue = &mut queues.queues[class];
                if queue.bytes < SHARE[class] {
                    for frame in frames.drain(..) {
                        queue.bytes += frame.len() + FRAME_COST;
                        queue.frames.push_back((lane, frame));
                    }
                    let served = class == 0 || queues.greeted;
                    if served && !queue.queued && !queue.frames.is_empty() {
                        queue.queued = true;
                        rounds[class].push_back(link);
                    }
                    drop(state);
                    self.wake.notify_one();
                    return;
                }
                queues.room.clone()
            };
            if !std::mem::replace(&mut waited, true) {
                Counters::hit(&self.counters.inbox_waits);
            }
            // Several lanes may wait here for one link: all look again.
            let notified = room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !self.is_full(link, class) {
                continue;
            }
            notified.await;
        }
    }

    /// Queues a datagram, or drops it where the link's share is full: nobody waits for a datagram.
    pub(crate) fn datagram(&self, link: LinkId, frame: Bytes) {
        let class = class_of(Lane::Datagram);
        let mut state = self.lock();
        let State { links, rounds, .. } = &mut *state;
        let Some(queues) = links.get_mut(&link) else {
            return;
        };
        let queue = &mut queues.queues[class];
        if queue.bytes >= SHARE[class] {
            Counters::hit(&self.counters.datagrams_dropped);
            return;
        }
        queue.bytes += frame.len() + FRAME_COST;
        queue.frames.push_back((Lane::Datagram, frame));
        if !std::mem::replace(&mut queue.queued, true) {
            rounds[class].push_back(link);
        }
        drop(state);
        self.wake.notify_one();
    }

    fn is_full(&self, link: LinkId, class: usize) -> bool {
        let state = self.lock();
        let queues = state.links.get(&link);
        queues.is_some_and(|queues| queues.queues[class].bytes >= SHARE[class])
    }

    /// Moves at most `limit` pieces of work to `work`. With `urgent_only`, frames of the urgent class and no others.
    pub(crate) fn take(&self, limit: usize, urgent_only: bool, work: &mut Vec<Work>) {
        let mut state = self.lock();
        let State {
            events,
            rooms,
            gone,
            ..
        } = &mut *state;
        work.extend(
            gone.drain(..)
                .map(|(link, reason)| Work::Gone(link, reason)),
        );
        work.extend(rooms.drain(..).map(|(link, lane)| Work::Room(link, lane)));
        let some = events.len().min(limit);
        work.extend(events.drain(..some).map(Work::Event));
        if urgent_only {
            state.serve(0, limit, work);
            return;
        }
        // What is urgent first, but half of each turn is kept for live messages, and an eighth for catch-up.
        let kept: [usize; CLASSES] = [limit / 2 + limit / 8, limit / 8, 0];
        let mut left = limit;
        for (class, kept) in kept.into_iter().enumerate() {
            left -= state.serve(class, left.saturating_sub(kept), work);
        }
        for class in 0..CLASSES {
            left -= state.serve(class, left, work);
        }
    }

    /// Lets go of every link: nobody serves them any more.
    pub(crate) fn close(&self) {
        for queues in std::mem::take(&mut self.lock().links).into_values() {
            queues.room.notify_waiters();
        }
    }

    /// Waits until something may be there.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl State {
    /// Serves the links of a class in turn; returns how many frames that were.
    fn serve(&mut self, class: usize, limit: usize, work: &mut Vec<Work>) -> usize {
        let mut served = 0;
        while served < limit {
            let Some(link) = self.rounds[class].pop_front() else {
                break;
            };
            let Some(queues) = self.links.get_mut(&link) else {
                continue;
            };
            let queue = &mut queues.queues[class];
            let was_full = queue.bytes >= SHARE[class];
            for _ in 0..QUANTUM.min(limit - served) {
                let Some((lane, frame)) = queue.frames.pop_front() else {
                    break;
                };
                queue.bytes = queue.bytes.saturating_sub(frame.len() + FRAME_COST);
                work.push(Work::Frame(link, lane, frame));
                served += 1;
            }
            if was_full && queue.bytes < SHARE[class] {
                queues.room.notify_waiters();
            }
            queue.queued = !queue.frames.is_empty();
            if queue.queued {
                self.rounds[class].push_back(link);
            } else {
                self.retire(link);
            }
        }
        served
    }

    /// Lets go of a link that is gone and has nothing left.
    fn retire(&mut self, link: LinkId) {
        let Some(queues) = self.links.get(&link) else {
            return;
        };
        if let Some(reason) = queues.gone.clone()
            && queues.queues.iter().all(|queue| queue.frames.is_empty())
        {
            self.links.remove(&link);
            self.gone.push((link, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(links: u64) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(Arc::default()));
        for link in 0..links {
            inbox.open(LinkId(link));
            inbox.greeted(LinkId(link));
        }
        inbox
    }

    fn put(inbox: &Inbox, link: u64, lane: Lane, count: usize, len: usize) {
        let mut frames = vec![Bytes::from(vec![0; len]); count];
        let mut queued = Box::pin(inbox.frames(LinkId(link), lane, &mut frames));
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        assert!(queued.as_mut().poll(&mut cx).is_ready());
    }

    fn take(inbox: &Inbox, limit: usize) -> Vec<(u64, Lane)> {
        let mut work = Vec::new();
        inbox.take(limit, false, &mut work);
        work.into_iter()
            .filter_map(|work| match work {
                Work::Frame(link, lane, _) => Some((link.0, lane)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn links_take_turns_and_a_flood_does_not_delay_control() {
        let inbox = inbox(3);
        put(&inbox, 0, Lane::Bulk, 1000, 100);
        put(&inbox, 1, Lane::Forwarded, 1000, 100);
        put(&inbox, 2, Lane::Control, 1, 100);
        put(&inbox, 2, Lane::Forwarded, 1, 100);
        let served = take(&inbox, 64);
        assert_eq!(served.len(), 64);
        assert_eq!(served[0], (2, Lane::Control));
        let second = served.iter().position(|one| *one == (2, Lane::Forwarded));
        assert!(second.unwrap() <= 1 + QUANTUM);
        let bulk = served
            .iter()
            .filter(|(_, lane)| *lane == Lane::Bulk)
            .count();
        assert!(bulk >= 8, "catch-up is never starved: {bulk}");
    }

    #[test]
    fn control_alone_may_use_the_whole_turn_but_leaves_half_when_others_wait() {
        let inbox = inbox(2);
        put(&inbox, 0, Lane::Control, 100, 10);
        assert_eq!(take(&inbox, 64).len(), 64);
        put(&inbox, 0, Lane::Control, 100, 10);
        put(&inbox, 1, Lane::Own, 100, 10);
        let served = take(&inbox, 64);
        let live = served.iter().filter(|(_, lane)| *lane == Lane::Own).count();
        assert!(live >= 32, "{live}");
    }

    #[tokio::test]
    async fn a_link_beyond_its_share_waits_until_it_was_served() {
        let inbox = inbox(2);
        put(&inbox, 0, Lane::Own, 10, 16 * 1024);
        let waiting = tokio::spawn({
            let inbox = inbox.clone();
            async move {
                let mut frames = vec![Bytes::from_static(b"late")];
                inbox.frames(LinkId(0), Lane::Own, &mut frames).await;
            }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        put(&inbox, 1, Lane::Own, 10, 16 * 1024); // the other link is not concerned
        put(&inbox, 0, Lane::Control, 1, 10); // nor is another class
        assert_eq!(take(&inbox, 100).len(), 21);
        waiting.await.unwrap();
        assert_eq!(take(&inbox, 100), [(0, Lane::Own)]);
        assert_eq!(inbox.counters.read().inbox_waits, 1);
    }

    #[test]
    fn a_link_is_gone_only_after_its_last_frame() {
        let inbox = inbox(1);
        put(&inbox, 0, Lane::Own, 3, 10);
        inbox.gone(LinkId(0), Lost::TimedOut);
        let mut work = Vec::new();
        inbox.take(2, false, &mut work);
        assert!(work.iter().all(|work| matches!(work, Work::Frame(..))));
        inbox.take(10, false, &mut work);
        inbox.take(10, false, &mut work);
        assert_eq!(work.len(), 4);
        assert!(matches!(work[3], Work::Gone(LinkId(0), Lost::TimedOut)));
        put(&inbox, 0, Lane::Own, 3, 10); // a late reader's frames go nowhere
        assert_eq!(take(&inbox, 10), []);
    }

    #[test]
    fn what_overtakes_the_greeting_waits_for_it() {
        let inbox = inbox(0);
        inbox.open(LinkId(0));
        put(&inbox, 0, Lane::Bulk, 2, 10);
        put(&inbox, 0, Lane::Control, 1, 10);
        assert_eq!(take(&inbox, 10), [(0, Lane::Control)]);
        assert_eq!(take(&inbox, 10), []);
        inbox.greeted(LinkId(0));
        assert_eq!(take(&inbox, 10), [(0, Lane::Bulk); 2]);
        inbox.open(LinkId(1));
        put(&inbox, 1, Lane::Bulk, 2, 10);
        inbox.ended(LinkId(1));
        put(&inbox, 1, Lane::Bulk, 2, 10);
        inbox.greeted(LinkId(1));
        inbox.gone(LinkId(1), Lost::TimedOut);
        let mut work = Vec::new();
        inbox.take(10, false, &mut work);
        assert!(matches!(work[..], [Work::Gone(LinkId(1), Lost::TimedOut)]));
    }

    #[tokio::test]
    async fn a_reader_that_waits_for_a_greeting_is_let_go_at_the_end() {
        let inbox = inbox(0);
        inbox.open(LinkId(0));
        put(&inbox, 0, Lane::Bulk, 10, 16 * 1024);
        let mut frames = vec![Bytes::from_static(b"late")];
        let waiting = inbox.frames(LinkId(0), Lane::Bulk, &mut frames);
        let ending = async {
            tokio::task::yield_now().await;
            inbox.ended(LinkId(0));
        };
        tokio::join!(waiting, ending);
        assert!(frames.is_empty());
    }

    #[test]
    fn a_full_store_lets_only_urgent_frames_pass() {
        let inbox = inbox(1);
        put(&inbox, 0, Lane::Own, 3, 10);
        put(&inbox, 0, Lane::Control, 3, 10);
        let mut work = Vec::new();
        inbox.take(10, true, &mut work);
        assert_eq!(work.len(), 3);
    }
}
