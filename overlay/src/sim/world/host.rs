//! One machine: the player, its disk, its connections. It does for a core what the node's driver does, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use crypto::{Identity, PeerId};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use super::disk::Disk;
use super::end::End;
use super::event::{Causes, Event, Sink, Syn, What};
use super::ground::{DIAL_TIMEOUT, Ground, HANDSHAKE, IDLE_TIMEOUT, PACKET, SILENT_DIAL};
use super::player::Player;
use super::streams::{Purpose, stream};
use super::time::Time;
use super::uplink::Uplink;
use crate::action::{Action, Event as News, Key as RowKey, Row, Target};
use crate::input::{DialError, DialId, Input, Lane, LinkId, Lost, Token};

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
    next_link: u64,
    timer: Option<Time>,
    rows: Vec<(Token, Row)>,
    uplink: Uplink,
    path: ChaCha12Rng,
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
            What::Cut { link, reason } => self.lose(link, reason, now, ground, sink),
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

    fn later(&mut self, delay: Duration, what: What, now: Time, sink: &mut Sink<'_>) {
        let key = self.causes.at(now.after(delay));
        sink.push(
            key,
            Event {
                to: self.index,
                what,
            },
        );
    }

    fn answer(&mut self, delay: Duration, input: Input, now: Time, sink: &mut Sink<'_>) {
        let (start, input) = (self.starts, Box::new(input));
        self.later(delay, What::Answer { start, input }, now, sink);
    }

    fn commit(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let Some((token, _)) = self.rows.last() else {
            return;
        };
        let token = *token;
        for (_, row) in std::mem::take(&mut self.rows) {
            self.disk.apply(row);
        }
        self.tell(Input::Persisted { token }, now, ground, sink);
    }

    // ---- connections

    fn dial(
        &mut self,
        dial: DialId,
        peer: PeerId,
        target: Target,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let start = self.starts;
        let host = match target {
            Target::Addr(addr) => ground.directory.get(&addr).copied().map(|to| (to, addr)),
            // Worlds have no names.
            Target::Name(_) => None,
        };
        let reached = host.filter(|(to, _)| ground.reaches(self.index, *to));
        let Some((to, _)) = reached else {
            self.traffic.out += SILENT_DIAL as u64;
            let reason = DialError::Unreachable;
            let what = What::DialFailed {
                start,
                dial,
                reason,
            };
            return self.later(DIAL_TIMEOUT, what, now, sink);
        };
        self.next_link += 1;
        let syn = Syn {
            from: self.index,
            from_start: start,
            from_link: LinkId(self.next_link),
            from_peer: self.id(),
            from_addr: self.who.addr,
            dial,
            wants: peer,
        };
        let mut delay = ground.delay_us(self.index, to, &mut self.path);
        // A lost first packet is sent again after a second.
        while ground.paths.loss > 0.0 && self.path.random_bool(ground.paths.loss) {
            delay += 1_000_000;
        }
        self.post(to, What::Syn(Box::new(syn)), Time(now.0 + delay), sink);
    }

    fn post(&mut self, to: u32, what: What, at: Time, sink: &mut Sink<'_>) {
        let key = self.causes.at(at);
        sink.push(key, Event { to, what });
    }

    /// Somebody dials this host.
    fn accept(&mut self, syn: Syn, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let delay = ground.delay_us(self.index, syn.from, &mut self.path);
        let failed = |reason| What::DialFailed {
            start: syn.from_start,
            dial: syn.dial,
            reason,
        };
        let answers = self.player.is_some() && !self.who.undialable;
        if !answers || !ground.reaches(self.index, syn.from) {
            let at = Time(now.0 + delay).max(Time(now.0).after(DIAL_TIMEOUT));
            return self.post(syn.from, failed(DialError::Unreachable), at, sink);
        }
        self.traffic.into += HANDSHAKE.0 as u64;
        self.traffic.out += HANDSHAKE.1 as u64;
        if self.id() != syn.wants {
            let what = failed(DialError::WrongIdentity);
            return self.post(syn.from, what, Time(now.0 + delay), sink);
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let end = End::new(
            syn.from,
            syn.from_link,
            syn.from_peer,
            syn.from_addr,
            false,
            now,
        );
        self.ends.insert(link, end);
        let rtt = ground.round_trip(self.index, syn.from);
        let what = What::Connected {
            start: syn.from_start,
            dial: syn.dial,
            link: syn.from_link,
            host: self.index,
            far: link,
            peer: self.id(),
            addr: self.who.addr,
            rtt,
        };
        self.post(syn.from, what, Time(now.0 + delay), sink);
        self.later(rtt, What::Established { link }, now, sink);
    }

    /// Tells the core of an inbound connection, unless it knows.
    fn announce(&mut self, link: LinkId, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        if std::mem::replace(&mut end.announced, true) {
            return;
        }
        let input = Input::Connected {
            link,
            peer: end.peer,
            addr: end.addr,
            dialed: None,
            rtt: ground.round_trip(self.index, end.host),
        };
        self.tell(input, now, ground, sink);
    }

    /// A connection is gone at this end.
    fn lose(
        &mut self,
        link: LinkId,
        reason: Lost,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(mut end) = self.ends.remove(&link) else {
            return;
        };
        let (out, into) = end.keep_alives(now);
        self.traffic.out += out as u64;
        self.traffic.into += into as u64;
        self.uplink.forget(link);
        if end.announced {
            self.tell(Input::Disconnected { link, reason }, now, ground, sink);
        }
    }

    /// Lets the other end know that a connection is over, after everything sent on it before.
    fn cut_far(
        &mut self,
        host: u32,
        far: LinkId,
        reason: Lost,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        self.traffic.out += PACKET_CLOSE as u64;
        let at = if ground.reaches(self.index, host) {
            let delay = ground.delay_us(self.index, host, &mut self.path);
            // Jitter must not let the close overtake frames: twice the way covers it.
            Time(now.0 + 2 * delay)
        } else {
            now.after(IDLE_TIMEOUT)
        };
        self.post(host, What::Cut { link: far, reason }, at, sink);
    }

    // ---- frames

    fn send(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let size = bytes.len() + crate::cx::FRAME_OVERHEAD;
        self.traffic.frames_out += bytes.len() as u64;
        end.used[lane as usize] += size;
        if ground.paths.uplink > 0 {
            if let Some(wait) = self.uplink.push(link, lane, bytes, ground.paths.uplink) {
                self.later(wait, What::Uplink, now, sink);
            }
            return;
        }
        let bit = 1 << lane as u8;
        if end.used[lane as usize] > lane.capacity() / 2 && end.draining & bit == 0 {
            end.draining |= bit;
            self.later(Duration::ZERO, What::Drained { link, lane }, now, sink);
        }
        self.transmit(link, lane, bytes, now, ground, sink);
    }

    /// A frame leaves the host.
    pub(super) fn transmit(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let (out, back) = end.cost(bytes.len(), now);
        self.traffic.out += out as u64;
        self.traffic.into += back as u64;
        let wire = u32::try_from(out).unwrap_or(u32::MAX);
        let (host, far) = (end.host, end.far);
        if !ground.reaches(self.index, host) {
            if lane != Lane::Datagram {
                end.held.push((lane, bytes));
            }
            return;
        }
        let paths = &ground.paths;
        let mut delay = ground.delay_us(self.index, host, &mut self.path);
        if lane == Lane::Datagram {
            if paths.loss > 0.0 && self.path.random_bool(paths.loss) {
                return;
            }
            if paths.reorder > 0.0 && self.path.random_bool(paths.reorder) {
                delay += self.path.random_range(0..=delay * 2);
            }
            if paths.duplicate > 0.0 && self.path.random_bool(paths.duplicate) {
                let again = delay + self.path.random_range(0..=delay);
                let bytes = bytes.clone();
                let what = What::Frame {
                    link: far,
                    lane,
                    bytes,
                    wire,
                };
                self.post(host, what, Time(now.0 + again), sink);
            }
            let what = What::Frame {
                link: far,
                lane,
                bytes,
                wire,
            };
            return self.post(host, what, Time(now.0 + delay), sink);
        }
        if paths.loss > 0.0 {
            // Each lost packet is sent again about a round trip later; what is behind it in the lane waits.
            let again = (2.5 * ground.base_delay_us(self.index, host)) as u64 + 10_000;
            for _ in 0..bytes.len().div_ceil(PACKET) {
                while self.path.random_bool(paths.loss) {
                    delay += again;
                }
            }
        }
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let at = Time(now.0 + delay).max(end.arrives[lane as usize]);
        end.arrives[lane as usize] = at;
        let what = What::Frame {
            link: far,
            lane,
            bytes,
            wire,
        };
        self.post(host, what, at, sink);
    }

    /// A split is over: what waited for it goes out.
    pub(super) fn release(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let waiting: Vec<LinkId> = self
            .ends
            .iter()
            .filter(|(_, end)| !end.held.is_empty())
            .map(|(link, _)| *link)
            .collect();
        for link in waiting {
            let held = self
                .ends
                .get_mut(&link)
                .map(|end| std::mem::take(&mut end.held));
            for (lane, bytes) in held.into_iter().flatten() {
                self.transmit(link, lane, bytes, now, ground, sink);
            }
        }
    }

    fn drained(
        &mut self,
        link: LinkId,
        lane: Lane,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        end.draining &= !(1 << lane as u8);
        end.used[lane as usize] = 0;
        let free_bytes = lane.capacity();
        let input = Input::Lane {
            link,
            lane,
            free_bytes,
        };
        self.tell(input, now, ground, sink);
    }

    /// The uplink has sent a frame and takes the next.
    fn uplink_free(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let (sent, wait) = self.uplink.pop(ground.paths.uplink);
        if let Some(wait) = wait {
            self.later(wait, What::Uplink, now, sink);
        }
        let Some((link, lane, bytes)) = sent else {
            return;
        };
        let size = bytes.len() + crate::cx::FRAME_OVERHEAD;
        self.transmit(link, lane, bytes, now, ground, sink);
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let half = lane.capacity() / 2;
        let used = &mut end.used[lane as usize];
        let before = *used;
        *used = used.saturating_sub(size);
        if before > half && *used <= half {
            let free_bytes = lane.capacity() - *used;
            let input = Input::Lane {
                link,
                lane,
                free_bytes,
            };
            self.tell(input, now, ground, sink);
        }
    }
}

/// A packet that closes a connection, bytes on the wire.
const PACKET_CLOSE: usize = 28 + 13 + 16 + 6;
