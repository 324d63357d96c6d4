//! Ways to spread a message over the same links, measured against a flood: how many copies of the payload, how many bytes, how late.
//!
//! A model, not the protocol: no bandwidth, no loss, links that stay, one message after the other. It serves to choose what is worth
//! building; what was built is measured by `vouchsafe sim dissemination`. Prints a line of CSV for each point.
//!
//! `cargo run --release -p vouchsafe-overlay --example frontier -- [nodes] [messages] [seed] [plot.svg]`

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Links that each node opens.
const OUTBOUND: usize = 12;
/// Bytes of a signed header.
const HEADER: f64 = 170.0;
/// Bytes of an id in an announcement, and of what asks for or cancels one.
const ID: f64 = 8.0;
/// Authors of the warm workloads.
const AUTHORS: usize = 50;

/// How a message spreads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// To everybody.
    Flood,
    /// Ids to everybody; the payload to who asks.
    Pull,
    /// Push to `degree - hop` neighbors, ids to the others (PPPT).
    Push { degree: usize },
    /// One tree for all authors, that duplicates prune and misses graft (Plumtree).
    Shared,
    /// Each author's first bringer supplies; authors without one come by `defaults` links.
    Authors { defaults: usize },
    /// Headers to everybody, payloads by subscription to the first bringer (HRS), `parents` at a time; with `short` the header itself
    /// goes over so many links and its id over the others.
    Headers {
        parents: usize,
        short: Option<usize>,
    },
    /// Headers as messages under `Authors`; the payload follows them from a supplier, else it is subscribed to.
    Grown { defaults: usize },
}

/// What hostile nodes do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Foe {
    /// There are none.
    None,
    /// Take everything and say nothing.
    Silent,
    /// Announce at once whatever they hear of, and serve nothing.
    Bait,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Body {
        hop: u32,
    },
    Header,
    Id,
    Ask,
    Cancel,
    Prune,
    /// Look again for a payload that was asked for: at how many askings this was set.
    Timer(usize),
}

/// What a node knows of the message under way.
#[derive(Clone, Default)]
struct Here {
    arrived: Option<f64>,
    header: bool,
    /// Who has named it, in order.
    named: Vec<usize>,
    asked: Vec<usize>,
    waiting: Vec<usize>,
    pulled: bool,
}

#[derive(Default)]
struct Sums {
    copies: u64,
    headers: u64,
    ids: u64,
    due: u64,
    delivered: u64,
    latencies: Vec<(f64, f64)>,
    last: Vec<(f64, f64)>,
}

struct Net {
    /// Neighbor, delay in ms, and the place of the link at the other end.
    links: Vec<Vec<(usize, f64, usize)>>,
    hostile: Vec<bool>,
}

impl Net {
    fn new(nodes: usize, foes: f64, rng: &mut ChaCha12Rng) -> Self {
        let at: Vec<(f64, f64)> = (0..nodes).map(|_| (rng.random(), rng.random())).collect();
        let hostile: Vec<bool> = (0..nodes)
            .map(|n| (n as f64) < foes * nodes as f64)
            .collect();
        let mut links: Vec<Vec<(usize, f64, usize)>> = vec![Vec::new(); nodes];
        for one in 0..nodes {
            let mut opened = 0;
            while opened < OUTBOUND {
                let other = rng.random_range(0..nodes);
                if other == one || links[one].iter().any(|link| link.0 == other) {
                    continue;
                }
                let (dx, dy) = (at[one].0 - at[other].0, at[one].1 - at[other].1);
                let delay = 5.0 + 105.0 * dx.hypot(dy) / f64::sqrt(2.0);
                let (here, there) = (links[one].len(), links[other].len());
                links[one].push((other, delay, there));
                links[other].push((one, delay, here));
                opened += 1;
            }
        }
        Self { links, hostile }
    }

