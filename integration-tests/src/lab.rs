//! A small internet on one machine: hosts with addresses of their own, each in its own network namespace, behind one router that can
//! lose packets, cut the hosts in two, slow a host's line down, and has one host at the end of a long line.
//!
//! ```text
//!  host 1 (5.1.0.2) ── 5.1.0.1 ┐
//!  host 2 (5.2.0.2) ── 5.2.0.1 ┤ router ── 5.100.0.2 far router ── host N (5.N.0.2)
//!  ..                          ┘           (delay-relay)
//! ```
//!
//! The addresses look public, each in a group (/16) of its own, and lead nowhere: a namespace has no other way out. Everything is
//! removed when the lab is dropped; what a killed test left behind is removed by the next lab.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Program, Running};

/// How every name of ours begins; the maker's process id follows.
const PREFIX: &str = "vslab";
/// The /16 between the router and the far one.
const BETWEEN: u8 = 100;
/// The routing table of the far router that delivers to the relay.
const TABLE: &str = "100";

/// The hosts and their router.
#[derive(Debug)]
pub struct Lab {
    name: String,
    hosts: u8,
    relay: Option<Running>,
}

impl Lab {
    /// Makes a router and hosts 1 to `hosts`, the last of which is `delay_ms` away from the router, one way, by `relay`.
    ///
    /// # Errors
    /// Why this machine can have none: no right to make namespaces, no `ip`, `tc` or `nft`, or a kernel without one of their parts.
    ///
    /// # Panics
    /// When it could, and yet the lab cannot be built.
    pub fn new(hosts: u8, relay: &Program, delay_ms: u32) -> Result<Self, String> {
        assert!((2..BETWEEN).contains(&hosts), "{hosts} hosts");
        remove_forgotten()?;
        let mut lab = Self {
            name: format!("{PREFIX}-{}", std::process::id()),
            hosts,
            relay: None,
        };
        // Whatever happens from here on, dropping the lab removes what was made.
        lab.is_possible()?;
        if let Err(error) = lab.build() {
            panic!("the lab cannot be built: {error}");
        }
        let mut relay = relay
            .within(&lab.far_router())
            .start(&[&delay_ms.to_string()]);
        if relay.line().is_none() {
            panic!("the relay does not start: {}", relay.finish().1);
        }
        lab.relay = Some(relay);
        Ok(lab)
    }

    /// Tries each kind of thing that a lab is made of, in what becomes the router.
    fn is_possible(&self) -> Result<(), String> {
        let router = self.router();
        add_namespace(&router)?;
        run(
            "ip",
            &[
                "-n", &router, "link", "add", "name", "try0", "type", "veth", "peer", "name",
                "try1",
            ],
        )?;
        run(
            "tc",
            &[
                "-n", &router, "qdisc", "add", "dev", "try0", "root", "tbf", "rate", "1mbit",
                "burst", "32kb", "latency", "1ms",
            ],
        )?;
        ip(&router, "link delete try0")?;
        nft(
            &router,
            "add table ip lab\n\
             add chain ip lab try\n\
             add rule ip lab try numgen random mod 2 < 1 drop\n\
             delete table ip lab",
        )
    }

    fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    fn far_router(&self) -> String {
        format!("{}-far", self.name)
    }

    /// The namespace of a host.
    #[must_use]
    pub fn host(&self, number: u8) -> String {
        format!("{}-host{number}", self.name)
    }

