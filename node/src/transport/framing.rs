//! Frames on a lane: the lane's number once, then for each frame its length (u32, little endian) and its bytes.

use bytes::{Bytes, BytesMut};
use overlay::Lane;
use overlay::wire::{self, MAX_FRAME};

/// The first byte of a stream.
pub(crate) const fn lane_number(lane: Lane) -> Option<u8> {
    match lane {
        Lane::Datagram => None,
        Lane::Control => Some(1),
        Lane::Own => Some(2),
        Lane::Forwarded => Some(3),
        Lane::Bulk => Some(4),
    }
}

/// The lane with this number.
pub(crate) const fn lane_of(number: u8) -> Option<Lane> {
    match number {
        1 => Some(Lane::Control),
        2 => Some(Lane::Own),
        3 => Some(Lane::Forwarded),
        4 => Some(Lane::Bulk),
        _ => None,
    }
}

/// Length of a frame's prefix, bytes.
const PREFIX: usize = 4;
/// Bytes of a frame that say what it is: version and tag.
const HEAD: usize = 2;
/// What is set aside for a frame before its bytes are there.
const FIRST_ALLOCATION: usize = 4096;

/// A length that no frame may have; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength;

/// Cuts a stream into frames. Holds at most one unfinished frame, and of that no more than has arrived.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Prefix and bytes of the unfinished frame.
    partial: BytesMut,
}

impl Cutter {
    /// Takes the next bytes of the stream and appends every frame that is complete to `frames`. A length beyond what the frame's
    /// type allows is an error as soon as the type is known, before the frame is buffered.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        frames: &mut Vec<Bytes>,
    ) -> Result<(), BadLength> {
        while !bytes.is_empty() {
            if self.partial.is_empty()
                && let Some(length) = frame_length(bytes)?
                && let Some(frame) = bytes.get(PREFIX..PREFIX + length)
            {
                // A copy of its own: a slice would keep the whole receive buffer alive for as long as the frame is cached.
                frames.push(Bytes::copy_from_slice(frame));
                bytes = &bytes[PREFIX + length..];
                continue;
            }
            // How much belongs to this frame: first what tells its length and type, then the rest.
            let wanted = match frame_length(&self.partial)? {
                Some(length) => PREFIX + length,
                None => PREFIX + HEAD,
            };
            if self.partial.capacity() == 0 {
                self.partial.reserve(wanted.min(FIRST_ALLOCATION));
            }
            let missing = wanted.saturating_sub(self.partial.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
            if let Some(length) = frame_length(&self.partial)?
                && self.partial.len() == PREFIX + length
            {
                let mut frame = std::mem::take(&mut self.partial).freeze();
                frames.push(frame.split_off(PREFIX));
            }
        }
        Ok(())
    }
}

/// Length of the frame at the start of `bytes`; `None` while that and the frame's type are not there yet.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, BadLength> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*prefix)).map_err(|_| BadLength)?;
    if !(HEAD..=MAX_FRAME).contains(&length) {
        return Err(BadLength);
    }
    let Some(head) = rest.get(..HEAD) else {
        return Ok(None);
    };
    match wire::tag_of(head) {
        Some(tag) if length <= wire::max_len(tag) => Ok(Some(length)),
        _ => Err(BadLength),
    }
}

/// Frames of a batch gathered into as few chunks as are worth it: small ones are copied together, since the transport looks
/// through the chunks of a stream one by one; large ones stay as they are.
pub(crate) fn gather(first: Option<u8>, frames: &[Bytes]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut small = BytesMut::new();
    small.extend(first);
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX); // frames are at most 64 KiB
        small.extend_from_slice(&length.to_le_bytes());
        if frame.len() <= COPY_UP_TO {
            small.extend_from_slice(frame);
        } else {
            chunks.push(small.split().freeze());
            chunks.push(frame.clone());
        }
    }
    if !small.is_empty() {
        chunks.push(small.freeze());
    }
    chunks
}

/// Frames up to this length are copied into a batch. A guess: copying 8 KiB costs less than a microsecond.
const COPY_UP_TO: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tag 16: gossip, up to the longest frame.
    fn frame(len: usize) -> Bytes {
        let mut bytes = vec![7; len];
        bytes[0] = wire::VERSION;
        bytes[1] = 16;
        bytes.into()
    }

    fn stream(frames: &[Bytes]) -> Vec<u8> {
        gather(None, frames).concat()
    }

    #[test]
    fn lane_numbers_are_the_wire_s() {
        for lane in Lane::STREAMS {
            assert_eq!(lane_number(lane).and_then(lane_of), Some(lane));
        }
        assert_eq!([0, 5, 255].map(lane_of), [None; 3]);
        assert_eq!(lane_number(Lane::Datagram), None);
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused_before_anything_is_buffered() {
        for length in [0, 1, MAX_FRAME as u32 + 1, u32::MAX] {
            let mut cutter = Cutter::default();
            let mut frames = Vec::new();
            let bytes = length.to_le_bytes();
            // Byte by byte: the fourth one tells.
            assert_eq!(cutter.feed(&bytes[..3], &mut frames), Ok(()));
            assert_eq!(cutter.feed(&bytes[3..], &mut frames), Err(BadLength));
            assert!(cutter.partial.capacity() <= PREFIX + HEAD + 64);
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn each_type_has_its_own_longest_length() {
        let tag = 4; // a ping
        let longest = wire::max_len(tag);
        for (length, expected) in [(longest, Ok(())), (longest + 1, Err(BadLength))] {
            let mut bytes = (length as u32).to_le_bytes().to_vec();
            bytes.extend([wire::VERSION, tag]);
            assert_eq!(Cutter::default().feed(&bytes, &mut Vec::new()), expected);
        }
    }

    #[test]
    fn an_announced_frame_takes_memory_only_as_it_arrives() {
        let mut cutter = Cutter::default();
        let bytes = stream(&[frame(wire::max_len(16))]);
        cutter.feed(&bytes[..100], &mut Vec::new()).unwrap();
        assert!(cutter.partial.capacity() <= 2 * FIRST_ALLOCATION);
    }

    #[test]
    fn large_frames_are_not_copied() {
        let frames = [frame(100), frame(20_000), frame(100)];
        let chunks = gather(Some(2), &frames);
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks[1].as_ptr(), frames[1].as_ptr());
        assert_eq!(chunks.concat()[1..], stream(&frames));
        assert_eq!(chunks[0][0], 2);
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_the_frames_are_the_same(
            lengths in proptest::collection::vec(2..9000usize, 1..12),
            cuts in proptest::collection::vec(1..5000usize, 1..40),
        ) {
            let sent: Vec<Bytes> = lengths.into_iter().map(frame).collect();
            let bytes = stream(&sent);
            let (mut cutter, mut received) = (Cutter::default(), Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().chain(std::iter::repeat(7919)) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                cutter.feed(now, &mut received).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(received, sent);
            prop_assert!(cutter.partial.is_empty());
        }
    }
}
