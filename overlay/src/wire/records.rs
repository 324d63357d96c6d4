//! How signed records travel, and the messages that carry them: greetings and exchanges, which are most of what an idle network says.
//! The layout is that of the other messages (docs/PROTOCOL.md); it is read and written by hand because a record is mostly arrays.

use std::net::{IpAddr, SocketAddr};

use crypto::Signed;

use super::bounded::Bounded;
use super::codec::DecodeError;
use super::message::{Accept, ExchangeReply, ExchangeRequest, Hello, ListItem, MAX_LIST, Purpose};
use super::reader::{Reader, put};
use super::record::{PeerRecord, WireAddr};

/// The shortest record: what a count may claim at most is what the bytes behind it can hold.
const RECORD_LEAST: usize = 32 + 1 + 1 + 1 + 1 + 1 + 64;

/// A message whose body is read and written here.
pub(super) trait Carrier: Sized {
    /// Appends the body.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the body; the caller sees to it that nothing follows.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Carrier for Signed<PeerRecord> {
    fn write(&self, out: &mut Vec<u8>) {
        let record = &self.value;
        out.extend_from_slice(&record.id);
        put(record.version, out);
        put(record.issued_unix_s, out);
        out.push(u8::from(record.ipv4.is_some()));
        if let Some((ip, port)) = record.ipv4 {
            out.extend_from_slice(&ip.octets());
            put(port.into(), out);
        }
        out.push(u8::from(record.ipv6.is_some()));
        if let Some((ip, port)) = record.ipv6 {
            out.extend_from_slice(&ip.octets());
            put(port.into(), out);
        }
        put(record.roles.into(), out);
        out.extend_from_slice(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.array()?;
        let version = reader.u64()?;
        let issued_unix_s = reader.u64()?;
        let ipv4 = if reader.is_some()? {
            Some((reader.array::<4>()?.into(), reader.u16()?))
        } else {
            None
        };
        let ipv6 = if reader.is_some()? {
            Some((reader.array::<16>()?.into(), reader.u16()?))
        } else {
            None
        };
        let roles = reader.u32()?;
        Ok(Self {
            value: PeerRecord {
                id,
                version,
                issued_unix_s,
                ipv4,
                ipv6,
                roles,
            },
            signature: reader.array()?,
        })
    }
}

impl Carrier for Bounded<ListItem, MAX_LIST> {
    fn write(&self, out: &mut Vec<u8>) {
        put(self.len() as u64, out);
        for item in self.iter() {
            item.record.write(out);
            out.push(item.proven);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::try_from(reader.u64()?).map_err(|_| DecodeError::Body)?;
        if count > MAX_LIST || count > reader.0.len() / RECORD_LEAST {
            return Err(DecodeError::Body);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(ListItem {
                record: Signed::read(reader)?,
                proven: reader.byte()?,
            });
        }
        Ok(Self::truncated(items))
    }
}

impl Carrier for WireAddr {
    fn write(&self, out: &mut Vec<u8>) {
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out.push(0);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(1);
                out.extend_from_slice(&ip.octets());
            }
        }
        put(self.0.port().into(), out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ip = match reader.u32()? {
            0 => IpAddr::from(reader.array::<4>()?),
            1 => IpAddr::from(reader.array::<16>()?),
            _ => return Err(DecodeError::Body),
        };
        if ip.to_canonical() != ip {
            return Err(DecodeError::NotCanonical);
        }
        Ok(Self(SocketAddr::new(ip, reader.u16()?)))
    }
}

impl Carrier for Purpose {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Visit => 0,
            Self::Neighbor => 1,
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u32()? {
            0 => Ok(Self::Visit),
            1 => Ok(Self::Neighbor),
            _ => Err(DecodeError::Body),
        }
    }
}

impl Carrier for Hello {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.min_version, self.max_version]);
        put(self.features, out);
        out.extend_from_slice(&self.network);
        self.purpose.write(out);
        self.record.write(out);
        put(self.unix_ms, out);
        self.observed.write(out);
        out.extend_from_slice(&self.announce_key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            min_version: reader.byte()?,
            max_version: reader.byte()?,
            features: reader.u64()?,
            network: reader.array()?,
            purpose: Purpose::read(reader)?,
            record: Signed::read(reader)?,
            unix_ms: reader.u64()?,
            observed: WireAddr::read(reader)?,
            announce_key: reader.array()?,
        })
    }
}

impl Carrier for Accept {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        put(self.features, out);
        self.purpose.write(out);
        self.record.write(out);
        put(self.unix_ms, out);
        self.observed.write(out);
        out.extend_from_slice(&self.announce_key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.byte()?,
            features: reader.u64()?,
            purpose: Purpose::read(reader)?,
            record: Signed::read(reader)?,
            unix_ms: reader.u64()?,
            observed: WireAddr::read(reader)?,
            announce_key: reader.array()?,
        })
    }
}

impl Carrier for ExchangeRequest {
    fn write(&self, out: &mut Vec<u8>) {
        self.record.write(out);
        out.push(self.want);
        self.list.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            record: Signed::read(reader)?,
            want: reader.byte()?,
            list: Bounded::read(reader)?,
        })
    }
}

impl Carrier for ExchangeReply {
    fn write(&self, out: &mut Vec<u8>) {
        self.record.write(out);
        self.list.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            record: Signed::read(reader)?,
            list: Bounded::read(reader)?,
        })
    }
}
