//! Addresses: which are taken, in what form, and which belong together.
//!
//! Identities are free, addresses are not: whatever counts peers counts them by address and by prefix group too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::AddressPreset;

/// The first bits of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    v6: bool,
    len: u8,
    /// The first 64 bits of the address (of IPv4 the 32 there are, then 0); what is beyond `len` is 0.
    bits: u64,
}

impl Prefix {
    /// The prefix that every address has; where there are no groups, all are in this one.
    pub const ALL: Self = Self {
        v6: false,
        len: 0,
        bits: 0,
    };

    /// `v4_len` is at most 32 and `v6_len` at most 64, neither is 0.
    fn of(ip: IpAddr, v4_len: u8, v6_len: u8) -> Self {
        let (v6, len, bits) = match ip {
            IpAddr::V4(ip) => (false, v4_len.min(32), u64::from(ip.to_bits()) << 32),
            IpAddr::V6(ip) => (true, v6_len.min(64), (ip.to_bits() >> 64) as u64),
        };
        let beyond = 64 - u32::from(len.max(1));
        Self {
            v6,
            len,
            bits: bits >> beyond << beyond,
        }
    }

    /// A fixed layout to be hashed: family, length, bits.
    #[must_use]
    pub fn bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[0] = u8::from(self.v6);
        bytes[1] = self.len;
        bytes[2..].copy_from_slice(&self.bits.to_be_bytes());
        bytes
    }
}

/// The groups an address belongs to, from widest to narrowest: /8, /16, /24 of IPv4; /20, /32, /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// /8 or /20: about a continent's worth of address policy.
    pub widest: Prefix,
    /// /16 or /32: about one provider; links and lists are spread over these.
    pub wide: Prefix,
    /// /24 or /48: about one site.
    pub narrow: Prefix,
}

impl Group {
    /// The group everyone is in where there are no groups.
    pub const ALL: Self = Self {
        widest: Prefix::ALL,
        wide: Prefix::ALL,
        narrow: Prefix::ALL,
    };

    /// The groups of an address under a preset; `Local` has none, so all share [`Group::ALL`].
    #[must_use]
    pub fn of(ip: IpAddr, preset: AddressPreset) -> Self {
        if preset == AddressPreset::Local {
            return Self::ALL;
        }
        let ip = ip.to_canonical();
        Self {
            widest: Prefix::of(ip, 8, 20),
            wide: Prefix::of(ip, 16, 32),
            narrow: Prefix::of(ip, 24, 48),
        }
    }

    /// A fixed layout of the narrowest prefix, to be hashed.
    #[must_use]
    pub fn bytes(&self) -> [u8; 10] {
        self.narrow.bytes()
    }
}

/// What counts as one address when peers are counted: an IPv4 address, or the /64 of an IPv6 one, since one host owns all of it.
#[must_use]
pub fn host_of(ip: IpAddr) -> Prefix {
    Prefix::of(ip.to_canonical(), 32, 64)
}

/// How many peers, links or dials may share an address or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Per address (IPv6: per /64).
    pub per_addr: usize,
    /// Per narrow group (/24, /48).
    pub per_group: usize,
    /// Per wide group (/16, /32).
    pub per_wide_group: usize,
}

impl Caps {
    /// No caps at all.
    pub const NONE: Self = Self {
        per_addr: usize::MAX,
        per_group: usize::MAX,
        per_wide_group: usize::MAX,
    };

    /// The caps of a preset. `Wan`: 8 an address and 16 a /24, as go-libp2p's connection limiter; the rest are guesses.
    #[must_use]
    pub const fn of(preset: AddressPreset) -> Self {
        match preset {
            AddressPreset::Local => Self {
                per_addr: 256,
                per_group: usize::MAX,
                per_wide_group: usize::MAX,
            },
            AddressPreset::Lan => Self {
                per_addr: 32,
                per_group: 256,
                per_wide_group: usize::MAX,
            },
            AddressPreset::Wan => Self {
                per_addr: 8,
                per_group: 16,
                per_wide_group: 128,
            },
        }
    }
}

