//! Frames: a version byte, a tag byte, a postcard body.

use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::message::{Cancel, ListItem, MAX_RANGE_IDS, Message, RangeContent, Reconcile, Want};
use super::reader::Reader;
use super::record::PeerRecord;
use super::records::Carrier;
use super::{VERSION, body as bodies, gossip, max_len, tag};

/// Why bytes are no message. Everything but [`UnknownTag`](Self::UnknownTag) is the sender's fault and closes the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even version and tag.
    #[error("a frame of {0} bytes has no version and tag")]
    Short(usize),
    /// Another wire version than the one this link speaks.
    #[error("wire version {0}, expected {VERSION}")]
    Version(u8),
    /// A tag that this version does not know; to be counted and skipped.
    #[error("unknown tag {0}")]
    UnknownTag(u8),
    /// Longer than any message of its tag; nothing was decoded.
    #[error("{len} bytes for tag {tag}, at most {max} are allowed")]
    TooLong {
        /// The tag.
        tag: u8,
        /// Length of the frame, bytes.
        len: usize,
        /// The limit, bytes.
        max: usize,
    },
    /// The body ends early, or holds a value that its type does not have, or too many items.
    #[error("the body does not decode")]
    Body,
    /// Bytes after the body.
    #[error("{0} bytes follow the body")]
    Trailing(usize),
    /// Another spelling of a value that has a shorter one.
    #[error("the encoding is not canonical")]
    NotCanonical,
    /// A value that decodes but breaks a rule of the message.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The tag of a frame of this wire version.
#[must_use]
pub fn tag_of(frame: &[u8]) -> Option<u8> {
    match frame {
        [VERSION, tag, ..] => Some(*tag),
        _ => None,
    }
}

/// Encodes a message as a frame. Total, and one to one: a value that breaks a rule of its message (which only a bug of
/// ours can make) gets a frame that every decoder refuses.
#[must_use]
pub fn encode(message: &Message) -> Bytes {
    match message {
        Message::Hello(hello) => carried(tag::HELLO, &**hello, 0),
        Message::Accept(accept) => carried(tag::ACCEPT, &**accept, 0),
        Message::Refuse(refuse) => frame(tag::REFUSE, refuse),
        Message::Ping(number) => frame(tag::PING, number),
        Message::Pong(number) => frame(tag::PONG, number),
        Message::NeighborRequest => frame(tag::NEIGHBOR_REQUEST, &()),
        Message::NeighborReply(refusal) => frame(tag::NEIGHBOR_REPLY, refusal),
        Message::ExchangeRequest(request) => {
            carried(tag::EXCHANGE_REQUEST, &**request, request.list.len())
        }
        Message::ExchangeReply(reply) => carried(tag::EXCHANGE_REPLY, &**reply, reply.list.len()),
        Message::Probe(number) => frame(tag::PROBE, number),
        Message::ProbeAck(number) => frame(tag::PROBE_ACK, number),
        Message::Look(look) => frame(tag::LOOK, look),
        Message::Seen(number) => frame(tag::SEEN, number),
        Message::Leave(record) => carried(tag::LEAVE, &**record, 0),
        Message::Gossip(gossip) => {
            let payload: usize = gossip.entries.iter().map(|entry| entry.len() + 3).sum();
            let head = max_len(tag::GOSSIP) - crate::messages::MAX_INLINE;
            frame_sized(
                tag::GOSSIP,
                &gossip::Layout::from(&**gossip),
                head + payload,
            )
        }
        Message::Announce(announce) => frame(tag::ANNOUNCE, announce),
        Message::Graft(graft) => frame(tag::GRAFT, graft),
        Message::Prune(prune) => frame(tag::PRUNE, prune),
        Message::Head(head) => frame_sized(
            tag::HEAD,
            &bodies::HeadLayout::from(&**head),
            256 + 32 * head.manifest.len(),
        ),
        Message::Have(have) => frame(tag::HAVE, have),
        Message::Want(want) => frame(tag::WANT, want),
        Message::Cancel(cancel) => frame(tag::CANCEL, cancel),
        Message::Reconcile(reconcile) => frame(tag::RECONCILE, reconcile),
        Message::Fetch(fetch) => frame(tag::FETCH, fetch),
        Message::FetchMissing(missing) => frame(tag::FETCH_MISSING, missing),
        Message::Chunk(chunk) => frame_sized(
            tag::CHUNK,
            &bodies::ChunkLayout::from(chunk),
            40 + chunk.bytes.len(),
        ),
        Message::Part(part) => frame(tag::PART, part),
        Message::Busy(busy) => frame(tag::BUSY, busy),
    }
}

