//! What each figure means, in words.

mod liveness;
mod spread;

use super::numbers;
use liveness::LIVENESS;
use spread::SPREAD;

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A pure number without a better word.
    Number,
    Fraction,
    Ratio,
    /// A number of nodes.
    Nodes,
    /// A number of links.
    Links,
    Bytes,
    BytesPerSecond,
    PerSecond,
    Seconds,
    Milliseconds,
}

/// A figure's name, unit and meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// A few words, for the head of a plot.
    pub(crate) title: String,
    pub(crate) unit: Unit,
    /// A sentence.
    pub(crate) meaning: &'static str,
}

/// A figure's name, title, unit and meaning.
type Entry = (&'static str, &'static str, Unit, &'static str);

use Unit::{
    Bytes, BytesPerSecond, Fraction, Links, Milliseconds, Nodes, Number, PerSecond, Ratio, Seconds,
};

/// Those of membership, in the order of tables; names that are not here follow by the alphabet. Curves and distributions of the same name mean the same.
const KNOWN: [Entry; 48] = [
    (
        "share",
        "Adversary's share of memories",
        Fraction,
        "Of all slots of honest nodes' memories whose peer is alive, the fraction that holds a hostile node. A fair sampler gives the hostile nodes' share of the network and not more.",
    ),
    (
        "out",
        "Adversary's share of samples",
        Fraction,
        "Of all samples that honest nodes gave out, the fraction that were hostile nodes: what an application that asks for random peers gets.",
    ),
    (
        "share_peak",
        "Highest share of memories",
        Fraction,
        "The highest value that the adversary's share of memories reached after its attack began.",
    ),
    (
        "isolated",
        "Isolated honest nodes",
        Nodes,
        "Honest nodes with no honest node in their memory, or no honest outbound link: what such a node sees of the network, the adversary decides.",
    ),
    (
        "victim_share_max",
        "Worst victim's share",
        Fraction,
        "The adversary's share of the memory of that victim which fared worst.",
    ),
    (
        "victims_isolated",
        "Isolated victims",
        Nodes,
        "Victims with no honest node in their memory, or no honest outbound link.",
    ),
    (
        "victim_dials_per_sec",
        "Dials at a victim",
        PerSecond,
        "Dials a second that arrive at a victim, on average over the victims, whoever makes them.",
    ),
    (
        "victim_stray_dials_per_sec",
        "Stray dials at a victim",
        PerSecond,
        "Of these, dials that want somebody else: what made-up records with the victim's address bring about.",
    ),
    (
        "dead",
        "Dead entries",
        Fraction,
        "Of all slots of honest nodes' memories, the fraction that names a peer who is not there: crashed, gone, or made up.",
    ),
    (
        "stale",
        "Stale entries",
        Fraction,
        "Of all slots of honest nodes' memories, the fraction whose record is out of date, or names an address at which the peer is no more.",
    ),
    (
        "chi_square_p",
        "Uniformity, p of the chi-square test",
        Number,
        "How probable counts as uneven as these are if every node is drawn equally often. Below 0.001 the samples are not fair.",
    ),
    (
        "in_degree_variance_ratio",
        "Variance of the in-degree",
        Ratio,
        "Variance of the number of memories that hold a node, divided by that of independent draws (binomial). 1 = as random as a hat; more = some nodes are known better than others.",
    ),
    (
        "autocorrelation_max",
        "Memory of the sample stream",
        Number,
        "The largest correlation of nodes' samples with their own earlier ones, over all distances in the stream that can be judged (five chance repeats or more). 0 = no trace of the past.",
    ),
    (
        "autocorrelation_p",
        "Memory of the stream, p",
        Number,
        "How probable a correlation as far from 0 as the worst one is if samples are independent, all distances looked at taken into account. Below 0.001 a stream remembers.",
    ),
    (
        "group_share_max",
        "Largest group's share",
        Fraction,
        "The share of all samples that went to the address group (/8, or /20 of IPv6) sampled most.",
    ),
    (
        "group_share_fair",
        "Fair group's share",
        Fraction,
        "What each address group has of the samples if all are alike, which is what the rank prescribes: it compares groups first.",
    ),
    (
        "in_degree_max_ratio",
        "Hottest node",
        Ratio,
        "How many times as many memories as the average hold the node that is held by most.",
    ),
    (
        "exchanges_per_sec_max",
        "Exchanges at the busiest node",
        PerSecond,
        "Exchanges a second that the busiest honest node took part in between two measured moments: those it began, and calls it answered.",
    ),
    (
        "overloaded",
        "Overloaded nodes",
        Nodes,
        "Honest nodes that, since the first quarter of the run, turned away more than one in a hundred of the exchanges that others wanted with them, because a limit was reached.",
    ),
    (
        "links",
        "Mean number of links",
        Links,
        "Neighbors of an honest node, outbound and inbound, on average.",
    ),
    (
        "links_min",
        "Fewest links",
        Links,
        "Neighbors of the honest node that has fewest.",
    ),
    (
        "neighbors",
        "Links of a node",
        Links,
        "Neighbors of an honest node, outbound and inbound.",
    ),
    (
        "memory_indegree",
        "Memories that hold a node",
        Number,
        "In how many honest nodes' memories a node appears. If every memory were a fair draw of its own, the binomial distribution would come out.",
    ),
    (
        "slots_filled",
        "Filled slots",
        Number,
        "Slots of an honest node's memory that hold a node, on average.",
    ),
    (
        "largest_component",
        "Largest component",
        Fraction,
        "The fraction of the honest nodes alive that hang together over their links. 1 = one network.",
    ),
    (
        "heal_seconds",
        "Time to heal",
        Seconds,
        "From the moment the last fault was noticed (`detect_seconds`) until every survivor had had all its outbound links since, and all hung together.",
    ),
    (
        "violations",
        "Broken invariants",
        Number,
        "How often something was seen that must never happen, whatever happens in a run. 0, or the run has found a fault.",
    ),
    (
        "detect_seconds",
        "Time to notice",
        Seconds,
        "From the end of the last fault until no honest node counted a neighbor who was gone or out of reach.",
    ),
    (
        "dead_links",
        "Links to nobody",
        Links,
        "Neighbors that honest nodes still count though they are gone or out of reach.",
    ),
    (
        "join_seconds_max",
        "Slowest join",
        Seconds,
        "From its start until the slowest new node had its outbound links, each kept by both ends, so that messages can go both ways; one that is not in at the end has taken until then.",
    ),
    (
        "join_seconds",
        "Join",
        Seconds,
        "From its start until a new node has its outbound links, each kept by both ends, on average.",
    ),
    (
        "known_half_seconds",
        "Time until half known",
        Seconds,
        "From its start until a new node is in half as many memories as is its fair number, on average; one that is not at the end has taken until then.",
    ),
    (
        "known",
        "How well newcomers are known",
        Ratio,
        "In how many memories new nodes are, on average, as a fraction of their fair number: that of memories whose slots are independent fair draws.",
    ),
    (
        "size_error_p95",
        "Error of the size estimate",
        Fraction,
        "95 of 100 nodes estimate the number of dialable nodes at least this well, as a fraction of it.",
    ),
    (
        "size_ratio",
        "Size estimate",
        Ratio,
        "The nodes' mean estimate of the number of dialable nodes, divided by the true one.",
    ),
    (
        "bytes_per_node_per_sec",
        "Traffic of a node",
        BytesPerSecond,
        "What an honest node sends or receives on average, whichever is more, handshakes and the headers of UDP and IP included. Where nothing is published, all of it is membership.",
    ),
    (
        "bytes_out_per_node_per_sec",
        "Traffic sent",
        BytesPerSecond,
        "What an honest node sends on average.",
    ),
    (
        "bytes_in_per_node_per_sec",
        "Traffic received",
        BytesPerSecond,
        "What an honest node receives on average.",
    ),
    (
        "bytes_per_sec_max",
        "Traffic of the busiest node",
        BytesPerSecond,
        "What the honest node sends or receives that has most of it.",
    ),
    (
        "seed_bytes_per_sec_max",
        "Traffic of a seed",
        BytesPerSecond,
        "The most that a seed node sent in a second of the run.",
    ),
    (
        "fast_start_bytes",
        "Cost of a start",
        Bytes,
        "What a node sends from its first start until its fast start is over, once, on average. Figures per second are of the last quarter of a run, when it is long over.",
    ),
    (
        "exchanges_per_sec",
        "Exchanges",
        PerSecond,
        "Exchanges a second that an honest node started.",
    ),
    (
        "answered_per_sec",
        "Exchanges answered",
        PerSecond,
        "Exchanges a second that an honest node started and that were answered.",
    ),
    (
        "dials_per_sec",
        "Dials",
        PerSecond,
        "Dials a second of an honest node.",
    ),
    (
        "dials_in_vain_per_sec",
        "Dials in vain",
        PerSecond,
        "Of these, dials that nothing answered.",
    ),
    (
        "alive",
        "Nodes alive",
        Nodes,
        "Honest nodes that are running.",
    ),
    (
        "joined",
        "Nodes joined",
        Nodes,
        "Honest nodes that have all their outbound links at the moment; a few are always changing one.",
    ),
    (
        "events_per_node",
        "Work of the simulation",
        Number,
        "Events that the simulation handled for each node: its own cost, not the network's.",
    ),
];

/// All of them; those of messages and of liveness come first, where there are any.
fn known() -> impl Iterator<Item = &'static Entry> {
    SPREAD.iter().chain(&LIVENESS).chain(&KNOWN)
}

