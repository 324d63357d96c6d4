//! What can happen at a host, and where what a host causes goes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use crypto::PeerId;

use super::time::{Due, Key, Queue, Time};
use crate::input::{DialError, DialId, Input, Lane, LinkId, Lost};

/// What a packet that opens a connection says.
#[derive(Clone, Debug)]
pub(super) struct Syn {
    pub(super) from: u32,
    pub(super) from_start: u32,
    pub(super) from_link: LinkId,
    pub(super) from_peer: PeerId,
    pub(super) from_addr: SocketAddr,
    pub(super) dial: DialId,
    /// Whose key must answer.
    pub(super) wants: PeerId,
}

/// What a dial that succeeded comes to.
#[derive(Clone, Debug)]
pub(super) struct Welcome {
    pub(super) start: u32,
    pub(super) dial: DialId,
    pub(super) link: LinkId,
    /// The other end.
    pub(super) host: u32,
    pub(super) far: LinkId,
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    pub(super) rtt: Duration,
}

/// Something that happens at a host. Kept small, since queues move it about; a test holds it to that.
#[derive(Debug)]
pub(super) enum What {
    /// A deadline of the core may be due.
    Wake,
    /// Somebody dials.
    Syn(Box<Syn>),
    /// A dial of this host succeeded.
    Welcome(Box<Welcome>),
    /// A dial of this host came to nothing.
    DialFailed {
        start: u32,
        dial: DialId,
        reason: DialError,
    },
    /// The dialler's end of the handshake has arrived.
    Established { link: LinkId },
    /// A frame arrives.
    Frame {
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        /// What it cost on the wire, bytes.
        wire: u32,
        /// What this host has sent for it: acknowledgements, bytes.
        back: u32,
    },
    /// The other end closed, or the connection is known to be dead.
    Cut { link: LinkId, reason: Lost },
    /// Nothing could pass since this split began; if it still lasts, the connection is dead.
    IdleCut { link: LinkId, split: u32 },
    /// Rows handed over before are durable.
    Commit { start: u32 },
    /// A lane has drained.
    Drained { link: LinkId, lane: Lane },
    /// The uplink is free for the next frame.
    Uplink,
    /// A stall is over.
    Resume,
    /// What had to wait at a slow host.
    Late(Box<Self>),
    /// An answer to a question of the core's.
    Answer { start: u32, input: Box<Input> },
}

/// An event and the host it happens at.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) to: u32,
    pub(super) what: What,
}

/// Takes what a host causes: its own shard's queue, or the post to another shard.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) shards: usize,
    pub(super) shard: usize,
    pub(super) queue: &'a mut Queue<Event>,
    pub(super) post: &'a mut [Vec<Due<Event>>],
}

impl Sink<'_> {
    pub(super) fn push(&mut self, key: Key, event: Event) {
        let due = Due { key, what: event };
        let shard = due.what.to as usize % self.shards;
        if shard == self.shard {
            self.queue.push(due);
        } else {
            self.post[shard].push(due);
        }
    }
}

/// Numbers what one host causes.
#[derive(Debug)]
pub(super) struct Causes {
    pub(super) host: u32,
    number: u64,
}

impl Causes {
    pub(super) fn new(host: u32) -> Self {
        Self { host, number: 0 }
    }

    pub(super) fn at(&mut self, time: Time) -> Key {
        self.number += 1;
        Key {
            time,
            cause: self.host,
            number: self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_in_the_queue_is_small() {
        let size = size_of::<Due<Event>>();
        assert!(size <= 96, "{size} bytes");
    }
}
