//! A host's connections: dialling, being dialled, losing them.

use rand::RngExt as _;

use super::cost::{CLOSE, HANDSHAKE};
use super::end::End;
use super::event::{Event, Sink, Syn, Welcome, What};
use super::ground::{DIAL_TIMEOUT, Ground, IDLE_TIMEOUT};
use super::host::Host;
use super::time::Time;
use crate::action::Target;
use crate::input::{DialError, DialId, Input, LinkId, Lost};
use crypto::PeerId;

impl Host {
    pub(super) fn dial(
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
        let loss = 1.0 - (1.0 - ground.paths.loss) * (1.0 - self.lossy);
        while loss > 0.0 && self.path.random_bool(loss) {
            delay += 1_000_000;
        }
        self.post(to, What::Syn(Box::new(syn)), Time(now.0 + delay), sink);
    }

    pub(super) fn post(&mut self, to: u32, what: What, at: Time, sink: &mut Sink<'_>) {
        let key = self.causes.at(at);
        sink.push(key, Event { to, what });
    }

    /// Somebody dials this host.
    pub(super) fn accept(&mut self, syn: Syn, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let answers = self.player.is_some() && !self.who.undialable;
        if !answers || !ground.reaches(self.index, syn.from) {
            return self.ignore(&syn, now, sink);
        }
        self.traffic.into += HANDSHAKE.0 as u64;
        self.traffic.out += HANDSHAKE.1 as u64;
        let delay = ground.delay_us(self.index, syn.from, &mut self.path);
        self.dialed.all += 1;
        if self.id() != syn.wants {
            self.dialed.astray += 1;
            let what = What::DialFailed {
                start: syn.from_start,
                dial: syn.dial,
                reason: DialError::WrongIdentity,
            };
            return self.post(syn.from, what, Time(now.0 + delay), sink);
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let end = End::new(syn.from, syn.from_link, syn.from_peer, syn.from_addr, now);
        self.ends.insert(link, end);
        let rtt = ground.round_trip(self.index, syn.from);
        let welcome = Welcome {
            start: syn.from_start,
            dial: syn.dial,
            link: syn.from_link,
            host: self.index,
            far: link,
            peer: self.id(),
            addr: self.who.addr,
            rtt,
        };
        let what = What::Welcome(Box::new(welcome));
        self.post(syn.from, what, Time(now.0 + delay), sink);
        self.later(rtt, What::Established { link }, now, sink);
    }

    /// A dial of this host succeeded.
    pub(super) fn welcomed(
        &mut self,
        welcome: &Welcome,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Welcome {
            link, peer, addr, ..
        } = *welcome;
        if welcome.start != self.starts || self.player.is_none() {
            return self.cut_far(welcome.host, welcome.far, Lost::Reset, now, ground, sink);
        }
        self.traffic.out += HANDSHAKE.0 as u64;
        self.traffic.into += HANDSHAKE.1 as u64;
        let mut end = End::new(welcome.host, welcome.far, peer, addr, now);
        end.announced = true;
        self.ends.insert(link, end);
        let input = Input::Connected {
            link,
            peer,
            addr,
            local: None,
            dialed: Some(welcome.dial),
            rtt: welcome.rtt,
        };
        self.tell(input, now, ground, sink);
    }

    /// Whoever dials hears nothing until it gives up.
    pub(super) fn ignore(&mut self, syn: &Syn, now: Time, sink: &mut Sink<'_>) {
        let what = What::DialFailed {
            start: syn.from_start,
            dial: syn.dial,
            reason: DialError::Unreachable,
        };
        self.post(syn.from, what, now.after(DIAL_TIMEOUT), sink);
    }

    /// Tells the core of an inbound connection, unless it knows.
    pub(super) fn announce(
        &mut self,
        link: LinkId,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
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
            local: None,
            dialed: None,
            rtt: ground.round_trip(self.index, end.host),
        };
        self.tell(input, now, ground, sink);
    }

    /// The player closes a connection, after everything it sent on it before.
    pub(super) fn close(
        &mut self,
        link: LinkId,
        code: u32,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        if let Some(end) = self.ends.get(&link) {
            let (host, far, lost) = (end.host, end.far, end.lost);
            self.lose(link, Lost::ClosedByUs, now, ground, sink);
            if lost {
                return;
            }
            self.cut_far(host, far, Lost::ClosedByPeer(code), now, ground, sink);
        }
    }

    /// The other end closed a connection, or nothing came on it for too long.
    pub(super) fn cut(
        &mut self,
        link: LinkId,
        reason: Lost,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        if reason != Lost::TimedOut && self.ends.contains_key(&link) {
            self.traffic.into += CLOSE.0 as u64;
            self.traffic.out += CLOSE.1 as u64;
        }
        self.lose(link, reason, now, ground, sink);
    }

    /// A connection is gone at this end.
    pub(super) fn lose(
        &mut self,
        link: LinkId,
        reason: Lost,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.remove(&link) else {
            return;
        };
        self.uplink.forget(link);
        if end.announced {
            self.tell(Input::Disconnected { link, reason }, now, ground, sink);
        }
    }

    /// Lets the other end know that a connection is over, after everything sent on it before.
    pub(super) fn cut_far(
        &mut self,
        host: u32,
        far: LinkId,
        reason: Lost,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        self.traffic.out += CLOSE.0 as u64;
        let (at, reason) = if ground.reaches(self.index, host) {
            self.traffic.into += CLOSE.1 as u64;
            let delay = ground.delay_us(self.index, host, &mut self.path);
            // Jitter must not let the close overtake frames: twice the way covers it.
            (Time(now.0 + 2 * delay), reason)
        } else {
            (now.after(IDLE_TIMEOUT), Lost::TimedOut)
        };
        self.post(host, What::Cut { link: far, reason }, at, sink);
    }
}
