//! The machine-readable reasons for refusing or closing: application error codes on the wire.

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
}
