//! What one host notes of the frames that spread messages, while it runs, on whatever thread that is.

use bytes::Bytes;
use crypto::{NetworkId, PeerId};

use crate::input::Lane;
use crate::sim::world::Time;
use crate::wire::{Glance, Name, author_of, chunk_name, glance, id_of, tag};

/// What frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Kind {
    /// Whole messages, and chunks of the bodies of large ones.
    Messages,
    /// Headers of large messages.
    Heads,
    /// Announcements.
    Announcements,
    /// Grafts and prunes; of bodies: who has one, who wants it, who does not any more.
    Control,
    /// Reconciliation and fetches.
    Repair,
}

impl Kind {
    /// How many there are.
    pub(in crate::sim) const COUNT: usize = 5;

    const fn of(tag: u8) -> Self {
        match tag {
            tag::GOSSIP | tag::CHUNK => Self::Messages,
            tag::HEAD => Self::Heads,
            tag::ANNOUNCE => Self::Announcements,
            tag::GRAFT..=tag::PRUNE | tag::HAVE..=tag::CANCEL | tag::PART | tag::BUSY => {
                Self::Control
            }
            _ => Self::Repair,
        }
    }
}

/// Sums over all frames that spread messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Sums {
    /// Bytes of frames handed to lanes, by [`Kind`].
    pub(in crate::sim) frames_out: [u64; Kind::COUNT],
    /// What they cost on the wire, acknowledgements included.
    pub(in crate::sim) wire: u64,
    /// Bytes of payload sent, the lengths in the bodies of large messages included.
    pub(in crate::sim) payload_out: u64,
    /// Bytes of payload received.
    pub(in crate::sim) payload_in: u64,
    /// Publishes that were refused.
    pub(in crate::sim) refused: u64,
}

impl Sums {
    /// What was added since `before`.
    pub(in crate::sim) fn since(&self, before: &Self) -> Self {
        let mut frames_out = self.frames_out;
        for (now, then) in frames_out.iter_mut().zip(before.frames_out) {
            *now -= then;
        }
        Self {
            frames_out,
            wire: self.wire - before.wire,
            payload_out: self.payload_out - before.payload_out,
            payload_in: self.payload_in - before.payload_in,
            refused: self.refused - before.refused,
        }
    }
}

/// Something that happened here to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Fact {
    /// Signed here.
    Signed,
    /// Signed here, and chunks of its body name it so.
    SignedLarge {
        /// The beginning of its id.
        id: u64,
    },
    /// A copy, or a part of one, came from this host.
    Copy {
        /// The other end of the link.
        from: u32,
    },
    /// Given to the application.
    Delivered,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Of {
    /// The message of this name.
    Named(Name),
    /// The large message whose id begins so.
    Body(u64),
}

/// A fact, about which message, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Noted {
    pub(in crate::sim) at: Time,
    pub(in crate::sim) of: Of,
    pub(in crate::sim) fact: Fact,
}

/// The notes of one host. Whoever gathers them does so every simulated second.
#[derive(Debug)]
pub(in crate::sim) struct Tap {
    me: u64,
    network: NetworkId,
    last_own: Option<u64>,
    sums: Sums,
    notes: Vec<Noted>,
}

impl Tap {
    /// The tap of this host.
    pub(in crate::sim) fn new(me: &PeerId, network: NetworkId) -> Self {
        Self {
            network,
            me: author_of(me.as_bytes()),
            last_own: None,
            sums: Sums::default(),
            notes: Vec::new(),
        }
    }

    /// A frame was handed to a lane.
    pub(in crate::sim) fn sent(&mut self, frame: &Bytes, lane: Lane, now: Time) {
        let Some(tag) = frame.get(1).filter(|tag| tag::is_dissemination(**tag)) else {
            return;
        };
        self.sums.frames_out[Kind::of(*tag) as usize] += frame.len() as u64;
        let name = match glance(frame) {
            None => return,
            Some(Glance::Chunk { payload, .. }) => {
                self.sums.payload_out += payload as u64;
                return;
            }
            Some(Glance::Whole { name, payload }) => {
                self.sums.payload_out += payload as u64;
                name
            }
            Some(Glance::Head { name }) => name,
        };
        if lane == Lane::Own && name.0 == self.me && self.last_own < Some(name.1) {
            self.last_own = Some(name.1);
            let large = (*tag == tag::HEAD).then(|| id_of(frame, &self.network));
            let fact = match large.flatten() {
                Some(id) => Fact::SignedLarge {
                    id: chunk_name(&id),
                },
                None => Fact::Signed,
            };
            self.note(now, Of::Named(name), fact);
        }
    }

    /// A frame went onto the wire and costs so much there.
    pub(in crate::sim) fn crossed(&mut self, frame: &[u8], wire: usize) {
        if frame.get(1).is_some_and(|tag| tag::is_dissemination(*tag)) {
            self.sums.wire += wire as u64;
        }
    }

    /// A frame arrived from another host.
    pub(in crate::sim) fn got(&mut self, frame: &[u8], from: u32, now: Time) {
        let (of, payload) = match glance(frame) {
            Some(Glance::Whole { name, payload }) => (Of::Named(name), payload),
            Some(Glance::Chunk { id, payload }) => (Of::Body(id), payload),
            Some(Glance::Head { .. }) | None => return,
        };
        self.sums.payload_in += payload as u64;
        self.note(now, of, Fact::Copy { from });
    }

    /// An entry was given to the application.
    pub(in crate::sim) fn delivered(&mut self, author: &PeerId, seq: u64, now: Time) {
        let name = (author_of(author.as_bytes()), seq);
        self.note(now, Of::Named(name), Fact::Delivered);
    }

    /// The node refused to publish.
    pub(in crate::sim) const fn refused(&mut self) {
        self.sums.refused += 1;
    }

    fn note(&mut self, at: Time, of: Of, fact: Fact) {
        self.notes.push(Noted { at, of, fact });
    }

    /// Everything so far.
    pub(in crate::sim) const fn sums(&self) -> Sums {
        self.sums
    }

    /// The notes since the last call.
    pub(in crate::sim) fn take(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.notes)
    }
}
