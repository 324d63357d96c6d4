//! A host's uplink: one frame at a time, the most urgent lane first.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::cost::PACKET_OVERHEAD;
use crate::input::{Lane, LinkId};

/// Frames that wait for the uplink, and the one that is on it.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    waiting: [VecDeque<(LinkId, Lane, Bytes)>; 5],
    sending: Option<(LinkId, Lane, Bytes)>,
}

impl Uplink {
    /// Queues a frame; says how long it takes if the uplink was free and begins to send it.
    pub(super) fn push(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        rate: u64,
    ) -> Option<Duration> {
        if self.sending.is_some() {
            self.waiting[lane as usize].push_back((link, lane, bytes));
            return None;
        }
        let time = time_of(bytes.len(), rate);
        self.sending = Some((link, lane, bytes));
        Some(time)
    }

    /// Takes the frame that has been sent, and says how long the next one takes.
    pub(super) fn pop(&mut self, rate: u64) -> (Option<(LinkId, Lane, Bytes)>, Option<Duration>) {
        let sent = self.sending.take();
        self.sending = self.waiting.iter_mut().find_map(VecDeque::pop_front);
        let wait = self
            .sending
            .as_ref()
            .map(|(_, _, bytes)| time_of(bytes.len(), rate));
        (sent, wait)
    }

    /// Drops what waits for a connection that is gone.
    pub(super) fn forget(&mut self, gone: LinkId) {
        for lane in &mut self.waiting {
            lane.retain(|(link, _, _)| *link != gone);
        }
    }
}

fn time_of(len: usize, rate: u64) -> Duration {
    Duration::from_secs_f64((len + PACKET_OVERHEAD) as f64 / rate.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_lanes_overtake() {
        let mut uplink = Uplink::default();
        let frame = |n: u8| Bytes::copy_from_slice(&[n; 100 - PACKET_OVERHEAD]);
        let wait = uplink.push(LinkId(1), Lane::Bulk, frame(1), 100);
        assert_eq!(wait, Some(Duration::from_secs(1)));
        assert_eq!(uplink.push(LinkId(1), Lane::Bulk, frame(2), 100), None);
        assert_eq!(uplink.push(LinkId(1), Lane::Control, frame(3), 100), None);
        let order: Vec<u8> = std::iter::from_fn(|| uplink.pop(100).0)
            .map(|(_, _, bytes)| bytes[0])
            .collect();
        assert_eq!(order, [1, 3, 2]);
    }
}
