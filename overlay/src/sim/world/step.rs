//! A step of a host: one input to its player, and what comes of it.

use std::time::Duration;

use super::event::{Event, Sink, What};
use super::ground::{Ground, IDLE_TIMEOUT};
use super::host::{Delivered, Doom, Host, Verdict, Word};
use super::player::Player;
use super::time::Time;
use crate::action::{Action, Event as News, Key as RowKey, Row};
use crate::input::{Input, LinkId, Lost};
use crate::sim::invariants::Moment;
use crypto::PeerId;

/// Rows are durable after this long: one group commit.
const COMMIT: Duration = Duration::from_millis(5);
/// Reading a row takes this long.
const LOAD: Duration = Duration::from_millis(1);

impl Host {
    /// Gives the player one input and carries out what comes of it.
    pub(super) fn tell(&mut self, input: Input, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        self.note(&input, now);
        let moment = Moment {
            host: self.index,
            at: now,
            // Nobody is to blame for a wrong clock: records are judged by the right one.
            now: ground.now(now),
        };
        let clock = self.now(ground, now);
        let Some(player) = self.player.as_mut() else {
            return;
        };
        self.handled += 1;
        self.guard.told(&input, &moment);
        player.handle(clock, input);
        // What a close leads to is an input of its own, and no input comes before the last action of another has been taken.
        let mut closed = Vec::new();
        while let Some(action) = self.player.as_mut().and_then(Player::poll_action) {
            if let Some(Player::Node(node)) = &self.player {
                self.guard.did(&action, node, &moment);
            }
            self.execute(action, &mut closed, now, ground, sink);
        }
        if let Some(Player::Node(node)) = &self.player {
            self.guard.after(node, &moment);
        }
        self.set_timer(now, ground, sink);
        for (link, code) in closed {
            self.close(link, code, now, ground, sink);
        }
    }

    /// Sees to it that the player is woken when it wants to be.
    fn set_timer(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
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

    fn execute(
        &mut self,
        action: Action,
        closed: &mut Vec<(LinkId, u32)>,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        match action {
            Action::Send { link, lane, bytes } => self.send(link, lane, bytes, now, ground, sink),
            Action::Dial { dial, peer, target } => {
                self.dial(dial, peer, target, now, ground, sink);
            }
            Action::Close { link, code } => {
                if let Some(end) = self.ends.get_mut(&link) {
                    end.closing = true;
                }
                closed.push((link, code));
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
            Action::Emit(News::Delivered(delivery)) => match &mut self.tap {
                // Of many messages the notes are enough.
                Some(tap) => tap.delivered(&delivery.author, delivery.seq, now),
                None => self.deliveries.push(Delivered {
                    at: now,
                    start: self.starts,
                    entry: delivery.id,
                }),
            },
            Action::Emit(News::Published {
                result: Ok(receipt),
                ..
            }) => self.receipts.push((now, receipt)),
            Action::Emit(News::Published { result: Err(_), .. }) => {
                if let Some(tap) = &mut self.tap {
                    tap.refused();
                }
            }
            Action::Emit(News::Suspected { peer, .. }) => self.say(peer, Word::Suspected, now),
            Action::Emit(News::Recovered { peer, .. }) => self.say(peer, Word::Recovered, now),
            Action::Emit(News::Failed { peer, .. }) => self.say(peer, Word::Failed, now),
            Action::Emit(News::NeighborDown { peer, .. }) => self.say(peer, Word::Down, now),
            Action::Emit(_) => {}
        }
    }

    fn say(&mut self, peer: PeerId, word: Word, at: Time) {
        // Nobody takes what a hostile node says.
        if !self.who.hostile {
            self.verdicts.push(Verdict { at, peer, word });
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
        let doom = self.doom.take();
        if doom != Some(Doom::Before) {
            for (_, row) in std::mem::take(&mut self.rows) {
                self.disk.apply(row);
            }
        }
        if doom.is_some() {
            let at = now.after(IDLE_TIMEOUT);
            for (host, link) in self.crash(now) {
                let reason = Lost::TimedOut;
                self.post(host, What::Cut { link, reason }, at, sink);
            }
            return;
        }
        self.tell(Input::Persisted { token }, now, ground, sink);
    }
}
