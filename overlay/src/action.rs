//! What goes out through the one door: [`Overlay::poll_action`](crate::Overlay::poll_action).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crypto::{EntryId, MessageId, PeerId};

use crate::input::{DialError, DialId, Lane, LinkId, Token};
use crate::messages::{Evidence, PublishError, StoredMessage, Topic};
use crate::neighbors::{Code, Down};
use crate::peers::PeerRow;
use crate::wire::MessageHeader;

/// Where to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An address.
    Addr(SocketAddr),
    /// `host:port` of a configured seed or persistent peer, to be resolved anew at each dial.
    Name(Arc<str>),
}

/// Everything the core can ask of its driver. Executing one never waits.
#[derive(Clone, Debug)]
pub enum Action {
    /// Queue a frame on a lane of a link. The core keeps within [`Lane::capacity`]; a driver that must refuse drops
    /// the frame, counts it and reports the free room with [`Input::Lane`](crate::Input::Lane).
    Send {
        /// Which connection.
        link: LinkId,
        /// Which lane.
        lane: Lane,
        /// The frame: version, tag, body.
        bytes: Bytes,
    },
    /// Open a connection to `target`, accepting no key but `peer`.
    Dial {
        /// Names the dial in `Connected` or `DialFailed`; exactly one of them answers.
        dial: DialId,
        /// Whose key must answer.
        peer: PeerId,
        /// Where.
        target: Target,
    },
    /// Close a connection; frames queued before are sent first, within a second. `Disconnected` follows.
    Close {
        /// Which.
        link: LinkId,
        /// The application error code the peer will see.
        code: u32,
    },
    /// Make a row durable; rows are applied in the order given. `Persisted` answers.
    Persist {
        /// Comes back in `Persisted`.
        token: Token,
        /// What to write.
        row: Row,
    },
    /// Read a row. `Loaded` answers.
    Load {
        /// Comes back in `Loaded`.
        token: Token,
        /// Which row.
        key: Key,
    },
    /// Tell the application.
    Emit(Event),
}

/// A change of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Append a message to the log: its entries take the cursors `first_cursor..first_cursor + entries.len()`.
    Message(StoredMessage),
    /// A message was decided but not delivered (ignored, rejected, surplus equivocation): never take it again.
    Decided {
        /// Its id.
        id: MessageId,
        /// Its signed date, milliseconds since the Unix epoch.
        published_unix_ms: u64,
    },
    /// Keep a proof of equivocation, with the time it was found at (milliseconds since the Unix epoch).
    Evidence {
        /// When.
        found_unix_ms: u64,
        /// The proof.
        evidence: Box<Evidence>,
    },
    /// Drop everything published before `low_edge_ms`, and these messages. The edge only rises.
    Forget {
        /// The new low edge, milliseconds since the Unix epoch.
        low_edge_ms: u64,
        /// Pruned by count, bytes or fairness although above the edge; they stay decided.
        pruned: Vec<MessageId>,
    },
    /// From now on, cursors below `cursor` may be in use.
    ReserveCursors {
        /// First cursor that is certainly unused after a restart.
        cursor: u64,
    },
    /// From now on, own sequence numbers below `seq` may be in use.
    ReserveSeqs {
        /// First sequence number that is certainly unused after a restart.
        seq: u64,
    },
    /// The version of the own record that is about to be signed.
    RecordVersion {
        /// The version.
        version: u64,
    },
    /// A change to what is kept about peers (archive, anchors, bans).
    Peer(PeerRow),
}

/// Names a row to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The log's message with this id; answered with [`Row::Message`].
    Message(MessageId),
}

/// One entry handed to the application: verified, in its author's order, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Position in this node's log; rises with each delivery, never reused.
    pub cursor: u64,
    /// Id of the entry.
    pub id: EntryId,
    /// Id of the message that carried it.
    pub message: MessageId,
    /// Index within the message.
    pub index: u32,
    /// Who signed it.
    pub author: PeerId,
    /// The author's sequence number of the message.
    pub seq: u64,
    /// The author's date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// The topic.
    pub topic: Topic,
    /// The payload.
    pub payload: Bytes,
    /// The author's previous message was not there when this one was appended.
    pub gap: bool,
    /// The author signed another message with the same sequence number.
    pub equivocation: bool,
}

