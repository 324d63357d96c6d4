//! The machine-readable reasons for refusing or closing: application error codes on the wire.

use crate::input::Lost;

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// Why a link is refused or closed. The number travels; unknown numbers are [`Code::Unknown`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$meta])* $name,)* /// A number this version has no name for.
            Unknown(u16), }
        impl Code {
            /// The number on the wire.
            #[must_use]
            pub const fn to_u16(self) -> u16 { match self { $(Self::$name => $value,)* Self::Unknown(code) => code } }
            /// From the number on the wire.
            #[must_use]
            pub const fn from_u16(code: u16) -> Self { match code { $($value => Self::$name,)* other => Self::Unknown(other) } }
            /// One sentence for people.
            #[must_use]
            pub const fn text(self) -> &'static str { match self { $(Self::$name => $text,)* Self::Unknown(_) => "a code this version does not know" } }
        }
    };
}

codes! {
    /// Leaving in peace.
    Goodbye = 0, "the peer leaves";
    /// A visit that is over.
    Idle = 1, "the visit is over";
    /// Two connections to one peer; the other one is kept.
    Duplicate = 2, "another connection to the same peer is kept";
    /// We dialled ourselves.
    Myself = 3, "the address is the node's own";
    /// No slot is free for this address, group or in total.
    Full = 4, "no slot is free for this address";
    /// Too many requests.
    Busy = 5, "too many requests, come back later";
    /// Banned.
    Banned = 6, "the peer is banned";
    /// The hello names another network.
    WrongNetwork = 7, "the peer belongs to another network";
    /// No wire version in common.
    Version = 8, "no wire version in common";
    /// Bytes that make no message.
    Malformed = 9, "the peer sent bytes that make no message";
    /// A frame that does not belong here (before hello, twice, on a wrong lane).
    Protocol = 10, "the peer broke the protocol";
    /// A signature that does not verify, passed on by someone who should have checked.
    BadSignature = 11, "the peer passed on a bad signature";
    /// More than the link's rate.
    Flood = 12, "the peer exceeded its rate";
    /// A control frame found no room: the peer does not read.
    Stalled = 13, "the peer does not read";
    /// No hello or accept within the deadline.
    Timeout = 14, "the peer did not answer in time";
    /// This neighbor was rotated out for another.
    Rotated = 15, "the link was rotated out";
    /// This neighbor was evicted for a newcomer.
    Evicted = 16, "the link was evicted for another";
    /// The record in a hello is not valid for the key of the connection, or out of date.
    BadRecord = 17, "the peer's record is not valid";
    /// The node is shutting down and takes nobody.
    Leaving = 18, "the peer is shutting down";
    /// It passed on a message that the application rejects.
    Invalid = 19, "the peer passed on a message that is not valid";
    /// It answered none of our probes: taken for dead.
    Failed = 20, "the peer answered no probe";
}

/// Why a neighbor is one no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// The peer closed the link.
    ByPeer(Code),
    /// We closed it.
    ByUs(Code),
    /// Nothing arrived for the transport's idle timeout.
    TimedOut,
    /// The peer restarted and no longer knows the connection.
    Reset,
    /// The transport failed in another way.
    Transport,
}

impl Down {
    /// What the driver saw. A link that it closed without being asked to was closed by the node's end.
    pub(super) fn of(lost: &Lost) -> Self {
        match lost {
            Lost::ClosedByPeer(code) => {
                Self::ByPeer(Code::from_u16(u16::try_from(*code).unwrap_or(u16::MAX)))
            }
            Lost::ClosedByUs => Self::ByUs(Code::Leaving),
            Lost::TimedOut => Self::TimedOut,
            Lost::Reset => Self::Reset,
            Lost::Transport => Self::Transport,
        }
    }

    /// The close code, where somebody closed the link.
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::ByPeer(code) | Self::ByUs(code) => Some(code),
            Self::TimedOut | Self::Reset | Self::Transport => None,
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::ByPeer(code) | Self::ByUs(code) => code.text(),
            Self::TimedOut => "nothing arrived for the idle timeout",
            Self::Reset => "the peer has restarted",
            Self::Transport => "the connection broke",
        }
    }
}