    /// When a flood from `source` reaches each node.
    fn flood(&self, source: usize) -> Vec<f64> {
        let mut when = vec![f64::INFINITY; self.links.len()];
        let mut queue = BinaryHeap::new();
        when[source] = 0.0;
        queue.push(Reverse((0_u64, source)));
        while let Some(Reverse((time, node))) = queue.pop() {
            let time = f64::from_bits(time);
            if time > when[node] || self.hostile[node] {
                continue;
            }
            for (other, delay, _) in &self.links[node] {
                let then = time + delay;
                if then < when[*other] {
                    when[*other] = then;
                    queue.push(Reverse((then.to_bits(), *other)));
                }
            }
        }
        when
    }
}

/// When (as bits), its number, the node, the link, and where its kind is.
type Due = (u64, u64, usize, usize, usize);

struct World<'a> {
    net: &'a Net,
    way: Way,
    foe: Foe,
    /// How good a link's word was: each broken promise lowers it.
    score: Vec<Vec<f64>>,
    eager: Vec<Vec<bool>>,
    /// Links on which a node wants what has no supplier yet.
    defaults: Vec<Vec<usize>>,
    supplier: Vec<BTreeMap<usize, usize>>,
    queue: BinaryHeap<Reverse<Due>>,
    /// Of the events in the queue.
    whats: Vec<What>,
    here: Vec<Here>,
    author: usize,
    sums: Sums,
    rng: ChaCha12Rng,
}

