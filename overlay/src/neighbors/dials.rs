//! What becomes of our own dials when they come to nothing, and what each asks for.

use std::time::Duration;

use super::greeting::Greeting;
use super::{Change, Code, Neighbors};
use crate::cx::Cx;
use crate::input::{DialError, DialId};
use crate::peers::{Book, DialPurpose, Dialing};
use crate::wire::Purpose;

impl Neighbors {
    /// A greeting came to nothing: tells the book and the others, if it was our dial.
    pub(super) fn greeting_failed(
        &mut self,
        greeting: Greeting,
        reason: Result<DialError, Code>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        if let Some((dial, dialing)) = greeting.dial {
            if reason.is_err() {
                cx.stats.neighbors.dials_refused += 1;
            }
            self.dial_failed(dial, dialing, reason, Duration::ZERO, book, cx);
        }
    }

    /// A dial ended without a connection.
    pub fn on_dial_failed(
        &mut self,
        dial: DialId,
        reason: DialError,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        if let Some(dialing) = book.dial_ended(dial) {
            self.dial_failed(dial, dialing, Ok(reason), Duration::ZERO, book, cx);
        }
    }

    /// `asked` = how long the peer asked us to stay away; zero where it did not.
    pub(super) fn dial_failed(
        &mut self,
        dial: DialId,
        dialing: Dialing,
        reason: Result<DialError, Code>,
        asked: Duration,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        let Dialing {
            peer,
            purpose,
            addr,
            ..
        } = dialing.clone();
        book.dial_failed(&dialing, &reason, cx);
        book.stay_away(&dialing, asked, cx.now.mono);
        self.upkeep.dial_failed(&dialing, &reason, asked, cx);
        self.changes.push(Change::DialFailed {
            dial,
            purpose,
            peer,
            addr,
            reason,
        });
    }
}

/// What a dial asks for in its hello.
pub(super) const fn kind_for(purpose: DialPurpose) -> Purpose {
    match purpose {
        DialPurpose::Persistent | DialPurpose::Anchor | DialPurpose::Neighbor => Purpose::Neighbor,
        DialPurpose::Seed
        | DialPurpose::Archive
        | DialPurpose::Candidate
        | DialPurpose::Exchange
        | DialPurpose::Repair => Purpose::Visit,
    }
}
