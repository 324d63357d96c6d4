//! Messages that wait for the application's verdict.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::input::Token;
use crate::messages::Arrival;

/// Verified messages of validated topics, by the token of their question. Capped; when full, newcomers are dropped and
/// taken again when they come again.
#[derive(Debug)]
pub(super) struct Verdicts {
    waiting: BTreeMap<Token, (Instant, Arrival)>,
    bytes: usize,
    max: usize,
    max_bytes: usize,
    deadline: Duration,
}

impl Verdicts {
    pub(super) fn new(max: usize, max_bytes: usize, deadline: Duration) -> Self {
        Self {
            waiting: BTreeMap::new(),
            bytes: 0,
            max,
            max_bytes,
            deadline,
        }
    }

    pub(super) fn has_room(&self, arrival: &Arrival) -> bool {
        self.waiting.is_empty()
            || self.waiting.len() < self.max && self.bytes + arrival.cost() <= self.max_bytes
    }

    pub(super) fn insert(&mut self, token: Token, arrival: Arrival, now: Instant) {
        self.bytes += arrival.cost();
        self.waiting.insert(token, (now + self.deadline, arrival));
    }

    pub(super) fn take(&mut self, token: Token) -> Option<Arrival> {
        let (_, arrival) = self.waiting.remove(&token)?;
        self.bytes -= arrival.cost();
        Some(arrival)
    }

    /// Takes a message whose deadline has passed. Tokens rise with time, so the first is due first.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Arrival> {
        let (token, (due, _)) = self.waiting.first_key_value()?;
        if *due > now {
            return None;
        }
        self.take(*token)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, (due, _))| *due)
    }
}