impl<'a> World<'a> {
    fn new(net: &'a Net, way: Way, foe: Foe, seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let count = match way {
            Way::Authors { defaults } | Way::Grown { defaults } => defaults,
            _ => 0,
        };
        let defaults = net.links.iter().map(|links| {
            let mut own: Vec<usize> = (0..links.len()).collect();
            own.shuffle(&mut rng);
            own.truncate(count);
            own
        });
        Self {
            net,
            way,
            foe,
            score: net
                .links
                .iter()
                .map(|links| vec![1.0; links.len()])
                .collect(),
            eager: net
                .links
                .iter()
                .map(|links| vec![true; links.len()])
                .collect(),
            defaults: defaults.collect(),
            supplier: vec![BTreeMap::new(); net.links.len()],
            queue: BinaryHeap::new(),
            whats: Vec::new(),
            here: Vec::new(),
            author: 0,
            sums: Sums::default(),
            rng,
        }
    }

    fn at(&mut self, time: f64, node: usize, link: usize, what: What) {
        self.whats.push(what);
        let number = self.whats.len() - 1;
        let key = (time.to_bits(), number as u64, node, link, number);
        self.queue.push(Reverse(key));
    }

    /// Sends over a node's link.
    fn send(&mut self, now: f64, node: usize, link: usize, what: What) {
        let (other, delay, there) = self.net.links[node][link];
        if !self.net.hostile[node] {
            match what {
                What::Header => self.sums.headers += 1,
                What::Id | What::Ask | What::Cancel | What::Prune => self.sums.ids += 1,
                What::Body { .. } | What::Timer(_) => {}
            }
        }
        self.at(now + delay, other, there, what);
    }

    /// One message; `counted` if the figures take it in.
    fn publish(&mut self, author: usize, counted: bool) {
        let before = (self.sums.copies, self.sums.headers, self.sums.ids);
        self.author = author;
        self.here = vec![Here::default(); self.net.links.len()];
        self.whats.clear();
        self.here[author].header = true;
        self.body(0.0, author, None, 0);
        while let Some(Reverse((time, _, node, link, number))) = self.queue.pop() {
            let (now, what) = (f64::from_bits(time), self.whats[number]);
            if self.net.hostile[node] {
                self.bait(now, node, what);
            } else {
                self.honest(now, node, link, what);
            }
        }
        if !counted {
            (self.sums.copies, self.sums.headers, self.sums.ids) = before;
            return;
        }
        let flood = self.net.flood(author);
        let mut last = (0.0_f64, 0.0_f64);
        for (node, when) in flood.iter().enumerate() {
            if node == author || self.net.hostile[node] {
                continue;
            }
            self.sums.due += 1;
            if let Some(arrived) = self.here[node].arrived {
                self.sums.delivered += 1;
                self.sums.latencies.push((arrived, *when));
                last = (last.0.max(arrived), last.1.max(*when));
            }
        }
        self.sums.last.push(last);
    }

    /// A hostile node hears something.
    fn bait(&mut self, now: f64, node: usize, what: What) {
        let news = matches!(what, What::Body { .. } | What::Header | What::Id);
        if self.foe != Foe::Bait || !news || std::mem::replace(&mut self.here[node].header, true) {
            return;
        }
        for link in 0..self.net.links[node].len() {
            let what = match self.way {
                Way::Headers { .. } => What::Header,
                _ => What::Id,
            };
            self.send(now, node, link, what);
        }
    }

    fn honest(&mut self, now: f64, node: usize, link: usize, what: What) {
        match what {
            What::Body { hop } => {
                self.sums.copies += 1;
                self.body(now, node, Some(link), hop);
            }
            What::Header => self.header(now, node, link),
            What::Id => {
                self.here[node].named.push(link);
                let wait = match self.way {
                    // A tree is given the time that its branches may lag behind.
                    Way::Shared | Way::Authors { .. } | Way::Push { .. } => 80.0,
                    Way::Grown { .. } if !self.here[node].header => 80.0,
                    _ => 0.0,
                };
                if self.here[node].arrived.is_none() && !self.here[node].pulled {
                    self.here[node].pulled = true;
                    self.at(now + wait, node, link, What::Timer(0));
                }
            }
            What::Ask => {
                if let Some(hop) = self.here[node].arrived.map(|_| 0) {
                    self.send(now, node, link, What::Body { hop });
                    if self.way == Way::Shared {
                        self.eager[node][link] = true;
                    }
                } else {
                    self.here[node].waiting.push(link);
                }
            }
            What::Cancel => self.here[node].waiting.retain(|other| *other != link),
            What::Prune => self.eager[node][link] = false,
            What::Timer(asked) => {
                if self.here[node].arrived.is_none() && self.here[node].asked.len() == asked {
                    self.ask(now, node);
                }
            }
        }
    }

    /// Asks the best of those who named it and were not asked; all anew when all were.
    fn ask(&mut self, now: f64, node: usize) {
        let here = &mut self.here[node];
        for link in here.asked.iter().rev().take(1) {
            let score = &mut self.score[node][*link];
            *score *= 0.7;
        }
        let score = &self.score[node];
        let fresh = here.named.iter().filter(|link| !here.asked.contains(link));
        // The first to name it, unless its word was broken before.
        let best = fresh
            .copied()
            .reduce(|a, b| if score[b] > score[a] + 0.2 { b } else { a });
        let Some(link) = best else {
            here.pulled = false;
            if !here.named.is_empty() {
                here.asked.clear();
                here.pulled = true;
                self.at(now + 200.0, node, 0, What::Timer(0));
            }
            return;
        };
        let open = here.asked.len();
        if open >= 3 {
            let oldest = here.asked[open - 3];
            self.send(now, node, oldest, What::Cancel);
        }
        self.here[node].asked.push(link);
        self.send(now, node, link, What::Ask);
        let round_trip = 2.0 * self.net.links[node][link].1;
        let tries = self.here[node].asked.len();
        // Who passes on what it has not yet itself is given longer.
        let patience = match self.way {
            Way::Headers { .. } | Way::Grown { .. } => 2.0 * round_trip + 60.0,
            _ => round_trip + 20.0,
        };
        self.at(now + patience, node, link, What::Timer(tries));
    }

    /// The header comes first.
    fn header(&mut self, now: f64, node: usize, link: usize) {
        self.here[node].named.push(link);
        if std::mem::replace(&mut self.here[node].header, true) {
            // The second bringer may be a second parent.
            let parents = match self.way {
                Way::Headers { parents, .. } => parents,
                _ => 1,
            };
            if self.here[node].arrived.is_none() && self.here[node].asked.len() < parents {
                self.ask(now, node);
            }
            return;
        }
        match self.way {
            Way::Headers { short, .. } => {
                self.ask(now, node);
                self.spread_header(now, node, Some(link), short);
            }
            Way::Grown { .. } => {
                // From the supplier the payload follows by itself.
                if self.supplier[node].get(&self.author) != Some(&link) {
                    self.ask(now, node);
                } else {
                    self.here[node].asked.push(link);
                    let patience = 4.0 * self.net.links[node][link].1 + 60.0;
                    self.at(now + patience, node, link, What::Timer(1));
                }
                self.spread_header(now, node, Some(link), None);
            }
            _ => {}
        }
    }

    fn spread_header(&mut self, now: f64, node: usize, from: Option<usize>, short: Option<usize>) {
        let mut order: Vec<usize> = (0..self.net.links[node].len()).collect();
        order.shuffle(&mut self.rng);
        let mut full = 0;
        for link in order {
            let whole = match self.way {
                Way::Grown { .. } => from != Some(link) && self.wants(node, link, from.is_none()),
                // Back to where it came from as well, or a node may know hostile bringers only.
                _ => short.is_none_or(|most| full < most),
            };
            if whole {
                full += 1;
                self.send(now, node, link, What::Header);
                if matches!(self.way, Way::Grown { .. }) && self.is_supplier(node, link) {
                    self.here[node].waiting.push(link);
                }
            } else if from != Some(link) {
                self.send(now, node, link, What::Id);
            }
        }
    }

    /// Whether the other end of the link has this node for its supplier of the author.
    fn is_supplier(&self, node: usize, link: usize) -> bool {
        let (other, _, there) = self.net.links[node][link];
        self.supplier[other].get(&self.author) == Some(&there)
    }

    /// Whether the other end wants to be pushed what this node has of the author.
    fn wants(&self, node: usize, link: usize, own: bool) -> bool {
        let (other, _, there) = self.net.links[node][link];
        match self.supplier[other].get(&self.author) {
            Some(supplier) => *supplier == there,
            None => own || self.defaults[other].contains(&there),
        }
    }

    /// The payload comes, or is published.
    fn body(&mut self, now: f64, node: usize, from: Option<usize>, hop: u32) {
        if self.here[node].arrived.is_some() {
            if self.way == Way::Shared
                && let Some(link) = from
            {
                self.eager[node][link] = false;
                self.send(now, node, link, What::Prune);
            }
            return;
        }
        self.here[node].arrived = Some(now);
        if let Some(link) = from {
            self.score[node][link] += 0.3 * (1.0 - self.score[node][link]);
            self.eager[node][link] = true;
            self.supplier[node].insert(self.author, link);
            let others: Vec<usize> = (self.here[node].asked.iter().copied())
                .filter(|other| *other != link)
                .collect();
            for other in others {
                self.send(now, node, other, What::Cancel);
            }
        }
        let links = self.net.links[node].len();
        let mut order: Vec<usize> = (0..links).filter(|link| Some(*link) != from).collect();
        order.shuffle(&mut self.rng);
        let named = self.here[node].named.clone();
        let body = What::Body { hop: hop + 1 };
        match self.way {
            Way::Flood => order
                .iter()
                .for_each(|link| self.send(now, node, *link, body)),
            Way::Pull => order
                .iter()
                .for_each(|link| self.send(now, node, *link, What::Id)),
            Way::Push { degree } => {
                let mut left = degree.saturating_sub(hop as usize);
                for link in order.into_iter().filter(|link| !named.contains(link)) {
                    let what = if left > 0 { body } else { What::Id };
                    left = left.saturating_sub(1);
                    self.send(now, node, link, what);
                }
            }
            Way::Shared => {
                for link in order {
                    let what = if self.eager[node][link] {
                        body
                    } else {
                        What::Id
                    };
                    self.send(now, node, link, what);
                }
            }
            Way::Authors { .. } => {
                for link in order {
                    let wanted = self.wants(node, link, from.is_none());
                    if named.contains(&link) {
                        continue;
                    }
                    self.send(now, node, link, if wanted { body } else { What::Id });
                }
            }
            // Who asked on the strength of an id alone has the header now, too.
            Way::Headers { .. } | Way::Grown { .. } => {
                let first = !std::mem::replace(&mut self.here[node].header, true);
                if first || from.is_none() {
                    let short = match self.way {
                        Way::Headers { short, .. } => short,
                        _ => None,
                    };
                    self.spread_header(now, node, from, short);
                }
            }
        }
        for link in std::mem::take(&mut self.here[node].waiting) {
            self.send(now, node, link, body);
        }
    }
}

