//! What the figures of liveness mean, in words.

use super::Entry;
use super::Unit::{BytesPerSecond, Links, Number, Seconds};

/// In the order of tables.
pub(super) const LIVENESS: [Entry; 13] = [
    (
        "noticed_mean_s",
        "Time until a death is noticed",
        Seconds,
        "From the death of a node until a neighbor has given it up, on average over all links to the dead; one that nobody has noticed at the end has taken until then.",
    ),
    (
        "noticed_p99_s",
        "Time until a death is noticed, p99",
        Seconds,
        "The 99th percentile of these times.",
    ),
    (
        "noticed",
        "Deaths noticed",
        Links,
        "Links to neighbors that died.",
    ),
    (
        "false_failed",
        "Living neighbors given up",
        Number,
        "How often a node that was never at fault gave up an honest neighbor that was alive and never at fault. At fault is who stands still, runs late, or loses what it sends.",
    ),
    (
        "false_failed_per_1000h",
        "Mistakes",
        Number,
        "The same for each 1,000 observer hours.",
    ),
    (
        "false_failed_per_1000h_upper",
        "Mistakes, upper bound",
        Number,
        "The upper end of the 95 % interval of this rate, if mistakes have nothing to do with each other (Poisson).",
    ),
    (
        "observer_hours",
        "Observer hours",
        Number,
        "Hours that nodes which were never at fault watched their neighbors, all nodes together.",
    ),
    (
        "false_failed_by_faulty",
        "Mistakes of nodes at fault",
        Number,
        "How often a node at fault gave up an honest neighbor that was alive and never at fault.",
    ),
    (
        "false_suspected_per_h",
        "False suspicions",
        Number,
        "How often in an observer hour a living neighbor answered neither of two probes in time, and was probed further.",
    ),
    (
        "false_suspected_by_faulty",
        "False suspicions of nodes at fault",
        Number,
        "How often nodes at fault suspected a living neighbor without fault.",
    ),
    (
        "failed_faulty",
        "Neighbors at fault given up",
        Number,
        "How often a node without fault gave up a neighbor at fault, which is alive but does not answer.",
    ),
    (
        "mistake_s",
        "Length of a false suspicion",
        Seconds,
        "From the suspicion of a living neighbor until it was heard again, on average.",
    ),
    (
        "bytes_per_link_per_sec",
        "Traffic of a link",
        BytesPerSecond,
        "What both ends of a link between neighbors send together, on average: all that nodes send, divided by their links.",
    ),
];
