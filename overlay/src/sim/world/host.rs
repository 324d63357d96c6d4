//! One machine: the player, its disk, its connections. It does for a core what the node's driver does, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crypto::{EntryId, Identity, PeerId};
use rand::rngs::ChaCha12Rng;

use super::cost::SILENT_DIAL;
use super::disk::Disk;
use super::end::End;
use super::event::{Causes, Sink, What};
use super::ground::{DIAL_TIMEOUT, Ground};
use super::player::Player;
use super::slow::Slow;
use super::streams::{Purpose, stream};
use super::time::Time;
use super::uplink::Uplink;
use crate::action::{Receipt, Row};
use crate::input::{DialError, Input, LinkId, Lost, Now, Token};
use crate::sim::invariants::Guard;
use crate::sim::spread::tap::Tap;

/// What a host sent and received on the wire, bytes with all headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub out: u64,
    /// Received.
    pub into: u64,
    /// Bytes of frames handed to lanes.
    pub frames_out: u64,
}

/// Dials that arrived at a host while it was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialed {
    /// All of them.
    pub all: u64,
    /// Of these, dials that wanted somebody else.
    pub astray: u64,
}

/// Who a host is for the whole run.
#[derive(Clone, Debug)]
pub struct Who {
    /// Its key.
    pub identity: Identity,
    /// Where others see it.
    pub addr: SocketAddr,
    /// Belongs to the adversary.
    pub hostile: bool,
    /// Nobody can dial it.
    pub undialable: bool,
}

/// One entry as an application got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// When.
    pub at: Time,
    /// In which start of the host.
    pub start: u32,
    /// Which.
    pub entry: EntryId,
}

/// What a node said of a neighbor.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When.
    pub at: Time,
    /// Whom.
    pub peer: PeerId,
    /// What.
    pub word: Word,
}

/// What can be said of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It answers no probe and may be dead.
    Suspected,
    /// It is heard again.
    Recovered,
    /// It is taken for dead.
    Failed,
    /// It is a neighbor no more, for whatever reason.
    Down,
}

/// How a host dies that is to die while rows are on their way to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// Nothing of the commit is on the disk.
    Before,
    /// All of it is, but the node never hears so.
    After,
}

/// One machine.
#[derive(Debug)]
pub struct Host {
    pub(super) index: u32,
    pub(super) who: Who,
    pub(super) player: Option<Player>,
    /// How often it started; what belongs to an earlier start is void.
    pub(super) starts: u32,
    pub(super) started_at: Time,
    pub(super) disk: Disk,
    pub(super) ends: BTreeMap<LinkId, End>,
    pub(super) traffic: Traffic,
    pub(super) dialed: Dialed,
    pub(super) deliveries: Vec<Delivered>,
    pub(super) receipts: Vec<(Time, Receipt)>,
    pub(super) hash: u64,
    pub(super) handled: u64,
    pub(super) causes: Causes,
    /// Everything waits until then.
    stalled_until: Option<Time>,
    backlog: Vec<What>,
    pub(super) doom: Option<Doom>,
    died_at: Option<Time>,
    woke_at: Option<Time>,
    pub(super) guard: Guard,
    pub(super) next_link: u64,
    pub(super) timer: Option<Time>,
    pub(super) rows: Vec<(Token, Row)>,
    pub(super) uplink: Uplink,
    pub(super) path: ChaCha12Rng,
    /// So much of what it sends is lost.
    pub(super) lossy: f64,
    pub(super) slow: Option<Slow>,
    /// How far its wall clock is ahead, milliseconds.
    pub(super) clock_ms: i64,
    /// It has been slow, lossy or stalled at some time.
    pub(super) faulty: bool,
    /// What it said of its neighbors, since the last look.
    pub(super) verdicts: Vec<Verdict>,
    /// Notes how messages spread, where any are published.
    pub(super) tap: Option<Box<Tap>>,
}