/// A point of the frontier, as the plot needs it.
struct Point {
    family: &'static str,
    foe: usize,
    warm: bool,
    copies: f64,
    late: f64,
}

/// Three plots side by side, one for each kind of foe: copies against the time to the last node, both as multiples of the best there is.
fn svg(points: &[Point]) -> String {
    const COLORS: [(&str, &str); 7] = [
        ("flood", "#888888"),
        ("pull", "#cc79a7"),
        ("pppt", "#e69f00"),
        ("plumtree", "#56b4e9"),
        ("authors", "#009e73"),
        ("hrs", "#d55e00"),
        ("grown", "#0072b2"),
    ];
    let color = |family: &str| {
        let known = COLORS.iter().find(|(name, _)| family.starts_with(name));
        known.map_or("#000000", |(_, color)| *color)
    };
    let x =
        |foe: usize, copies: f64| 60.0 + foe as f64 * 300.0 + copies.clamp(1.0, 24.0).log2() * 52.0;
    let y = |late: f64| 300.0 - (late.clamp(1.0, 16.0).log2()) * 65.0;
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 400\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"960\" height=\"400\" fill=\"white\"/>\n",
    );
    for (foe, title) in ["no adversary", "3 in 10 silent", "3 in 10 bait"]
        .iter()
        .enumerate()
    {
        out += &format!(
            "<text x=\"{}\" y=\"24\" font-size=\"14\">{title}</text>\n",
            x(foe, 1.0)
        );
        for copies in [1.0, 2.0, 4.0, 8.0, 16.0] {
            out += &format!(
                "<path d=\"M{0} 40V300\" stroke=\"#dddddd\"/><text x=\"{0}\" y=\"315\" text-anchor=\"middle\">{copies}</text>\n",
                x(foe, copies)
            );
        }
        for late in [1.0, 2.0, 4.0, 8.0, 16.0] {
            out += &format!(
                "<path d=\"M{} {1}H{2}\" stroke=\"#dddddd\"/><text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{late}</text>\n",
                x(foe, 1.0),
                y(late),
                x(foe, 24.0),
                x(foe, 1.0) - 4.0,
                y(late) + 4.0
            );
        }
        out += &format!(
            "<text x=\"{}\" y=\"332\">copies of the payload received</text>\n",
            x(foe, 1.0)
        );
    }
    out += "<text x=\"16\" y=\"300\" transform=\"rotate(-90 16 300)\">last node, p99, as a multiple of a flood's</text>\n";
    for point in points {
        let fill = if point.warm {
            color(point.family)
        } else {
            "none"
        };
        out += &format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{}\" stroke-width=\"1.5\"/>\n",
            x(point.foe, point.copies),
            y(point.late),
            color(point.family)
        );
    }
    for (at, (name, color)) in COLORS.iter().enumerate() {
        let left = 60 + at * 90;
        out += &format!(
            "<circle cx=\"{left}\" cy=\"356\" r=\"4\" fill=\"{color}\"/><text x=\"{}\" y=\"360\">{name}</text>\n",
            left + 8
        );
    }
    out += "<text x=\"60\" y=\"382\">filled: authors that have published before; hollow: each message from a new author</text>\n</svg>\n";
    out
}