/// The one form in which an address is kept: IPv4-mapped IPv6 becomes IPv4, flow and scope are dropped.
#[must_use]
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Whether an address somebody named may be dialled and kept at all. What never can be a peer (port 0, unspecified, multicast,
/// broadcast) is refused by every preset; other special-use blocks depend on it, lest a liar make this node knock at doors
/// inside its own network.
#[must_use]
pub fn is_taken(addr: SocketAddr, preset: AddressPreset) -> bool {
    let ip = addr.ip().to_canonical();
    if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match (preset, ip) {
        (AddressPreset::Local, IpAddr::V4(ip)) => !ip.is_broadcast(),
        (AddressPreset::Local, IpAddr::V6(_)) => true,
        (AddressPreset::Lan, IpAddr::V4(ip)) => is_private_v4(ip) || !is_special_v4(ip),
        (AddressPreset::Lan, IpAddr::V6(ip)) => ip.is_unique_local() || !is_special_v6(ip),
        (AddressPreset::Wan, IpAddr::V4(ip)) => !is_special_v4(ip),
        (AddressPreset::Wan, IpAddr::V6(ip)) => !is_special_v6(ip),
    }
}

/// RFC 1918 and the carriers' 100.64/10 (RFC 6598), which overlay VPNs use too.
const fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || (a == 100 && b & 0xc0 == 64)
}

/// The IANA special-purpose registry for IPv4 (RFC 6890 and updates): nothing there is a host of the open internet.
const fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    is_private_v4(ip)
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224
}

/// Only 2000::/3 is global unicast, and of it neither what embeds IPv4 (Teredo, 6to4) nor what documents, benchmarks or hashes.
const fn is_special_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, ..] = ip.segments();
    a & 0xe000 != 0x2000
        || (a == 0x2001 && b == 0)
        || (a == 0x2001 && b == 2 && c == 0)
        || (a == 0x2001 && (b & 0xfff0 == 0x10 || b & 0xfff0 == 0x20))
        || (a == 0x2001 && b == 0xdb8)
        || a == 0x2002
        || (a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> [bool; 3] {
        let addr = SocketAddr::new(text.parse().unwrap(), 4000);
        [AddressPreset::Local, AddressPreset::Lan, AddressPreset::Wan]
            .map(|preset| is_taken(addr, preset))
    }

    #[test]
    fn special_use_addresses_are_refused_unless_the_preset_says_so() {
        let never = [
            "0.0.0.0",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "ff02::1",
            "ff0e::1",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
        ];
        let local = [
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "240.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::1.2.3.4",
            "64:ff9b::1.2.3.4",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:53aa:64c::1",
            "2001:2::1",
            "2001:10::1",
            "2001:1f:ffff::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fe80::1",
            "fec0::1",
            "::ffff:169.254.0.1",
        ];
        let lan = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.254",
            "fc00::1",
            "fd12:3456::1",
            "::ffff:10.0.0.1",
        ];
        let wan = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.1.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:4860::1",
            "2001:30::1",
            "2003::1",
            "2a00::1",
            "3ffe::1",
            "3fff:1000::1",
            "::ffff:8.8.8.8",
        ];
        for (list, expected) in [
            (&never[..], [false, false, false]),
            (&local[..], [true, false, false]),
            (&lan[..], [true, true, false]),
            (&wan[..], [true, true, true]),
        ] {
            for text in list {
                assert_eq!(taken(text), expected, "{text}");
            }
        }
        let no_port = SocketAddr::new("1.1.1.1".parse().unwrap(), 0);
        assert!(!is_taken(no_port, AddressPreset::Local));
    }

    #[test]
    fn groups_follow_the_prefixes() {
        let group = |text: &str| Group::of(text.parse().unwrap(), AddressPreset::Wan);
        let (a, b, c, d) = (
            group("9.8.7.6"),
            group("9.8.7.200"),
            group("9.8.6.6"),
            group("9.9.7.6"),
        );
        assert_eq!(a, b);
        assert_eq!((a.widest, a.wide), (c.widest, c.wide));
        assert_ne!(a.narrow, c.narrow);
        assert_eq!(a.widest, d.widest);
        assert_ne!(a.wide, d.wide);
        assert_eq!(group("::ffff:9.8.7.6"), a);
        let (e, f) = (group("2a00:1:2:3::1"), group("2a00:1:3::1"));
        assert_eq!((e.widest, e.wide), (f.widest, f.wide));
        assert_ne!(e.narrow, f.narrow);
        assert_eq!(
            Group::of("9.8.7.6".parse().unwrap(), AddressPreset::Local),
            Group::ALL
        );
        assert_eq!(
            host_of("2a00::1".parse().unwrap()),
            host_of("2a00::2".parse().unwrap())
        );
        assert_ne!(
            host_of("9.8.7.6".parse().unwrap()),
            host_of("9.8.7.7".parse().unwrap())
        );
    }
}