impl Host {
    pub(super) fn new(index: u32, who: Who, keep_peers: bool, seed: u64) -> Self {
        Self {
            index,
            who,
            player: None,
            starts: 0,
            started_at: Time::default(),
            disk: Disk::new(keep_peers),
            ends: BTreeMap::new(),
            traffic: Traffic::default(),
            dialed: Dialed::default(),
            deliveries: Vec::new(),
            receipts: Vec::new(),
            hash: 0,
            handled: 0,
            causes: Causes::new(index),
            stalled_until: None,
            backlog: Vec::new(),
            doom: None,
            died_at: None,
            woke_at: None,
            guard: Guard::default(),
            next_link: 0,
            timer: None,
            rows: Vec::new(),
            uplink: Uplink::default(),
            path: stream(seed, index, Purpose::Path),
            lossy: 0.0,
            slow: None,
            clock_ms: 0,
            faulty: false,
            verdicts: Vec::new(),
            tap: None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Who it is.
    #[must_use]
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.who.identity.id()
    }

    /// Who sits there; nobody while it is down.
    #[must_use]
    pub const fn player(&self) -> Option<&Player> {
        self.player.as_ref()
    }

    /// The node that runs there, if it is up and one of ours.
    #[must_use]
    pub fn node(&self) -> Option<&crate::Overlay> {
        match &self.player {
            Some(Player::Node(overlay)) => Some(overlay),
            _ => None,
        }
    }

    /// Whether it is up and honest.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        self.player.is_some() && !self.who.hostile
    }

    /// How often it has started.
    #[must_use]
    pub const fn starts(&self) -> u32 {
        self.starts
    }

    /// Since when it is up (its last start).
    #[must_use]
    pub const fn started_at(&self) -> Time {
        self.started_at
    }

    /// What it sent and received so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Dials that arrived so far.
    #[must_use]
    pub const fn dialed(&self) -> Dialed {
        self.dialed
    }

