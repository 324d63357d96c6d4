//! No honest node bans an honest node.

use crypto::PeerId;

use super::{Accusation, Found, Moment};
use crate::action::{Action, Row};
use crate::peers::PeerRow;
use crate::sim::world::Host;

const NAME: &str = "bans";

/// Whom the node bans.
pub(super) const fn accused(action: &Action) -> Option<(Accusation, PeerId)> {
    match action {
        Action::Persist {
            row: Row::Peer(PeerRow::Banned { peer, .. }),
            ..
        } => Some((Accusation::Banned, *peer)),
        _ => None,
    }
}

/// The other one is honest.
pub(super) fn judge(moment: &Moment, other: &Host, found: &mut Found) {
    let what = format!("it banned node {}, which is honest", other.index());
    found.add(moment, NAME, what);
}