fn frame<T: Serialize>(tag: u8, body: &T) -> Bytes {
    frame_sized(tag, body, max_len(tag).min(512))
}

fn frame_sized<T: Serialize>(tag: u8, body: &T, capacity: usize) -> Bytes {
    let mut start = Vec::with_capacity(capacity);
    start.extend_from_slice(&[VERSION, tag]);
    // Writing to memory cannot fail, and no type of the wire has a length that serde does not know.
    postcard::to_extend(body, start).map_or_else(|_| Bytes::new(), Bytes::from)
}

/// A frame with a body of records, of which `listed` are in a list.
fn carried<T: Carrier>(tag: u8, body: &T, listed: usize) -> Bytes {
    let mut frame = Vec::with_capacity(256 + 160 * listed);
    frame.extend_from_slice(&[VERSION, tag]);
    body.write(&mut frame);
    frame.into()
}

/// Decodes a frame: length by tag, body, nothing after it, canonical, then the rules of the message; cheap before costly.
/// Entries of gossip and chunks share the memory of `frame`.
///
/// # Errors
/// See [`DecodeError`]. Never panics, whatever the bytes; allocates at most a small multiple of the frame's length.
pub fn decode(frame: &Bytes) -> Result<Message, DecodeError> {
    let [version, tag, bytes @ ..] = &frame[..] else {
        return Err(DecodeError::Short(frame.len()));
    };
    let (tag, len, max) = (*tag, frame.len(), max_len(*tag));
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    if len > max {
        return Err(DecodeError::TooLong { tag, len, max });
    }
    let message = match tag {
        tag::HELLO => Message::Hello(carrier(bytes)?),
        tag::ACCEPT => Message::Accept(carrier(bytes)?),
        tag::REFUSE => Message::Refuse(body(bytes)?),
        tag::PING => Message::Ping(body(bytes)?),
        tag::PONG => Message::Pong(body(bytes)?),
        tag::NEIGHBOR_REQUEST => {
            body::<()>(bytes)?;
            Message::NeighborRequest
        }
        tag::NEIGHBOR_REPLY => Message::NeighborReply(body(bytes)?),
        tag::EXCHANGE_REQUEST => Message::ExchangeRequest(carrier(bytes)?),
        tag::EXCHANGE_REPLY => Message::ExchangeReply(carrier(bytes)?),
        tag::PROBE => Message::Probe(body(bytes)?),
        tag::PROBE_ACK => Message::ProbeAck(body(bytes)?),
        tag::LOOK => Message::Look(body(bytes)?),
        tag::SEEN => Message::Seen(body(bytes)?),
        tag::LEAVE => Message::Leave(carrier(bytes)?),
        tag::GOSSIP => Message::Gossip(Box::new(gossip::decode(frame, bytes)?)),
        tag::ANNOUNCE => Message::Announce(body(bytes)?),
        tag::GRAFT => Message::Graft(body(bytes)?),
        tag::PRUNE => Message::Prune(body(bytes)?),
        tag::HEAD => Message::Head(Box::new(bodies::decode_head(bytes)?)),
        tag::HAVE => Message::Have(body(bytes)?),
        tag::WANT => Message::Want(body(bytes)?),
        tag::CANCEL => Message::Cancel(body(bytes)?),
        tag::RECONCILE => Message::Reconcile(body(bytes)?),
        tag::FETCH => Message::Fetch(body(bytes)?),
        tag::FETCH_MISSING => Message::FetchMissing(body(bytes)?),
        tag::CHUNK => Message::Chunk(bodies::decode_chunk(frame, bytes)?),
        tag::PART => Message::Part(body(bytes)?),
        tag::BUSY => Message::Busy(body(bytes)?),
        unknown => return Err(DecodeError::UnknownTag(unknown)),
    };
    check(&message)?;
    Ok(message)
}