    /// What was delivered to its application, over all starts.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivered] {
        &self.deliveries
    }

    /// What its application was told to be durable of what it published, over all starts.
    #[must_use]
    pub fn receipts(&self) -> &[(Time, Receipt)] {
        &self.receipts
    }

    /// What it noted of messages.
    pub(in crate::sim) fn tap(&self) -> Option<&Tap> {
        self.tap.as_deref()
    }

    /// The time it is, as its own clocks show it.
    pub(super) fn now(&self, ground: &Ground, time: Time) -> Now {
        let now = ground.now(time);
        Now {
            unix_ms: now.unix_ms.saturating_add_signed(self.clock_ms),
            ..now
        }
    }

    /// Until when it stands still, if it does.
    #[must_use]
    pub const fn stalled_until(&self) -> Option<Time> {
        self.stalled_until
    }

    /// Whether it has stood still, run late or lost what it sent at any time.
    #[must_use]
    pub const fn was_faulty(&self) -> bool {
        self.faulty
    }

    /// When it last died, if it did.
    #[must_use]
    pub const fn died_at(&self) -> Option<Time> {
        self.died_at
    }

    /// When it last moved again after it had stood still, if it did.
    #[must_use]
    pub const fn woke_at(&self) -> Option<Time> {
        self.woke_at
    }

    /// Starts with a player; `now` is its first moment.
    pub(super) fn start(
        &mut self,
        player: Player,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        self.starts += 1;
        self.started_at = now;
        self.player = Some(player);
        let node = match &self.player {
            Some(Player::Node(node)) if !self.who.hostile => Some(&**node),
            _ => None,
        };
        self.guard.begin(node);
        self.tell(Input::Timeout, now, ground, sink);
    }

    /// Power off: what was not durable is gone, and nobody is told. The other ends notice by their idle timeout.
    pub(super) fn crash(&mut self, now: Time) -> Vec<(u32, LinkId)> {
        self.died_at = self.player.take().map(|_| now).or(self.died_at);
        self.rows.clear();
        self.timer = None;
        self.stalled_until = None;
        self.backlog.clear();
        self.doom = None;
        self.uplink = Uplink::default();
        let ends = std::mem::take(&mut self.ends);
        ends.into_values().map(|end| (end.host, end.far)).collect()
    }

    /// One event.
    pub(super) fn happen(&mut self, what: What, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        if let Some(until) = self.stalled_until {
            if until > now {
                return self.put_off(what, until, now, sink);
            }
            self.resume(now, ground, sink);
        }
        let Some(what) = self.wait(what, now, sink) else {
            return;
        };
        match what {
            What::Wake => {
                if self.timer.is_some_and(|timer| timer <= now) {
                    self.timer = None;
                    self.tell(Input::Timeout, now, ground, sink);
                }
            }
            // It has resumed above; and nothing waits twice.
            What::Resume | What::Late(_) => {}
            What::Syn(syn) => self.accept(*syn, now, ground, sink),
            What::Welcome(welcome) => self.welcomed(&welcome, now, ground, sink),
            What::DialFailed {
                start,
                dial,
                reason,
            } => {
                if reason == DialError::Unreachable {
                    self.traffic.out += SILENT_DIAL as u64;
                }
                if start == self.starts {
                    self.tell(Input::DialFailed { dial, reason }, now, ground, sink);
                }
            }
            What::Established { link } => self.announce(link, now, ground, sink),
            What::Frame {
                link,
                lane,
                bytes,
                wire,
                back,
            } => {
                self.traffic.into += u64::from(wire);
                self.traffic.out += u64::from(back);
                self.announce(link, now, ground, sink);
                if let Some(end) = self.ends.get(&link) {
                    if let Some(tap) = &mut self.tap {
                        tap.got(&bytes, end.host, now);
                    }
                    self.tell(Input::Frame { link, lane, bytes }, now, ground, sink);
                }
            }
            What::Cut { link, reason } => self.cut(link, reason, now, ground, sink),
            What::IdleCut { link, split } => {
                let blocked = |end: &End| {
                    !ground.reaches(self.index, end.host) || !ground.reaches(end.host, self.index)
                };
                if ground.split_number() == split && self.ends.get(&link).is_some_and(blocked) {
                    self.lose(link, Lost::TimedOut, now, ground, sink);
                }
            }
            What::Commit { start } => {
                if start == self.starts {
                    self.commit(now, ground, sink);
                }
            }
            What::Drained { link, lane } => self.drained(link, lane, now, ground, sink),
            What::Uplink => self.uplink_free(now, ground, sink),
            What::Answer { start, input } => {
                if start == self.starts {
                    self.tell(*input, now, ground, sink);
                }
            }
        }
    }

    /// Stands still until then, and no longer.
    pub(super) fn stall(&mut self, until: Time) {
        self.faulty = true;
        self.stalled_until = Some(self.stalled_until.map_or(until, |held| held.max(until)));
    }

    /// Something happens to a host that stands still: it waits. Whoever dials does not wait for longer than for any other host.
    fn put_off(&mut self, what: What, until: Time, now: Time, sink: &mut Sink<'_>) {
        match what {
            // Another stall goes on.
            What::Resume => {}
            What::Syn(syn) if until > now.after(DIAL_TIMEOUT) => self.ignore(&syn, now, sink),
            // It is not kept here, for it must be answered even if the host dies.
            What::Syn(_) => self.post(self.index, what, until, sink),
            // What waits here is bounded by what others may send in the time of a stall.
            _ => self.backlog.push(what),
        }
    }

    /// The stall is over.
    fn resume(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        self.stalled_until = None;
        self.woke_at = Some(now);
        for what in std::mem::take(&mut self.backlog) {
            self.happen(what, now, ground, sink);
        }
    }

    /// Its application asks for something.
    pub(super) fn ask(&mut self, input: Input, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        if self.stalled_until.is_some() {
            let (start, input) = (self.starts, Box::new(input));
            self.backlog.push(What::Answer { start, input });
        } else {
            self.tell(input, now, ground, sink);
        }
    }

    /// Dies with the next rows that are on their way to its disk, or not after all.
    pub(super) fn doom(&mut self, doom: Option<Doom>) {
        self.doom = doom;
    }
}
