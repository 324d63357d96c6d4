//! What the figures of messages mean, in words.

use super::Entry;
use super::Unit::{Fraction, Milliseconds, Number, Ratio};

/// In the order of tables.
pub(super) const SPREAD: [Entry; 26] = [
    (
        "coverage",
        "Coverage",
        Fraction,
        "Of all pairs of a measured message and an honest node that was up all the time, the fraction in which the node's application had got the message by the end of the run.",
    ),
    (
        "undelivered",
        "Not delivered",
        Number,
        "How many of these pairs are left without a delivery.",
    ),
    (
        "copies",
        "Copies",
        Ratio,
        "Bytes of payload that honest nodes received, by whatever way, for each byte that was delivered to their applications. 1 = nobody got anything twice.",
    ),
    (
        "redundancy",
        "Redundancy",
        Ratio,
        "Copies beyond the first: the relative message redundancy of Plumtree, and of iroh-gossip.",
    ),
    (
        "bytes_ratio",
        "Bytes for each byte",
        Ratio,
        "Bytes of frames that honest nodes handed to lanes to spread and repair messages (headers, announcements, grafts, prunes and reconciliation included, membership not), for each byte of payload delivered at an honest node.",
    ),
    (
        "wire_ratio",
        "Bytes on the wire for each byte",
        Ratio,
        "The same with what QUIC, UDP and IP add to each frame, acknowledgements included, by the simulator's measured prices.",
    ),
    (
        "announce_ratio",
        "Announcements",
        Ratio,
        "The part of the bytes for each byte that is announcements.",
    ),
    (
        "control_ratio",
        "Grafts and prunes",
        Ratio,
        "The part of the bytes for each byte that is grafts and prunes.",
    ),
    (
        "repair_ratio",
        "Repair",
        Ratio,
        "The part of the bytes for each byte that is reconciliation and fetches; what they bring counts as messages.",
    ),
    (
        "p50_vs_flood",
        "Median delay, against a flood",
        Ratio,
        "The median of all delays from signing to delivery, divided by that of a flood on the same links at the same moment, in which nothing takes time but the way.",
    ),
    (
        "p99_vs_flood",
        "Last node, against a flood",
        Ratio,
        "Of all messages, the 99th percentile of the time until the last honest node had it, divided by that of the flood.",
    ),
    (
        "p99_vs_tree",
        "Last node, against a tree",
        Ratio,
        "The same divided by that of a tree that sends whole copies one after the other over the same uplinks and links, each message alone.",
    ),
    (
        "last_ms",
        "Time to the last node",
        Milliseconds,
        "From signing until the last honest node had the message, on average over the messages.",
    ),
    (
        "p50_ms",
        "Median delay",
        Milliseconds,
        "The median of all delays from signing to delivery, over messages and honest nodes.",
    ),
    (
        "p99_ms",
        "Time to the last node, p99",
        Milliseconds,
        "The 99th percentile, over messages, of the time until the last honest node had it.",
    ),
    (
        "flood_p50_ms",
        "Median delay of a flood",
        Milliseconds,
        "What the median delay would be in the flood.",
    ),
    (
        "flood_p99_ms",
        "Time to the last node in a flood, p99",
        Milliseconds,
        "What the 99th percentile of the time to the last honest node would be in the flood.",
    ),
    (
        "hops_max",
        "Most hops",
        Number,
        "The most links that any message crossed until it first came to a node.",
    ),
    (
        "hops_mean_last",
        "Last delivery hop",
        Number,
        "The most links that a message crossed until it first came to a node, on average over the messages.",
    ),
    (
        "upload_ratio",
        "Upload",
        Ratio,
        "Bytes of payload that honest nodes sent, to anybody, for each byte delivered at an honest node. A node's share is 1: to pass on once what it got once.",
    ),
    (
        "upload_ratio_max",
        "Upload of the busiest node",
        Ratio,
        "What the honest node sent that sent most, in copies of everything that was published.",
    ),
    (
        "hostile_copies",
        "What the hostile got",
        Ratio,
        "Bytes of payload that a hostile node received, on average, in copies of everything that was published.",
    ),
    (
        "published",
        "Messages",
        Number,
        "Messages that were published and measured.",
    ),
    (
        "publish_refused",
        "Messages refused",
        Number,
        "Publishes that a node refused, so that nothing was sent.",
    ),
    (
        "delivery_ms",
        "Delays",
        Milliseconds,
        "From signing to delivery: how many messages took how long to a node, in spans of 5 ms.",
    ),
    (
        "flood_ms",
        "Delays of a flood",
        Milliseconds,
        "How many would have taken how long in the flood, in spans of 5 ms.",
    ),
];
