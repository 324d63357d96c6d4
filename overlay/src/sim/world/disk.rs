//! What a simulated node's disk holds: rows are durable some milliseconds after they were handed over, or lost in a crash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crypto::{MessageId, PeerId};

use crate::action::Row;
use crate::messages::StoredMessage;
use crate::peers::PeerRow;
use crate::restored::{Restored, RestoredMessage};

/// A disk. One that is never read after a crash may forget what it is told about peers.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// All but the log.
    restored: Restored,
    /// The log.
    bodies: BTreeMap<MessageId, StoredMessage>,
    /// Its messages in the order in which they came, and some that have gone since.
    order: Vec<MessageId>,
    /// Remember archive, anchors and bans: needed only where nodes start again.
    keep_peers: bool,
}

impl Disk {
    /// An empty disk.
    pub(super) fn new(keep_peers: bool) -> Self {
        Self {
            keep_peers,
            ..Self::default()
        }
    }

    /// What a core is given at its start.
    pub(super) fn restored(&self) -> Restored {
        let mut restored = self.restored.clone();
        let log = self.order.iter().filter_map(|id| self.bodies.get(id));
        restored.messages = log.filter_map(summary).collect();
        restored
    }

    /// A message of the log.
    pub(super) fn body(&self, id: &MessageId) -> Option<&StoredMessage> {
        self.bodies.get(id)
    }

    /// Takes a row for good.
    pub(super) fn apply(&mut self, row: Row) {
        let disk = &mut self.restored;
        match row {
            Row::Message(message) => self.append(message),
            Row::Decided {
                id,
                published_unix_ms,
            } => disk.decided.push((id, published_unix_ms)),
            Row::Forget {
                low_edge_ms,
                pruned,
            } => self.forget(low_edge_ms, &pruned),
            Row::ReserveCursors { cursor } => disk.next_cursor = cursor,
            Row::ReserveSeqs { seq } => disk.next_seq = seq,
            Row::RecordVersion { version } => {
                disk.record_version = disk.record_version.max(version);
            }
            // Nothing of it comes back into the core.
            Row::Evidence { .. } => {}
            Row::Peer(_) if !self.keep_peers => {}
            Row::Peer(PeerRow::Archived(entry)) => {
                disk.archive.retain(|other| other.peer != entry.peer);
                disk.archive.push(entry);
            }
            Row::Peer(PeerRow::Unarchived(peer)) => disk.archive.retain(|other| other.peer != peer),
            Row::Peer(PeerRow::Anchors(anchors)) => disk.anchors = anchors,
            Row::Peer(PeerRow::Banned {
                peer,
                until_unix_ms,
            }) => {
                disk.bans.retain(|(other, _)| *other != peer);
                disk.bans.push((peer, until_unix_ms));
            }
            Row::Peer(PeerRow::Unbanned(peer)) => disk.bans.retain(|(other, _)| *other != peer),
        }
    }

    fn append(&mut self, message: StoredMessage) {
        self.order.push(message.id);
        self.bodies.insert(message.id, message);
    }

    fn forget(&mut self, low_edge_ms: u64, pruned: &[MessageId]) {
        let disk = &mut self.restored;
        disk.low_edge_ms = low_edge_ms;
        let pruned: BTreeSet<&MessageId> = pruned.iter().collect();
        let gone = self.bodies.extract_if(.., |id, message| {
            message.signed.value.published_unix_ms < low_edge_ms || pruned.contains(id)
        });
        for (id, message) in gone {
            let date = message.signed.value.published_unix_ms;
            if date >= low_edge_ms {
                disk.decided.push((id, date));
            }
        }
        let bodies = &self.bodies;
        self.order.retain(|id| bodies.contains_key(id));
        disk.decided.retain(|(_, date)| *date >= low_edge_ms);
    }
}

/// What a core is told of a message at its start. To check a key is dear, so it waits until somebody starts again.
fn summary(message: &StoredMessage) -> Option<RestoredMessage> {
    let header = &message.signed.value;
    Some(RestoredMessage {
        id: message.id,
        // Only what the node verified gets here; a key that is none would be a fault of its own.
        author: PeerId::from_bytes(&header.author).ok()?,
        seq: header.seq,
        published_unix_ms: header.published_unix_ms,
        bytes: u32::try_from(message.entries.iter().map(Bytes::len).sum::<usize>() + 200)
            .unwrap_or(u32::MAX),
        first_cursor: message.first_cursor,
        entries: u32::from(header.count),
        equivocation: message.equivocation,
    })
}
