//! The signed statement of a peer about itself: where it can be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crypto::{Context, NetworkId, Signable};
use serde::{Deserialize, Serialize};

/// How long a record counts after it was issued, seconds (3 h).
pub const RECORD_VALID_S: u64 = 3 * 60 * 60;
/// How long after issuing a record its owner issues the next, seconds (30 min).
pub const RECORD_REISSUE_S: u64 = 30 * 60;
/// How far in the future a record's date may lie, seconds.
pub const RECORD_AHEAD_S: u64 = 60;

/// An IP address and port on the wire. An IPv4-mapped IPv6 address travels as IPv4; flow label and scope do not travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AddrLayout", into = "AddrLayout")]
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

/// What travels of a [`WireAddr`].
#[derive(Serialize, Deserialize)]
enum AddrLayout {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

impl From<WireAddr> for AddrLayout {
    fn from(addr: WireAddr) -> Self {
        match addr.0.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets(), addr.0.port()),
            IpAddr::V6(ip) => Self::V6(ip.octets(), addr.0.port()),
        }
    }
}

impl From<AddrLayout> for WireAddr {
    fn from(layout: AddrLayout) -> Self {
        Self(match layout {
            AddrLayout::V4(ip, port) => (Ipv4Addr::from(ip), port).into(),
            AddrLayout::V6(ip, port) => (Ipv6Addr::from(ip), port).into(),
        })
    }
}

/// How a signed record travels: as [`RecordLayout`], which is not what is signed.
pub(super) mod signed {
    use crypto::Signed;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{PeerRecord, RecordLayout};

    pub(in crate::wire) fn serialize<S: Serializer>(
        record: &Signed<PeerRecord>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        RecordLayout {
            id: record.value.id,
            version: record.value.version,
            issued_unix_s: record.value.issued_unix_s,
            ipv4: record.value.ipv4.map(|(ip, port)| (ip.octets(), port)),
            ipv6: record.value.ipv6.map(|(ip, port)| (ip.octets(), port)),
            roles: record.value.roles,
            signature: record.signature,
        }
        .serialize(serializer)
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Signed<PeerRecord>, D::Error> {
        let layout = RecordLayout::deserialize(deserializer)?;
        Ok(Signed {
            value: PeerRecord {
                id: layout.id,
                version: layout.version,
                issued_unix_s: layout.issued_unix_s,
                ipv4: layout.ipv4.map(|(ip, port)| (ip.into(), port)),
                ipv6: layout.ipv6.map(|(ip, port)| (ip.into(), port)),
                roles: layout.roles,
            },
            signature: layout.signature,
        })
    }
}

/// What travels of a signed record.
#[derive(Serialize, Deserialize)]
struct RecordLayout {
    id: [u8; 32],
    version: u64,
    issued_unix_s: u64,
    ipv4: Option<([u8; 4], u16)>,
    ipv6: Option<([u8; 16], u16)>,
    roles: u32,
    #[serde(with = "super::signature")]
    signature: [u8; 64],
}
