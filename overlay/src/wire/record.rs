//! The signed statement of a peer about itself: where it can be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crypto::{Context, NetworkId, Signable};

/// How long a record counts after it was issued, seconds (3 h).
pub const RECORD_VALID_S: u64 = 3 * 60 * 60;
/// How long after issuing a record its owner issues the next, seconds (30 min).
pub const RECORD_REISSUE_S: u64 = 30 * 60;
/// How far in the future a record's date may lie, seconds.
pub const RECORD_AHEAD_S: u64 = 60;

/// An IP address and port on the wire. An IPv4-mapped IPv6 address travels as IPv4; flow label and scope do not travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireAddr(pub SocketAddr);

/// A peer's record. No address = "do not dial me".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// Whose record: the Ed25519 key that signs it.
    pub id: [u8; 32],
    /// Rises with every record of this peer: max(persisted + 1, Unix milliseconds).
    pub version: u64,
    /// When it was issued, seconds since the Unix epoch.
    pub issued_unix_s: u64,
    /// IPv4 address to dial.
    pub ipv4: Option<(Ipv4Addr, u16)>,
    /// IPv6 address to dial.
    pub ipv6: Option<(Ipv6Addr, u16)>,
    /// Role bits; none is defined in v1, unknown ones are kept and ignored.
    pub roles: u32,
}

impl PeerRecord {
    /// The addresses with their bits in [`ListItem::proven`](super::ListItem::proven).
    pub fn addrs(&self) -> impl Iterator<Item = (u8, SocketAddr)> + use<> {
        let v4 = self
            .ipv4
            .map(|(ip, port)| (1, SocketAddr::new(IpAddr::V4(ip), port)));
        let v6 = self
            .ipv6
            .map(|(ip, port)| (2, SocketAddr::new(IpAddr::V6(ip), port)));
        v4.into_iter().chain(v6)
    }

    /// Whether the record counts at this time (seconds since the Unix epoch).
    #[must_use]
    pub fn is_current(&self, unix_s: u64) -> bool {
        self.issued_unix_s <= unix_s.saturating_add(RECORD_AHEAD_S)
            && unix_s <= self.issued_unix_s.saturating_add(RECORD_VALID_S)
    }
}

impl Signable for PeerRecord {
    const CONTEXT: Context = Context::PeerRecord;

    fn signer(&self) -> &[u8; 32] {
        &self.id
    }

    /// id 32, version u64, issued u64, ipv4 (flag 1, address 4, port u16), ipv6 (flag 1, address 16, port u16), roles u32;
    /// little endian; an absent address is all zero.
    fn body(&self, _network: &NetworkId) -> Vec<u8> {
        let mut body = Vec::with_capacity(78);
        body.extend_from_slice(&self.id);
        body.extend_from_slice(&self.version.to_le_bytes());
        body.extend_from_slice(&self.issued_unix_s.to_le_bytes());
        let (ipv4, port) = self.ipv4.unwrap_or((Ipv4Addr::UNSPECIFIED, 0));
        body.push(u8::from(self.ipv4.is_some()));
        body.extend_from_slice(&ipv4.octets());
        body.extend_from_slice(&port.to_le_bytes());
        let (ipv6, port) = self.ipv6.unwrap_or((Ipv6Addr::UNSPECIFIED, 0));
        body.push(u8::from(self.ipv6.is_some()));
        body.extend_from_slice(&ipv6.octets());
        body.extend_from_slice(&port.to_le_bytes());
        body.extend_from_slice(&self.roles.to_le_bytes());
        body
    }
}
