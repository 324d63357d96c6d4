//! No unproven, expired, own or duplicate record in the memory: every member has a live proof in the book, at the address that it
//! is ranked under.

use super::{Bounds, Found, Moment};
use crate::overlay::Overlay;

const NAME: &str = "memory";

pub(super) fn check(node: &Overlay, bounds: &Bounds, moment: &Moment, found: &mut Found) {
    let rooms = node.rooms();
    let memory = rooms.view.memory();
    let mut held = 0;
    for (peer, addr) in memory.members() {
        held += memory.slots_of(&peer);
        let name = peer.short();
        if peer == node.id() {
            found.add(moment, NAME, "the node itself is a member".to_owned());
        }
        let Some(proof) = rooms.book.proof_of(&peer) else {
            let what = format!("{name} is a member at {addr} and has no proof");
            found.add(moment, NAME, what);
            continue;
        };
        if proof.addr != addr {
            let what = format!(
                "{name} is ranked under {addr}, but proven at {}",
                proof.addr
            );
            found.add(moment, NAME, what);
        }
        if proof.record.signer() != peer {
            let what = format!("{name} has the record of {}", proof.record.signer().short());
            found.add(moment, NAME, what);
        }
        let age = moment.now.mono.saturating_duration_since(proof.at);
        if age >= bounds.proof_valid {
            let most = bounds.proof_valid;
            let what = format!("the proof of {name} is {age:?} old, it lasts {most:?}");
            found.add(moment, NAME, what);
        }
        let unix_s = moment.now.unix_ms / 1000;
        let age = unix_s.saturating_sub(proof.record.issued_unix_s);
        let most = bounds.record_valid_s;
        if age > most {
            let what = format!("the record of {name} is {age} s old, it lasts {most} s");
            found.add(moment, NAME, what);
        }
    }
    let filled = memory.filled();
    if held != filled {
        let what = format!("{filled} slots are filled, but members hold {held}");
        found.add(moment, NAME, what);
    }
}
