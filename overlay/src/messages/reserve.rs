//! Numbers reserved durably ahead of use, so that a crash never makes one name two things.

use crate::input::Token;

/// A run of numbers of which those below `durable` may be used.
#[derive(Debug)]
pub(super) struct Reservation {
    next: u64,
    durable: u64,
    asked: Option<(Token, u64)>,
    chunk: u64,
    /// Somebody waits for the store already; `None` before the first reservation, when everybody must.
    waited: Option<bool>,
}

/// Most numbers asked for in one go; a run that keeps running dry doubles its chunk up to this.
const MAX_CHUNK: u64 = 65_536;

impl Reservation {
    /// Starts at `next`; nothing is usable before the first reservation is durable.
    pub(super) fn new(next: u64, chunk: u64) -> Self {
        Self {
            next,
            durable: next,
            asked: None,
            chunk: chunk.max(crate::messages::MAX_ENTRIES as u64 * 2),
            waited: None,
        }
    }

    /// The first number not used.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The end of the reservation to ask for now, if it is time: at the start, and when half of a chunk is used up, so
    /// that nobody waits for the store in steady use.
    pub(super) fn due(&self) -> Option<u64> {
        (self.asked.is_none() && self.durable - self.next <= self.chunk / 2)
            .then(|| self.durable.saturating_add(self.chunk))
    }

    /// Notes that the reservation up to `end` was handed to the store.
    pub(super) fn asked(&mut self, token: Token, end: u64) {
        self.asked = Some((token, end));
    }

    /// Takes `n` numbers and returns the first, or `None` when they are not durable yet.
    pub(super) fn take(&mut self, n: u64) -> Option<u64> {
        let end = self.next.checked_add(n)?;
        if end > self.durable {
            if self.waited == Some(false) {
                self.waited = Some(true);
                self.chunk = self.chunk.saturating_mul(2).min(MAX_CHUNK.max(self.chunk));
            }
            return None;
        }
        Some(std::mem::replace(&mut self.next, end))
    }

    /// The store made everything up to `token` durable.
    pub(super) fn on_persisted(&mut self, token: Token) {
        if let Some((asked, end)) = self.asked
            && asked <= token
        {
            self.durable = end;
            self.asked = None;
            self.waited = Some(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_usable_before_it_is_durable() {
        let mut run = Reservation::new(1, 1024);
        assert_eq!(run.take(1), None);
        assert_eq!(run.due(), Some(1025));
        run.asked(Token(7), 1025);
        assert_eq!(run.due(), None, "one request at a time");
        run.on_persisted(Token(6));
        assert_eq!(run.take(1), None);
        run.on_persisted(Token(8));
        assert_eq!(run.take(3), Some(1));
        assert_eq!(run.take(1), Some(4));
        assert_eq!(run.due(), None);
        assert_eq!(run.take(508), Some(5));
        assert_eq!(run.due(), Some(1025 + run.chunk), "asked again at half");
        assert_eq!(run.take(513), None);
        assert_eq!(run.take(512), Some(513));
        assert_eq!(run.take(1), None);
    }

    #[test]
    fn a_run_that_runs_dry_grows_its_chunk_up_to_a_limit() {
        let mut run = Reservation::new(1, 512);
        for n in 1..40 {
            if let Some(end) = run.due() {
                run.asked(Token(n), end);
            }
            while run.take(256).is_some() {}
            run.on_persisted(Token(n));
        }
        assert_eq!(run.chunk, MAX_CHUNK);
    }
}
