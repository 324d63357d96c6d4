//! What is kept per link.

use crypto::PeerId;

use super::session::{Session, Turn};
use crate::collections::TokenBucket;
use crate::cx::{Cx, FRAME_OVERHEAD};
use crate::input::{Lane, LinkId};
use crate::wire::Point;

/// What is kept per open link.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) peer: PeerId,
    /// Mostly there is none.
    pub(super) session: Option<Box<Session>>,
    pub(super) opens: TokenBucket,
    /// What we may still ask it for the sake of a hole in an author's order.
    pub(super) holes: TokenBucket,
    /// Its low edge, as it last said.
    pub(super) low_edge_ms: u64,
    /// Where the next whole session goes on, after one that was cut.
    pub(super) resume: Option<Point>,
}

impl Peer {
    /// Sends the session's answer, if one waits and the lane has room.
    pub(super) fn send(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Turn::Send(bytes, ends) = &session.turn else {
            return;
        };
        let ends = *ends;
        if cx.out.room(link, Lane::Bulk) < bytes.len() + FRAME_OVERHEAD {
            return;
        }
        cx.send_bytes(link, Lane::Bulk, bytes.clone());
        cx.stats.repair.frames += 1;
        if ends {
            self.session = None;
        } else {
            session.turn = Turn::Theirs;
            session.since = cx.now.mono;
        }
    }
}
