//! One machine: the player, its disk, its connections. It does for a core what the node's driver does, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crypto::{Identity, PeerId};
use rand::rngs::ChaCha12Rng;

use super::cost::HANDSHAKE;
use super::disk::Disk;
use super::end::End;
use super::event::{Causes, Event, Sink, What};
use super::ground::Ground;
use super::player::Player;
use super::streams::{Purpose, stream};
use super::time::Time;
use super::uplink::Uplink;
use crate::action::{Action, Event as News, Key as RowKey, Row};
use crate::input::{Input, LinkId, Lost, Token};

/// Rows are durable after this long: one group commit.
const COMMIT: Duration = Duration::from_millis(5);
/// Reading a row takes this long.
const LOAD: Duration = Duration::from_millis(1);

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
    pub(super) deliveries: Vec<(Time, crypto::EntryId)>,
    pub(super) delivered: u64,
    pub(super) hash: u64,
    pub(super) handled: u64,
    pub(super) causes: Causes,
    /// Everything waits until then.
    pub(super) stalled_until: Option<Time>,
    backlog: Vec<What>,
    pub(super) next_link: u64,
    timer: Option<Time>,
    rows: Vec<(Token, Row)>,
    pub(super) uplink: Uplink,
    pub(super) path: ChaCha12Rng,
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
            deliveries: Vec::new(),
            delivered: 0,
            hash: 0,
            handled: 0,
            causes: Causes::new(index),
            stalled_until: None,
            backlog: Vec::new(),
            next_link: 0,
            timer: None,
            rows: Vec::new(),
            uplink: Uplink::default(),
            path: stream(seed, index, Purpose::Path),
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

    /// Entries delivered to its application, over all starts.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When which entry was delivered, over all starts.
    #[must_use]
    pub fn deliveries(&self) -> &[(Time, crypto::EntryId)] {
        &self.deliveries
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
        self.tell(Input::Timeout, now, ground, sink);
    }

    /// Power off: what was not durable is gone, and nobody is told. The other ends notice by their idle timeout.
    pub(super) fn crash(&mut self) -> Vec<(u32, LinkId)> {
        self.player = None;
        self.rows.clear();
        self.timer = None;
        self.stalled_until = None;
        self.backlog.clear();
        self.uplink = Uplink::default();
        let ends = std::mem::take(&mut self.ends);
        ends.into_values().map(|end| (end.host, end.far)).collect()
    }

    /// One event.
    pub(super) fn happen(&mut self, what: What, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        if self.stalled_until.is_some() && !matches!(what, What::Resume) {
            // What waits here is bounded by what others may send in the time of a stall.
            self.backlog.push(what);
            return;
        }
        match what {
            What::Wake => {
                if self.timer.is_some_and(|timer| timer <= now) {
                    self.timer = None;
                    self.tell(Input::Timeout, now, ground, sink);
                }
            }
            What::Resume => {
                self.stalled_until = None;
                for what in std::mem::take(&mut self.backlog) {
                    self.happen(what, now, ground, sink);
                }
            }
            What::Syn(syn) => self.accept(*syn, now, ground, sink),
            What::Connected {
                start,
                dial,
                link,
                host,
                far,
                peer,
                addr,
                rtt,
            } => {
                if start != self.starts || self.player.is_none() {
                    return self.cut_far(host, far, Lost::Reset, now, ground, sink);
                }
                self.traffic.out += HANDSHAKE.0 as u64;
                self.traffic.into += HANDSHAKE.1 as u64;
                let mut end = End::new(host, far, peer, addr, true, now);
                end.announced = true;
                self.ends.insert(link, end);
                let input = Input::Connected {
                    link,
                    peer,
                    addr,
                    dialed: Some(dial),
                    rtt,
                };
                self.tell(input, now, ground, sink);
            }
            What::DialFailed {
                start,
                dial,
                reason,
            } => {
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
            } => {
                self.traffic.into += u64::from(wire);
                self.announce(link, now, ground, sink);
                if self.ends.contains_key(&link) {
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

    /// Gives the player one input and carries out what comes of it.
    pub(super) fn tell(&mut self, input: Input, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        self.note(&input, now);
        let Some(player) = self.player.as_mut() else {
            return;
        };
        self.handled += 1;
        player.handle(ground.now(now), input);
        while let Some(action) = self.player.as_mut().and_then(Player::poll_action) {
            self.execute(action, now, ground, sink);
        }
        let wake = self.player.as_ref().and_then(Player::next_timeout);
        if let Some(wake) = wake {
            let at = Time::default()
                .after(wake.saturating_duration_since(ground.start))
                // Deadlines are kept in nanoseconds: wake after, not before.
                .after(Duration::from_micros(1))
                .max(now);
            if self.timer.is_none_or(|timer| at < timer) {
                self.timer = Some(at);
                let key = self.causes.at(at);
                sink.push(
                    key,
                    Event {
                        to: self.index,
                        what: What::Wake,
                    },
                );
            }
        }
    }

    /// Mixes an input into the hash of all that happened here.
    fn note(&mut self, input: &Input, now: Time) {
        let mut mix = |word: u64| {
            self.hash = (self.hash ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        };
        mix(now.0);
        match input {
            Input::Frame { link, lane, bytes } => {
                mix(link.0 ^ (*lane as u64) << 56);
                mix(bytes.len() as u64);
                for chunk in bytes.chunks(8) {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    mix(u64::from_le_bytes(word));
                }
            }
            Input::Connected { link, .. } => mix(1 << 40 ^ link.0),
            Input::Disconnected { link, .. } => mix(2 << 40 ^ link.0),
            Input::DialFailed { dial, .. } => mix(3 << 40 ^ dial.0),
            Input::Lane { link, .. } => mix(4 << 40 ^ link.0),
            Input::Persisted { token } => mix(5 << 40 ^ token.0),
            Input::Loaded { token, .. } => mix(6 << 40 ^ token.0),
            Input::Verdict { token, .. } => mix(7 << 40 ^ token.0),
            Input::Command(_) => mix(8 << 40),
            Input::Timeout => mix(9 << 40),
        }
    }

    fn execute(&mut self, action: Action, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        match action {
            Action::Send { link, lane, bytes } => self.send(link, lane, bytes, now, ground, sink),
            Action::Dial { dial, peer, target } => {
                self.dial(dial, peer, target, now, ground, sink);
            }
            Action::Close { link, code } => {
                if let Some(end) = self.ends.get(&link) {
                    let (host, far) = (end.host, end.far);
                    self.lose(link, Lost::ClosedByUs, now, ground, sink);
                    self.cut_far(host, far, Lost::ClosedByPeer(code), now, ground, sink);
                }
            }
            Action::Persist { token, row } => {
                if self.rows.is_empty() {
                    let start = self.starts;
                    self.later(COMMIT, What::Commit { start }, now, sink);
                }
                self.rows.push((token, row));
            }
            Action::Load {
                token,
                key: RowKey::Message(id),
            } => {
                let row = self.disk.body(&id).cloned().map(Row::Message);
                self.answer(LOAD, Input::Loaded { token, row }, now, sink);
            }
            Action::Emit(News::Delivered(delivery)) => {
                self.delivered += 1;
                self.deliveries.push((now, delivery.id));
            }
            Action::Emit(_) => {}
        }
    }

    pub(super) fn later(&mut self, delay: Duration, what: What, now: Time, sink: &mut Sink<'_>) {
        let key = self.causes.at(now.after(delay));
        sink.push(
            key,
            Event {
                to: self.index,
                what,
            },
        );
    }

    pub(super) fn answer(&mut self, delay: Duration, input: Input, now: Time, sink: &mut Sink<'_>) {
        let (start, input) = (self.starts, Box::new(input));
        self.later(delay, What::Answer { start, input }, now, sink);
    }

    pub(super) fn commit(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let Some((token, _)) = self.rows.last() else {
            return;
        };
        let token = *token;
        for (_, row) in std::mem::take(&mut self.rows) {
            self.disk.apply(row);
        }
        self.tell(Input::Persisted { token }, now, ground, sink);
    }
}
