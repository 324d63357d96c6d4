//! A host that does not get to run as it would want to: what reaches it waits, and its timers fire late.

use std::time::Duration;

use rand::RngExt as _;

use super::event::{Sink, What};
use super::host::Host;
use super::time::Time;

/// How slow a host is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow {
    until: Time,
    by: Duration,
    /// When the last of what waits is handled: it keeps its order.
    free: Time,
}

impl Slow {
    pub(super) fn new(until: Time, by: Duration) -> Self {
        Self {
            until,
            by,
            free: Time::default(),
        }
    }
}

impl Host {
    /// Puts off what happens at a slow host. Returns it where it is to be handled now.
    pub(super) fn wait(&mut self, what: What, now: Time, sink: &mut Sink<'_>) -> Option<What> {
        let Some(slow) = &mut self.slow else {
            return Some(what);
        };
        let late = match what {
            What::Late(what) => return Some(*what),
            // Its own doing, or the world's.
            What::Resume | What::Uplink | What::Drained { .. } => return Some(what),
            // Whoever dials does not wait for long: the machine answers, if not the node.
            What::Syn(_) | What::DialFailed { .. } => return Some(what),
            What::Wake => now.after(slow.by.mul_f64(self.path.random_range(0.0..1.0))),
            _ => {
                let at = now.after(slow.by.mul_f64(self.path.random_range(0.0..1.0)));
                slow.free = slow.free.max(at);
                slow.free
            }
        };
        if now > slow.until && slow.free <= now {
            self.slow = None;
            return Some(what);
        }
        self.post(self.index, What::Late(Box::new(what)), late, sink);
        None
    }
}