/// As [`body`], for messages that carry records: nothing in it is accepted in a second spelling.
fn carrier<T: Carrier>(bytes: &[u8]) -> Result<Box<T>, DecodeError> {
    let mut reader = Reader(bytes);
    let value = T::read(&mut reader)?;
    reader.end()?;
    Ok(Box::new(value))
}

/// Decodes a body that must be all of `bytes` and the one canonical encoding of its value.
pub(super) fn body<'a, T: Serialize + Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Body)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    // postcard takes a number in more than one spelling; what it writes is the shortest.
    match postcard::serialize_with_flavor(&value, Compare(bytes)) {
        Ok(true) => Ok(value),
        _ => Err(DecodeError::NotCanonical),
    }
}

/// A sink that compares what is written with what is expected, so that the canonical check copies nothing.
struct Compare<'a>(&'a [u8]);

impl Flavor for Compare<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self
            .0
            .strip_prefix(bytes)
            .ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// The rules that types do not hold by themselves (those of gossip, heads and chunks: see their own files).
fn check(message: &Message) -> Result<(), DecodeError> {
    match message {
        Message::Hello(hello) => {
            if hello.min_version == 0 || hello.min_version > hello.max_version {
                return Err(DecodeError::Invalid("an empty range of versions"));
            }
            check_record(&hello.record.value)
        }
        Message::Accept(accept) => check_record(&accept.record.value),
        Message::Leave(record) if record.value.addrs().next().is_some() => Err(
            DecodeError::Invalid("an address of a peer that says that it leaves"),
        ),
        Message::ExchangeRequest(request) => {
            check_record(&request.record.value)?;
            check_list(&request.list)
        }
        Message::ExchangeReply(reply) => {
            check_record(&reply.record.value)?;
            check_list(&reply.list)
        }
        Message::Reconcile(reconcile) => check_ranges(reconcile),
        Message::Want(Want { from, to, .. }) | Message::Cancel(Cancel { from, to, .. })
            if from >= to =>
        {
            Err(DecodeError::Invalid("a range without chunks"))
        }
        _ => Ok(()),
    }
}

fn check_record(record: &PeerRecord) -> Result<(), DecodeError> {
    match record.ipv6 {
        Some((ip, _)) if ip.to_ipv4_mapped().is_some() => {
            Err(DecodeError::Invalid("an IPv4 address written as IPv6"))
        }
        _ => Ok(()),
    }
}

fn check_list(list: &[ListItem]) -> Result<(), DecodeError> {
    for item in list {
        let record = &item.record.value;
        check_record(record)?;
        let present = record.addrs().fold(0, |bits, (bit, _)| bits | bit);
        if (item.proven == 0) != (present == 0) || item.proven & !present != 0 {
            return Err(DecodeError::Invalid(
                "a list names as proven an address that the record lacks, or none of those it has",
            ));
        }
    }
    Ok(())
}

fn check_ranges(reconcile: &Reconcile) -> Result<(), DecodeError> {
    let (mut start, mut listed) = (reconcile.start, 0);
    for range in reconcile.ranges.iter() {
        if range.end <= start {
            return Err(DecodeError::Invalid("ranges that do not ascend"));
        }
        // Cells and short ids are shorter than ids: two, and three, count as one.
        let ids = match &range.content {
            RangeContent::Skip | RangeContent::Fingerprint { .. } => None,
            RangeContent::Ids { ids, .. } => Some(ids),
            RangeContent::Sketch { cells } => {
                listed += cells.len().div_ceil(2);
                None
            }
            RangeContent::Found { ids, wanted } => {
                listed += wanted.len().div_ceil(3);
                if !wanted.windows(2).all(|pair| pair[0] < pair[1]) {
                    return Err(DecodeError::Invalid("short ids that do not ascend"));
                }
                Some(ids)
            }
        };
        if let Some(ids) = ids {
            listed += ids.len();
            let ascend = ids.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = ids.first().is_none_or(|first| *first >= start)
                && ids.last().is_none_or(|last| *last < range.end);
            if !ascend || !inside {
                return Err(DecodeError::Invalid(
                    "ids of a range that do not ascend within it",
                ));
            }
        }
        start = range.end;
    }
    if listed > MAX_RANGE_IDS {
        return Err(DecodeError::Invalid(
            "too many ids or cells over all ranges",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
