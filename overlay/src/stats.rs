//! Counters: every drop, refusal, eviction, ban and timeout has one.

/// Defines a struct of `u64` counters and a way to list them by name.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: u64,)* }
        impl $name {
            /// Calls `each` with the name and value of every counter.
            pub fn each(&self, mut each: impl FnMut(&'static str, u64)) { $(each(stringify!($field), self.$field);)* }
        }
    };
}
pub(crate) use counters;

/// What happened so far, room by room. Plain numbers; the node turns them into metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames in and out, and why some were not understood.
    pub wire: crate::wire::Counters,
    /// Dials, records, candidates.
    pub peers: crate::peers::Counters,
    /// Exchanges, resets, slots.
    pub sampling: crate::sampling::Counters,
    /// Links, admissions, evictions.
    pub neighbors: crate::neighbors::Counters,
    /// Probes, suspicions, verdicts.
    pub detector: crate::detector::Counters,
    /// Copies, announcements, grafts, prunes.
    pub broadcast: crate::broadcast::Counters,
    /// Bodies of large messages: chunks, subscriptions, what was given up.
    pub bodies: crate::bodies::Counters,
    /// Reconciliations and what they fetched.
    pub repair: crate::repair::Counters,
    /// Arrivals, deliveries, duplicates, refusals.
    pub messages: crate::messages::Counters,
    /// Rate limits, bans.
    pub conduct: crate::conduct::Counters,
}

impl Stats {
    /// Calls `each` with room, counter name and value of every counter.
    pub fn each(&self, mut each: impl FnMut(&'static str, &'static str, u64)) {
        self.wire.each(|name, value| each("wire", name, value));
        self.peers.each(|name, value| each("peers", name, value));
        self.sampling
            .each(|name, value| each("sampling", name, value));
        self.neighbors
            .each(|name, value| each("neighbors", name, value));
        self.detector
            .each(|name, value| each("detector", name, value));
        self.broadcast
            .each(|name, value| each("broadcast", name, value));
        self.bodies.each(|name, value| each("bodies", name, value));
        self.repair.each(|name, value| each("repair", name, value));
        self.messages
            .each(|name, value| each("messages", name, value));
        self.conduct
            .each(|name, value| each("conduct", name, value));
    }
}
