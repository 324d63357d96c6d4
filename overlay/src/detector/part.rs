//! What happens: frames come, or do not.

use std::time::Duration;

use crypto::PeerId;
use rand::seq::IteratorRandom as _;

use super::{Config, Detector, Round, Watch};
use crate::action::Event;
use crate::collections::Smoothed;
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::neighbors::{Change, Code, Down, Link, Links};
use crate::rules::Rule;
use crate::wire::{Look, Message};

/// Probes before a neighbor is suspected: one by datagram, one by stream.
const FIRST_PROBES: u8 = 2;

impl Detector {
    /// A fact about links: neighbors are watched.
    pub fn on_change(&mut self, change: &Change, links: &Links, cx: &mut Cx<'_>) {
        match change {
            Change::NeighborUp { link, peer } => {
                let (rtt, chosen) = (links.get(*link))
                    .map_or((Duration::ZERO, false), |link| (link.rtt, link.outbound));
                let mut answer = Smoothed::new(rtt / 4);
                answer.sample(rtt);
                let at = cx.now.mono + cx.config.detector.idle;
                let watch = Watch {
                    peer: *peer,
                    at,
                    answer,
                    chosen,
                    // Crossing first probes cost one more; the ends must differ.
                    begun_here: chosen,
                    lost: None,
                    asked: Vec::new(),
                    round: None,
                };
                self.losses.begin(cx.now.mono);
                self.forget(*link);
                self.watches.insert(*link, watch);
                self.due.insert((at, *link));
            }
            Change::NeighborDown { link, why, .. } => {
                // Whoever dialled us may be anybody, and make us slow by saying so again and again.
                let chosen = self.watches.get(link).is_some_and(|it| it.chosen);
                if chosen && *why == Down::ByPeer(Code::Failed) {
                    self.health.taken_for_dead(cx.now.mono);
                }
                self.forget(*link);
            }
            Change::Closed { .. } | Change::Opened { .. } | Change::DialFailed { .. } => {}
        }
    }

    fn forget(&mut self, link: LinkId) {
        if let Some(watch) = self.watches.remove(&link) {
            self.due.remove(&(watch.at, link));
        }
        self.probed.remove(&link);
        self.looks.forget(link);
    }

    /// A frame came over a link: whoever sent it lives. `silent` = how long nothing had come before it.
    pub fn on_frame(&mut self, link: LinkId, silent: Duration, cx: &mut Cx<'_>) {
        for (asker, number) in self.looks.heard(link, cx.now.mono) {
            cx.stats.detector.looks_answered += 1;
            cx.send(asker, Lane::Control, &Message::Seen(number));
        }
        if !self.probed.remove(&link) {
            return;
        }
        let now = cx.now.mono;
        if let Some(watch) = self.watches.get_mut(&link)
            && let Some(round) = watch.round.take()
        {
            let first = round.probes == 1;
            self.losses.answered(first);
            if !first {
                watch.lost = Some(now);
            }
            if round.suspected {
                cx.stats.detector.recovered += 1;
                let peer = watch.peer;
                cx.emit(Event::Recovered { peer, silent });
            }
            let at = now + wait(watch, &cx.config.detector);
            self.set_due(link, at);
        }
    }

    /// The other end probes.
    pub fn on_probe(&mut self, link: LinkId, lane: Lane, number: u16, cx: &mut Cx<'_>) {
        cx.send(link, lane, &Message::ProbeAck(number));
        if let Some(watch) = self.watches.get_mut(&link) {
            watch.begun_here = false;
        }
    }

    /// The answer to a probe, or to one that is not waited for any more. Returns the round trip where it was measured.
    pub fn on_probe_ack(&mut self, link: LinkId, number: u16, cx: &mut Cx<'_>) -> Option<Duration> {
        let watch = self.watches.get_mut(&link)?;
        let place = watch.asked.iter().position(|(asked, _)| *asked == number)?;
        // Numbers tell probes apart, so a late answer measures as well as any (unlike Karn's retransmissions).
        let (_, sent) = watch.asked.swap_remove(place);
        let rtt = cx.now.mono.saturating_duration_since(sent);
        watch.answer.sample(rtt);
        Some(rtt)
    }

    /// A neighbor hears nothing from somebody: if we are its neighbor too, we probe it ourselves.
    pub fn on_look(&mut self, asker: LinkId, look: Look, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let wanted = |link: &&(LinkId, &Link)| *link.1.peer.as_bytes() == look.target;
        let target = links.neighbors().find(|link| wanted(&link));
        let Some((target, link)) = target.filter(|(id, _)| *id != asker) else {
            cx.stats.detector.looks_refused += 1;
            return;
        };
        let patience = self.patience(target, link.rtt, now, &cx.config.detector);
        let until = now + patience * u32::from(FIRST_PROBES);
        if !links.get(asker).is_some_and(|link| link.is_neighbor())
            || !self.looks.take(asker, look.number, target, until, now)
        {
            cx.stats.detector.looks_refused += 1;
            return;
        }
        cx.stats.detector.looks_taken += 1;
        if self
            .watches
            .get(&target)
            .is_some_and(|it| it.round.is_none())
        {
            self.begin(target, links, cx);
        }
    }