/// What [`Command::Publish`](crate::Command::Publish) led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the (first) message.
    pub message: MessageId,
    /// Ids of the entries, in the order of the payloads.
    pub entries: Vec<EntryId>,
    /// For each entry the message that carries it: payloads that do not fit one body make several messages.
    pub messages: Vec<MessageId>,
    /// How many neighbors' lanes have taken it so far (the fewest, of several messages); 0 = it goes out when a neighbor
    /// appears.
    pub neighbors: usize,
}

/// News for the application.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrived (or is our own).
    Delivered(Delivery),
    /// A publish is durable, or was refused.
    Published {
        /// The command's token.
        token: Token,
        /// What came of it.
        result: Result<Receipt, PublishError>,
    },
    /// Ask the application's validator of this topic; answer with [`Input::Verdict`](crate::Input::Verdict).
    Validate {
        /// To be repeated in the answer.
        token: Token,
        /// The signed header.
        header: MessageHeader,
        /// The entries.
        entries: Vec<Bytes>,
    },
    /// An author signed two messages with one sequence number.
    Equivocation {
        /// The two headers with their signatures: proof for anyone, kept in the store too.
        evidence: Box<Evidence>,
    },
    /// A link became a neighbor.
    NeighborUp {
        /// Who.
        peer: PeerId,
        /// Where.
        addr: SocketAddr,
        /// Whether we dialled.
        outbound: bool,
    },
    /// A neighbor is gone.
    NeighborDown {
        /// Who.
        peer: PeerId,
        /// Why.
        why: Down,
    },
    /// A neighbor is silent and has answered neither probe: it is probed further, and believed dead if it stays silent.
    Suspected {
        /// Who.
        peer: PeerId,
        /// Since its last frame.
        silent: Duration,
    },
    /// A suspected neighbor has answered no probe: its link is closed. [`Event::NeighborDown`] follows.
    Failed {
        /// Who.
        peer: PeerId,
        /// Since its last frame.
        silent: Duration,
        /// Another neighbor says that it heard from it meanwhile: it is the path between us that is broken, or that neighbor lies.
        alive_elsewhere: bool,
    },
    /// A suspected neighbor is heard again.
    Recovered {
        /// Who.
        peer: PeerId,
        /// How long nothing had come from it.
        silent: Duration,
    },
    /// The last neighbor is gone.
    Isolated,
    /// There is a neighbor again after [`Event::Isolated`].
    Rejoined {
        /// How long there was none.
        after: Duration,
    },
    /// A configured seed or persistent peer could not be reached; it is tried again at `retry_in_ms`.
    SeedFailed {
        /// Who.
        peer: PeerId,
        /// Where.
        target: Target,
        /// Why.
        reason: SeedFailure,
        /// Until the next attempt, in milliseconds.
        retry_in_ms: u64,
    },
    /// Our clock is far from the median of our neighbors' clocks.
    ClockSkew {
        /// Ours minus the median, milliseconds.
        offset_ms: i64,
    },
    /// Someone else signs with our key: a copied data directory or a restored backup. Publishing has stopped.
    CloneDetected,
}

/// Why a seed did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedFailure {
    /// No connection came about.
    Dial(DialError),
    /// It refused us with this code.
    Refused(u16),
}

/// A few words for people, which name the remedy where there is one.
impl fmt::Display for SeedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Dial(DialError::NoAddress) => {
                "the name does not resolve, or its address family has no socket here (see `listen`)"
            }
            Self::Dial(DialError::Unreachable) => "no answer from there",
            Self::Dial(DialError::WrongIdentity) => {
                "a node with another identity answers there; check the id in ID@HOST:PORT"
            }
            Self::Dial(DialError::WrongNetwork) => {
                "the node there belongs to another network or speaks another version; check `network`"
            }
            Self::Dial(DialError::Handshake) => "the handshake failed",
            Self::Dial(DialError::Busy) => "too many dials at a time",
            Self::Refused(code) => {
                let text = match Code::from_u16(*code) {
                    Code::Duplicate => {
                        "it has a live connection with this key already; if this goes on, another node runs with a copy of this data directory"
                    }
                    code => code.text(),
                };
                return write!(f, "it refused: {text}");
            }
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_words() {
        let dial = [
            DialError::NoAddress,
            DialError::Unreachable,
            DialError::WrongIdentity,
            DialError::WrongNetwork,
            DialError::Handshake,
            DialError::Busy,
        ];
        let mut reasons = dial.map(SeedFailure::Dial).to_vec();
        reasons.push(SeedFailure::Refused(Code::Full.to_u16()));
        reasons.push(SeedFailure::Refused(9999));
        let texts: std::collections::BTreeSet<_> =
            reasons.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), reasons.len());
    }
}
