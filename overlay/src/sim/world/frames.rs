//! A host's frames: onto the lanes, through the uplink, over the path.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;

use super::cost::PACKET;
use super::event::{Sink, What};
use super::ground::Ground;
use super::host::Host;
use super::time::Time;
use crate::input::{Input, Lane, LinkId};

/// Nothing is sent again after longer than this, microseconds: the connection would have been idle for too long.
const MOST_AGAIN_US: u64 = 20_000_000;

impl Host {
    pub(super) fn send(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link).filter(|end| !end.closing) else {
            return;
        };
        if lane == Lane::Datagram {
            // It overtakes whatever waits.
            self.traffic.frames_out += bytes.len() as u64;
            return self.transmit(link, lane, bytes, now, ground, sink);
        }
        let size = bytes.len() + crate::cx::FRAME_OVERHEAD;
        self.traffic.frames_out += bytes.len() as u64;
        if let Some(tap) = &mut self.tap {
            tap.sent(&bytes, lane, now);
        }
        end.used[lane as usize] += size;
        end.unreported[lane as usize] += size;
        if ground.paths.uplink > 0 {
            if let Some(wait) = self.uplink.push(link, lane, bytes, ground.paths.uplink) {
                self.later(wait, What::Uplink, now, sink);
            }
            return;
        }
        let bit = 1 << lane as u8;
        if end.used[lane as usize] > lane.capacity() / 2 && end.draining & bit == 0 {
            end.draining |= bit;
            self.later(Duration::ZERO, What::Drained { link, lane }, now, sink);
        }
        self.transmit(link, lane, bytes, now, ground, sink);
    }

    /// A frame leaves the host.
    pub(super) fn transmit(
        &mut self,
        link: LinkId,
        lane: Lane,
        bytes: Bytes,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let (out, back) = end.cost(lane, &bytes, now);
        if let Some(tap) = &mut self.tap {
            tap.crossed(&bytes, out + back);
        }
        self.traffic.out += out as u64;
        self.traffic.into += back as u64;
        let wire = u32::try_from(out).unwrap_or(u32::MAX);
        let back = u32::try_from(back).unwrap_or(u32::MAX);
        if end.lost {
            return;
        }
        let (host, far) = (end.host, end.far);
        let burst = (end.weather).loss(&ground.paths.bursts, now, &mut self.path);
        let passes = (1.0 - ground.paths.loss) * (1.0 - burst) * (1.0 - self.lossy);
        let loss = 1.0 - passes;
        if !ground.reaches(self.index, host) {
            if lane != Lane::Datagram {
                end.held.push((lane, bytes));
            }
            return;
        }
        let paths = &ground.paths;
        let mut delay = ground.delay_us(self.index, host, &mut self.path);
        if lane == Lane::Datagram {
            if loss > 0.0 && self.path.random_bool(loss) {
                return;
            }
            if paths.reorder > 0.0 && self.path.random_bool(paths.reorder) {
                delay += self.path.random_range(0..=delay * 2);
            }
            if paths.duplicate > 0.0 && self.path.random_bool(paths.duplicate) {
                let again = delay + self.path.random_range(0..=delay);
                let bytes = bytes.clone();
                let what = What::Frame {
                    link: far,
                    lane,
                    bytes,
                    wire,
                    back,
                };
                self.post(host, what, Time(now.0 + again), sink);
            }
            let what = What::Frame {
                link: far,
                lane,
                bytes,
                wire,
                back,
            };
            return self.post(host, what, Time(now.0 + delay), sink);
        }
        if loss > 0.0 {
            // Each lost packet is sent again about a round trip later, and after twice the time when it is lost again (RFC 9002, section
            // 6.2); what is behind it in the lane waits.
            let once = (2.5 * ground.base_delay_us(self.index, host)) as u64 + 10_000;
            for _ in 0..bytes.len().div_ceil(PACKET) {
                let mut again = once;
                while self.path.random_bool(loss) {
                    delay += again;
                    again = (again * 2).min(MOST_AGAIN_US);
                }
            }
        }
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        let at = Time(now.0 + delay).max(end.arrives[lane as usize]);
        end.arrives[lane as usize] = at;
        let what = What::Frame {
            link: far,
            lane,
            bytes,
            wire,
            back,
        };
        self.post(host, what, at, sink);
    }

    /// A split is over: what waited for it goes out.
    pub(super) fn release(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let waiting: Vec<LinkId> = self
            .ends
            .iter()
            .filter(|(_, end)| !end.held.is_empty())
            .map(|(link, _)| *link)
            .collect();
        for link in waiting {
            let held = self
                .ends
                .get_mut(&link)
                .map(|end| std::mem::take(&mut end.held));
            for (lane, bytes) in held.into_iter().flatten() {
                self.transmit(link, lane, bytes, now, ground, sink);
            }
        }
    }

    pub(super) fn drained(
        &mut self,
        link: LinkId,
        lane: Lane,
        now: Time,
        ground: &Ground,
        sink: &mut Sink<'_>,
    ) {
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        end.draining &= !(1 << lane as u8);
        end.used[lane as usize] = 0;
        end.unreported[lane as usize] = 0;
        let free_bytes = lane.capacity();
        let input = Input::Lane {
            link,
            lane,
            free_bytes,
        };
        self.tell(input, now, ground, sink);
    }

    /// The uplink has sent a frame and takes the next.
    pub(super) fn uplink_free(&mut self, now: Time, ground: &Ground, sink: &mut Sink<'_>) {
        let (sent, wait) = self.uplink.pop(ground.paths.uplink);
        if let Some(wait) = wait {
            self.later(wait, What::Uplink, now, sink);
        }
        let Some((link, lane, bytes)) = sent else {
            return;
        };
        let size = bytes.len() + crate::cx::FRAME_OVERHEAD;
        self.transmit(link, lane, bytes, now, ground, sink);
        let Some(end) = self.ends.get_mut(&link) else {
            return;
        };
        // As the node's lanes do: the core's own account only falls, and is set right before a trickle empties it.
        let (capacity, lane_at) = (lane.capacity(), lane as usize);
        let used = end.used[lane_at].saturating_sub(size);
        end.used[lane_at] = used;
        if used < capacity / 2 && end.unreported[lane_at] >= capacity / 4 {
            end.unreported[lane_at] = used;
            let free_bytes = capacity - used;
            let input = Input::Lane {
                link,
                lane,
                free_bytes,
            };
            self.tell(input, now, ground, sink);
        }
    }
}
