//! `ID@HOST:PORT` and `HOST:PORT`, as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crypto::{ParsePeerIdError, PeerId};
use overlay::action::Target;
use overlay::config::Seed;

/// Longest DNS name, characters (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;

/// A host and a port: an IPv4 address, an IPv6 address in brackets or a DNS name, which is resolved anew at each use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address without brackets, or the name.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// A peer and where to dial it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddr {
    /// The only key accepted there.
    pub peer: PeerId,
    /// Where.
    pub at: HostPort,
}

/// What is wrong with a `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHostPort {
    /// Nothing before the colon.
    #[error("the host before `:` is missing")]
    NoHost,
    /// No colon, or nothing after it.
    #[error("the port is missing: end it with `:PORT`")]
    NoPort,
    /// The port is no number from 1 to 65535.
    #[error("{0:?} is no port: use a number from 1 to 65535")]
    Port(String),
    /// Port 0.
    #[error("port 0 cannot be dialled: use the port the peer listens on")]
    PortZero,
    /// An IPv6 address without brackets, so that nobody can tell where the port begins.
    #[error("an IPv6 address belongs in brackets: [ADDRESS]:PORT")]
    BareIpv6,
    /// `[` without `]`, or something between `]` and `:`.
    #[error("the brackets do not match: write [ADDRESS]:PORT")]
    Brackets,
    /// No IPv6 address within the brackets.
    #[error("{0:?} within the brackets is no IPv6 address")]
    Ipv6(String),
    /// Looks like an IPv4 address, but is none.
    #[error("{0:?} is no IPv4 address: four numbers from 0 to 255")]
    Ipv4(String),
    /// A character that no name has.
    #[error("{found:?} is not allowed in a host name")]
    Character {
        /// The character.
        found: char,
    },
    /// Longer than 253 characters, or a label that is empty or longer than 63.
    #[error(
        "it is no host name: labels of 1 to 63 characters with dots between, 253 characters at most"
    )]
    Name,
    /// `0.0.0.0` or `[::]`.
    #[error("{0} means every address of this machine and cannot be dialled")]
    Unspecified(IpAddr),
}

/// What is wrong with an `ID@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeerAddr {
    /// No `@`.
    #[error(
        "the `@` is missing: write ID@HOST:PORT, with the id that `vouchsafe id` prints at the peer"
    )]
    NoAt,
    /// Nothing before the `@`.
    #[error(
        "the id before `@` is missing: write ID@HOST:PORT, with the id that `vouchsafe id` prints at the peer"
    )]
    NoId,
    /// The id is none.
    #[error("the id before `@` {0}")]
    Id(ParsePeerIdError),
    /// The rest is no place.
    #[error("after the `@`: {0}")]
    Place(#[from] BadHostPort),
}

impl HostPort {
    /// The IP address, unless it is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// As an address, unless it is a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port))
    }
}

impl FromStr for HostPort {
    type Err = BadHostPort;

    fn from_str(text: &str) -> Result<Self, BadHostPort> {
        let (host, port) = split(text)?;
        if host.is_empty() {
            return Err(BadHostPort::NoHost);
        }
        let port = match port {
            "" => return Err(BadHostPort::NoPort),
            // `u16::from_str` takes a leading plus sign.
            digits if digits.starts_with('+') => return Err(BadHostPort::Port(port.to_owned())),
            digits => match digits.parse() {
                Ok(0) => return Err(BadHostPort::PortZero),
                Ok(port) => port,
                Err(_) => return Err(BadHostPort::Port(port.to_owned())),
            },
        };
        let host = check_host(host, text.starts_with('['))?;
        Ok(Self { host, port })
    }
}

/// Host and port as texts; the port is empty when there is none.
fn split(text: &str) -> Result<(&str, &str), BadHostPort> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(BadHostPort::Brackets)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err(BadHostPort::Brackets),
        };
    }
    if text.contains([']', '[']) {
        return Err(BadHostPort::Brackets);
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Err(BadHostPort::BareIpv6),
        Some(parts) => Ok(parts),
        None => Ok((text, "")),
    }
}

fn check_host(host: &str, bracketed: bool) -> Result<String, BadHostPort> {
    let ip = if bracketed {
        let ip: Ipv6Addr = host
            .parse()
            .map_err(|_| BadHostPort::Ipv6(host.to_owned()))?;
        Some(IpAddr::from(ip))
    } else if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let ip: Ipv4Addr = host
            .parse()
            .map_err(|_| BadHostPort::Ipv4(host.to_owned()))?;
        Some(IpAddr::from(ip))
    } else {
        None
    };
    if let Some(ip) = ip {
        if ip.is_unspecified() {
            return Err(BadHostPort::Unspecified(ip));
        }
        return Ok(ip.to_string());
    }
    if let Some(found) = host
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
    {
        return Err(BadHostPort::Character { found });
    }
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    if host.len() > MAX_NAME || labels.into_iter().any(|l| l.is_empty() || l.len() > 63) {
        return Err(BadHostPort::Name);
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<HostPort> for Target {
    fn from(place: HostPort) -> Self {
        match place.socket_addr() {
            Some(addr) => Self::Addr(addr),
            None => Self::Name(place.to_string().into()),
        }
    }
}

impl FromStr for PeerAddr {
    type Err = BadPeerAddr;

    fn from_str(text: &str) -> Result<Self, BadPeerAddr> {
        let (id, place) = text.split_once('@').ok_or(BadPeerAddr::NoAt)?;
        if id.is_empty() {
            return Err(BadPeerAddr::NoId);
        }
        Ok(Self {
            peer: id.parse().map_err(BadPeerAddr::Id)?,
            at: place.parse()?,
        })
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.peer, self.at)
    }
}

impl From<PeerAddr> for Seed {
    fn from(peer: PeerAddr) -> Self {
        Self {
            peer: peer.peer,
            target: peer.at.into(),
        }
    }
}
