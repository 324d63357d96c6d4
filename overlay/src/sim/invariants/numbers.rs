//! Numbers name one thing: a cursor one entry, an author's sequence number one message, whatever crashes lie between.

use crypto::PeerId;

use super::{Accusation, Found, Moment};
use crate::action::{Action, Event};
use crate::sim::world::Host;

const NAME: &str = "numbers";

/// The last cursor that an application saw, over all starts: cursors rise with every entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    cursor: u64,
}

impl Seen {
    pub(super) fn did(&mut self, action: &Action, moment: &Moment, found: &mut Found) {
        match action {
            Action::Emit(Event::Delivered(delivery)) => {
                let (cursor, last) = (delivery.cursor, self.cursor);
                if cursor <= last {
                    let what = format!("an entry has the cursor {cursor} after one with {last}");
                    found.add(moment, NAME, what);
                }
                self.cursor = cursor.max(last);
            }
            // Here nobody copies a node.
            Action::Emit(Event::CloneDetected) => {
                let what = "it met a message or record of its own that it does not know";
                found.add(moment, NAME, what.to_owned());
            }
            _ => {}
        }
    }
}

/// Who signed two messages with one number.
pub(super) fn accused(action: &Action) -> Option<(Accusation, PeerId)> {
    match action {
        Action::Emit(Event::Equivocation { evidence }) => {
            Some((Accusation::Equivocated, evidence.author()))
        }
        _ => None,
    }
}

/// The author is honest.
pub(super) fn judge(moment: &Moment, author: &Host, found: &mut Found) {
    let author = author.index();
    let what = format!("it has two messages of node {author}, which is honest, with one number");
    found.add(moment, NAME, what);
}
