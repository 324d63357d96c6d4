//! The one list of settings.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use overlay::config::AddressPreset;

use super::units::{parse_duration, parse_size};
use super::{Authors, HostPort, NodeConfig, PeerAddr, Retention};
use crate::Limits;

/// A value as the file or the environment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string; in the environment anything.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A list of strings.
    List(Vec<String>),
    /// Anything else: what it is.
    Other(&'static str),
}

/// The settings while the layers are laid over one another.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) config: NodeConfig,
    /// `None` = by preset.
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) allow_list: bool,
    pub(super) allow: Vec<crypto::PeerId>,
}

impl Draft {
    pub(super) fn finish(mut self) -> NodeConfig {
        let by_preset = || super::default_listen(self.config.preset);
        self.config.listen = self.listen.unwrap_or_else(by_preset);
        if self.allow_list {
            self.config.authors = Authors::AllowList(self.allow.into_iter().collect());
        }
        self.config
    }
}

/// One setting.
pub(super) struct Setting {
    /// Its section, or "" for the top of the file.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// What the file that `init` writes says about it.
    pub(super) about: &'static str,
    /// Its default as it stands in the file.
    pub(super) default: &'static str,
    /// Checks and takes a value.
    pub(super) set: fn(&mut Draft, &Value) -> Result<(), String>,
}

