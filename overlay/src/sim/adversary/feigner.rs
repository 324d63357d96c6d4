//! Hostile nodes that play dead, all at the same time, and come back. In all else each is an honest node: a core of the real code makes
//! and keeps its links.
//!
//! Whoever loses half of its neighbors at once takes it for a cut, and gives one of those it lost a link as soon as it answers again. So
//! hostile nodes that are half of somebody's neighbors can make it think so, and be those who answer.

use std::time::{Duration, Instant};

use crate::action::Action;
use crate::input::{Input, Now};
use crate::overlay::Overlay;
use crate::sim::world::Actor;

/// For so long nothing is answered: longer than any verdict takes.
const DEAD: Duration = Duration::from_secs(25);
/// Then all is as it should be for so long: enough to be taken in again.
const ALIVE: Duration = Duration::from_secs(95);

/// One hostile node that plays dead every two minutes.
#[derive(Debug)]
pub struct Feigner {
    core: Box<Overlay>,
    /// It behaves until then, and plays dead from then on.
    from: Instant,
    /// It plays dead until then.
    until: Option<Instant>,
    /// What came while it played dead.
    held: Vec<Input>,
}

impl Feigner {
    /// Plays dead with this core from a moment on, which is the same for all.
    #[must_use]
    pub(in crate::sim) const fn new(core: Box<Overlay>, from: Instant) -> Self {
        Self {
            core,
            from,
            until: None,
            held: Vec::new(),
        }
    }

    /// When it comes back, if it plays dead now.
    fn back_at(&self, now: Instant) -> Option<Instant> {
        let since = now.checked_duration_since(self.from)?.as_micros();
        let cycle = (DEAD + ALIVE).as_micros();
        let into = since % cycle;
        let left = DEAD.as_micros().checked_sub(into)?;
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        (left > 0).then(|| now + Duration::from_micros(left))
    }
}

impl Actor for Feigner {
    fn handle(&mut self, now: Now, input: Input) {
        self.until = self.back_at(now.mono);
        if self.until.is_some() {
            // Frames may well be lost, not that links opened and closed.
            if !matches!(input, Input::Frame { .. } | Input::Timeout) {
                self.held.push(input);
            }
            return;
        }
        for held in std::mem::take(&mut self.held) {
            self.core.handle(now, held);
        }
        self.core.handle(now, input);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.core.poll_action()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.until.or_else(|| self.core.next_timeout())
    }

    fn core(&self) -> Option<&Overlay> {
        Some(&self.core)
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