/// The words for a figure. One without an entry is called by its own name.
pub(crate) fn of(metric: &str) -> Words {
    match known().find(|(name, ..)| *name == metric) {
        Some((_, title, unit, meaning)) => Words {
            title: (*title).to_owned(),
            unit: *unit,
            meaning,
        },
        None => Words {
            title: metric.replace('_', " "),
            unit: unit_of(metric),
            meaning: "",
        },
    }
}

/// What the ending of an unknown name says.
fn unit_of(metric: &str) -> Unit {
    if metric.starts_with("bytes") && metric.ends_with("_per_sec") {
        BytesPerSecond
    } else if metric.ends_with("_per_sec") {
        PerSecond
    } else if metric.ends_with("bytes") {
        Bytes
    } else if metric.ends_with("_seconds") {
        Seconds
    } else {
        Number
    }
}

/// Where a figure stands in tables: those with an entry first.
pub(crate) fn order(metric: &str) -> (usize, &str) {
    let place = known().position(|(name, ..)| *name == metric);
    (place.unwrap_or(usize::MAX), metric)
}

impl Unit {
    /// What stands behind the number; empty for a pure one.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Number | Fraction | Ratio | Nodes | Links => "",
            Bytes => "B",
            BytesPerSecond => "B/s",
            PerSecond => "/s",
            Seconds => "s",
            Milliseconds => "ms",
        }
    }

    /// The name of an axis.
    pub(crate) fn axis(self) -> &'static str {
        match self {
            Number => "",
            Fraction => "fraction",
            Ratio => "ratio",
            Nodes => "nodes",
            Links => "links",
            Bytes => "bytes",
            BytesPerSecond => "bytes per second",
            PerSecond => "per second",
            Seconds => "seconds",
            Milliseconds => "milliseconds",
        }
    }

    /// The number with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self.symbol() {
            "" => numbers::figure(value),
            symbol => format!("{} {symbol}", numbers::figure(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_listed_once_and_explained() {
        let names: BTreeSet<&str> = known().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), known().count());
        assert!(known().all(|(.., meaning)| meaning.ends_with('.')));
    }

    #[test]
    fn every_bar_of_a_scenario_is_explained() {
        for description in crate::sim::library::built_in().unwrap() {
            for arm in description.arms_of_suite(false) {
                let choice = crate::sim::Choice {
                    arm,
                    ..Default::default()
                };
                let scenario = description.resolve(choice).unwrap();
                let bars = scenario.bars.iter().map(|bar| &bar.metric);
                let compared = description.differences.iter().map(|d| &d.metric);
                for metric in bars.chain(&description.also).chain(compared) {
                    let name = &description.name;
                    assert!(!of(metric).meaning.is_empty(), "{name}: {metric}");
                }
            }
        }
    }

    #[test]
    fn the_document_says_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/RESULTS.md");
        let document = std::fs::read_to_string(path).unwrap();
        for (name, title, _, meaning) in known() {
            let row = format!("| `{name}` | **{title}.** {meaning} | ");
            assert!(document.contains(&row), "docs/RESULTS.md lacks {row}");
        }
        for quick in [false, true] {
            assert!(crate::sim::suite::replace_table(&document, "", quick).is_ok());
        }
    }

    /// The example of the document is a scenario.
    #[test]
    fn the_documents_scenario_is_right() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SIMULATOR.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, rest) = document.split_once("```toml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let description = crate::sim::description::Description::parse("example", "e", example);
        let scenario = description.unwrap().resolve(Default::default()).unwrap();
        assert_eq!((scenario.events.len(), scenario.bars.len()), (2, 2));
    }

    #[test]
    fn an_unknown_figure_is_called_by_its_name() {
        let words = of("queue_wait_seconds");
        assert_eq!(words.title, "queue wait seconds");
        assert_eq!(words.unit.show(1.5), "1.5 s");
        assert!(order("share") < order("out"));
        assert!(order("events_per_node") < order("a_new_one"));
    }
}
