//! Two messages with one (author, sequence number): kept as a pair, proved, and for our own key a sign of a clone.
//!
//! The two of least id are kept, whatever the order of arrival: a third of lesser id displaces the worst of the three, and
//! others are dropped on sight, before their signature is checked. The two least of all that exist are never displaced
//! and never dropped, so they spread to every node like any message, and every node ends with the same two. What was displaced may
//! have been delivered before (an author can bring about a handful of these for each number: every next one must hash lower than two
//! others); it stays seen, but leaves the log and the set that nodes compare.

use crypto::{MessageId, Verified};

use super::authors::Standing;
use super::decided::Fact;
use super::part::Messages;
use crate::action::{Action, Event, Key, Row};
use crate::cx::Cx;
use crate::input::{Now, Token};
use crate::messages::{AHEAD_MS, Arrival, Evidence, PublishError, ROW_OVERHEAD};
use crate::wire::{MessageHeader, Point};

/// Most equivocations whose first message is being read from the store.
const MAX_PROOFS: usize = 256;

impl Messages {
    /// An answer of the store; returns whether it was to a question of this room.
    pub fn on_loaded(&mut self, token: Token, row: Option<&Row>, cx: &mut Cx<'_>) -> bool {
        let Some(second) = self.proofs.remove(&token) else {
            return false;
        };
        let first = match row {
            // Verified before it was stored.
            Some(Row::Message(first)) => {
                Verified::trust_stored_with(first.signed.clone(), cx.keys).ok()
            }
            _ => None,
        };
        convict(first, second, cx);
        true
    }

    pub(super) fn prove(&mut self, first: Point, second: Verified<MessageHeader>, cx: &mut Cx<'_>) {
        let id = MessageId::from_bytes(first.id);
        if let Some(first) = self.recent.header(&id) {
            convict(Some(first.clone()), second, cx);
        } else if self.proofs.len() < MAX_PROOFS {
            let token = cx.out.token();
            cx.out.push(Action::Load {
                token,
                key: Key::Message(id),
            });
            self.proofs.insert(token, second);
        } else {
            cx.stats.messages.unproven += 1;
        }
    }

    /// A third message of lesser id came: the worst of the three leaves the pair. Nobody else need ever see it, so it is no
    /// part of what nodes compare; it stays seen.
    pub(super) fn displace(&mut self, author: u64, seq: u64, worst: Point, cx: &mut Cx<'_>) {
        let id = MessageId::from_bytes(worst.id);
        let held = self.authors.unhold(author, seq, &id);
        self.pending.remove(&id);
        if held {
            // Never appended: put it among the seen all the same, so that it cannot come back.
            let fact = Fact {
                author: 0,
                seq,
                bytes: 0,
                hidden: true,
            };
            self.decided.insert(worst, fact);
            return;
        }
        let bytes = self.decided.hide(&worst);
        self.authors.unlogged(author, bytes);
        if let Some(at) = self.ready.iter().position(|ready| ready.message.id == id) {
            // Not delivered yet: then it never is.
            if let Some(ready) = self.ready.remove(at) {
                self.ready_bytes -= ready
                    .message
                    .signed
                    .value
                    .body_len
                    .saturating_add(ROW_OVERHEAD) as usize;
            }
        } else if bytes > 0 {
            cx.persist(Row::Forget {
                low_edge_ms: self.decided.low_edge_ms(),
                pruned: vec![id],
            });
        }
    }

    /// Our own key on a message that we did not sign in this run, with a number of this run, beside one of ours, or with a date
    /// clearly later than our start: somebody else has our key. (An older run of ours may have left messages that our
    /// store does not know, if it was lost, set back, or cut off before they were durable.)
    pub(super) fn watch_for_clone(&mut self, arrival: &Arrival, cx: &mut Cx<'_>) {
        if arrival.header.signer() != self.me || arrival.from.is_none() {
            return;
        }
        let beside = self.authors.number(self.me.as_bytes()).is_some_and(|me| {
            self.authors
                .standing(me, arrival.header.seq, &arrival.id, &self.decided)
                != Standing::Alone
        });
        if arrival.header.seq >= self.first_seq || beside || self.is_of_this_run(arrival, cx.now) {
            cx.stats.messages.clones += 1;
            self.clone_detected(cx);
        }
    }

    /// Whether a message is dated well after our start. The start is taken by today's clock, which may have been set since; an
    /// earlier run of ours may have dated its last messages by a clock that was ahead, by no more than others accept.
    fn is_of_this_run(&self, arrival: &Arrival, now: Now) -> bool {
        let run = now.mono.saturating_duration_since(self.started.mono);
        let run_ms = u64::try_from(run.as_millis()).unwrap_or(u64::MAX);
        let started_ms = self.started.unix_ms.max(now.unix_ms.saturating_sub(run_ms));
        arrival.header.published_unix_ms > started_ms.saturating_add(AHEAD_MS)
    }

    /// Stops publishing because somebody else signs with our key (also for a record of ours that we never issued).
    pub fn clone_detected(&mut self, cx: &mut Cx<'_>) {
        if !self.cloned {
            self.cloned = true;
            cx.emit(Event::CloneDetected);
            self.refuse_waiting(&PublishError::Cloned, cx);
        }
    }
}

/// Hands out the evidence, and to the store.
fn convict(
    first: Option<Verified<MessageHeader>>,
    second: Verified<MessageHeader>,
    cx: &mut Cx<'_>,
) {
    let evidence = first.and_then(|first| Evidence::of(first, second, cx.network).ok());
    let Some(evidence) = evidence else {
        cx.stats.messages.unproven += 1;
        return;
    };
    cx.stats.messages.evidence += 1;
    let evidence = Box::new(evidence);
    let found_unix_ms = cx.now.unix_ms;
    cx.persist(Row::Evidence {
        found_unix_ms,
        evidence: evidence.clone(),
    });
    cx.emit(Event::Equivocation { evidence });
}