impl Setting {
    /// `limits.max_upload`.
    pub(super) fn key(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// `VOUCHSAFE_LIMITS_MAX_UPLOAD`.
    pub(super) fn env(&self) -> String {
        let key = self.key().replace('.', "_").to_ascii_uppercase();
        format!("{}{key}", super::ENV_PREFIX)
    }
}

/// The sections in the order of the file, with what it says about them.
pub(super) const SECTIONS: [(&str, &str); 7] = [
    ("", ""),
    (
        "admin",
        "The HTTP API that `vouchsafe` commands and scripts use.",
    ),
    ("log", "Logs go to stderr."),
    ("limits", "Ceilings on what the node uses."),
    ("neighbors", "The links that the node keeps."),
    (
        "retention",
        "How much of the log is kept; the limit reached first counts. Nodes of one network should agree.",
    ),
    (
        "authors",
        "Who may publish: a policy of the network, the same at all of its nodes.",
    ),
];

/// Every setting, section by section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        section: "",
        name: "network",
        about: "Name of the network. Nodes of different networks never talk to each other.",
        default: "\"vouchsafe\"",
        set: |draft, value| {
            draft.config.network = network(text(value)?)?;
            Ok(())
        },
    },
    Setting {
        section: "",
        name: "preset",
        about: "What kind of network the addresses belong to: \"wan\" (the open internet), \"lan\" (private addresses are\n\
                taken), \"local\" (one machine: loopback addresses are taken).",
        default: "\"wan\"",
        set: |draft, value| {
            draft.config.preset = preset(text(value)?)?;
            Ok(())
        },
    },
    Setting {
        section: "",
        name: "listen",
        about: "UDP addresses to listen on, IP:PORT. Port 0 picks a free one. Add \"[::]:4100\" for IPv6. With the preset\n\
                \"local\" the default is [\"127.0.0.1:0\"].",
        default: "[\"0.0.0.0:4100\"]",
        set: |draft, value| {
            let listen: Vec<SocketAddr> = each(value, "an address IP:PORT")?;
            if listen.is_empty() {
                return Err(
                    "it is empty: name at least one IP:PORT, or leave the key out".to_owned(),
                );
            }
            if let Some(twice) = twice(&listen, |addr| addr.port() != 0) {
                return Err(format!("{twice} is there twice: remove one"));
            }
            draft.listen = Some(listen);
            Ok(())
        },
    },
    Setting {
        section: "",
        name: "external",
        about: "Where others can dial this node, HOST:PORT, when it is behind a port forwarding: at most one IPv4 and one\n\
                IPv6 address. Without any it is learned from what the neighbors see.",
        default: "[]",
        set: |draft, value| {
            let places: Vec<HostPort> = each(value, "a place HOST:PORT")?;
            for v4 in [true, false] {
                let same = |place: &&HostPort| place.ip().is_some_and(|ip| ip.is_ipv4() == v4);
                if places.iter().filter(same).count() > 1 {
                    let family = if v4 { "IPv4" } else { "IPv6" };
                    return Err(format!("there are several {family} addresses: keep one"));
                }
            }
            draft.config.external = places;
            Ok(())
        },
    },
    Setting {
        section: "",
        name: "seeds",
        about: "Peers to ask for others at the start and whenever the node finds itself alone, ID@HOST:PORT. A name is\n\
                resolved anew each time.",
        default: "[]",
        set: |draft, value| {
            draft.config.seeds = peers(value)?;
            Ok(())
        },
    },
    Setting {
        section: "",
        name: "persistent",
        about: "Peers to keep as neighbors and to redial for ever, ID@HOST:PORT.",
        default: "[]",
        set: |draft, value| {
            draft.config.persistent = peers(value)?;
            Ok(())
        },
    },
    Setting {
        section: "admin",
        name: "listen",
        about: "Loopback address of the API, IP:PORT. Port 0 picks a free one; the commands find it through the data\n\
                directory.",
        default: "\"127.0.0.1:0\"",
        set: |draft, value| {
            let addr: SocketAddr = parse(text(value)?, "an address IP:PORT")?;
            draft.config.admin = admin(addr)?;
            Ok(())
        },
    },
    Setting {
        section: "log",
        name: "format",
        about: "\"text\" or \"json\" (one object a line).",
        default: "\"text\"",
        set: |draft, value| {
            draft.config.log_format = text(value)?.parse()?;
            Ok(())
        },
    },
    Setting {
        section: "log",
        name: "level",
        about: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"; or a list such as \"info,vouchsafe=debug\".",
        default: "\"info\"",
        set: |draft, value| {
            let level = text(value)?;
            tracing_subscriber::EnvFilter::try_new(level).map_err(|error| {
                format!("{level:?}: {error}; use error, warn, info, debug, trace or a list of target=level")
            })?;
            draft.config.log_level = level.to_owned();
            Ok(())
        },
    },
    Setting {
        section: "limits",
        name: "max_upload",
        about: "Most bytes sent to peers in a second, as in \"10MiB\"; or \"none\".",
        default: "\"none\"",
        set: |draft, value| {
            draft.config.limits.max_upload = ceiling(value, 16 << 10, "16KiB")?;
            Ok(())
        },
    },
    Setting {
        section: "limits",
        name: "max_download",
        about: "Most bytes taken from peers in a second, as in \"10MiB\"; or \"none\".",
        default: "\"none\"",
        set: |draft, value| {
            draft.config.limits.max_download = ceiling(value, 16 << 10, "16KiB")?;
            Ok(())
        },
    },
    Setting {
        section: "limits",
        name: "max_memory",
        about: "Memory to aim at, \"64MiB\" or more: buffers, caches and links are scaled to fit; or \"none\".",
        default: "\"none\"",
        set: |draft, value| {
            draft.config.limits.max_memory = ceiling(value, 64 << 20, "64MiB")?;
            Ok(())
        },
    },
    Setting {
        section: "limits",
        name: "max_links",
        about: "Most connections at a time, short visits included.",
        default: "512",
        set: |draft, value| {
            draft.config.limits = Limits {
                max_links: Some(number(value, 8, 65_536)? as usize),
                ..draft.config.limits
            };
            Ok(())
        },
    },
    Setting {
        section: "limits",
        name: "max_payload",
        about: "Longest payload published and taken, \"64KiB\" to \"31MiB\"; the same for all nodes of a network.",
        default: "\"16MiB\"",
        set: |draft, value| {
            let bytes = parse_size(text(value)?)?;
            if !(64 << 10..=31 << 20).contains(&bytes) {
                return Err("it must be from \"64KiB\" to \"31MiB\"".to_owned());
            }
            draft.config.limits = Limits {
                max_payload: usize::try_from(bytes).ok(),
                ..draft.config.limits
            };
            Ok(())
        },
    },
    Setting {
        section: "neighbors",
        name: "outbound",
        about: "Neighbors that this node chooses and dials.",
        default: "10",
        set: |draft, value| {
            draft.config.outbound = number(value, 1, 64)? as usize;
            Ok(())
        },
    },
    Setting {
        section: "neighbors",
        name: "inbound",
        about: "Most neighbors that dialled this node; 0 = none.",
        default: "128",
        set: |draft, value| {
            draft.config.inbound = number(value, 0, 4096)? as usize;
            Ok(())
        },
    },
    Setting {
        section: "retention",
        name: "age",
        about: "By date, \"5min\" to \"366d\".",
        default: "\"24h\"",
        set: |draft, value| {
            let age = parse_duration(text(value)?)?;
            // Live messages have to be 120 s above the edge; below that nothing would ever be taken.
            if age < Duration::from_secs(300) || age > Duration::from_secs(366 * 24 * 3600) {
                return Err("it must be from \"5min\" to \"366d\"".to_owned());
            }
            draft.config.retention = Retention {
                age,
                ..draft.config.retention
            };
            Ok(())
        },
    },
    Setting {
        section: "retention",
        name: "bytes",
        about: "By size, \"1MiB\" or more. The file is up to three times as large.",
        default: "\"256MiB\"",
        set: |draft, value| {
            let bytes = parse_size(text(value)?)?;
            if bytes < 1 << 20 {
                return Err("it must be \"1MiB\" or more".to_owned());
            }
            draft.config.retention.bytes = bytes;
            Ok(())
        },
    },
    Setting {
        section: "retention",
        name: "messages",
        about: "By number, 1000 or more. Each takes about 200 bytes of memory.",
        default: "1000000",
        set: |draft, value| {
            draft.config.retention.messages = number(value, 1000, 100_000_000)?;
            Ok(())
        },
    },
    Setting {
        section: "authors",
        name: "policy",
        about: "\"open\" (everyone) or \"allow-list\".",
        default: "\"open\"",
        set: |draft, value| {
            draft.allow_list = match text(value)? {
                "open" => false,
                "allow-list" => true,
                other => {
                    return Err(format!(
                        "{other:?} is no policy: use \"open\" or \"allow-list\""
                    ));
                }
            };
            Ok(())
        },
    },
    Setting {
        section: "authors",
        name: "allow",
        about: "With \"allow-list\": the ids that may publish, this node's own included if it shall.",
        default: "[]",
        set: |draft, value| {
            draft.allow = each(value, "an id")?;
            Ok(())
        },
    },
];

