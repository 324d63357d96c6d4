//! Rows as bytes: explicit fixed layouts, little endian, each sealed with a checksum.
//!
//! A sealed row is `layout version u8 | fields | first 8 bytes of BLAKE3 over everything before`. The database checks its
//! pages only after an unclean stop; the seal notices a flipped bit at any time, so that a damaged row is an error and
//! never a message that is passed on or a sequence number that is used twice.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use bytes::Bytes;
use crypto::{MessageId, Signed, body_root};
use overlay::messages::{StoredMessage, Topic};
use overlay::wire::MessageHeader;

use super::evidence::StoredEvidence;

/// Version byte of every sealed row. A new layout of some row takes a new number.
const LAYOUT: u8 = 1;
/// Bytes of the checksum at the end of a row.
const SEAL: usize = 8;

const GAP: u8 = 1;
const EQUIVOCATION: u8 = 2;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRow(pub(super) &'static str);

const SHORT: BadRow = BadRow("it is too short");

/// Writes fields one after the other.
struct Out(Vec<u8>);

impl Out {
    fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + SEAL + 1);
        bytes.push(LAYOUT);
        Self(bytes)
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(self, value: u8) -> Self {
        self.put(&[value])
    }

    fn u16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }

    fn addr(self, addr: &SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(v4) => self.u8(4).put(&v4.ip().octets()).u16(v4.port()),
            SocketAddr::V6(v6) => self
                .u8(6)
                .put(&v6.ip().octets())
                .u16(v6.port())
                .u32(v6.flowinfo())
                .u32(v6.scope_id()),
        }
    }

    /// A header with its signature: author 32, seq u64, `prev_seq` u64, date u64, count u16, `body_len` u32, `body_root` 32, topic
    /// (length u8, bytes), signature 64.
    fn signed(self, signed: &Signed<MessageHeader>) -> Self {
        let header = &signed.value;
        let topic = header.topic.as_str().as_bytes();
        self.put(&header.author)
            .u64(header.seq)
            .u64(header.prev_seq)
            .u64(header.published_unix_ms)
            .u16(header.count)
            .u32(header.body_len)
            .put(&header.body_root)
            .u8(u8::try_from(topic.len()).unwrap_or(u8::MAX)) // a Topic has at most 64 bytes
            .put(topic)
            .put(&signed.signature)
    }

    fn seal(mut self) -> Vec<u8> {
        let sum = body_root(&self.0);
        self.0.extend_from_slice(&sum[..SEAL]);
        self.0
    }
}

/// Reads fields one after the other.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn unseal(row: &'a [u8]) -> Result<Self, BadRow> {
        let split = row.len().checked_sub(SEAL).ok_or(SHORT)?;
        let (content, seal) = row.split_at(split);
        if body_root(content)[..SEAL] != *seal {
            return Err(BadRow("its checksum does not match"));
        }
        let mut fields = Self(content);
        match fields.u8()? {
            LAYOUT => Ok(fields),
            _ => Err(BadRow("its layout version is unknown")),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadRow> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRow> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    fn u8(&mut self) -> Result<u8, BadRow> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, BadRow> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadRow> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadRow> {
        self.array().map(u64::from_le_bytes)
    }

    fn addr(&mut self) -> Result<SocketAddr, BadRow> {
        match self.u8()? {
            4 => {
                let ip = Ipv4Addr::from(self.array::<4>()?);
                Ok(SocketAddrV4::new(ip, self.u16()?).into())
            }
            6 => {
                let ip = Ipv6Addr::from(self.array::<16>()?);
                let (port, flow, scope) = (self.u16()?, self.u32()?, self.u32()?);
                Ok(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => Err(BadRow("its address family is unknown")),
        }
    }

    fn signed(&mut self) -> Result<Signed<MessageHeader>, BadRow> {
        let author = self.array()?;
        let (seq, prev_seq, published_unix_ms) = (self.u64()?, self.u64()?, self.u64()?);
        let (count, body_len, body_root) = (self.u16()?, self.u32()?, self.array()?);
        let topic_len = usize::from(self.u8()?);
        let topic: Topic = std::str::from_utf8(self.take(topic_len)?)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(BadRow("its topic is not one"))?;
        let value = MessageHeader {
            author,
            seq,
            prev_seq,
            published_unix_ms,
            topic,
            count,
            body_len,
            body_root,
        };
        let signature = self.array()?;
        Ok(Signed { value, signature })
    }

    fn end(self) -> Result<(), BadRow> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BadRow("it is too long"))
        }
    }
}

fn flags(gap: bool, equivocation: bool) -> u8 {
    (u8::from(gap) * GAP) | (u8::from(equivocation) * EQUIVOCATION)
}

fn read_flags(fields: &mut In<'_>) -> Result<(bool, bool), BadRow> {
    match fields.u8()? {
        bits if bits & !(GAP | EQUIVOCATION) == 0 => {
            Ok((bits & GAP != 0, bits & EQUIVOCATION != 0))
        }
        _ => Err(BadRow("it has unknown flags")),
    }
}

/// A message of the log: flags u8, id 32, signed header, number of entries u32, then for each entry its length u32 and its
/// bytes. The first cursor is the key.
pub(super) fn encode_message(message: &StoredMessage) -> Vec<u8> {
    let mut out = Out::new(message_len(message))
        .u8(flags(message.gap, message.equivocation))
        .put(message.id.as_bytes())
        .signed(&message.signed)
        .u32(len32(message.entries.len()));
    for entry in &message.entries {
        out = out.u32(len32(entry.len())).put(entry);
    }
    out.seal()
}