    /// A helper has heard the peer of a look of ours.
    pub fn on_seen(&mut self, helper: LinkId, number: u16, cx: &mut Cx<'_>) {
        let rounds = self.watches.values_mut();
        let asked = |round: &&mut Round| round.look == number && round.helpers.contains(&helper);
        match rounds.filter_map(|it| it.round.as_mut()).find(asked) {
            // One word of each is enough.
            Some(round) => {
                round.alibi = true;
                round.helpers.retain(|link| *link != helper);
            }
            None => cx.stats.detector.stray_alibis += 1,
        }
    }

    /// Probes whoever has been silent for too long, and judges who has not answered.
    pub fn on_timeout(&mut self, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let Some((first, _)) = self.due.first().copied().filter(|(at, _)| *at <= now) else {
            return;
        };
        let late = cx.rules.hold(Rule::LocalHealth)
            && self.health.late(now.saturating_duration_since(first), now);
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<LinkId> = due.map(|(_, link)| *link).collect();
        cx.stats.detector.late += u64::from(late);
        for link in due {
            if late {
                // What came meanwhile is still unread.
                self.set_due(link, now + cx.config.detector.patience.0);
            } else {
                self.look_at(link, links, cx);
            }
        }
    }

    fn look_at(&mut self, id: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let (Some(link), Some(watch)) = (links.get(id), self.watches.get(&id)) else {
            return self.forget(id);
        };
        if watch.round.is_none() {
            let until = link.last_in + wait(watch, &cx.config.detector);
            if until > now {
                self.set_due(id, until);
            } else {
                self.begin(id, links, cx);
            }
            return;
        }
        let (least, most) = cx.config.detector.last_probes;
        let mut last = self.last_probes(watch, (least, most), now);
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        let (peer, Some(round)) = (watch.peer, &mut watch.round) else {
            return;
        };
        cx.stats.detector.unanswered += 1;
        let silent = now.saturating_duration_since(link.last_in);
        if round.probes == FIRST_PROBES && !round.suspected {
            round.suspected = true;
            cx.stats.detector.suspected += 1;
            cx.emit(Event::Suspected { peer, silent });
        }
        if round.probes >= FIRST_PROBES + last && round.alibi {
            // Whoever vouches for the dead, and pretends to lose much besides, gains no more than by one of both.
            last = (last + least).min(most);
            cx.stats.detector.alibis += u64::from(!std::mem::replace(&mut round.put_off, true));
        }
        if round.probes < FIRST_PROBES + last {
            return self.probe(id, links, cx);
        }
        let alive_elsewhere = round.alibi;
        cx.stats.detector.failed += 1;
        cx.emit(Event::Failed {
            peer,
            silent,
            alive_elsewhere,
        });
        self.failed.push(id);
        self.forget(id);
    }

    fn begin(&mut self, id: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        cx.stats.detector.probed += 1;
        watch.begun_here = true;
        watch.asked.clear();
        watch.round = Some(Round {
            probes: 0,
            look: 0,
            helpers: Vec::new(),
            suspected: false,
            alibi: false,
            put_off: false,
        });
        self.probed.insert(id);
        self.probe(id, links, cx);
    }

    /// Sends the next probe of a round: datagrams and the stream in turn, since either may be what does not work.
    fn probe(&mut self, id: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        let (peer, Some(round)) = (watch.peer, &mut watch.round) else {
            return;
        };
        let lane = if round.probes % 2 == 0 {
            Lane::Datagram
        } else {
            Lane::Control
        };
        round.probes += 1;
        watch.asked.push((number, now));
        if round.probes == FIRST_PROBES && !round.suspected && cx.rules.hold(Rule::IndirectProbes) {
            round.look = number;
            round.helpers = helpers(&peer, links, cx);
            let target = *peer.as_bytes();
            for helper in &round.helpers {
                cx.stats.detector.looks_asked += 1;
                cx.send(
                    *helper,
                    Lane::Control,
                    &Message::Look(Look { number, target }),
                );
            }
        }
        // A lane that takes nothing is as good as a probe that is lost.
        cx.send(id, lane, &Message::Probe(number));
        let rtt = links.get(id).map_or(Duration::ZERO, |link| link.rtt);
        let patience = self.patience(id, rtt, now, &cx.config.detector);
        self.set_due(id, now + patience);
    }
}

/// How long a link may be silent before this end probes.
fn wait(watch: &Watch, config: &Config) -> Duration {
    if watch.begun_here {
        config.idle + config.patience.0
    } else {
        config.idle
    }
}

/// Whom to ask for looks: neighbors that we chose, as those that chose us may be anybody.
fn helpers(target: &PeerId, links: &Links, cx: &mut Cx<'_>) -> Vec<LinkId> {
    let chosen = links.neighbors().filter(|(_, link)| link.outbound);
    let others = chosen.filter(|(_, link)| link.peer != *target);
    let others = others.map(|(id, _)| id);
    others.sample(cx.rng, cx.config.detector.helpers)
}

#[cfg(test)]
impl Detector {
    pub(super) fn check(&self, config: &Config) {
        assert_eq!(self.watches.len(), self.due.len());
        for (link, watch) in &self.watches {
            assert!(self.due.contains(&(watch.at, *link)));
            assert_eq!(watch.round.is_some(), self.probed.contains(link));
            let round = FIRST_PROBES + config.last_probes.1;
            assert!(watch.asked.len() <= usize::from(round));
        }
        assert!(self.looks.len() <= super::looks::MAX_LOOKS);
    }
}
