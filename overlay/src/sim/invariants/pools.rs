//! An outbound neighbor is never given up for want of room: whoever fills the inbound pool wins nothing in the outbound one.

use super::{Found, Moment};
use crate::action::Action;
use crate::neighbors::Code;
use crate::overlay::Overlay;

const NAME: &str = "pools";

/// Whether a node may close an outbound neighbor for this reason: its own choice, or the other end's fault.
const fn is_sound(code: Code) -> bool {
    match code {
        Code::Goodbye
        | Code::Rotated
        | Code::Banned
        | Code::Malformed
        | Code::Protocol
        | Code::BadSignature
        | Code::Invalid
        | Code::BadRecord
        | Code::Flood
        | Code::Stalled
        | Code::Failed
        | Code::Timeout => true,
        Code::Idle
        | Code::Duplicate
        | Code::Myself
        | Code::Full
        | Code::Busy
        | Code::WrongNetwork
        | Code::Version
        | Code::Evicted
        | Code::Leaving
        | Code::Unknown(_) => false,
    }
}

pub(super) fn closing(action: &Action, node: &Overlay, moment: &Moment, found: &mut Found) {
    let Action::Close { link, code } = action else {
        return;
    };
    let rooms = node.rooms();
    let Some(link) = rooms.links.get(*link) else {
        return;
    };
    let code = Code::from_u16(u16::try_from(*code).unwrap_or(u16::MAX));
    if link.outbound && link.neighbor_since.is_some() && !is_sound(code) {
        let inbound = rooms.links.neighbors().filter(|(_, other)| !other.outbound);
        let what = format!(
            "the outbound neighbor {} was given up ({}), with {} inbound ones",
            link.peer.short(),
            code.text(),
            inbound.count()
        );
        found.add(moment, NAME, what);
    }
}
