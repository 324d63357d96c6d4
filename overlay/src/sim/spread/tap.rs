//! What one host notes of the frames that spread messages, while it runs, on whatever thread that is.

use crypto::PeerId;

use crate::input::Lane;
use crate::sim::world::Time;
use crate::wire::{author_of, glance, tag};

/// What frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Kind {
    /// Whole messages.
    Messages,
    /// Announcements.
    Announcements,
    /// Grafts and prunes.
    Control,
    /// Reconciliation and fetches.
    Repair,
}

impl Kind {
    /// How many there are.
    pub(in crate::sim) const COUNT: usize = 4;

    const fn of(tag: u8) -> Self {
        match tag {
            tag::GOSSIP => Self::Messages,
            tag::ANNOUNCE => Self::Announcements,
            tag::GRAFT | tag::PRUNE => Self::Control,
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
    /// Bytes of payload sent.
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

/// A message by its author's key (the first eight bytes) and number.
pub(in crate::sim) type Name = (u64, u64);

/// Something that happened here to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Fact {
    /// Signed here.
    Signed,
    /// A whole copy came from this host.
    Copy {
        /// The other end of the link.
        from: u32,
    },
    /// Given to the application.
    Delivered,
}

/// A fact, about which message, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Noted {
    pub(in crate::sim) at: Time,
    pub(in crate::sim) name: Name,
    pub(in crate::sim) fact: Fact,
}

/// The notes of one host. Whoever gathers them does so every simulated second.
#[derive(Debug)]
pub(in crate::sim) struct Tap {
    me: u64,
    last_own: Option<u64>,
    sums: Sums,
    notes: Vec<Noted>,
}

impl Tap {
    /// The tap of this host.
    pub(in crate::sim) fn new(me: &PeerId) -> Self {
        Self {
            me: author_of(me.as_bytes()),
            last_own: None,
            sums: Sums::default(),
            notes: Vec::new(),
        }
    }

    /// A frame was handed to a lane.
    pub(in crate::sim) fn sent(&mut self, frame: &[u8], lane: Lane, now: Time) {
        let Some(tag) = frame.get(1).filter(|tag| tag::is_dissemination(**tag)) else {
            return;
        };
        self.sums.frames_out[Kind::of(*tag) as usize] += frame.len() as u64;
        let Some(seen) = glance(frame) else { return };
        self.sums.payload_out += seen.payload as u64;
        if lane == Lane::Own && seen.author == self.me && self.last_own < Some(seen.seq) {
            self.last_own = Some(seen.seq);
            self.note(now, (seen.author, seen.seq), Fact::Signed);
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
        if let Some(seen) = glance(frame) {
            self.sums.payload_in += seen.payload as u64;
            self.note(now, (seen.author, seen.seq), Fact::Copy { from });
        }
    }

    /// An entry was given to the application.
    pub(in crate::sim) fn delivered(&mut self, author: &PeerId, seq: u64, now: Time) {
        let name = (author_of(author.as_bytes()), seq);
        self.note(now, name, Fact::Delivered);
    }

    /// The node refused to publish.
    pub(in crate::sim) const fn refused(&mut self) {
        self.sums.refused += 1;
    }

    fn note(&mut self, at: Time, name: Name, fact: Fact) {
        self.notes.push(Noted { at, name, fact });
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