/// A name of a network.
pub(super) fn network(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(format!(
            "{name:?} is no name of a network: use 1 to 128 bytes without control characters"
        ));
    }
    Ok(name.to_owned())
}

fn preset(text: &str) -> Result<AddressPreset, String> {
    match text {
        "local" => Ok(AddressPreset::Local),
        "lan" => Ok(AddressPreset::Lan),
        "wan" => Ok(AddressPreset::Wan),
        _ => Err(format!(
            "{text:?} is no preset: use \"wan\", \"lan\" or \"local\""
        )),
    }
}

/// The admin API speaks plain HTTP, so it stays on this machine.
pub(super) fn admin(addr: SocketAddr) -> Result<SocketAddr, String> {
    if addr.ip().is_loopback() {
        Ok(addr)
    } else {
        Err(format!(
            "{addr} is no loopback address and the API is not encrypted: use 127.0.0.1:PORT, and reach it from elsewhere \
             through a tunnel such as `ssh -L`"
        ))
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!(
            "expected a string in quotes, found {}",
            kind(other)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a string",
        Value::Number(_) => "a number",
        Value::List(_) => "a list",
        Value::Other(what) => what,
    }
}

fn number(value: &Value, min: u64, max: u64) -> Result<u64, String> {
    let wanted = || format!("use a whole number from {min} to {max}");
    let number = match value {
        Value::Number(number) => u64::try_from(*number).ok(),
        // From the environment everything is text.
        Value::Text(text) => text.trim().parse().ok(),
        other => return Err(format!("found {}: {}", kind(other), wanted())),
    };
    let number = number.filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| match value {
        Value::Text(text) => format!("{text:?} is not allowed: {}", wanted()),
        _ => format!("out of range: {}", wanted()),
    })
}

fn ceiling(value: &Value, min: u64, shown: &str) -> Result<Option<u64>, String> {
    let text = text(value)?;
    if text == "none" {
        return Ok(None);
    }
    let text = text.strip_suffix("/s").unwrap_or(text);
    let size = parse_size(text).map_err(|error| format!("{error}, or \"none\""))?;
    if size < min {
        return Err(format!("it must be \"{shown}\" or more, or \"none\""));
    }
    Ok(Some(size))
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str, what: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|error| format!("{text:?} is not {what}: {error}"))
}

fn each<T: FromStr<Err: std::fmt::Display>>(value: &Value, what: &str) -> Result<Vec<T>, String> {
    match value {
        Value::List(items) => items.iter().map(|item| parse(item, what)).collect(),
        // From the environment: separated by commas.
        Value::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| parse(item, what))
            .collect(),
        other => Err(format!("expected a list of strings, found {}", kind(other))),
    }
}

fn peers(value: &Value) -> Result<Vec<PeerAddr>, String> {
    let peers: Vec<PeerAddr> = each(value, "ID@HOST:PORT")?;
    match twice(&peers, |_| true) {
        Some(peer) => Err(format!("{peer} is there twice: remove one")),
        None => Ok(peers),
    }
}

/// The first item that is there before, among those that count.
fn twice<T: PartialEq>(items: &[T], counts: impl Fn(&T) -> bool) -> Option<&T> {
    let mut numbered = items.iter().enumerate();
    numbered
        .find(|(at, item)| counts(item) && items[..*at].contains(item))
        .map(|(_, item)| item)
}