/// The value below which this part of all lies.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * part).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse::<usize>().ok());
    let nodes = args.next().unwrap_or(2000);
    let messages = args.next().unwrap_or(200);
    let seed = args.next().unwrap_or(1) as u64;
    let mut ways = vec![
        ("flood", Way::Flood),
        ("pull", Way::Pull),
        ("plumtree", Way::Shared),
    ];
    ways.extend([2, 3, 4, 5, 6, 8, 10].map(|degree| ("pppt", Way::Push { degree })));
    ways.extend([1, 2, 3, 4].map(|defaults| ("authors", Way::Authors { defaults })));
    ways.extend([1, 2].map(|parents| {
        (
            "hrs",
            Way::Headers {
                parents,
                short: None,
            },
        )
    }));
    ways.extend([4, 8].map(|full| {
        (
            "hrs-short",
            Way::Headers {
                parents: 1,
                short: Some(full),
            },
        )
    }));
    ways.extend([1, 2, 3, 4].map(|defaults| ("grown", Way::Grown { defaults })));
    let mut points = Vec::new();
    println!(
        "family,setting,authors,foe,nodes,messages,seed,copies,headers,ids,bytes_ratio_256,bytes_ratio_4096,bytes_ratio_65536,p50_vs_flood,p99_vs_flood,coverage"
    );
    for (foe, part) in [(Foe::None, 0.0), (Foe::Silent, 0.3), (Foe::Bait, 0.3)] {
        let net = Net::new(nodes, part, &mut ChaCha12Rng::seed_from_u64(seed));
        let first = (part * nodes as f64).ceil() as usize;
        for (family, way) in &ways {
            for warm in [true, false] {
                let mut world = World::new(&net, *way, foe, seed);
                let mut rng = ChaCha12Rng::seed_from_u64(seed + 1);
                let authors: Vec<usize> = (0..AUTHORS)
                    .map(|_| rng.random_range(first..nodes))
                    .collect();
                if warm {
                    for _ in 0..6 {
                        for author in &authors {
                            world.publish(*author, false);
                        }
                    }
                }
                for number in 0..messages {
                    let author = if warm {
                        authors[number % AUTHORS]
                    } else {
                        rng.random_range(first..nodes)
                    };
                    world.publish(author, true);
                }
                let sums = &mut world.sums;
                let due = sums.due as f64;
                let (copies, headers, ids) = (
                    sums.copies as f64 / due,
                    sums.headers as f64 / due,
                    sums.ids as f64 / due,
                );
                // Where headers travel alone, payloads come without one.
                let alone = matches!(way, Way::Headers { .. } | Way::Grown { .. });
                let beside = if alone { 0.0 } else { HEADER };
                let ratio = |payload: f64| {
                    (copies * (payload + beside) + headers * HEADER + ids * ID) / payload
                };
                let mut own: Vec<f64> = sums.latencies.iter().map(|pair| pair.0).collect();
                let mut flood: Vec<f64> = sums.latencies.iter().map(|pair| pair.1).collect();
                let p50 = quantile(&mut own, 0.5) / quantile(&mut flood, 0.5);
                let mut own: Vec<f64> = sums.last.iter().map(|pair| pair.0).collect();
                let mut flood: Vec<f64> = sums.last.iter().map(|pair| pair.1).collect();
                let p99 = quantile(&mut own, 0.99) / quantile(&mut flood, 0.99);
                let setting = match way {
                    Way::Push { degree } => *degree,
                    Way::Authors { defaults } | Way::Grown { defaults } => *defaults,
                    Way::Headers { parents, short } => short.unwrap_or(*parents),
                    Way::Flood | Way::Pull | Way::Shared => 0,
                };
                points.push(Point {
                    family,
                    foe: [Foe::None, Foe::Silent, Foe::Bait]
                        .iter()
                        .position(|other| *other == foe)
                        .unwrap_or(0),
                    warm,
                    copies,
                    late: p99,
                });
                println!(
                    "{family},{setting},{},{foe:?},{nodes},{messages},{seed},{copies:.3},{headers:.2},{ids:.2},{:.3},{:.3},{:.3},{p50:.2},{p99:.2},{:.6}",
                    if warm { "warm" } else { "cold" },
                    ratio(256.0),
                    ratio(4096.0),
                    ratio(65536.0),
                    sums.delivered as f64 / due,
                );
            }
        }
    }
    if let Some(path) = std::env::args().nth(4) {
        std::fs::write(&path, svg(&points)).unwrap_or_else(|error| {
            eprintln!("{path}: {error}");
            std::process::exit(1);
        });
    }
}