/// Bytes that [`encode_message`] makes of it.
pub(super) fn message_len(message: &StoredMessage) -> usize {
    let topic = message.signed.value.topic.as_str().len();
    let body: usize = message.entries.iter().map(|entry| entry.len() + 4).sum();
    MESSAGE_FIXED + topic + body
}

/// Bytes of a message's row without its topic and entries: layout version, flags, id, header with signature, number of
/// entries, checksum.
const MESSAGE_FIXED: usize = 1 + 1 + 32 + 159 + 4 + SEAL;

/// Lengths come from memory and are bounded far below 4 GiB by the protocol's limits.
fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

pub(super) fn decode_message(first_cursor: u64, row: &[u8]) -> Result<StoredMessage, BadRow> {
    let mut fields = In::unseal(row)?;
    let (gap, equivocation) = read_flags(&mut fields)?;
    let id = MessageId::from_bytes(fields.array()?);
    let signed = fields.signed()?;
    let claimed = fields.u32()?;
    // Every entry takes at least its length prefix, so the claim is checked before anything is allocated.
    if claimed as usize > fields.0.len() / 4 {
        return Err(SHORT);
    }
    let mut entries = Vec::with_capacity(claimed as usize);
    for _ in 0..claimed {
        let len = fields.u32()? as usize;
        entries.push(Bytes::copy_from_slice(fields.take(len)?));
    }
    fields.end()?;
    Ok(StoredMessage {
        id,
        first_cursor,
        signed,
        entries,
        gap,
        equivocation,
    })
}

/// What a restart needs of each message, apart from its entries; its cursor is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: [u8; 32],
    pub(super) author: [u8; 32],
    pub(super) seq: u64,
    pub(super) published_unix_ms: u64,
    /// Bytes of the row in the log.
    pub(super) bytes: u32,
    pub(super) entries: u32,
    pub(super) equivocation: bool,
}

impl Head {
    /// Of a message and its encoded row.
    pub(super) fn of(message: &StoredMessage, row: &[u8]) -> Self {
        Self {
            id: *message.id.as_bytes(),
            author: message.signed.value.author,
            seq: message.signed.value.seq,
            published_unix_ms: message.signed.value.published_unix_ms,
            bytes: len32(row.len()),
            entries: len32(message.entries.len()),
            equivocation: message.equivocation,
        }
    }

    /// Flags u8, id 32, author 32, seq u64, date u64, bytes u32, entries u32.
    pub(super) fn encode(&self) -> Vec<u8> {
        Out::new(89)
            .u8(flags(false, self.equivocation))
            .put(&self.id)
            .put(&self.author)
            .u64(self.seq)
            .u64(self.published_unix_ms)
            .u32(self.bytes)
            .u32(self.entries)
            .seal()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, BadRow> {
        let mut fields = In::unseal(row)?;
        let (_, equivocation) = read_flags(&mut fields)?;
        let head = Self {
            id: fields.array()?,
            author: fields.array()?,
            seq: fields.u64()?,
            published_unix_ms: fields.u64()?,
            bytes: fields.u32()?,
            entries: fields.u32()?,
            equivocation,
        };
        fields.end()?;
        Ok(head)
    }
}

/// A proof of equivocation: found at u64, then two signed headers.
pub(super) fn encode_evidence(found_unix_ms: u64, [a, b]: [&Signed<MessageHeader>; 2]) -> Vec<u8> {
    Out::new(600).u64(found_unix_ms).signed(a).signed(b).seal()
}

pub(super) fn decode_evidence(row: &[u8]) -> Result<StoredEvidence, BadRow> {
    let mut fields = In::unseal(row)?;
    let evidence = StoredEvidence {
        found_unix_ms: fields.u64()?,
        messages: [fields.signed()?, fields.signed()?],
    };
    fields.end()?;
    Ok(evidence)
}

pub(super) fn encode_number(value: u64) -> Vec<u8> {
    Out::new(8).u64(value).seal()
}

pub(super) fn decode_number(row: &[u8]) -> Result<u64, BadRow> {
    let mut fields = In::unseal(row)?;
    let value = fields.u64()?;
    fields.end()?;
    Ok(value)
}

pub(super) fn encode_id(id: &[u8; 32]) -> Vec<u8> {
    Out::new(32).put(id).seal()
}

pub(super) fn decode_id(row: &[u8]) -> Result<[u8; 32], BadRow> {
    let mut fields = In::unseal(row)?;
    let id = fields.array()?;
    fields.end()?;
    Ok(id)
}

/// A place of the archive: address (family u8, octets, port u16, for IPv6 flow u32 and scope u32), then the date of the
/// proof u64. The peer is the key.
pub(super) fn encode_place(addr: &SocketAddr, proven_unix_ms: u64) -> Vec<u8> {
    Out::new(35).addr(addr).u64(proven_unix_ms).seal()
}

pub(super) fn decode_place(row: &[u8]) -> Result<(SocketAddr, u64), BadRow> {
    let mut fields = In::unseal(row)?;
    let place = (fields.addr()?, fields.u64()?);
    fields.end()?;
    Ok(place)
}

/// An anchor: peer 32, address. Its rank is the key.
pub(super) fn encode_anchor(peer: &[u8; 32], addr: &SocketAddr) -> Vec<u8> {
    Out::new(59).put(peer).addr(addr).seal()
}

pub(super) fn decode_anchor(row: &[u8]) -> Result<([u8; 32], SocketAddr), BadRow> {
    let mut fields = In::unseal(row)?;
    let anchor = (fields.array()?, fields.addr()?);
    fields.end()?;
    Ok(anchor)
}