    /// The address of a host, as long as it was not moved.
    #[must_use]
    pub fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(5, number, 0, 2)
    }

    fn build(&mut self) -> Result<(), String> {
        let (router, far) = (self.router(), self.far_router());
        add_namespace(&far)?;
        run(
            "ip",
            &[
                "netns",
                "exec",
                &router,
                "sysctl",
                "-qw",
                "net.ipv4.ip_forward=1",
            ],
        )?;
        connect(&router, "far", BETWEEN, 1, &far, "near", 2)?;
        for number in 1..=self.hosts {
            let host = self.host(number);
            add_namespace(&host)?;
            let (before, line) = if number == self.hosts {
                (&far, "host".to_owned())
            } else {
                (&router, format!("host{number}"))
            };
            connect(before, &line, number, 1, &host, "eth0", 2)?;
            ip(&host, &format!("route add default via 5.{number}.0.1"))?;
        }
        ip(&far, &format!("route add default via 5.{BETWEEN}.0.1"))?;
        ip(
            &router,
            &format!("route add 5.{}.0.0/24 via 5.{BETWEEN}.0.2", self.hosts),
        )?;
        // UDP that passes is the relay's: it does not go on by itself, and nobody is told that no socket waits for it.
        for line in ["near", "host"] {
            ip(
                &far,
                &format!("rule add iif {line} ipproto udp lookup {TABLE}"),
            )?;
        }
        ip(
            &far,
            &format!("route add local 0.0.0.0/0 dev lo table {TABLE}"),
        )?;
        nft(
            &far,
            "add table ip lab\n\
             add chain ip lab out { type filter hook output priority 0; }\n\
             add rule ip lab out ip protocol icmp drop",
        )?;
        nft(
            &router,
            "add table ip lab\n\
             add chain ip lab cut\n\
             add chain ip lab lossy\n\
             add chain ip lab pass { type filter hook forward priority 0; }\n\
             add rule ip lab pass jump cut\n\
             add rule ip lab pass jump lossy",
        )
    }

    /// The router loses this share of all packets, in thousandths.
    ///
    /// # Panics
    /// When `nft` fails.
    pub fn lose(&self, per_mille: u32) {
        self.rules(
            "lossy",
            &[format!("numgen random mod 1000 < {per_mille} drop")],
        );
    }

    /// Hosts up to `last` and those above it no longer reach each other.
    ///
    /// # Panics
    /// When `nft` fails.
    pub fn cut(&self, last: u8) {
        let here = format!("5.1.0.0-5.{last}.255.255");
        let there = format!("5.{}.0.0-5.{}.255.255", last + 1, self.hosts);
        self.rules(
            "cut",
            &[
                format!("ip saddr {here} ip daddr {there} drop"),
                format!("ip saddr {there} ip daddr {here} drop"),
            ],
        );
    }

    /// Everybody reaches everybody again.
    ///
    /// # Panics
    /// When `nft` fails.
    pub fn heal(&self) {
        self.rules("cut", &[]);
    }

    fn rules(&self, chain: &str, rules: &[String]) {
        let mut script = format!("flush chain ip lab {chain}\n");
        for rule in rules {
            script += &format!("add rule ip lab {chain} {rule}\n");
        }
        nft(&self.router(), &script).expect("it made this chain");
    }

    /// Limits what a host sends, in Mbit/s.
    ///
    /// # Errors
    /// The kernel has no token bucket filter.
    pub fn limit(&self, number: u8, mbit: u32) -> Result<(), String> {
        let host = self.host(number);
        let rate = format!("{mbit}mbit");
        run(
            "tc",
            &[
                "-n", &host, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", &rate,
                "burst", "32kb", "latency", "200ms",
            ],
        )
    }

    /// What the token bucket of a host has sent in bytes, by the kernel's count.
    ///
    /// # Panics
    /// When the host has none.
    #[must_use]
    pub fn sent_within_limit(&self, number: u8) -> u64 {
        let host = self.host(number);
        let shown =
            output("tc", &["-n", &host, "-s", "qdisc", "show", "dev", "eth0"]).expect("a qdisc");
        assert!(shown.contains("tbf"), "{shown}");
        let mut words = shown.split_whitespace().skip_while(|word| *word != "Sent");
        words
            .nth(1)
            .and_then(|bytes| bytes.parse().ok())
            .expect("a count")
    }

    /// Gives a host the address 5.N.0.`last` instead of the one it has.
    ///
    /// # Panics
    /// When `ip` fails.
    pub fn move_host(&self, number: u8, last: u8) {
        let host = self.host(number);
        for command in [
            "address flush dev eth0".to_owned(),
            format!("address add 5.{number}.0.{last}/24 dev eth0"),
            format!("route replace default via 5.{number}.0.1"),
        ] {
            ip(&host, &command).expect("it has an interface");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.relay = None;
        let names = (1..=self.hosts).map(|number| self.host(number));
        for name in names.chain([self.router(), self.far_router()]) {
            // What was not made yet cannot be removed.
            let _ = run("ip", &["netns", "delete", &name]);
        }
    }
}

/// Removes the namespaces of labs whose maker is gone.
fn remove_forgotten() -> Result<(), String> {
    for line in output("ip", &["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let lives = parts
            .next()
            .is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if !lives {
            // Its nodes went on without it.
            for pid in output("ip", &["netns", "pids", name])?.split_whitespace() {
                let _ = run("kill", &["-9", pid]); // it may have ended meanwhile
            }
            run("ip", &["netns", "delete", name])?;
        }
    }
    Ok(())
}

fn add_namespace(name: &str) -> Result<(), String> {
    run("ip", &["netns", "add", name])?;
    ip(name, "link set lo up")
}

/// A line between two namespaces within 5.`net`.0.0/24.
fn connect(
    a: &str,
    a_line: &str,
    net: u8,
    a_last: u8,
    b: &str,
    b_line: &str,
    b_last: u8,
) -> Result<(), String> {
    run(
        "ip",
        &[
            "link", "add", "name", a_line, "netns", a, "type", "veth", "peer", "name", b_line,
            "netns", b,
        ],
    )?;
    for (namespace, line, last) in [(a, a_line, a_last), (b, b_line, b_last)] {
        ip(
            namespace,
            &format!("address add 5.{net}.0.{last}/24 dev {line}"),
        )?;
        // One packet is one packet, not sixty in one: each is lost or delayed for itself.
        ip(namespace, &format!("link set {line} gso_max_segs 1 up"))?;
    }
    Ok(())
}

fn ip(namespace: &str, command: &str) -> Result<(), String> {
    let mut args = vec!["-n", namespace];
    args.extend(command.split_whitespace());
    run("ip", &args)
}

fn nft(namespace: &str, script: &str) -> Result<(), String> {
    run("ip", &["netns", "exec", namespace, "nft", script])
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    output(program, args).map(drop)
}

fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let said = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    } else {
        let error = String::from_utf8_lossy(&said.stderr);
        Err(format!("{program} {}: {}", args.join(" "), error.trim()))
    }
}
