//! Hostile nodes that lie about who is alive. In all else each is an honest node: a core of the real code makes and keeps its links.
//!
//! All vouch for the dead. Half of them accuse the living besides; the others answer no probe by datagram, so that everybody takes the network for
//! one that loses much, and gives the dead more time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::action::Action;
use crate::input::{Input, Lane, LinkId, Now};
use crate::neighbors::Code;
use crate::overlay::Overlay;
use crate::sim::world::Actor;
use crate::wire::{self, Look, Message};

/// How often each neighbor is lied to.
const EVERY: Duration = Duration::from_secs(1);
/// One in so many of these times the link to one neighbor is closed as if it were dead.
const ACCUSED: u16 = 20;

/// One hostile node that vouches for the dead and accuses the living.
#[derive(Debug)]
pub struct Accuser {
    core: Box<Overlay>,
    /// It behaves until then.
    next: Instant,
    turn: u16,
    /// Whether it pretends that datagrams do not reach it.
    deaf: bool,
    out: VecDeque<Action>,
}

impl Accuser {
    /// Sits at the doors of this core and lies from a moment on.
    #[must_use]
    pub(in crate::sim) fn new(core: Box<Overlay>, from: Instant) -> Self {
        Self {
            deaf: core.id().as_bytes()[0].is_multiple_of(2),
            core,
            next: from,
            turn: 0,
            out: VecDeque::new(),
        }
    }

    fn say(&mut self, link: LinkId, message: &Message) {
        self.out.push_back(Action::Send {
            link,
            lane: Lane::Control,
            bytes: wire::encode(message),
        });
    }

    /// Whoever is looked for has just been heard here, whether it lives or not. Returns whether the core is not to know.
    fn vouch(&mut self, link: LinkId, bytes: &Bytes) -> bool {
        match wire::decode(bytes) {
            Ok(Message::Look(Look { number, .. })) => {
                self.say(link, &Message::Seen(number));
                true
            }
            _ => false,
        }
    }

    /// Tells each neighbor that it hears nothing from another one, and repeats answers that nobody asked for.
    fn lie(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let links = self.core.rooms().links.neighbors();
        let neighbors: Vec<_> = links.map(|(link, row)| (link, row.peer)).collect();
        let count = neighbors.len();
        for (place, (link, _)) in neighbors.iter().enumerate() {
            let (_, accused) = neighbors[(place + usize::from(self.turn)) % count];
            let target = *accused.as_bytes();
            let number = self.turn;
            self.say(*link, &Message::Look(Look { number, target }));
            self.say(*link, &Message::Seen(number));
            self.say(*link, &Message::ProbeAck(number));
        }
        if self.turn.is_multiple_of(ACCUSED) && count > 0 {
            let (link, _) = neighbors[usize::from(self.turn / ACCUSED) % count];
            let code = u32::from(Code::Failed.to_u16());
            self.out.push_back(Action::Close { link, code });
        }
    }
}

impl Actor for Accuser {
    fn handle(&mut self, now: Now, input: Input) {
        let lies = now.mono >= self.next;
        let hidden = match &input {
            Input::Frame { lane, .. }
                if self.deaf && now.mono >= self.next && *lane == Lane::Datagram =>
            {
                true
            }
            Input::Frame { link, bytes, .. } => self.vouch(*link, bytes),
            _ => false,
        };
        if !hidden {
            self.core.handle(now, input);
        }
        while let Some(action) = self.core.poll_action() {
            self.out.push_back(action);
        }
        if lies && !self.deaf {
            self.next = now.mono + EVERY;
            self.lie();
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let core = self.core.next_timeout();
        let lie = (!self.deaf).then_some(self.next);
        core.into_iter().chain(lie).min()
    }

    fn core(&self) -> Option<&Overlay> {
        Some(&self.core)
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
