//! What every part may use during a step: the time, the random generator, the outbox.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use crypto::{Identity, KeyCache, NetworkId, PeerId};
use rand::rngs::ChaCha12Rng;

use crate::action::{Action, Event, Row};
use crate::config::Config;
use crate::input::{DialId, Lane, LinkId, Now, Token};
use crate::rules::Rules;
use crate::stats::Stats;
use crate::wire::{self, Message};

/// The context of one step, lent to the part that is at work.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time of this step.
    pub now: Now,
    /// This node's random generator, seeded by its creator.
    pub rng: &'a mut ChaCha12Rng,
    /// Finished actions and the credit of each lane.
    pub out: &'a mut Outbox,
    /// Counters.
    pub stats: &'a mut Stats,
    /// The configuration, fixed for the life of the core.
    pub config: &'a Config,
    /// Checked keys of other peers.
    pub keys: &'a mut KeyCache,
    /// Who we are.
    pub identity: &'a Identity,
    /// The network we belong to.
    pub network: &'a NetworkId,
    /// Key under which peers announce message ids to us; random at each start.
    pub announce_key: &'a [u8; 16],
    /// The rules in force: all of them, but in some simulations.
    pub rules: Rules,
}

impl Cx<'_> {
    /// Our own id.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.identity.id()
    }

    /// Encodes a message and queues it; returns whether the lane took it (see [`Outbox::send`]).
    pub fn send(&mut self, link: LinkId, lane: Lane, message: &Message) -> bool {
        let bytes = wire::encode(message);
        self.send_bytes(link, lane, bytes)
    }

    /// Queues an encoded frame; returns whether the lane took it.
    pub fn send_bytes(&mut self, link: LinkId, lane: Lane, bytes: Bytes) -> bool {
        let size = bytes.len() as u64;
        let sent = self.out.send(link, lane, bytes);
        if sent {
            self.stats.wire.frames_out += 1;
            self.stats.wire.bytes_out += size;
        } else {
            self.stats.wire.lane_full += 1;
        }
        sent
    }

    /// Asks for a link to be closed with an application code.
    pub fn close(&mut self, link: LinkId, code: crate::neighbors::Code) {
        self.out.push(Action::Close {
            link,
            code: u32::from(code.to_u16()),
        });
    }

    /// Asks for a row to be made durable; the token comes back in `Persisted`.
    pub fn persist(&mut self, row: Row) -> Token {
        let token = self.out.token();
        self.out.push(Action::Persist { token, row });
        token
    }

    /// Tells the application.
    pub fn emit(&mut self, event: Event) {
        self.out.push(Action::Emit(event));
    }
}

/// Finished actions waiting for [`Overlay::poll_action`](crate::Overlay::poll_action), and how much room each lane of each
/// link still has. Emptied by the driver after every step, so its size is bounded by the work of one step.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
    free: BTreeMap<LinkId, [usize; 5]>,
    stalled: Vec<LinkId>,
    last_token: u64,
    last_dial: u64,
}

impl Outbox {
    /// Queues an action.
    pub fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Takes the oldest action. The room that a large step took is given back when it is done.
    pub fn pop(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions = VecDeque::new();
        }
        action
    }

    /// A token never given out before.
    pub fn token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    /// A dial id never given out before.
    pub fn dial_id(&mut self) -> DialId {
        self.last_dial += 1;
        DialId(self.last_dial)
    }

    /// Gives a new link full credit on every lane.
    pub fn open(&mut self, link: LinkId) {
        self.free.insert(
            link,
            [
                Lane::Datagram,
                Lane::Control,
                Lane::Own,
                Lane::Forwarded,
                Lane::Bulk,
            ]
            .map(Lane::capacity),
        );
    }

    /// Forgets a link.
    pub fn forget(&mut self, link: LinkId) {
        self.free.remove(&link);
    }

    /// Bytes that a lane still takes; 0 for an unknown link.
    #[must_use]
    pub fn room(&self, link: LinkId, lane: Lane) -> usize {
        self.free.get(&link).map_or(0, |free| free[lane as usize])
    }

    /// Takes over the driver's word on a lane's free room.
    pub fn set_room(&mut self, link: LinkId, lane: Lane, free_bytes: usize) {
        if let Some(free) = self.free.get_mut(&link) {
            free[lane as usize] = free_bytes.min(lane.capacity());
        }
    }

    /// Takes the links on which a control frame found no room in this step.
    pub fn take_stalled(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.stalled)
    }

    /// Queues a frame if the lane has room for it; a frame larger than the room is refused whole. A link whose control lane
    /// refuses is stalled: a lost control frame leaves the two ends disagreeing.
    pub fn send(&mut self, link: LinkId, lane: Lane, bytes: Bytes) -> bool {
        let Some(free) = self.free.get_mut(&link) else {
            return false;
        };
        if lane == Lane::Datagram {
            // Datagrams never wait, so there is nothing to keep account of: what finds no room is lost on the way, as any may be.
            self.actions.push_back(Action::Send { link, lane, bytes });
            return true;
        }
        let Some(rest) = free[lane as usize].checked_sub(bytes.len() + FRAME_OVERHEAD) else {
            if lane == Lane::Control && !self.stalled.contains(&link) {
                self.stalled.push(link);
            }
            return false;
        };
        free[lane as usize] = rest;
        self.actions.push_back(Action::Send { link, lane, bytes });
        true
    }
}

/// Actions whose room is kept from one step to the next.
const KEPT_ACTIONS: usize = 16;

/// What the driver adds to a frame on a stream: its length.
pub const FRAME_OVERHEAD: usize = 4;
